"""Shoppers and cashiers: they sell, buy, load, spend and refund at random, each with a tally of their own."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cli.build import FLOW, SHOPIFY
from cli.demo.control import Control, Refused
from cli.demo.tally import Entry, Tally
from cli.demo.wallet import Held, Wallet
from cli.demo.watch import Watch
from mappings.money import minor_from_decimal

#: Whole currency units that cards are sold for and loaded with.
AMOUNTS = (100, 200, 250, 300, 500, 750, 1_000)
NAMES = ("Anne Dahl", "Bjørn Moen", "Camilla Berg", "Dag Larsen", "Eva Solberg", "Frode Lie")
PAUSE_SECONDS_MEAN = 0.6
ORDERS_REMEMBERED = 50
#: Smaller than this nobody bothers to pay with a card, in whole currency units.
PURCHASE_MINIMUM = 5


@dataclass(frozen=True)
class Stage:
    """What the people share."""

    shopify: Control
    flow: Control
    wallet: Wallet
    tally: Tally
    watch: Watch
    #: Minor units in one whole unit of the currency.
    unit_minor: int


class Person:
    """Acts again and again until stopped."""

    def __init__(self, stage: Stage, seed: str) -> None:
        self._stage = stage
        self._chance = random.Random(seed)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._chance.expovariate(1 / PAUSE_SECONDS_MEAN)):
            try:
                self._act()
            except Refused:
                self._stage.tally.refuse()

    def _act(self) -> None:
        actions, weights = zip(*self.habits(), strict=True)
        self._chance.choices(actions, weights)[0]()

    def habits(self) -> list[tuple[Callable[[], None], int]]:
        """What this person does, and how often."""
        raise NotImplementedError

    def _price(self) -> int:
        return self._chance.choice(AMOUNTS) * self._stage.unit_minor

    def _to_spend(self, card: Held) -> int:
        """Part of what is on the card, sometimes all of it, to the minor unit."""
        if self._chance.random() < 0.1:
            return card.balance_minor
        return self._chance.randint(1, max(1, card.balance_minor // 2))

    def _pick(self, *, online: bool) -> Held | None:
        minimum = PURCHASE_MINIMUM * self._stage.unit_minor
        return self._stage.wallet.pick(self._chance, online=online, minimum_minor=minimum)

    def _minor(self, text: object) -> int:
        return minor_from_decimal(str(text), self._stage.flow.currency)


class Cashier(Person):
    """Stands in the store."""

    def habits(self) -> list[tuple[Callable[[], None], int]]:
        return [(self._sell, 2), (self._redeem, 6), (self._deposit, 2)]

    def _sell(self) -> None:
        amount = self._price()
        sold = self._stage.flow.move("sell", amount)
        self._stage.tally.add(Entry.SOLD_IN_STORE, amount)
        self._stage.wallet.hold(number=sold["number"], code=None, balance_minor=amount)
        self._stage.watch.acted(sold["number"], amount, FLOW)

    def _redeem(self) -> None:
        card = self._pick(online=False)
        number = card.number if card is not None else None
        if card is not None and number is not None:
            amount = self._to_spend(card)
            answer = self._stage.flow.move("redeem", amount, number=number)
            self._stage.tally.add(Entry.SPENT_IN_STORE, amount)
            card.balance_minor = self._minor(answer["balance"])
            self._stage.watch.acted(number, -amount, FLOW)

    def _deposit(self) -> None:
        card = self._pick(online=False)
        number = card.number if card is not None else None
        if number is not None:
            amount = self._price()
            self._stage.flow.move("deposit", amount, number=number)
            self._stage.tally.add(Entry.LOADED, amount)
            self._stage.watch.acted(number, amount, FLOW)


class Shopper(Person):
    """Sits at home."""

    def __init__(self, stage: Stage, seed: str) -> None:
        super().__init__(stage, seed)
        #: Orders paid with a card: the order, the code, and what can still be refunded.
        self._orders: deque[tuple[str, str, int]] = deque(maxlen=ORDERS_REMEMBERED)

    def habits(self) -> list[tuple[Callable[[], None], int]]:
        return [(self._buy, 2), (self._checkout, 6), (self._refund, 1)]

    def _buy(self) -> None:
        amount, name = self._price(), self._chance.choice(NAMES)
        email = f"{name.split()[0].lower()}@example.com".replace("ø", "o")
        bought = self._stage.shopify.move("purchase", amount, name=name, email=email)
        self._stage.tally.add(Entry.SOLD_ONLINE, amount)
        self._stage.wallet.hold(number=None, code=bought["code"], balance_minor=amount)
        self._stage.watch.acted(bought["code"], amount, SHOPIFY)

    def _checkout(self) -> None:
        card = self._pick(online=True)
        code = card.code if card is not None else None
        if card is not None and code is not None:
            amount = self._to_spend(card)
            answer = self._stage.shopify.move("checkout", amount, code=code)
            self._stage.tally.add(Entry.SPENT_ONLINE, amount)
            card.balance_minor = self._minor(answer["balance"])
            self._orders.append((answer["order_id"], code, amount))
            self._stage.watch.acted(code, -amount, SHOPIFY)

    def _refund(self) -> None:
        if not self._orders:
            return
        order_id, code, left = self._orders.popleft()
        amount = self._chance.randint(1, left)
        self._stage.shopify.move("refund", amount, order_id=order_id)
        self._stage.tally.add(Entry.REFUNDED, amount)
        self._stage.watch.acted(code, amount, SHOPIFY)
