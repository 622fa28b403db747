"""Alembic's entry: always on the engine that the caller has open."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine

from sync.ledger.database.tables import metadata

engine: Engine = context.config.attributes["engine"]

with engine.begin() as connection:
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=engine.dialect.name == "sqlite"
    )
    with context.begin_transaction():
        context.run_migrations()
