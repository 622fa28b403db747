"""Shopify's privacy requests, as `webhooks.read_delivery` keeps them (shopify.md §8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from connectors.api.webhooks import Delivery, PrivacyKind, PrivacyRequest

KINDS: Final = {
    "customers/data_request": PrivacyKind.EXPORT,
    "customers/redact": PrivacyKind.ERASE,
    "shop/redact": PrivacyKind.ERASE_ALL,
}


class PrivacyTopics:
    """Reads a stored delivery of one of these topics."""

    def privacy_request(self, delivery: Delivery) -> PrivacyRequest | None:
        """See `PrivacyReader.privacy_request`."""
        kind = KINDS.get(delivery.topic)
        if kind is None:
            return None
        orders, contacts = _read(delivery.subject)
        return PrivacyRequest(kind, orders, contacts)


def _read(subject: str) -> tuple[list[str], frozenset[str]]:
    """The orders by id, and digests of the customer's address and number."""
    try:
        said: Mapping[str, Any] = json.loads(subject or "{}")
        orders = [f"gid://shopify/Order/{number}" for number in said.get("orders", [])]
        return orders, frozenset(said.get("contacts", []))
    except (ValueError, AttributeError, TypeError):
        return [], frozenset()
