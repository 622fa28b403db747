"""Small things to remember between runs, by name."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, select

from sync.ledger.database.engine import asking
from sync.ledger.database.tables import NO_INSTANT, marks
from sync.ledger.database.upsert import upsert

#: A longer number is none of giftsync's.
MAX_DIGITS: Final = 19


def read_mark(engine: Engine, name: str) -> str | None:
    with asking(engine) as connection:
        return connection.execute(select(marks.c.value).where(marks.c.name == name)).scalar_one_or_none()


def read_count(engine: Engine, name: str) -> int:
    """A number to remember; 0 where there is none that can be read."""
    return count_in(read_mark(engine, name))


def count_in(value: str | None) -> int:
    """The number that a mark holds; 0 where it holds none."""
    text = value or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < MAX_DIGITS else 0


def read_instant(engine: Engine, name: str) -> datetime | None:
    """A moment to remember; None where there is none. One that cannot be read is long ago."""
    value = read_mark(engine, name)
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return NO_INSTANT
    return found if found.tzinfo is not None else NO_INSTANT


def switched_on_since(engine: Engine, name: str, now: datetime, *, on: bool) -> datetime | None:
    """Since when a setting has been on without a break, as far as it was asked; None while it is off."""
    since = read_mark(engine, name)
    if not on:
        if since:
            save_mark(engine, name, "", now)
        return None
    if not since:
        save_mark(engine, name, now.isoformat(), now)
        return now
    return read_instant(engine, name)


def save_mark(engine: Engine, name: str, value: str, now: datetime) -> None:
    with engine.begin() as connection:
        write_mark(connection, name, value, now)


def write_mark(
    connection: Connection, name: str, value: str, now: datetime, proof: str | None = None
) -> None:
    """`save_mark` in a transaction of the caller's; `proof` is kept with it."""
    values = {"name": name, "value": value, "at": now, "proof": proof}
    connection.execute(
        upsert(connection, marks, values).on_conflict_do_update(
            index_elements=["name"], set_={"value": value, "at": now, "proof": proof}
        )
    )
