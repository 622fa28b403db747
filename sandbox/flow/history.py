"""The tenant's past: cards that were sold and used in the POS before the emulator started.

Each historical movement stands for one settled POS order. The order itself is built when it is read, in the
shape that the till gives to live ones, so that a million cards fit in memory.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from sandbox.flow.behaviour import FlowBehaviour, StateNames
from sandbox.flow.cards import CardBook
from sandbox.flow.catalog import (
    PRODUCT_GOODS,
    USER_CASHIER,
    Brand,
    Product,
    Store,
)
from sandbox.flow.model import Card, Item, MovementKind, Order, PosRecord, Settlement
from sandbox.flow.payments import PaymentMethods

#: Receipts are spread over this many days before the start.
HISTORY_DAYS = 55
ORDER_TYPE = "ORDER"
ORIGIN_POS = "POS"
#: Every so many seeded cards also has a number from a former system.
_LEGACY_EVERY = 20
_LEGACY_NUMBER_LOW = 10_000_000
_HOUR_MS = 60 * 60 * 1000
_DAY_MS = 24 * _HOUR_MS
#: Face values in minor units; cashiers mostly sell round ones.
_FACE_VALUES = (10_000, 20_000, 25_000, 50_000, 50_000, 75_000, 100_000, 200_000, 34_950, 12_345)
_SHARE_UNTOUCHED = 0.55
_SHARE_EMPTIED = 0.1


@dataclass(frozen=True, slots=True)
class _Shop:
    """What expanding a record needs to know about the tenant."""

    products: dict[str, Product]
    methods: PaymentMethods
    states: StateNames


class History:
    """The seeded orders, numbered from 1 in the order of time."""

    def __init__(
        self, behaviour: FlowBehaviour, products: dict[str, Product], methods: PaymentMethods
    ) -> None:
        self._shop = _Shop(products, methods, behaviour.states)
        self._records: list[PosRecord] = []

    def __len__(self) -> int:
        return len(self._records)

    def times(self) -> list[tuple[int, int]]:
        """Pairs of settledAt in milliseconds and sequence number, in the order of time."""
        return [(record.at_ms, record.order_seq) for record in self._records]

    def order(self, seq: int) -> Order | None:
        """The order with this number, built anew; None when it is not of the past."""
        if not 0 < seq <= len(self._records):
            return None
        return _expand(self._shop, self._records[seq - 1])

    def seed(
        self,
        cards: CardBook,
        stores: tuple[Store, ...],
        brand: Brand,
        count: int,
        seed: int,
        now_ms: int,
        step: int = 1,
    ) -> None:
        """Sell `count` cards in the past and use some of them; the same seed gives the same cards.

        Amounts are multiples of `step` minor units.
        """
        source = random.Random(f"flow history {seed}")
        sellers = [store for store in stores if store.takes(brand)]
        records = self._records
        for position in range(count):
            legacy = "" if position % _LEGACY_EVERY else str(_LEGACY_NUMBER_LOW + position)
            card = cards.add(cards.new_number(source), brand, legacy_number=legacy)
            sold_ms = now_ms - _HOUR_MS - int(source.random() * (HISTORY_DAYS * _DAY_MS - 2 * _HOUR_MS))
            cards.activate(card, sold_ms)
            store = sellers[position % len(sellers)]
            amount = source.choice(_FACE_VALUES)
            amount -= amount % step
            record = PosRecord(MovementKind.ISSUE, amount, sold_ms, "", 0, card, store)
            card.move(record)
            records.append(record)
            for part in _spent(source, amount, step):
                at_ms = card.movements[-1].at_ms
                at_ms += 1 + int(source.random() * (now_ms - 1000 - at_ms))
                record = PosRecord(MovementKind.REDEEM, -part, at_ms, "", 0, card, store)
                card.move(record)
                records.append(record)
        records.sort(key=lambda record: record.at_ms)
        for seq, record in enumerate(records, start=1):
            record.order_seq = seq


def _spent(source: random.Random, amount: int, step: int) -> list[int]:
    """The redemptions of a card sold for `amount`."""
    fate = source.random()
    if fate < _SHARE_UNTOUCHED:
        return []
    first = source.randrange(1, amount // 100) * 100 - source.choice((0, 0, 5, 50)) // step * step
    if fate < _SHARE_UNTOUCHED + _SHARE_EMPTIED:
        return [first, amount - first]
    return [first]


def _expand(shop: _Shop, record: PosRecord) -> Order:
    card: Card = record.card
    amount = abs(record.amount)
    if record.kind is MovementKind.REDEEM:
        method = shop.methods.giftcard
        item = Item(shop.products[PRODUCT_GOODS], 100, amount, record.at_ms)
        parameters = {method.platform.number_key: card.number}
        settlement = Settlement(method, amount, record.at_ms, parameters=parameters, card=card, moved=True)
    else:
        item = Item(shop.products[card.brand.product_uid], 100, amount, record.at_ms, number=card.number)
        settlement = Settlement(shop.methods.cash, amount, record.at_ms)
    return Order(
        seq=record.order_seq,
        store=record.store,
        type=ORDER_TYPE,
        system_origin=ORIGIN_POS,
        user=USER_CASHIER,
        created_ms=record.at_ms,
        modified_ms=record.at_ms,
        state=shop.states.order_closed,
        is_pos=True,
        items=[item],
        settlements=[settlement],
        settled_ms=record.at_ms,
    )
