"""What a side says of itself: what it can do, who it is, how much it was asked, where people find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.api.effect import EffectKind
from mappings.lifecycle import CardStatus
from mappings.serials import Serial


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
    #: Kinds of effects that land at most once under one marker, though the side has no key for that: a card's
    #: number is taken, an order is settled. What a look does not find is asked for again at once.
    lands_once: frozenset[EffectKind] = frozenset()
    #: A suspension takes the place of the expiry date, so a suspended card shows none and takes none.
    suspends_by_date: bool = False
    #: Each card that it makes gets a number of the side's own choice, which `Applied.serial` tells; the one
    #: in the effect, if any, is not used.
    assigns_numbers: bool = False
    #: It may take no payment with a card without its CVC; a look at the card tells (`Seen.needs_cvc`).
    asks_for_cvc: bool = False
    #: Where it does not create: what keeps it from it, for people, after the side's name.
    why_no_creates: str = ""

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
    #: Where a customer uses the card, as one word: `store`, `online`.
    where: str = ""
    #: The same after a verb: `in the store`, `online`.
    at: str = ""
    #: The side's own id of a card from what people read there, such as the end of an address; None: it is
    #: none.
    id_of: Callable[[str], str | None] = lambda text: None
