"""Webhook deliveries: stored before they are answered, heard afterwards, each once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, or_, select, update

from connectors.api.side import Delivery, Hint
from sync.crashpoints import crashpoint
from sync.ledger.database.engine import reading, writing_lazily
from sync.ledger.database.tables import deliveries
from sync.ledger.database.upsert import upsert
from sync.ledger.incoming.intake import Intake, Taken

#: Longer than any side repeats a delivery.
KEPT = timedelta(days=7)


@dataclass(frozen=True)
class StoredDelivery:
    """A stored delivery that is still to be heard."""

    id: int
    side: str
    delivery: Delivery
    attempts: int


@dataclass(frozen=True)
class StoreResult:
    """What deliveries came to when they were stored; nothing, if they had come before."""

    #: The side is to be asked about some of them now.
    to_hear: bool = False
    #: Cards that they name have become due.
    due: bool = False
    #: Cards that they name are ones that the hub does not know.
    arrived: bool = False


@dataclass(frozen=True)
class Inbox:
    """Every method is one transaction."""

    intake: Intake

    @property
    def engine(self) -> Engine:
        return self.intake.engine

    def store(self, side: str, came: Sequence[Delivery], now: datetime) -> StoreResult:
        """Keep deliveries, and have the cards that they name looked at. Once this returns, none is lost."""
        with self.engine.begin() as connection:
            # In an order of their own, so that two who store the same ones do not wait for each other.
            ordered = sorted(came, key=lambda one: one.key)
            new = [one for one in ordered if self._is_added(connection, side, one, now)]
            crashpoint("mailbox.inside")
            hints = [Hint(one.card, one.topic) for one in new if one.card is not None]
            taken = self.intake.write_hints(connection, side, hints, now) if hints else Taken(0, 0)
        to_hear = any(one.card is None and not one.wait_seconds for one in new)
        return StoreResult(to_hear, taken.known > 0, taken.arrived > 0)

    def _is_added(self, connection: Connection, side: str, delivery: Delivery, now: datetime) -> bool:
        values = {
            "side": side,
            "key": delivery.key,
            "topic": delivery.topic,
            "subject": delivery.subject,
            "received_at": now,
            "due_at": None if delivery.card is not None else now + timedelta(seconds=delivery.wait_seconds),
        }
        added = connection.execute(upsert(connection, deliveries, values).on_conflict_do_nothing())
        return bool(added.rowcount)

    def due(self, side: str, now: datetime, limit: int) -> list[StoredDelivery]:
        """The side's oldest deliveries that are to be heard."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(deliveries)
                .where(deliveries.c.side == side, deliveries.c.due_at <= now)
                .order_by(deliveries.c.due_at, deliveries.c.id)
                .limit(limit)
            ).all()
        return [StoredDelivery(r.id, r.side, Delivery(r.key, r.topic, r.subject), r.attempts) for r in rows]

    def heard(self, letters: Sequence[StoredDelivery]) -> None:
        self._set_due(letters, None)

    def postpone(self, letters: Sequence[StoredDelivery], due_at: datetime) -> None:
        self._set_due(letters, due_at)

    def _set_due(self, letters: Sequence[StoredDelivery], due_at: datetime | None) -> None:
        with writing_lazily(self.engine) as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id.in_([letter.id for letter in letters]))
                .values(due_at=due_at, attempts=deliveries.c.attempts + 1)
            )

    def forget_old(self, now: datetime, listeners: Collection[str]) -> int:
        """Drop what cannot come again and was heard, or will not be: its side is no listener any more."""
        done = or_(deliveries.c.due_at.is_(None), deliveries.c.side.not_in(listeners))
        with self.engine.begin() as connection:
            return connection.execute(
                delete(deliveries).where(done, deliveries.c.received_at < now - KEPT)
            ).rowcount


def last_received(engine: Engine, side: str) -> datetime | None:
    """When the newest delivery of the side came, of those that are still kept."""
    newest = select(deliveries.c.received_at).where(deliveries.c.side == side)
    with reading(engine) as connection:
        newest = newest.order_by(deliveries.c.received_at.desc()).limit(1)
        return connection.execute(newest).scalar_one_or_none()
