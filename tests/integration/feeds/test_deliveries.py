"""Webhooks, from the delivery to the card: stored before they are answered, heard once, lost never."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC

import pytest
import requests
from sqlalchemy.exc import OperationalError

from connectors.api.card import CardRef
from connectors.api.errors import InDoubt, NotSent, SideClosed, SideError
from connectors.api.feed import Hint
from connectors.api.webhooks import Delivery, DeliveryAnswer, InvalidSignature, Subscribed
from console.receiver import create_receiver
from console.server import serve
from sync.feeds import subscriptions
from sync.feeds.deliveries import ProcessedDeliveries
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.incoming.deliveries import Inbox, StoreResult
from sync.worker.passes import PassReport
from tests.integration.shop import FLOW, SHOPIFY, Shop

PAYMENT = "order_transactions/create"
URL = "https://giftsync.example.com/webhooks/shopify"


@dataclass
class Ear:
    """A side that hears as the test says; a delivery's body is its key, topic and subject."""

    name: str = SHOPIFY
    answers: dict[str, DeliveryAnswer | SideError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    #: Met by every question.
    error: SideError | None = None

    def read_delivery(self, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        if headers.get("signed") != "yes":
            raise InvalidSignature("the signature is wrong")
        key, topic, subject = json.loads(body)
        card = CardRef(subject) if topic == PAYMENT else None
        return Delivery(key, topic, subject, card=card) if topic else None

    def resolve(self, deliveries: Sequence[Delivery]) -> Sequence[DeliveryAnswer | SideError]:
        subjects = [one.subject or one.topic for one in deliveries]
        self.asked += subjects
        if self.error is not None:
            raise self.error
        return [self.answers.get(subject, DeliveryAnswer()) for subject in subjects]


@pytest.fixture
def ear(shop: Shop) -> Ear:
    ear = Ear()
    shop.worker.listeners = {SHOPIFY: ear}
    return ear


@pytest.fixture
def box(shop: Shop) -> Inbox:
    return Inbox(shop.intake)


def process(shop: Shop, report: PassReport | None = None) -> ProcessedDeliveries:
    return shop.worker.process_deliveries(report or PassReport(), SHOPIFY)


def raising(error: SideError) -> Callable[..., object]:
    def ask(*_: object, **__: object) -> object:
        raise error

    return ask


def come(shop: Shop, box: Inbox, *deliveries: tuple[str, str, str]) -> None:
    for one in deliveries:
        box.store(SHOPIFY, [Delivery(*one)], shop.clock())


# --- The receiver -------------------------------------------------------------------------------------------


@pytest.fixture
def rung() -> list[StoreResult]:
    return []


@pytest.fixture
def console(shop: Shop, ear: Ear, box: Inbox, rung: list[StoreResult]) -> Iterator[str]:
    app = create_receiver(shop.worker.listeners, box, shop.clock, lambda side, kept: rung.append(kept))
    with serve(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


def post(console: str, *delivery: str, signed: str = "yes", side: str = SHOPIFY) -> int:
    headers, body = {"Signed": signed}, json.dumps(delivery)
    return requests.post(f"{console}/webhooks/{side}", data=body, headers=headers, timeout=10).status_code


def test_given_a_delivery_then_it_is_stored_before_it_is_answered_and_rung_for_once(
    console: str, box: Inbox, shop: Shop, rung: list[StoreResult]
) -> None:
    assert post(console, "1", "orders/paid", "order 7") == 202
    assert [one.delivery.subject for one in box.due(SHOPIFY, shop.clock(), 10)] == ["order 7"]
    assert post(console, "1", "orders/paid", "order 7") == 202  # A retry of the same one.
    assert (len(box.due(SHOPIFY, shop.clock(), 10)), rung) == (1, [StoreResult(to_process=True)])


def test_given_what_is_not_proved_or_means_nothing_then_nothing_is_stored(
    console: str, box: Inbox, shop: Shop
) -> None:
    assert post(console, "1", "orders/paid", "order 7", signed="no") == 401
    assert post(console, "1", "", "order 7") == 202
    assert post(console, "1", "orders/paid", "order 7", side="elsewhere") == 404
    assert box.due(SHOPIFY, shop.clock(), 10) == []


def test_given_what_is_no_delivery_then_it_is_answered_by_the_application_behind(console: str) -> None:
    looked = requests.get(f"{console}/webhooks/{SHOPIFY}", timeout=10)
    assert (looked.status_code, looked.headers["Allow"]) == (405, "POST")
    assert post(console, "1", "orders/paid", "order 7", side=f"{SHOPIFY}/more") == 404
    assert requests.get(f"{console}/health", timeout=10).json() == {"status": "up"}


def test_given_a_ledger_that_cannot_store_then_the_side_is_told_to_come_again(
    console: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> StoreResult:
        raise OperationalError("", {}, Exception())

    monkeypatch.setattr(Inbox, "store", fail)
    assert post(console, "1", "orders/paid", "order 7") == 503


# --- Hearing ------------------------------------------------------------------------------------------------


def test_given_a_delivery_that_names_a_card_then_it_is_due_when_the_delivery_is_stored_and_nobody_is_asked(
    shop: Shop, ear: Ear, console: str, rung: list[StoreResult]
) -> None:
    card_id = shop.in_step()
    native = shop.native(SHOPIFY)
    shop.sides[SHOPIFY].cards[native].balance_minor -= 3_000

    assert post(console, "1", PAYMENT, native) == 202

    row = shop.row("cards", id=card_id)
    assert (row["due_at"], row["due_for"], rung) == (shop.clock(), SHOPIFY, [StoreResult(due=True)])
    assert (process(shop).processed, ear.asked) == (0, [])
    shop.work_until_quiet(card_id)
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert post(console, "1", PAYMENT, native) == 202  # A retry of the same one.
    assert (shop.row("cards", id=card_id)["due_at"], len(rung)) == (None, 1)


def test_given_a_delivery_that_names_a_card_which_the_hub_does_not_know_then_it_arrives(
    shop: Shop, console: str, rung: list[StoreResult]
) -> None:
    assert post(console, "1", PAYMENT, "shopify-9") == 202

    assert (shop.row("arrivals")["native_id"], rung) == ("shopify-9", [StoreResult(arrived=True)])


def test_given_an_order_then_the_card_that_it_was_paid_with_is_due_for_that_side(
    shop: Shop, ear: Ear, box: Inbox
) -> None:
    card_id = shop.in_step()
    native = shop.native(SHOPIFY)
    shop.sides[SHOPIFY].cards[native].balance_minor -= 3_000
    ear.answers = {"order 7": DeliveryAnswer([Hint(CardRef(native), "orders")])}
    come(shop, box, ("1", "orders/paid", "order 7"))

    told = process(shop)

    assert (told.processed, told.hints) == (1, 1)
    row = shop.row("cards", id=card_id)
    assert (row["due_at"], row["due_for"]) == (shop.clock(), SHOPIFY)
    shop.work_until_quiet(card_id)
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert process(shop).processed == 0


def test_given_several_topics_about_one_order_then_it_is_asked_about_once(
    shop: Shop, ear: Ear, box: Inbox
) -> None:
    come(shop, box, *((str(n), topic, "order 7") for n, topic in enumerate(("orders/paid", "orders/create"))))
    come(shop, box, ("9", "orders/paid", "order 8"))

    assert process(shop).processed == 3
    assert sorted(ear.asked) == ["order 7", "order 8"]


def test_given_a_delivery_that_may_wait_then_it_is_heard_when_its_time_has_come(
    shop: Shop, ear: Ear, box: Inbox
) -> None:
    box.store(SHOPIFY, [Delivery("1", "orders/paid", "order 7", wait_seconds=2)], shop.clock())
    assert process(shop).processed == 0

    shop.clock.advance(2)
    assert process(shop).processed == 1


def test_given_a_side_out_of_reach_then_its_deliveries_wait_longer_each_time_and_others_are_heard(
    shop: Shop, ear: Ear, box: Inbox
) -> None:
    ear.answers = {"order 7": InDoubt("no answer")}
    come(shop, box, ("1", "orders/paid", "order 7"), ("2", "orders/paid", "order 8"))
    report = PassReport()

    assert process(shop, report).processed == 1
    assert report.errors == ["shopify: no answer."]
    assert process(shop).processed == 0
    waits = []
    for _ in range(3):
        due_at = shop.row("deliveries", key="1")["due_at"]
        waits.append((due_at - shop.clock()).total_seconds())
        shop.clock.advance(waits[-1])
        process(shop)
    assert waits == [2, 4, 8]

    ear.answers = {}
    shop.clock.advance(16)
    assert process(shop).processed == 1


def test_given_no_answer_at_all_then_every_delivery_waits(shop: Shop, ear: Ear, box: Inbox) -> None:
    ear.error = InDoubt("no answer")
    come(shop, box, ("1", "orders/paid", "order 7"), ("2", "orders/paid", "order 8"))
    report = PassReport()

    assert (process(shop, report).processed, report.errors) == (0, ["shopify: no answer."])

    ear.error = None
    shop.clock.advance(2)
    assert process(shop).processed == 2


def test_given_a_look_at_the_cards_that_fails_then_the_delivery_waits_and_the_card_is_due_later(
    shop: Shop, ear: Ear, box: Inbox
) -> None:
    card_id = shop.in_step()
    native = shop.native(SHOPIFY)
    shop.sides[SHOPIFY].cards[native].balance_minor -= 3_000
    ear.answers = {"order 7": DeliveryAnswer([Hint(CardRef(native), "orders")])}
    come(shop, box, ("1", "orders/paid", "order 7"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.sides[SHOPIFY], "observe", raising(NotSent("no connection")))
        assert process(shop).processed == 0
    assert shop.row("cards", id=card_id)["due_at"] is None

    shop.clock.advance(2)
    assert process(shop).processed == 1
    assert shop.row("cards", id=card_id)["due_at"] == shop.clock()


def test_given_what_it_tells_beside_cards_then_that_is_passed_on(shop: Shop, ear: Ear, box: Inbox) -> None:
    ear.answers = {
        "order 7": DeliveryAnswer(feeds=["new_cards"]),
        "bulk_operations/finish": DeliveryAnswer(list_ready=True),
    }
    come(shop, box, ("1", "orders/paid", "order 7"), ("2", "bulk_operations/finish", ""))

    told = process(shop)

    assert list(told.feeds) == [(SHOPIFY, "new_cards")]
    assert told.lists == {SHOPIFY}


def test_given_an_app_that_was_uninstalled_then_the_link_stops_and_says_how_to_go_on(
    shop: Shop, ear: Ear, box: Inbox
) -> None:
    told: list[str] = []
    object.__setattr__(shop.link, "on_closed", lambda side, error: told.append(side))
    ear.answers = {"app/uninstalled": DeliveryAnswer(closed=SideClosed("uninstalled", "Install it again."))}
    come(shop, box, ("1", "app/uninstalled", ""), ("2", "app/uninstalled", ""))

    process(shop)

    assert told == [SHOPIFY]
    assert stopped_by(shop.engine) == ["shopify has shut giftsync out: uninstalled. The link has stopped."]
    assert shop.row("conflicts")["proposal"] == "Install it again."
    shop.sell(FLOW, 10_000)
    shop.sync()
    assert shop.rows("intents") == []


# --- Subscriptions ------------------------------------------------------------------------------------------


@dataclass
class Shopkeeper:
    """A side that takes subscriptions."""

    name: str = SHOPIFY
    answer: Subscribed = field(default_factory=Subscribed)
    asked: list[str | None] = field(default_factory=list)

    def subscribe(self, url: str | None) -> Subscribed:
        self.asked.append(url)
        return self.answer


def keep(shop: Shop, side: Shopkeeper, url: str | None, made: Sequence[str] = ()) -> str | None:
    side.answer = Subscribed(["A", "B"], made)
    shop.worker.subscribers = [(side, url)]
    shop.worker.keep_subscribed(PassReport())
    return subscriptions.words(shop.engine, SHOPIFY, UTC)


def test_given_a_public_address_then_webhooks_are_on_and_without_one_they_are_ended_once(shop: Shop) -> None:
    side = Shopkeeper()
    assert keep(shop, side, None) is None
    assert side.asked == []  # Nothing was ever subscribed, so nothing is asked.

    assert keep(shop, side, URL, ["A", "B"]) == f"2 topics to {URL}, none has come yet"
    assert keep(shop, side, None) is None
    assert keep(shop, side, None) is None
    assert side.asked == [URL, None]


def test_given_topics_that_the_side_dropped_then_it_is_said_and_the_first_time_it_is_not(
    shop: Shop, box: Inbox
) -> None:
    side = Shopkeeper()
    assert "dropped" not in (keep(shop, side, URL, ["A", "B"]) or "")

    come(shop, box, ("1", "A", "order 7"))
    assert keep(shop, side, URL, ["B"]) == (
        f"2 topics to {URL}, the last came 2026-11-23 12:00:00 UTC; "
        "shopify had dropped B: does it reach that address?"
    )
    assert "dropped" not in (keep(shop, side, "https://new.example.com/webhooks/shopify", ["A"]) or "")


def test_given_a_topic_that_is_refused_then_its_reason_is_told(shop: Shop) -> None:
    side = Shopkeeper(answer=Subscribed(["A"], ["A"], dict.fromkeys("BC", "it is internal") | {"D": "no"}))
    shop.worker.subscribers = [(side, URL)]

    shop.worker.keep_subscribed(PassReport())

    told = subscriptions.words(shop.engine, SHOPIFY, UTC)
    assert told == f"1 topic to {URL}, none has come yet; B, C FAIL: it is internal; D FAILS: no"
