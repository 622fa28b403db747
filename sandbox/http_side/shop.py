"""The gift cards of one emulated shop, their movements and changes; money in minor units."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sandbox.http_side.behaviour import HttpShopBehaviour

STATUSES: Final = ("active", "suspended", "closed")
#: What earlier cards were sold for, in whole currency units, and the share that was spent in part.
_AMOUNTS: Final = (250, 500, 750, 1_000, 1_500, 2_000)
_SPENT_PARTLY: Final = 0.2
_BETWEEN: Final = re.compile(r"[\s-]+")


@dataclass
class Refusal(Exception):
    """A request that the shop refuses."""

    status: int
    code: str
    card: str | None = None


@dataclass(frozen=True)
class Movement:
    id: str
    minor: int
    at: datetime
    key: str | None
    label: str


@dataclass
class GiftCard:
    id: str
    #: As it was given.
    number: str = field(repr=False)
    status: str = "active"
    expires_on: date | None = None
    #: Of the request that made it.
    key: str | None = None
    note: str = ""
    brand: str = ""
    movements: list[Movement] = field(default_factory=list)

    @property
    def minor(self) -> int:
        return sum(one.minor for one in self.movements)


@dataclass(frozen=True)
class Done:
    """What was done under a key."""

    request: str
    card: GiftCard
    movement: Movement | None


class Shop:
    """Cards by id, in the order they were made. One thread."""

    def __init__(
        self,
        behaviour: HttpShopBehaviour,
        clock: Callable[[], datetime],
        timezone: str,
        on_change: Callable[[GiftCard], None],
    ) -> None:
        self.behaviour = behaviour
        self.cards: dict[str, GiftCard] = {}
        #: Ids of the cards that changed, in order.
        self.changes: list[tuple[str, datetime]] = []
        self._clock, self._zone, self._on_change = clock, ZoneInfo(timezone), on_change
        self._by_number: dict[str, GiftCard] = {}
        self._keys: dict[str, Done] = {}
        #: By order: the card that paid, and how much of that was not refunded.
        self._paid: dict[str, tuple[GiftCard, int]] = {}
        self._ids = itertools.count(1)

    # Reading.

    def by_id(self, card_id: str) -> GiftCard:
        if card_id not in self.cards:
            raise Refusal(404, "not_found")
        return self.cards[card_id]

    def by_number(self, number: str) -> GiftCard:
        found = self._by_number.get(bare(number))
        if found is None:
            raise Refusal(404, "not_found")
        return found

    def done(self, key: str, request: object) -> Done | None:
        """What the same request did under this key before."""
        known = self._keys.get(key) if self.behaviour.keys_kept else None
        if known is not None and known.request != _fingerprint(request):
            raise Refusal(409, "key_reused")
        return known

    # Writing.

    def create(
        self,
        number: str,
        minor: int,
        *,
        key: str | None = None,
        request: object = None,
        expires_on: date | None = None,
        note: str = "",
        brand: str = "",
    ) -> Done:
        self._check_number(number)
        taken = self._by_number.get(bare(number))
        if taken is not None:
            raise Refusal(409, "number_taken", taken.id)
        if minor < 0:
            raise Refusal(400, "invalid_request")
        self._check_limit(minor)
        card = GiftCard(f"gc_{next(self._ids):06d}", number, "active", expires_on, key, note, brand)
        self.cards[card.id] = self._by_number[bare(number)] = card
        made = self._add(card, minor, key, "" if key else "sold") if minor else None
        self._changed(card)
        return self._keep(key, request, card, made)

    def move(
        self, card: GiftCard, minor: int, *, key: str | None = None, request: object = None, label: str = ""
    ) -> Done:
        if minor == 0:
            raise Refusal(400, "invalid_request")
        if card.status != "active":
            raise Refusal(409, "not_active")
        if card.expires_on is not None and card.expires_on < self._clock().astimezone(self._zone).date():
            raise Refusal(409, "expired")
        if card.minor + minor < 0:
            raise Refusal(409, "insufficient_funds")
        self._check_limit(card.minor + minor)
        made = self._add(card, minor, key, label)
        self._changed(card)
        return self._keep(key, request, card, made)

    def change(
        self, card: GiftCard, *, status: str | None, expires_on: date | None, sets_expiry: bool
    ) -> GiftCard:
        if card.status == "closed" and status not in (None, "closed"):
            raise Refusal(409, "not_active")
        before = (card.status, card.expires_on)
        card.status = status or card.status
        card.expires_on = expires_on if sets_expiry else card.expires_on
        if (card.status, card.expires_on) != before:
            self._changed(card)
        return card

    def show(self, card: GiftCard, status: str) -> None:
        """Show any status, also one that the contract does not have."""
        card.status = status
        self._changed(card)

    def sell(self, minor: int) -> GiftCard:
        """A customer buys a card."""
        return self.create(f"66{len(self.cards) + 1:012d}{(len(self.cards) + 1) * 37 % 100:02d}", minor).card

    def sell_earlier(self, count: int, seed: int, unit: int) -> None:
        """Sell so many cards, some of which are spent in part."""
        chance = random.Random(f"http cards {seed}")
        for _ in range(count):
            card = self.sell(unit * chance.choice(_AMOUNTS))
            if chance.random() < _SPENT_PARTLY:
                self.order(card, chance.randint(1, card.minor - 1))

    def order(self, card: GiftCard, minor: int) -> tuple[str, Done]:
        """A customer pays an order with a card; its number and what became of the card."""
        if minor <= 0:
            raise Refusal(400, "invalid_request")
        number = str(10_001 + len(self._paid))
        done = self.move(card, -minor, label=f"order {number}")
        self._paid[number] = (card, minor)
        return number, done

    def refund(self, order: str, minor: int) -> Done:
        """Give money of an order back to its card."""
        if order not in self._paid:
            raise Refusal(404, "not_found")
        card, left = self._paid[order]
        if not 0 < minor <= left:
            raise Refusal(409, "insufficient_funds")
        done = self.move(card, minor, label=f"refund of order {order}")
        self._paid[order] = (card, left - minor)
        return done

    def _add(self, card: GiftCard, minor: int, key: str | None, label: str) -> Movement:
        made = Movement(f"mv_{next(self._ids):06d}", minor, self._clock(), key, label)
        card.movements.append(made)
        return made

    def _keep(self, key: str | None, request: object, card: GiftCard, made: Movement | None) -> Done:
        done = Done(_fingerprint(request), card, made)
        if key is not None:
            self._keys[key] = done
        return done

    def _changed(self, card: GiftCard) -> None:
        self.changes.append((card.id, self._clock()))
        self._on_change(card)

    def _check_number(self, number: str) -> None:
        text = bare(number)
        limits = self.behaviour
        fits = limits.number_length_min <= len(text) <= limits.number_length_max
        if not fits or not text.isascii() or not text.isalnum():
            raise Refusal(409, "number_refused")
        if limits.number_digits_only and not text.isdigit():
            raise Refusal(409, "number_refused")

    def _check_limit(self, minor: int) -> None:
        if self.behaviour.card_limit_minor and minor > self.behaviour.card_limit_minor:
            raise Refusal(409, "over_limit")


def bare(number: str) -> str:
    """A number as it is compared: without spaces and dashes, in any case."""
    return _BETWEEN.sub("", number).lower()


def _fingerprint(request: Any) -> str:
    return json.dumps(request, sort_keys=True)
