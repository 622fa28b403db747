"""What an audit can find, and the rows that it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mappings.money import MoneyError, format_money
from sync.model import IntentState

#: States of an intent that is still to be carried out or read back.
OPEN = frozenset(state.value for state in IntentState if state.is_open)


class FindingKind(StrEnum):
    """What an audit can find. All but the live ones are discrepancies of the ledger itself."""

    #: The hub's balance is not the sum of the card's movements.
    BALANCE = "balance"
    #: A movement's balance after it does not follow from the one before.
    BALANCE_AFTER = "balance_after"
    #: A shadow is not what the card's movements and intents make it.
    SHADOW = "shadow"
    #: An intent's state is not the newest that was recorded for it.
    INTENT_STATE = "intent_state"
    #: A presence is another card on its side than the newest row of `identities` says.
    IDENTITY = "identity"
    #: The rows come out, and something that the worker acts on is not as it was written all the same.
    DIGEST = "digest"
    #: An append-only row is not as it was written.
    CHANGED = "changed"
    #: An append-only row is gone.
    MISSING = "missing"
    #: A row was added that giftsync did not write.
    ADDED = "added"
    #: A row stands where another one was written.
    REORDERED = "reordered"
    #: A row belongs to a card, side or intent that is not there.
    ORPHAN = "orphan"
    #: A side owes the card money, and nothing waits that would settle it.
    OUT_OF_STEP = "out_of_step"
    #: Live: a side shows something else than its shadow; somebody moved it and it is not taken in yet.
    MOVED_SINCE = "moved_since"
    #: Live: a side does not show a card that it had.
    ABSENT = "absent"
    #: Live: a side, or a card on it, could not be read.
    UNREAD = "unread"

    @property
    def is_discrepancy(self) -> bool:
        """Whether the ledger contradicts itself; what sides show meanwhile does not."""
        return self not in (FindingKind.MOVED_SINCE, FindingKind.ABSENT, FindingKind.UNREAD)


@dataclass(frozen=True)
class Finding:
    """One thing that an audit found."""

    kind: FindingKind
    #: A sentence for people.
    summary: str
    card_id: int | None = None
    side: str | None = None
    #: The table whose row it is about, and the row: `chain_seq 3`, or an intent's marker.
    table: str = ""
    row: str = ""
    #: Signed, in minor units: what is there less what should be; 0 where no amount is concerned.
    amount_minor: int = 0
    currency: str = ""


#: By column name.
Row = Mapping[Any, Any]


@dataclass
class CardRows:
    """Everything the ledger holds about one card, each list in the order of its key."""

    #: None: rows without their card.
    card: Row | None
    presences: list[Row] = field(default_factory=list)
    movements: list[Row] = field(default_factory=list)
    intents: list[Row] = field(default_factory=list)
    intent_states: list[Row] = field(default_factory=list)
    identities: list[Row] = field(default_factory=list)
    redemptions: list[Row] = field(default_factory=list)
    #: Of its status and expiry.
    changes: list[Row] = field(default_factory=list)
    #: Redemptions that were recorded and are not entered yet.
    recorded: list[Row] = field(default_factory=list)
    #: Sides with an open conflict of this card.
    disputed: set[str | None] = field(default_factory=set)
    #: The id of a card whose rows the database cannot read back as what they are; the lists are empty then.
    illegible: int | None = None


def money(minor: int, currency: str) -> str:
    """For people; a currency that somebody overwrote is no reason to stop."""
    try:
        return format_money(minor, currency)
    except MoneyError:
        return f"{minor} {currency!r} in minor units"


def orphan(card_id: int, table: str, row: str, words: str) -> Finding:
    """A row without the row that it belongs to."""
    return Finding(FindingKind.ORPHAN, words, card_id, table=table, row=row)


def finding(kind: FindingKind, words: str, card: Row, **more: Any) -> Finding:
    """A finding about a card that is there."""
    return Finding(kind, words, card["id"], currency=card["currency"], **more)
