"""The Flow connector keeps the contract, over a real loopback connection to the emulated tenant."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest
import requests

from connectors.api.card import Absent, CardRef, Seen, Unreadable
from connectors.api.effect import Effect, EffectKind, Found, NotFound
from connectors.api.errors import (
    InDoubt,
    Refusal,
    Refused,
    SideClosed,
    SideError,
    Throttled,
)
from connectors.api.side import Side
from connectors.flow import FlowSettings, FlowSide
from connectors.kit.contract import SideContract
from connectors.kit.world import Mishap, Saved, World, drain, marker, observe, seen
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor, minor_from_decimal
from mappings.serials import Serial
from sandbox.faults import Fault, FaultKind, FaultPlan, FaultRule
from sandbox.flow import FlowBehaviour, FlowEmulator
from sandbox.flow.behaviour import (
    PROFILE_RENAMED,
    CvcMode,
    DebitMoment,
    Edition,
    NullValidTo,
    RateLimit,
    UnknownCard,
)
from sandbox.flow.catalog import BRAND_GIFTCARD, Permission
from sandbox.flow.webhooks import SECURITY_BEARER, Transport
from tests.support import Time, without_addresses

from .loopback import FailOnce, Inbox, LateGate, Loopback, closed_port, serve, settle

TOKEN = "flow-contract-token"
WEBHOOK_TOKEN = "flow-contract-webhooks"
#: A status that no page of Flow names.
ODD_STATUS = "FROZEN_BY_ISSUER"
#: The request that moves the money, and the one that changes a card.
MONEY_STEP = "POST settlements"
CARD_CHANGE = "PUT giftcards"


@dataclass
class FlowWorld(World):
    """Cashiers in the emulated stores, and the back office."""

    emulator: FlowEmulator
    loopback: Loopback
    time: Time
    currency: str = "NOK"
    brand: str | None = "giftcard"
    #: A delivery carries a token, and nothing that depends on its body.
    signs_bodies: bool = False
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(5_000_000_000_000_001, 1_0007))
    cvcs: dict[Serial, str] = field(default_factory=dict)

    def settings(self, **changes: Any) -> FlowSettings:
        """What a merchant copies from Flow's back office, with every inferred behaviour vouched for."""
        office = self.call("backoffice", {})
        methods = office["stores"][0]["payment_methods"]
        known = {
            "tenant": "7",
            "store": office["stores"][0]["uid"],
            "token": TOKEN,
            "timezone": "Europe/Oslo",
            "currency": office["currency"],
            "base_url": f"{self.loopback.url}/v2",
            "debit_product_uid": office["online_redemption_product"],
            "gift_card_product_uids": {one["code"]: one["product"] for one in office["brands"]},
            "default_brand": "giftcard",
            "item_number_field": office["item_number_key"],
            "gift_card_payment_method_uid": next(uid for code, uid in methods.items() if "GIFTCARD" in code),
            "external_payment_method_uid": methods["EXTERNAL_SHOPIFY"],
            "api_settlement_debits": True,
            "api_issue_allowed": True,
            "caller_may_choose_number": True,
            "suspended_status": "INACTIVE",
            "cvc_for": self.cvcs.get,
            "webhook_token": WEBHOOK_TOKEN,
        }
        return FlowSettings(**{**known, **changes})

    def side(self, **changes: Any) -> FlowSide:
        return FlowSide(
            self.settings(**changes),
            clock=self.time.clock,
            pause=self.time.pause,
            monotonic=self.time.monotonic,
        )

    def call(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        response = requests.post(f"{self.loopback.url}/_sandbox/{name}", json=body, timeout=10)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def sell(self, amount_minor: int) -> CardRef:
        # A till is not asked twice in the same millisecond.
        self.time.pause(1)
        sold = self.call("sell", {"amount": self._decimal(amount_minor)})
        serial = Serial(sold["number"])
        self.cvcs[serial] = sold["cvc"]
        return CardRef(serial=serial)

    def spend(self, card: CardRef, amount_minor: int) -> None:
        self.time.pause(1)
        self.call("redeem", {"number": _number(card), "amount": self._decimal(amount_minor)})

    def load(self, card: CardRef, amount_minor: int) -> None:
        self.call("deposit", {"number": _number(card), "amount": self._decimal(amount_minor)})

    def balance(self, card: CardRef) -> int:
        return minor_from_decimal(str(self.truth(card)["balance"]), self.currency)

    def truth(self, card: CardRef) -> dict[str, Any]:
        (row,) = [row for row in self.cards() if row["number"] == _number(card)]
        return row

    def cards(self) -> list[dict[str, Any]]:
        """The ground truth."""
        rows: list[dict[str, Any]] = requests.get(f"{self.loopback.url}/_sandbox/cards", timeout=10).json()
        return rows

    def unknown_card(self) -> CardRef:
        return CardRef(serial=self.new_serial())

    def new_serial(self) -> Serial:
        return Serial(str(next(self.numbers)))

    def fail_next(self, kind: Mishap) -> None:
        self.fail(MONEY_STEP, FaultKind(kind))

    def fail_read(self, kind: Mishap) -> None:
        self.fail("GET", FaultKind(kind))

    def odd_status(self, card: CardRef) -> None:
        if not self.emulator.behaviour.unseen_status:
            pytest.skip("this Flow has the statuses of its documentation")
        self.call("status", {"number": _number(card), "status": ODD_STATUS})

    def delivery(self, card: CardRef) -> tuple[Mapping[str, str], bytes]:
        with Inbox("/webhooks/flow").served() as inbox:
            transport = Transport("ht-1", "giftsync", inbox.url, SECURITY_BEARER, WEBHOOK_TOKEN)
            self.emulator.world.webhooks.transports[transport.uid] = transport
            self.spend(card, 1)
            self.settle_late()
        return next(one for one in inbox.came if b"ORDER_SETTLED" in one[1])

    def fail(self, operation: str, kind: FaultKind, *, applied: bool = True) -> None:
        self.emulator.faults = FailOnce(match=operation, fault=Fault(kind, applied=applied, delay_ms=0))

    def settle_late(self) -> None:
        settle(self.loopback, self.emulator)

    def unreachable(self) -> Side:
        return self.side(base_url=f"http://127.0.0.1:{closed_port()}/v2")

    def _decimal(self, amount_minor: int) -> str:
        return decimal_from_minor(amount_minor, self.currency)


def _number(card: CardRef) -> str:
    assert card.serial is not None
    return card.serial.reveal()


BEHAVIOURS = {
    "default": FlowBehaviour(unseen_status=ODD_STATUS),
    "older edition": FlowBehaviour(edition=Edition.OLDER),
    "other names": FlowBehaviour(payment_profile=PROFILE_RENAMED, item_number_key="giftcardNumber"),
    "debit when settled": FlowBehaviour(debit_moment=DebitMoment.AT_ORDER_SETTLED),
    "unique order numbers": FlowBehaviour(external_order_number_unique=True),
    "pages from zero": FlowBehaviour(
        unseen_status=ODD_STATUS, first_page=0, receipts_newest_first=False, page_size_default=1
    ),
    "declines unlisted": FlowBehaviour(declined_settlements_are_listed=False, expiry_changes_status=True),
    "empty answers": FlowBehaviour(unknown_card=UnknownCard.EMPTY_ANSWER),
}
#: What each behaviour must be told in the settings.
SETTINGS: dict[str, dict[str, Any]] = {
    "older edition": {"status_by_active_flag": True, "suspended_status": None},
    "empty answers": {"empty_answer_means_absent": True},
}


@contextmanager
def world_of(behaviour: FlowBehaviour, **emulator: Any) -> Iterator[FlowWorld]:
    time = Time()
    flow = FlowEmulator(token=TOKEN, clock=time.clock, behaviour=behaviour, **emulator)
    flow.wait_late = LateGate()
    with serve(flow.application()) as loopback:
        yield FlowWorld(flow, loopback, time)


class TestFlow(SideContract):
    """What every side promises, of Flow, whichever way its documentation's gaps turn out."""

    @pytest.fixture(params=BEHAVIOURS)
    def variant(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def world(self, variant: str) -> Iterator[FlowWorld]:
        with world_of(BEHAVIOURS[variant]) as world:
            yield world

    @pytest.fixture
    def side(self, world: FlowWorld, variant: str) -> Iterator[Side]:
        side = world.side(**SETTINGS.get(variant, {}))
        yield side
        side.close()


class TestFlowByRefund(SideContract):
    """The same where credits are refunds and nothing may be issued."""

    @pytest.fixture(params=[False, True], ids=["positive", "negative"])
    def world(self, request: pytest.FixtureRequest) -> Iterator[FlowWorld]:
        negative = bool(request.param)
        behaviour = FlowBehaviour(issue_by_api=False, refund_amounts_negative=negative)
        with world_of(behaviour) as world:
            yield world

    @pytest.fixture
    def side(self, world: FlowWorld) -> Iterator[Side]:
        side = world.side(
            api_issue_allowed=False,
            refund_settlement_credits=True,
            refund_amounts_negative=world.emulator.behaviour.refund_amounts_negative,
        )
        yield side
        side.close()


@pytest.fixture
def world() -> Iterator[FlowWorld]:
    with world_of(FlowBehaviour()) as world:
        yield world


def debit(world: FlowWorld, card: CardRef, amount_minor: int) -> Effect:
    return Effect(marker(), EffectKind.DEBIT, card, world.currency, amount_minor)


def create(world: FlowWorld, amount_minor: int, **more: Any) -> Effect:
    card = CardRef(serial=world.new_serial())
    return Effect(marker(), EffectKind.CREATE, card, world.currency, amount_minor, brand="giftcard", **more)


# Being switched off.


def test_nothing_inferred_is_on_by_default(world: FlowWorld) -> None:
    side = world.side(
        api_settlement_debits=False,
        api_issue_allowed=False,
        caller_may_choose_number=False,
        suspended_status=None,
    )
    can = side.capabilities
    card = world.sell(100_00)

    assert (can.creates, can.debits, can.credits) == (False, False, False)
    assert can.sets_status == {CardStatus.ACTIVE, CardStatus.CLOSED}
    for kind in (EffectKind.CREATE, EffectKind.DEBIT, EffectKind.CREDIT):
        with pytest.raises(Refused) as caught:
            side.apply(Effect(marker(), kind, card, "NOK", 1_00), Saved())
        assert caught.value.reason is Refusal.MISSING_DETAIL
    assert world.balance(card) == 100_00
    side.close()


# A balance that does not follow the order.


@pytest.mark.parametrize("kind", [EffectKind.DEBIT, EffectKind.CREDIT])
def test_a_settled_order_that_moves_no_balance_is_never_believed(kind: EffectKind) -> None:
    with world_of(FlowBehaviour(debit_by_api=False, issue_by_api=False)) as world:
        side, card, saved = world.side(), world.sell(100_00), Saved()
        effect = Effect(marker(), kind, card, "NOK", 30_00)

        with pytest.raises(InDoubt):
            side.apply(effect, saved)

        result = side.find(replace(effect, progress=saved.progress))
        assert "balance did not move" in getattr(result, "reason", "")
        assert world.balance(card) == 100_00
        side.close()


def test_a_number_that_flow_does_not_take_is_refused_before_the_money_step() -> None:
    with world_of(FlowBehaviour(caller_may_choose_number=False)) as world:
        side, saved = world.side(), Saved()
        effect = create(world, 100_00)

        with pytest.raises(Refused):
            side.apply(effect, saved)

        assert side.find(replace(effect, progress=saved.progress)) == NotFound()
        assert effect.card.serial is not None
        assert isinstance(side.lookup(effect.card.serial), Absent)
        side.close()


# Creating.


def test_a_created_card_has_the_expiry_and_the_words_for_staff(world: FlowWorld) -> None:
    side = world.side()
    effect = create(world, 250_00, note="online ••••2b5a, Kari Nordmann", expires_on=date(2031, 5, 17))

    applied = side.apply(effect, Saved())

    observation = seen(side, effect.card)
    assert observation.expires_on == date(2031, 5, 17)
    assert observation.note == f"online ••••2b5a, Kari Nordmann {effect.marker}"
    assert observation.created_by == effect.marker
    assert (applied.native_id, applied.balance_minor) == (observation.native_id, 250_00)
    side.close()


def test_a_pregenerated_card_is_issued(world: FlowWorld) -> None:
    side = world.side()
    (made,) = world.call("pregenerate", {"count": 1})["cards"]
    card = CardRef(serial=Serial(made["number"]))
    assert seen(side, card).status is CardStatus.INACTIVE
    effect = replace(create(world, 75_00), card=card)

    side.apply(effect, Saved())

    assert seen(side, card).status is CardStatus.ACTIVE
    assert world.balance(card) == 75_00
    side.close()


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.DROP_REQUEST, FaultKind.THROTTLE])
def test_a_note_that_fails_once_is_written_all_the_same(world: FlowWorld, kind: FaultKind) -> None:
    side, effect = world.side(), create(world, 250_00, note="Kari")
    world.fail(CARD_CHANGE, kind, applied=False)

    side.apply(effect, Saved())

    assert seen(side, effect.card).created_by == effect.marker
    side.close()


def test_a_note_that_fails_for_good_does_not_take_the_money_back(world: FlowWorld) -> None:
    side, effect, saved = world.side(), create(world, 250_00, note="Kari"), Saved()
    world.emulator.faults = FaultPlan(1, [FaultRule(CARD_CHANGE, FaultKind.DROP_REQUEST, 1.0)])

    applied = side.apply(effect, saved)

    assert world.balance(effect.card) == 250_00
    assert side.find(replace(effect, progress=saved.progress)) == Found(
        1, applied.native_id, applied.reference
    )
    side.close()


def test_an_expiry_that_flow_refuses_leaves_the_note() -> None:
    with world_of(FlowBehaviour(null_valid_to=NullValidTo.REFUSED)) as world:
        side, effect = world.side(), create(world, 250_00, note="Kari")

        side.apply(effect, Saved())

        assert seen(side, effect.card).created_by == effect.marker
        side.close()


def test_a_null_expiry_that_flow_ignores_is_refused() -> None:
    with world_of(FlowBehaviour(null_valid_to=NullValidTo.IGNORED)) as world:
        side, card = world.side(), world.sell(100_00)

        with pytest.raises(Refused):
            side.apply(Effect(marker(), EffectKind.SET_EXPIRY, card, "NOK", expires_on=None), Saved())
        side.close()


# CVCs.


@pytest.mark.parametrize("mode", CvcMode)
def test_a_card_that_needs_a_cvc(mode: CvcMode) -> None:
    brand = replace(BRAND_GIFTCARD, cvc_required=True)
    behaviour = FlowBehaviour(cvc_mode=mode, payment_profile=PROFILE_RENAMED)
    with world_of(behaviour, brands=(brand,)) as world:
        side, card = world.side(), world.sell(100_00)
        blind = world.side(cvc_for=None)

        side.apply(debit(world, card, 30_00), Saved())
        assert seen(side, card).balance_minor == 70_00

        assert isinstance(observe(blind, card), Unreadable)
        # A card that cannot be read is never debited blindly.
        with pytest.raises(SideError):
            blind.apply(debit(world, card, 30_00), Saved())
        assert world.balance(card) == 70_00
        assert card.serial is not None
        assert world.cvcs[card.serial] not in without_addresses(repr(side) + repr(side.__dict__))
        side.close()
        blind.close()


# What a status means.


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("ACTIVE", CardStatus.ACTIVE),
        ("INACTIVE", CardStatus.SUSPENDED),
        ("BLOCKED", CardStatus.SUSPENDED),
        ("CLEARED", CardStatus.CLOSED),
        (ODD_STATUS, None),
    ],
)
def test_each_status_and_one_never_seen(status: str, expected: CardStatus | None) -> None:
    with world_of(FlowBehaviour(unseen_status=ODD_STATUS)) as world:
        side, card = world.side(), world.sell(100_00)
        world.call("status", {"number": _number(card), "status": status})

        observation = seen(side, card)

        assert (observation.status, observation.status_text) == (expected, status)
        if expected is not CardStatus.ACTIVE:
            with pytest.raises(Refused) as caught:
                side.apply(debit(world, card, 1_00), Saved())
            assert caught.value.reason is Refusal.NOT_ACTIVE
        side.close()


def test_a_closed_card_is_never_opened_again(world: FlowWorld) -> None:
    side, card, saved = world.side(), world.sell(100_00), Saved()
    close = Effect(marker(), EffectKind.SET_STATUS, card, "NOK", status=CardStatus.CLOSED)
    side.apply(close, saved)
    # Clearing leaves no movement behind, so what was on the card is kept.
    assert saved.progress == {"cleared_balance_x100": "10000"}

    with pytest.raises(Refused) as caught:
        side.apply(replace(close, marker=marker(), status=CardStatus.ACTIVE), Saved())

    assert caught.value.reason is Refusal.NOT_ACTIVE
    assert seen(side, card).status is CardStatus.CLOSED
    side.close()


@pytest.mark.parametrize("shows_expired", [False, True])
def test_an_expired_card_takes_no_money(shows_expired: bool) -> None:
    with world_of(FlowBehaviour(expiry_changes_status=shows_expired)) as world:
        side, card = world.side(), world.sell(100_00)
        world.call("expire", {"number": _number(card)})

        assert seen(side, card).status is CardStatus.ACTIVE
        for kind in (EffectKind.DEBIT, EffectKind.CREDIT):
            with pytest.raises(Refused) as caught:
                side.apply(Effect(marker(), kind, card, "NOK", 1_00), Saved())
            assert caught.value.reason is Refusal.EXPIRED
        side.close()


def test_a_legacy_number_leads_to_the_card() -> None:
    with world_of(FlowBehaviour(), cards=1) as world:
        side = world.side()
        (row,) = world.cards()

        observation = side.lookup(Serial(row["legacy_number"]))

        assert isinstance(observation, Seen)
        assert observation.serial == Serial(row["number"])
        side.close()


@pytest.mark.parametrize(
    ("known_as", "asked"),
    [
        ("AB-70 0412", "AB-70 0412"),
        ("ab700412", "AB-70 0412"),
        ("AB700412", "ab-70-0412"),
        ("1234567890123456", "1234 5678 9012 3456"),
    ],
)
def test_a_number_is_asked_for_as_it_was_given_and_compared_in_normal_form(known_as: str, asked: str) -> None:
    with world_of(FlowBehaviour(), cards=0) as world:
        side = world.side()
        world.call("card", {"number": known_as, "balance": "5.00"})

        observation = side.lookup(Serial(asked))

        assert isinstance(observation, Seen)
        assert observation.serial == Serial(asked)
        assert observation.serial is not None
        assert observation.serial.written == known_as
        side.close()


# Who answers.


def test_a_wrong_token_closes_the_side(world: FlowWorld) -> None:
    side = world.side(token="flow-wrong-token")

    with pytest.raises(SideClosed) as caught:
        side.identify()

    assert "flow-wrong-token" not in repr(caught.value) + caught.value.remedy + repr(side)
    side.close()


def test_a_token_without_permissions_closes_the_side() -> None:
    tokens = {"flow-reader": frozenset({Permission.GIFTCARD_READ})}
    with world_of(FlowBehaviour(), tokens=tokens) as world:
        side, card = world.side(token="flow-reader"), world.sell(100_00)

        assert seen(side, card).balance_minor == 100_00
        with pytest.raises(SideClosed) as caught:
            side.apply(debit(world, card, 1_00), Saved())

        assert "SALES_ORDER" in caught.value.remedy
        side.close()


@pytest.mark.parametrize("wrong", [{"store": "71"}, {"tenant": "8"}])
def test_a_wrong_place_never_makes_cards_absent(world: FlowWorld, wrong: dict[str, str]) -> None:
    card = world.sell(100_00)
    side = world.side(**wrong)

    with pytest.raises(SideClosed):
        list(side.observe([card]))
    side.close()


def test_a_switched_off_extension_closes_the_side_instead_of_losing_every_card() -> None:
    with world_of(FlowBehaviour(extension_active=False)) as world:
        side = world.side()

        with pytest.raises(SideClosed):
            side.identify()
        # Flow answers 404 for each card then, also for those that were there before.
        with pytest.raises(SideClosed):
            list(side.observe([CardRef("1", world.new_serial())]))
        side.close()


def test_an_extension_that_sounds_an_alarm_closes_the_side() -> None:
    with world_of(FlowBehaviour(extension_messages=("ERROR: the issuer does not answer",))) as world:
        side = world.side()
        with pytest.raises(SideClosed):
            side.identify()
        side.close()


def test_two_gift_card_methods_need_a_person() -> None:
    with world_of(FlowBehaviour(second_giftcard_method=True)) as world:
        undecided, decided = world.side(), world.side(gift_card_settlement_code="GIFTCARD")

        with pytest.raises(SideClosed) as caught:
            undecided.identify()

        assert "GIFTCARD, PAYEX_GIFTCARD" in str(caught.value)
        assert "gift_card_settlement_code" in caught.value.remedy
        assert decided.identify().identity == "7/70"
        undecided.close()
        decided.close()


def test_what_is_not_configured_is_discovered(world: FlowWorld) -> None:
    side = world.side(currency=None, gift_card_payment_method_uid=None, external_payment_method_uid=None)
    card = world.sell(100_00)

    assert side.identify().currency == "NOK"
    with pytest.raises(SideClosed) as caught:
        side.apply(debit(world, card, 1_00), Saved())
    assert "gift_card_payment_method_uid" in caught.value.remedy

    world.spend(card, 10_00)
    side.apply(debit(world, card, 30_00), Saved())
    assert world.balance(card) == 60_00
    side.close()


def test_another_currency_closes_the_side(world: FlowWorld) -> None:
    side = world.side(currency="SEK")
    with pytest.raises(SideClosed):
        side.identify()
    side.close()


# Throttling.


def test_many_threads_share_one_pace() -> None:
    with world_of(FlowBehaviour(rate_limit=RateLimit(5))) as world:
        side = world.side(calls_per_second=5)
        card = world.sell(100_00)

        # No more than the limit lets through at once: time here moves only when somebody waits, so calls
        # that the machine holds up after their turn all come at the same one.
        with ThreadPoolExecutor(5) as pool:
            observations = list(pool.map(lambda _: observe(side, card), range(40)))

        assert {o.balance_minor for o in observations if isinstance(o, Seen)} == {100_00}
        assert not [o for o in observations if not isinstance(o, Seen)]
        side.close()


# Feeds.


def test_the_feed_tells_sold_from_spent_and_ours_from_theirs(world: FlowWorld) -> None:
    side = world.side()
    card = world.sell(100_00)
    world.spend(card, 10_00)
    ours = debit(world, card, 5_00)
    side.apply(ours, Saved())
    made = create(world, 50_00)
    side.apply(made, Saved())

    hints, _ = drain(side.hints("receipts", None))

    told = [(hint.card.serial, hint.sold_here, hint.created_by, hint.details.get("brand")) for hint in hints]
    assert sorted(told, key=repr) == sorted(
        [
            (card.serial, True, None, "giftcard"),
            (card.serial, False, None, None),
            (card.serial, False, ours.marker, None),
            (made.card.serial, False, made.marker, "giftcard"),
        ],
        key=repr,
    )
    assert all(hint.at is not None for hint in hints)
    # The order of a payment is not the one that the card was bought with.
    sold = [hint for hint in hints if hint.details.get("brand")]
    assert all(hint.details["order"] for hint in sold)
    assert all("order" not in hint.details for hint in hints if hint not in sold)
    side.close()


def test_after_the_first_pass_our_own_orders_tell_nothing(world: FlowWorld) -> None:
    side, card = world.side(), world.sell(100_00)
    _, cursor = drain(side.hints("receipts", None))
    saved = Saved()
    side.apply(debit(world, card, 5_00), saved)
    world.spend(card, 10_00)

    hints, _ = drain(side.hints("receipts", cursor))

    assert [hint.created_by for hint in hints] == [None]
    assert side.hints_of_order(saved.progress["order_uid"]) == []
    side.close()


@pytest.mark.parametrize("shown", [True, False])
def test_a_buyer_is_told_of_only_where_the_order_shows_one(shown: bool) -> None:
    with world_of(FlowBehaviour(till_orders_show_customer=shown)) as world:
        side = world.side()
        world.call("sell", {"amount": "100.00", "email": "Kari@Example.com", "mobile": "90012345"})

        (hint,), _ = drain(side.hints("receipts", None))

        assert hint.contact == (Contact("kari@example.com") if shown else None)
        side.close()


def test_an_idle_feed_is_silent_and_cheap(world: FlowWorld) -> None:
    side = world.side()
    for _ in range(5):
        world.sell(100_00)
    hints, cursor = drain(side.hints("receipts", None))
    assert len(hints) == 5

    for _ in range(3):
        before = side.usage().calls
        hints, cursor = drain(side.hints("receipts", cursor))
        # One search: the receipts within the overlap are known, and their orders are not read again.
        assert (hints, side.usage().calls - before) == ([], 1)
    side.close()


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_feed_that_is_interrupted_at_every_page_misses_nothing(newest_first: bool) -> None:
    with world_of(FlowBehaviour(receipts_newest_first=newest_first), cards=40) as world:
        side = world.side(receipts_page_size=7)
        numbers = {row["number"] for row in world.cards()}
        hinted: set[str] = set()
        cursor: str | None = None
        sold: set[str] = set()

        for _ in range(200):
            page = next(iter(side.hints("receipts", cursor)))
            hinted |= {_number(hint.card) for hint in page.hints}
            if page.cursor == cursor:
                break
            cursor = page.cursor
            if len(sold) < 9:
                # The shop goes on selling while its history is read, so pages shift.
                sold.add(_number(world.sell(100_00)))

        assert hinted == numbers | sold
        side.close()


def test_a_feed_goes_on_with_another_page_size() -> None:
    with world_of(FlowBehaviour(), cards=20) as world:
        wide, narrow = world.side(receipts_page_size=15), world.side(receipts_page_size=4)
        numbers = {row["number"] for row in world.cards()}

        first = next(iter(wide.hints("receipts", None)))
        rest, _ = drain(narrow.hints("receipts", first.cursor))

        assert {_number(hint.card) for hint in (*first.hints, *rest)} == numbers
        wide.close()
        narrow.close()


def test_receipts_that_show_up_late_are_found() -> None:
    with world_of(FlowBehaviour(receipts_visible_after_s=300)) as world:
        side = world.side()
        first = world.sell(100_00)
        hints, cursor = drain(side.hints("receipts", None))
        assert hints == []
        world.time.pause(301)
        late = world.sell(100_00)
        hints, cursor = drain(side.hints("receipts", cursor))
        assert [hint.card for hint in hints] == [first]
        world.time.pause(301)

        hints, cursor = drain(side.hints("receipts", cursor))

        assert [hint.card for hint in hints] == [late]
        side.close()


def test_a_webhooks_order_becomes_hints(world: FlowWorld) -> None:
    side = world.side()
    sold = world.call("sell", {"amount": "100.00"})

    (hint,) = side.hints_of_order(sold["order_id"])

    assert hint.card == CardRef(serial=Serial(sold["number"]))
    assert hint.sold_here
    assert side.hints_of_order("999999") == []
    side.close()


# Orders that go wrong on their way to the money step.


def test_an_item_that_arrives_late_does_so_on_an_order_that_was_left(world: FlowWorld) -> None:
    side, card, saved = world.side(), world.sell(100_00), Saved()
    effect = debit(world, card, 30_00)
    world.fail("POST items", FaultKind.LATE_APPLY)

    side.apply(effect, saved)
    world.settle_late()

    assert world.balance(card) == 70_00
    assert isinstance(side.find(replace(effect, progress=dict(saved.progress))), Found)
    side.close()


@pytest.mark.parametrize("kind", [FaultKind.DROP_REQUEST, FaultKind.DROP_RESPONSE, FaultKind.ERROR_500])
@pytest.mark.parametrize("operation", ["POST orders", "POST items"])
def test_a_doubt_before_the_money_step_is_resolved_at_once(
    world: FlowWorld, operation: str, kind: FaultKind
) -> None:
    side, card, saved = world.side(), world.sell(100_00), Saved()
    effect = debit(world, card, 30_00)
    began = world.time.clock()
    world.fail(operation, kind)

    side.apply(effect, saved)

    assert world.balance(card) == 70_00
    assert (world.time.clock() - began).total_seconds() < 1
    assert isinstance(side.find(replace(effect, progress=dict(saved.progress))), Found)
    side.close()


def test_an_order_whose_item_may_still_arrive_is_left_for_another(world: FlowWorld) -> None:
    """The process dies after the item was sent; its request is still on its way at the next attempt."""
    side, card, saved = world.side(), world.sell(100_00), Saved()
    effect = debit(world, card, 30_00)
    left = side._client.create_order("ORDER", effect.marker, effect.marker)
    saved({"order_uid": left, "way": "redeem", "item": "2026-11-23T12:00:00.000Z"})

    side.apply(replace(effect, progress=dict(saved.progress)), saved)

    assert world.balance(card) == 70_00
    assert saved.progress["order_uid"] != left
    order = world.emulator.world.till.find_uid(left)
    assert order is not None
    assert order.state == "PARKED"
    side.close()


def test_an_order_that_surely_got_no_item_is_used_by_the_next_attempt(world: FlowWorld) -> None:
    side, card, saved = world.side(), world.sell(100_00), Saved()
    effect = debit(world, card, 30_00)
    world.fail("POST items", FaultKind.THROTTLE)
    with pytest.raises(Throttled):
        side.apply(effect, saved)
    order_uid = saved.progress["order_uid"]
    world.settle_late()

    side.apply(replace(effect, progress=dict(saved.progress)), saved)

    assert world.balance(card) == 70_00
    assert saved.progress["order_uid"] == order_uid
    side.close()


def test_an_item_that_lands_twice_stops_before_the_money_step(world: FlowWorld) -> None:
    """Somebody puts another item on the order before it is settled again: it is given up, not settled."""
    side, card, saved = world.side(), world.sell(100_00), Saved()
    effect = debit(world, card, 30_00)
    world.fail("POST settlements", FaultKind.DROP_REQUEST)
    with pytest.raises(SideError):
        side.apply(effect, saved)
    order_uid = saved.progress["order_uid"]
    item = {"productUid": world.settings().debit_product_uid, "quantityOrdered": 100, "unitPrice": 30_00}
    requests.post(
        f"{world.loopback.url}/v2/tenants/7/stores/70/orders/{order_uid}/items",
        json=item,
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=10,
    ).raise_for_status()

    with pytest.raises(Refused):
        side.apply(replace(effect, progress=saved.progress), saved)

    assert world.balance(card) == 100_00
    assert side.find(replace(effect, progress=saved.progress)) == NotFound()
    side.close()
