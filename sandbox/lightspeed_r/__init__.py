"""Lightspeed Retail R-Series, emulated from docs/reference/apis/lightspeed.md alone."""

from sandbox.lightspeed_r.behaviour import LightspeedRBehaviour
from sandbox.lightspeed_r.emulator import LightspeedREmulator

__all__ = ["LightspeedRBehaviour", "LightspeedREmulator"]
