"""What the simulation has found in giftsync, each as the schedule that showed it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from sync import crashpoints
from tests.simulation.world import LONG_SECONDS, SERIAL, START, Crash, Event, Setup, World

TWO = ("pos", "web")
BOOK = {"lists_entries": True, "lands_beyond_quiet": True}


def world(*events: Event, **setup: object) -> World:
    return World(Setup(TWO, events, 0, **setup))  # type: ignore[arg-type]


def do_all(w: World, *events: Event) -> None:
    for event in events:
        w.do_event(event)


def test_given_a_side_that_could_not_be_looked_at_then_it_is_looked_at_before_the_card_is_put_away() -> None:
    spends, spends_too = Event("pos", -3), Event("web", -3)
    w = world(spends, spends_too)

    # The debit on web waits; meanwhile a customer spends on web, whose open debit keeps it from being
    # observed.
    w.do_event(spends)
    w.scripted = [MemoryFault.THROTTLED]
    w.run()
    w.do_event(spends_too)

    w.heal()
    assert w.card().balance_minor == 4


def test_given_a_debit_behind_a_create_then_the_create_does_not_wait_for_it() -> None:
    spends = Event("pos", -3)
    w = world(spends, in_step=False)

    w.do_event(spends)

    w.heal()
    assert [side.shown() for side in w.sides.values()] == [7, 7]


def test_given_a_late_debit_that_a_load_hides_then_both_are_seen() -> None:
    spends, loads = Event("pos", -3), Event("web", 3)
    w = world(spends, loads, **BOOK)

    w.do_event(spends)
    w.scripted = [MemoryFault.LATE]
    w.run()
    w.pass_time(LONG_SECONDS)
    w.run()  # Not found, so it is sent again, and lands.
    w.do_event(loads)
    w.sides["web"].land_one()  # Web shows what it should show.

    w.heal()
    assert w.card().balance_minor == 10


def test_given_a_refused_create_that_lands_after_all_then_it_is_known_as_ours() -> None:
    spends = Event("pos", -3)
    w = world(spends, in_step=False, **BOOK)

    w.scripted = [MemoryFault.LATE, MemoryFault.REFUSED]
    w.run()
    w.pass_time(LONG_SECONDS)
    w.run()  # Sent again and refused.
    w.pass_time(LONG_SECONDS)
    with pytest.raises(Crash):
        _die_at(w, "commit.after")  # Not found, so the refusal stands.
    w.sides["web"].land_one()
    w.do_event(spends)

    w.heal()
    assert not w.card().held


def test_given_first_contact_comes_up_while_looking_then_nothing_is_planned() -> None:
    spends = Event("pos", -3)
    w = world(spends, in_step=False)
    w.sides["web"].sell(SERIAL, 5)

    w.do_event(spends)
    w.run()

    assert w.card().held
    assert not w.card().open_intents
    assert (w.sides["pos"].shown(), w.sides["web"].shown()) == (7, 5)


def test_given_a_worker_that_dies_with_a_hint_then_the_next_one_looks_at_every_side() -> None:
    spends, spends_too = Event("web", -3), Event("pos", -3)
    w = world(spends, spends_too, hinted=True)

    w.do_event(spends)
    with pytest.raises(Crash):
        _die_at(w, "reconcile.observed")
    w.do_event(spends_too)

    w.heal()
    assert w.card().balance_minor == 4


def _die_at(w: World, point: str) -> None:
    lease = w.store.claim_due("worker 1", w.now, 120, 1)[0]

    def die(name: str) -> None:
        if name == point:
            raise Crash

    w.leases.append(lease)
    w.calls.append(0)
    crashpoints.install(die)
    try:
        w.work(w.links[0], lease)
    finally:
        crashpoints.install(None)
        w.leases.pop()
        w.calls.pop()


def test_given_entries_were_read_and_nothing_moved_then_nothing_is_committed() -> None:
    spends = Event("pos", -3)
    w = world(spends, **BOOK)

    w.do_event(spends)
    w.scripted = [MemoryFault.ANSWER_LOST]
    w.run()

    w.heal()  # Ends with a further run that must do nothing.


def test_given_spending_and_closing_at_once_then_only_the_rest_ends_and_no_shortfall_is_reported() -> None:
    spends = Event("pos", -4)
    w = world(spends)

    w.do_event(spends)
    w.sides["web"].set("web-1", status=CardStatus.CLOSED)
    w.run()

    assert w.card().balance_minor == 0
    assert w.written_off() == w.reported() == 0
    assert _ended(w) == -6


def test_given_a_side_that_empties_a_card_as_it_closes_it_then_what_others_spent_does_not_end_with_it() -> (
    None
):
    spends = Event("web", -4)
    w = world(spends)

    w.do_event(spends)
    emptied = w.sides["pos"].cards["pos-1"]
    emptied.status, emptied.balance_minor = CardStatus.CLOSED, 0
    w.run()

    assert w.written_off() == w.reported() == 0
    assert _ended(w) == -6


def test_given_a_load_before_our_own_closing_lands_then_it_is_taken_in_and_ends_with_the_card() -> None:
    loads = Event("pos", 3)
    w = world(loads)

    w.sides["web"].set("web-1", status=CardStatus.CLOSED)
    w.scripted = [MemoryFault.NOT_SENT]
    w.run()
    w.do_event(loads)
    w.pass_time(LONG_SECONDS)
    w.run()
    w.run()

    assert w.card().balance_minor == 0
    assert _ended(w) == -13
    assert w.card().in_step


def test_given_a_debit_refused_because_the_card_has_expired_then_no_person_is_asked() -> None:
    spends = Event("web", -3)
    w = world(spends)
    for name, side in w.sides.items():
        side.set(f"{name}-1", expires_on=START.date() + timedelta(days=1))
    w.run()

    w.do_event(spends)
    w.scripted = [MemoryFault.NOT_SENT]
    w.run()
    w.pass_time(timedelta(days=3).total_seconds())  # Too late for the debit.
    w.run()
    w.run()

    assert w.card().presence("pos").hold is None
    assert _open_conflicts(w) == [("not_writable", "pos", 3)]

    w.sides["web"].set("web-1", expires_on=date(2030, 1, 1))  # Staff give it more time.
    w.run()
    w.heal()
    assert _open_conflicts(w) == []


def _ended(w: World) -> int:
    return w._one("SELECT coalesce(sum(amount_minor), 0) FROM movements WHERE kind = 'closed'")[0]


def _open_conflicts(w: World) -> list[tuple[str, str, int]]:
    query = "SELECT kind, side, amount_minor FROM conflicts WHERE closed_at IS NULL"
    return w.sqlite.execute(query).fetchall()
