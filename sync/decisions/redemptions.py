"""Open redemptions on a card, pure: when they are certain, and how they give way.

An open redemption has been taken off the hub's balance. It is certain once no side can spend that money any
more. Until then it gives way to whoever turns out to have spent first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from connectors.api.effect import EffectKind
from connectors.api.errors import Refusal
from mappings.lifecycle import CardStatus
from sync.decisions.draft import Draft
from sync.decisions.promises import is_untried
from sync.model import (
    Card,
    Hold,
    IntentChange,
    IntentState,
    MovementKind,
    Presence,
    Redemption,
    RedemptionChange,
    RedemptionState,
)

#: In the evidence of a movement: the redemption that it is of.
REDEMPTION = "redemption"
SPENT_ELSEWHERE = "the money was spent elsewhere at the same time"


def awaits_debit(p: Presence) -> bool:
    """Whether a debit is on its way to the side, or may be."""
    return any(i.kind is EffectKind.DEBIT for i in p.open_intents)


def is_covered(card: Card, p: Presence) -> bool:
    """Whether what the side lets customers spend is no more than the hub says, as far as is known."""
    if p.shadow_status is CardStatus.CLOSED:
        return True
    if p.stale or p.hold not in (None, Hold.REFUSED):
        return False
    return p.shadow_minor <= card.balance_minor


def is_confirmed(card: Card) -> bool:
    """Whether no side can spend again what the open redemptions of the card have taken."""
    return not (card.held or card.behind) and all(
        is_covered(card, p) and not awaits_debit(p) for p in card.presences
    )


def give_way(draft: Draft) -> None:
    """A card that turns out to have less than was taken: what is not certain yet is refused, newest first."""
    while draft.card.balance_minor < 0:
        pending = [r for r in draft.card.redemptions if r.state is RedemptionState.PENDING]
        if not pending:
            return
        take_back(draft, pending[-1], RedemptionState.REFUSED, SPENT_ELSEWHERE)


def take_back(draft: Draft, redemption: Redemption, state: RedemptionState, reason: str) -> None:
    """Give the whole amount back to the hub; what was not sent yet is withdrawn. To be settled afterwards."""
    give_back(draft, redemption.id, redemption.amount_minor, reason)
    draft.redemption_changes.append(RedemptionChange(redemption.id, state, 0, reason))
    left = tuple(r for r in draft.card.redemptions if r.id != redemption.id)
    draft.card = replace(draft.card, redemptions=left)


def give_back(draft: Draft, redemption_id: str, amount_minor: int, reason: str) -> None:
    """Move some of it back; debits that nobody has tried yet are withdrawn."""
    draft.move(MovementKind.REVERSAL, None, amount_minor, 0, {REDEMPTION: redemption_id, "why": reason})
    for p in draft.card.presences:
        _unpromise(draft, p)


def _unpromise(draft: Draft, p: Presence) -> None:
    """Withdraw debits that are not owed any more, the last planned first."""
    for intent in reversed(p.open_intents):
        owed = draft.card.balance_minor - draft.presence(p.side).shadow_minor
        if owed <= 0 or intent.kind is not EffectKind.DEBIT:
            return
        if is_untried(intent):
            draft.withdraw(intent, "the redemption was taken back")
            continue
        if intent.state is IntentState.IN_DOUBT and -intent.amount_minor == owed:
            # If it turns out that it never landed, it is not sent again.
            draft.intent_changes.append(
                IntentChange(
                    intent.marker,
                    IntentState.IN_DOUBT,
                    "the redemption was taken back",
                    not_before=intent.not_before,
                    look_at=intent.look_at,
                    refusal=Refusal.TAKEN_BACK,
                )
            )
        return


def uncovered(card: Card, debited: Collection[str]) -> tuple[str, ...]:
    """The sides that could still spend what was taken, and of which no debit says that they will not."""
    return tuple(
        p.side
        for p in card.presences
        if p.side not in debited and not awaits_debit(p) and not is_covered(card, p)
    )
