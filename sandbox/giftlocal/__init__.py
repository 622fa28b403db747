"""Gift Local, emulated from docs/reference/apis/giftlocal.md alone."""

from sandbox.giftlocal.behaviour import GiftLocalBehaviour
from sandbox.giftlocal.emulator import GiftLocalEmulator

__all__ = ["GiftLocalBehaviour", "GiftLocalEmulator"]
