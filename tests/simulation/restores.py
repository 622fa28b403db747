"""An earlier ledger is put back, or a second one appears: every schedule of small families.

The rows of the ledger are kept at one moment of a schedule and put back at a later one, while the sides keep
what happened to them; or both go on, in turn or one of them only. Nothing is merged: each schedule is tried
from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sync import crashpoints
from sync.reconcile import card as reconcile
from sync.reconcile.brakes import BrakeTripped
from sync.reconcile.execute import next_intent
from tests.simulation.choices import every_way
from tests.simulation.world import CARD_ID, LONG_SECONDS, Rows, Setup, Violation, World, _rows, write_rows

EXAMPLES_MAX = 3
#: A moment of a schedule at which a ledger is kept, and whether it knows a crash or a fault before it.
LEGS_BEFORE = 1
LEGS_AFTER = 2
TURNS = 4


@dataclass
class Report:
    schedules: int = 0
    violations: int = 0
    #: Schedules that end with the card held for a person.
    held: int = 0
    examples: list[str] = field(default_factory=list)


def put_back(setup: Setup, *, marks: bool = True) -> Report:
    """The ledger of one moment is put back at a later one; `marks`: the start of the run notices it."""
    return explore(setup, lambda world: _put_back(world, marks=marks))


def two_ledgers(setup: Setup) -> Report:
    """The ledger is copied, and both work in turn, or one of them only; then either goes on alone."""
    return explore(setup, _two_ledgers)


def explore(setup: Setup, play: Callable[[World], bool]) -> Report:
    """Every schedule of `play`, which tells whether the card is held at its end."""
    report = Report()
    world = World(setup)
    start = world.save()
    for choices in every_way():
        report.schedules += 1
        world.choices = choices
        world.restore(start)
        try:
            report.held += play(world)
        except Violation as violation:
            report.violations += 1
            report.examples = sorted([*report.examples, str(violation)], key=len)[:EXAMPLES_MAX]
    return report


def _put_back(world: World, *, marks: bool) -> bool:
    for _ in range(LEGS_BEFORE):
        world.leg()
    kept = _rows(world.sqlite)
    world.story.append("the ledger is copied")
    for _ in range(LEGS_AFTER):
        world.leg()
    # Nothing of the ledger that was lost can be on its way after this.
    world.healed = True
    world.pass_time(LONG_SECONDS)
    write_rows(world.sqlite, kept)
    world.story.append("the copy is put back")
    if marks:
        _fall_behind(world)
    return _end(world)


def _two_ledgers(world: World) -> bool:
    world.leg()
    ledgers = [_rows(world.sqlite), _rows(world.sqlite)]
    stopped = [False, False]
    world.story.append("a second ledger appears")
    # Both work in turn, or only the one or the other.
    turns = ((0, 1) * (TURNS // 2), (0,) * TURNS, (1,) * TURNS)[world.choices.pick(3)]
    for one in turns:
        if not stopped[one]:
            stopped[one] = _takes_a_turn(world, ledgers, one)
    world.healed = True
    alone = world.choices.pick(2)
    world.story.append(f"ledger {alone + 1} goes on alone")
    write_rows(world.sqlite, ledgers[alone])
    try:
        if stopped[alone]:
            _resume(world)
        held = _end(world, resume=not stopped[alone])
        if not held:
            _check_the_other(world, ledgers[1 - alone], stopped=stopped[1 - alone])
        return held
    finally:
        world.sqlite.execute("DELETE FROM marks")


def _takes_a_turn(world: World, ledgers: list[Rows], one: int) -> bool:
    """One run with this ledger; whether it stops."""
    write_rows(world.sqlite, ledgers[one])
    try:
        world.leg()
    except BrakeTripped:
        world.story.append(f"ledger {one + 1} stops")
        world._reset_run()
        return True
    else:
        return False
    finally:
        ledgers[one] = _rows(world.sqlite)


def _check_the_other(world: World, rows: Rows, *, stopped: bool) -> None:
    """The one that was left stops before it writes anything, should it be started once more."""
    before = [len(side.writes) for side in world.sides.values()]
    write_rows(world.sqlite, rows)
    if stopped:
        return  # Nothing of a stopped link is written before a person lets it go on.
    world.sqlite.execute("UPDATE cards SET lease_owner = NULL, lease_until = NULL")
    try:
        world.pass_time(LONG_SECONDS)
        world.run()
    except BrakeTripped:
        world._reset_run()
    if [len(side.writes) for side in world.sides.values()] != before:
        raise world.violation("a ledger that another one has left behind writes nothing")


def _resume(world: World) -> None:
    """A person lets a stopped ledger go on: it reads back what the other one did."""
    world.story.append("a person lets it go on")
    _fall_behind(world)
    world.sqlite.execute("INSERT OR REPLACE INTO marks (name, value, at) VALUES ('second_ledger', 'yes', '')")


def _fall_behind(world: World) -> None:
    world.sqlite.execute("UPDATE cards SET behind = 1, lease_owner = NULL, lease_until = NULL")


def _end(world: World, *, resume: bool = False) -> bool:
    """Faults end; the worker runs until all is quiet. Whether the card is held for a person.

    `resume`: a person lets the link go on once, should it stop.
    """
    crashpoints.install(world.at_crashpoint)
    reconcile.next_intent = next_intent  # type: ignore[attr-defined]
    try:
        for event in tuple(world.events_left):
            if world.sides[event.side].cards:
                world.do_event(event)
        world.healed = True
        for side in world.sides.values():
            while side.late:
                side.land_one()
        try:
            world._settle_down()
        except BrakeTripped as error:
            if not resume:
                raise world.violation("one ledger alone is never stopped by its own work") from error
            world._reset_run()
            world.healed = True
            crashpoints.install(world.at_crashpoint)
            _resume(world)
            world._settle_down()
        card = world.store.load(CARD_ID)
        if card.held:
            return True
        world.judge()
        return False
    finally:
        crashpoints.install(None)
