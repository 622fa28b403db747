"""Opening the ledger's database so that its transactions mean what they say, on SQLite and PostgreSQL."""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy import Engine as Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from sync.ledger.database.kept import KeptConnections
from sync.ledger.database.private_files import open_private
from sync.ledger.database.sqlite import POOL_SIZE, READS, OpenFile, QueuedConnection, SqliteDatabase
from sync.ledger.database.unavailable import LedgerGone as LedgerGone
from sync.ledger.database.unavailable import LedgerUnavailable as LedgerUnavailable

if TYPE_CHECKING:
    import psycopg

#: Connections that the ledgers of one process share. Some are kept for as long as somebody downloads.
SHARED_MAX = 20
LOCK_TRIES = 5
LOCK_AGAIN_SECONDS = 0.02
#: A connection that was not used for this time may be gone.
RESTED_SECONDS = 1.0
_USED_AT = "used_at"
_SQLITE = "sqlite:///"
#: In the URL of a database in PostgreSQL: the schema that holds the ledger.
SCHEMA = "schema"
#: SQLAlchemy passes over a key without a value, and the ledger would be in everybody's schema.
_NO_SCHEMA_NAME = re.compile(r"[?&]schema(=?&|=?$)")
_SCHEMA_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")


def open_engine(url: str) -> Engine:
    """An engine for `sqlite:///path`, `sqlite://` (in memory) or `postgresql+psycopg://…`.

    With `?schema=name` all tables are in that schema and no other can be seen, so that several ledgers share
    a database. Raises LedgerUnavailable for anything else, and for a file that is not a database.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed.database)
    if parsed.drivername == "postgresql+psycopg":
        return _open_postgres(parsed, schema_of(url))
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


def schema_of(url: str) -> str | None:
    """The schema that a database URL names. Raises LedgerUnavailable for a name that needs quotes."""
    parsed = parse_url(url)
    name = parsed.query.get(SCHEMA) if parsed.get_backend_name() == "postgresql" else None
    if name is None and not _NO_SCHEMA_NAME.search(url):
        return None
    if not isinstance(name, str) or not _SCHEMA_NAME.fullmatch(name):
        raise LedgerUnavailable(
            "the schema in the database URL must be one name of at most 63 small letters, digits and _, "
            "which begins with a letter and not with pg_"
        )
    return name


#: The schema of each engine that has one of its own.
_schemas: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()


def _open_postgres(url: URL, schema: str | None) -> Engine:
    if _shared is not None:
        return _sharing_engine(_shared, url.difference_update_query([SCHEMA]), schema)
    if schema is not None:
        options = url.query.get("options", ())
        given = options if isinstance(options, str) else " ".join(options)
        # Told at the connection's start, so that no rollback takes it back.
        path = f"{given} -csearch_path={schema}".strip()
        url = url.difference_update_query([SCHEMA]).update_query_dict({"options": path})
    engine = create_engine(url, pool_size=POOL_SIZE, hide_parameters=True)
    _ask_rested(engine)
    _kept[engine] = KeptConnections(engine)
    if schema is not None:
        _schemas[engine] = schema
    return engine


def _ask_rested(engine: Engine) -> None:
    """Ask a connection that has rested whether it is still there; asking every time costs a round trip."""

    def given_back(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = time.monotonic()

    def taken(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is None or time.monotonic() - used_at < RESTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error

    event.listen(engine, "checkin", given_back)
    event.listen(engine, "checkout", taken)


class _SharedPool(QueuePool):
    """Connections that outlive the engines that share them."""

    def dispose(self) -> None:
        """An engine's end is not that of the connections."""

    def recreate(self) -> _SharedPool:
        return self


#: An engine for each database whose ledgers share connections; None: each ledger has its own.
_shared: dict[URL, Engine] | None = None
_shared_max = SHARED_MAX


@contextmanager
def sharing_connections(at_most: int = SHARED_MAX) -> Iterator[None]:
    """From now on the ledgers of one PostgreSQL that this process opens share so many connections.

    A connection that goes from one ledger to the next is told that one's schema first, and sees no other. Who
    comes when all are taken waits: a server that has no more of them would fail a card in the middle instead.
    """
    global _shared, _shared_max
    _shared, _shared_max = {}, at_most
    try:
        yield
    finally:
        shared, _shared = _shared, None
        for engine in shared.values():
            QueuePool.dispose(cast(_SharedPool, engine.pool))


def _sharing_engine(shared: dict[URL, Engine], url: URL, schema: str | None) -> Engine:
    if url not in shared:
        made = create_engine(
            url,
            poolclass=_SharedPool,
            pool_size=_shared_max,
            max_overflow=0,
            # The one given back last is mostly of the ledger that asks next, and need not be told another's.
            pool_use_lifo=True,
            hide_parameters=True,
        )
        _ask_rested(made)
        shared.setdefault(url, made)
    engine = shared[url].execution_options()
    place = "DEFAULT" if schema is None else f'"{schema}"'

    def show(connection: Connection) -> None:
        if connection.info.get(SCHEMA, "") == schema:
            return
        connection.info[SCHEMA] = ""
        own = cast("psycopg.Connection", connection.connection.dbapi_connection)
        statement = f"SET search_path TO {place}"
        try:
            # Outside of any transaction, so that no rollback takes it back.
            own.autocommit = True
            own.execute(statement.encode())
            own.autocommit = False
        except engine.dialect.loaded_dbapi.Error as error:
            # Else the pool would give a connection that is gone to the next one, and nobody knew the fault.
            connection.invalidate(error)
            raise OperationalError(statement, None, error) from error
        connection.info[SCHEMA] = schema

    event.listen(engine, "engine_connect", show)
    if schema is not None:
        _schemas[engine] = schema
    return engine


def own_schema_of(engine: Engine) -> str | None:
    """The schema that only this ledger is in; None: it shares the server's with others."""
    return _schemas.get(engine)


def has_schema(engine: Engine) -> bool:
    """Whether the ledger's schema is there; a ledger without one of its own uses the server's."""
    schema = _schemas.get(engine)
    if schema is None:
        return True
    with reading(engine) as connection:
        found = connection.execute(
            text("SELECT 1 FROM pg_namespace WHERE nspname = :schema"), {"schema": schema}
        )
        return found.first() is not None


def schemas_of(engine: Engine) -> frozenset[str]:
    """Every schema of a PostgreSQL database."""
    with reading(engine) as connection:
        return frozenset(connection.execute(text("SELECT nspname FROM pg_namespace")).scalars())


def of_schema(engine: Engine, schema: str) -> Engine:
    """The ledger in a schema, over the connections of an engine that many ledgers share. For reading."""
    return engine.execution_options(schema_translate_map={None: schema})


def make_schema(engine: Engine) -> None:
    """Make the ledger's own schema, if it has one and that is not there yet."""
    if not has_schema(engine):
        with engine.begin() as connection:
            # IF NOT EXISTS alone fails when two make it at once.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('giftsync schema'))"))
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{_schemas[engine]}"'))


#: The database file that each engine has opened.
_files: WeakKeyDictionary[Engine, OpenFile] = WeakKeyDictionary()


def _open_sqlite(database: str | None) -> Engine:
    opened = SqliteDatabase(None if database in (None, "", ":memory:") else database)
    engine = opened.create_engine()
    if opened.file is not None:
        _files[engine] = opened.file
        _kept[engine] = KeptConnections(engine)
    return engine


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


#: What each engine's connections were used for last.
_kept: WeakKeyDictionary[Engine, KeptConnections] = WeakKeyDictionary()
_WRITES = "giftsync_writes"
_ASKS = "giftsync_asks"
_READS_ONE_STATE: Mapping[str, Mapping[str, object]] = {
    "sqlite": {READS: True},
    # Its default lets every statement see a state of its own.
    "postgresql": {READS: True, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the ledger and takes no lock."""
    with _connected(engine, READS, _READS_ONE_STATE[engine.dialect.name]) as connection:
        yield connection


@contextmanager
def asking(engine: Engine) -> Iterator[Connection]:
    """A connection for one statement that reads. On PostgreSQL that is one round trip: `reading` begins and
    ends a transaction around it, which is for statements that have to see the same state.
    """
    if engine.dialect.name == "sqlite":
        with reading(engine) as connection:
            yield connection
        return
    with _connected(engine, _ASKS, {"isolation_level": "AUTOCOMMIT"}) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is on the disk when this ends: `engine.begin()` for where there are many."""
    with _connected(engine, _WRITES, {}) as connection, connection.begin():
        yield connection


@contextmanager
def _connected(engine: Engine, use: str, options: Mapping[str, object]) -> Iterator[Connection]:
    kept = _kept.get(engine)
    connection = None if kept is None else kept.take(use)
    if connection is None:
        connection = engine.connect()
        if options:
            connection.execution_options(**options)
    ready = connection.get_execution_options()
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
    # One that streams goes on to stream: not what the next one expects.
    if kept is None or connection.get_execution_options() != ready:
        connection.close()
    else:
        kept.give_back(use, connection)


@contextmanager
def writing_lazily(engine: Engine) -> Iterator[Connection]:
    """A transaction that a power cut may undo, if no ordinary one has ended since; a crash never does.

    What a power cut undoes is the end of the log, so the ledger is then as if the process had died a little
    earlier. That is safe as long as nothing outside the ledger depends on it: before a call, and before
    somebody is told that something is done, there is an ordinary transaction. A flush to the disk takes
    milliseconds, in which nobody else can write.
    """
    with _connected(engine, _WRITES, {}) as connection:
        if engine.dialect.name == "sqlite":
            cast(QueuedConnection, connection.connection.dbapi_connection).next_is_lazy = True
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            yield connection


def checkpoint(engine: Engine) -> None:
    """Move what SQLite's log holds into the database, while others go on reading and writing.

    A long log begins anew then, in the same file. A log that only grows makes that longer, and then each
    flush of it waits for the file system's journal, and with it for what other programs have written.
    """
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            # Outside any transaction, and so not in line with the writers.
            cast(QueuedConnection, connection.connection.dbapi_connection).checkpoint()


def check_engine(engine: Engine) -> None:
    """Raise LedgerUnavailable, in words, when the database does not answer or is damaged."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM (SELECT 1) AS probe"))
            if engine.dialect.name == "sqlite":
                connection.execute(text("SELECT count(*) FROM sqlite_master"))
    except DBAPIError as error:
        if "malformed" in str(error.orig):
            raise LedgerUnavailable(
                f"{engine.url.database} is damaged: a part of it is missing or overwritten. Keep it, put the"
                " newest backup in its place, and run `giftsync recover`: it reads back what the backup lacks"
            ) from error
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
