"""The types of systems that the sandbox emulates: one line each."""

from __future__ import annotations

from functools import cache
from pkgutil import resolve_name
from typing import Final

from sandbox.emulated import Emulated

#: Where each type declares itself, by the name of its connector type.
PLACES: Final = {
    "flow": "sandbox.flow.emulated:FLOW",
    "shopify": "sandbox.shopify.emulated:SHOPIFY",
    "lightspeed-r": "sandbox.lightspeed_r.emulated:LIGHTSPEED_R",
    "http": "sandbox.http_side.emulated:HTTP",
    "lightspeed-x": "sandbox.lightspeed_x.emulated:LIGHTSPEED_X",
    "giftlocal": "sandbox.giftlocal.emulated:GIFT_LOCAL",
    "maestra": "sandbox.maestra.emulated:MAESTRA",
}


@cache
def emulated(name: str) -> Emulated:
    """The type of that name. Raises KeyError."""
    found = resolve_name(PLACES[name])
    if not isinstance(found, Emulated) or found.name != name:
        raise TypeError(f"{PLACES[name]} does not declare {name}")
    return found
