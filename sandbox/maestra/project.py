"""Pools, gift cards and orders of one emulated Maestra project; money in minor units (cents)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.maestra.behaviour import MaestraBehaviour

INACTIVE, ACTIVATED, REDEEMED, EXPIRED, BLOCKED = "Inactive", "CanBeUsed", "Redeemed", "Expired", "Blocked"
NO_CARD = "Gift card is not found"
KNOWN_ORDER = "an order with this external id exists"
#: What earlier cards were sold for, in whole currency units, and the share that was spent in part.
_AMOUNTS = (250, 500, 750, 1_000, 1_500, 2_000)
_SPENT_PARTLY = 0.2


@dataclass
class Invalid(Exception):
    """A ValidationError: nothing happened."""

    message: str
    location: str = ""


@dataclass(frozen=True)
class Pool:
    """Its parameters are locked once it is imported."""

    system_name: str
    name: str
    product: str
    #: None: cards of any value.
    face_cents: int | None = None
    partial: bool = True
    cvv_required: bool = False
    valid_days: int | None = None


@dataclass
class GiftCard:
    number: str
    pool: Pool
    cents: int
    status: str = INACTIVE
    cvv: str = ""
    expires_at: datetime | None = None
    #: Amounts with the external ids of the orders that paid.
    payments: list[tuple[str, int]] = field(default_factory=list)
    #: The order that sold it.
    sold_by: str = ""


@dataclass
class Order:
    external_id: str
    sells: str | None
    pays: tuple[str, int] | None
    cancelled: bool = False


class Project:
    """Cards by number. One thread."""

    def __init__(self, behaviour: MaestraBehaviour, clock: Callable[[], datetime]) -> None:
        self.behaviour = behaviour
        self._clock = clock
        self.pools: dict[str, Pool] = {}
        self.cards: dict[str, GiftCard] = {}
        self.orders: dict[str, Order] = {}

    # Pools.

    def add_pool(self, pool: Pool) -> None:
        if pool.system_name in self.pools or self.pool_of(pool.product) is not None:
            raise Invalid("the pool exists, and its parameters are locked")
        if len(self.pools) >= self.behaviour.pools_max:
            raise Invalid("the project has as many pools as it may")
        self.pools[pool.system_name] = pool

    def pool_of(self, product: str) -> Pool | None:
        return next((pool for pool in self.pools.values() if pool.product == product), None)

    # Cards.

    def card(self, number: str) -> GiftCard:
        found = self.cards.get(number)
        if found is None:
            raise Invalid(NO_CARD, "/order/payments/0/id")
        over = found.expires_at is not None and self._clock() > found.expires_at
        if over and found.status == ACTIVATED:
            found.status = EXPIRED
        return found

    def add_card(self, number: str, pool: Pool, cents: int, cvv: str = "") -> GiftCard:
        if number != number.strip() or not number:
            raise Invalid("the number is padded or empty")
        if number in self.cards:
            raise Invalid("a gift card with this number exists")
        if cents <= 0 or (pool.face_cents is not None and cents != pool.face_cents):
            raise Invalid("the amount is not one of this pool's")
        if pool.cvv_required and not cvv:
            raise Invalid("the pool needs a CVV")
        made = self.cards[number] = GiftCard(number, pool, cents, cvv=cvv)
        return made

    def activate(self, card: GiftCard, order: str) -> None:
        if card.status != INACTIVE:
            raise Invalid("the gift card is not for sale", "/order/lines/0/giftCard")
        card.status, card.sold_by = ACTIVATED, order
        if card.pool.valid_days is not None:
            card.expires_at = self._clock() + timedelta(days=card.pool.valid_days)

    def block(self, number: str) -> None:
        self.card(number).status = BLOCKED

    # Orders.

    def save(self, order: Order, cvv: str) -> Order:
        """Sell or pay with a card, by an order that is saved."""
        known = self.orders.get(order.external_id)
        if known is not None and self.behaviour.known_order != "again":
            if self.behaviour.known_order == "same" and (known.sells, known.pays) == (
                order.sells,
                order.pays,
            ):
                return known
            raise Invalid(KNOWN_ORDER, "/order/ids")
        if order.sells is not None:
            self.activate(self.card(order.sells), order.external_id)
        if order.pays is not None:
            self._pay(order, cvv)
        self.orders[order.external_id] = order
        return order

    def _pay(self, order: Order, cvv: str) -> None:
        number, cents = order.pays or ("", 0)
        card = self.card(number)
        self.check_pays(card, cvv)
        if cents <= 0 or cents > card.cents:
            raise Invalid("the amount is not available on the gift card", "/order/payments/0/amount")
        if cents != card.cents and not card.pool.partial:
            raise Invalid("the pool allows no partial redemption", "/order/payments/0/amount")
        card.cents -= cents
        card.payments.append((order.external_id, cents))
        if card.cents == 0:
            card.status = REDEEMED

    def check_pays(self, card: GiftCard, cvv: str) -> None:
        if card.status != ACTIVATED:
            raise Invalid(f"the gift card cannot pay: {card.status}", "/order/payments/0/id")
        if card.pool.cvv_required and cvv != card.cvv:
            raise Invalid("the CVV is wrong", "/order/payments/0")

    def sell_earlier(self, count: int, seed: int) -> None:
        """Sell so many cards of the first pool, some of which are spent in part."""
        chance = random.Random(f"cards {seed}")
        pool = next(iter(self.pools.values()))
        for number in range(count):
            card = self.add_card(f"65{number:014d}", pool, chance.choice(_AMOUNTS) * 100)
            self.activate(card, f"earlier-{number}")
            if chance.random() < _SPENT_PARTLY:
                paid = chance.randint(1, card.cents - 1)
                self.save(Order(f"earlier-paid-{number}", None, (card.number, paid)), "")

    def cancel(self, external_id: str) -> Order:
        order = self.orders.get(external_id)
        if order is None or order.cancelled:
            raise Invalid("there is no such order to cancel", "/order/ids")
        order.cancelled = True
        if order.pays is not None and self.behaviour.cancel_restores:
            card = self.card(order.pays[0])
            card.cents += order.pays[1]
            card.payments.append((external_id, -order.pays[1]))
            if card.status == REDEEMED:
                card.status = ACTIVATED
        return order

    def totals(self) -> Mapping[str, int]:
        """Activated money by pool."""
        return {
            name: sum(c.cents for c in self.cards.values() if c.pool is pool and c.status == ACTIVATED)
            for name, pool in self.pools.items()
        }
