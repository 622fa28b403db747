"""Resolve what is in doubt by reading back, never by sending again (design.md, step 5).

To find the marker is conclusive at any moment; that it is not there says something only after the quiet
period.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.api.effect import CannotTell, EffectKind, Found, NotFound
from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled
from sync.crashpoints import crashpoint
from sync.decisions import notification, protocol
from sync.decisions.looks import IDEMPOTENT, next_look
from sync.model import Card, Intent, IntentState
from sync.reconcile.execute import CLOSED_WAIT_SECONDS, effect_of
from sync.reconcile.work import Work

_STOPPED = "the worker stopped during the call"


def recover(card: Card, work: Work) -> Card:
    """Look for every intent in doubt whose look is due; what a dead worker left `sent` is in doubt."""
    for marker in [i.marker for i in card.open_intents]:
        intent = _open_intent(card, marker)
        if intent is None:
            continue  # The outcome of an intent before it has ended it, too.
        if intent.kind is EffectKind.NOTIFY and intent.state is not IntentState.PLANNED:
            card = work.commit(card, notification.in_doubt(card, intent, _STOPPED))
            continue
        if intent.state is IntentState.SENT:
            card = _doubt_what_was_sent(card, intent, work)
            intent = _open_intent(card, marker)
        if intent is not None and intent.state is IntentState.IN_DOUBT and _is_due(intent, work):
            card = _read_back(card, intent, work)
    return card


def _open_intent(card: Card, marker: str) -> Intent | None:
    return next((i for i in card.open_intents if i.marker == marker), None)


def _is_due(intent: Intent, work: Work) -> bool:
    return intent.due_at is None or intent.due_at <= work.clock()


def _quiet_is_over(intent: Intent, work: Work) -> bool:
    """Whether no request for the intent can land any more."""
    return intent.not_before is None or intent.not_before <= work.clock()


def _doubt_what_was_sent(card: Card, intent: Intent, work: Work) -> Card:
    """The call has ended with the lease at the latest; the side may hold the request from now on."""
    now = work.clock()
    if work.side(intent.side).capabilities.applies_marker_once:
        return work.commit(card, protocol.ask_again(card, intent, _STOPPED, now))
    until = now + timedelta(seconds=work.quiet_seconds)
    look_at = until if intent.kind in IDEMPOTENT else now
    return work.commit(card, protocol.doubt(card, intent, _STOPPED, until, look_at=look_at))


def _read_back(card: Card, intent: Intent, work: Work) -> Card:
    # As it is before the look: what lands during it may be missed.
    quiet_is_over = _quiet_is_over(intent, work)
    if intent.kind in IDEMPOTENT:
        return work.commit(card, protocol.absent(card, intent)) if quiet_is_over else card
    if work.side(intent.side).capabilities.applies_marker_once and intent.refusal is None:
        return work.commit(card, protocol.ask_again(card, intent, "asked again", work.clock()))
    crashpoint("recover.before")
    try:
        found = work.side(intent.side).find(effect_of(card, intent))
    except Throttled as error:
        return _not_asked(card, intent, work, str(error), error.wait_seconds)
    except InDoubt as error:
        if error.answered and quiet_is_over:
            until = work.clock() + timedelta(seconds=work.quiet_seconds)
            return work.commit(card, protocol.unclear(card, intent, str(error), until))
        return _not_asked(card, intent, work, str(error))
    except NotSent as error:
        return _not_asked(card, intent, work, str(error))
    except SideClosed as error:
        work.report_closed(intent.side, error)
        return _not_asked(card, intent, work, str(error), CLOSED_WAIT_SECONDS)
    crashpoint("recover.found")
    match found:
        case Found():
            landed = protocol.land(
                card, intent, found.landings, found.native_id, found.reference or "", found.serial
            )
            return work.commit(card, landed)
        case NotFound() if not quiet_is_over and _may_ask_again(intent, work):
            return work.commit(card, protocol.ask_again(card, intent, "not found; asked again", work.clock()))
        case NotFound() | CannotTell() if not quiet_is_over:
            return work.save_look(card, intent, _next_look(intent, work))
        case NotFound():
            return work.commit(card, protocol.absent(card, intent))
        case CannotTell():
            until = work.clock() + timedelta(seconds=work.quiet_seconds)
            return work.commit(card, protocol.unclear(card, intent, found.reason, until))


def _may_ask_again(intent: Intent, work: Work) -> bool:
    """Whether the same request settles it, although an earlier one may still land.

    A refusal is no such request: the earlier one may land where this one did not.
    """
    return intent.kind in work.side(intent.side).capabilities.lands_once and intent.refusal is None


def _not_asked(card: Card, intent: Intent, work: Work, reason: str, wait_seconds: float = 0.0) -> Card:
    """That says nothing about the intent. A side that asks for patience is left alone until that is over."""
    look_at = max(_next_look(intent, work), work.clock() + timedelta(seconds=wait_seconds))
    return work.commit(card, protocol.look_again(card, intent, reason, look_at))


def _next_look(intent: Intent, work: Work) -> datetime:
    now = work.clock()
    return next_look(now, intent.not_before or now, work.quiet_seconds)
