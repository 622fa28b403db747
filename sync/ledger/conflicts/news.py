"""What has become of conflicts since people were last told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from sync.ledger.conflicts.of_link import CAUSE_GONE
from sync.ledger.database.engine import Engine, reading
from sync.ledger.database.tables import conflicts


@dataclass(frozen=True)
class NewsConflict:
    """A conflict that was opened since. Its amount is in minor units."""

    id: int
    kind: str
    summary: str
    amount_minor: int
    currency: str | None


@dataclass(frozen=True)
class ConflictNews:
    """What happened since."""

    opened: Sequence[NewsConflict]
    opened_count: int
    #: Closed by themselves: their cause is gone.
    ended_count: int
    waiting_count: int
    last_id: int


def conflict_news(engine: Engine, after_id: int, since: datetime, limit: int) -> ConflictNews:
    """The first few conflicts with a higher id than the last one told of, and how many ended since then."""
    new = conflicts.c.id > after_id
    with reading(engine) as connection:

        def count(*where: ColumnElement[bool]) -> int:
            query = select(func.count()).select_from(conflicts).where(*where)
            return connection.execute(query).scalar_one()

        last = connection.execute(select(func.max(conflicts.c.id))).scalar_one() or 0
        rows = connection.execute(
            select(conflicts).where(new, conflicts.c.id <= last).order_by(conflicts.c.id).limit(limit)
        ).all()
        return ConflictNews(
            [NewsConflict(r.id, r.kind, r.summary, r.amount_minor, r.currency) for r in rows],
            count(new, conflicts.c.id <= last),
            count(conflicts.c.closed_at > since, conflicts.c.resolution == CAUSE_GONE),
            count(conflicts.c.closed_at.is_(None)),
            last,
        )
