"""Opening the ledger's database so that its transactions mean what they say, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import StaticPool

from sync.ledger.database.flush import LogFlush
from sync.ledger.private_files import open_private

BUSY_SECONDS = 30
POOL_SIZE = 16
LOCK_TRIES = 5
LOCK_AGAIN_SECONDS = 0.02
#: Of 4 KiB. `checkpoint` keeps SQLite's log far shorter while a worker runs.
LOG_PAGES_MAX = 16_384
_READS = "giftsync_reads"
_LAZY = "giftsync_lazy"
_SQLITE = "sqlite:///"


class LedgerUnavailable(Exception):
    """The database cannot be used; the message says why and what to do. Nothing was changed."""


def open_engine(url: str) -> Engine:
    """An engine for `sqlite:///path`, `sqlite://` (in memory) or `postgresql+psycopg://…`.

    Raises LedgerUnavailable for anything else, and for a file that is not a database.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed.database)
    if parsed.drivername == "postgresql+psycopg":
        return create_engine(parsed, pool_size=POOL_SIZE, pool_pre_ping=True, hide_parameters=True)
    raise LedgerUnavailable(f"{parsed.drivername} is not supported; use sqlite or postgresql+psycopg")


def parse_url(url: str) -> URL:
    """The parts of a database URL. What follows `sqlite:///` is a path, literally: `?`, `#` and `%` too.

    Raises LedgerUnavailable.
    """
    if url.startswith(_SQLITE):
        return URL.create("sqlite", database=url.removeprefix(_SQLITE))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise LedgerUnavailable("the database URL is malformed; use sqlite:///giftsync.db") from None
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


class LedgerGone(LedgerUnavailable):
    """The database file was deleted or replaced while it was open. Nothing is written any more."""


class _File:
    """The database file that an engine has opened first; every connection and write is to be on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._id: tuple[int, int] | None = None

    def opened(self) -> None:
        if self._id is None:
            self._id = _file_id(self._path)

    def check(self) -> None:
        """Raises LedgerGone when there is none, or another one, at its path."""
        if self._id is None:
            return
        try:
            found = _file_id(self._path)
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
    file: _File | None = None
    _is_first = False
    _lazily = False

    def begin_writing(self, *, lazily: bool) -> None:
        """Raises sqlite3.OperationalError when others have not let it have its turn for BUSY_SECONDS."""
        self._lazily = lazily
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
        try:
            super().rollback()
        finally:
            self._step_aside()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._step_aside()

    def _step_aside(self) -> None:
        if self._is_first:
            self._is_first = False
            self.line.release()


def _open_sqlite(database: str | None) -> Engine:
    in_memory = database in (None, "", ":memory:")
    connect_args: dict[str, Any] = {
        "check_same_thread": False,
        "timeout": BUSY_SECONDS,
        "factory": QueuedConnection,
    }
    line = threading.Lock()
    log_flush = None if in_memory else LogFlush(Path(str(database)))
    file = None if in_memory else _File(Path(str(database)))
    if in_memory:
        engine = create_engine(
            "sqlite://", connect_args=connect_args, poolclass=StaticPool, hide_parameters=True
        )
    else:
        _refuse_foreign_file(Path(str(database)))
        engine = create_engine(
            URL.create("sqlite", database=database),
            connect_args=connect_args,
            pool_size=POOL_SIZE,
            hide_parameters=True,
        )

    if file is not None:
        _files[engine] = file

    @event.listens_for(engine, "do_connect")
    def _(*_: object) -> None:
        # SQLite would make an empty database in place of one that is gone.
        if file is not None:
            file.check()
            _make_private(Path(str(database)))

    @event.listens_for(engine, "connect")
    def _(connection: QueuedConnection, __: object) -> None:
        connection.line, connection.log_flush, connection.file = line, log_flush, file
        # The driver must not begin transactions of its own: its deferred ones lose updates without an error.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        if not in_memory:
            connection.execute("PRAGMA journal_mode = WAL")
            # `sent` must survive a power cut before the call is made: its commit waits for `log_flush`.
            connection.execute("PRAGMA synchronous = NORMAL")
            # Else every thousandth page has its writer copy all of them, and everybody in line waits for it.
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES_MAX}")
            _opened_here.add(_file_id(Path(str(database))))
        if file is not None:
            file.opened()

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        options = connection.get_execution_options()
        # On the driver's connection: a movement begins a dozen transactions, and by way of SQLAlchemy these
        # statements cost more than those that follow.
        driver = cast(QueuedConnection, connection.connection.dbapi_connection)
        try:
            if options.get(_READS):
                driver.execute("BEGIN")
            else:
                driver.begin_writing(lazily=bool(options.get(_LAZY)))
        except sqlite3.OperationalError as error:
            raise OperationalError("BEGIN", None, error) from error

    return engine


_making = threading.Lock()


def _make_private(path: Path) -> None:
    """Make the database with mode 0600 before SQLite does, with one that the umask leaves.

    SQLite gives its log the mode of the database. Threads take turns: to close a file takes away the locks
    that another thread's connection has on it by now.
    """
    # What keeps it from being made is told by SQLite.
    with _making, contextlib.suppress(OSError):
        if not path.exists():
            os.close(open_private(path, os.O_RDWR | os.O_EXCL))


#: The database file that each engine has opened.
_files: WeakKeyDictionary[Engine, _File] = WeakKeyDictionary()


def check_file(engine: Engine) -> None:
    """Raises LedgerGone when the file of an open database was deleted or replaced."""
    file = _files.get(engine)
    if file is not None:
        file.check()


def database_file(engine: Engine) -> Path | None:
    """The file of a SQLite database; None for any other."""
    database = engine.url.database
    in_file = engine.dialect.name == "sqlite" and database not in (None, "", ":memory:")
    return Path(str(database)) if in_file else None


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the ledger and takes no lock."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # Its default lets every statement see a state of its own.
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        yield connection.execution_options(**{_READS: True})


@contextmanager
def writing_lazily(engine: Engine) -> Iterator[Connection]:
    """A transaction that a power cut may undo, if no ordinary one has ended since; a crash never does.

    What a power cut undoes is the end of the log, so the ledger is then as if the process had died a little
    earlier. That is safe as long as nothing outside the ledger depends on it: before a call, and before
    somebody is told that something is done, there is an ordinary transaction. A flush to the disk takes
    milliseconds, in which nobody else can write.
    """
    with engine.connect() as connection:
        lazy = connection.execution_options(**{_LAZY: True})
        with lazy.begin():
            if engine.dialect.name == "postgresql":
                lazy.execute(text("SET LOCAL synchronous_commit = off"))
            yield lazy


def checkpoint(engine: Engine) -> None:
    """Move what SQLite's log holds into the database, while others go on reading and writing."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            # Outside any transaction, and so not in line with the writers.
            cast(QueuedConnection, connection.connection.dbapi_connection).execute(
                "PRAGMA wal_checkpoint(PASSIVE)"
            )


#: Database files that this process has connections to.
_opened_here: set[tuple[int, int]] = set()


def _file_id(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _refuse_foreign_file(path: Path) -> None:
    """A file that is there but is no SQLite database is somebody's data: never overwritten.

    A database that this process works on is not looked at again: to close a file takes away every lock that
    the process has on it, SQLite's own ones, too, and then another process may remove the log under it.
    """
    if not path.parent.exists():
        raise LedgerUnavailable(f"the folder {path.parent} does not exist; create it or change `database`")
    if not path.exists() or path.stat().st_size == 0 or _file_id(path) in _opened_here:
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


def check_engine(engine: Engine) -> None:
    """Raise LedgerUnavailable, in words, when the database does not answer or is damaged."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM (SELECT 1) AS probe"))
            if engine.dialect.name == "sqlite":
                connection.execute(text("SELECT count(*) FROM sqlite_master"))
    except DBAPIError as error:
        raise LedgerUnavailable(f"the database does not answer: {error.orig}") from error


def worker_file(engine: Engine) -> str | None:
    """The file that a worker locks while it works; None where several may work."""
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database or database == ":memory:":
        return None
    return f"{database}.worker"


def _lock(descriptor: int) -> bool:
    """Whether the lock was had. Tried a few times: `worker_runs` holds it for a moment when it looks."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            threading.Event().wait(LOCK_AGAIN_SECONDS)
        else:
            return True
    return False


@contextmanager
def only_worker(engine: Engine) -> Iterator[None]:
    """Hold the right to work on a SQLite file; a second worker is refused with LedgerUnavailable.

    The lock belongs to the process, so a killed worker leaves none behind. PostgreSQL needs none: there,
    leases let many workers share.
    """
    path = worker_file(engine)
    if path is None:
        yield
        return
    descriptor = open_private(path, os.O_RDWR)
    try:
        if not _lock(descriptor):
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise LedgerUnavailable(
                f"another giftsync worker (process {owner}) is using {engine.url.database}. Stop it first, "
                "or use PostgreSQL, where several workers share one ledger."
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
