"""Somebody changes rows of the ledger between any two steps of the worker: every schedule of small families.

The change is made at any crash point, once or never. Then faults end, and the worker runs until all is quiet.
No money may have moved because of it; what is held for a person goes on as its history says, and must then be
judged like any other card. Nothing is merged: each schedule is tried from its beginning.
"""

from __future__ import annotations

from sync import crashpoints
from sync.decisions.resolutions import Action
from sync.support.settle import NotResolved, Resolution, resolve
from tests.simulation.restores import Report, explore
from tests.simulation.world import CARD_ID, LEASE_SECONDS, Setup, World

LEGS = 2
#: What somebody does with a database tool and no key: the amounts are not any that a customer moves.
CHANGES = {
    "the hub's balance is raised": "UPDATE cards SET balance_minor = balance_minor + 50",
    "a shadow is lowered": "UPDATE presences SET shadow_minor = shadow_minor - 1 WHERE side = 'web'",
    "a credit is forged": (
        "INSERT INTO intents (marker, card_id, side, sequence, kind, amount_minor, note, state, progress,"
        " doubted, landings, unclear_reads, created_at) VALUES ('gs-forged', 1, 'web', 90, 'credit', 50,"
        " '', 'planned', '{}', 0, 0, 0, '2026-11-23 12:00:00')"
    ),
    "a planned change is raised": (
        "UPDATE intents SET amount_minor = amount_minor * 2 WHERE state IN ('planned', 'sent', 'in_doubt')"
    ),
    "the card is closed": "UPDATE cards SET status = 'closed'",
    "what took effect is denied": "UPDATE intents SET landings = 0 WHERE state = 'applied'",
}
#: Of these the audit goes on to tell.
OF_HISTORY = ("a planned change is raised",)


def changed_rows(setup: Setup, change: str) -> Report:
    """The change is made at any moment of a schedule."""
    return explore(setup, lambda world: _play(world, change))


def _play(world: World, change: str) -> bool:
    struck: list[str] = []

    def at_crashpoint(name: str) -> None:
        real(name)
        if not struck and not world.healed and name != "commit.inside" and world.choices.pick(2):
            struck.append(name)
            world.sqlite.execute(CHANGES[change])
            world.story.append(f"{change} at {name}")

    real = world.at_crashpoint
    world.at_crashpoint = at_crashpoint  # type: ignore[method-assign]
    try:
        for _ in range(LEGS):
            world.leg()
    finally:
        world.at_crashpoint = real  # type: ignore[method-assign]
    world.healed = True
    for event in tuple(world.events_left):
        world.do_event(event)
    for side in world.sides.values():
        while side.late:
            side.land_one()
    crashpoints.install(world.at_crashpoint)
    try:
        world._settle_down()
        held = _go_on(world)
        if struck and not held and CHANGES[change].startswith("UPDATE cards"):
            raise world.violation("a change of the card's row is noticed, and nothing is written over it")
        if change not in OF_HISTORY or not held:
            world.judge()
        elif {world.card().balance_minor, *(side.shown() for side in world.sides.values())} != {
            _truth(world)
        }:
            raise world.violation("the card is worth what the person said, everywhere")
    finally:
        crashpoints.install(None)
    return held


def _truth(world: World) -> int:
    return world.setup.opening_minor + world.moved_minor


def _go_on(world: World) -> bool:
    """A person says that a held card is what its history says, or what it is worth; whether it was held."""
    told = world.sqlite.execute(
        "SELECT id FROM conflicts WHERE kind = 'tampered' AND closed_at IS NULL"
    ).fetchone()
    if told is None:
        return False
    world.pass_time(LEASE_SECONDS + 1)
    whys = ("a person", "the database was changed")
    worth = Resolution(Action.VALUE, *whys, value_minor=_truth(world))
    world.calls.append(0)
    try:
        try:
            resolve(world.links[0], told[0], Resolution(Action.REBUILD, *whys))
        except NotResolved:
            resolve(world.links[0], told[0], worth)
    except NotResolved as error:
        raise world.violation(f"a person can go on ({error})") from error
    finally:
        world.calls.pop()
    world.story.append("a person has the card rebuilt")
    world.sqlite.execute("UPDATE cards SET due_at = NULL WHERE id = ?", (CARD_ID,))
    world._settle_down()
    return True
