"""A consistent copy of a ledger in a file, while a worker goes on with it."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from sync.ledger.database.engine import LedgerUnavailable, database_file
from sync.ledger.database.generation import COPIED
from sync.ledger.database.private_files import open_private


def back_up(engine: Engine, target: Path, now: datetime) -> int:
    """Copy the ledger as it is at one moment into a new file with mode 0600; returns its size in bytes.

    The copy knows that it is one: when it is put back it reads back what it lacks. Raises LedgerUnavailable,
    and leaves no half a file behind.
    """
    source = database_file(engine)
    if source is None:
        raise LedgerUnavailable(
            "the ledger is in PostgreSQL: `pg_dump --format=custom --file=giftsync.dump ADDRESS` makes the "
            "backup, while a worker runs or not"
        )
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        os.close(open_private(target, os.O_RDWR | os.O_EXCL))
    except FileExistsError:
        raise LedgerUnavailable(f"{target} is there already and is left as it is; name a new file") from None
    except OSError as error:
        raise LedgerUnavailable(f"{target} cannot be written: {error.strerror}") from None
    try:
        os.close(open_private(unfinished, os.O_RDWR | os.O_TRUNC))
        _copy(source, unfinished, now)
        unfinished.replace(target)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        unfinished.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        raise LedgerUnavailable(f"the backup could not be written: {error}") from None


def _copy(source: Path, target: Path, now: datetime) -> None:
    """SQLite's own online backup; the copy is checked and on the disk when it returns."""
    reading = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
    writing = sqlite3.connect(target)
    try:
        # All pages in one step, so that it is one moment, whoever writes meanwhile.
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")
        (answer,) = writing.execute("PRAGMA quick_check").fetchone()
        if answer != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged ({answer})")
        writing.execute(
            "INSERT INTO marks (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = ?",
            (COPIED, now.isoformat(), now.strftime("%Y-%m-%d %H:%M:%S.%f"), now.isoformat()),
        )
        writing.commit()
    finally:
        writing.close()
        reading.close()
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
