"""Webhook deliveries of Shopify: proved by HMAC over the raw body, read for ids only (shopify.md §8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.base import Delivery, Unproved

HMAC_HEADER: Final = "x-shopify-hmac-sha256"
TOPIC_HEADER: Final = "x-shopify-topic"
SHOP_HEADER: Final = "x-shopify-shop-domain"
ID_HEADER: Final = "x-shopify-webhook-id"

#: Topics that tell of an order, and the key of the order's number in their payload.
ORDER_TOPICS: Final = {
    "order_transactions/create": "order_id",
    "refunds/create": "order_id",
    "tender_transactions/create": "order_id",
    "orders/create": "id",
    "orders/paid": "id",
    "orders/updated": "id",
    "orders/edited": "id",
    "orders/cancelled": "id",
    "orders/fulfilled": "id",
}
#: Topics that are kept for others to act on; they have no subject that giftsync asks Shopify about.
OTHER_TOPICS: Final = frozenset(
    {
        "app/uninstalled",
        "bulk_operations/finish",
        "customers/data_request",
        "customers/redact",
        "shop/redact",
    }
)

#: Privacy requests name orders under these keys (shopify.md §8).
_ORDERS_OF_REQUEST: Final = {
    "customers/data_request": "orders_requested",
    "customers/redact": "orders_to_redact",
}

_WEBHOOK_ID: Final = re.compile(r"[A-Za-z0-9-]{1,100}")


def is_signed(secrets: Sequence[str], body: bytes, signature: str) -> bool:
    """Whether one of the secrets signed the raw body. Constant time; never raises for odd signatures.

    After a rotation the old secret may sign for up to an hour, so there may be two.
    """
    given = signature.encode("utf-8", "replace")
    matches = [
        hmac.compare_digest(base64.b64encode(hmac.new(s.encode(), body, hashlib.sha256).digest()), given)
        for s in secrets
        if s
    ]
    return any(matches)


def read_delivery(
    shop: str, secrets: Sequence[str], headers: Mapping[str, str], body: bytes
) -> Delivery | None:
    """Prove and read one delivery; None for a topic that means nothing to giftsync.

    Raises Unproved for a signature, shop or form that is not right.
    """
    if not is_signed(secrets, body, headers.get(HMAC_HEADER, "")):
        raise Unproved("the signature is missing or wrong")
    if headers.get(SHOP_HEADER, "").lower() != shop:
        raise Unproved("the delivery is of another shop")
    key = headers.get(ID_HEADER, "")
    if not _WEBHOOK_ID.fullmatch(key):
        raise Unproved("the delivery has no id")
    topic = headers.get(TOPIC_HEADER, "").lower()
    if topic in ORDER_TOPICS:
        number = _object(body).get(ORDER_TOPICS[topic])
        if isinstance(number, int) and not isinstance(number, bool):
            return Delivery(key, topic, f"gid://shopify/Order/{number}")
        return None
    if topic in OTHER_TOPICS:
        return Delivery(key, topic, _orders_of(topic, body))
    return None


def _orders_of(topic: str, body: bytes) -> str:
    """The numbers of the orders that a privacy request names, as JSON; nothing else of it is kept."""
    name = _ORDERS_OF_REQUEST.get(topic)
    if name is None:
        return ""
    listed = _object(body).get(name)
    numbers = [n for n in listed if type(n) is int] if isinstance(listed, list) else []
    return json.dumps({"orders": numbers})


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(body)
    except ValueError:
        raise Unproved("the body is not JSON") from None
    return payload if isinstance(payload, dict) else {}
