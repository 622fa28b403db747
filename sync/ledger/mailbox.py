"""Webhook deliveries: stored before they are answered, heard afterwards, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, select, update

from connectors.base import Delivery
from sync.crashpoints import crashpoint
from sync.ledger.engine import reading, writing_lazily
from sync.ledger.tables import deliveries
from sync.ledger.upsert import upsert

#: Longer than any side repeats a delivery.
KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Letter:
    """A stored delivery that is still to be heard."""

    id: int
    side: str
    delivery: Delivery
    attempts: int


@dataclass(frozen=True)
class Mailbox:
    """Every method is one transaction."""

    engine: Engine

    def store(self, side: str, delivery: Delivery, now: datetime) -> bool:
        """Keep a delivery; False when it came before. Once this returns, it is not lost."""
        values = {
            "side": side,
            "key": delivery.key,
            "topic": delivery.topic,
            "subject": delivery.subject,
            "received_at": now,
            "due_at": now + timedelta(seconds=delivery.wait_seconds),
        }
        with self.engine.begin() as connection:
            added = connection.execute(upsert(connection, deliveries, values).on_conflict_do_nothing())
            crashpoint("mailbox.inside")
            return bool(added.rowcount)

    def due(self, now: datetime, limit: int) -> list[Letter]:
        """The oldest deliveries that are to be heard."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(deliveries)
                .where(deliveries.c.due_at <= now)
                .order_by(deliveries.c.due_at, deliveries.c.id)
                .limit(limit)
            ).all()
        return [Letter(r.id, r.side, Delivery(r.key, r.topic, r.subject), r.attempts) for r in rows]

    def heard(self, letters: Sequence[Letter]) -> None:
        self._set_due(letters, None)

    def postpone(self, letters: Sequence[Letter], due_at: datetime) -> None:
        self._set_due(letters, due_at)

    def _set_due(self, letters: Sequence[Letter], due_at: datetime | None) -> None:
        with writing_lazily(self.engine) as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id.in_([letter.id for letter in letters]))
                .values(due_at=due_at, attempts=deliveries.c.attempts + 1)
            )

    def last_received(self, side: str) -> datetime | None:
        """When the newest delivery of the side came, of those that are still kept."""
        with reading(self.engine) as connection:
            newest = select(deliveries.c.received_at).where(deliveries.c.side == side)
            newest = newest.order_by(deliveries.c.received_at.desc()).limit(1)
            return connection.execute(newest).scalar_one_or_none()

    def forget_old(self, now: datetime) -> int:
        """Drop what was heard and cannot come again."""
        with self.engine.begin() as connection:
            return connection.execute(
                delete(deliveries).where(deliveries.c.due_at.is_(None), deliveries.c.received_at < now - KEPT)
            ).rowcount
