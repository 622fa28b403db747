"""Resolve what is in doubt by reading back, never by sending again (design.md, step 5)."""

from __future__ import annotations

from datetime import timedelta

from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled
from connectors.api.side import CannotTell, EffectKind, Found, NotFound
from sync.crashpoints import crashpoint
from sync.decisions import notification, protocol
from sync.model import Card, Intent, IntentState, Presence
from sync.reconcile.execute import effect_of
from sync.reconcile.work import Work

#: Writing a status or an expiry again does no harm, so they need no read-back.
IDEMPOTENT = frozenset({EffectKind.SET_STATUS, EffectKind.SET_EXPIRY})


def recover(card: Card, work: Work) -> Card:
    """Resolve every intent whose quiet period is over; start one for what a dead worker left `sent`."""
    for side, intent in [(p.side, i) for p in card.presences for i in p.open_intents]:
        if intent.kind is EffectKind.NOTIFY and intent.state is not IntentState.PLANNED:
            words = "the worker stopped during the call"
            card = work.commit(card, notification.in_doubt(card, side, intent, words))
        elif intent.state is IntentState.SENT:
            card = _doubt_what_was_sent(card, intent, work)
        elif intent.state is IntentState.IN_DOUBT and _is_over(intent, work):
            card = _read_back(card, card.presence(side), intent, work)
    return card


def _is_over(intent: Intent, work: Work) -> bool:
    return intent.not_before is None or intent.not_before <= work.clock()


def _doubt_what_was_sent(card: Card, intent: Intent, work: Work) -> Card:
    until = work.clock() + timedelta(seconds=work.quiet_seconds)
    return work.commit(card, protocol.doubt(card, intent, "the worker stopped during the call", until))


def _read_back(card: Card, p: Presence, intent: Intent, work: Work) -> Card:
    if intent.kind in IDEMPOTENT:
        return work.commit(card, protocol.absent(card, p.side, intent))
    crashpoint("recover.before")
    try:
        found = work.side(p.side).find(effect_of(card, p, intent))
    except InDoubt as error:
        if error.answered:
            until = work.clock() + timedelta(seconds=work.quiet_seconds)
            return work.commit(card, protocol.unclear(card, p.side, intent, str(error), until))
        return _later(card, p, intent, work, str(error))
    except (NotSent, Throttled) as error:
        return _later(card, p, intent, work, str(error))
    except SideClosed as error:
        work.report_closed(p.side, error)
        return _later(card, p, intent, work, str(error))
    crashpoint("recover.found")
    match found:
        case Found():
            landed = protocol.land(
                card, p.side, intent, found.landings, found.native_id, found.reference or ""
            )
            return work.commit(card, landed)
        case NotFound():
            return work.commit(card, protocol.absent(card, p.side, intent))
        case CannotTell():
            until = work.clock() + timedelta(seconds=work.quiet_seconds)
            return work.commit(card, protocol.unclear(card, p.side, intent, found.reason, until))


def _later(card: Card, p: Presence, intent: Intent, work: Work, reason: str) -> Card:
    """The side could not be asked, which says nothing about the intent."""
    until = work.clock() + timedelta(seconds=work.quiet_seconds)
    return work.commit(card, protocol.doubt(card, intent, reason, until, intent.refusal))
