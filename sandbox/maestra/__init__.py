"""Maestra (Mindbox), emulated from docs/reference/apis/maestra.md alone."""

from sandbox.maestra.behaviour import MaestraBehaviour
from sandbox.maestra.emulator import MaestraEmulator

__all__ = ["MaestraBehaviour", "MaestraEmulator"]
