"""Telling the buyer of a new card, through the side that has it: at most once.

A second message is worse than none. So whatever leaves it open whether one went out ends the intent, and a
person is told; nothing is sent again until they say so. A notification holds nothing up: no presence waits
for it, and a refusal of it says nothing about the card.
"""

from __future__ import annotations

from dataclasses import replace

from connectors.api.effect import EffectKind
from sync.decisions import causes
from sync.decisions.draft import Draft
from sync.model import (
    Card,
    ConflictKind,
    Decision,
    Intent,
    IntentState,
    NewIntent,
    Presence,
)


def planned(p: Presence) -> tuple[NewIntent, ...]:
    """What follows once giftsync has made the card: its buyer is told, if it is known how."""
    return () if p.contact is None else (NewIntent(p.side, EffectKind.NOTIFY),)


def record_notified(card: Card, intent: Intent, reference: str) -> Decision:
    """The side has taken the message; how the buyer is reached is forgotten."""
    draft, side = Draft(card), intent.side
    draft.end(intent, IntentState.APPLIED, reference)
    draft.change(side, contact=None)
    draft.causes_gone.append(causes.on_side(side, ConflictKind.NOTIFICATION))
    return draft.decision()


def not_told(card: Card, intent: Intent, reason: str) -> Decision:
    """The side said no: nobody was told, and nothing else is touched by it."""
    draft, side = Draft(card), intent.side
    draft.end(intent, IntentState.REFUSED, reason)
    words = f"The buyer was not told of the card by {side}: {reason}."
    draft.conflicts.append(causes.not_told(side, words, reason))
    return draft.decision()


def in_doubt(card: Card, intent: Intent, reason: str) -> Decision:
    """Nobody can tell whether the message went out. It is not sent again."""
    draft, side = Draft(card), intent.side
    draft.end(intent, IntentState.WITHDRAWN, f"in doubt, and never repeated: {reason}")
    words = f"The buyer may or may not have been told of the card: {side}'s answer was lost."
    draft.conflicts.append(causes.not_told(side, words, reason))
    return draft.decision()


def notify_again(card: Card, side: str) -> Decision:
    """A person wants the buyer to be told after all."""
    return Decision(card, intents=(NewIntent(side, EffectKind.NOTIFY),))


def forgotten(card: Card, side: str) -> Card:
    """The card without what is known of how its buyer is reached."""
    p = replace(card.presence(side), contact=None)
    return replace(card, presences=tuple(p if q.side == side else q for q in card.presences))
