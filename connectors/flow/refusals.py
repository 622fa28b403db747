"""Why Flow says no, told from the card itself.

Error bodies are unpublished (flow.md §1), so a refusal is explained by reading the card; a code in the body
only helps where the card shows nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from connectors.api.errors import Refusal, Refused
from connectors.flow.mapping import card_status
from connectors.flow.model import FlowCard
from mappings.lifecycle import CardStatus

_OF_HINT: Final = (
    ("FUNDS", Refusal.INSUFFICIENT_FUNDS, "the balance is too low"),
    ("CVC", Refusal.MISSING_DETAIL, "its CVC is missing or wrong"),
    ("EXPIRED", Refusal.EXPIRED, "it has expired"),
    ("CLEARED", Refusal.NOT_ACTIVE, "it is closed"),
    ("BLOCKED", Refusal.NOT_ACTIVE, "it is blocked"),
    ("INACTIVE", Refusal.NOT_ACTIVE, "it is not active"),
    ("LIMIT", Refusal.OVER_LIMIT, "it would hold too much"),
    ("CARD_NUMBER", Refusal.BAD_SERIAL, "Flow does not take such a number"),
)


def status_of(card: FlowCard, now: datetime) -> CardStatus | None:
    """The hub's status of a card at a moment; None for one that is not known."""
    return card_status(card.status_text, card.active, card.balance_x100, card.valid_to, now)


def refusal_of_card(card: FlowCard | None, now: datetime, needed_x100: int = 0) -> Refused | None:
    """Why a card can neither be loaded nor pay `needed_x100`; None when it can."""
    if card is None:
        return Refused("Flow has no such card", Refusal.NOT_FOUND)
    status = status_of(card, now)
    if status is None:
        return Refused(
            "the card has a status that giftsync does not know", Refusal.NOT_ACTIVE, card.native_id
        )
    if status is not CardStatus.ACTIVE:
        return Refused(f"the card is {status} in Flow", Refusal.NOT_ACTIVE, card.native_id)
    if card.valid_to is not None and card.valid_to < now:
        return Refused("the card has expired in Flow", Refusal.EXPIRED, card.native_id)
    if card.balance_x100 < needed_x100:
        return Refused("the card holds less in Flow", Refusal.INSUFFICIENT_FUNDS, card.native_id)
    return None


def refusal_of_new(card: FlowCard | None, now: datetime) -> Refused | None:
    """Why a number cannot be issued; None when it is free, or pre-generated and never sold (flow.md §2)."""
    if card is None or status_of(card, now) is CardStatus.INACTIVE:
        return None
    return Refused("the number is in use in Flow", Refusal.TAKEN, card.native_id)


def refusal_of_hint(hint: str, what: str) -> Refused:
    """The last resort: the body's code, or nothing but that it was refused."""
    for word, reason, text in _OF_HINT:
        if word in hint:
            return Refused(f"Flow refused {what}: {text}", reason)
    return Refused(f"Flow refused {what}", Refusal.OTHER)
