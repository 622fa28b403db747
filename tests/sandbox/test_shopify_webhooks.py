"""Webhook subscriptions and deliveries (shopify.md §8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from sandbox.shopify import ShopifyBehaviour
from tests.sandbox.conftest_shopify import SECRET, Shop, running_shop, serving

SUBSCRIBE = """
mutation($topic: WebhookSubscriptionTopic!, $wanted: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $wanted) {
    webhookSubscription { id topic uri callbackUrl format filter includeFields apiVersion { handle } }
    userErrors { field message }
  }
}
"""
INVALID_FILTER = (
    "The specified filter is invalid, please ensure you specify the field(s) you wish to filter on."
)
ADDRESS = ["webhookSubscription", "callbackUrl"]


@dataclass
class Inbox:
    """A receiver of webhooks that answers with `status`."""

    status: int = 200
    url: str = ""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    async def take(self, request: web.Request) -> web.Response:
        self.received.append(({**request.headers}, await request.read()))
        self.arrived.release()
        return web.Response(status=self.status)

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.arrived.acquire(timeout=60)

    @property
    def topics(self) -> list[str]:
        return [headers["X-Shopify-Topic"] for headers, _ in self.received]


@contextmanager
def receiving(**more: Any) -> Iterator[tuple[Shop, Inbox]]:
    behaviour = ShopifyBehaviour(search_lag_s=0, webhooks_https_only=False, **more)
    inbox = Inbox()
    app = web.Application()
    app.router.add_post("/hooks", inbox.take)
    with serving(app) as url, running_shop(behaviour=behaviour) as shop:
        inbox.url = f"{url}/hooks"
        yield shop, inbox


def subscribe(shop: Shop, topic: str, uri: str, **more: object) -> str:
    payload = shop.payload(SUBSCRIBE, topic=topic, wanted={"uri": uri, **more})
    assert payload["userErrors"] == []
    gid: str = payload["webhookSubscription"]["id"]
    return gid


def pay(shop: Shop, code: str = "webhook0001") -> tuple[str, str]:
    """A card's gid and the gid of an order that was paid with it."""
    card = shop.create("100", code=code)
    return card, shop.control("checkout", code=code, amount="30.50").json()["order_id"]


class TestSubscriptions:
    @pytest.mark.parametrize(
        ("wanted", "path", "message"),
        [
            ({}, ADDRESS, "Address can't be blank"),
            ({"uri": "  "}, ADDRESS, "Address can't be blank"),
            ({"uri": "http://example.com/a"}, ADDRESS, "Address protocol http:// is not supported"),
            (
                {"uri": "https://localhost/a"},
                ADDRESS,
                "Address cannot be a Shopify or an internal domain",
            ),
            (
                {"uri": "https://x.myshopify.com/a"},
                ADDRESS,
                "Address cannot be a Shopify or an internal domain",
            ),
            (
                {"uri": "https://example.com/a", "filter": "just text"},
                ["webhookSubscription"],
                INVALID_FILTER,
            ),
            (
                {"uri": "https://example.com/a", "name": "a b"},
                ["webhookSubscription", "name"],
                "Name name field can only contain alphanumeric characters, underscores, and hyphens",
            ),
        ],
    )
    def test_given_a_bad_subscription_then_the_recorded_error(
        self, wanted: dict[str, str], path: list[str], message: str
    ) -> None:
        with running_shop() as shop:
            payload = shop.payload(SUBSCRIBE, topic="ORDERS_PAID", wanted=wanted)
            assert payload == {
                "webhookSubscription": None,
                "userErrors": [{"field": path, "message": message}],
            }

    def test_given_a_subscription_then_it_can_be_read_changed_listed_and_deleted(self) -> None:
        with running_shop() as shop:
            uri = " https://example.com/hooks "
            created = shop.payload(SUBSCRIBE, topic="ORDERS_PAID", wanted={"uri": uri, "format": "JSON"})
            subscription = created["webhookSubscription"]
            gid = subscription.pop("id")
            assert subscription == {
                "topic": "ORDERS_PAID",
                "uri": "https://example.com/hooks",
                "callbackUrl": "https://example.com/hooks",
                "format": "JSON",
                "filter": None,
                "includeFields": [],
                "apiVersion": {"handle": "2026-10"},
            }
            again = shop.payload(SUBSCRIBE, topic="ORDERS_PAID", wanted={"uri": uri})
            assert again["userErrors"][0]["message"] == "Address for this topic has already been taken"
            update = """
            mutation($id: ID!) { webhookSubscriptionUpdate(
              id: $id, webhookSubscription: {uri: "https://example.com/b"}
            ) { webhookSubscription { uri } userErrors { field message } } }
            """
            assert shop.payload(update, id=gid)["webhookSubscription"] == {"uri": "https://example.com/b"}
            listed = """
            { webhookSubscriptions(first: 5, topics: [ORDERS_PAID]) { nodes { id } }
              none: webhookSubscriptions(first: 5, topics: [ORDERS_CREATE]) { nodes { id } }
              webhookSubscriptionsCount { count } }
            """
            assert shop.data(listed) == {
                "webhookSubscriptions": {"nodes": [{"id": gid}]},
                "none": {"nodes": []},
                "webhookSubscriptionsCount": {"count": 1},
            }
            delete = """
            mutation($id: ID!) { webhookSubscriptionDelete(id: $id) {
              deletedWebhookSubscriptionId userErrors { field message }
            } }
            """
            assert shop.payload(delete, id=gid)["deletedWebhookSubscriptionId"] == gid
            gone = [{"field": ["id"], "message": "Webhook subscription does not exist"}]
            assert shop.payload(delete, id=gid)["userErrors"] == gone
            assert shop.payload(update, id=gid)["userErrors"] == gone

    def test_given_a_gift_card_topic_then_there_is_none(self) -> None:
        with running_shop() as shop:
            answer = shop.run(SUBSCRIBE, topic="GIFT_CARDS_UPDATE", wanted={"uri": "https://example.com"})
            assert answer["errors"][0]["extensions"]["code"] == "INVALID_VARIABLE"


class TestDeliveries:
    def test_given_a_card_payment_then_the_transaction_is_delivered_signed_and_names_the_card(self) -> None:
        with receiving() as (shop, inbox):
            subscribe(shop, "ORDER_TRANSACTIONS_CREATE", inbox.url)
            card, order = pay(shop)
            inbox.wait(1)
            headers, body = inbox.received[0]
            digest = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
            assert headers["X-Shopify-Hmac-Sha256"] == base64.b64encode(digest).decode()
            assert headers["X-Shopify-Topic"] == "order_transactions/create"
            assert headers["X-Shopify-Shop-Domain"] == "giftsync-sandbox.myshopify.com"
            assert headers["X-Shopify-API-Version"] == "2026-10"
            assert headers["X-Shopify-Triggered-At"] == "2026-07-15T10:00:00Z"
            assert headers["X-Shopify-Webhook-Id"] != headers["X-Shopify-Event-Id"]
            payload = json.loads(body)
            assert (payload["kind"], payload["gateway"], payload["status"]) == (
                "sale",
                "gift_card",
                "success",
            )
            assert payload["amount"] == "30.50"
            assert payload["order_id"] == int(order.rsplit("/", 1)[1])
            assert payload["receipt"] == {
                "gift_card_id": int(card.rsplit("/", 1)[1]),
                "gift_card_last_characters": "0001",
            }

    def test_given_a_purchase_and_a_refund_then_their_topics(self) -> None:
        with receiving() as (shop, inbox):
            for topic in ("ORDERS_CREATE", "ORDERS_PAID", "REFUNDS_CREATE", "TENDER_TRANSACTIONS_CREATE"):
                subscribe(shop, topic, inbox.url)
            bought = shop.control("purchase", amount=50, name="Ola Moe", email="ola@example.com").json()
            inbox.wait(3)
            paid = json.loads(inbox.received[inbox.topics.index("orders/paid")][1])
            assert paid["admin_graphql_api_id"] == bought["order_id"]
            assert paid["shipping_address"]["name"] == "Ola Moe"
            assert [line["gift_card"] for line in paid["line_items"]] == [True]
            assert "transactions" not in paid
            _, order = pay(shop)
            inbox.wait(3)
            shop.control("refund", order_id=order, amount=1)
            inbox.wait(2)
            refund = json.loads(inbox.received[inbox.topics.index("refunds/create")][1])
            assert [one["kind"] for one in refund["transactions"]] == ["refund"]

    def test_given_filter_and_fields_then_only_matching_events_with_these_fields(self) -> None:
        with receiving() as (shop, inbox):
            subscribe(
                shop,
                "ORDER_TRANSACTIONS_CREATE",
                inbox.url,
                filter="gateway:gift_card AND amount:>=10",
                includeFields=["id", "gateway"],
            )
            shop.control("purchase", amount=50, name="Ola Moe", email="ola@example.com")
            pay(shop)
            inbox.wait(1)
            assert [json.loads(body).keys() for _, body in inbox.received] == [{"id", "gateway"}]

    def test_given_a_failing_receiver_then_retries_with_the_same_id_until_it_works(self) -> None:
        with receiving(webhook_retry_delays_s=(10.0, 60.0)) as (shop, inbox):
            subscribe(shop, "ORDER_TRANSACTIONS_CREATE", inbox.url)
            inbox.status = 503
            pay(shop)
            inbox.wait(1)
            counts = shop.control("deliver").json()
            assert (counts["waiting"], counts["failed_attempts"]) == (1, 1)
            inbox.status = 200
            shop.clocks.advance(10)
            assert shop.control("deliver").json()["delivered"] == 1
            ids = {headers["X-Shopify-Webhook-Id"] for headers, _ in inbox.received}
            assert (len(inbox.received), len(ids)) == (2, 1)

    def test_given_a_receiver_that_always_fails_then_the_subscription_is_removed(self) -> None:
        with receiving(webhook_retry_delays_s=(10.0, 60.0)) as (shop, inbox):
            gid = subscribe(shop, "ORDER_TRANSACTIONS_CREATE", inbox.url)
            inbox.status = 302
            pay(shop)
            inbox.wait(1)
            for seconds in (10, 60):
                shop.control("deliver")
                shop.clocks.advance(seconds)
            assert shop.control("deliver").json()["given_up"] == 1
            query = "query($id: ID!) { webhookSubscription(id: $id) { id } }"
            assert shop.data(query, id=gid) == {"webhookSubscription": None}

    def test_given_duplicates_then_both_have_the_same_webhook_id(self) -> None:
        with receiving(webhook_duplicate_share=1.0) as (shop, inbox):
            subscribe(shop, "ORDER_TRANSACTIONS_CREATE", inbox.url)
            pay(shop)
            inbox.wait(2)
            assert len({headers["X-Shopify-Webhook-Id"] for headers, _ in inbox.received}) == 1

    def test_given_loss_then_nothing_arrives(self) -> None:
        with receiving(webhook_loss_share=1.0) as (shop, inbox):
            subscribe(shop, "ORDER_TRANSACTIONS_CREATE", inbox.url)
            pay(shop)
            assert shop.control("deliver").json()["lost"] == 1
            assert inbox.received == []

    def test_given_an_address_elsewhere_then_nothing_is_sent_to_it(self) -> None:
        with running_shop() as shop:
            subscribe(shop, "ORDER_TRANSACTIONS_CREATE", "https://example.com/hooks")
            pay(shop)
            for _ in range(100):
                counts = shop.control("deliver").json()
                if counts["skipped"]:
                    break
            assert (counts["skipped"], counts["delivered"], counts["waiting"]) == (1, 0, 0)

    def test_given_a_bulk_operation_then_its_end_is_delivered(self) -> None:
        with receiving() as (shop, inbox):
            subscribe(shop, "BULK_OPERATIONS_FINISH", inbox.url)
            shop.create("1")
            run = """
            mutation { bulkOperationRunQuery(query: "{ giftCards { edges { node { id } } } }") {
              bulkOperation { id }
            } }
            """
            operation = shop.payload(run)["bulkOperation"]["id"]
            inbox.wait(1)
            payload = json.loads(inbox.received[0][1])
            assert payload["admin_graphql_api_id"] == operation
            assert (payload["status"], payload["type"], payload["error_code"]) == ("completed", "query", None)
