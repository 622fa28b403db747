"""Carry out a card's intents on its sides, one at a time per presence (design.md, step 4).

Commit `sent`, then call, then commit the outcome. A process that dies in between leaves the intent `sent`,
which whoever takes the card next treats as in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import takewhile

from connectors.api.card import CardRef
from connectors.api.effect import Effect, EffectKind, Found
from connectors.api.errors import (
    InDoubt,
    NoAnswer,
    NotSent,
    Refusal,
    Refused,
    SideClosed,
    SideError,
    Throttled,
)
from connectors.api.side import Side
from sync.crashpoints import crashpoint
from sync.decisions import notification, protocol
from sync.decisions.looks import FIRST_LOOK_SECONDS, first_look
from sync.ledger.cards.rows import card_after, planned_intent
from sync.ledger.sides.outages import WRITING
from sync.model import Card, Decision, Intent, IntentState, InvariantBroken, LinkStopped
from sync.reconcile.brakes import BrakeTripped
from sync.reconcile.work import Work

#: How long to leave a side alone that could not be reached; doubled each time up to the maximum.
NOT_SENT_WAIT_SECONDS = 2.0
NOT_SENT_WAIT_SECONDS_MAX = 60.0
#: After so many attempts that were not sent, only a side that answers again brings the effect further.
POSTPONED_MAX = 4
#: The longest that a side can make an effect wait before it is asked again.
WAIT_SECONDS_MAX = 300.0
#: How long to leave a side alone that needs a person.
CLOSED_WAIT_SECONDS = 60.0

_DEBITS_FIRST = {EffectKind.DEBIT: 0}
#: Of an intent whose marker is made as it is committed.
_UNMARKED = ""


def next_intent(card: Card, work: Work) -> Intent | None:
    """The intent to send now: the first of each presence's queue, debits before credits.

    Money is taken away on one side before it is given on another, so a crash in between never leaves the card
    worth more in two places. A credit waits for every open debit of the card that can be sent before it,
    unless that one waits for a person.
    """
    now = work.clock()
    heads = [p.open_intents[0] for p in card.presences if p.open_intents]
    ready = [
        head
        for head in heads
        if head.state is IntentState.PLANNED
        and (head.not_before is None or head.not_before <= now or _answers_again(head, work))
        and not (head.amount_minor > 0 and debit_waits(card))
    ]
    return min(ready, key=lambda head: (_DEBITS_FIRST.get(head.kind, 1), head.sequence), default=None)


def _answers_again(intent: Intent, work: Work) -> bool:
    """Whether the side was found to answer again since the intent could not be sent to it."""
    ended_at = work.link.outages.ended_at(intent.side)
    if ended_at is None or intent.not_before is None or not intent.postponed:
        return False
    return ended_at >= intent.not_before - timedelta(seconds=pause_seconds(intent.postponed - 1))


def debit_waits(card: Card) -> bool:
    """Whether an open debit holds the card's credits back.

    A debit that stands behind a credit or a create in its own queue comes after it: to wait for that one
    would be to wait for ever.
    """
    return any(
        i.kind is EffectKind.DEBIT and i.unclear_reads < protocol.UNCLEAR_READS_MAX
        for p in card.presences
        for i in takewhile(lambda intent: intent.amount_minor <= 0, p.open_intents)
    )


def effect_of(card: Card, intent: Intent) -> Effect:
    """The intent in the words that connectors understand."""
    p = card.presence(intent.side)
    return Effect(
        marker=intent.marker,
        kind=intent.kind,
        card=CardRef(p.native_id, p.serial),
        currency=card.currency,
        amount_minor=abs(intent.amount_minor),
        status=intent.status,
        expires_on=intent.expires_on,
        contact=p.contact if intent.kind is EffectKind.NOTIFY else None,
        note=intent.note,
        brand=intent.brand,
        progress=intent.progress,
    )


def execute(card: Card, intent: Intent, work: Work) -> Card:
    """Send one planned intent and commit what came of it."""
    if intent.state is not IntentState.PLANNED:
        raise InvariantBroken(f"intent {intent.marker} is {intent.state}; only planned ones are sent")
    work.keep_lease()
    _spend(work, intent.marker, intent.amount_minor)
    return _call(work.commit(card, protocol.sent(card, intent)), intent, work)


def commit_and_send(card: Card, decision: Decision, work: Work) -> Card:
    """Commit a decision. If the next effect to send is one that it plans, that is sent with the same commit.

    What a brake holds back stays planned, and `execute` tells of it under its marker. Raises LinkStopped once
    the decision is committed.
    """
    nth = _next_of(decision, work)
    if nth is None:
        return work.commit(card, decision)
    work.keep_lease()
    try:
        _spend(work, _UNMARKED, decision.intents[nth].amount_minor)
        card = work.commit(card, protocol.sent_at_once(decision, nth))
    except BrakeTripped:
        return work.commit(card, decision)
    except LinkStopped:
        work.commit(card, decision)
        raise
    # Only the first of a presence's queue is sent.
    return _call(card, card.presence(decision.intents[nth].side).open_intents[0], work)


def _next_of(decision: Decision, work: Work) -> int | None:
    """Which of the decision's new intents is to be sent now; None: none of them."""
    if any(i.lost is not None for i in decision.intents):
        return None
    last = max((i.sequence for i in decision.card.open_intents), default=0)
    made = [planned_intent(i, _UNMARKED, last + n) for n, i in enumerate(decision.intents, 1)]
    ready = next_intent(card_after(decision, made, decision.card.version), work) if made else None
    if ready is None or ready.side in work.closed:
        return None
    return next((n for n, intent in enumerate(made) if intent is ready), None)


def _spend(work: Work, marker: str, amount_minor: int) -> None:
    """Count the effect against the brakes. Raises BrakeTripped."""
    engine, card_id = work.link.store.engine, work.lease.card_id
    work.link.brake.spend(engine, card_id, marker, abs(amount_minor), work.clock())


def _call(card: Card, intent: Intent, work: Work) -> Card:
    """Carry out what was sent, and commit what came of it."""
    side = work.side(intent.side)
    crashpoint("execute.sent")
    # A pause of this process may have cost the lease; then the call belongs to somebody else.
    work.check_lease()

    def save(progress: Mapping[str, str], /, *, lazily: bool = False) -> None:
        nonlocal card
        card = work.save_progress(card, intent.marker, progress, lazily=lazily)

    try:
        applied = side.apply(effect_of(card, intent), save)
    except NotSent as error:
        work.link.note_failure(side.name, WRITING, error)
        return _again(card, intent, work, error, pause_seconds(intent.postponed))
    except Throttled as error:
        return _again(card, intent, work, error, error.wait_seconds)
    except SideClosed as error:
        work.closed.add(side.name)
        work.link.note_failure(side.name, WRITING, error)
        return _again(card, intent, work, error, CLOSED_WAIT_SECONDS)
    except Refused as error:
        crashpoint("execute.called")
        work.link.note_answer(side.name, WRITING)
        return _refused(card, intent, work, error)
    except InDoubt as error:
        crashpoint("execute.called")
        if intent.kind is EffectKind.NOTIFY:
            return work.commit_outcome(card, notification.in_doubt(card, intent, str(error)))
        if side.capabilities.applies_marker_once:
            return work.commit_outcome(
                card, protocol.ask_again(card, intent, str(error), _asked_at(intent, work))
            )
        return _in_doubt(card, intent, work, str(error))
    crashpoint("execute.called")
    work.link.note_answer(side.name, WRITING)
    if intent.kind is EffectKind.NOTIFY:
        return work.commit_outcome(card, notification.record_notified(card, intent, applied.reference or ""))
    repeated = intent.doubted and not side.capabilities.applies_marker_once
    landings = _landings(card, intent, side) if repeated else 1
    return work.commit_outcome(card, protocol.land_applied(card, intent, applied, landings))


def pause_seconds(postponed: int) -> float:
    """How long an effect waits whose side could not be reached, after so many attempts before this one."""
    return min(NOT_SENT_WAIT_SECONDS * 2.0 ** min(postponed, POSTPONED_MAX * 4), NOT_SENT_WAIT_SECONDS_MAX)


def _again(card: Card, intent: Intent, work: Work, error: SideError, wait_seconds: float) -> Card:
    not_before = work.clock() + timedelta(seconds=min(wait_seconds, WAIT_SECONDS_MAX))
    # A side that needs a person is not waited for at all.
    postponed = max(intent.postponed + 1, POSTPONED_MAX if isinstance(error, SideClosed) else 0)
    return work.commit_outcome(
        card, protocol.not_sent(card, intent, str(error), not_before, postponed=postponed)
    )


def _in_doubt(card: Card, intent: Intent, work: Work, reason: str, refusal: Refusal | None = None) -> Card:
    now = work.clock()
    until = now + timedelta(seconds=work.quiet_seconds)
    look_at = first_look(intent.kind, now, work.quiet_seconds, _doubt_seconds(intent))
    return work.commit_outcome(card, protocol.doubt(card, intent, reason, until, refusal, look_at=look_at))


def _asked_at(intent: Intent, work: Work) -> datetime:
    """When a side that applies a marker once is asked again: at once at first, then like one out of reach."""
    return work.clock() + timedelta(seconds=_doubt_seconds(intent))


def _doubt_seconds(intent: Intent) -> float:
    """How long an effect is left alone that has just come to be in doubt."""
    asked_again = intent.doubted and intent.postponed > 0
    return pause_seconds(intent.postponed - 1) if asked_again else FIRST_LOOK_SECONDS


def _refused(card: Card, intent: Intent, work: Work, error: Refused) -> Card:
    if intent.kind is EffectKind.NOTIFY:
        return work.commit_outcome(card, notification.not_told(card, intent, str(error)))
    if intent.doubted:
        # The refusal may be the work of our own earlier attempt: only its marker can tell.
        return _in_doubt(card, intent, work, str(error), error.reason)
    return work.commit_outcome(card, protocol.refuse(card, intent, error.reason, str(error), error.native_id))


def _landings(card: Card, intent: Intent, side: Side) -> int:
    """An intent that was in doubt before may have landed twice by now."""
    try:
        found = side.find(effect_of(card, intent))
    except (NoAnswer, SideClosed):
        return 1  # The side's book tells at the next look.
    return max(found.landings, 1) if isinstance(found, Found) else 1
