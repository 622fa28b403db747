"""Lightspeed Retail X-Series, emulated from docs/reference/apis/lightspeed.md alone."""

from sandbox.lightspeed_x.behaviour import LightspeedXBehaviour
from sandbox.lightspeed_x.emulator import LightspeedXEmulator

__all__ = ["LightspeedXBehaviour", "LightspeedXEmulator"]
