"""Shopify's webhooks from subscription to delivery, over real loopback connections to the emulated shop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from connectors.api.card import CardRef
from connectors.api.errors import SideError
from connectors.api.webhooks import Delivery, DeliveryAnswer, Listener, Subscriber
from connectors.shopify import ShopifySide
from connectors.shopify.subscriptions import read_subscriptions
from connectors.shopify.topics import WANTED
from sandbox.shopify import ShopifyBehaviour

from .loopback import Inbox
from .test_shopify import SECRET, SHOP, TOKEN, ShopifyWorld, opened_shop

NAMES = [topic.name for topic in WANTED]


def cards_of(heard: DeliveryAnswer | SideError) -> list[CardRef]:
    assert isinstance(heard, DeliveryAnswer)
    return [hint.card for hint in heard.hints]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox("/webhooks/shopify").served() as inbox:
        yield inbox


@pytest.fixture
def world() -> Iterator[ShopifyWorld]:
    with opened_shop(behaviour=ShopifyBehaviour(webhooks_https_only=False)) as world:
        yield world


@pytest.fixture
def side(world: ShopifyWorld) -> Iterator[ShopifySide]:
    side = world.side(webhook_secrets=(SECRET,))
    yield side
    side.close()


def subscribed(side: ShopifySide) -> set[tuple[str, str]]:
    return {(one.topic, one.uri) for one in read_subscriptions(side._client)}


def by_hand(world: ShopifyWorld, document: str, version: str = "2026-10") -> Any:
    """The merchant's other code, or the merchant, changes the subscriptions."""
    response = requests.post(
        f"{world.loopback.url}/admin/api/{version}/graphql.json",
        json={"query": document},
        headers={"X-Shopify-Access-Token": TOKEN},
        timeout=10,
    )
    return response.json()["data"]


def test_given_an_address_then_each_topic_is_delivered_there_and_again_changes_nothing(
    side: ShopifySide, inbox: Inbox
) -> None:
    subscriber: Subscriber = side

    first, second = subscriber.subscribe(inbox.url), subscriber.subscribe(inbox.url)

    assert list(first.topics) == list(first.made) == NAMES
    assert (list(second.topics), second.made, second.failed) == (NAMES, [], {})
    assert subscribed(side) == {(name, inbox.url) for name in NAMES}


def test_given_another_address_then_all_move_there_and_without_one_they_end(
    side: ShopifySide, inbox: Inbox, world: ShopifyWorld
) -> None:
    by_hand(
        world,
        """mutation { webhookSubscriptionCreate(topic: ORDERS_PAID, webhookSubscription:
        {uri: "https://other.example.com/hooks"}) { userErrors { message } } }""",
    )
    side.subscribe("https://old.example.com/webhooks/shopify")

    assert side.subscribe(inbox.url).made == []
    theirs = ("ORDERS_PAID", "https://other.example.com/hooks")
    assert subscribed(side) == {(name, inbox.url) for name in NAMES} | {theirs}
    assert side.subscribe(None).topics == ()
    assert subscribed(side) == {theirs}


def test_given_a_subscription_that_was_removed_or_is_of_an_old_version_then_it_is_made_again(
    side: ShopifySide, inbox: Inbox, world: ShopifyWorld
) -> None:
    side.subscribe(inbox.url)
    by_topic = {one.topic: one.id for one in read_subscriptions(side._client)}
    for topic in ("ORDERS_PAID", "REFUNDS_CREATE"):
        unsubscribe = f'webhookSubscriptionDelete(id: "{by_topic[topic]}")'
        by_hand(world, f"mutation {{ {unsubscribe} {{ userErrors {{ message }} }} }}")
    made = by_hand(
        world,
        f"""mutation {{ webhookSubscriptionCreate(topic: ORDERS_PAID, webhookSubscription:
        {{uri: "{inbox.url}"}}) {{ userErrors {{ message }} }} }}""",
        version="2026-04",
    )
    assert made["webhookSubscriptionCreate"]["userErrors"] == []

    assert sorted(side.subscribe(inbox.url).made) == ["ORDERS_PAID", "REFUNDS_CREATE"]
    assert {one.version for one in read_subscriptions(side._client)} == {"2026-10"}


def test_given_an_address_that_shopify_refuses_then_each_topic_says_why() -> None:
    with opened_shop() as strict:
        side = strict.side()
        found = side.subscribe("http://127.0.0.1:1/webhooks/shopify")
        side.close()
    assert set(found.failed.values()) == {"Address protocol http:// is not supported"}
    assert (list(found.failed), found.topics) == (NAMES, [])


def test_given_a_checkout_then_its_delivery_names_the_card_and_no_buyer_and_costs_no_call(
    side: ShopifySide, inbox: Inbox, world: ShopifyWorld
) -> None:
    listener: Listener = side
    side.subscribe(inbox.url)
    card = world.sell(100_00)
    world.call("deliver", {})
    inbox.came.clear()

    world.spend(card, 40_00)
    world.call("deliver", {})

    assert b"Kari" not in b"".join(body for _, body in inbox.came)
    assert b"kari@example.com" not in b"".join(body for _, body in inbox.came)
    deliveries = [listener.read_delivery(*one) for one in inbox.came]
    (paid,) = [one for one in deliveries if one and one.topic == "order_transactions/create"]
    assert paid.card == card
    # Any other delivery about the order leads to the same card.
    others = {one.topic: one for one in deliveries if one and one is not paid}
    assert set(others) == {"orders/create", "orders/paid", "tender_transactions/create"}
    calls = side.usage().calls
    assert [cards_of(one) for one in listener.resolve(list(others.values()))] == [[card]] * 3
    assert side.usage().calls == calls + 1


def test_given_a_refund_then_its_delivery_leads_to_the_card(
    side: ShopifySide, inbox: Inbox, world: ShopifyWorld
) -> None:
    card = world.sell(100_00)
    order = world.call("checkout", {"code": world._codes[card.native_id or ""], "amount": "40"})
    side.subscribe(inbox.url)
    world.call("refund", {"order_id": order["order_id"], "amount": "15"})
    world.call("deliver", {})

    found = [side.read_delivery(*one) for one in inbox.came]

    refund = next(one for one in found if one and one.topic == "refunds/create")
    (heard,) = side.resolve([refund])
    assert cards_of(heard)[-1] == card


def test_given_the_end_of_access_then_it_is_believed_only_when_shopify_says_so_too(
    side: ShopifySide, world: ShopifyWorld
) -> None:
    event = Delivery("1", "app/uninstalled", "")
    assert side.resolve([event]) == [DeliveryAnswer()]  # It was installed again since.

    gone = ShopifySide(shop=SHOP, token="gone", base_url=world.loopback.url, pause=world.time.pause)
    (heard,) = gone.resolve([event])
    gone.close()
    assert isinstance(heard, DeliveryAnswer)
    assert heard.closed is not None
    assert "uninstalled" in str(heard.closed)
    assert "giftsync resume" in heard.closed.remedy
