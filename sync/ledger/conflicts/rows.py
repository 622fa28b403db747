"""One conflict: read for whoever settles it, and settled where it concerns no card of the hub."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.news import ARRIVED, DUE, tell
from sync.ledger.database.tables import arrivals, conflicts
from sync.model import NewResolution


def read_conflict(engine: Engine, conflict_id: int) -> dict[str, Any] | None:
    """The columns of `conflicts`; None when there is none with this id."""
    with asking(engine) as connection:
        found = connection.execute(select(conflicts).where(conflicts.c.id == conflict_id)).one_or_none()
        return None if found is None else found._asdict()


def is_open(engine: Engine, conflict_id: int) -> bool:
    query = select(conflicts.c.id).where(conflicts.c.id == conflict_id, conflicts.c.closed_at.is_(None))
    with asking(engine) as connection:
        return connection.execute(query).first() is not None


def settle_without_card(engine: Engine, said: NewResolution, arrival_id: int | None, now: datetime) -> None:
    """Close a conflict of the whole link; the card that waits outside the hub is looked at again at once, and
    where the link was stopped all that has waited goes on.
    """
    with engine.begin() as connection:
        connection.execute(
            update(conflicts)
            .where(conflicts.c.id == said.conflict_id, conflicts.c.closed_at.is_(None))
            .values(
                closed_at=now,
                resolution=said.action,
                resolved_by=said.by,
                resolved_why=said.why,
                decided=dict(said.decided),
            )
        )
        if arrival_id is not None:
            connection.execute(
                update(arrivals)
                .where(arrivals.c.id == arrival_id, arrivals.c.left_out.is_(None))
                .values(due_at=now)
            )
        tell(connection, DUE)
        tell(connection, ARRIVED)
