"""How a card is named on a side, and what the side shows of it: references and observations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from mappings.lifecycle import CardStatus
from mappings.redaction import said
from mappings.serials import Serial

#: Of a status, or of a line of a side's book.
WORDS_LENGTH_MAX = 100


@dataclass(frozen=True)
class CardRef:
    """One card on one side. A side may need either or both; Flow is asked by serial, Shopify by native id."""

    native_id: str | None = None
    serial: Serial | None = None


@dataclass(frozen=True)
class Entry:
    """One line of the side's own book: a transaction it lists for a card (the second book).

    A card's entries are whole, and the oldest comes first.
    """

    native_id: str
    #: Signed: money in is positive.
    amount_minor: int
    at: datetime | None
    #: The giftsync marker that the entry carries, if any.
    marker: str | None
    #: In the side's words, such as "GiftCardDebitTransaction" or "order 1007".
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", said(self.label, WORDS_LENGTH_MAX))


@dataclass(frozen=True)
class Seen:
    """The side shows the card."""

    native_id: str
    balance_minor: int
    currency: str
    #: None: a status that this connector does not know; `status_text` has it.
    status: CardStatus | None
    status_text: str
    expires_on: date | None
    #: Lower case; may be shorter than four for a short serial.
    last_chars: str
    at: datetime
    serial: Serial | None = None
    #: An older number that the side answers to as well.
    legacy_serial: Serial | None = None
    #: The side's own kind of card, as it names it: a Flow brand, a Shopify template suffix.
    brand: str = ""
    note: str = ""
    #: The giftsync marker of the create that made this card, if its note carries one.
    created_by: str | None = None
    #: None: not asked for, or the side lists none.
    entries: tuple[Entry, ...] | None = None
    #: The side takes no payment with the card without its CVC.
    needs_cvc: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "status_text", said(self.status_text, WORDS_LENGTH_MAX))


@dataclass(frozen=True)
class Absent:
    """The side says that it has no such card."""

    at: datetime


@dataclass(frozen=True)
class Unreadable:
    """No answer that can be believed. Never a zero."""

    reason: str
    at: datetime
    #: The side answered, and will answer the same again; False: no answer came.
    answered: bool = True
    #: The side shows the card with its right CVC only.
    wants_cvc: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", said(self.reason))


Observation = Seen | Absent | Unreadable
