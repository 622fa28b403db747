"""What giftsync reads in Shopify's deliveries, and what it does about its subscriptions: the pure parts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from connectors.api.webhooks import InvalidSignature
from connectors.shopify.subscriptions import Repairs, Subscription, repairs
from connectors.shopify.topics import ORDER_TRANSACTIONS, SECOND_CHANCE_SECONDS, WANTED, Topic
from connectors.shopify.webhooks import read_delivery

SHOP, SECRET, OLD_SECRET = "kaffe.myshopify.com", "the client secret", "the one before"
PATH, URL, VERSION = "/webhooks/shopify", "https://giftsync.example.com/webhooks/shopify", "2026-10"
ORDER, CARD = "gid://shopify/Order/7", "gid://shopify/GiftCard/663"


def headers(
    body: bytes, topic: str, secret: str = SECRET, shop: str = SHOP, key: str = "b54557e4"
) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {
        "x-shopify-hmac-sha256": base64.b64encode(digest).decode(),
        "x-shopify-topic": topic,
        "x-shopify-shop-domain": shop,
        "x-shopify-webhook-id": key,
    }


def subject(topic: str, payload: object) -> str | None:
    """What a proved delivery is about; None when giftsync drops it."""
    body = json.dumps(payload).encode()
    delivery = read_delivery(SHOP, [SECRET], headers(body, topic), body)
    return None if delivery is None else delivery.subject


# --- Deliveries ---------------------------------------------------------------------------------------------


def test_given_either_secret_then_a_delivery_is_proved_and_with_any_other_it_is_not() -> None:
    body = b'{"id":7}'
    for secret in (SECRET, OLD_SECRET):
        proved = read_delivery(SHOP, [SECRET, OLD_SECRET], headers(body, "orders/paid", secret), body)
        assert proved is not None
        assert (proved.key, proved.topic, proved.subject) == ("b54557e4", "orders/paid", ORDER)
    for wrong in (
        headers(body, "orders/paid", "another"),
        headers(body + b" ", "orders/paid"),
        headers(body, "orders/paid", shop="other.myshopify.com"),
        headers(body, "orders/paid", key=""),
        {**headers(body, "orders/paid"), "x-shopify-hmac-sha256": "æøå"},
    ):
        with pytest.raises(InvalidSignature):
            read_delivery(SHOP, [SECRET], wrong, body)


@pytest.mark.parametrize("receipt", [{"gift_card_id": 663}, '{"gift_card_id": 663}', {"gift_card_id": "663"}])
def test_given_a_payment_that_names_its_card_then_the_card_is_the_subject(receipt: object) -> None:
    payment = {"order_id": 7, "gateway": "gift_card", "receipt": receipt}
    assert subject("order_transactions/create", payment) == CARD


@pytest.mark.parametrize(
    "receipt", [None, {}, "nonsense", {"gift_card_id": "x/../1"}, {"gift_card_id": True}]
)
def test_given_a_payment_whose_receipt_names_no_card_then_its_order_is_asked(receipt: object) -> None:
    payment = {"order_id": 7, "gateway": "gift_card", "receipt": receipt}
    assert subject("order_transactions/create", payment) == ORDER


def test_given_payloads_without_what_would_tell_then_the_order_is_asked() -> None:
    assert subject("order_transactions/create", {"order_id": 7}) == ORDER
    assert subject("tender_transactions/create", {"order_id": 7}) == ORDER
    assert subject("orders/paid", {"id": 7}) == ORDER
    assert subject("refunds/create", {"order_id": 7}) == ORDER


def test_given_orders_that_no_gift_card_is_part_of_then_they_are_dropped() -> None:
    order = {"id": 7, "payment_gateway_names": ["bogus"], "line_items": [{"gift_card": False}]}
    assert subject("orders/paid", order) is None
    assert subject("orders/paid", {**order, "payment_gateway_names": ["bogus", "gift_card"]}) == ORDER
    assert subject("orders/paid", {**order, "line_items": [{"gift_card": True}]}) == ORDER
    assert subject("order_transactions/create", {"order_id": 7, "gateway": "bogus"}) is None
    assert subject("tender_transactions/create", {"order_id": 7, "payment_method": "credit_card"}) is None
    assert subject("tender_transactions/create", {"order_id": 7, "payment_method": "gift_card"}) == ORDER


def test_given_a_payment_then_it_is_heard_at_once_and_what_its_order_tells_a_little_later() -> None:
    def waits(topic: str, payload: dict[str, object]) -> float:
        body = json.dumps(payload).encode()
        delivery = read_delivery(SHOP, [SECRET], headers(body, topic), body)
        assert delivery is not None
        return delivery.wait_seconds

    for topic in ("order_transactions/create", "refunds/create", "app/uninstalled"):
        assert waits(topic, {"order_id": 7}) == 0
    for topic in ("orders/fulfilled", "orders/cancelled"):
        assert waits(topic, {"id": 7}) == 0
    for topic in ("orders/create", "orders/paid"):
        assert waits(topic, {"id": 7}) == SECOND_CHANCE_SECONDS
    assert waits("tender_transactions/create", {"order_id": 7}) == SECOND_CHANCE_SECONDS


def test_given_events_without_an_order_then_the_topic_says_all_and_unknown_ones_are_dropped() -> None:
    assert subject("app/uninstalled", {"id": 1}) == ""
    assert subject("bulk_operations/finish", {"type": "query"}) == ""
    assert subject("products/update", {"id": 1}) is None
    assert subject("orders/paid", {"id": "7"}) is None


# --- Subscriptions ------------------------------------------------------------------------------------------


def subscription(topic: Topic, number: int = 1, **more: Any) -> Subscription:
    return replace(Subscription(f"id {number}", topic.name, URL, VERSION, topic.fields, True), **more)


IN_ORDER = [subscription(topic, number) for number, topic in enumerate(WANTED)]


def found(first: Subscription) -> list[Subscription]:
    """All is well but for the first topic."""
    return [first, *IN_ORDER[1:]]


def test_given_nothing_then_each_topic_is_made_and_given_all_then_nothing_is_done() -> None:
    assert repairs([], PATH, URL, VERSION) == Repairs(make=WANTED)
    assert repairs(IN_ORDER, PATH, URL, VERSION) == Repairs()


def test_given_what_is_not_as_it_should_be_then_it_is_changed_in_place() -> None:
    right = IN_ORDER[0]
    for wrong in (
        replace(right, uri="https://old.example.com/webhooks/shopify"),
        replace(right, fields=()),
        replace(right, is_json=False),
    ):
        assert repairs(found(wrong), PATH, URL, VERSION) == Repairs(change=(("id 0", ORDER_TRANSACTIONS),))
    assert repairs(found(replace(right, fields=right.fields[::-1])), PATH, URL, VERSION) == Repairs()


def test_given_another_version_then_it_is_made_anew() -> None:
    old = replace(IN_ORDER[0], version="2025-10")
    assert repairs(found(old), PATH, URL, VERSION) == Repairs(renew=(("id 0", ORDER_TRANSACTIONS),))


def test_given_two_of_a_topic_then_the_one_that_is_right_is_kept() -> None:
    stray = subscription(ORDER_TRANSACTIONS, 99, uri="https://old.example.com/webhooks/shopify")
    assert repairs([stray, *IN_ORDER], PATH, URL, VERSION) == Repairs(remove=("id 99",))


def test_given_subscriptions_of_others_then_they_are_left_alone() -> None:
    others = replace(IN_ORDER[0], id="theirs", uri="https://other.example.com/hooks")
    extra = replace(IN_ORDER[0], id="ours", topic="SHOP_UPDATE")
    assert repairs([others, extra, *IN_ORDER], PATH, URL, VERSION) == Repairs(remove=("ours",))
    assert repairs([others, *IN_ORDER], PATH, None, VERSION).remove == tuple(one.id for one in IN_ORDER)
