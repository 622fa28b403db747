"""Protocols that must lose: each takes one rule away from the real one, and the simulation must notice.

A mutant patches the real functions while it is entered. Those after the first ten are mistakes that the
simulation found in giftsync itself; they stay here so that they cannot come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, bindparam, literal, select, update

from connectors.api.card import Seen
from connectors.api.effect import MOVES_MONEY, Applied
from connectors.api.errors import Refusal, Refused
from connectors.memory import MemoryFault, MemorySide
from sync.authority import redemptions as api
from sync.decisions import authority, first_contact, promises, protocol, redemptions
from sync.decisions import draft as draft_module
from sync.decisions.authority import Mode
from sync.decisions.draft import Draft
from sync.ledger.cards import recorded, statements, store
from sync.ledger.cards import redemptions as hub
from sync.ledger.cards.statements import CARD_COLUMNS, LEASED
from sync.ledger.cards.store import Store
from sync.ledger.database.tables import api_requests, cards
from sync.model import (
    Caller,
    Card,
    Decision,
    Intent,
    IntentState,
    KnownMarker,
    LinkRules,
    MovementKind,
    NewIntent,
    Observations,
    Presence,
    Redemption,
    Traces,
)
from sync.reconcile import card as reconcile
from sync.reconcile import execute, recover
from sync.reconcile.work import Work
from tests.simulation.explore import CounterExample, explore
from tests.simulation.key_alone import key_alone
from tests.simulation.tampering import changed_rows
from tests.simulation.world import Call, Event, Setup, World

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
_BOOK: Mapping[str, Any] = {"lists_entries": True, "lands_beyond_quiet": True}
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
#: Sides where money lands at most once under its marker.
LANDS_ONCE_LADDER = tuple(
    replace(setup, applies_marker_once=False, lands_once=MOVES_MONEY) for setup in ONCE_LADDER
)
#: For mistakes that one event or no fault cannot show.
SHORT_LADDER = (Setup(TWO, (SPEND, SPEND_TOO), 1, crashes=False, overtaking=False),)


#: Callers of the API, who repeat what they asked and give back what they paid.
CALL_LADDER = (
    Setup(TWO, OVERDRAW[:1], 0, calls=(Call(7), Call(7))),
    Setup(TWO, (), 1, calls=(Call(7), Call(7))),
    Setup(TWO, OVERDRAW[:1], 1, calls=(Call(7), Call(7))),
)
#: A side that takes no money onto a card.
NO_TOP_UP_LADDER = (Setup(TWO, (Event("pos", 5),), 0, no_top_up=("web",)),)
REVERSAL_LADDER = (Setup(TWO, (), 1, calls=(Call(7), Call(7, reverses=True))),)
#: Callers who are answered at once, while a worker has the card.
RECORD_LADDER = (
    Setup(TWO, OVERDRAW[:1], 0, calls=(Call(7), Call(6, "b")), calls_within=True, mode=Mode.RECORD),
)


_plan_balance = protocol._plan_balance


def _plans_in_silence(draft: Draft, p: Presence, rules: LinkRules, today: date) -> None:
    told = list(draft.conflicts)
    _plan_balance(draft, p, rules, today)
    draft.conflicts[:] = told


@dataclass(frozen=True)
class Mutant:
    name: str
    #: Why somebody might think that it works.
    story: str
    patches: Callable[[], Iterable[object]]
    ladder: tuple[Setup, ...] = LADDER
    #: For what schedules of the ladder do not have: what goes wrong, in words, shortest first.
    examples: Callable[[], Sequence[str]] | None = None

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
        if mutant.examples is not None:
            return next((CounterExample(1, 0, words) for words in mutant.examples()), None)
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
    intent: Intent,
    applied: Applied,
    landings: int = 1,
    real: Callable[..., Decision] = protocol.land_applied,
) -> Decision:
    decision = real(card, intent, applied, landings)
    draft = Draft(decision.card)
    draft.change(intent.side, shadow_minor=applied.balance_minor or 0)
    return replace(decision, card=draft.card)


def _blind_retry(
    card: Card, intent: Intent, reason: str, not_before: object, refusal: object = None, *, look_at: object
) -> Decision:
    return protocol.not_sent(card, intent, reason, not_before)  # type: ignore[arg-type]


def _planned_again_at_once(
    card: Card,
    intent: Intent,
    refusal: Refusal,
    reason: str,
    native_id: str | None = None,
    real: Callable[..., Decision] = protocol.refuse,
) -> Decision:
    decision = real(card, intent, refusal, reason, native_id)
    draft, side = Draft(decision.card), intent.side
    shadow = draft.presence(side).shadow_minor
    draft.change(side, stale=False, shadow_minor=shadow + intent.amount_minor)
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


def _refused_at_once(card: Card, intent: Intent, work: Work, error: Refused) -> Card:
    return work.commit(card, protocol.refuse(card, intent, error.reason, str(error), error.native_id))


_UPDATE_WITHOUT_FENCING = (
    update(cards)
    .where(cards.c.id == bindparam("lease_card"))
    .values({name: bindparam(name) for name in CARD_COLUMNS})
    .returning(cards.c.id)
)


def _waits_for_every_debit(card: Card) -> bool:
    return any(i.kind == "debit" for i in card.open_intents)


def _markers_of_entries(card: Card, observations: Observations) -> list[str]:
    seen = [o for o in observations.values() if isinstance(o, Seen)]
    return sorted({e.marker for o in seen for e in o.entries or () if e.marker is not None})


def _looks_only_at_stale(card: Card, unseen: object, work: Work) -> bool:
    return any(p.stale and not p.open_intents and p.side not in work.closed for p in card.presences)


def _awaits_only_what_is_planned(p: Presence) -> bool:
    return any(i.kind == "debit" and i.state == "planned" for i in p.open_intents)


def _withdrawn_in_doubt(
    draft: Draft, p: Presence, real: Callable[..., None] = redemptions._unpromise
) -> None:
    real(draft, p)
    changes = draft.intent_changes
    for change in changes.copy():
        if change.refusal is Refusal.TAKEN_BACK and change.state is IntentState.IN_DOUBT:
            changes.remove(change)
            intent = next(i for i in p.open_intents if i.marker == change.marker)
            draft.withdraw(intent, change.reason)


def _pays_again(self: api.Redemptions, card_id: int, wish: api.Wish, caller: Caller) -> object:
    with self.hands.claimed(card_id) as work:
        self._take(work, wish, caller, Mode.AUTHORISE)
    return self._made(caller)


def _enters_what_fits(
    card: Card,
    waiting: Sequence[Redemption],
    *rules: Any,
    real: Callable[..., Decision] = authority.enter,
) -> Decision:
    left, fits = card.balance_minor, list[Redemption]()
    for r in waiting:
        if r.amount_minor <= left:
            left -= r.amount_minor
            fits.append(r)
    decision = real(card, fits, *rules)
    return replace(decision, entered=tuple(r.id for r in waiting))


def _claims_again(connection: Connection, caller: Caller, made: str) -> None:
    mine = (api_requests.c.token_id == caller.token_id, api_requests.c.key == caller.key)
    connection.execute(update(api_requests).where(*mine).values(made=made))


_NOTHING = select(literal(0))

_LISTED: Mapping[str, Any] = {"lists_entries": True, "overtaking": False}


def _when_rows_are_changed(change: str) -> Callable[[], Sequence[str]]:
    return lambda: changed_rows(Setup(TWO, (SPEND,), 0), change).examples


_UPDATE_WITHOUT_LOOKING = (
    update(cards)
    .where(LEASED, cards.c.version == bindparam("card_version"))
    .values({name: bindparam(name) for name in CARD_COLUMNS})
    .returning(cards.c.id)
)


MUTANTS = (
    Mutant(
        "a caller is answered before the sides have confirmed",
        "The hub has the money, so the goods can be handed over.",
        lambda: [patch.object(authority, "is_confirmed", lambda card: True)],
        CALL_LADDER,
    ),
    Mutant(
        "what is in doubt has landed",
        "A debit without an answer has mostly taken effect.",
        lambda: [patch.object(redemptions, "awaits_debit", _awaits_only_what_is_planned)],
        CALL_LADDER,
    ),
    Mutant(
        "a pending redemption stands",
        "Whoever asked the hub first is served; the merchant bears what was spent elsewhere meanwhile.",
        lambda: [patch.object(redemptions, "give_way", lambda draft: None)],
        CALL_LADDER,
    ),
    Mutant(
        "a repeated request pays again",
        "A caller who asks again wants to pay again.",
        lambda: [
            patch.object(api.Redemptions, "redeem", _pays_again),
            patch.object(hub, "_claim", _claims_again),
        ],
        CALL_LADDER,
    ),
    Mutant(
        "what is recorded and not entered is not counted",
        "The hub's balance says what can be paid with the card.",
        lambda: [
            patch.object(api, "recorded_minor", lambda *_: 0),
            patch.object(recorded, "_TOTAL", _NOTHING),
        ],
        RECORD_LADDER,
    ),
    Mutant(
        "what was recorded is entered only where the card still has it",
        "A card that has less by now cannot pay for it.",
        lambda: [patch.object(authority, "enter", _enters_what_fits)],
        RECORD_LADDER,
    ),
    Mutant(
        "a refused redemption is not given back to the hub",
        "The sides were never debited, so nothing has to be undone.",
        lambda: [patch.object(redemptions, "give_back", lambda draft, *_: None)],
        CALL_LADDER,
    ),
    Mutant(
        "a debit in doubt is withdrawn with its redemption",
        "What nobody wants any more need not be looked for.",
        lambda: [patch.object(redemptions, "_unpromise", _withdrawn_in_doubt)],
        REVERSAL_LADDER,
    ),
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
        lambda: [patch.object(protocol, "land_applied", _landed_by_rereading)],
    ),
    Mutant(
        "no intents",
        "Nothing is written down before a call; what was not confirmed is simply done.",
        lambda: [
            patch.object(protocol, "sent", lambda card, intent: Decision(card)),
            patch.object(protocol, "sent_at_once", lambda decision, nth: decision),
        ],
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
        "asked again before the quiet period is over",
        "What a look does not find is asked for again at once.",
        lambda: [patch.object(recover, "_may_ask_again", lambda intent, work: True)],
    ),
    Mutant(
        "what lands once is asked again where it lands twice",
        "An order that is settled takes another settlement.",
        lambda: [patch.object(MemorySide, "_has_applied", lambda self, effect: False)],
        LANDS_ONCE_LADDER,
    ),
    Mutant(
        "a refusal of what is asked again after a look is final",
        "The side has said no, and nothing of it is there.",
        lambda: [patch.object(execute, "_refused", _refused_at_once)],
        LANDS_ONCE_LADDER,
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
        "rows are believed as they stand",
        "What is in the ledger, giftsync has written.",
        lambda: [patch.object(store, "_is_as_written", lambda *_: True)],
        examples=_when_rows_are_changed("the hub's balance is raised"),
    ),
    Mutant(
        "whatever is planned is sent",
        "An intent in the ledger was planned by a decision.",
        lambda: [patch.object(store, "_is_as_written", lambda *_: True)],
        examples=_when_rows_are_changed("a credit is forged"),
    ),
    Mutant(
        "a commit does not look at the row again",
        "A card was found to be right when it was loaded, so it may be written over.",
        lambda: [patch.object(statements, "UPDATE_CARD", _UPDATE_WITHOUT_LOOKING)],
        examples=_when_rows_are_changed("the hub's balance is raised"),
    ),
    Mutant(
        "an empty ledger believes the side that it meets first",
        "Nothing is known of the card, so what is seen first is what it is worth.",
        lambda: [patch.object(first_contact, "compare", lambda draft, rules: None)],
        examples=lambda: key_alone(Setup(TWO, (SPEND, Event("web", -2)), 0, **_LISTED)).examples,
    ),
    Mutant(
        "what a side cannot be given is not told",
        "Nothing can be done about a side that takes no top-up, so nobody need know.",
        lambda: [patch.object(protocol, "_plan_balance", _plans_in_silence)],
        NO_TOP_UP_LADDER,
    ),
    Mutant(
        "the promise is kept",
        "A refused debit is still owed, so the shadow keeps it.",
        lambda: [patch.object(draft_module, "withdraw", promises.without)],
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
