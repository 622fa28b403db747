"""An emulated shop of giftsync's HTTP contract, written from docs/reference/http-side.yaml alone."""

from sandbox.http_side.behaviour import HttpShopBehaviour
from sandbox.http_side.emulator import HttpShopEmulator

__all__ = ["HttpShopBehaviour", "HttpShopEmulator"]
