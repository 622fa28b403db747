"""The Gift Local connector keeps the whole contract, over loopback and through a proxy that loses answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.api.build import BuildContext
from connectors.api.card import CardRef, Seen, Unreadable
from connectors.api.doctor import Expectations, ProbeContext, Verdict
from connectors.api.effect import CannotTell, Effect, Found, NotFound
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed, Throttled
from connectors.giftlocal.client import REDEEM, SEND, VALIDATE
from connectors.giftlocal.doctor import CODE_AS_TEXT, MINTS, MINTS_ONCE, REVERSAL
from connectors.giftlocal.plugin import CONNECTOR, GiftLocalSection
from connectors.giftlocal.side import GiftLocalSide
from connectors.kit.contract import SideContract, contract_for
from connectors.kit.fault_proxy import FaultProxy
from connectors.kit.world import Mishap, Saved, marker, no_pause, observe, seen, texts_of
from connectors.registry import connector_type
from mappings.serials import Serial
from sandbox.giftlocal import GiftLocalBehaviour, GiftLocalEmulator
from sandbox.giftlocal.emulator import ACCOUNT, LOCATION, PROGRAM, STOREFRONT

from .emulated_world import EmulatedWorld, number_of
from .examined import Notes
from .loopback import Loopback, closed_port, serve

KEY = "gl-contract-key"
SYSTEM_KEY = "gl-system-key"
REVERSED = {"reverse_path": "/api/integration/redemption/reverse-redemption"}


def is_write(method: str, path: str) -> bool:
    return path in (REDEEM, SEND)


def table(url: str, **more: Any) -> dict[str, Any]:
    return {
        "connector": "giftlocal",
        "url": url,
        "key": KEY,
        "account": ACCOUNT,
        "currency": "NOK",
        "promotional_field": "isPromotional",
        "spent_reasons": ["Fully redeemed"],
        "program": PROGRAM,
        "storefront": STOREFRONT,
        "mints_without_mailing": True,
        **more,
    }


def side_at(url: str, proved: tuple[str, ...] = (), **more: Any) -> GiftLocalSide:
    context = BuildContext(
        name="giftlocal",
        timezone="Europe/Oslo",
        currency="NOK",
        clock=lambda: datetime.now(UTC),
        pause=no_pause,
        shelf=lambda kind, given_to: pytest.fail("a key is not kept"),
        proved=lambda identity: proved,
    )
    return CONNECTOR.build(GiftLocalSection.model_validate(table(url, **more)), context)  # type: ignore[return-value]


class GiftWorld(EmulatedWorld):
    """The account, its customers, and the accidents on the way to it."""

    number_key = "code"
    #: Nobody can put money on a gift by the API; Gift Local's support can.
    load_call = "adjust"
    #: Codes of gifts that are made begin with other digits than 00 to 99 of these.
    new_number = "88{:010d}"
    #: Redemptions carry no mark, and one that was sent twice is not sent again.
    asks_people = True

    emulator: GiftLocalEmulator

    def __init__(
        self, emulator: GiftLocalEmulator, loopback: Loopback, proxy: FaultProxy, **more: Any
    ) -> None:
        super().__init__(emulator, loopback, proxy)
        self.side = side_at(proxy.url, **more)

    def writes(self, method: str, path: str) -> bool:
        return is_write(method, path)

    def reads(self, method: str, path: str) -> bool:
        return path == VALIDATE

    def balance(self, card: CardRef) -> int:
        wanted = {card.native_id, card.serial.reveal() if card.serial else None}
        (cents,) = [g.amount for g in self.emulator.account.gifts.values() if {g.id, g.code} & wanted]
        return cents

    def unknown_card(self) -> CardRef:
        return CardRef("4c0d7f0e-0000-4000-8000-000000000000", self.new_serial())

    def unreachable(self) -> GiftLocalSide:
        return side_at(f"http://127.0.0.1:{closed_port()}")


@contextmanager
def gift_world(
    settings: Mapping[str, Any] | None = None, account: Mapping[str, Any] | None = None, **switches: Any
) -> Iterator[GiftWorld]:
    emulator = GiftLocalEmulator(
        key=KEY, system_key=SYSTEM_KEY, behaviour=GiftLocalBehaviour(**switches), **(account or {})
    )
    with serve(emulator.application()) as loopback, FaultProxy(loopback.url).served() as proxy:
        world = GiftWorld(emulator, loopback, proxy, **(settings or {}))
        yield world
        world.side.close()


TestGiftLocal = contract_for(gift_world)
HELP = SideContract()


# Reading.


def test_given_a_gift_that_is_spent_then_it_is_empty_by_the_words_that_were_named() -> None:
    with gift_world() as world:
        card = world.sell(10_00)
        world.spend(card, 10_00)
        assert seen(world.side, card).balance_minor == 0


@pytest.mark.parametrize(
    "change",
    [
        {"blocked": True},
        {"valid_to": "2020-01-01T00:00:00+00:00"},
        {"valid_from": "2090-01-01T00:00:00+00:00"},
    ],
)
def test_given_a_gift_that_cannot_be_used_now_then_its_money_is_not_believed_to_be_gone(
    change: dict[str, object],
) -> None:
    with gift_world() as world:
        card = world.sell(10_00)
        world.control("change", {"code": number_of(card), **change})

        shown = observe(world.side, card)
        assert isinstance(shown, Unreadable)
        assert "why" in shown.reason
        with pytest.raises(Refused) as caught:
            world.side.apply(HELP.debit(world, card, 1_00), Saved())
        assert caught.value.reason is Refusal.NOT_ACTIVE
        assert world.balance(card) == 10_00


def test_given_no_words_for_spent_then_no_gift_is_believed_to_be_empty() -> None:
    with gift_world({"spent_reasons": []}) as world:
        card = world.sell(10_00)
        world.spend(card, 10_00)
        assert isinstance(observe(world.side, card), Unreadable)


def test_given_gifts_of_items_and_promotional_ones_then_they_are_told_and_left_out() -> None:
    with gift_world() as world:
        section = GiftLocalSection.model_validate(table(world.proxy.url))
        item = world.control("sell", {"amount": "3", "label": "Coffee"})
        promotional = world.sell(10_00, promotional=True)

        shown = [seen(world.side, card) for card in (CardRef(item["id"], Serial(item["code"])), promotional)]

        assert [one.brand for one in shown] == ["item", "promotional"] == section.excluded_brands
        with pytest.raises(Refused, match="another kind"):
            world.side.apply(HELP.debit(world, promotional, 1_00), Saved())


def test_given_an_answer_without_the_promotional_field_then_no_gift_is_taken_for_paid_money() -> None:
    with gift_world(promotional_name="") as world:
        assert isinstance(observe(world.side, world.sell(10_00)), Unreadable)
    with gift_world({"promotional_field": None, "no_promotional_gifts": True}, promotional_name="") as world:
        assert seen(world.side, world.sell(10_00)).balance_minor == 10_00


def test_given_a_code_with_a_leading_zero_then_it_is_read_only_once_texts_are_proved() -> None:
    with gift_world({"code_as_text": True}, text_codes=True) as world:
        card = world.sell(10_00, code="012345678901")
        assert seen(world.side, card).balance_minor == 10_00
        careful = side_at(world.proxy.url)
        before = len(world.proxy.seen)
        shown = observe(careful, card)
        assert isinstance(shown, Unreadable)
        assert "012345678901" not in shown.reason
        assert len(world.proxy.seen) == before
        careful.close()


def test_given_another_gift_under_the_code_then_it_is_not_taken_for_the_card() -> None:
    with gift_world() as world:
        first, other = world.sell(10_00), world.sell(20_00)
        assert isinstance(observe(world.side, CardRef(first.native_id, other.serial)), Unreadable)


def test_given_an_unknown_code_that_is_answered_with_200_then_nothing_is_absent() -> None:
    with gift_world(unknown_code="200") as world:
        assert isinstance(world.side.lookup(world.new_serial()), Unreadable)
        report = world.side.examine(Expectations("NOK", "Europe/Oslo"))
        assert {one.point: one.verdict for one in report.findings}["unknown_code"] is Verdict.WARNING


def test_given_a_token_then_the_gift_is_read_by_it() -> None:
    with gift_world() as world:
        made = world.control("sell", {"amount": "10.00"})
        assert isinstance(world.side.lookup(Serial(made["token"])), Seen)


# Locations and keys.


@pytest.mark.parametrize(
    ("settings", "works"),
    [
        ({}, False),
        ({"organization": LOCATION}, True),
        ({"pos_location": "till-7"}, True),
        ({"pos_location": "9"}, False),
    ],
)
def test_given_an_account_with_several_locations_then_the_right_one_must_be_named(
    settings: dict[str, Any], works: bool
) -> None:
    account = {"locations": (LOCATION, "other"), "pos_ids": {"till-7": LOCATION}}
    with gift_world(settings, account) as world:
        if works:
            assert isinstance(observe(world.side, world.sell(10_00)), Seen)
            return
        if settings:
            with pytest.raises(SideClosed) as caught:
                observe(world.side, world.sell(10_00))
            assert "attach" in caught.value.remedy
        else:
            assert isinstance(observe(world.side, world.sell(10_00)), Unreadable)


@pytest.mark.parametrize("key", [SYSTEM_KEY, "guessed", f"Bearer-{KEY}"])
def test_given_a_key_that_may_not_redeem_then_the_side_is_closed(key: str) -> None:
    with gift_world({"key": key}) as world, pytest.raises(SideClosed) as caught:
        world.side.identify()
    assert key not in texts_of(caught.value)


# Redemptions whose answer was lost.


def lost(world: GiftWorld, card: CardRef, kind: Mishap, amount: int = 30_00) -> tuple[Effect, Saved]:
    effect, saved = HELP.debit(world, card, amount), Saved()
    world.fail_next(kind)
    with pytest.raises(InDoubt):
        world.side.apply(effect, saved)
    return replace(effect, progress=saved.progress), saved


def test_given_a_lost_answer_and_exactly_so_much_less_then_it_is_carried_out() -> None:
    with gift_world() as world:
        card = world.sell(100_00)
        effect, _ = lost(world, card, Mishap.DROP_RESPONSE)
        assert world.side.find(effect) == Found(1, str(card.native_id))


def test_given_a_merchant_who_wants_to_be_asked_then_a_lost_answer_is_for_a_person() -> None:
    with gift_world({"settle_lost_redemptions": False}) as world:
        effect, _ = lost(world, world.sell(100_00), Mishap.DROP_RESPONSE)
        assert isinstance(world.side.find(effect), CannotTell)


@pytest.mark.parametrize("kind", [Mishap.DROP_RESPONSE, Mishap.DROP_REQUEST])
def test_given_somebody_who_used_the_gift_meanwhile_then_a_person_is_asked(kind: Mishap) -> None:
    with gift_world() as world:
        card = world.sell(100_00)
        effect, _ = lost(world, card, kind)
        world.spend(card, 10_00)
        assert isinstance(world.side.find(effect), CannotTell)


def test_given_two_lost_requests_then_the_third_is_for_a_person() -> None:
    with gift_world() as world:
        card = world.sell(100_00)
        effect, saved = lost(world, card, Mishap.DROP_REQUEST)
        assert world.side.find(effect) == NotFound()
        world.fail_next(Mishap.DROP_REQUEST)
        with pytest.raises(InDoubt):
            world.side.apply(effect, saved)
        assert isinstance(world.side.find(replace(effect, progress=saved.progress)), CannotTell)
        assert world.balance(card) == 100_00


def test_given_a_redemption_that_was_throttled_then_a_customers_is_not_taken_for_it() -> None:
    with gift_world() as world:
        card = world.sell(100_00)
        effect, saved = HELP.debit(world, card, 30_00), Saved()
        world.fail_next(Mishap.THROTTLE)
        with pytest.raises(Throttled):
            world.side.apply(effect, saved)
        world.spend(card, 30_00)
        assert world.side.find(replace(effect, progress=saved.progress)) == NotFound()


def test_given_a_gift_that_is_emptied_meanwhile_then_a_part_is_not_taken_for_the_whole() -> None:
    with gift_world(excess="partial") as world:
        card = world.sell(50_00)
        effect, saved = HELP.debit(world, card, 30_00), Saved()

        def spent_first(progress: Mapping[str, str], /, *, lazily: bool = False) -> None:
            saved(progress)
            world.spend(card, 40_00)

        with pytest.raises(InDoubt):
            world.side.apply(effect, spent_first)
        assert world.balance(card) == 0
        assert isinstance(world.side.find(replace(effect, progress=saved.progress)), CannotTell)


# Making gifts.


def test_given_a_program_that_nobody_has_proved_then_no_gift_is_made_and_the_side_says_why() -> None:
    with gift_world({"mints_without_mailing": False}) as world:
        assert not world.side.capabilities.creates
        assert "doctor --probe" in world.side.capabilities.why_no_creates
        with pytest.raises(Refused):
            world.side.apply(HELP.create(world, world.new_serial(), 10_00), Saved())
        assert not world.emulator.account.gifts


@pytest.mark.parametrize(
    ("settings", "mints_once", "gifts"), [({"mints_once": True}, True, 1), ({"mint_again": True}, False, 2)]
)
def test_given_a_lost_new_gift_then_it_is_made_again_where_that_is_harmless(
    settings: dict[str, Any], mints_once: bool, gifts: int
) -> None:
    with gift_world(settings, mints_once=mints_once) as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        world.fail_next(Mishap.DROP_RESPONSE)
        with pytest.raises(InDoubt):
            world.side.apply(effect, saved)
        effect = replace(effect, progress=saved.progress)
        assert world.side.find(effect) == NotFound()

        made = world.side.apply(effect, saved)

        assert len(world.emulator.account.gifts) == gifts
        assert made.serial is not None
        assert seen(world.side, CardRef(made.native_id, made.serial)).balance_minor == 250_00
        assert made.serial.reveal() not in repr(made) + str(saved.progress)


def test_given_a_lost_new_gift_and_nothing_proved_then_a_person_is_asked() -> None:
    with gift_world() as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        world.fail_next(Mishap.DROP_RESPONSE)
        with suppress(InDoubt):
            world.side.apply(effect, saved)
        assert isinstance(world.side.find(replace(effect, progress=saved.progress)), CannotTell)


def test_given_a_lost_new_gift_that_was_used_since_then_the_repetition_still_tells_which_it_is() -> None:
    with gift_world({"mints_once": True}, mints_once=True) as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        world.fail_next(Mishap.DROP_RESPONSE)
        with pytest.raises(InDoubt):
            world.side.apply(effect, saved)
        (gift,) = world.emulator.account.gifts.values()
        world.control("redeem", {"code": gift.code, "amount": "250.00"})

        made = world.side.apply(replace(effect, progress=saved.progress), saved)

        assert (made.native_id, made.serial) == (gift.id, Serial(gift.code))
        assert seen(world.side, CardRef(made.native_id, made.serial)).balance_minor == 0


def test_given_a_gift_whose_answer_is_lost_again_and_again_then_a_person_is_asked_in_the_end() -> None:
    with gift_world({"mint_again": True}) as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        for _ in range(5):
            assert world.side.find(replace(effect, progress=saved.progress)) == NotFound()
            world.fail_next(Mishap.DROP_RESPONSE)
            with pytest.raises(InDoubt):
                world.side.apply(replace(effect, progress=dict(saved.progress)), saved)
        assert isinstance(world.side.find(replace(effect, progress=saved.progress)), CannotTell)


# The doctor.


def probed(world: GiftWorld, card: CardRef, **more: Any) -> dict[str, Any]:
    assert card.serial is not None
    side = side_at(world.proxy.url, mints_without_mailing=False, **more)
    context = ProbeContext(card.serial, Notes(), 0.0, marker)
    findings = {one.point: one for one in side.probe(context)}
    side.close()
    return findings


@pytest.mark.parametrize(("text", "once"), [(True, True), (False, False)])
def test_given_a_probe_then_it_tells_what_is_open_and_puts_the_gift_back(text: bool, once: bool) -> None:
    with gift_world(text_codes=text, mints_once=once) as world:
        card = world.sell(10_00)

        findings = probed(world, card, **REVERSED)

        assert {point: one.verdict for point, one in findings.items()} == {
            CODE_AS_TEXT: Verdict.OK if text else Verdict.WARNING,
            REVERSAL: Verdict.OK,
            MINTS: Verdict.OK,
            MINTS_ONCE: Verdict.OK if once else Verdict.WARNING,
            "probe": Verdict.OK,
        }
        assert world.balance(card) == 10_00
        left = [gift.amount for gift in world.emulator.account.gifts.values() if gift.reference]
        assert left == [0] * (1 if once else 2)
        proved = side_at(
            world.proxy.url,
            tuple(p for p, f in findings.items() if f.verdict is Verdict.OK),
            mints_without_mailing=False,
        )
        assert proved.capabilities.creates
        proved.close()


def test_given_a_probe_that_cannot_reverse_then_it_says_exactly_what_is_left() -> None:
    with gift_world() as world:
        card = world.sell(10_00)
        findings = probed(world, card, program=None, storefront=None)
        assert findings["probe"].verdict is Verdict.WARNING
        assert findings["probe"].evidence["left_minor"] == -1
        assert world.balance(card) == 9_99


def test_given_a_reversal_under_another_address_then_the_probe_says_so_and_what_is_left() -> None:
    with gift_world(reverse_path="/elsewhere") as world:
        findings = probed(world, world.sell(10_00), program=None, storefront=None, **REVERSED)
        assert findings[REVERSAL].verdict is Verdict.WARNING
        assert findings["probe"].evidence["left_minor"] == -1


def test_given_an_examination_then_it_names_the_fields_and_the_words_and_no_code() -> None:
    with gift_world() as world:
        card = world.sell(10_00)
        assert card.serial is not None
        world.control("change", {"code": card.serial.reveal(), "blocked": True})
        report = world.side.examine(Expectations("SEK", "Europe/Oslo", card=card.serial))
        findings = {one.point: one for one in report.findings}
        assert findings["currency"].verdict is Verdict.MISSING
        assert findings["card"].verdict is Verdict.WARNING
        assert "Not valid" in findings["card"].sentence
        assert "voucher.isPromotional" in str(findings["card"].evidence["fields"])
        assert card.serial.reveal() not in str(report)


# Its table.


@pytest.mark.parametrize(
    "wrong",
    [
        {"promotional_field": None},
        {"key": None},
        {"storefront": None},
        {"organization": "a", "pos_location": "b"},
    ],
)
def test_given_a_table_that_lacks_something_then_it_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        GiftLocalSection.model_validate(table("http://127.0.0.1:9", **wrong))


def test_given_its_name_then_the_type_is_found() -> None:
    assert connector_type("giftlocal").title == "Gift Local"
