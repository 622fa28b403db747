"""Shoppers and cashiers: they sell, buy, load, spend and refund at random, each with a tally of their own."""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass

from cli.demo.control import Refused
from cli.demo.tally import Entry, Tally
from cli.demo.venue import Venue
from cli.demo.wallet import Held, Wallet
from cli.demo.watch import Watch
from mappings.money import currency_exponent, minor_from_decimal
from sandbox.emulated import Act, Deed

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

    venues: tuple[Venue, ...]
    currency: str
    wallet: Wallet
    tally: Tally
    watch: Watch

    def acts(self, venue: Venue) -> list[Act]:
        """What people do there: nothing that another side could not follow."""
        others = [other.cannot_follow for other in self.venues if other is not venue]
        left_out: frozenset[Deed] = frozenset().union(*others)
        return [act for act in venue.people.acts if act.deed not in left_out]


class Person:
    """Acts at one venue again and again until stopped."""

    def __init__(self, stage: Stage, venue: Venue, seed: str) -> None:
        self._stage, self._venue = stage, venue
        self._acts = stage.acts(venue)
        self._chance = random.Random(seed)
        self._unit_minor: int = 10 ** currency_exponent(stage.currency)
        #: Orders paid with a card: the order, the card's number, and what can still be refunded.
        self._orders: deque[tuple[object, str, int]] = deque(maxlen=ORDERS_REMEMBERED)

    def run(self, stop: threading.Event) -> None:
        while self._acts and not stop.wait(self._chance.expovariate(1 / PAUSE_SECONDS_MEAN)):
            (act,) = self._chance.choices(self._acts, [one.weight for one in self._acts])
            try:
                self._do(act)
            except Refused:
                self._stage.tally.refuse()

    def _do(self, act: Act) -> None:
        match act.deed:
            case Deed.SELL:
                self._sell(act)
            case Deed.SPEND:
                self._spend(act)
            case Deed.LOAD:
                self._load(act)
            case Deed.REFUND:
                self._refund(act)

    def _sell(self, act: Act) -> None:
        amount = self._price()
        answer = self._venue.calls.move(act.call, amount, **(self._buyer() if act.named else {}))
        serial = str(answer[self._venue.serial])
        self._note(act, serial, amount)
        self._stage.wallet.hold({self._venue.side: serial}, amount)

    def _spend(self, act: Act) -> None:
        picked = self._pick()
        if picked is None:
            return
        card, serial = picked
        amount = self._to_spend(card)
        answer = self._venue.calls.move(act.call, amount, **{self._venue.serial: serial})
        self._note(act, serial, amount)
        card.balance_minor = minor_from_decimal(str(answer["balance"]), self._stage.currency)
        if answer.get("order_id") is not None:
            self._orders.append((answer["order_id"], serial, amount))

    def _load(self, act: Act) -> None:
        picked = self._pick()
        if picked is not None:
            _, serial = picked
            amount = self._price()
            self._venue.calls.move(act.call, amount, **{self._venue.serial: serial})
            self._note(act, serial, amount)

    def _refund(self, act: Act) -> None:
        if self._orders:
            order_id, serial, left = self._orders.popleft()
            amount = self._chance.randint(1, left)
            self._venue.calls.move(act.call, amount, order_id=order_id)
            self._note(act, serial, amount)

    def _note(self, act: Act, serial: str, amount_minor: int) -> None:
        entry = Entry.of(act)
        self._stage.tally.add(entry, amount_minor)
        self._stage.watch.acted(serial, entry.sign * amount_minor, self._venue.side)

    def _buyer(self) -> dict[str, object]:
        name = self._chance.choice(NAMES)
        return {"name": name, "email": f"{name.split()[0].lower()}@example.com".replace("ø", "o")}

    def _price(self) -> int:
        return self._chance.choice(AMOUNTS) * self._unit_minor

    def _to_spend(self, card: Held) -> int:
        """Part of what is on the card, sometimes all of it, to the minor unit."""
        if self._chance.random() < 0.1:
            return card.balance_minor
        return self._chance.randint(1, max(1, card.balance_minor // 2))

    def _pick(self) -> tuple[Held, str] | None:
        minimum = PURCHASE_MINIMUM * self._unit_minor
        return self._stage.wallet.pick(self._chance, side=self._venue.side, minimum_minor=minimum)
