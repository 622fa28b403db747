"""Log lines of what was committed: movements, effects, conflicts, cards met. Cards by their last four."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import structlog

from mappings.serials import mask
from sync.model import Card, Decision, Intent, IntentState

log = structlog.get_logger(__name__)

#: What a change of an intent's state means, by the state it comes to; one of these follows `sent`.
_CHANGES = {
    IntentState.APPLIED: ("effect.applied", "an effect is on its side"),
    IntentState.REFUSED: ("effect.refused", "a side refused an effect"),
    IntentState.IN_DOUBT: ("effect.in_doubt", "no answer: the effect is looked for before it is sent again"),
    IntentState.WITHDRAWN: ("effect.withdrawn", "an effect was taken back before it was sent"),
    IntentState.PLANNED: ("effect.postponed", "an effect was not sent; it is tried again"),
}


def log_met(card_id: int, decision: Decision) -> None:
    """A card that the ledger has from now on."""
    log.info("a card was met", action="card.met", **_card(card_id, decision.card))
    log_decision(card_id, None, decision)


def log_decision(card_id: int, before: Card | None, decision: Decision) -> None:
    """What a committed decision changed. `before` is the card that it was made for; None for a new one."""
    causes = () if before is None else before.causes
    _log_movements(card_id, decision)
    _log_intents(card_id, before or decision.card, decision)
    _log_conflicts(card_id, decision, causes)


def _log_movements(card_id: int, decision: Decision) -> None:
    card = decision.card
    for m in decision.movements:
        log.info(
            "a movement was taken in",
            action="movement.taken",
            **_card(card_id, card, m.side),
            side=m.side,
            kind=m.kind.value,
            amount_minor=m.amount_minor,
            balance_minor=m.balance_after_minor,
            currency=card.currency,
        )


def _log_intents(card_id: int, before: Card, decision: Decision) -> None:
    card = decision.card
    known = {i.marker: i for i in before.open_intents}
    for change in decision.intent_changes:
        if change.state in _CHANGES and change.marker in known:
            intent = known[change.marker]
            action, words = _CHANGES[change.state]
            log.info(
                words,
                action=action,
                **_card(card_id, card, intent.side),
                side=intent.side,
                **_effect(intent),
                currency=card.currency,
                marker=change.marker,
                **({"reason": change.reason} if change.reason else {}),
            )


def _log_conflicts(card_id: int, decision: Decision, causes: Collection[str]) -> None:
    """`causes`: of the conflicts that were open before."""
    card = decision.card
    for conflict in decision.conflicts:
        if conflict.cause not in causes:
            log.info(
                "a conflict was opened",
                action="conflict.opened",
                **_card(card_id, card, conflict.side),
                side=conflict.side,
                kind=conflict.kind.value,
                amount_minor=conflict.amount_minor,
                currency=card.currency,
                summary=conflict.summary,
            )
    for cause in decision.causes_gone:
        if cause in causes:
            log.info(
                "a conflict closed by itself: its cause is gone",
                action="conflict.closed",
                **_card(card_id, card),
                kind=cause.split(":")[0],
            )


def _card(card_id: int, card: Card, side: str | None = None) -> Mapping[str, Any]:
    """The card by its id, and by its last four on the side that the line is about."""
    p = next((p for p in card.presences if p.side == side and p.last_chars), None)
    p = p or next((p for p in card.presences if p.last_chars), None)
    return {"card_id": card_id, "card": "" if p is None else mask(p.last_chars)}


def _effect(intent: Intent) -> Mapping[str, Any]:
    return {"effect": intent.kind.value, "amount_minor": intent.amount_minor}
