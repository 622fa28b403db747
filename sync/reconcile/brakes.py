"""Brakes: bounds that stop the whole link until a person resumes it (design.md, "Brakes").

A brake is an open conflict of kind `brake` that concerns no single card; while it is open nothing is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from connectors.api.errors import SideClosed
from mappings.money import format_money
from sync.decisions import causes
from sync.ledger.cards.lacking import known_missing
from sync.ledger.conflicts.stops import MARKER, was_closed_since, was_resumed
from sync.ledger.database.engine import Engine
from sync.model import NewConflict

#: A slice of a sweep smaller than this says nothing about the side.
EMPTY_SIDE_CARDS_MIN = 10


class BrakeTripped(Exception):
    """The link must stop. `conflict` says why and how to resume."""

    def __init__(self, conflict: NewConflict) -> None:
        super().__init__(conflict.summary)
        self.conflict = conflict


@dataclass(frozen=True)
class BrakeLimits:
    """How much one window may move before a person is asked; None: no bound. Amounts in minor units."""

    money_minor: int | None = None
    cards: int | None = None
    #: The largest single effect.
    card_money_minor: int | None = None
    window_seconds: float = 3600.0
    #: A side that lacks more of its known cards than this looks empty.
    absent_ratio_max: float = 0.2


class Counts(Protocol):
    """What was moved within the window. Thread-safe."""

    def count(
        self,
        card_id: int,
        amount_minor: int,
        now: datetime,
        window: timedelta,
        check: Callable[[int, int], None],
    ) -> None:
        """Count one effect, after `check` was given the money and the cards with it and has not raised."""

    def reset(self) -> None:
        """Count afresh."""


@dataclass
class ProcessCounts:
    """What this process has moved: enough where it alone writes."""

    _money_minor: int = field(default=0, init=False)
    _cards: set[int] = field(default_factory=set, init=False)
    _since: datetime | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def count(
        self,
        card_id: int,
        amount_minor: int,
        now: datetime,
        window: timedelta,
        check: Callable[[int, int], None],
    ) -> None:
        with self._lock:
            if self._since is None or now - self._since > window:
                self._since, self._money_minor, self._cards = now, 0, set()
            check(self._money_minor + amount_minor, len(self._cards | {card_id}))
            self._money_minor += amount_minor
            self._cards.add(card_id)

    @property
    def money_minor(self) -> int:
        """What was moved within the window, in minor units."""
        return self._money_minor

    def reset(self) -> None:
        with self._lock:
            self._since = None


@dataclass
class Brake:
    """Bounds what a link writes. Thread-safe."""

    limits: BrakeLimits = BrakeLimits()
    #: For the words only; XXX is ISO 4217 for "no currency".
    currency: str = "XXX"
    counts: Counts = field(default_factory=ProcessCounts)

    def spend(self, engine: Engine, card_id: int, marker: str, amount_minor: int, now: datetime) -> None:
        """Count one effect before it is sent. Raises BrakeTripped when it would pass a bound.

        The very effect that tripped the brake passes once a person has resumed the link: resuming would
        otherwise lead to the same stop, again and again.
        """

        def check(money_minor: int, cards: int) -> None:
            tripped = self._passed_bound(card_id, amount_minor, marker, money_minor, cards)
            if tripped is not None:
                raise BrakeTripped(tripped)

        window = timedelta(seconds=self.limits.window_seconds)
        try:
            self.counts.count(card_id, amount_minor, now, window, check)
        except BrakeTripped:
            # Asked outside of the count, which holds a connection that others wait for.
            if not was_resumed(engine, marker):
                raise
            self.counts.count(card_id, amount_minor, now, window, lambda _money, _cards: None)

    def reset(self) -> None:
        """A person resumed the link: count afresh."""
        self.counts.reset()

    def _passed_bound(
        self, card_id: int, amount_minor: int, marker: str, in_all: int, cards: int
    ) -> NewConflict | None:
        limits, evidence = self.limits, {MARKER: marker, "card_id": card_id}
        if limits.card_money_minor is not None and amount_minor > limits.card_money_minor:
            words = f"One card would move {self._against(amount_minor, limits.card_money_minor)}"
            # Several cards may pass this bound at once, and each is a decision of its own.
            what = f"card_money:{card_id}"
            return causes.stopped(what, words, amount_minor, self.currency, evidence)
        if limits.money_minor is not None and in_all > limits.money_minor:
            words = f"This window would move {self._against(in_all, limits.money_minor)}"
            return causes.stopped("money", words, in_all, self.currency, evidence)
        if limits.cards is not None and cards > limits.cards:
            words = f"This window would change more than {limits.cards} cards"
            return causes.stopped("cards", words, 0, self.currency, evidence)
        return None

    def _against(self, amount_minor: int, limit_minor: int) -> str:
        bound = format_money(limit_minor, self.currency)
        return f"{format_money(amount_minor, self.currency)}; the bound is {bound}"


def check_not_empty(
    engine: Engine, side: str, looked_at: int, absent: int, limits: BrakeLimits, now: datetime
) -> None:
    """Raises BrakeTripped when a side suddenly lacks the cards that it had.

    Cards that are known to be missing are not lost a second time; and for one window after a person has
    resumed the link in spite of it, what is missing is taken for true and told of card by card.
    """
    bound = limits.absent_ratio_max * looked_at
    if looked_at < EMPTY_SIDE_CARDS_MIN or absent <= bound:
        return
    cause = causes.side_lacks_cards(side)
    if absent - known_missing(engine, side) <= bound or was_closed_since(
        engine, cause, now - timedelta(seconds=limits.window_seconds)
    ):
        return
    raise BrakeTripped(causes.side_is_empty(side, looked_at, absent))


def access_revoked(side: str, error: SideClosed) -> BrakeTripped:
    """A side has ended giftsync's access, which only a person can give again."""
    return BrakeTripped(causes.access_revoked(side, str(error), error.remedy))
