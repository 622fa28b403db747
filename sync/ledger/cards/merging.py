"""Commits what becomes of two cards that are one: both ends in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, not_, select, update

from sync.crashpoints import crashpoint
from sync.ledger.cards.store import Lease, Store
from sync.ledger.database.tables import cards, origin_names, origins
from sync.ledger.incoming.polls import leave_queue
from sync.model import Card, Decision


@dataclass(frozen=True)
class Half:
    """One of the two cards, leased, and what follows for it."""

    lease: Lease
    before: Card
    decision: Decision


def commit_merge(store: Store, kept: Half, ended: Half, now: datetime) -> None:
    """Commit both, whole or not at all.

    Raises LeaseLost when either is not ours any more, IntegrityError for a presence of a third card.
    """
    crashpoint("merge.before")
    with store.engine.begin() as connection:
        # Locks in the order that everybody takes them in: a queue before cards, and cards by id.
        for p in ended.before.presences:
            leave_queue(connection, p.id or 0, now)
        _lock(connection, kept.lease.card_id, ended.lease.card_id)
        # The presence is let go before it is taken over: it belongs to one card.
        store.write(connection, ended.lease, ended.before, ended.decision, now, None)
        crashpoint("merge.inside")
        store.write(connection, kept.lease, kept.before, kept.decision, now, None)
        _move_origin(connection, kept.lease.card_id, ended.lease.card_id)
        crashpoint("merge.written")
    crashpoint("merge.after")


def _lock(connection: Connection, *card_ids: int) -> None:
    query = select(cards.c.id).where(cards.c.id.in_(card_ids)).order_by(cards.c.id).with_for_update()
    connection.execute(query).all()


def _move_origin(connection: Connection, kept_id: int, ended_id: int) -> None:
    """The order leads to the card that goes on, unless that one has an order of its own."""
    has_one = exists().where(origins.c.card_id == kept_id).correlate(None)
    moved = connection.execute(
        update(origins).where(origins.c.card_id == ended_id, not_(has_one)).values(card_id=kept_id)
    )
    if moved.rowcount:
        connection.execute(
            update(origin_names).where(origin_names.c.card_id == ended_id).values(card_id=kept_id)
        )
