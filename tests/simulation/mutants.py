"""Protocols that must lose: each takes one rule away from the real one, and the simulation must notice.

A mutant patches the real functions while it is entered. Those after the first ten are mistakes that the
simulation found in giftsync itself; they stay here so that they cannot come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from unittest.mock import patch

from sqlalchemy import bindparam, update

from connectors.api.errors import Refusal, Refused
from connectors.api.side import Applied, Seen
from connectors.memory import MemoryFault, MemorySide
from sync.decisions import protocol
from sync.decisions.draft import Draft
from sync.ledger.cards import statements
from sync.ledger.cards.statements import CARD_COLUMNS
from sync.ledger.cards.store import Store
from sync.ledger.database.tables import cards
from sync.model import (
    Card,
    Decision,
    Intent,
    KnownMarker,
    LinkRules,
    MovementKind,
    NewIntent,
    Observations,
    Presence,
    Traces,
)
from sync.reconcile import card as reconcile
from sync.reconcile import execute, recover
from sync.reconcile.work import Work
from tests.simulation.explore import CounterExample, explore
from tests.simulation.world import Event, Setup, World

TWO = ("pos", "web")
SPEND, SPEND_TOO = Event("pos", -3), Event("web", -3)
OVERDRAW = (Event("pos", -7), Event("web", -7))
LOAD_AND_SPEND = (Event("pos", -8), Event("web", 5))

#: From the least to happen to the most, so that the first family with a violation has a smallest one.
LADDER = (
    Setup(TWO, (SPEND,), 0),
    Setup(TWO, (SPEND,), 0, in_step=False),
    Setup(TWO, (SPEND, SPEND_TOO), 0),
    Setup(TWO, OVERDRAW, 0),
    Setup(TWO, LOAD_AND_SPEND, 0),
    Setup(TWO, (SPEND,), 1),
    Setup(TWO, (SPEND,), 1, in_step=False),
    Setup(TWO, (SPEND, SPEND_TOO), 1),
    Setup(TWO, OVERDRAW, 1),
)
_BOOK = {"lists_entries": True, "lands_beyond_quiet": True}
BOOK_LADDER = (
    Setup(TWO, (SPEND,), 1, **_BOOK),
    Setup(TWO, (SPEND, Event("web", 3)), 1, **_BOOK),
    Setup(
        TWO,
        (SPEND,),
        2,
        in_step=False,
        faults=(MemoryFault.LATE, MemoryFault.REFUSED),
        crashes=False,
        overtaking=False,
        **_BOOK,
    ),
)
#: For what happens while the worker stands still.
PAUSE_LADDER = (
    Setup(TWO, (SPEND,), 2, faults=(MemoryFault.LATE,), crashes=False, overtaking=False, pauses=True),
)
#: Sides that apply a marker at most once.
ONCE_LADDER = (
    Setup(TWO, (SPEND,), 1, applies_marker_once=True),
    Setup(TWO, (SPEND, SPEND_TOO), 1, applies_marker_once=True),
    Setup(TWO, (SPEND,), 2, applies_marker_once=True),
)
#: For mistakes that one event or no fault cannot show.
SHORT_LADDER = (Setup(TWO, (SPEND, SPEND_TOO), 1, crashes=False, overtaking=False),)


@dataclass(frozen=True)
class Mutant:
    name: str
    #: Why somebody might think that it works.
    story: str
    patches: Callable[[], Iterable[object]]
    ladder: tuple[Setup, ...] = LADDER

    @contextmanager
    def entered(self) -> Iterator[None]:
        patches = list(self.patches())
        for one in patches:
            one.start()  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for one in reversed(patches):
                one.stop()  # type: ignore[attr-defined]


def smallest_counter_example(mutant: Mutant) -> CounterExample | None:
    """The one with the fewest events and faults, then the shortest story; None: the mutant survives."""
    with mutant.entered():
        for setup in mutant.ladder:
            report = explore(setup)
            if report.counter_examples:
                return report.counter_examples[0]
    return None


# --- the mutations ------------------------------------------------------------------------------------------


def _last_writer_wins(
    draft: Draft, side: str, seen: Seen, marked: Mapping[str, KnownMarker], rules: LinkRules
) -> None:
    d = seen.balance_minor - draft.presence(side).shadow_minor
    if d:
        draft.move(MovementKind.OBSERVED, side, seen.balance_minor - draft.card.balance_minor, d)


def _equal_is_in_step(
    card: Card,
    observations: Observations,
    rules: LinkRules,
    today: date,
    marked: Mapping[str, KnownMarker] | None = None,
    traces: Traces | None = None,
    real: Callable[..., Decision] = protocol.observe,
) -> Decision:
    values = {o.balance_minor if isinstance(o, Seen) else None for o in observations.values()}
    if len(observations) < len(card.presences) or len(values) > 1 or None in values:
        return real(card, observations, rules, today, marked, traces)
    draft = Draft(card)
    value = values.pop() or 0
    for side in observations:
        shadow_delta = value - draft.presence(side).shadow_minor
        if shadow_delta:
            draft.move(MovementKind.OBSERVED, side, value - draft.card.balance_minor, shadow_delta)
    return draft.decision()


def _landed_by_rereading(
    card: Card,
    p: Presence,
    intent: Intent,
    applied: Applied,
    landings: int,
    real: Callable[..., Decision] = execute._landed,
) -> Decision:
    decision = real(card, p, intent, applied, landings)
    draft = Draft(decision.card)
    draft.put(replace(draft.presence(p.side), shadow_minor=applied.balance_minor or 0))
    return replace(decision, card=draft.card)


def _blind_retry(
    card: Card, intent: Intent, reason: str, not_before: object, refusal: object = None, *, look_at: object
) -> Decision:
    return protocol.not_sent(card, intent, reason, not_before)  # type: ignore[arg-type]


def _planned_again_at_once(
    card: Card,
    side: str,
    intent: Intent,
    refusal: Refusal,
    reason: str,
    native_id: str | None = None,
    real: Callable[..., Decision] = protocol.refuse,
) -> Decision:
    decision = real(card, side, intent, refusal, reason, native_id)
    draft = Draft(decision.card)
    p = draft.presence(side)
    draft.put(replace(p, stale=False, shadow_minor=p.shadow_minor + intent.amount_minor))
    return replace(decision, card=draft.card, intents=(NewIntent(side, intent.kind, intent.amount_minor),))


class _QuietAfterTheLook:
    """Asked for its truth only when the look is over."""

    def __init__(self, intent: Intent, work: Work) -> None:
        self._intent, self._work = intent, work

    def __bool__(self) -> bool:
        return self._intent.not_before is None or self._intent.not_before <= self._work.clock()


def _doubt_until_the_look(
    card: Card,
    intent: Intent,
    reason: str,
    not_before: datetime,
    refusal: Refusal | None = None,
    *,
    look_at: datetime | None = None,
    real: Callable[..., Decision] = protocol.doubt,
) -> Decision:
    return real(card, intent, reason, look_at or not_before, refusal)


def _refused_at_once(card: Card, p: Presence, intent: Intent, work: Work, error: Refused) -> Card:
    return work.commit(card, protocol.refuse(card, p.side, intent, error.reason, str(error), error.native_id))


_UPDATE_WITHOUT_FENCING = (
    update(cards)
    .where(cards.c.id == bindparam("lease_card"))
    .values({name: bindparam(name) for name in CARD_COLUMNS})
    .returning(cards.c.chain_seq, cards.c.chain_head)
)


def _waits_for_every_debit(card: Card) -> bool:
    return any(i.kind == "debit" for i in card.open_intents)


def _markers_of_entries(card: Card, observations: Observations) -> list[str]:
    seen = [o for o in observations.values() if isinstance(o, Seen)]
    return sorted({e.marker for o in seen for e in o.entries or () if e.marker is not None})


def _looks_only_at_stale(card: Card, unseen: object, work: Work) -> bool:
    return any(p.stale and not p.open_intents and p.side not in work.closed for p in card.presences)


MUTANTS = (
    Mutant(
        "last writer wins",
        "What a side shows is what the card is worth; the other sides are set to it.",
        lambda: [patch.object(protocol, "_take_in_balance", _last_writer_wins)],
    ),
    Mutant(
        "equal values are in step",
        "When every side shows the same balance, nothing needs to be done.",
        lambda: [patch.object(protocol, "observe", _equal_is_in_step)],
    ),
    Mutant(
        "the base is read again",
        "After a write, the side's new balance is remembered as what it should show.",
        lambda: [patch.object(execute, "_landed", _landed_by_rereading)],
    ),
    Mutant(
        "no intents",
        "Nothing is written down before a call; what was not confirmed is simply done.",
        lambda: [patch.object(protocol, "sent", lambda card, intent: Decision(card))],
    ),
    Mutant(
        "blind retry",
        "A request without an answer is sent again.",
        lambda: [patch.object(protocol, "doubt", _blind_retry)],
    ),
    Mutant(
        "no quiet period",
        "A request without an answer is looked for at once; if it is not there, it is sent again.",
        lambda: [patch.object(Work, "quiet_seconds", 0.0)],
    ),
    Mutant(
        "absent at the first look",
        "What is not there at a look is not there.",
        lambda: [patch.object(recover, "_quiet_is_over", lambda intent, work: True)],
    ),
    Mutant(
        "the moment after the look",
        "A look that ends after the quiet period shows what is there after it.",
        lambda: [patch.object(recover, "_quiet_is_over", _QuietAfterTheLook)],
        PAUSE_LADDER,
    ),
    Mutant(
        "the last look is remembered as the end of the quiet period",
        "Once it was looked for and not found, the next look settles it.",
        lambda: [patch.object(protocol, "doubt", _doubt_until_the_look)],
    ),
    Mutant(
        "a refusal of what is asked again is final",
        "A side that applies a marker once has said no.",
        lambda: [patch.object(execute, "_refused", _refused_at_once)],
        ONCE_LADDER,
    ),
    Mutant(
        "every side is asked again",
        "What is in doubt is asked for again, whatever the side makes of the marker.",
        lambda: [patch.object(MemorySide, "_has_applied", lambda self, effect: False)],
        ONCE_LADDER,
    ),
    Mutant(
        "no fencing",
        "A lease has an end; that is enough to keep two workers apart.",
        lambda: [
            patch.object(statements, "UPDATE_CARD", _UPDATE_WITHOUT_FENCING),
            # The oracle would name the commit itself; what it costs is more to the point.
            patch.object(World, "_holds_lease", lambda self: True),
        ],
    ),
    Mutant(
        "the promise is kept",
        "A refused debit is still owed, so the shadow keeps it.",
        lambda: [patch.object(protocol, "withdraw", protocol._without)],
    ),
    Mutant(
        "planned again while stale",
        "A refused debit is still owed, so it is planned again at once.",
        lambda: [patch.object(protocol, "refuse", _planned_again_at_once)],
    ),
    Mutant(
        "credits do not wait",
        "Money is given and taken in the order in which it was planned.",
        lambda: [
            patch.object(execute, "debit_waits", lambda card: False),
            patch.object(execute, "_DEBITS_FIRST", {}),
        ],
    ),
    Mutant(
        "the look that was missed is not made up for",
        "A side with an open intent cannot be observed; the next hint will bring the worker back.",
        lambda: [patch.object(reconcile, "_wants_another_look", _looks_only_at_stale)],
        SHORT_LADDER,
    ),
    Mutant(
        "a credit waits for every debit",
        "Money is taken away everywhere before any is given.",
        lambda: [
            patch.object(execute, "debit_waits", _waits_for_every_debit),
            patch.object(reconcile, "debit_waits", _waits_for_every_debit),
        ],
    ),
    Mutant(
        "entries are read only when the balance moved",
        "A side that shows what it should show has nothing to tell.",
        lambda: [patch.object(Store, "doubted_sides", lambda self, card_id: frozenset())],
        BOOK_LADDER[:-1],
    ),
    Mutant(
        "a late create is taken for somebody else's",
        "A card that is there although its create was refused was made by others.",
        lambda: [patch.object(reconcile, "markers_of", _markers_of_entries)],
        BOOK_LADDER[-1:],
    ),
)
