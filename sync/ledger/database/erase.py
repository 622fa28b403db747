"""Removing a ledger from a PostgreSQL that others share."""

from __future__ import annotations

from sqlalchemy import Engine, inspect, text

from sync.ledger.database.engine import own_schema_of
from sync.ledger.database.tables import metadata


def drop_ledger(engine: Engine) -> None:
    """Drop the ledger's own schema, or its tables where it has none; nothing else."""
    schema = own_schema_of(engine)
    with engine.begin() as connection:
        if schema is not None:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'))
            return
        there = {*inspect(connection).get_table_names()} & {*metadata.tables, "alembic_version"}
        for name in sorted(there):
            connection.execute(text(f'DROP TABLE "{name}" CASCADE'))
