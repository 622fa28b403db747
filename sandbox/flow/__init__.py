"""The Flow Retail emulator, written from flow.md alone."""

from sandbox.flow.behaviour import FlowBehaviour
from sandbox.flow.emulator import FlowEmulator

__all__ = ["FlowBehaviour", "FlowEmulator"]
