"""Alembic's entry: always on the engine that the caller has open."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine, text

from sync.ledger.database.migrations import LOCK_SECONDS, newest_revision, note_release
from sync.ledger.database.tables import metadata

engine: Engine = context.config.attributes["engine"]

with engine.begin() as connection:
    if engine.dialect.name == "postgresql":
        # Workers that start at once bring the schema up one after another; other ledgers do not wait.
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtext('giftsync migrations ' || current_schema()))")
        )
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=engine.dialect.name == "sqlite"
    )
    with context.begin_transaction():
        context.run_migrations()
    if context.get_context().get_current_revision() == newest_revision():
        note_release(connection)
