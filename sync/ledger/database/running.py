"""Whether a worker is at work on a ledger, and what it has read, seen from another process."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine, func, select

from sync.ledger.database.engine import asking, worker_file
from sync.ledger.database.marks import read_mark, save_mark
from sync.ledger.database.private_files import is_locked
from sync.ledger.database.tables import feed_cursors

#: A worker reads its feeds far more often.
READ_LATELY = timedelta(minutes=2)
#: Whether every feed was read since the run began: one may tell that the ledger is not the newest.
FEEDS_READ = "feeds_read"


def worker_runs(engine: Engine, now: datetime) -> bool:
    """Whether a worker is at work: by its lock on SQLite, by what was read lately on PostgreSQL."""
    path = worker_file(engine)
    if path is None:
        with asking(engine) as connection:
            read_at = connection.execute(select(func.max(feed_cursors.c.read_at))).scalar_one()
        return read_at is not None and now - read_at < READ_LATELY
    return is_locked(path)


def begin_reading(engine: Engine, now: datetime) -> None:
    """A run begins, which has not read what happened before it."""
    if feeds_were_read(engine):
        save_mark(engine, FEEDS_READ, "", now)


def note_feeds_read(engine: Engine, now: datetime) -> None:
    """The run has read every feed since it began."""
    if not feeds_were_read(engine):
        save_mark(engine, FEEDS_READ, "yes", now)


def feeds_were_read(engine: Engine) -> bool:
    """Whether the run that began last has read every feed."""
    return bool(read_mark(engine, FEEDS_READ))
