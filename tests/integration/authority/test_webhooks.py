"""Receivers of events: each is told once of each, signed, again until it takes it, and again on request."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest
from sqlalchemy import insert, select

from connectors.api.errors import NotSent
from mappings.lifecycle import CardStatus
from sync.authority.cards import Cards
from sync.authority.webhooks import AGAIN_SECONDS, CLAIM_SECONDS, Teller, new_webhook
from sync.ledger.database import tables
from sync.ledger.hub.events import KEPT, OVERLAP, Events, Webhook
from sync.ledger.hub.guesses import Guesses
from tests.integration.authority.till import Till
from tests.integration.shop import SERIAL, SHOPIFY, Shop


@dataclass
class Receiver:
    """Takes what is posted, or answers otherwise."""

    status: int | None = 200
    #: Addresses where nobody answers.
    down: set[str] = field(default_factory=set)
    got: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.got.append((url, body, headers))
        if self.status is None or url in self.down:
            raise NotSent("no connection could be made")
        return self.status

    @property
    def kinds(self) -> list[str]:
        return [json.loads(body)["type"] for _, body, _ in self.got]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def events(shop: Shop) -> Events:
    return Events(shop.engine, shop.vault)


@pytest.fixture
def teller(shop: Shop, events: Events, receiver: Receiver) -> Teller:
    return Teller(events, shop.clock, receiver)


@pytest.fixture
def add(shop: Shop, events: Events) -> Callable[..., Webhook]:
    def add(*kinds: str, url: str = "https://example.com/hook?key=abc") -> Webhook:
        shop.clock.advance(1)
        webhook = new_webhook(url, kinds, shop.clock())
        events.add(webhook)
        return webhook

    return add


def test_given_a_payment_then_its_receiver_is_told_once_and_can_prove_it(
    shop: Shop, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    webhook = add("redemption.made")
    teller.step()
    shop.clock.advance(1)

    paid = Till(shop).pay(card_id, 3_000)
    for _ in range(3):
        teller.step()

    ((url, body, headers),) = receiver.got
    told = json.loads(body)
    assert (url, told["type"]) == (webhook.url, "redemption.made")
    assert told["data"]["redemption"] == paid.id
    assert (told["data"]["amount"], told["data"]["currency"], told["data"]["last_four"]) == (
        "30.00",
        "NOK",
        "••••4000",
    )
    assert SERIAL not in body.decode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(webhook.secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"


def test_given_changes_and_an_overdraft_then_everything_is_told_in_its_kind(
    shop: Shop, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    add()
    teller.step()
    shop.clock.advance(1)

    shop.move(SHOPIFY, -8_000)
    shop.move("flow", -8_000)
    shop.work_until_quiet(card_id)
    teller.step()

    assert sorted(receiver.kinds) == ["card.changed"] * 3 + ["conflict.opened"]


def test_given_a_status_or_a_date_that_changes_then_it_is_told_with_what_it_was_before(
    shop: Shop, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    webhook = add("card.changed")
    teller.step()
    shop.clock.advance(1)
    till = Till(shop)
    cards = Cards(till.hands, shop.pool, Guesses(shop.engine))
    day = shop.clock().date() + timedelta(days=300)

    cards.change(card_id, till.caller("a"), status=CardStatus.SUSPENDED, expires_on=None, sets_expiry=False)
    shop.work_until_quiet(card_id)
    cards.change(card_id, till.caller("b"), status=CardStatus.ACTIVE, expires_on=None, sets_expiry=False)
    shop.work_until_quiet(card_id)
    cards.change(card_id, till.caller("c"), status=None, expires_on=day, sets_expiry=True)
    shop.work_until_quiet(card_id)
    for _ in range(2):
        teller.step()

    told = [json.loads(body)["data"] for _, body, _ in receiver.got]
    assert [(one["change"], one["status_before"], one["status"], one["expires_on"]) for one in told] == [
        ("status", "active", "suspended", None),
        ("status", "suspended", "active", None),
        ("expiry", "active", "active", day.isoformat()),
    ]
    assert {(one["balance"], one["last_four"]) for one in told} == {("100.00", "••••4000")}
    assert Events(shop.engine, shop.vault).replay(webhook.id, webhook.created_at, shop.clock()) == 3


def test_given_what_happened_before_it_was_added_then_a_receiver_is_not_told(
    shop: Shop, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    teller.step()
    shop.in_step(10_000)
    shop.clock.advance(1)
    add()

    teller.step()

    assert receiver.got == []


def test_given_a_receiver_that_is_down_then_it_is_told_later_and_in_the_end_given_up(
    shop: Shop, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    add("redemption.made")
    teller.step()
    shop.clock.advance(1)
    Till(shop).pay(card_id, 3_000)
    receiver.status = None

    teller.step()
    teller.step()
    assert len(receiver.got) == 1, "not before its time"
    for seconds in AGAIN_SECONDS:
        shop.clock.advance(seconds)
        teller.step()
    shop.clock.advance(AGAIN_SECONDS[-1])
    teller.step()

    assert len(receiver.got) == 1 + len(AGAIN_SECONDS)
    assert len({headers["webhook-id"] for _, _, headers in receiver.got}) == 1


def test_given_events_that_were_told_then_they_are_told_again_under_their_ids(
    shop: Shop, events: Events, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    webhook = add("redemption.made")
    teller.step()
    shop.clock.advance(1)
    Till(shop).pay(card_id, 3_000)
    teller.step()

    assert events.replay(webhook.id, shop.clock() - timedelta(hours=1), shop.clock()) == 1
    teller.step()

    first, second = receiver.got
    assert first[2]["webhook-id"] == second[2]["webhook-id"]
    shop.clock.advance(KEPT.total_seconds() + 1)
    events.forget_old(shop.clock())
    assert events.replay(webhook.id, shop.clock() - timedelta(days=60), shop.clock()) == 0


def test_given_an_old_change_of_a_cards_last_day_then_it_is_kept_for_the_books(
    shop: Shop, events: Events
) -> None:
    card_id, change = shop.in_step(10_000), tables.card_changes
    values = {"card_id": card_id, "status_before": "active", "balance_minor": 10_000, "at": shop.clock()}
    with shop.engine.begin() as connection:
        for status, day in (("suspended", None), ("active", date(2026, 12, 24))):
            connection.execute(insert(change).values(**values, status=status, expires_on=day))
    shop.clock.advance(KEPT.total_seconds() + 1)

    events.forget_old(shop.clock())

    with shop.engine.connect() as connection:
        assert connection.execute(select(change.c.expires_on)).scalars().all() == [date(2026, 12, 24)]


def test_given_a_receiver_that_wants_no_more_then_it_is_left_alone(
    shop: Shop, events: Events, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    add()
    teller.step()
    shop.clock.advance(1)
    Till(shop).pay(card_id, 3_000)
    receiver.status = 410

    teller.step()
    teller.step()

    assert len(receiver.got) <= 2
    assert [w.ended_at for w in events.webhooks()] == [shop.clock()]
    assert "example.com" not in str(shop.rows("api_webhooks"))


def test_given_a_receiver_that_does_not_answer_then_it_is_asked_once_a_round_and_the_others_are_told(
    shop: Shop, events: Events, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    down, up = add("redemption.made", url="https://down.example"), add("redemption.made")
    shop.clock.advance(1)
    till = Till(shop)
    for number in range(5):
        till.pay(card_id, 1_000, key=f"{number}")
    receiver.down = {down.url}

    came = teller.step()

    assert [url for url, _, _ in receiver.got].count(down.url) == 1
    assert [url for url, _, _ in receiver.got].count(up.url) == 5
    assert (came.taken, came.met_unreachable) == (5, True)
    receiver.down = set()
    shop.clock.advance(AGAIN_SECONDS[0])
    assert teller.step().taken == 5


def test_given_an_event_that_another_process_tells_then_it_is_not_told_twice(
    shop: Shop, events: Events, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    add("redemption.made")
    shop.clock.advance(1)
    Till(shop).pay(card_id, 3_000)
    receiver.status = 500
    teller.step()
    shop.clock.advance(AGAIN_SECONDS[0])
    (mine,) = events.due(shop.clock())
    receiver.status = 200
    receiver.got.clear()

    assert events.claim(mine, shop.clock() + timedelta(seconds=CLAIM_SECONDS))
    assert not events.claim(mine, shop.clock() + timedelta(seconds=CLAIM_SECONDS))
    teller.step()
    assert receiver.got == []

    # The other one died before it had told.
    shop.clock.advance(CLAIM_SECONDS)
    teller.step()
    assert len(receiver.got) == 1


def test_given_a_round_that_is_stopped_then_the_rest_is_told_later(
    shop: Shop, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    add("redemption.made")
    shop.clock.advance(1)
    till = Till(shop)
    for number in range(3):
        till.pay(card_id, 1_000, key=f"{number}")
    stop = threading.Event()
    stop.set()

    assert teller.step(stop).is_cut
    assert receiver.got == []
    assert teller.step().taken == 3


def test_given_much_that_happens_before_anybody_looks_then_a_new_receiver_is_told_all_of_it(
    shop: Shop, events: Events, teller: Teller, receiver: Receiver, add: Callable[..., Webhook]
) -> None:
    card_id = shop.in_step(10_000)
    add("redemption.made")
    shop.clock.advance(1)
    Till(shop).pay(card_id, 3_000)
    shop.clock.advance(2 * OVERLAP.total_seconds())

    teller.step()

    assert receiver.kinds == ["redemption.made"]


def test_given_an_address_that_others_can_listen_to_then_it_is_refused(shop: Shop) -> None:
    with pytest.raises(ValueError, match="https"):
        new_webhook("http://example.com/hook", (), shop.clock())
