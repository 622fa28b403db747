"""How a side tells of cards that may be new or may have changed: feeds, their pages, and hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from connectors.api.card import CardRef
from mappings.contact import Contact


@dataclass(frozen=True)
class ReceiptLine:
    """What a side's order or receipt says of one payment with a card, one refund to it, or its sale."""

    #: The same whenever the side tells of it.
    key: str
    at: datetime
    #: Signed: what left the card is negative. None: the side does not say.
    amount_minor: int | None
    #: `payment`, `refund` or `sale`.
    kind: str
    #: Numbers and names as staff know them; empty where the side has none.
    order: str = ""
    receipt: str = ""
    store: str = ""
    till: str = ""


@dataclass(frozen=True)
class Hint:
    """A card that may be new or may have changed. Hints are believed only so far as to look."""

    card: CardRef
    #: Which feed said so.
    feed: str
    last_chars: str = ""
    #: When the side says it happened, if it says.
    at: datetime | None = None
    #: The giftsync marker in the card's note, if any: it tells a card that we made.
    created_by: str | None = None
    #: Whether the card is known to have been sold on this side (an order line, a POS sale).
    sold_here: bool = False
    #: For new cards: order name, shipping name, customer, brand; never a serial.
    details: Mapping[str, str] = field(default_factory=dict)
    #: For new cards: how the buyer is reached, where the side shows it.
    contact: Contact | None = None
    #: Where the hint comes from an order or a receipt.
    line: ReceiptLine | None = None


@dataclass(frozen=True)
class Trace:
    """An effect of giftsync's own that a feed shows; the rest is read only if the ledger does not know it."""

    marker: str
    #: The side's own id of what shows it, such as an order.
    reference: str


@dataclass(frozen=True)
class Traced:
    """What a feed's line says of one card: how much was moved, and by whom."""

    card: CardRef
    #: None: not by giftsync.
    marker: str | None
    #: Signed: money in is positive. None: the side does not show it, or not yet as final.
    amount_minor: int | None
    #: The same each time that it is told.
    reference: str
    at: datetime | None


@dataclass(frozen=True)
class HintPage:
    """Some hints, and the cursor to continue from once they are stored."""

    hints: Sequence[Hint]
    cursor: str
    #: Of a side that lists no entries: what giftsync itself did there.
    traces: Sequence[Trace] = ()
    #: The same for what others did, as far as the feed has read it anyway.
    moved: Sequence[Traced] = ()
    #: Whether the feed has no more now; only feeds that list every card tell.
    is_last: bool = False


@dataclass(frozen=True)
class Feed:
    """A source of hints that a side offers."""

    name: str
    #: How often it is worth reading, by default.
    interval_seconds: float
    #: False: it announces new cards only, and says nothing about those that are known.
    tells_changes: bool = True
    #: It tells of every card of a side that takes a code once only: read to its end, it shows which cards
    #: the side does not have.
    lists_every_card: bool = False
    #: How late news may become visible in it, or by how much its time may be wrong, in seconds; and within
    #: what time the feed finds it all the same. 0: never late, or not known.
    late_seconds: float = 0.0
    late_within_seconds: float = 0.0


class Tracer(Protocol):
    """A side that lists no entries of a card, but whose feed shows what giftsync did."""

    def trace(self, traces: Sequence[Trace]) -> Sequence[Traced]:
        """What these did to which cards. Raises like every read."""
        ...
