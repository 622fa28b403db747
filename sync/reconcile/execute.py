"""Carry out a card's intents on its sides, one at a time per presence (design.md, step 4).

Commit `sent`, then call, then commit the outcome. A process that dies in between leaves the intent `sent`,
which whoever takes the card next treats as in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import takewhile

from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, SideClosed, Throttled
from connectors.api.side import (
    Applied,
    CardRef,
    Effect,
    EffectKind,
    Found,
    Side,
)
from sync.crashpoints import crashpoint
from sync.decisions import notification, protocol
from sync.decisions.looks import FIRST_LOOK_SECONDS, first_look
from sync.model import Card, Decision, Intent, IntentState, InvariantBroken, Presence
from sync.reconcile.work import Work

#: How long to leave a side alone that could not be reached.
NOT_SENT_WAIT_SECONDS = 2.0
#: The longest that a side can make an effect wait before it is asked again.
WAIT_SECONDS_MAX = 300.0
#: How long to leave a side alone that needs a person.
CLOSED_WAIT_SECONDS = 60.0

_DEBITS_FIRST = {EffectKind.DEBIT: 0}


def next_intent(card: Card, work: Work) -> tuple[Presence, Intent] | None:
    """The intent to send now: the first of each presence's queue, debits before credits.

    Money is taken away on one side before it is given on another, so a crash in between never leaves the card
    worth more in two places. A credit waits for every open debit of the card that can be sent before it,
    unless that one waits for a person.
    """
    now = work.clock()
    heads = [(p, p.open_intents[0]) for p in card.presences if p.open_intents]
    ready = [
        (p, head)
        for p, head in heads
        if head.state is IntentState.PLANNED
        and (head.not_before is None or head.not_before <= now)
        and not (head.amount_minor > 0 and debit_waits(card))
    ]
    return min(ready, key=lambda pair: (_DEBITS_FIRST.get(pair[1].kind, 1), pair[1].sequence), default=None)


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


def effect_of(card: Card, p: Presence, intent: Intent) -> Effect:
    """The intent in the words that connectors understand."""
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


def execute(card: Card, p: Presence, intent: Intent, work: Work) -> Card:
    """Send one planned intent and commit what came of it."""
    if intent.state is not IntentState.PLANNED:
        raise InvariantBroken(f"intent {intent.marker} is {intent.state}; only planned ones are sent")
    side = work.side(p.side)
    work.keep_lease()
    engine, card_id = work.link.store.engine, work.lease.card_id
    work.link.brake.spend(engine, card_id, intent.marker, abs(intent.amount_minor), work.clock())
    card = work.commit(card, protocol.sent(card, intent))
    crashpoint("execute.sent")
    # A pause of this process may have cost the lease; then the call belongs to somebody else.
    work.check_lease()

    def save(progress: Mapping[str, str]) -> None:
        work.save_progress(intent.marker, progress)

    try:
        applied = side.apply(effect_of(card, p, intent), save)
    except NotSent as error:
        return _again(card, intent, work, str(error), NOT_SENT_WAIT_SECONDS)
    except Throttled as error:
        return _again(card, intent, work, str(error), error.wait_seconds)
    except SideClosed as error:
        work.report_closed(p.side, error)
        return _again(card, intent, work, str(error), CLOSED_WAIT_SECONDS)
    except Refused as error:
        crashpoint("execute.called")
        return _refused(card, p, intent, work, error)
    except InDoubt as error:
        crashpoint("execute.called")
        if intent.kind is EffectKind.NOTIFY:
            return work.commit(card, notification.in_doubt(card, p.side, intent, str(error)))
        if side.capabilities.applies_marker_once:
            return work.commit(card, protocol.ask_again(card, intent, str(error), _asked_at(intent, work)))
        return _in_doubt(card, intent, work, str(error))
    crashpoint("execute.called")
    if intent.kind is EffectKind.NOTIFY:
        return work.commit(card, notification.record_notified(card, p.side, intent, applied.reference or ""))
    repeated = intent.doubted and not side.capabilities.applies_marker_once
    landings = _landings(card, p, intent, side) if repeated else 1
    return work.commit(card, _landed(card, p, intent, applied, landings))


def _again(card: Card, intent: Intent, work: Work, reason: str, wait_seconds: float) -> Card:
    not_before = work.clock() + timedelta(seconds=min(wait_seconds, WAIT_SECONDS_MAX))
    return work.commit(card, protocol.not_sent(card, intent, reason, not_before))


def _in_doubt(card: Card, intent: Intent, work: Work, reason: str, refusal: Refusal | None = None) -> Card:
    now = work.clock()
    until = now + timedelta(seconds=work.quiet_seconds)
    look_at = first_look(intent.kind, now, work.quiet_seconds)
    return work.commit(card, protocol.doubt(card, intent, reason, until, refusal, look_at=look_at))


def _asked_at(intent: Intent, work: Work) -> datetime:
    """When a side that applies a marker once is asked again: at once at first, then like one out of reach."""
    seconds = NOT_SENT_WAIT_SECONDS if intent.doubted else FIRST_LOOK_SECONDS
    return work.clock() + timedelta(seconds=seconds)


def _refused(card: Card, p: Presence, intent: Intent, work: Work, error: Refused) -> Card:
    if intent.kind is EffectKind.NOTIFY:
        return work.commit(card, notification.not_told(card, p.side, intent, str(error)))
    if intent.doubted:
        # The refusal may be the work of our own earlier attempt: only its marker can tell.
        return _in_doubt(card, intent, work, str(error), error.reason)
    return work.commit(card, protocol.refuse(card, p.side, intent, error.reason, str(error), error.native_id))


def _landings(card: Card, p: Presence, intent: Intent, side: Side) -> int:
    """An intent that was in doubt before may have landed twice by now."""
    try:
        found = side.find(effect_of(card, p, intent))
    except (NotSent, Throttled, InDoubt, SideClosed):
        return 1  # The side's book tells at the next look.
    return max(found.landings, 1) if isinstance(found, Found) else 1


def _landed(card: Card, p: Presence, intent: Intent, applied: Applied, landings: int) -> Decision:
    return protocol.land(card, p.side, intent, landings, applied.native_id, applied.reference or "")
