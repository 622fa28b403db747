"""Whether a worker is at work on a ledger, seen from another process."""

from __future__ import annotations

import fcntl
import os
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, select

from sync.ledger.database.engine import reading, worker_file
from sync.ledger.database.tables import feed_cursors

#: A worker reads its feeds far more often.
READ_LATELY = timedelta(minutes=2)


def worker_runs(engine: Engine, now: datetime) -> bool:
    """Whether a worker is at work: by its lock on SQLite, by what was read lately on PostgreSQL."""
    path = worker_file(engine)
    if path is None:
        with reading(engine) as connection:
            read_at = connection.execute(select(func.max(feed_cursors.c.read_at))).scalar_one()
        return read_at is not None and now - read_at < READ_LATELY
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two that look do not take each other for a worker.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
