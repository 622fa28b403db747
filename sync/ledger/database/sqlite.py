"""A SQLite database that threads of this process share: its file, its connections, its line of writers."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from sync.ledger.database.flush import LogFlush
from sync.ledger.database.log_beside import check_log
from sync.ledger.database.private_files import open_private
from sync.ledger.database.unavailable import LedgerGone, LedgerUnavailable

BUSY_SECONDS = 30
POOL_SIZE = 16
#: Of 4 KiB. `checkpoint` keeps SQLite's log far shorter while a worker runs.
LOG_PAGES_MAX = 16_384
#: A log of fewer pages just goes on. One of which more are left after a checkpoint is held by a reader.
LOG_PAGES_MIN = 1_024
#: How long a checkpoint waits for its turn among the writers, and then for readers.
LINE_SECONDS = 1.0
READERS_MS = 10
#: Execution option of a connection: it only reads.
READS = "giftsync_reads"


#: How many connections this process has to each database file.
_opened_here: Counter[tuple[int, int]] = Counter()
_counting = threading.Lock()


def file_id(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def is_open_here(path: Path) -> bool:
    """Whether this process has connections to the database."""
    return _opened_here[file_id(path)] > 0


def refuse_foreign_file(path: Path) -> None:
    """A file that is there but is no SQLite database is somebody's data: never overwritten.

    A database that this process works on is not looked at again: to close a file takes away every lock that
    the process has on it, SQLite's own ones, too, and then another process may remove the log under it.
    """
    if not path.parent.exists():
        raise LedgerUnavailable(f"the folder {path.parent} does not exist; create it or change `database`")
    if not path.exists() or path.stat().st_size == 0 or is_open_here(path):
        return
    try:
        with path.open("rb") as file:
            magic = file.read(16)
    except OSError as error:
        raise LedgerUnavailable(f"the database {path} cannot be read: {error.strerror}") from None
    if magic != b"SQLite format 3\x00":
        raise LedgerUnavailable(
            f"{path} is not a giftsync database and is left as it is; name another file in `database`"
        )


_making = threading.Lock()


def make_private(path: Path) -> None:
    """Make the database with mode 0600 before SQLite does, with one that the umask leaves.

    SQLite gives its log the mode of the database. Threads take turns: to close a file takes away the locks
    that another thread's connection has on it by now.
    """
    # What keeps it from being made is told by SQLite.
    with _making, contextlib.suppress(OSError):
        if not path.exists():
            os.close(open_private(path, os.O_RDWR | os.O_EXCL))


class OpenFile:
    """The database file that an engine has opened first; every connection and write is to be on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._id: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        return self._id is not None

    def opened(self) -> None:
        if self._id is None:
            self._id = file_id(self._path)

    def check(self) -> None:
        """Raises LedgerGone when there is none, or another one, at its path."""
        if self._id is None:
            return
        try:
            found = file_id(self._path)
        except FileNotFoundError:
            found = None
        if found != self._id:
            what = "is gone" if found is None else "was replaced by another file"
            raise LedgerGone(
                f"the database {self._path} {what} while giftsync worked with it, so giftsync has stopped "
                "and sends nothing more; put the right one back (docs/how-to/back-up-and-restore.md), then "
                "start again"
            )


class QueuedConnection(sqlite3.Connection):
    """Writers of one process wait in line. SQLite's own waiting looks ever more seldom, and starves some."""

    line: threading.Lock
    #: None: a database in memory.
    log_flush: LogFlush | None = None
    file: OpenFile | None = None
    #: Whether a power cut may undo the next transaction. Not by connections of two kinds: each would read
    #: anew, from the log, what the other has written.
    next_is_lazy = False
    _counted_as: tuple[int, int] | None = None
    _is_first = False
    _lazily = False

    def count(self, file: tuple[int, int]) -> None:
        """It is open to this file until it is closed."""
        with _counting:
            self._counted_as = file
            _opened_here[file] += 1

    def begin_writing(self) -> None:
        """Raises sqlite3.OperationalError when others have not let it have its turn for BUSY_SECONDS."""
        self._lazily, self.next_is_lazy = self.next_is_lazy, False
        if self.file is not None:
            self.file.check()
        if not self.line.acquire(timeout=BUSY_SECONDS):
            raise sqlite3.OperationalError("database is locked")
        self._is_first = True
        try:
            # At once: two that read first and wrote later could only fail.
            self.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._step_aside()
            raise

    def checkpoint(self) -> None:
        """Move the log into the database, and have the next writer begin a long one anew.

        For that, writers wait for readers, but only a moment: some read for minutes.
        """
        _, frames, moved = self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        is_held = frames - moved > LOG_PAGES_MIN
        if frames < LOG_PAGES_MIN or is_held or not self.line.acquire(timeout=LINE_SECONDS):
            return
        try:
            self.execute(f"PRAGMA busy_timeout = {READERS_MS}")
            self.execute("PRAGMA wal_checkpoint(RESTART)")
        finally:
            self.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            self.line.release()

    def commit(self) -> None:
        has_written = self._is_first
        try:
            super().commit()
        finally:
            self._step_aside()
        # Out of the line: others may write while the disk takes its time.
        if has_written and not self._lazily and self.log_flush is not None:
            try:
                self.log_flush.wait()
            except OSError as error:
                raise sqlite3.OperationalError(f"disk I/O error: {error.strerror}") from None

    def rollback(self) -> None:
        self.next_is_lazy = False
        try:
            super().rollback()
        finally:
            self._step_aside()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._step_aside()
            with _counting:
                file, self._counted_as = self._counted_as, None
                if file is not None:
                    _opened_here[file] -= 1

    def _step_aside(self) -> None:
        if self._is_first:
            self._is_first = False
            self.line.release()


class SqliteDatabase:
    """One database as this process has it open; `database` is its path, or None for one in memory."""

    def __init__(self, database: str | None) -> None:
        self._database = database
        self._path = path = None if database is None else Path(database)
        self._line = threading.Lock()
        self._log_flush = None if path is None else LogFlush(path)
        self.file = None if path is None else OpenFile(path)

    def create_engine(self) -> Engine:
        """Raises LedgerUnavailable for a file that is no database."""
        if self._path is not None:
            refuse_foreign_file(self._path)
        url = URL.create("sqlite", database=self._database)
        connect_args = {"check_same_thread": False, "timeout": BUSY_SECONDS, "factory": QueuedConnection}
        pool: dict[str, Any] = {"poolclass": StaticPool} if self._path is None else {"pool_size": POOL_SIZE}
        engine = create_engine(url, connect_args=connect_args, hide_parameters=True, **pool)
        event.listen(engine, "do_connect", self._before_connecting)
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "begin", _begin)
        return engine

    def _before_connecting(self, *_: object) -> None:
        # SQLite would make an empty database in place of one that is gone.
        if self.file is not None and self._path is not None:
            self.file.check()
            if not self.file.is_open and self._path.exists() and not is_open_here(self._path):
                check_log(self._path)
            make_private(self._path)

    def _connected(self, connection: QueuedConnection, _: object) -> None:
        connection.line, connection.log_flush, connection.file = self._line, self._log_flush, self.file
        # The driver must not begin transactions of its own: its deferred ones lose updates without an error.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        if self.file is None or self._path is None:
            return
        connection.execute("PRAGMA journal_mode = WAL")
        # `sent` must survive a power cut before the call is made: its commit waits for `log_flush`.
        connection.execute("PRAGMA synchronous = NORMAL")
        # Else every thousandth page has its writer copy all of them, and everybody in line waits for it.
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES_MAX}")
        connection.count(file_id(self._path))
        self.file.opened()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    # On the driver's connection: a movement begins a dozen transactions, and by way of SQLAlchemy these
    # statements cost more than those that follow.
    driver = cast(QueuedConnection, connection.connection.dbapi_connection)
    try:
        if options.get(READS):
            driver.execute("BEGIN")
        else:
            driver.begin_writing()
    except sqlite3.OperationalError as error:
        raise OperationalError("BEGIN", None, error) from error
