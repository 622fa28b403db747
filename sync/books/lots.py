"""First in, first out: which place's value each redemption uses up (pure).

What was put on a card first is used first. So every redemption splits into parts that other places took the
money for; each such place owes the one that gave the goods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sync.books.classify import Booked
from sync.books.entries import HEAD_OFFICE, WHERE_REDEEMED, Entry, Line, Place

#: Lots of one card: origin and what is left of it, oldest first.
Lots = Sequence[tuple[Place, int]]


class Bearer(StrEnum):
    """Who bears money that no customer paid."""

    HEAD_OFFICE = "head_office"
    ISSUING = "issuing"
    REDEEMING = "redeeming"


@dataclass(frozen=True)
class Rules:
    """Who bears write-offs and discounts."""

    write_offs: Bearer = Bearer.HEAD_OFFICE
    discounts: Bearer = Bearer.ISSUING


class Use(NamedTuple):
    """Value that one place took the money for and another place gave goods for; positive."""

    issued: Place
    redeemed: Place
    amount_minor: int


@dataclass
class Stock:
    """The value on one card by origin, oldest first, and redemptions that nothing covers yet."""

    rules: Rules
    lots: list[tuple[Place, int]] = field(default_factory=list)
    _uncovered: list[tuple[Place, int]] = field(default_factory=list)
    #: Used before there was so much, as far as the order of clocks tells; value that comes later covers it.
    _owing_minor: int = 0
    #: Where the last value was put on: bears a write-off that the issuing place is to bear.
    _issuer: Place = HEAD_OFFICE

    def consume(self, amount_minor: int) -> None:
        """Use the oldest value, wherever that was."""
        self._owing_minor += amount_minor - sum(part for _, part in self.take(amount_minor))

    def put(self, origin: Place, amount_minor: int) -> Iterator[Use]:
        """Add value at the end; what was redeemed before it was there is covered first."""
        if self._owing_minor:
            covered = min(self._owing_minor, amount_minor)
            self._owing_minor -= covered
            amount_minor -= covered
        while amount_minor and self._uncovered:
            redeemed, missing = self._uncovered[0]
            part = min(missing, amount_minor)
            amount_minor -= part
            self._uncovered[0] = (redeemed, missing - part)
            if part == missing:
                self._uncovered.pop(0)
            yield Use(redeemed if origin is WHERE_REDEEMED else origin, redeemed, part)
        if amount_minor:
            self.lots.append((origin, amount_minor))

    def take(self, amount_minor: int) -> Iterator[tuple[Place, int]]:
        """Take from the oldest value; yields less when there is less."""
        while amount_minor and self.lots:
            origin, left = self.lots[0]
            part = min(left, amount_minor)
            amount_minor -= part
            if part == left:
                self.lots.pop(0)
            else:
                self.lots[0] = (origin, left - part)
            yield origin, part

    def redeem(self, place: Place, amount_minor: int) -> Iterator[Use]:
        """Use up value at a place; what is not there waits for a write-off or for value that comes later."""
        for origin, part in self.take(amount_minor):
            amount_minor -= part
            yield Use(place if origin is WHERE_REDEEMED else origin, place, part)
        if amount_minor:
            self._uncovered.append((place, amount_minor))

    def book(self, entry: Entry, received: Lots = ()) -> Iterator[Use]:
        """Carry out one entry; `received` are the lots that a transfer brings."""
        amount = entry.amount_minor
        match entry.line:
            case Line.REDEEMED if amount < 0:
                yield from self.redeem(entry.place, -amount)
            case Line.WRITTEN_OFF if amount > 0:
                yield from self._write_off(amount)
            case Line.TRANSFERRED if amount > 0:
                yield from self._receive(amount, received)
            case Line.ADJUSTED if amount > 0:
                yield from self.put(HEAD_OFFICE, amount)
            case _ if amount < 0:
                for _ in self.take(-amount):
                    pass  # Expired, closed and corrected value stays with the place that was paid for it.
            case _:
                self._issuer = entry.place
                yield from self.put(entry.place, amount - entry.discount_minor)
                if entry.discount_minor:
                    yield from self.put(self._bearer_of_discount(entry.place), entry.discount_minor)

    def _write_off(self, amount_minor: int) -> Iterator[Use]:
        bearer = {
            Bearer.HEAD_OFFICE: HEAD_OFFICE,
            Bearer.ISSUING: self._issuer,
            Bearer.REDEEMING: WHERE_REDEEMED,
        }[self.rules.write_offs]
        yield from self.put(bearer, amount_minor)

    def _receive(self, amount_minor: int, received: Lots) -> Iterator[Use]:
        for origin, left in received:
            part = min(left, amount_minor)
            amount_minor -= part
            yield from self.put(origin, part)
        yield from self.put(HEAD_OFFICE, amount_minor)

    def _bearer_of_discount(self, place: Place) -> Place:
        return {
            Bearer.HEAD_OFFICE: HEAD_OFFICE,
            Bearer.ISSUING: place,
            Bearer.REDEEMING: WHERE_REDEEMED,
        }[self.rules.discounts]


def uses_of(booked: Booked, rules: Rules, received: Lots = ()) -> tuple[list[Use], list[tuple[Place, int]]]:
    """The uses of one card's value in the period, and the lots that it gave away to another card."""
    stock = Stock(rules)
    uses: list[Use] = []
    given: list[tuple[Place, int]] = []
    used_before = booked.used_before_minor
    for entry in booked.entries:
        if entry.in_period and used_before:
            stock.consume(used_before)
            used_before = 0
        if entry.line is Line.TRANSFERRED and entry.amount_minor < 0:
            given += stock.take(-entry.amount_minor)
            continue
        found = list(stock.book(entry, received))
        if entry.in_period:
            uses += found
    return uses, given
