"""Brakes: bounds that stop the whole link until a person resumes it (design.md, "Brakes").

A brake is an open conflict of kind `brake` that concerns no single card; while it is open nothing is written.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, select

from connectors.api.errors import SideClosed
from mappings.money import format_money
from sync.decisions import causes
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import conflicts, presences
from sync.model import ConflictKind, Hold, NewConflict

#: A slice of a sweep smaller than this says nothing about the side.
EMPTY_SIDE_CARDS_MIN = 10
#: Under this name a brake's evidence has the effect that tripped it.
MARKER = "marker"
#: Kinds of conflicts that stop the link while one of them is open.
STOPPING = (ConflictKind.BRAKE.value, ConflictKind.SECOND_LEDGER.value)


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

    def spend(self, engine: Engine, card_id: int, marker: str, amount_minor: int, now: datetime) -> None:
        """Count one effect before it is sent. Raises BrakeTripped when it would pass a bound.

        The very effect that tripped the brake passes once a person has resumed the link: resuming would
        otherwise lead to the same stop, again and again.
        """
        with self._lock:
            window = timedelta(seconds=self.limits.window_seconds)
            if self._since is None or now - self._since > window:
                self._since, self._money_minor, self._cards = now, 0, set()
            tripped = self._passed_bound(card_id, amount_minor, marker)
            if tripped is not None and not _was_resumed(engine, marker):
                raise BrakeTripped(tripped)
            self._money_minor += amount_minor
            self._cards.add(card_id)

    def reset(self) -> None:
        """A person resumed the link: count afresh."""
        with self._lock:
            self._since = None

    def _passed_bound(self, card_id: int, amount_minor: int, marker: str) -> NewConflict | None:
        limits, evidence = self.limits, {MARKER: marker, "card_id": card_id}
        if limits.card_money_minor is not None and amount_minor > limits.card_money_minor:
            words = f"One card would move {self._against(amount_minor, limits.card_money_minor)}"
            # Several cards may pass this bound at once, and each is a decision of its own.
            what = f"card_money:{card_id}"
            return causes.stopped(what, words, amount_minor, self.currency, evidence)
        in_all = self._money_minor + amount_minor
        if limits.money_minor is not None and in_all > limits.money_minor:
            words = f"This window would move {self._against(in_all, limits.money_minor)}"
            return causes.stopped("money", words, in_all, self.currency, evidence)
        if limits.cards is not None and len(self._cards | {card_id}) > limits.cards:
            words = f"This window would change more than {limits.cards} cards"
            return causes.stopped("cards", words, 0, self.currency, evidence)
        return None

    def _against(self, amount_minor: int, limit_minor: int) -> str:
        bound = format_money(limit_minor, self.currency)
        return f"{format_money(amount_minor, self.currency)}; the bound is {bound}"


def _was_resumed(engine: Engine, marker: str) -> bool:
    """Whether the effect with this marker stopped the link, and a person let it go on."""
    with reading(engine) as connection:
        found = connection.execute(
            select(conflicts.c.evidence).where(
                conflicts.c.kind == ConflictKind.BRAKE.value, conflicts.c.closed_at.is_not(None)
            )
        ).scalars()
        return any(evidence.get(MARKER) == marker for evidence in found)


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
    if absent - _known_missing(engine, side) <= bound or _resumed_since(
        engine, cause, now - timedelta(seconds=limits.window_seconds)
    ):
        return
    raise BrakeTripped(causes.side_is_empty(side, looked_at, absent))


def _known_missing(engine: Engine, side: str) -> int:
    with reading(engine) as connection:
        return connection.execute(
            select(func.count()).where(presences.c.side == side, presences.c.hold == Hold.MISSING.value)
        ).scalar_one()


def _resumed_since(engine: Engine, cause: str, since: datetime) -> bool:
    with reading(engine) as connection:
        query = select(conflicts.c.id).where(conflicts.c.cause == cause, conflicts.c.closed_at > since)
        return connection.execute(query.limit(1)).first() is not None


def access_revoked(side: str, error: SideClosed) -> BrakeTripped:
    """A side has ended giftsync's access, which only a person can give again."""
    return BrakeTripped(causes.access_revoked(side, str(error), error.remedy))


def stopped_by(engine: Engine) -> list[str]:
    """Why the link is stopped, in words; empty while it runs."""
    with reading(engine) as connection:
        return list(
            connection.execute(
                select(conflicts.c.summary)
                .where(
                    conflicts.c.kind.in_(STOPPING),
                    conflicts.c.card_id.is_(None),
                    conflicts.c.closed_at.is_(None),
                )
                .order_by(conflicts.c.id)
            ).scalars()
        )
