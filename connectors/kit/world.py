"""What a connector's contract is tried against: everything else that can touch the same cards.

`World` is customers, cashiers and accidents. It tells the ground truth without going through the connector,
so that a connector cannot confirm its own misreading. What only some worlds have, each has a protocol of its
own here; the tests that need it are skipped, with a reason, where a world does not have it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from enum import StrEnum
from typing import Any, Protocol

import pytest

from connectors.api.card import CardRef, Observation, Seen
from connectors.api.effect import Effect, FindResult
from connectors.api.errors import NotSent
from connectors.api.feed import Hint, HintPage
from connectors.api.side import Side
from connectors.kit.fault_proxy import ProxyFault
from mappings.contact import Contact
from mappings.serials import Serial

PAGES_MAX = 200
EXPIRY = date(2031, 5, 17)


class Mishap(StrEnum):
    """What goes wrong with the request that moves the money."""

    #: The connection breaks and nothing happened.
    DROP_REQUEST = "drop_request"
    #: It happened; the answer is lost.
    DROP_RESPONSE = "drop_response"
    #: The connection breaks at once; it happens when `settle_late` is called.
    LATE_APPLY = "late_apply"
    #: The side breaks; whether it happened is open.
    SERVER_ERROR = "error_500"
    #: "Too fast"; nothing happened.
    THROTTLE = "throttle"


#: What `FaultProxy` does with the request that meets it.
PROXY_FAULTS = {
    Mishap.DROP_REQUEST: ProxyFault.LOST_REQUEST,
    Mishap.DROP_RESPONSE: ProxyFault.LOST_ANSWER,
    Mishap.LATE_APPLY: ProxyFault.LATE,
    Mishap.SERVER_ERROR: ProxyFault.BROKEN_AFTER,
    Mishap.THROTTLE: ProxyFault.THROTTLED,
}
#: The mishaps that the conservation test draws from.
MISHAPS = [Mishap.DROP_REQUEST, Mishap.DROP_RESPONSE, Mishap.LATE_APPLY, Mishap.THROTTLE]


class World(Protocol):
    """The side without the connector. Amounts are minor units of `currency`; they are positive."""

    currency: str

    @property
    def brand(self) -> str | None:
        """What the side calls its own kind of card, if a create must name one."""
        ...

    def sell(self, amount_minor: int) -> CardRef:
        """A customer buys a card here. The reference holds what the connector is asked by."""
        ...

    def spend(self, card: CardRef, amount_minor: int) -> None:
        """A customer pays with the card here."""
        ...

    def load(self, card: CardRef, amount_minor: int) -> None:
        """Somebody but giftsync puts money on the card here."""
        ...

    def balance(self, card: CardRef) -> int:
        """The true balance."""
        ...

    def unknown_card(self) -> CardRef:
        """A well-formed reference that no card answers to."""
        ...

    def new_serial(self) -> Serial:
        """A serial that the side would take and does not have, a different one each time."""
        ...

    def fail_next(self, kind: Mishap) -> None:
        """The next request that writes meets `kind`; reads and later writes do not.

        Where an effect needs several requests, the one that moves the money (or makes the card) is meant.
        Calls `pytest.skip` for a mishap that the side cannot have.
        """
        ...

    def settle_late(self) -> None:
        """Return once nothing is left to happen by itself: late requests have landed, indexes are fresh."""
        ...

    def unreachable(self) -> Side:
        """The same connector, pointed at a host that takes no connections."""
        ...


class OwnWorld(World, Protocol):
    """A world that brings the connector along."""

    @property
    def side(self) -> Side: ...


class FailsReads(Protocol):
    """Optional: a world that can spoil a read."""

    def fail_read(self, kind: Mishap) -> None:
        """The next request that reads meets `kind`."""
        ...


class ShowsOddStatus(Protocol):
    """Optional: a world that can show a status that no connector knows."""

    def odd_status(self, card: CardRef) -> None: ...


class ListsPayments(Protocol):
    """Optional: a world that says whether its side lists what customers pay. Without it, a side does."""

    #: False: its entries hold what was put on or taken off a card by hand, and no payment.
    lists_payments: bool


class ListsNow(Protocol):
    """Optional: a world whose side has a list ready without waiting for anything."""

    lists_now: bool


class Delivers(Protocol):
    """Optional: a world whose side delivers webhooks."""

    #: A delivery is proved by a signature over its body; False: by a secret that it carries.
    signs_bodies: bool

    def delivery(self, card: CardRef) -> tuple[Mapping[str, str], bytes]:
        """A genuine delivery, as it arrives, that says that the card has changed: headers and raw body."""
        ...


class AsksPeople(Protocol):
    """Optional: a world whose side has no marks that can be read back, so that a person may have to tell."""

    asks_people: bool


class MarksCards(Protocol):
    """Optional: a world that says whether its cards can carry a marker. Without it, they do."""

    marks_cards: bool


class HasBuyers(Protocol):
    """Optional: a world in which a buyer can be told of a card."""

    #: Somebody whom the side can reach.
    buyer: Contact

    def messages(self) -> int:
        """How many messages were sent to buyers."""
        ...


class Saved:
    """Remembers what an effect saves on its way, as the ledger would."""

    def __init__(self) -> None:
        self.progress: dict[str, str] = {}

    def __call__(self, progress: Mapping[str, str], /, *, lazily: bool = False) -> None:
        self.progress.update(progress)


_numbers = itertools.count(1)


def no_pause(seconds: float) -> None:
    """A `pause` for connectors under test. Raises NotSent for a wait that is longer than any test."""
    if seconds > 60:
        raise NotSent("this would wait too long")


def marker() -> str:
    """A fresh marker, as an intent would have."""
    return f"gs-contract{next(_numbers):06d}"


def observe(side: Side, card: CardRef, *, entries: bool = False) -> Observation:
    (observation,) = side.observe([card], entries=entries)
    return observation


def seen(side: Side, card: CardRef, *, entries: bool = False) -> Seen:
    observation = observe(side, card, entries=entries)
    assert isinstance(observation, Seen), observation
    return observation


def found(side: Side, effect: Effect, saved: Saved) -> FindResult:
    """Look for the effect as recovery does: with what its attempt saved."""
    return side.find(replace(effect, progress=saved.progress))


def texts_of(error: BaseException) -> str:
    """Everything that a log could show of an error and of what led to it."""
    parts: list[str] = []
    queue: list[BaseException | None] = [error]
    while queue and len(parts) < 64:
        item = queue.pop()
        if item is not None:
            parts += [str(item), repr(item), repr(item.args), repr(vars(item))]
            # An error raised `from None` prints no context.
            queue += [item.__cause__, None if item.__suppress_context__ else item.__context__]
    return " ".join(parts)


def drain(pages: Iterator[HintPage]) -> tuple[list[Hint], str | None]:
    """All hints of a feed and its last cursor."""
    hints: list[Hint] = []
    cursor: str | None = None
    for count, page in enumerate(pages, start=1):
        assert count <= PAGES_MAX, "the feed does not end"
        hints += page.hints
        cursor = page.cursor
    return hints, cursor


def hinted(hints: Iterable[Hint]) -> set[str]:
    """What hints name, by id and by number."""
    named = {hint.card.native_id for hint in hints}
    named |= {hint.card.serial.reveal() for hint in hints if hint.card.serial is not None}
    return {one for one in named if one is not None}


def names_of(card: CardRef) -> set[str]:
    return {one for one in (card.native_id, card.serial.reveal() if card.serial else None) if one}


def told_of(side: Side, cursors: Mapping[str, str | None]) -> list[Hint]:
    """Everything that the feeds say since these cursors."""
    return [hint for name, cursor in cursors.items() for hint in drain(side.hints(name, cursor))[0]]


def optional(world: World, what: str) -> Any:
    """An ability of the world; skips the test where it has it not."""
    found = getattr(world, what, None)
    if found is None:
        pytest.skip(f"this world has no {what}")
    return found
