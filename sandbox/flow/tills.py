"""The tills of the stores, each with a clock of its own, with or without a connection (all of it invented).

A till without a connection takes what customers give it, knowing no balance, and sends its sales when it is
connected again. The tenant books them as they were made, with the till's times and whatever the cards hold by
then: a card can end up below zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.flow.catalog import Store
from sandbox.flow.model import Card, Item, Order
from sandbox.flow.orders import Payment

#: The till of a store that is meant when none is named, as its orders show it.
FIRST_TILL = "1"
CLOCK_OFFSET_S_MAX = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Sale:
    """One item and one payment at a till."""

    store: Store
    item: Item
    payment: Payment
    #: By the till's clock.
    at_ms: int
    till_uid: str
    customer: dict[str, str] = field(default_factory=dict)
    #: What it does to which card, by the till's books.
    card: Card | None = None
    amount: int = 0


@dataclass(slots=True)
class StoreTill:
    uid: str
    store: Store
    #: How far its clock is ahead of the tenant's, in milliseconds.
    ahead_ms: int = 0
    offline: bool = False
    unsent: list[Sale] = field(default_factory=list)

    def at_ms(self, now_ms: int) -> int:
        """The time that this till shows and writes on its receipts."""
        return max(0, now_ms + self.ahead_ms)

    def believes(self, card: Card) -> int:
        """The balance that this till would print."""
        return card.balance + sum(sale.amount for sale in self.unsent if sale.card is card)

    def send(self, book: Callable[[Sale], Order]) -> list[Order]:
        """Send what was sold without a connection, in the order of the sales."""
        sales, self.unsent = self.unsent, []
        return [book(sale) for sale in sales]


class Tills:
    """All tills by store and name; one that was never set up is on time and connected."""

    def __init__(self) -> None:
        self._tills: dict[tuple[str, str], StoreTill] = {}

    def of(self, store: Store, uid: str) -> StoreTill:
        return self._tills.setdefault((store.uid, uid), StoreTill(uid, store))
