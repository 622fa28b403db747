"""Where a process may die on its way through a movement: a point that is deleted or moved is missed here."""

from __future__ import annotations

from typing import Any

from connectors.memory import MemoryFault
from sync import crashpoints
from tests.simulation.world import LONG_SECONDS, Event, Setup, World

#: A commit that changes nothing ends before it writes.
NOTHING = ["commit.before"]
COMMIT = ["commit.before", "commit.inside", "commit.after"]
#: Withdraw what nobody wants any more; then look at every side.
LOOK = [*NOTHING, *NOTHING, "reconcile.observed"]
#: The first effect is sent with the commit that plans it, and the card given back with the last outcome.
EFFECT = [*COMMIT, "execute.sent", "execute.called", *COMMIT]


def points_of(w: World, scripted: list[MemoryFault] | None = None) -> list[str]:
    """What a run of the worker passes, in order."""
    passed: list[str] = []
    w.scripted = scripted or []
    crashpoints.install(passed.append)
    try:
        w.run()
    finally:
        crashpoints.install(None)
    return passed


def moved(**setup: Any) -> World:
    """A customer has spent on pos."""
    w = World(Setup(("pos", "web"), (Event("pos", -3),), 0, **setup))
    w.do_event(Event("pos", -3))
    return w


def test_given_a_customer_spends_then_a_worker_may_die_at_each_step_of_the_movement() -> None:
    assert points_of(moved()) == [*LOOK, *EFFECT]


def test_given_the_answer_is_lost_then_a_worker_may_die_after_the_call_and_as_it_reads_back() -> None:
    w = moved()

    assert points_of(w, [MemoryFault.ANSWER_LOST]) == [*LOOK, *EFFECT]
    w.pass_time(LONG_SECONDS)
    assert points_of(w) == [
        *NOTHING,
        "recover.before",
        "recover.found",
        *COMMIT,
        *NOTHING,
        "reconcile.observed",
        *NOTHING,
    ]


def test_given_the_card_is_new_to_the_other_side_then_a_worker_may_die_around_its_create_and_debit() -> None:
    # The create was planned before: it is sent by itself, and the debit after it.
    assert points_of(moved(in_step=False)) == [*LOOK, *COMMIT, *EFFECT, *EFFECT]
