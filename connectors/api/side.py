"""The `Side` protocol: what giftsync asks of a system that holds gift cards.

Three nouns run through it. A *card reference* names one card on the side. An *observation* is what the side
answered for it. An *effect* is one change to carry out there, under a marker that can be found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from connectors.api.errors import SideClosed, SideError
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.redaction import said
from mappings.serials import Serial

if TYPE_CHECKING:
    from connectors.api.abilities import Abilities

#: Of a status, or of a line of a side's book.
WORDS_LENGTH_MAX = 100


@dataclass(frozen=True)
class CardRef:
    """One card on one side. A side may need either or both; Flow is asked by serial, Shopify by native id."""

    native_id: str | None = None
    serial: Serial | None = None


@dataclass(frozen=True)
class Entry:
    """One line of the side's own book: a transaction it lists for a card (the second book)."""

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", said(self.reason))


Observation = Seen | Absent | Unreadable


class EffectKind(StrEnum):
    CREATE = "create"
    CREDIT = "credit"
    DEBIT = "debit"
    SET_STATUS = "set_status"
    SET_EXPIRY = "set_expiry"
    NOTIFY = "notify"


@dataclass(frozen=True)
class Effect:
    """One change to carry out on a side.

    `marker` is unique to the intent, matches `gs-[a-z0-9]+`, and is written where `find` can read it back.
    """

    marker: str
    kind: EffectKind
    card: CardRef
    currency: str
    #: For create, credit and debit: positive.
    amount_minor: int = 0
    #: For set_status.
    status: CardStatus | None = None
    #: For create and set_expiry; None means that the card never expires.
    expires_on: date | None = None
    #: For create: words for staff, such as the last four of the online code and the shipping name.
    note: str = ""
    #: For create: the side's own kind of card (a Flow brand, a Shopify template suffix).
    brand: str | None = None
    #: What earlier attempts of this same intent saved through `Save`.
    progress: Mapping[str, str] = field(default_factory=dict)
    #: For notify: the buyer, whom the side may not know yet; None: whoever the side has with the card.
    contact: Contact | None = None


#: Commits what a multi-call effect must remember before its next call, such as an order's uid.
Save = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True)
class Applied:
    """The side carried the effect out."""

    #: The card it concerns; for a create, the new card.
    native_id: str
    #: What the side showed right after, if it said so. Evidence only: the base never advances by it.
    balance_minor: int | None = None
    #: The side's own reference: a transaction, an order.
    reference: str | None = None


@dataclass(frozen=True)
class Found:
    """The marker is on the side, `landings` times (more than once: a request landed after all)."""

    landings: int
    native_id: str
    reference: str | None = None


@dataclass(frozen=True)
class NotFound:
    """The marker is surely not on the side, so the effect may be sent again."""


@dataclass(frozen=True)
class CannotTell:
    """Neither presence nor absence of the marker can be shown."""

    reason: str


FindResult = Found | NotFound | CannotTell


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


@dataclass(frozen=True)
class Feed:
    """A source of hints that a side offers."""

    name: str
    #: How often it is worth reading, by default.
    interval_seconds: float
    #: False: it announces new cards only, and says nothing about those that are known.
    tells_changes: bool = True


@dataclass(frozen=True)
class Delivery:
    """A webhook delivery that was proved to come from the side. Ids only: its body is not kept."""

    #: The same on retries of one delivery, so that duplicates are told.
    key: str
    #: The side's own name of the event, such as `orders/paid`.
    topic: str
    #: What it is about in the side's own id, such as an order; empty when the topic says all.
    subject: str
    #: Another delivery tells of the same thing first: this one can wait so long, to be heard with others.
    wait_seconds: float = 0.0
    #: The card that it is about, when it names one: then nothing has to be asked.
    card: CardRef | None = None


@dataclass(frozen=True)
class DeliveryAnswer:
    """What a delivery came to, once the side was asked about its subject."""

    hints: Sequence[Hint] = ()
    #: Feeds of the side that are worth reading now.
    feeds: Sequence[str] = ()
    #: Whether a list that a sweep waits for is ready.
    list_ready: bool = False
    #: The side has shut giftsync out, and a person must let it in again.
    closed: SideClosed | None = None


class InvalidSignature(Exception):
    """A webhook delivery that cannot be shown to come from the side; answered 401 and dropped."""


@dataclass(frozen=True)
class Capabilities:
    """What a side can do. The worker plans nothing that a side cannot."""

    creates: bool
    debits: bool
    credits: bool
    sets_expiry: bool
    #: The statuses that can be set; a side may know more than it lets others set.
    sets_status: frozenset[CardStatus]
    notifies: bool
    #: Entries are readable: the second book.
    lists_entries: bool
    #: Cards it sells have a serial that only their owner knows (Shopify shows a code once).
    hides_serials: bool
    #: A suspended or expired card can still be credited and debited.
    moves_when_suspended: bool
    #: How many cards one read may ask for.
    read_batch_max: int
    serial_length_min: int
    serial_length_max: int
    serial_digits_only: bool
    #: However often an effect is asked for under one marker, it takes effect at most once: what is in doubt
    #: is simply asked again.
    applies_marker_once: bool = False
    #: A suspension takes the place of the expiry date, so a suspended card shows none and takes none.
    suspends_by_date: bool = False

    def accepts_serial(self, serial: Serial) -> str | None:
        """None when the side can hold the serial, else the reason why not, for people."""
        text = serial.reveal()
        if len(text) < self.serial_length_min:
            return f"has {len(text)} characters; at least {self.serial_length_min} are needed"
        if len(text) > self.serial_length_max:
            return f"has {len(text)} characters; at most {self.serial_length_max} are allowed"
        if self.serial_digits_only and not text.isdigit():
            return "has letters; only digits are allowed"
        return None


@dataclass(frozen=True)
class Identity:
    """Who the side says it is. A link that meets another identity than before stops."""

    #: Stable and not secret: the shop's domain, the tenant and store.
    identity: str
    currency: str
    #: IANA name, for expiry dates.
    timezone: str


@dataclass(frozen=True)
class Usage:
    """What a side has been asked for since it was opened."""

    calls: int = 0
    #: Cost in the side's own points, where it has them.
    points: int = 0
    throttled: int = 0


@dataclass(frozen=True)
class Place:
    """Where people find the cards of a side, for what they are told to do there."""

    #: As people call the side, such as `Shopify`.
    name: str
    #: The page or till where they look, such as `Shopify Admin`.
    screen: str
    #: The address of one card there, by its id on that side; empty where there is none.
    address: Callable[[str], str] = lambda native_id: ""


class Side(Protocol):
    """One system that holds gift cards.

    Every method may raise NotSent, Throttled, InDoubt or SideClosed; `apply` may also raise Refused. Methods
    are called from several threads. No method is called inside a database transaction.
    """

    @property
    def name(self) -> str:
        """The side's name in the link, such as `shopify`."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def feeds(self) -> Sequence[Feed]: ...

    def identify(self) -> Identity:
        """Ask the side who it is; raises SideClosed, with the remedy, when it cannot be used."""
        ...

    def observe(
        self, cards: Sequence[CardRef], *, entries: bool = False, urgent: bool = True
    ) -> Iterator[Observation]:
        """What the side shows for each card, in order; reads in batches of `read_batch_max`.

        With `entries`, balance and entries are of the same moment. What is not `urgent` waits while the side
        is busy with what is. A card that cannot be read is Unreadable; an error that concerns the whole read
        is raised.
        """
        ...

    def lookup(self, serial: Serial) -> Observation:
        """The card with that serial, compared whole: a shared last four is Absent."""
        ...

    def apply(self, effect: Effect, save: Save) -> Applied:
        """Carry the effect out once. Returns only when the side has confirmed it."""
        ...

    def find(self, effect: Effect) -> FindResult:
        """Look for the effect's marker, without changing anything."""
        ...

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        """Pages of hints after the cursor; None starts at the beginning. Ends when nothing is left."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What the side can do beside this protocol."""
        ...

    def usage(self) -> Usage: ...

    def close(self) -> None: ...


class Tracer(Protocol):
    """A side that lists no entries of a card, but whose feed shows what giftsync did."""

    def trace(self, traces: Sequence[Trace]) -> Sequence[Traced]:
        """What these did to which cards. Raises like every read."""
        ...


class Listener(Protocol):
    """A side that also tells of changes by webhooks: hints that may be lost, doubled and reordered."""

    @property
    def name(self) -> str: ...

    def read_delivery(self, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        """Prove and read one delivery; makes no call. None for an event that means nothing to giftsync.

        `headers` have lower-case names. Raises Unproved.
        """
        ...

    def hear(self, deliveries: Sequence[Delivery]) -> Sequence[DeliveryAnswer | SideError]:
        """Ask the side about what deliveries tell that name no card; an answer or an error for each.

        Raises like every read when the error is one for all.
        """
        ...


@dataclass(frozen=True)
class Subscribed:
    """How a side tells of changes, after its subscriptions were brought to what they should be."""

    #: Topics, in the side's words.
    topics: Sequence[str] = ()
    #: Those that had to be made now.
    made: Sequence[str] = ()
    #: Topics that are not as they should be, and why, for people.
    failed: Mapping[str, str] = field(default_factory=dict)


class Subscriber(Protocol):
    """A side whose webhooks giftsync switches on by itself."""

    @property
    def name(self) -> str: ...

    def subscribe(self, url: str | None) -> Subscribed:
        """Have the side deliver its webhooks there and nowhere else of ours; None: end them.

        Safe to repeat. Raises like every read.
        """
        ...


def no_save(_: Mapping[str, str]) -> None:
    """For effects that are carried out in one call."""


def batched(cards: Iterable[CardRef], size: int) -> Iterator[list[CardRef]]:
    """Cut a stream of references into lists of at most `size`."""
    batch: list[CardRef] = []
    for card in cards:
        batch.append(card)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
