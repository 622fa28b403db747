"""What is booked: lines of the roll-forward, places, and the ledger's rows as the arithmetic needs them.

Amounts are integer minor units of the card's currency, signed as they change what is owed to the holder.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from mappings.sentences import marked


class Line(StrEnum):
    """A line of the roll-forward between opening and closing."""

    #: On the card when the hub met it, and put there before giftsync began.
    TAKEN_OVER = "taken_over"
    ISSUED = "issued"
    LOADED = "loaded"
    REFUNDED = "refunded"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    CLOSED = "closed"
    #: Positive: redemptions went beyond what was on the card, and somebody bears that.
    WRITTEN_OFF = "written_off"
    #: From one card to another; zero over all cards once both halves are booked.
    TRANSFERRED = "transferred"
    #: By a person's decision or the link's policy.
    ADJUSTED = "adjusted"


#: As statements print them.
LABELS: Mapping[Line, str] = {
    Line.TAKEN_OVER: marked("Taken over"),
    Line.ISSUED: marked("Issued"),
    Line.LOADED: marked("Loaded"),
    Line.REFUNDED: marked("Refunded to cards"),
    Line.REDEEMED: marked("Redeemed"),
    Line.EXPIRED: marked("Expired"),
    Line.CLOSED: marked("Closed"),
    Line.WRITTEN_OFF: marked("Written off"),
    Line.TRANSFERRED: marked("Moved between cards"),
    Line.ADJUSTED: marked("Adjusted"),
}


class Place(NamedTuple):
    """Where value was put on a card or spent: a side, and the store as its receipts name it, if they do."""

    side: str
    store: str = ""

    @property
    def label(self) -> str:
        if not self.side:
            return HEAD_OFFICE_LABEL
        return f"{self.side}, {self.store}" if self.store else self.side


HEAD_OFFICE_LABEL = "head office"
#: Stands for the store where a side has several and no receipt tells which.
STORE_NOT_KNOWN = "store not known"
#: Where callers of the API put value on cards and take it off; the store is the location that they name.
API = "api"
#: Bears what no store does: decisions, and write-offs and discounts where the settings say so.
HEAD_OFFICE = Place("")
#: Origin of a discount that is borne by whichever place redeems it.
WHERE_REDEEMED = Place("", "where redeemed")


class Movement(NamedTuple):
    """A movement of a card, as the ledger keeps it."""

    id: int
    card_id: int
    chain_seq: int
    side: str | None
    kind: str
    amount_minor: int
    at: datetime
    #: False: it was booked before the period, and matters for the order in which value is used up.
    in_period: bool
    evidence: Mapping[str, Any] | None


class Receipt(NamedTuple):
    """What an order or receipt says of the card: `payment`, `refund` or `sale`.

    On the side `api`: a redemption with its state, or what else a caller did; `order` is its id.
    """

    card_id: int
    side: str
    kind: str
    at: datetime
    amount_minor: int | None
    store: str
    till: str
    number: str
    order: str


class Facts(NamedTuple):
    """What else is known about a card."""

    id: int
    currency: str
    brand: str
    #: The side on which the hub met the card first.
    channel: str
    expires_on: date | None = None
    #: When it was bought, where the order tells; receipts may tell as well.
    bought_at: datetime | None = None
    imported: bool = False
    #: The card whose value it was given, when staff assigned it in place of that one.
    given_by: int | None = None
    #: When its value was taken to be given to another card.
    given_away_at: datetime | None = None
    #: The last characters of its number or code.
    last_chars: str = ""
    #: What closed statements took as expired, and the last day that the card had then.
    carried_minor: int = 0
    carried_last_day: date | None = None
    #: Its last day when the period began; `expires_on` is the one at the end. A close knows only one.
    opening_expires_on: date | None = None


class Entry(NamedTuple):
    """One amount on one line of the roll-forward."""

    #: 0: no movement of the ledger's, but the end of the card's last day.
    movement_id: int
    card_id: int
    line: Line
    amount_minor: int
    place: Place
    booked_at: datetime
    in_period: bool
    #: When it happened, where a receipt or order tells.
    happened_at: datetime | None = None
    receipt: str = ""
    order: str = ""
    #: Of what was issued: how much was put on the card beyond what was paid.
    discount_minor: int = 0
