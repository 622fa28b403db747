"""The access scopes that giftsync needs (shopify.md §2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from mappings.sentences import say

#: What giftsync needs, and why. A write scope includes its read scope.
SCOPES: Final[dict[str, str]] = {
    "write_gift_cards": say("to make cards and set their expiry and status"),
    "write_gift_card_transactions": say("to credit and debit cards and to find its own transactions"),
    "read_orders": say("to see which orders sold cards and were paid with them"),
}

#: What it needs besides where buyers of new cards are told through Shopify.
SCOPES_TO_NOTIFY: Final[dict[str, str]] = {
    "write_customers": say("to find or make the customer who is told of a new card")
}


def needed_scopes(*, notifies: bool) -> dict[str, str]:
    """Every scope that is needed, with what it is for."""
    return SCOPES | SCOPES_TO_NOTIFY if notifies else SCOPES


def missing_scopes(needed: Mapping[str, str], granted: Collection[str]) -> dict[str, str]:
    """The needed scopes that were not granted, with what each is for."""
    return {scope: why for scope, why in needed.items() if not {scope, _writing(scope)} & set(granted)}


def _writing(scope: str) -> str:
    return scope.replace("read_", "write_", 1)
