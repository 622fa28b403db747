"""INSERT … ON CONFLICT, which SQLAlchemy has per database only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert


def upsert(connection: Connection, table: Table, values: Mapping[str, object] | None = None) -> Any:
    """An insert that offers `on_conflict_do_nothing` and `on_conflict_do_update`.

    Without `values` it is for many rows, which are given when it is executed. Its result's `rowcount` tells
    whether a row was written, on PostgreSQL too.
    """
    made = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    return made(table).values(**(values or {})).execution_options(preserve_rowcount=True)
