"""What a side may offer beside the `Side` protocol: listing all of its cards, and making many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from connectors.api.card import Seen
from connectors.api.effect import Applied, Effect
from connectors.api.errors import SideError


@dataclass(frozen=True)
class Listed:
    """One card of a side's own list. Its serial is not in it where only the owner knows it."""

    seen: Seen
    #: Whether an order is known that it was bought with.
    bought: bool


@dataclass(frozen=True)
class Pace:
    """How fast a side takes creates one at a time, in its own points."""

    #: What one create costs.
    create_points: float
    restore_points_per_second: float
    available_points: float


@dataclass(frozen=True)
class MassState:
    """How far a mass creation is."""

    lines_done: int
    is_over: bool


@dataclass(frozen=True)
class LineOutcome:
    """What became of one line, from 0."""

    line: int
    #: The marker in the new card's note, to show that the line is the one that was meant.
    marker: str | None
    #: Refused is a sure no; every other error leaves the line in doubt.
    result: Applied | SideError


class Limited(Protocol):
    """A side that holds no more than so much on one card."""

    def creation_limit(self) -> tuple[int, str] | None:
        """The most that one card may hold: minor units and currency; None when the side does not tell."""
        ...


class Lister(Limited, Protocol):
    """A side that can list all of its cards."""

    def list_cards(self, on_progress: Callable[[int], None]) -> Iterator[Listed]:
        """Every card, streamed; `on_progress` is told how many the side has gathered. Raises like reads."""
        ...

    def details_of(self, native_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """For cards that were bought: `order`, `order_id` and `shipping_name`, by native id."""
        ...


class ListedLine(NamedTuple):
    """One card of a list, as plain values."""

    native_id: str
    balance_minor: int
    currency: str
    #: The value of a `CardStatus`.
    status: str
    #: ISO 8601.
    expires_on: str | None
    last_chars: str
    #: The giftsync marker in the card's note.
    created_by: str | None
    #: Whether an order bought it.
    bought: bool


@dataclass(frozen=True)
class ListedCards:
    """The next cards of a list, a column each: a sweep compares whole columns, and makes no object for a card
    that shows what the ledger holds.
    """

    native_ids: Sequence[str]
    balances_minor: Sequence[int]
    currencies: Sequence[str]
    #: Values of `CardStatus`.
    statuses: Sequence[str]
    #: ISO 8601.
    expires_on: Sequence[str | None]
    #: All that the list says of one of them, by its place here.
    line: Callable[[int], ListedLine]

    @classmethod
    def of(cls, lines: Sequence[ListedLine]) -> ListedCards:
        return cls(
            [one.native_id for one in lines],
            [one.balance_minor for one in lines],
            [one.currency for one in lines],
            [one.status for one in lines],
            [one.expires_on for one in lines],
            lines.__getitem__,
        )


class ListState(StrEnum):
    """How far an ordered list is."""

    GATHERING = "gathering"
    READY = "ready"
    #: The side gave it up, or keeps it no more: order another.
    LOST = "lost"


class Catalogue(Protocol):
    """A side that lists all of its cards in a file, which is made while one does something else."""

    def order_list(self, tag: str) -> str:
        """Have a list made; returns the side's id of it. `tag` is 16 letters or digits.

        Raises InDoubt when it may have been ordered: `find_list` tells.
        """
        ...

    def find_list(self, tag: str) -> str | None:
        """The id of the list that was ordered under the tag; None when the side does not show such a one."""
        ...

    def list_state(self, operation: str) -> ListState: ...

    def read_list(self, operation: str, skip: int = 0) -> Iterator[ListedCards]:
        """The cards of a list that is ready, without the first `skip`, some thousand at a time; the order is
        the same each time.

        Raises InDoubt for a list that is not ready.
        """
        ...

    def details_of(self, native_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """See `Lister.details_of`."""
        ...


class PackCreator(Protocol):
    """A side that makes several cards with one request, each with an outcome of its own."""

    def pack_size(self, threads: int) -> int:
        """How many creates a request should hold when so many threads send them.

        One, unless the time that answers take, and not the side's limit, is what holds the threads up.
        """
        ...

    def create_pack(self, effects: Sequence[Effect]) -> list[Applied | SideError]:
        """Carry out creates once; for each, in order, what came of it. An unknown outcome is every one's."""
        ...


class MassCreator(Protocol):
    """A side that makes many cards from one file. Lines run in no fixed order."""

    @property
    def lines_max(self) -> int:
        """Creates that fit into one file."""
        ...

    def pace(self) -> Pace: ...

    def upload(self, effects: Sequence[Effect]) -> str:
        """Put the creates on the side, one a line, and give the path to start with. Nothing is made yet."""
        ...

    def start(self, tag: str, path: str) -> str:
        """Start making the cards; returns the side's id of it. `tag` is 16 letters or digits.

        Raises InDoubt when it may have started: `find_started` tells.
        """
        ...

    def find_started(self, tag: str) -> str | None:
        """The id of what was started under the tag; None when the side does not show such a thing."""
        ...

    def state(self, operation: str) -> MassState: ...

    def outcomes(self, operation: str) -> Iterator[LineOutcome]:
        """What became of each line, in any order. A line without an outcome is in doubt."""
        ...
