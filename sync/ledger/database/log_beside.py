"""Whether the log that a crash has left beside a SQLite database belongs to it.

SQLite believes it: of a database that was put back beside the newer log, or the other way round, it mixes
pages of both, mostly without an error. So before the first connection, which would write the log into the
database for good, the two are asked apart from each other for the ledger's generation.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sync.ledger.database.private_files import is_locked
from sync.ledger.database.unavailable import LedgerUnavailable

#: A log without a transaction.
_HEADER_BYTES: Final = 32
#: By how much the database alone may be behind the file beside it: a worker raises the generation every ten
#: seconds, and moves the log into the database every two.
_LAG: Final = 1
#: By how much the database may have been written later than the log, out of which it is written.
_LATER_SECONDS: Final = 60.0
_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'marks'"
_GENERATION: Final = "SELECT CAST(value AS INTEGER) FROM marks WHERE name = 'generation'"

#: Databases that may have been mixed with another log, though nothing in them contradicts.
_doubted: set[Path] = set()


def check_log(database: Path) -> None:
    """Raise LedgerUnavailable when the database and the log beside it do not belong together.

    Changes nothing. No connection of this process may be open to the database.
    """
    if not _has_log(database) or is_locked(f"{database}.worker"):
        return
    place = database.resolve().as_uri()
    alone, together = f"{place}?mode=ro&immutable=1", f"{place}?mode=ro"
    try:
        of_database, of_both = _generation(alone), _generation(together)
    except sqlite3.OperationalError:
        return  # Somebody is at work with both, or what is wrong is told by whoever opens it.
    if of_both is None or (of_database is not None and of_both < of_database):
        raise LedgerUnavailable(_words(database))
    is_older = of_database is None or _kept(database) - of_database > _LAG
    if not is_older and not _is_later_than_log(database):
        return
    if not _is_whole(together):
        raise LedgerUnavailable(_words(database))
    _doubted.add(database.resolve())


def take_doubt(database: Path) -> str | None:
    """Return, once, why the database may lack what a newer one did, if `check_log` found that it may."""
    if database.resolve() not in _doubted:
        return None
    _doubted.discard(database.resolve())
    return "the database was put back beside a log of another state"


def _words(database: Path) -> str:
    name = database.name
    return (
        f"{name}-wal beside {name} is the log of another state of the database, such as a newer one: "
        "together they would be neither, so nothing was opened and both are as they were. To go on with the "
        f"database as it was put back, move {name}-wal and {name}-shm away, then run `giftsync recover`; "
        "else put back the database that the log belongs to"
    )


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _has_log(database: Path) -> bool:
    try:
        return database.stat().st_size > 0 and _log_of(database).stat().st_size > _HEADER_BYTES
    except OSError:
        return False


def _kept(database: Path) -> int:
    """The generation in the file beside the database; 0 where it is elsewhere, or cannot be read."""
    try:
        found = json.loads(database.with_name(f"{database.name}.generation").read_text(encoding="utf-8"))
        return int(found["generation"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0


def _is_later_than_log(database: Path) -> bool:
    return database.stat().st_mtime - _log_of(database).stat().st_mtime > _LATER_SECONDS


def _generation(place: str) -> int | None:
    """What a database says; None: it is damaged. Raises sqlite3.OperationalError."""
    try:
        with closing(sqlite3.connect(place, uri=True)) as connection:
            if connection.execute(_TABLE).fetchone() is None:
                return 0
            found = connection.execute(_GENERATION).fetchone()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return None
    return 0 if found is None else int(found[0])


def _is_whole(place: str) -> bool:
    """Whether every row is in every index, and every page is where it belongs."""
    try:
        with closing(sqlite3.connect(place, uri=True)) as connection:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",))
    except sqlite3.Error:
        return False
