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

#: A link has at most eight sides.
_NUMBERS: Final = frozenset("2345678")


def kind_and_number(system: str) -> tuple[str, int]:
    """The type of a system, and which of several it is: `shopify-2` is the second Shopify shop."""
    kind, _, number = system.rpartition("-")
    return (kind, int(number)) if kind in PLACES and number in _NUMBERS else (system, 1)


def is_emulated(system: str) -> bool:
    return kind_and_number(system)[0] in PLACES


@cache
def emulated(system: str) -> Emulated:
    """The type of a system. Raises KeyError."""
    name, _ = kind_and_number(system)
    found = resolve_name(PLACES[name])
    if not isinstance(found, Emulated) or found.name != name:
        raise TypeError(f"{PLACES[name]} does not declare {name}")
    return found
