"""The Maestra connector keeps the whole contract, over loopback and through a proxy that loses answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.api.build import BuildContext
from connectors.api.card import CardRef, Seen, Unreadable
from connectors.api.doctor import Expectations, ProbeContext, Verdict
from connectors.api.effect import Applied, CannotTell, Effect, Found, NotFound
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed, Throttled
from connectors.kit.contract import SideContract, contract_for
from connectors.kit.world import Mishap, Saved, marker, no_pause, observe, seen, texts_of
from connectors.maestra.client import IMPORTS_PER_HOUR
from connectors.maestra.doctor import CANCELS, NEW_CARDS, ORDER_ONCE
from connectors.maestra.plugin import CONNECTOR, MaestraSection
from connectors.maestra.side import MaestraSide
from connectors.registry import connector_type
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sandbox.faults import Fault, FaultKind
from sandbox.maestra import MaestraBehaviour, MaestraEmulator
from sandbox.maestra.emulator import CALCULATE, CANCEL, ENDPOINT, PAY, SELL, TECHNICAL_PRODUCT
from sandbox.maestra.project import KNOWN_ORDER, NO_CARD
from tests.support import seen_in_time

from .examined import Notes
from .loopback import FailOnce, LateGate, Loopback, closed_port, serve, settle

KEY = "maestra-contract-key"
MAKES = {"pool_product": "pool-standard", "sell_operation": SELL, "imports_new_cards": True}


def table(url: str, **more: Any) -> dict[str, Any]:
    return {
        "connector": "maestra",
        "url": url,
        "endpoint": ENDPOINT,
        "key": KEY,
        "currency": "NOK",
        "calculate_operation": CALCULATE,
        "pay_operation": PAY,
        "debit_product": TECHNICAL_PRODUCT,
        "absent_reasons": [NO_CARD],
        "gather_seconds": 0,
        **MAKES,
        **more,
    }


def side_at(
    url: str, proved: tuple[str, ...] = (), cvc_for: Any = None, pause: Any = no_pause, **more: Any
) -> MaestraSide:
    context = BuildContext(
        name="maestra",
        timezone="Europe/Oslo",
        currency="NOK",
        clock=lambda: datetime.now(UTC),
        pause=pause,
        shelf=lambda kind, given_to: pytest.fail("a key is not kept"),
        proved=lambda identity: proved,
        cvc_for=cvc_for,
    )
    return CONNECTOR.build(MaestraSection.model_validate(table(url, **more)), context)  # type: ignore[return-value]


class MaestraWorld:
    """The project, its customers, and the accidents on the way to it."""

    currency = "NOK"
    brand = None
    #: Orders are not listed, and one that was sent twice is not sent again.
    asks_people = True
    #: A card has no note.
    marks_cards = False

    emulator: MaestraEmulator

    def __init__(self, emulator: MaestraEmulator, loopback: Loopback, **more: Any) -> None:
        self.emulator, self.loopback = emulator, loopback
        self.side = side_at(loopback.url, **more)
        self._numbers = 0

    def control(self, name: str, body: dict[str, object]) -> dict[str, Any]:
        return self.loopback.run(self.emulator._calls()[name](body))  # type: ignore[arg-type]

    def sell(self, amount_minor: int, **more: object) -> CardRef:
        made = self.control("sell", {"amount": f"{amount_minor / 100:.2f}", **more})
        serial = Serial(made["number"])
        return CardRef(self.side._id_of(CardRef(serial=serial)), serial)

    def spend(self, card: CardRef, amount_minor: int) -> None:
        self.control("redeem", {"number": self._number(card), "amount": f"{amount_minor / 100:.2f}"})

    def load(self, card: CardRef, amount_minor: int) -> None:
        """Nobody can by the API; Maestra's support can."""
        self.control("adjust", {"number": self._number(card), "amount": f"{amount_minor / 100:.2f}"})

    def balance(self, card: CardRef) -> int:
        """The id is a keyed hash of the number, so a card is also found by hashing each."""
        (cents,) = [
            one.cents
            for number, one in self.emulator.project.cards.items()
            if (card.serial is not None and number == card.serial.reveal())
            or (card.serial is None and self.side._id_of(CardRef(serial=Serial(number))) == card.native_id)
        ]
        return cents

    def unknown_card(self) -> CardRef:
        return CardRef("m-0123456789abcdef01234567", self.new_serial())

    def new_serial(self) -> Serial:
        self._numbers += 1
        return Serial(f"99{self._numbers * 7919:014d}")

    def fail_next(self, kind: Mishap) -> None:
        self.fail(kind, "mutation Sandbox.")

    def fail_read(self, kind: Mishap) -> None:
        self.fail(kind, CALCULATE)

    def fail(self, kind: Mishap, operation: str) -> None:
        self.emulator.faults = FailOnce(match=operation, fault=Fault(FaultKind(kind.value), True, 1))

    def odd_status(self, card: CardRef) -> None:
        self.control("status", {"number": self._number(card), "status": "FROZEN"})

    def settle_late(self) -> None:
        settle(self.loopback, self.emulator)

    def unreachable(self) -> MaestraSide:
        return side_at(f"http://127.0.0.1:{closed_port()}")

    def _number(self, card: CardRef) -> str:
        assert card.serial is not None
        return card.serial.reveal()


@contextmanager
def maestra_world(settings: Mapping[str, Any] | None = None, **switches: Any) -> Iterator[MaestraWorld]:
    emulator = MaestraEmulator(key=KEY, behaviour=MaestraBehaviour(**switches))
    emulator.wait_late = LateGate()
    with serve(emulator.application()) as loopback:
        world = MaestraWorld(emulator, loopback, **(settings or {}))
        yield world
        world.side.close()


@contextmanager
def repeating_world() -> Iterator[MaestraWorld]:
    """An order may be sent again: its answer says that it is known. So cards are also made in packs."""
    with maestra_world({"known_order_reasons": [KNOWN_ORDER]}) as world:
        yield world


TestMaestra = contract_for(maestra_world)
TestMaestraThatRepeats = contract_for(repeating_world)
HELP = SideContract()


# Reading.


@pytest.mark.parametrize(
    ("status", "shown", "balance"),
    [
        ("CANBEUSED", CardStatus.ACTIVE, 10_00),
        ("INACTIVE", CardStatus.INACTIVE, 0),
        ("EXPIRED", CardStatus.SUSPENDED, 10_00),
        ("BLOCKED", CardStatus.SUSPENDED, 10_00),
    ],
)
@pytest.mark.parametrize("names", ["interface", "file"])
def test_given_a_status_then_it_is_told_by_either_of_its_names(
    status: str, shown: CardStatus, balance: int, names: str
) -> None:
    with maestra_world(status_names=names) as world:
        card = world.sell(10_00)
        world.control("status", {"number": world._number(card), "status": status})
        observation = seen(world.side, card)
        assert (observation.status, observation.balance_minor) == (shown, balance)


def test_given_no_words_for_absent_then_no_number_is_believed_to_be_free_and_the_doctor_shows_them() -> None:
    with maestra_world({"absent_reasons": []}) as world:
        assert isinstance(world.side.lookup(world.new_serial()), Unreadable)
        report = world.side.examine(Expectations("NOK", "Europe/Oslo"))
        finding = {one.point: one for one in report.findings}["unknown_number"]
        assert finding.verdict is Verdict.WARNING
        assert NO_CARD in finding.sentence


def test_given_cards_that_cannot_pay_and_are_not_calculated_then_they_are_unreadable() -> None:
    with maestra_world(calculation_shows="payable") as world:
        card = world.sell(10_00, inactive=True)
        assert isinstance(observe(world.side, card), Unreadable)


def test_given_an_id_then_nobody_can_tell_the_number_from_it() -> None:
    with maestra_world() as world:
        card = world.sell(10_00)
        other = side_at(world.loopback.url, key="another-key")
        assert card.serial is not None
        assert card.serial.last_chars not in str(card.native_id)
        assert other._id_of(card) != card.native_id
        other.close()


@pytest.mark.parametrize("settings", [{"key": "guessed"}, {"calculate_operation": "Nobody.Knows"}])
def test_given_a_key_or_an_operation_that_is_not_the_projects_then_the_side_is_closed(
    settings: dict[str, Any],
) -> None:
    with maestra_world(settings) as world, pytest.raises(SideClosed) as caught:
        world.side.identify()
    assert "guessed" not in texts_of(caught.value)


# Paying.


def test_given_a_pool_that_needs_a_cvv_then_a_payment_without_one_is_refused_and_takes_nothing() -> None:
    with maestra_world() as world:
        card = world.sell(10_00, pool="secured", cvv="123")
        shown = observe(world.side, card)
        assert isinstance(shown, Unreadable)
        with pytest.raises(Refused):
            world.side.apply(HELP.debit(world, card, 1_00), Saved())
        assert world.balance(card) == 10_00


@pytest.mark.parametrize(("cvv", "works"), [("123", True), ("124", False)])
def test_given_the_cvv_of_an_import_then_the_card_is_read_and_pays_with_it(cvv: str, works: bool) -> None:
    with maestra_world({"cvc_for": lambda serial: cvv}) as world:
        card = world.sell(10_00, pool="secured", cvv="123")
        assert isinstance(observe(world.side, card), Seen if works else Unreadable)
        saved = Saved()
        if works:
            world.side.apply(HELP.debit(world, card, 1_00), saved)
        assert world.balance(card) == (9_00 if works else 10_00)
        assert "123" not in str(saved.progress)


def test_given_a_pool_that_allows_no_part_then_a_part_is_refused_and_the_whole_is_not() -> None:
    with maestra_world() as world:
        card = world.sell(100_00, pool="hundred")
        with pytest.raises(Refused, match="partial"):
            world.side.apply(HELP.debit(world, card, 30_00), Saved())
        world.side.apply(HELP.debit(world, card, 100_00), Saved())
        shown = seen(world.side, card)
        assert (shown.balance_minor, shown.status) == (0, CardStatus.ACTIVE)


def lost(world: MaestraWorld, card: CardRef, kind: Mishap) -> tuple[Effect, Saved]:
    effect, saved = HELP.debit(world, card, 30_00), Saved()
    world.fail_next(kind)
    with pytest.raises(InDoubt):
        world.side.apply(effect, saved)
    return replace(effect, progress=saved.progress), saved


@pytest.mark.parametrize("kind", [Mishap.DROP_RESPONSE, Mishap.DROP_REQUEST])
@pytest.mark.parametrize(
    ("settings", "known_order"),
    [({"known_order_reasons": [KNOWN_ORDER]}, "error"), ({"order_id_applies_once": True}, "same")],
)
def test_given_orders_that_can_be_sent_again_then_nobody_is_asked_whoever_paid_meanwhile(
    kind: Mishap, settings: dict[str, Any], known_order: str
) -> None:
    with maestra_world(settings, known_order=known_order) as world:
        card = world.sell(40_00)
        effect, saved = lost(world, card, kind)
        world.spend(card, 10_00)
        assert world.side.find(effect) == NotFound()

        world.side.apply(effect, saved)

        assert world.balance(card) == 0


@pytest.mark.parametrize("kind", [Mishap.DROP_RESPONSE, Mishap.DROP_REQUEST])
def test_given_orders_of_which_nothing_is_proved_then_a_person_is_asked_when_somebody_paid_meanwhile(
    kind: Mishap,
) -> None:
    with maestra_world() as world:
        card = world.sell(40_00)
        effect, _ = lost(world, card, kind)
        world.spend(card, 10_00)
        assert isinstance(world.side.find(effect), CannotTell)


def test_given_a_merchant_who_wants_to_be_asked_then_a_lost_answer_is_for_a_person() -> None:
    with maestra_world({"settle_lost_payments": False}) as world:
        effect, _ = lost(world, world.sell(100_00), Mishap.DROP_RESPONSE)
        assert isinstance(world.side.find(effect), CannotTell)


# Making cards.


def test_given_a_new_card_then_it_is_imported_and_sold_by_an_order_under_its_marker() -> None:
    with maestra_world() as world:
        effect = HELP.create(world, world.new_serial(), 250_00)
        made = world.side.apply(effect, Saved())
        (card,) = world.emulator.project.cards.values()
        assert (card.status, card.cents, card.sold_by) == ("CanBeUsed", 250_00, effect.marker)
        assert made.reference == effect.marker


@pytest.mark.parametrize("kind", [m for m in Mishap if m is not Mishap.THROTTLE])
@pytest.mark.parametrize("operation", ["ImportNew", SELL])
@pytest.mark.parametrize("reasons", [[], [KNOWN_ORDER]])
def test_given_any_accident_at_either_half_of_a_create_then_there_is_one_card_with_all_its_money(
    kind: Mishap, operation: str, reasons: list[str]
) -> None:
    with maestra_world({"known_order_reasons": reasons}) as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        world.fail(kind, operation)
        with suppress(InDoubt):
            world.side.apply(effect, saved)
        world.settle_late()
        again = replace(effect, progress=saved.progress)
        if not isinstance(world.side.find(again), Found):
            world.side.apply(again, saved)

        assert world.side.find(replace(effect, progress=saved.progress)) == Found(
            1, world.side._id_of(effect.card), effect.marker
        )
        assert len(world.emulator.project.cards) == 1
        assert world.balance(effect.card) == 250_00


def test_given_a_number_of_a_fixed_pool_that_waits_then_it_is_sold_for_its_value_and_no_other() -> None:
    settings = {**MAKES, "pool_product": "pool-hundred"}
    with maestra_world(settings) as world:
        cards = [world.sell(100_00, pool="hundred", inactive=True) for _ in range(2)]
        world.side.apply(replace(HELP.create(world, Serial("1" * 16), 100_00), card=cards[0]), Saved())
        with pytest.raises(Refused, match="another value"):
            world.side.apply(replace(HELP.create(world, Serial("1" * 16), 50_00), card=cards[1]), Saved())
        assert not world.emulator.imports.all


def test_given_a_slow_import_then_the_card_is_in_doubt_and_gone_on_with() -> None:
    with maestra_world(import_seconds=600.0) as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        with pytest.raises(InDoubt, match="has not brought"):
            world.side.apply(effect, saved)
        effect = replace(effect, progress=saved.progress)
        assert world.side.find(effect) == NotFound()
        world.control("clock", {"pass_s": 601})
        world.side.apply(effect, saved)
        assert world.balance(effect.card) == 250_00
        assert len(world.emulator.imports.all) == 1


def test_given_a_row_that_is_never_loaded_then_it_is_refused_in_the_end_and_says_where_to_look() -> None:
    with maestra_world({**MAKES, "pool_product": "pool-hundred"}) as world:
        effect, saved = HELP.create(world, world.new_serial(), 99_00), Saved()
        for _ in range(3):
            with pytest.raises(InDoubt):
                world.side.apply(replace(effect, progress=dict(saved.progress)), saved)
        with pytest.raises(Refused, match="log of imports"):
            world.side.apply(replace(effect, progress=dict(saved.progress)), saved)
        errors = world.control("imports", {})["imports"]
        assert errors
        assert all(one["errors"] for one in errors)


def test_given_many_threads_then_their_cards_go_into_few_imports() -> None:
    def gather(seconds: float) -> None:
        # The one that sends waits for the others instead of for the time.
        assert seconds != 7.0 or seen_in_time(lambda: len(rows()) == 8)

    with maestra_world({"gather_seconds": 7.0, "pause": gather}) as world:

        def rows() -> list[Any]:
            file = world.side._imports._open
            return [] if file is None else file.rows

        effects = [HELP.create(world, world.new_serial(), 10_00) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda effect: world.side.apply(effect, Saved()), effects))

        assert len({one.native_id for one in made}) == 8
        assert [len(one.rows) for one in world.emulator.imports.all] == [8]


def test_given_an_hour_of_imports_then_the_next_one_waits_and_maestra_is_not_asked() -> None:
    with maestra_world() as world:
        for _ in range(IMPORTS_PER_HOUR):
            world.side.apply(HELP.create(world, world.new_serial(), 10_00), Saved())
        with pytest.raises(Throttled) as caught:
            world.side.apply(HELP.create(world, world.new_serial(), 10_00), Saved())
        assert 3_000 < caught.value.wait_seconds <= 3_600
        assert len(world.emulator.imports.all) == IMPORTS_PER_HOUR


def test_given_an_import_that_maestra_throttles_then_it_surely_did_not_happen() -> None:
    with maestra_world(imports_per_hour=0) as world:
        with pytest.raises(Throttled):
            world.side.apply(HELP.create(world, world.new_serial(), 10_00), Saved())
        assert not world.emulator.project.cards


def test_given_a_pack_then_one_import_brings_it_and_each_row_has_an_outcome_of_its_own() -> None:
    with maestra_world({"known_order_reasons": [KNOWN_ORDER]}) as world:
        packer = world.side.abilities.pack_creator
        assert packer is not None
        there = world.sell(10_00)
        effects = [HELP.create(world, world.new_serial(), 10_00 * n) for n in (1, 2, 3)]
        effects.append(replace(effects[0], card=there, marker=marker()))

        outcomes = packer.create_pack(effects)

        assert [type(one) for one in outcomes] == [Applied, Applied, Applied, Refused]
        assert [len(one.rows) for one in world.emulator.imports.all] == [3]
        # A process that died before it kept the outcomes asks again, and makes nothing twice.
        assert packer.create_pack(effects[:3]) == outcomes[:3]
        assert sum(card.cents for card in world.emulator.project.cards.values()) == 70_00


def test_given_orders_of_which_nothing_is_proved_then_there_are_no_packs() -> None:
    with maestra_world() as world:
        assert world.side.abilities.pack_creator is None


def test_given_a_pool_that_nobody_has_proved_then_no_card_is_made_and_the_side_says_why() -> None:
    with maestra_world({"imports_new_cards": False}) as world:
        assert not world.side.capabilities.creates
        assert "doctor --probe" in world.side.capabilities.why_no_creates
        with pytest.raises(Refused):
            world.side.apply(HELP.create(world, world.new_serial(), 10_00), Saved())
        assert not world.emulator.imports.all


def test_given_a_create_for_a_number_that_somebody_has_then_nothing_is_taken_over() -> None:
    for reasons in ([], [KNOWN_ORDER]):
        with maestra_world({"known_order_reasons": reasons}) as world:
            card = world.sell(250_00)
            effect = replace(HELP.create(world, Serial("1" * 16), 250_00), card=card)
            with pytest.raises(Refused) as caught:
                world.side.apply(effect, Saved())
            assert caught.value.reason is Refusal.TAKEN
            assert world.balance(card) == 250_00


# The doctor.


def probed(world: MaestraWorld, card: CardRef, **more: Any) -> dict[str, Any]:
    assert card.serial is not None
    side = side_at(world.loopback.url, imports_new_cards=False, **more)
    context = ProbeContext(card.serial, Notes(), 0.0, marker)
    findings = {one.point: one for one in side.probe(context)}
    side.close()
    return findings


@pytest.mark.parametrize(
    ("known_order", "verdict"), [("same", Verdict.OK), ("error", Verdict.WARNING), ("again", Verdict.WARNING)]
)
def test_given_a_probe_then_it_tells_what_is_open_and_what_is_left(
    known_order: str, verdict: Verdict
) -> None:
    with maestra_world(known_order=known_order) as world:
        card = world.sell(10_00)
        findings = probed(world, card, cancel_operation=CANCEL)

        assert findings[NEW_CARDS].verdict is Verdict.OK
        assert findings[ORDER_ONCE].verdict is verdict
        if known_order == "error":
            assert KNOWN_ORDER in findings[ORDER_ONCE].sentence
        left = findings["probe"].evidence["left_minor"]
        assert world.balance(card) == 10_00 + int(left or 0)
        if known_order != "again":
            assert findings[CANCELS].verdict is Verdict.OK
            assert left == 0
        points = tuple(point for point, one in findings.items() if one.verdict is Verdict.OK)
        proved = side_at(world.loopback.url, points, imports_new_cards=False)
        assert proved.capabilities.creates
        proved.close()


def test_given_words_for_a_known_order_then_the_probe_finds_them_named() -> None:
    with maestra_world() as world:
        findings = probed(world, world.sell(10_00), known_order_reasons=[KNOWN_ORDER])
        assert ORDER_ONCE not in findings
        assert findings["known_order_reasons"].verdict is Verdict.OK


def test_given_orders_that_cannot_be_cancelled_then_the_probe_says_exactly_what_is_left() -> None:
    with maestra_world() as world:
        card = world.sell(10_00)
        findings = probed(world, card)
        assert findings["probe"].evidence["left_minor"] == -1
        assert world.balance(card) == 9_99


def test_given_an_examination_then_it_says_what_is_off_and_no_number() -> None:
    with maestra_world({"pay_operation": None, "pool_product": None, "sell_operation": None}) as world:
        card = world.sell(10_00)
        assert card.serial is not None
        report = world.side.examine(Expectations("SEK", "Europe/Oslo", card=card.serial))
        verdicts = {one.point: one.verdict for one in report.findings}
        assert verdicts == {
            "access": Verdict.OK,
            "unknown_number": Verdict.OK,
            "imports": Verdict.OK,
            "currency": Verdict.MISSING,
            "card": Verdict.OK,
            "payments": Verdict.WARNING,
            NEW_CARDS: Verdict.WARNING,
        }
        assert card.serial.reveal() not in str(report)


# Its table.


@pytest.mark.parametrize("wrong", [{"key": None}, {"sell_operation": None}, {"import_operation": "Import"}])
def test_given_a_table_that_lacks_something_then_it_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        MaestraSection.model_validate(table("http://127.0.0.1:9", **wrong))


def test_given_its_name_then_the_type_is_found() -> None:
    assert connector_type("maestra").title == "Maestra"
