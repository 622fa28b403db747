"""Webhook deliveries: proved, read, resolved into hints; their subscription; requests about people's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from connectors.api.card import CardRef
from connectors.api.errors import SideClosed, SideError
from connectors.api.feed import Hint


@dataclass(frozen=True)
class Delivery:
    """A webhook delivery that was proved to come from the side. Ids only: its body is not kept."""

    #: The same on retries of one delivery, so that duplicates are told.
    key: str
    #: The side's own name of the event, such as `orders/paid`.
    topic: str
    #: What it is about in the side's own id, such as an order; empty when the topic says all.
    subject: str
    #: Another delivery tells of the same thing first: this one can wait so long, to be resolved with others.
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


class PrivacyKind(StrEnum):
    """What somebody asks for, by right."""

    #: Tell what is known of the buyers.
    EXPORT = "export"
    #: Erase what is known of the buyers.
    ERASE = "erase"
    #: Erase what is known of every buyer of the side.
    ERASE_ALL = "erase_all"


@dataclass(frozen=True)
class PrivacyRequest:
    """A request about people's data that a side passes on."""

    kind: PrivacyKind
    #: The orders that it names, by the side's own ids, as in `Hint.details["order_id"]`.
    orders: Sequence[str] = ()
    #: Digests of the address and number of whom it is about, as `Contact.digests` makes them.
    contacts: frozenset[str] = frozenset()


class PrivacyReader(Protocol):
    """A side that passes on requests about people's data."""

    def privacy_request(self, delivery: Delivery) -> PrivacyRequest | None:
        """What a delivery asks for; None for one that is no such request. Makes no call."""
        ...


class InvalidSignature(Exception):
    """A webhook delivery that cannot be shown to come from the side; answered 401 and dropped."""


class Listener(Protocol):
    """A side that also tells of changes by webhooks: hints that may be lost, doubled and reordered."""

    @property
    def name(self) -> str: ...

    def read_delivery(self, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        """Prove and read one delivery; makes no call. None for an event that means nothing to giftsync.

        `headers` have lower-case names. Raises InvalidSignature.
        """
        ...

    def resolve(self, deliveries: Sequence[Delivery]) -> Sequence[DeliveryAnswer | SideError]:
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
