"""How people call the sides."""

from __future__ import annotations

from cli.build import FLOW, SHOPIFY

_PLACES = {FLOW: "store", SHOPIFY: "online"}
_AT = {FLOW: "in the store", SHOPIFY: "online"}
_SYSTEMS = {FLOW: "Flow", SHOPIFY: "Shopify"}


def place(side: str) -> str:
    """Where a customer uses the card: `store`, `online`."""
    return _PLACES.get(side, side)


def at_place(side: str) -> str:
    """`in the store`, `online`."""
    return _AT.get(side, f"on {side}")


def system(side: str) -> str:
    """The system by its name: `Flow`, `Shopify`."""
    return _SYSTEMS.get(side, side)
