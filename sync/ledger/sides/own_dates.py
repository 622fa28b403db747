"""The sides on which giftsync sets no expiry date, for whoever reads the ledger and has no rules."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, select

from sync.ledger.database.marks import write_mark
from sync.ledger.database.tables import cards, marks, presences

_PREFIX = "own_dates:"
#: Their names, in SQL.
own_date_sides = select(func.substr(marks.c.name, len(_PREFIX) + 1)).where(
    marks.c.name.startswith(_PREFIX, autoescape=True)
)
#: Of a presence and its card: whether their dates differ, wherever that is.
dates_differ = presences.c.shadow_expires_on.is_distinct_from(cards.c.expires_on)


def save_own_dates(engine: Engine, sides: Collection[str], now: datetime) -> None:
    """Remember the sides in place of those of before."""
    with engine.begin() as connection:
        connection.execute(delete(marks).where(marks.c.name.startswith(_PREFIX, autoescape=True)))
        for side in sorted(sides):
            write_mark(connection, f"{_PREFIX}{side}", "yes", now)


def read_own_dates(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(own_date_sides).scalars())
