"""Webhook deliveries: stored before they are answered, processed afterwards, each once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, Integer, Update, bindparam, delete, or_, select, update

from connectors.api.feed import Hint
from connectors.api.webhooks import Delivery
from sync.crashpoints import crashpoint
from sync.ledger.database import prepared
from sync.ledger.database.engine import asking, writing, writing_lazily
from sync.ledger.database.news import DELIVERED, tell
from sync.ledger.database.prepared import any_of
from sync.ledger.database.tables import deliveries
from sync.ledger.database.upsert import upsert_for
from sync.ledger.incoming.intake import Intake, Taken

#: Longer than any side repeats a delivery.
KEPT = timedelta(days=7)

_SELECT_DUE = (
    select(deliveries)
    .where(deliveries.c.side == bindparam("of_side"), deliveries.c.due_at <= bindparam("now"))
    .order_by(deliveries.c.due_at, deliveries.c.id)
    .limit(bindparam("limit", type_=Integer))
)


@cache
def _set_due(places: int) -> Update:
    again_at = bindparam("again_at", type_=deliveries.c.due_at.type)
    return (
        update(deliveries)
        .where(any_of(deliveries.c.id, "delivery", places))
        .values(due_at=again_at, attempts=deliveries.c.attempts + 1)
    )


@cache
def _keep_delivery(dialect: str) -> Any:
    return upsert_for(dialect, deliveries).on_conflict_do_nothing()


@dataclass(frozen=True)
class StoredDelivery:
    """A stored delivery that is still to be processed."""

    id: int
    side: str
    delivery: Delivery
    attempts: int


@dataclass(frozen=True)
class StoreResult:
    """What deliveries came to when they were stored; nothing, if they had come before."""

    #: The side is to be asked about some of them now.
    to_process: bool = False
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
        with writing(self.engine) as connection:
            # In an order of their own, so that two who store the same ones do not wait for each other.
            ordered = sorted(came, key=lambda one: one.key)
            new = [one for one in ordered if self._is_added(connection, side, one, now)]
            crashpoint("inbox.inside")
            hints = [Hint(one.card, one.topic) for one in new if one.card is not None]
            taken = self.intake.write_hints(connection, side, hints, now) if hints else Taken(0, 0)
            waits = {one.wait_seconds for one in new if one.card is None}
            for seconds in sorted(waits):
                tell(connection, f"{DELIVERED}{side}", seconds)
            to_process = 0 in waits
        return StoreResult(to_process, taken.known > 0, taken.arrived > 0)

    def _is_added(self, connection: Connection, side: str, delivery: Delivery, now: datetime) -> bool:
        values = {
            "side": side,
            "key": delivery.key,
            "topic": delivery.topic,
            "subject": delivery.subject,
            "received_at": now,
            "due_at": None if delivery.card is not None else now + timedelta(seconds=delivery.wait_seconds),
        }
        return bool(prepared.change(connection, _keep_delivery(connection.dialect.name), values))

    def due(self, side: str, now: datetime, limit: int) -> list[StoredDelivery]:
        """The side's oldest deliveries that are to be processed."""
        with asking(self.engine) as connection:
            rows = prepared.rows(connection, _SELECT_DUE, {"of_side": side, "now": now, "limit": limit})
        return [
            StoredDelivery(
                row["id"], row["side"], Delivery(row["key"], row["topic"], row["subject"]), row["attempts"]
            )
            for row in rows
        ]

    def finish(self, processed: Sequence[StoredDelivery]) -> None:
        """They are done; the same ones that come again are dropped."""
        self._set_due(processed, None)

    def postpone(self, failed: Sequence[StoredDelivery], now: datetime, seconds: float) -> None:
        """Have them processed again in so many seconds."""
        self._set_due(failed, now + timedelta(seconds=seconds), seconds)

    def _set_due(
        self, which: Sequence[StoredDelivery], due_at: datetime | None, seconds: float | None = None
    ) -> None:
        with writing_lazily(self.engine) as connection:
            ids = [one.id for one in which]
            prepared.change_among(connection, _set_due, "delivery", ids, {"again_at": due_at})
            if seconds is not None:
                for side in sorted({one.side for one in which}):
                    tell(connection, f"{DELIVERED}{side}", seconds)

    def forget_old(self, now: datetime, listeners: Collection[str]) -> int:
        """Drop what cannot come again and was processed, or will not be: its side is no listener any more."""
        done = or_(deliveries.c.due_at.is_(None), deliveries.c.side.not_in(listeners))
        with self.engine.begin() as connection:
            return connection.execute(
                delete(deliveries).where(done, deliveries.c.received_at < now - KEPT)
            ).rowcount


def last_received(engine: Engine, side: str) -> datetime | None:
    """When the newest delivery of the side came, of those that are still kept."""
    newest = select(deliveries.c.received_at).where(deliveries.c.side == side)
    with asking(engine) as connection:
        newest = newest.order_by(deliveries.c.received_at.desc()).limit(1)
        return connection.execute(newest).scalar_one_or_none()


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery for people."""

    side: str
    topic: str
    received_at: datetime
    attempts: int
    heard: bool


def newest_deliveries(engine: Engine, limit: int) -> list[DeliveryRow]:
    """Newest first."""
    query = select(deliveries).order_by(deliveries.c.id.desc()).limit(limit)
    with asking(engine) as connection:
        return [
            DeliveryRow(row.side, row.topic, row.received_at, row.attempts, row.due_at is None)
            for row in connection.execute(query)
        ]
