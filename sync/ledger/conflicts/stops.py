"""Conflicts that stop the link while they are open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from sync.ledger.database import prepared
from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import conflicts
from sync.model import ConflictKind, LinkStopped

#: Kinds of conflicts that stop the link while one of them is open.
STOPPING = (ConflictKind.BRAKE.value, ConflictKind.SECOND_LEDGER.value)
#: Under this name a brake's evidence has the effect that tripped it.
MARKER = "marker"

#: Why the link is stopped, in words, the oldest first. Few rows: one open conflict for each cause.
STOPS = (
    select(conflicts.c.summary)
    .where(
        or_(*(conflicts.c.kind == kind for kind in STOPPING)),
        conflicts.c.card_id.is_(None),
        conflicts.c.closed_at.is_(None),
    )
    .order_by(conflicts.c.id)
)


@dataclass(frozen=True)
class Stop:
    """Why a link is stopped."""

    cause: str
    #: In words.
    summary: str


def stops(engine: Engine) -> list[Stop]:
    """What stops the link, the oldest first; empty while it runs."""
    with asking(engine) as connection:
        return [
            Stop(*row)
            for row in connection.execute(STOPS.with_only_columns(conflicts.c.cause, conflicts.c.summary))
        ]


def stopped_by(engine: Engine) -> list[str]:
    """Why the link is stopped, in words; empty while it runs."""
    with asking(engine) as connection:
        return list(connection.execute(STOPS).scalars())


def check_runs(connection: Connection) -> None:
    """Raises LinkStopped, whichever process has stopped the link."""
    found = prepared.rows(connection, STOPS, {})
    if found:
        raise LinkStopped([row["summary"] for row in found])


def was_resumed(engine: Engine, marker: str) -> bool:
    """Whether the effect with this marker stopped the link, and a person let it go on."""
    query = select(conflicts.c.evidence).where(
        conflicts.c.kind == ConflictKind.BRAKE.value, conflicts.c.closed_at.is_not(None)
    )
    with asking(engine) as connection:
        return any(evidence.get(MARKER) == marker for evidence in connection.execute(query).scalars())


def was_closed_since(engine: Engine, cause: str, since: datetime) -> bool:
    """Whether a conflict of this cause was closed after that moment."""
    with asking(engine) as connection:
        query = select(conflicts.c.id).where(conflicts.c.cause == cause, conflicts.c.closed_at > since)
        return connection.execute(query.limit(1)).first() is not None
