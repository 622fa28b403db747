"""What giftsync writes to the sides, in words: `the shop: 120.50 NOK taken off`."""

from __future__ import annotations

from datetime import date

from connectors.api.effect import EffectKind
from mappings.lifecycle import CardStatus
from mappings.sentences import Money, say
from sync.decisions.words import refusal_words
from sync.model import IntentState

#: How far a write has come. What was done needs no word.
_PROGRESS = {
    IntentState.PLANNED: say("waits to be written"),
    IntentState.SENT: say("under way"),
    IntentState.IN_DOUBT: say("the answer was lost; giftsync looks whether it took effect"),
    IntentState.REFUSED: say("refused"),
    IntentState.WITHDRAWN: say("taken back before it was written"),
}


def write_words(
    kind: str,
    amount_minor: int,
    currency: str,
    status: str | None = None,
    expires_on: date | None = None,
) -> str:
    """The change itself: `120.50 NOK taken off`, `status set to closed`."""
    amount = Money(abs(amount_minor), currency)
    match EffectKind(kind):
        case EffectKind.CREATE:
            return say("card made with {amount}", amount=amount)
        case EffectKind.CREDIT:
            return say("{amount} put on", amount=amount)
        case EffectKind.DEBIT:
            return say("{amount} taken off", amount=amount)
        case EffectKind.SET_STATUS:
            return say("status set to {status}", status=status and CardStatus(status))
        case EffectKind.SET_EXPIRY:
            return say("expiry set to {day}", day=expires_on)
        case EffectKind.NOTIFY:
            return say("buyer told of the card")


def progress_words(state: str, refusal: str | None = None) -> str:
    """How far a write has come; empty once it is done."""
    words = _PROGRESS.get(IntentState(state), "")
    return (
        say("{words} ({why})", words=words, why=refusal_words(refusal))
        if refusal and state == IntentState.REFUSED
        else words
    )
