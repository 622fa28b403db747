"""The roll-forward: opening, what happened, closing, for each kind of card (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sync.books.ageing import Breakage, estimate_breakage
from sync.books.classify import Context, classify
from sync.books.entries import Entry, Facts, Line, Movement, Receipt
from sync.books.expiry import NEVER, Expiry, ExpiryDates, expiry_change, expiry_entries
from sync.books.lots import Lots, Rules, uses_of
from sync.books.settlement import Settlement


class BooksBroken(Exception):
    """The ledger's rows contradict each other, so nothing adds up; the message says where."""


class Key(NamedTuple):
    """What the roll-forward is told apart by."""

    currency: str
    brand: str
    #: The side on which the hub met the card first.
    channel: str


class Summed(NamedTuple):
    """Cards that are alike, as the database adds them up. Amounts in minor units."""

    key: Key
    use_band: int
    issue_band: int
    #: Issued longer ago than the months of the breakage estimate.
    is_old: bool
    #: Cards with something on them at the end.
    cards: int
    #: What is owed: without what has expired, unless that stays owed.
    opening_minor: int
    closing_minor: int
    #: Everything that was ever put on the cards, and what is still on them, owed or not.
    put_on_minor: int
    left_minor: int
    expired_minor: int
    held_minor: int


class CardBook(NamedTuple):
    """An active card: its facts, all its movements up to the end in order, and its receipts by time."""

    facts: Facts
    movements: Sequence[Movement]
    receipts: Sequence[Receipt]


@dataclass
class Group:
    """One kind of card."""

    key: Key
    cards: int = 0
    opening_minor: int = 0
    closing_minor: int = 0
    lines: Counter[Line] = field(default_factory=Counter)
    counts: Counter[Line] = field(default_factory=Counter)

    def check(self) -> None:
        """Raises BooksBroken unless opening and lines come to the closing balance."""
        come_to = self.opening_minor + sum(self.lines.values())
        if come_to != self.closing_minor:
            raise BooksBroken(
                f"{self.key.currency} {self.key.brand or 'without brand'}, {self.key.channel}: opening and "
                f"movements come to {come_to}, the balances to {self.closing_minor} minor units"
            )


@dataclass
class CurrencyBook:
    """Everything in one currency."""

    currency: str
    groups: dict[Key, Group] = field(default_factory=dict)
    #: Cards and amounts by the number of the age band.
    by_use: dict[int, tuple[int, int]] = field(default_factory=dict)
    by_issue: dict[int, tuple[int, int]] = field(default_factory=dict)
    settlement: Settlement = field(default_factory=Settlement)
    expired_minor: int = 0
    held_minor: int = 0
    discounts_minor: int = 0
    _put_on: Counter[bool] = field(default_factory=Counter)
    _owed: Counter[bool] = field(default_factory=Counter)
    _left: Counter[bool] = field(default_factory=Counter)

    def group(self, key: Key) -> Group:
        if key not in self.groups:
            self.groups[key] = Group(key)
        return self.groups[key]

    def breakage(self, months: int) -> Breakage | None:
        return estimate_breakage(
            months,
            self._put_on[True],
            self._left[True],
            self._put_on[False],
            self._owed[False],
            self._owed[True],
        )

    def add(self, summed: Summed) -> None:
        group = self.group(summed.key)
        group.cards += summed.cards
        group.opening_minor += summed.opening_minor
        group.closing_minor += summed.closing_minor
        for ages, number in ((self.by_use, summed.use_band), (self.by_issue, summed.issue_band)):
            cards, amount = ages.get(number, (0, 0))
            ages[number] = (cards + summed.cards, amount + summed.closing_minor)
        self.expired_minor += summed.expired_minor
        self.held_minor += summed.held_minor
        self._put_on[summed.is_old] += summed.put_on_minor
        self._left[summed.is_old] += summed.left_minor
        self._owed[summed.is_old] += summed.closing_minor


class LateEntry(NamedTuple):
    """News that came after its own period: booked in this one, and it belongs to an earlier day."""

    currency: str
    entry: Entry
    belongs_to: datetime


@dataclass
class Books:
    """All currencies of the link over one period."""

    currencies: dict[str, CurrencyBook] = field(default_factory=dict)
    late: list[LateEntry] = field(default_factory=list)
    #: What a close has to keep, by card.
    expiries: list[Expiry] = field(default_factory=list)

    def currency(self, code: str) -> CurrencyBook:
        if code not in self.currencies:
            self.currencies[code] = CurrencyBook(code)
        return self.currencies[code]

    def check(self) -> None:
        for book in self.currencies.values():
            for group in book.groups.values():
                group.check()


def keep_books(
    summed: Iterable[Summed],
    cards: Iterable[CardBook],
    context: Context,
    rules: Rules,
    from_at: datetime,
    dates: ExpiryDates = NEVER,
) -> Books:
    """Add up all cards. `cards` are those that moved, by id; `summed`, which is read last, has the balances.

    Raises BooksBroken when the two do not agree.
    """
    books = Books()
    transfers = Transfers()
    for card in cards:
        facts = card.facts
        booked = classify(facts, card.movements, card.receipts, context)
        book = books.currency(facts.currency)
        group = book.group(Key(facts.currency, facts.brand, facts.channel))
        told = booked.entries
        if dates.concern(facts):
            told = [*told, *expiry_entries(facts, card.movements, dates, context, from_at)]
            change = expiry_change(facts, card.movements, dates)
            if change is not None and dates.since is not None:
                books.expiries.append(change)
        for entry in told:
            if entry.in_period:
                group.lines[entry.line] += entry.amount_minor
                group.counts[entry.line] += 1
                book.discounts_minor += entry.discount_minor
                late_since = belongs_before(entry, from_at)
                if late_since is not None:
                    books.late.append(LateEntry(facts.currency, entry, late_since))
        # What has expired stays with the place that was paid for it, should it be redeemed after all.
        uses, given = uses_of(booked, rules, transfers.receive(facts))
        book.settlement.add(uses)
        transfers.give(facts.id, given)
    for one in summed:
        books.currency(one.key.currency).add(one)
    books.check()
    return books


def belongs_before(entry: Entry, from_at: datetime) -> datetime | None:
    """The moment before the period that the entry belongs to; None: it belongs where it is booked.

    What was on a card before giftsync began is no late news: it was never owed in these books.
    """
    if entry.line is Line.TAKEN_OVER:
        return None
    moments = [at for at in (entry.booked_at, entry.happened_at) if at is not None and at < from_at]
    return min(moments, default=None)


@dataclass
class Transfers:
    """Value on its way between cards, by the card that gave it: its lots, oldest first."""

    _given: dict[int, Lots] = field(default_factory=dict)

    def give(self, card_id: int, lots: Lots) -> None:
        if lots:
            self._given[card_id] = lots

    def receive(self, facts: Facts) -> Lots:
        """What the card was given; it has a higher id than the one that it replaces, so it comes later."""
        return () if facts.given_by is None else self._given.pop(facts.given_by, ())
