"""Webhook deliveries of Shopify: proved by HMAC over the raw body, read for ids only (shopify.md §8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from connectors.api.card import CardRef
from connectors.api.webhooks import Delivery, InvalidSignature
from connectors.kit.strict_json import NotJson, read_json
from connectors.shopify.mapping import GATEWAY, paid_card, receipt_of
from connectors.shopify.privacy import KINDS
from connectors.shopify.shape import Json
from connectors.shopify.topics import BY_HEADER, ORDER_TRANSACTIONS, TENDER_TRANSACTIONS, Topic
from mappings.contact import contact_of

HMAC_HEADER: Final = "x-shopify-hmac-sha256"
TOPIC_HEADER: Final = "x-shopify-topic"
SHOP_HEADER: Final = "x-shopify-shop-domain"
ID_HEADER: Final = "x-shopify-webhook-id"

#: Privacy requests, which are set up in the app's settings and not subscribed to.
PRIVACY_TOPICS: Final = frozenset(KINDS)

#: What the body of each privacy request holds (shopify.md §8). The signature covers the body and no header:
#: whoever has caught a delivery can send it again under any topic, so only its body tells what it is.
_SHOP_KEYS: Final = frozenset({"shop_id", "shop_domain"})
_KEYS_OF_REQUEST: Final = {
    "customers/data_request": _SHOP_KEYS | {"customer", "orders_requested", "data_request"},
    "customers/redact": _SHOP_KEYS | {"customer", "orders_to_redact"},
    "shop/redact": _SHOP_KEYS,
}
#: Requests about one customer name orders under these keys.
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

    Raises InvalidSignature for a signature, shop or form that is not right.
    """
    if not is_signed(secrets, body, headers.get(HMAC_HEADER, "")):
        raise InvalidSignature("the signature is missing or wrong")
    if headers.get(SHOP_HEADER, "").lower() != shop:
        raise InvalidSignature("the delivery is of another shop")
    key = headers.get(ID_HEADER, "")
    if not _WEBHOOK_ID.fullmatch(key):
        raise InvalidSignature("the delivery has no id")
    header = headers.get(TOPIC_HEADER, "").lower()
    if header in PRIVACY_TOPICS:
        return Delivery(key, header, _whose(header, shop, body))
    topic = BY_HEADER.get(header)
    if topic is None:
        return None
    if topic.order_key is None:
        return Delivery(key, header, "")
    payload = _object(body)
    card = paid_card(receipt_of(payload.get("receipt"))) if topic is ORDER_TRANSACTIONS else None
    if card is not None and payload.get("gateway", GATEWAY) == GATEWAY:
        return Delivery(key, header, card, card=CardRef(card))
    order = _order(topic, topic.order_key, payload)
    return None if order is None else Delivery(key, header, order, topic.wait_seconds)


def _order(topic: Topic, order_key: str, payload: Json) -> str | None:
    """The order that is worth asking about, if any.

    What the payload leaves out is asked for, because a subscription may be older than this release.
    """
    if topic is ORDER_TRANSACTIONS and payload.get("gateway", GATEWAY) != GATEWAY:
        return None
    if topic is TENDER_TRANSACTIONS and payload.get("payment_method", GATEWAY) != GATEWAY:
        return None
    if not _concerns_cards(payload):
        return None
    number = payload.get(order_key)
    return f"gid://shopify/Order/{number}" if type(number) is int else None


def _concerns_cards(order: Json) -> bool:
    """Whether an order was paid with a card or sold one, as far as its payload tells."""
    gateways, lines = order.get("payment_gateway_names"), order.get("line_items")
    if not isinstance(gateways, list) or not isinstance(lines, list):
        return True
    sells = any(not isinstance(line, dict) or line.get("gift_card", True) for line in lines)
    return GATEWAY in gateways or sells


def _whose(topic: str, shop: str, body: bytes) -> str:
    """Whom a privacy request is about, as JSON: its orders, and digests of the customer's address and number.

    Nothing else of it is kept. Raises InvalidSignature for a body that is not one of this topic.
    """
    request = _object(body)
    domain = request.get("shop_domain")
    if (
        request.keys() != _KEYS_OF_REQUEST[topic]
        or type(request["shop_id"]) is not int
        or not isinstance(domain, str)
        or domain.lower() != shop
    ):
        raise InvalidSignature(f"the body is not one of {topic}")
    name = _ORDERS_OF_REQUEST.get(topic)
    if name is None:
        return ""
    listed, said = request[name], request["customer"]
    if not isinstance(listed, list) or not isinstance(said, dict):
        raise InvalidSignature(f"the body is not one of {topic}")
    numbers = [n for n in listed if type(n) is int]
    contact = contact_of(str(said.get("email") or ""), str(said.get("phone") or ""))
    digests = sorted(contact.digests()) if contact is not None else []
    return json.dumps({"orders": numbers, "contacts": digests})


def _object(body: bytes) -> Json:
    try:
        payload = read_json(body)
    except NotJson:
        raise InvalidSignature("the body is not JSON") from None
    return payload if isinstance(payload, dict) else {}
