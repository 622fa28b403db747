"""The `Side` protocol: what giftsync asks of a system that holds gift cards.

Three nouns run through it. A *card reference* names one card on the side, and an *observation* is what the
side answered for it (`card`). An *effect* is one change to carry out there, under a marker that can be found
again (`effect`). Beside them stand what a side says of itself (`capabilities`), its news (`feed`,
`webhooks`), and what it can do beyond this protocol (`abilities`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from connectors.api.abilities import Abilities
from connectors.api.capabilities import Capabilities, Identity, Place, Usage
from connectors.api.card import CardRef, Observation
from connectors.api.effect import Applied, Effect, FindResult, Save
from connectors.api.feed import Feed, HintPage
from mappings.serials import Serial


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
    def capabilities(self) -> Capabilities:
        """What it can do, by its settings; makes no call and says the same as long as the side is open."""
        ...

    @property
    def feeds(self) -> Sequence[Feed]:
        """The feeds that `hints` can be asked for, each name once; makes no call."""
        ...

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
        """Pages of hints after the cursor; None starts at the beginning. Ends when nothing is left.

        A cursor is the side's own text. It may be read from again, and a hint may come more than once. Raises
        ValueError for a feed that the side does not have.
        """
        ...

    @property
    def abilities(self) -> Abilities:
        """What the side can do beside this protocol."""
        ...

    def usage(self) -> Usage:
        """What it was asked for since it was opened, by all threads."""
        ...

    def close(self) -> None:
        """Give connections back. No other method is called afterwards; safe to repeat."""
        ...


def place_of(side: Side) -> Place:
    """Where people find the cards of a side; by its name in the link if it does not say."""
    found = side.abilities.place
    return found if found is not None else Place(side.name, side.name)
