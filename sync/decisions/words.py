"""Words for people of what the code has a name for."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.api.errors import Refusal
from mappings.lifecycle import CardStatus
from mappings.sentences import Sentence, say
from sync.model import ConflictKind

_REFUSALS: Mapping[Refusal, Sentence] = {
    Refusal.INSUFFICIENT_FUNDS: say("insufficient funds"),
    Refusal.OVER_LIMIT: say("over limit"),
    Refusal.TAKEN: say("taken"),
    Refusal.BAD_SERIAL: say("bad serial"),
    Refusal.CURRENCY: say("currency"),
    Refusal.EXPIRED: say("expired"),
    Refusal.NOT_ACTIVE: say("not active"),
    Refusal.NOT_FOUND: say("not found"),
    Refusal.MISSING_DETAIL: say("missing detail"),
    Refusal.UNREADABLE: say("unreadable"),
    Refusal.OTHER: say("other"),
    Refusal.TAKEN_BACK: say("taken back"),
}
_KINDS: Mapping[str, Sentence] = {
    ConflictKind.OVERDRAFT: say("overdraft"),
    ConflictKind.FIRST_CONTACT: say("first contact"),
    ConflictKind.STATUS: say("status"),
    ConflictKind.EXPIRY: say("expiry"),
    ConflictKind.SERIAL: say("serial"),
    ConflictKind.OVER_LIMIT: say("over limit"),
    ConflictKind.MISSING: say("missing"),
    ConflictKind.DUPLICATE: say("duplicate"),
    ConflictKind.IN_DOUBT: say("in doubt"),
    ConflictKind.REFUSED: say("refused"),
    ConflictKind.NOT_WRITABLE: say("not writable"),
    ConflictKind.NOTIFICATION: say("notification"),
    ConflictKind.LEDGER_BEHIND: say("ledger behind"),
    ConflictKind.SECOND_LEDGER: say("second ledger"),
    ConflictKind.POOL_EMPTY: say("pool empty"),
    ConflictKind.TAMPERED: say("tampered"),
    ConflictKind.HISTORY_CHANGED: say("history changed"),
    ConflictKind.BRAKE: say("brake"),
}
_ACTIONS: Mapping[str, Sentence] = {
    "acknowledge": say("acknowledge"),
    "ignore": say("ignore"),
    "retry": say("retry"),
    "accept": say("accept"),
    "value": say("value"),
    "link": say("link"),
    "landed": say("landed"),
    "not_landed": say("not_landed"),
    "write_off": say("write_off"),
    "rebuild": say("rebuild"),
    "resume": say("resume"),
    "cause gone": say("cause gone"),
}


def refusal_words(refusal: str) -> str:
    return _REFUSALS[Refusal(refusal)] if refusal in set(Refusal) else refusal.replace("_", " ")


def kind_words(kind: str) -> str:
    """A conflict's kind, as `giftsync conflicts` calls it."""
    return _KINDS.get(kind, kind.replace("_", " "))


def action_words(action: str) -> str:
    """A decision, as it is said."""
    return _ACTIONS.get(action, action)


def status_words(status: str) -> object:
    """A status that each reader calls by its own word."""
    return CardStatus(status) if status in set(CardStatus) else status
