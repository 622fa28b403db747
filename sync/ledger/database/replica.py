"""A copy of the ledger for a dry run: whatever happens to it, the ledger itself is only read."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, insert, select

from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.tables import metadata

ROWS_AT_ONCE = 1_000


def replicate(source: Engine, path: Path) -> Engine:
    """Copy every row, as of one moment, into a new SQLite file; rows stream."""
    target = open_engine(f"sqlite:///{path}")
    upgrade(target)
    with reading(source) as connection, target.begin() as writing:
        # PostgreSQL gives each statement its own view unless told otherwise.
        if source.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for table in metadata.sorted_tables:
            rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table)).mappings()
            for page in rows.partitions():
                writing.execute(insert(table), [dict(row) for row in page])
    return target
