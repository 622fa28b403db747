"""Brakes: bounds that stop the whole link until a person resumes it (design.md, "Brakes").

A brake is an open conflict of kind `brake` that concerns no single card; while it is open nothing is written.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine, select

from mappings.money import format_money
from sync.ledger.engine import reading
from sync.ledger.tables import conflicts
from sync.model import ConflictKind, NewConflict

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


@dataclass
class Brake:
    """Counts what a link writes. Thread-safe; one per process and link."""

    limits: BrakeLimits = BrakeLimits()
    #: For the words only; XXX is ISO 4217 for "no currency".
    currency: str = "XXX"
    _money_minor: int = field(default=0, init=False)
    _cards: set[int] = field(default_factory=set, init=False)
    _since: datetime | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def spend(self, card_id: int, amount_minor: int, now: datetime) -> None:
        """Count one effect before it is sent. Raises BrakeTripped when it would pass a bound."""
        limits = self.limits
        with self._lock:
            if self._since is None or now - self._since > timedelta(seconds=limits.window_seconds):
                self._since, self._money_minor, self._cards = now, 0, set()
            if limits.card_money_minor is not None and amount_minor > limits.card_money_minor:
                raise BrakeTripped(self._tripped("card_money", amount_minor, limits.card_money_minor))
            if limits.money_minor is not None and self._money_minor + amount_minor > limits.money_minor:
                raise BrakeTripped(
                    self._tripped("money", self._money_minor + amount_minor, limits.money_minor)
                )
            if limits.cards is not None and len(self._cards | {card_id}) > limits.cards:
                raise BrakeTripped(_too_many_cards(limits.cards))
            self._money_minor += amount_minor
            self._cards.add(card_id)

    def reset(self) -> None:
        """A person resumed the link: count afresh."""
        with self._lock:
            self._since = None

    def _tripped(self, bound: str, amount_minor: int, limit_minor: int) -> NewConflict:
        words = {"card_money": "One card would move", "money": "This window would move"}[bound]
        return NewConflict(
            ConflictKind.BRAKE,
            f"brake:{bound}",
            f"{words} {format_money(amount_minor, self.currency)}; the bound is "
            f"{format_money(limit_minor, self.currency)}. The link has stopped.",
            amount_minor=amount_minor,
            proposal="Look at the cards that are due; then `giftsync resume`, or raise the bound.",
        )


def check_not_empty(side: str, looked_at: int, absent: int, limits: BrakeLimits) -> None:
    """Raises BrakeTripped when a side suddenly lacks the cards that it had."""
    if looked_at >= EMPTY_SIDE_CARDS_MIN and absent > limits.absent_ratio_max * looked_at:
        raise BrakeTripped(
            NewConflict(
                ConflictKind.BRAKE,
                f"brake:empty:{side}",
                f"{side} lacks {absent} of {looked_at} cards that it had. The link has stopped.",
                side,
                proposal="Check that it is the right shop and that nothing was deleted; then resume.",
            )
        )


def stopped_by(engine: Engine) -> list[str]:
    """Why the link is stopped, in words; empty while it runs."""
    with reading(engine) as connection:
        return list(
            connection.execute(
                select(conflicts.c.summary)
                .where(
                    conflicts.c.kind == ConflictKind.BRAKE.value,
                    conflicts.c.card_id.is_(None),
                    conflicts.c.closed_at.is_(None),
                )
                .order_by(conflicts.c.id)
            ).scalars()
        )


def _too_many_cards(limit: int) -> NewConflict:
    return NewConflict(
        ConflictKind.BRAKE,
        "brake:cards",
        f"This window would change more than {limit} cards. The link has stopped.",
        proposal="Look at the cards that are due; then `giftsync resume`, or raise the bound.",
    )
