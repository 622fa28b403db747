"""Histories of cards, written into a ledger as workers would, with an account of their own of what follows.

The account knows nothing of SQL, lots or statements: each movement is in the month in which it was first
there to be booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, delete, insert, update

from sync.books.journal import Accounts
from sync.books.periods import month_after
from sync.ledger.database import tables
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.support.bookkeeping import Bookkeeper, BookSettings

ZONE = ZoneInfo("Europe/Oslo")
VAULT = Vault(bytes(range(KEY_BYTES)))
ACCOUNTS = Accounts("2900", "2990", "1570", "1571", "1572", "3900", "7830", "7790")
BEGAN = datetime(2026, 1, 10, 12, tzinfo=UTC)
SIDES = ("flow", "shopify")


@dataclass
class Row:
    """A movement, and the month in whose statement it stands once that is closed."""

    id: int
    card_id: int
    currency: str
    kind: str
    amount_minor: int
    at: datetime
    booked_in: str | None = None


@dataclass
class History:
    """Writes rows, and remembers them."""

    engine: Engine
    settings: BookSettings = field(default_factory=lambda: BookSettings(ACCOUNTS))
    now: datetime = BEGAN
    rows: list[Row] = field(default_factory=list)
    balances: dict[int, int] = field(default_factory=dict)
    currencies: dict[int, str] = field(default_factory=dict)
    last_days: dict[int, date | None] = field(default_factory=dict)
    #: In the order in which sides said so: when, of which card, and its last day from then on.
    changes: list[tuple[datetime, int, date | None]] = field(default_factory=list)
    _seq: Counter[int] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        with self.engine.begin() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                connection.execute(delete(table))
            for name in SIDES:
                values = {"name": name, "identity": name, "currency": "NOK", "timezone": "Europe/Oslo"}
                connection.execute(insert(tables.sides).values(**values, first_seen_at=BEGAN))

    @property
    def keeper(self) -> Bookkeeper:
        return Bookkeeper(self.engine, VAULT, ZONE, self.settings, lambda: self.now)

    def advance(self, days: float) -> None:
        self.now += timedelta(days=days)

    # --- what happens ---------------------------------------------------------------------------------------

    def meet(
        self, side: str, amount: int, currency: str = "NOK", brand: str | None = None, **late: float
    ) -> int:
        card_id = len(self.balances) + 1
        self.balances[card_id], self.currencies[card_id] = 0, currency
        values = {"id": card_id, "currency": currency, "balance_minor": 0, "status": "active"}
        with self.engine.begin() as connection:
            connection.execute(insert(tables.cards).values(**values, created_at=self.now))
            for name in SIDES:
                there = {"card_id": card_id, "side": name, "native_id": f"{name}-{card_id}", "born": True}
                connection.execute(
                    insert(tables.presences).values(
                        **there, last_chars="1234", shadow_status="active", brand=brand
                    )
                )
        self.write(card_id, (("opening", side, amount),), **late)
        return card_id

    def move(self, card_id: int, moves: Mapping[str, int], **late: float) -> None:
        """What one look finds on the sides; spent twice, it is written off."""
        found: list[tuple[str, str | None, int]] = [("observed", side, n) for side, n in moves.items() if n]
        after = self.balances[card_id] + sum(amount for _, _, amount in found)
        if after < 0:
            found.append(("write_off", None, -after))
        self.write(card_id, found, **late)

    def decide(self, card_id: int, worth: int, **late: float) -> None:
        self.write(card_id, (("resolution", None, worth - self.balances[card_id]),), **late)

    def end(self, card_id: int, **late: float) -> None:
        self.write(card_id, (("closed", "flow", -self.balances[card_id]),), **late)

    def expire(self, card_id: int, last_day: date | None) -> None:
        """A side says that the card's last day is another one."""
        values = {"expires_on": last_day}
        changed = {
            "card_id": card_id,
            "status_before": "active",
            "status": "active",
            "expires_before": self.last_days.get(card_id),
            "expires_on": last_day,
            "balance_minor": self.balances[card_id],
            "at": self.now,
        }
        self.last_days[card_id] = last_day
        self.changes.append((self.now, card_id, last_day))
        with self.engine.begin() as connection:
            connection.execute(update(tables.cards).where(tables.cards.c.id == card_id).values(**values))
            connection.execute(insert(tables.card_changes).values(**changed))

    def last_days_at(self, moment: datetime) -> dict[int, date | None]:
        """The last day that each card had then."""
        return {card: day for at, card, day in self.changes if at < moment}

    def receipt(
        self, card_id: int, side: str, kind: str, amount: int, store: str = "", days_ago: float = 0
    ) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                insert(tables.receipt_lines).values(
                    side=side,
                    key=f"{card_id}:{next(self._numbers)}",
                    native_id=f"{side}-{card_id}",
                    kind=kind,
                    at=self.now - timedelta(days=days_ago),
                    amount_minor=amount,
                    store=store,
                )
            )

    def write(self, card_id: int, found: Any, *, days_late: float = 0) -> None:
        """One decision. `days_late`: the worker's clock is so far behind, or its commit took so long."""
        at = self.now - timedelta(days=days_late)
        with self.engine.begin() as connection:
            for kind, side, amount in found:
                self._seq[card_id] += 1
                self.balances[card_id] += amount
                row = Row(len(self.rows) + 1, card_id, self.currencies[card_id], kind, amount, at)
                self.rows.append(row)
                connection.execute(
                    insert(tables.movements).values(
                        id=row.id,
                        card_id=card_id,
                        side=side,
                        kind=kind,
                        amount_minor=amount,
                        shadow_delta_minor=amount,
                        balance_after_minor=self.balances[card_id],
                        evidence={},
                        at=at,
                        chain_seq=self._seq[card_id],
                        chain_hash=f"{row.id:064x}",
                    )
                )
            values = {"balance_minor": self.balances[card_id]}
            connection.execute(update(tables.cards).where(tables.cards.c.id == card_id).values(**values))

    # --- the account ----------------------------------------------------------------------------------------

    def book(self, month: str) -> list[Row]:
        """The month is closed now: what is there and belongs to it or to an earlier one stands in it."""
        ends = datetime.fromisoformat(f"{month_after(month)}-01").replace(tzinfo=ZONE)
        booked = [row for row in self.rows if row.booked_in is None and row.at < ends]
        for row in booked:
            row.booked_in = month
        return booked

    def expired(self, currency: str, by: date, *, booked: bool = True, then: datetime | None = None) -> int:
        """What of that is on cards whose last day, now or `then`, is not after `by`: it is owed no longer."""
        if not self.settings.expiry_ends_debt:
            return 0
        on_cards: Counter[int] = Counter()
        for row in self.rows:
            if row.currency == currency and (row.booked_in is not None or not booked):
                on_cards[row.card_id] += row.amount_minor
        days = self.last_days if then is None else self.last_days_at(then)
        gone = (card for card, day in days.items() if day is not None and day <= by)
        return sum(on_cards[card] for card in gone)

    def worth(self, currency: str, *, booked: bool = True) -> int:
        """What all cards held, of what was booked; or of everything."""
        mine = (row for row in self.rows if row.currency == currency)
        return sum(row.amount_minor for row in mine if row.booked_in is not None or not booked)
