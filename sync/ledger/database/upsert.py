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
    made = upsert_for(connection.dialect.name, table)
    return made.values(**(values or {})).execution_options(preserve_rowcount=True)


def upsert_for(dialect: str, table: Table) -> Any:
    """`upsert` for a statement that is made once (`sync/ledger/database/prepared.py`)."""
    return postgresql_insert(table) if dialect == "postgresql" else sqlite_insert(table)
