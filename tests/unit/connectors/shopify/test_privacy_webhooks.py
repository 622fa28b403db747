"""A privacy request is one by its body, which is signed; the topic in the header is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from connectors.api.webhooks import InvalidSignature
from connectors.shopify.webhooks import PRIVACY_TOPICS, read_delivery

SHOP = "kaffe.myshopify.com"
OF_SHOP: dict[str, Any] = {"shop_id": 954889, "shop_domain": SHOP}
CUSTOMER = {"id": 191167, "email": "kari@example.com", "phone": "555-625-1199"}
REQUESTS: dict[str, dict[str, Any]] = {
    "customers/data_request": {
        **OF_SHOP,
        "customer": CUSTOMER,
        "orders_requested": [1],
        "data_request": {"id": 1},
    },
    "customers/redact": {**OF_SHOP, "customer": CUSTOMER, "orders_to_redact": [1]},
    "shop/redact": OF_SHOP,
}
#: What Shopify sends under other topics, shortened.
OTHERS: dict[str, Any] = {
    "orders/create": {"id": 1, "payment_gateway_names": [], "line_items": [], "customer": CUSTOMER},
    "order_transactions/create": {"order_id": 1, "gateway": "gift_card", "receipt": {}},
    "refunds/create": {"order_id": 1},
    "app/uninstalled": {"id": 954889, "name": "Kaffe", "domain": SHOP, "myshopify_domain": SHOP},
    "bulk_operations/finish": {"admin_graphql_api_id": "gid://shopify/BulkOperation/1", "type": "query"},
    "empty": {},
    "list": [],
}


def delivered(topic: str, body: object) -> object:
    raw = json.dumps(body).encode()
    signature = base64.b64encode(hmac.new(b"secret", raw, hashlib.sha256).digest()).decode()
    headers = {
        "x-shopify-hmac-sha256": signature,
        "x-shopify-topic": topic,
        "x-shopify-shop-domain": SHOP,
        "x-shopify-webhook-id": "w1",
    }
    return read_delivery(SHOP, ["secret"], headers, raw)


@pytest.mark.parametrize("topic", sorted(PRIVACY_TOPICS))
def test_a_request_with_the_body_of_its_topic_is_taken(topic: str) -> None:
    assert delivered(topic, REQUESTS[topic]) is not None


@pytest.mark.parametrize(
    ("caught_as", "topic"),
    [(one, topic) for topic in sorted(PRIVACY_TOPICS) for one in (*OTHERS, *REQUESTS) if one != topic],
)
def test_a_delivery_that_is_sent_again_under_another_topic_is_no_privacy_request(
    caught_as: str, topic: str
) -> None:
    with pytest.raises(InvalidSignature, match=f"the body is not one of {topic}"):
        delivered(topic, {**OTHERS, **REQUESTS}[caught_as])


@pytest.mark.parametrize(
    "spoilt",
    [
        {"shop_domain": "other.myshopify.com"},
        {"shop_domain": None},
        {"shop_id": "954889"},
        {"shop_id": True},
        {"more": 1},
    ],
)
@pytest.mark.parametrize("topic", sorted(PRIVACY_TOPICS))
def test_a_body_that_is_spoilt_is_refused(topic: str, spoilt: dict[str, object]) -> None:
    with pytest.raises(InvalidSignature):
        delivered(topic, {**REQUESTS[topic], **spoilt})
