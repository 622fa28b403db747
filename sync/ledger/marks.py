"""Small things to remember between runs, by name."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, select

from sync.ledger.engine import reading
from sync.ledger.tables import marks
from sync.ledger.upsert import upsert


def read_mark(engine: Engine, name: str) -> str | None:
    with reading(engine) as connection:
        return connection.execute(select(marks.c.value).where(marks.c.name == name)).scalar_one_or_none()


def save_mark(engine: Engine, name: str, value: str, now: datetime) -> None:
    with engine.begin() as connection:
        values = {"name": name, "value": value, "at": now}
        connection.execute(
            upsert(connection, marks, values).on_conflict_do_update(
                index_elements=["name"], set_={"value": value, "at": now}
            )
        )
