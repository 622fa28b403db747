"""A copy of the ledger for a dry run: whatever happens to it, the ledger itself is only read."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.rows import read_rows, write_rows


def replicate(source: Engine, path: Path) -> Engine:
    """Copy every row, as of one moment, into a new SQLite file; rows stream."""
    target = open_engine(f"sqlite:///{path}")
    upgrade(target)
    with reading(source) as connection, target.begin() as writing:
        write_rows(writing, read_rows(connection))
    return target
