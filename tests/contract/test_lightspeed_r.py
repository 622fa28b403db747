"""The R-Series connector keeps the whole contract, over loopback and through a proxy that loses answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.api.build import BuildContext
from connectors.api.card import CardRef, Seen, Unreadable
from connectors.api.doctor import Expectations, Finding, ProbeContext, Verdict
from connectors.api.effect import Effect, EffectKind, Found, NotFound
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed, SideError, Throttled
from connectors.kit.contract import SideContract, contract_for
from connectors.kit.fault_proxy import FaultProxy, ProxyFault
from connectors.kit.renewal import PermanentToken
from connectors.kit.world import Mishap, Saved, drain, marker, observe, seen
from connectors.lightspeed_r.bucket import Bucket
from connectors.lightspeed_r.doctor import MARKER_POINT, STAMP_POINT
from connectors.lightspeed_r.model import Sign
from connectors.lightspeed_r.plugin import CONNECTOR, LightspeedRSection
from connectors.lightspeed_r.sales import SaleSettings
from connectors.lightspeed_r.side import CARDS, PAGE_SIZE, LightspeedRSide
from connectors.registry import connector_type
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sandbox.lightspeed_r import LightspeedRBehaviour, LightspeedREmulator
from sandbox.lightspeed_r.account import ECOM, EMPLOYEE, GIFT_CARD, ONLINE_ITEM, PAID_ONLINE, REGISTER, SHOP
from sandbox.lightspeed_r.emulator import BASE, CUSTOMERS, SALES, SCOPES

from .emulated_world import EmulatedWorld, number_of
from .examined import Notes
from .loopback import Loopback, serve

TOKEN = "r-contract-token"
SETTINGS = SaleSettings(EMPLOYEE, REGISTER, SHOP, ONLINE_ITEM, PAID_ONLINE, GIFT_CARD, "referenceNumber")


class RWorld(EmulatedWorld):
    """The account, its customers, and the accidents on the way to it."""

    emulator: LightspeedREmulator

    def __init__(self, emulator: LightspeedREmulator, loopback: Loopback, proxy: FaultProxy) -> None:
        super().__init__(emulator, loopback, proxy)
        self._open: list[LightspeedRSide] = []
        self.side = self.side_with()

    def side_with(self, url: str | None = None, **changes: Any) -> LightspeedRSide:
        """A connector of this account; waiting makes its clock and the account's pass."""
        given: dict[str, Any] = {
            "identity": "lightspeed-r:4711",
            "currency": "NOK",
            "sign": Sign.NEGATIVE,
            "sales": SETTINGS,
            "sale_carries_marker": True,
            "timestamp_moves": True,
            "letters_in_codes": False,
        }
        made = LightspeedRSide(
            url or f"{self.proxy.url}{BASE}",
            PermanentToken(TOKEN),
            BuildContext(
                name="lightspeed",
                timezone="Europe/Oslo",
                currency="NOK",
                clock=lambda: datetime.now(UTC),
                pause=self.wait,
                shelf=lambda kind, given_to: pytest.fail("no token is renewed"),
            ),
            **{**given, **changes},
        )
        made._client.bucket.monotonic = self.emulator.clock.monotonic
        self._open.append(made)
        return made

    def wait(self, seconds: float) -> None:
        self.emulator.clock.pass_growing(seconds)

    def close(self) -> None:
        for side in self._open:
            side.close()

    def balance(self, card: CardRef) -> int:
        wanted = {card.native_id, card.serial.reveal() if card.serial else None}
        (cents,) = [c.cents for c in self.emulator.account.cards.values() if {str(c.id), c.code} & wanted]
        return cents

    def unknown_card(self) -> CardRef:
        return CardRef("999999999", self.new_serial())

    def unreachable(self) -> LightspeedRSide:
        return self.side_with("http://127.0.0.1:9")


@contextmanager
def r_world(scopes: frozenset[str] = SCOPES, **switches: Any) -> Iterator[RWorld]:
    emulator = LightspeedREmulator(
        token=TOKEN, scopes=scopes, behaviour=LightspeedRBehaviour(**{"registers": 100, **switches})
    )
    with serve(emulator.application()) as loopback, FaultProxy(loopback.url).served() as proxy:
        world = RWorld(emulator, loopback, proxy)
        yield world
        world.close()


TestLightspeedR = contract_for(r_world)
HELP = SideContract()


# Creating.


@pytest.mark.parametrize("fault", [f for f in ProxyFault if f is not ProxyFault.SLOW])
@pytest.mark.parametrize("at_write", [1, 2])
def test_given_any_accident_at_either_half_of_a_create_then_there_is_one_card_with_all_its_money(
    fault: ProxyFault, at_write: int
) -> None:
    with r_world() as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        writes = iter([*[False] * (at_write - 1), True])
        world.proxy.fail_next(fault, lambda method, path: method == "POST" and next(writes, False))

        with suppress(SideError):
            world.side.apply(effect, saved)
        world.settle_late()
        again = replace(effect, progress=saved.progress)
        applied = world.side.apply(again, saved)

        found = world.side.find(again)
        assert isinstance(found, Found)
        assert (found.landings, found.native_id) == (1, applied.native_id)
        assert world.balance(CardRef(applied.native_id)) == 250_00
        assert seen(world.side, CardRef(applied.native_id)).created_by == effect.marker
        assert len(world.emulator.account.cards) == 1


def test_given_an_online_order_then_the_card_has_its_shipping_name_and_the_note_the_code() -> None:
    with r_world() as world:
        effect = replace(
            HELP.create(world, world.new_serial(), 250_00), note="Shopify k3f9, Anne Dahl, #1001"
        )
        world.side.apply(effect, Saved())

        (card,) = world.emulator.account.cards.values()
        assert card.name == "Anne Dahl"
        assert card.description == f"Shopify k3f9, Anne Dahl, #1001 {effect.marker}"


def test_given_a_card_that_a_cashier_sold_under_the_number_then_a_create_takes_nothing_over() -> None:
    with r_world() as world:
        card = world.sell(250_00)
        assert card.serial is not None
        effect = HELP.create(world, card.serial, 250_00)
        with pytest.raises(Refused) as caught:
            world.side.apply(replace(effect, progress={"sent": "yes"}), Saved())

        assert caught.value.reason is Refusal.TAKEN
        assert world.side.find(effect) == NotFound()


# The sign.


def test_given_a_sign_that_nobody_confirmed_then_nothing_is_read_or_written() -> None:
    with r_world() as world:
        card = world.sell(100_00)
        side = world.side_with(sign=Sign.UNCONFIRMED)

        can = side.capabilities
        assert not any((can.debits, can.credits, can.creates))
        for ask in (
            side.identify,
            lambda: observe(side, card),
            lambda: side.apply(HELP.debit(world, card, 1_00), Saved()),
            lambda: drain(side.hints(CARDS, None)),
        ):
            with pytest.raises(SideClosed) as caught:
                ask()
            assert "balance_sign" in caught.value.remedy
        assert world.balance(card) == 100_00


@pytest.mark.parametrize("sign", [Sign.NEGATIVE, Sign.POSITIVE])
def test_given_either_sign_then_a_card_is_worth_what_the_till_says(sign: Sign) -> None:
    with r_world(sign=sign.value) as world:
        side = world.side_with(sign=sign)
        card = world.sell(100_00)
        world.spend(card, 30_00)

        shown = seen(side, card, entries=True)

        assert shown.balance_minor == 70_00
        assert [one.amount_minor for one in shown.entries or ()] == [100_00, -30_00]


@pytest.mark.parametrize("sign", [Sign.NEGATIVE, Sign.POSITIVE])
def test_given_the_wrong_sign_then_no_card_is_believed(sign: Sign) -> None:
    with r_world(sign="positive" if sign is Sign.NEGATIVE else "negative") as world:
        side = world.side_with(sign=sign)
        card = world.sell(100_00)

        for entries in (False, True):
            assert isinstance(observe(side, card, entries=entries), Unreadable)
        with pytest.raises(Refused):
            side.apply(HELP.debit(world, card, 1_00), Saved())
        assert world.balance(card) == 100_00


def test_given_a_card_whose_value_a_person_knows_then_the_doctor_says_which_sign_to_set() -> None:
    for sign in ("negative", "positive"):
        with r_world(sign=sign) as world:
            card = world.sell(100_00)
            side = world.side_with(sign=Sign.UNCONFIRMED)
            finding = _points(side.examine(Expectations("NOK", "Europe/Oslo", card=card.serial)).findings)[
                "balance_sign"
            ]

            assert finding.verdict is Verdict.MISSING
            assert f'balance_sign = "{sign}"' in finding.remedy
            assert number_of(card) not in finding.sentence + finding.remedy


# What is off until it is proved.


def test_given_nothing_proved_then_the_side_reads_and_writes_nothing() -> None:
    with r_world() as world:
        unproved = world.side_with(sale_carries_marker=False)
        unset = world.side_with(sales=replace(SETTINGS, debit_item_id=None))

        assert not unproved.capabilities.debits
        assert "--probe" in unproved.capabilities.why_no_creates
        assert not unset.capabilities.creates
        assert "debit_item_id" in unset.capabilities.why_no_creates
        assert seen(unproved, world.sell(100_00)).balance_minor == 100_00


def test_given_points_that_are_on_or_off_then_the_doctor_says_which() -> None:
    with r_world() as world:
        for on in (True, False):
            side = world.side_with(sale_carries_marker=on, timestamp_moves=not on)
            findings = _points(side.examine(Expectations("NOK", "Europe/Oslo")).findings)

            said = {point: findings[point].sentence.split(":")[0] for point in (MARKER_POINT, STAMP_POINT)}
            assert said == {MARKER_POINT: "On" if on else "Off", STAMP_POINT: "Off" if on else "On"}


def test_given_the_probe_then_it_proves_mark_and_time_stamp_and_leaves_the_card_as_it_was() -> None:
    with r_world() as world:
        card = world.sell(100_00)
        assert card.serial is not None
        side = world.side_with(sale_carries_marker=False, timestamp_moves=False)

        findings = _points(side.probe(ProbeContext(card.serial, Notes(), 0.1, marker)))

        assert findings[MARKER_POINT].verdict is Verdict.OK
        assert findings[STAMP_POINT].verdict is Verdict.OK
        assert findings["probe"].verdict is Verdict.OK
        assert world.balance(card) == 100_00


def test_given_an_account_that_forgets_mark_and_time_then_the_probe_says_so_and_puts_back() -> None:
    with r_world(marker_field="note", timestamp_moves=False) as world:
        card = world.sell(100_00)
        assert card.serial is not None
        side = world.side_with(sale_carries_marker=False)

        findings = _points(side.probe(ProbeContext(card.serial, Notes(), 0.1, marker)))

        assert findings[MARKER_POINT].verdict is Verdict.WARNING
        assert findings[STAMP_POINT].verdict is Verdict.WARNING
        assert world.balance(card) == 100_00


def test_given_settings_that_the_account_does_not_have_then_the_doctor_names_each() -> None:
    with r_world() as world:
        world.sell(10_00)
        wrong = replace(SETTINGS, register_id=ECOM, debit_item_id="404", employee_id=None)
        findings = _points(world.side_with(sales=wrong).examine(Expectations("SEK", "Europe/Oslo")).findings)

        missing = {point for point, one in findings.items() if one.verdict is Verdict.MISSING}
        assert missing == {"sales", "register_id", "debit_item_id", "currency"}
        assert "eCom" in findings["register_id"].sentence


# What the account shows.


def test_given_a_token_that_may_not_see_codes_then_no_card_is_believed_and_the_scope_is_named() -> None:
    with r_world(scopes=frozenset({CUSTOMERS, SALES})) as world:
        card = world.sell(100_00)

        shown = observe(world.side, CardRef(card.native_id))
        (hint,) = drain(world.side.hints(CARDS, None))[0]
        finding = _points(world.side.examine(Expectations("NOK", "Europe/Oslo")).findings)["codes"]

        assert isinstance(shown, Unreadable)
        assert "employee:customers_view_gift_card_numbers" in shown.reason
        assert (hint.card.serial, hint.last_chars) == (None, number_of(card)[-4:])
        assert finding.verdict is Verdict.MISSING


def test_given_a_card_that_was_overdrawn_at_the_till_then_it_is_no_balance() -> None:
    with r_world(over_redemption=True) as world:
        card = world.sell(10_00)
        world.spend(card, 15_00)

        assert isinstance(observe(world.side, card), Unreadable)


def test_given_an_account_that_lets_cards_be_overdrawn_then_giftsync_does_not() -> None:
    with r_world(over_redemption=True) as world:
        card = world.sell(10_00)
        with pytest.raises(Refused) as caught:
            world.side.apply(HELP.debit(world, card, 10_01), Saved())

        assert caught.value.reason is Refusal.INSUFFICIENT_FUNDS
        assert world.balance(card) == 10_00


def test_given_two_cards_with_one_code_then_neither_is_believed() -> None:
    with r_world(duplicate_codes=True) as world:
        card = world.sell(10_00)
        world.emulator.account.create(number_of(card), "again", "")

        assert isinstance(world.side.lookup(Serial(number_of(card))), Unreadable)


def test_given_a_closed_card_then_it_was_emptied_first_and_shows_what_it_held() -> None:
    with r_world() as world:
        card = world.sell(100_00)
        effect = Effect(marker(), EffectKind.SET_STATUS, card, "NOK", status=CardStatus.CLOSED)

        world.side.apply(effect, Saved())
        world.side.apply(effect, Saved())

        (account,) = world.emulator.account.cards.values()
        shown = seen(world.side, card)
        assert (account.archived, account.cents) == (True, 0)
        assert (shown.status, shown.balance_minor) == (CardStatus.CLOSED, 100_00)
        assert isinstance(world.side.lookup(Serial(number_of(card))), Seen)
        assert isinstance(world.side.find(effect), Found)


def test_given_a_lost_answer_between_emptying_and_archiving_then_the_repetition_ends_it() -> None:
    with r_world() as world:
        card = world.sell(100_00)
        effect = Effect(marker(), EffectKind.SET_STATUS, card, "NOK", status=CardStatus.CLOSED)
        world.fail_next(Mishap.DROP_RESPONSE)
        with pytest.raises(InDoubt):
            world.side.apply(effect, Saved())
        assert world.side.find(effect) == NotFound()

        world.side.apply(effect, Saved())

        assert seen(world.side, card, entries=True).balance_minor == 100_00
        assert world.balance(card) == 0


def test_given_the_back_office_archives_a_card_then_it_is_closed_with_what_it_holds() -> None:
    with r_world() as world:
        card = world.sell(100_00)
        world.control("archive", {"number": number_of(card)})

        shown = seen(world.side, card)
        assert (shown.status, shown.balance_minor) == (CardStatus.CLOSED, 100_00)
        with pytest.raises(Refused) as caught:
            world.side.apply(HELP.debit(world, card, 1_00), Saved())
        assert caught.value.reason is Refusal.NOT_ACTIVE


# The list.


@pytest.mark.parametrize("heeded", [True, False])
def test_given_more_cards_than_a_page_then_each_is_told_and_so_is_every_change(heeded: bool) -> None:
    with r_world(timestamp_filter=heeded) as world:
        cards = [world.sell(10_00) for _ in range(PAGE_SIZE + 5)]
        hints, cursor = drain(world.side.hints(CARDS, None))
        assert {one.card.native_id for one in hints} == {card.native_id for card in cards}
        world.wait(5.0)
        world.spend(cards[3], 1_00)

        told = {one.card.native_id for one in drain(world.side.hints(CARDS, cursor))[0]}

        assert cards[3].native_id in told


# Limits.


def test_given_look_ups_by_code_then_each_waits_for_its_second() -> None:
    with r_world() as world:
        card = world.sell(10_00)
        for _ in range(5):
            assert isinstance(world.side.lookup(Serial(number_of(card))), Seen)

        assert world.side.usage().throttled == 0


def test_given_one_register_then_writes_wait_for_room_and_looks_come_later() -> None:
    with r_world(registers=1) as world:
        card = world.sell(100_00)
        for _ in range(12):
            world.side.apply(HELP.debit(world, card, 1_00), Saved())

        assert world.balance(card) == 88_00
        assert world.side.usage().throttled == 0
        with pytest.raises(Throttled):
            next(world.side.observe([card], urgent=False))


def test_given_headers_that_make_no_sense_then_the_bucket_keeps_what_it_knows() -> None:
    now = [0.0]
    bucket = Bucket(lambda seconds: None, lambda: now[0])
    bucket.note({"X-LS-Api-Bucket-Level": "60/90", "X-LS-Api-Drip-Rate": "2"})
    for level in ("", "60", "x/90", "1/0", "5/nan"):
        bucket.note({"X-LS-Api-Bucket-Level": level, "X-LS-Api-Drip-Rate": "2"})
    now[0] = 10.0

    assert bucket.level == (40.0, 90.0)


# The settings.


def test_given_a_table_then_its_keys_are_checked() -> None:
    base = {"connector": "lightspeed-r", "account": "4711", "currency": "NOK"}
    section = LightspeedRSection.model_validate({**base, "token": "t"})

    assert section.balance_sign == "unconfirmed"
    assert not section.sale_carries_marker
    assert connector_type("lightspeed-r") is CONNECTOR
    for wrong in (
        {**base},
        {**base, "client_id": "a"},
        {**base, "token": "t", "client_id": "a"},
        {**base, "token": "t", "balance_sign": "minus"},
        {**base, "token": "t", "account": "4711/.."},
        {**base, "token": "t", "employee_id": "x"},
    ):
        with pytest.raises(ValueError):
            LightspeedRSection.model_validate(wrong)


def _points(findings: Any) -> dict[str, Finding]:
    return {one.point: one for one in findings}
