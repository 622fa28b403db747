"""Small things to remember between runs, by name."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, select

from sync.ledger.database.engine import reading
from sync.ledger.database.tables import marks
from sync.ledger.database.upsert import upsert


def read_mark(engine: Engine, name: str) -> str | None:
    with reading(engine) as connection:
        return connection.execute(select(marks.c.value).where(marks.c.name == name)).scalar_one_or_none()


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
    return datetime.fromisoformat(since)


def save_mark(engine: Engine, name: str, value: str, now: datetime) -> None:
    with engine.begin() as connection:
        write_mark(connection, name, value, now)


def write_mark(connection: Connection, name: str, value: str, now: datetime) -> None:
    """`save_mark` in a transaction of the caller's."""
    values = {"name": name, "value": value, "at": now}
    connection.execute(
        upsert(connection, marks, values).on_conflict_do_update(
            index_elements=["name"], set_={"value": value, "at": now}
        )
    )
