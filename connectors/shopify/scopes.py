"""The access scopes that giftsync needs (shopify.md §2)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

#: What giftsync needs, and why. A write scope includes its read scope.
SCOPES: Final = {
    "write_gift_cards": "to make cards and set their expiry and status",
    "write_gift_card_transactions": "to credit and debit cards and to find its own transactions",
    "read_orders": "to see which orders sold cards and were paid with them",
}


def missing_scopes(granted: Collection[str]) -> dict[str, str]:
    """The needed scopes that were not granted, with what each is for."""
    return {scope: why for scope, why in SCOPES.items() if not {scope, _writing(scope)} & set(granted)}


def _writing(scope: str) -> str:
    return scope.replace("read_", "write_", 1)
