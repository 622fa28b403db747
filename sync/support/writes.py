"""What giftsync writes to the sides, in words: `Shopify: 120.50 NOK taken off`."""

from __future__ import annotations

from datetime import date

from connectors.api.side import EffectKind
from mappings.money import format_money
from sync.model import IntentState

#: How far a write has come. What was done needs no word.
_PROGRESS = {
    IntentState.PLANNED: "waits to be written",
    IntentState.SENT: "under way",
    IntentState.IN_DOUBT: "the answer was lost; giftsync looks whether it took effect",
    IntentState.REFUSED: "refused",
    IntentState.WITHDRAWN: "taken back before it was written",
}


def write_words(
    kind: str,
    amount_minor: int,
    currency: str,
    status: str | None = None,
    expires_on: date | None = None,
) -> str:
    """The change itself: `120.50 NOK taken off`, `status set to closed`."""
    amount = format_money(abs(amount_minor), currency)
    match EffectKind(kind):
        case EffectKind.CREATE:
            return f"card made with {amount}"
        case EffectKind.CREDIT:
            return f"{amount} put on"
        case EffectKind.DEBIT:
            return f"{amount} taken off"
        case EffectKind.SET_STATUS:
            return f"status set to {status}"
        case EffectKind.SET_EXPIRY:
            return f"expiry set to {'never' if expires_on is None else expires_on.isoformat()}"
        case EffectKind.NOTIFY:
            return "buyer told of the card"


def progress_words(state: str, refusal: str | None = None) -> str:
    """How far a write has come; empty once it is done."""
    words = _PROGRESS.get(IntentState(state), "")
    return f"{words} ({refusal.replace('_', ' ')})" if refusal and state == IntentState.REFUSED else words
