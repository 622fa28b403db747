"""Many new cards of a pass: made from one file where that is faster, under the same protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import select, update

from connectors.api.abilities import Abilities
from connectors.api.bulk import MassState, Pace
from mappings.serials import Serial
from sync.importer import new_cards
from sync.importer.new_cards import FILE_SECONDS, NewCards
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.database import tables
from sync.ledger.database.engine import reading
from sync.ledger.database.imported import is_imported
from sync.ledger.imports.rows import Imports
from sync.reconcile.brakes import Brake, BrakeLimits
from sync.support.audit import audit
from sync.worker import turns as turns_module
from sync.worker.passes import PassReport
from sync.worker.turns import Kind, Turn, Turns
from tests.integration.importer.import_desk import MemoryMass
from tests.integration.shop import FLOW, SHOPIFY, Shop, effects
from tests.support import Crashed

SERIALS = [f"10002000300040{n:02}" for n in range(12)]
#: So slow that a file is worth it for ten cards, and so quick that it never is.
SLOW, QUICK = Pace(1_000, 100, 0), Pace(10, 1_000, 20_000)


@dataclass
class PacedMass(MemoryMass):
    """A side that makes cards from a file, at a pace that a test says."""

    paced: Pace = field(default=SLOW)
    #: The side is still at work on what was started.
    at_work: bool = False

    def state(self, operation: str) -> MassState:
        return MassState(1, False) if self.at_work else super().state(operation)

    def pace(self) -> Pace:
        return self.paced


@pytest.fixture
def mass(shop: Shop) -> PacedMass:
    """The shop's own, which the passes of its worker use."""
    made = PacedMass(shop.sides[SHOPIFY])
    shop.sides[SHOPIFY].abilities = Abilities(mass_creator=made)
    alone = shop.engine.dialect.name == "sqlite"
    of_link = NewCards(Imports(shop.engine, shop.vault), alone)
    shop.worker.make_new_cards, shop.worker.carry_new_cards = of_link.make, of_link.turn
    for serial in SERIALS:
        shop.sell(FLOW, 10_000, serial)
    return made


def settled(shop: Shop) -> bool:
    """Every card is on both sides once, with its money, and the ledger proves it."""
    cards = [shop.sides[SHOPIFY].lookup(Serial(serial)) for serial in SERIALS]
    return (
        all(card.balance_minor == 10_000 for card in cards)  # type: ignore[union-attr]
        and len(shop.sides[SHOPIFY].cards) == len(SERIALS)
        and effects(shop.sides[SHOPIFY]) == [("create", 10_000)] * len(SERIALS)
        and all(shop.card(card_id).in_step for card_id in range(1, len(SERIALS) + 1))
        and not list(audit(shop.engine, shop.vault, shop.clock, shop.sides))
    )


def test_given_many_new_cards_where_one_by_one_is_slow_then_they_are_made_from_one_file(
    shop: Shop, mass: PacedMass
) -> None:
    report = shop.sync()

    assert [len(file) for file in mass.files.values()] == [len(SERIALS)]
    assert settled(shop)
    assert (report.met, report.errors, report.unfinished) == (len(SERIALS), [], 0)
    assert {row["state"] for row in shop.rows("imports")} == {"done"}
    assert {row["state"] for row in shop.rows("import_rows")} == {"done"}


def test_given_cards_made_by_a_pass_then_no_import_has_brought_them(shop: Shop, mass: PacedMass) -> None:
    shop.sync()

    with reading(shop.engine) as connection:
        assert connection.execute(select(tables.cards.c.id).where(is_imported())).all() == []
    assert Imports(shop.engine, shop.vault).newest(10) == []


def test_given_a_shop_that_takes_them_quickly_then_each_is_made_by_itself(
    shop: Shop, mass: PacedMass
) -> None:
    mass.paced = QUICK

    shop.sync()

    assert mass.files == {}
    assert settled(shop)


def test_given_cards_that_wait_for_a_person_or_were_tried_then_they_are_in_no_file(
    shop: Shop, mass: PacedMass
) -> None:
    waiting = [shop.meet(FLOW, 10_000, f"20002000300040{n:02}") for n in range(3)]
    with shop.engine.begin() as connection:
        of_one = tables.intents.c.card_id == waiting[0]
        connection.execute(update(tables.intents).where(of_one).values(doubted=True))
        of_other = tables.cards.c.id == waiting[1]
        connection.execute(update(tables.cards).where(of_other).values(held=True))
    imports = Imports(shop.engine, shop.vault)

    assert imports.count_waiting(SHOPIFY, shop.clock()) == 1
    assert imports.count_waiting(FLOW, shop.clock()) == 0
    plan = imports.begin_for_pass(SHOPIFY, "NOK", shop.clock())

    assert imports.never_sent(plan, 0, 10) == [waiting[2]]
    assert imports.count_waiting(SHOPIFY, shop.clock()) == 0


@pytest.mark.parametrize(
    "point", ["mass.sent", "mass.called", "mass.started", "mass.over", "batch.committed"]
)
def test_given_a_pass_that_dies_anywhere_then_the_next_one_makes_each_card_once(
    shop: Shop, mass: PacedMass, crash_after: Callable[[str, int], None], point: str
) -> None:
    crash_after(point, 0)
    with pytest.raises(Crashed):
        shop.sync()
    shop.clock.advance(1_000)

    report = shop.sync()

    assert report.errors == []
    assert settled(shop)
    # What came to be in doubt was made behind the file; the pass after it sees that.
    shop.sync()
    assert {row["state"] for row in shop.rows("imports")} == {"done"}


def test_given_lines_that_nobody_tells_of_then_they_are_read_back_and_made_once(
    shop: Shop, mass: PacedMass
) -> None:
    mass.untold, mass.never = {1, 2}, {5}

    shop.sync()
    shop.clock.advance(1_000)
    shop.sync()

    assert settled(shop)
    assert {row["state"] for row in shop.rows("imports")} == {"done"}


def test_given_a_customer_who_pays_before_the_file_is_run_then_the_pass_brings_both_in_step(
    shop: Shop, mass: PacedMass
) -> None:
    start = mass.start

    def start_late(tag: str, path: str) -> str:
        shop.move(FLOW, -2_500, SERIALS[0])
        return start(tag, path)

    mass.start = start_late  # type: ignore[method-assign]
    shop.sync()

    assert mass.files
    assert shop.shown(SERIALS[0]) == {FLOW: 7_500, SHOPIFY: 7_500}


# --- In the turns of workers --------------------------------------------------------------------------------

NEVER = threading.Event()


def turns_of(shop: Shop) -> Turns:
    """The turns of a worker that has read what there is, and met it."""
    shop.worker.recover_ownership()
    turns = Turns(shop.worker, PassReport(), shop.worker.start_run("run"))
    take(turns, Kind.READ, Kind.MATCH)
    return turns


def again_seconds(turns: Turns) -> float | None:
    return turns.import_again_seconds


def take(turns: Turns, *kinds: Kind) -> list[Turn]:
    due = [turn for kind in kinds for turn in (*turns.all, Turn(Kind.IMPORT)) if turn.kind is kind]
    return [woken for turn in due for woken in turns.take(turn, NEVER)]


def test_given_a_worker_in_turns_then_many_new_cards_are_made_from_one_file_beside_payments(
    shop: Shop, mass: PacedMass
) -> None:
    turns, mass.at_work = turns_of(shop), True

    take(turns, Kind.IMPORT)
    assert [len(file) for file in mass.files.values()] == [len(SERIALS)]
    assert again_seconds(turns) == FILE_SECONDS

    # The file is under way. What is sold now is made by itself, and its payments wait for nothing.
    new = "3000200030004001"
    shop.sell(FLOW, 7_000, new)
    mass.paced = QUICK
    take(turns, Kind.READ, Kind.MATCH, Kind.DUE)
    assert shop.shown(new) == {FLOW: 7_000, SHOPIFY: 7_000}
    shop.move(FLOW, -500, new)
    take(turns, Kind.READ, Kind.DUE)
    assert shop.shown(new) == {FLOW: 6_500, SHOPIFY: 6_500}

    take(turns, Kind.IMPORT)
    assert again_seconds(turns) == FILE_SECONDS
    mass.at_work = False
    take(turns, Kind.IMPORT)
    assert again_seconds(turns) is None
    assert {row["state"] for row in shop.rows("imports")} == {"done"}
    assert len(mass.files) == 1
    assert [shop.shown(serial) for serial in SERIALS] == [{FLOW: 10_000, SHOPIFY: 10_000}] * len(SERIALS)
    assert not list(audit(shop.engine, shop.vault, shop.clock, shop.sides))


def test_given_more_cards_than_one_file_of_a_turn_has_then_the_others_wait_for_none(
    shop: Shop, mass: PacedMass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_cards, "CLAIMED", 4)
    monkeypatch.setattr(new_cards, "TURN_CARDS", 8)
    turns, mass.at_work = turns_of(shop), True

    take(turns, Kind.IMPORT, Kind.IMPORT)
    assert [len(file) for file in mass.files.values()] == [8]
    take(turns, Kind.DUE)

    assert len(shop.sides[SHOPIFY].cards) == len(SERIALS)
    mass.at_work = False
    take(turns, Kind.IMPORT)
    assert settled(shop)
    assert {row["state"] for row in shop.rows("imports")} == {"done"}


@pytest.mark.parametrize(
    "point", ["mass.sent", "mass.called", "mass.started", "mass.over", "batch.committed"]
)
def test_given_a_turn_that_dies_anywhere_then_later_ones_make_each_card_once(
    shop: Shop, mass: PacedMass, crash_after: Callable[[str, int], None], point: str
) -> None:
    turns = turns_of(shop)
    crash_after(point, 0)
    with pytest.raises(Crashed):
        take(turns, Kind.IMPORT)
    shop.clock.advance(1_000)

    turns = turns_of(shop)
    for _ in range(3):
        take(turns, Kind.IMPORT, Kind.DUE)
        shop.clock.advance(1_000)
    take(turns, Kind.IMPORT)

    assert settled(shop)
    assert {row["state"] for row in shop.rows("imports")} == {"done"}


def test_given_a_start_that_nobody_answered_then_turns_ask_again_and_none_waits_for_the_quiet_period(
    shop: Shop, mass: PacedMass, crash_after: Callable[[str, int], None]
) -> None:
    crash_after("mass.called", 0)
    with pytest.raises(Crashed):
        take(turns_of(shop), Kind.IMPORT)
    shop.clock.advance(shop.worker.link.quiet_seconds - 1)
    turns, asked = turns_of(shop), list[str]()
    find = mass.find_started

    def find_counted(tag: str) -> str | None:
        asked.append(tag)
        return find(tag)

    mass.find_started = find_counted  # type: ignore[method-assign]

    take(turns, Kind.IMPORT)
    assert len(asked) == 1
    assert not any(row["doubted"] for row in shop.rows("intents"))

    shop.clock.advance(1)
    take(turns, Kind.IMPORT)
    assert len(asked) == 2
    assert all(row["doubted"] for row in shop.rows("intents"))


def test_given_few_new_cards_then_no_turn_makes_a_file(shop: Shop, mass: PacedMass) -> None:
    mass.paced = QUICK
    turns = turns_of(shop)

    take(turns, Kind.IMPORT)

    assert again_seconds(turns) is None
    assert mass.files == {}


def test_given_more_money_than_the_brake_lets_through_then_the_link_stops_and_no_file_is_made(
    shop: Shop, mass: PacedMass
) -> None:
    turns = turns_of(shop)
    limits = BrakeLimits(money_minor=50_000, window_seconds=1e9)
    shop.worker.link = replace(shop.worker.link, brake=Brake(limits, "NOK"))

    take(turns, Kind.IMPORT, Kind.IMPORT)

    assert stopped_by(shop.engine) != []
    assert mass.files == {}
    assert shop.sides[SHOPIFY].cards == {}


def test_given_many_cards_met_in_one_turn_then_it_wakes_the_one_that_makes_files(
    shop: Shop, mass: PacedMass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_module, "MANY_MET", len(SERIALS))
    shop.worker.recover_ownership()
    turns = Turns(shop.worker, PassReport(), shop.worker.start_run("run"))
    take(turns, Kind.READ)

    assert take(turns, Kind.MATCH) == [Turn(Kind.IMPORT)]
    shop.sell(FLOW, 7_000, "3000200030004001")
    take(turns, Kind.READ)
    assert take(turns, Kind.MATCH) == []
