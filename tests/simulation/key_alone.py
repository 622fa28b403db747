"""The ledger is lost and only the key is left: an empty ledger meets the card anew, at any moment.

Nothing of the lost ledger can be on its way any more: a run that begins with a key that was used before waits
the quiet period out. Then the feeds tell of every card, also of those that giftsync has made, and a person
says what the card is worth where its sides do not agree.
"""

from __future__ import annotations

from connectors.api.card import CardRef
from connectors.api.feed import Hint, HintPage
from sync import crashpoints
from sync.arrivals.match import Matcher
from sync.decisions.resolutions import Action
from sync.ledger.cards.pool import Pool
from sync.ledger.incoming.intake import Intake
from sync.reconcile import card as reconcile
from sync.reconcile.execute import next_intent
from sync.support.settle import Resolution, resolve
from tests.simulation.restores import Report, explore
from tests.simulation.world import (
    CARD_ID,
    LONG_SECONDS,
    TABLES,
    VAULT,
    Setup,
    World,
    write_rows,
)

LEGS_MAX = 2
#: Looks at what the feeds told of, with time between them.
LOOKS = 4


def key_alone(setup: Setup) -> Report:
    """Every schedule, with the ledger lost after its first or second run."""
    return explore(setup, _play)


def _play(world: World) -> bool:
    for _ in range(1 + world.choices.pick(LEGS_MAX)):
        world.leg()
    world.healed = True
    world.pass_time(LONG_SECONDS)
    world.story.append("the ledger is lost, and one begins with the same key")
    write_rows(world.sqlite, ((),) * len(TABLES))
    world.sqlite.execute("DELETE FROM arrivals")
    before = [side.shown() for side in world.sides.values()]
    crashpoints.install(None)
    reconcile.next_intent = next_intent  # type: ignore[attr-defined]
    world.calls.append(0)
    try:
        _meet(world)
    finally:
        world.calls.pop()
    held = world.card().held
    if held:
        if [side.shown() for side in world.sides.values()] != before:
            raise world.violation("nothing moves until a person has said what the card is worth")
        _decide(world)
    for event in tuple(world.events_left):
        world.do_event(event)
    for side in world.sides.values():
        while side.late:
            side.land_one()
    world._settle_down()
    world.judge()
    return held


def _meet(world: World) -> None:
    """Every feed is read from its beginning."""
    link, intake = world.links[0], Intake(world.engine, VAULT)
    matcher = Matcher(link, intake, Pool(world.engine, VAULT))
    for side in world.sides.values():
        for card in list(side.cards.values()):
            ref = CardRef(card.native_id, card.serial)
            hint = Hint(ref, "list", card.serial.last_chars, created_by=card.created_by)
            intake.take_in(side.name, "list", HintPage([hint], "1"), world.now, tells_changes=True)
    for _ in range(LOOKS):
        for arrival in intake.due_arrivals(world.now, 10):
            matcher.match(arrival)
        world.pass_time(LONG_SECONDS)


def _decide(world: World) -> None:
    (told,) = world.sqlite.execute(
        "SELECT id FROM conflicts WHERE kind = 'first_contact' AND closed_at IS NULL"
    ).fetchone()
    worth = world.setup.opening_minor + world.moved_minor
    world.calls.append(0)
    try:
        resolve(world.links[0], told, Resolution(Action.VALUE, "a person", "the receipts", value_minor=worth))
    finally:
        world.calls.pop()
    world.story.append(f"a person says that card {CARD_ID} is worth {worth}")
    world.sqlite.execute("UPDATE cards SET due_at = NULL")
