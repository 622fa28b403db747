"""Opening the ledger's database: what is refused, what a transaction takes, and who may work."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from sync.ledger.database import flush, migrations
from sync.ledger.database import sqlite as sqlite_database
from sync.ledger.database.engine import (
    LedgerUnavailable,
    check_engine,
    checkpoint,
    only_worker,
    open_engine,
    reading,
    writing_lazily,
)
from sync.ledger.database.sqlite import READS, QueuedConnection
from sync.ledger.database.tables import cards, feed_cursors
from tests.support import seen_in_time

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def add_card(engine: Engine, **values: object) -> int:
    base = {"currency": "NOK", "balance_minor": 0, "status": "active", "created_at": NOW}
    with engine.begin() as connection:
        made = connection.execute(insert(cards).values(**(base | values)).returning(cards.c.id))
        return int(made.scalar_one())


# --- What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "the database URL is malformed; use sqlite:///giftsync.db"),
        ("mysql://host/name", "mysql is not supported; use sqlite or postgresql+psycopg"),
        ("postgresql+psycopg2://host/name", "postgresql+psycopg2 is not supported"),
    ],
)
def test_given_a_database_that_is_not_supported_then_it_is_said(url: str, words: str) -> None:
    with pytest.raises(LedgerUnavailable, match=words.replace("+", r"\+")):
        open_engine(url)


def test_given_a_postgresql_url_without_a_driver_then_psycopg_3_is_used() -> None:
    assert open_engine("postgresql://host/name").driver == "psycopg"


def test_given_a_file_of_somebody_then_it_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "diary.db"
    path.write_text("Dear diary, today I sold a gift card.")

    with pytest.raises(LedgerUnavailable, match=r"diary\.db is not a giftsync database and is left as it is"):
        open_engine(f"sqlite:///{path}")

    assert path.read_text() == "Dear diary, today I sold a gift card."


def test_given_a_folder_that_is_not_there_then_it_is_said_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=r"the folder .*ledgers does not exist; create it"):
        open_engine(f"sqlite:///{tmp_path}/ledgers/ledger.db")

    assert not (tmp_path / "ledgers").exists()


def test_given_a_folder_where_the_file_should_be_then_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="cannot be read"):
        open_engine(f"sqlite:///{tmp_path}")


def test_given_an_empty_file_then_it_becomes_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    engine = open_engine(f"sqlite:///{path}")

    migrations.upgrade(engine)

    assert add_card(engine) == 1
    engine.dispose()


def test_given_a_damaged_file_then_it_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4_000)
    engine = open_engine(f"sqlite:///{path}")

    with pytest.raises(LedgerUnavailable, match="the database does not answer: file is not a database"):
        check_engine(engine)

    engine.dispose()


def test_given_a_file_that_was_cut_off_then_it_is_said_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    engine = open_engine(f"sqlite:///{path}")
    migrations.upgrade(engine)
    checkpoint(engine)
    engine.dispose()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    engine = open_engine(f"sqlite:///{path}")

    with pytest.raises(LedgerUnavailable, match=r"ledger\.db is damaged.*put the newest backup.*recover"):
        check_engine(engine)

    engine.dispose()


def test_given_no_server_then_it_is_said_in_words(tmp_path: Path) -> None:
    engine = open_engine(f"postgresql://postgres@/ledger?host={tmp_path}")

    with pytest.raises(LedgerUnavailable, match="the database does not answer"):
        check_engine(engine)

    engine.dispose()


def test_given_a_ledger_then_the_check_is_silent(engine: Engine) -> None:
    check_engine(engine)


# --- Transactions -------------------------------------------------------------------------------------------


def test_given_a_sqlite_file_then_it_survives_a_power_cut_and_minds_foreign_keys(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("the pragmas are SQLite's")
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}


def waits_for_disk(connection: Connection) -> bool:
    """Whether the end of this transaction waits for PostgreSQL's disk."""
    return bool(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() != "off")


def test_given_a_lazy_transaction_on_postgresql_then_it_does_not_wait_for_the_disk_and_the_next_one_does(
    engine: Engine,
) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("on SQLite the log is flushed by giftsync")
    # The tests' server has it off for all, for speed.
    event.listen(engine, "begin", lambda c: c.exec_driver_sql("SET LOCAL synchronous_commit = on"))
    for _ in range(2):
        with writing_lazily(engine) as connection:
            assert not waits_for_disk(connection)
        with engine.begin() as connection:
            assert waits_for_disk(connection)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The files that were flushed, as their numbers."""
    seen: list[int] = []
    monkeypatch.setattr(flush, "_flush_data", lambda log: seen.append(os.fstat(log).st_ino))
    return seen


def write(connection: Connection, feed: str) -> None:
    values = {"side": "flow", "feed": feed, "cursor": "", "read_at": NOW}
    connection.execute(insert(feed_cursors).values(values))


def test_given_a_transaction_on_sqlite_then_its_log_is_flushed_before_it_returns_unless_it_is_lazy(
    engine: Engine, flushed: list[int]
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL flushes its log itself")
    for number in range(2):
        with writing_lazily(engine) as connection:
            write(connection, f"lazy {number}")
        assert len(flushed) == number
        with engine.begin() as connection:
            write(connection, f"due {number}")
            assert len(flushed) == number
        assert flushed == [Path(f"{engine.url.database}-wal").stat().st_ino] * (number + 1)


def test_given_a_disk_that_takes_its_time_then_others_write_and_who_comes_meanwhile_waits_for_the_next_flush(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL flushes its log itself")
    began, may, flushes = threading.Event(), threading.Event(), list[int]()

    def slow(_: int) -> None:
        flushes.append(1)
        began.set()
        assert may.wait(30)

    monkeypatch.setattr(flush, "_flush_data", slow)

    def durably(feed: str) -> None:
        with engine.begin() as connection:
            write(connection, feed)

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(durably, "first")
        assert began.wait(30)
        others = [threads.submit(durably, feed) for feed in ("second", "third")]
        with writing_lazily(engine) as connection:
            write(connection, "lazy")
        assert not first.done()
        wrote = {"first", "second", "third", "lazy"}
        assert seen_in_time(lambda: feeds_of(engine) == wrote)
        assert not any(one.done() for one in others)
        may.set()
        for one in (first, *others):
            one.result(30)

    # The first one's flush had begun before the others were written, so it was none for them.
    assert len(flushes) in (2, 3)


def test_given_a_checkpoint_then_the_database_alone_holds_what_was_written(
    engine: Engine, tmp_path: Path
) -> None:
    if engine.dialect.name != "sqlite":
        checkpoint(engine)  # PostgreSQL makes its own.
        return
    database = Path(str(engine.url.database))

    def held() -> list[tuple[str]]:
        """Without the log."""
        (tmp_path / "copy").mkdir(exist_ok=True)
        copy = sqlite3.connect(shutil.copy(database, tmp_path / "copy" / "alone.db"))
        try:
            return copy.execute("SELECT feed FROM feed_cursors").fetchall()
        finally:
            copy.close()

    checkpoint(engine)
    with engine.begin() as connection:
        write(connection, "first")
    assert held() == []

    with reading(engine) as connection:
        connection.execute(select(cards.c.id))
        checkpoint(engine)  # Nobody waits for a reader.

    assert held() == [("first",)]


class Meanwhile:
    """The line of writers, in which something happens before a turn comes."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens = happens
        self.turns = 0

    def acquire(self, timeout: float) -> bool:
        self._happens()
        self.turns += 1
        return timeout > 0

    def release(self) -> None:
        """The next one's turn."""


def test_given_a_long_log_that_was_read_a_moment_ago_then_a_checkpoint_has_it_begin_anew(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps its log itself")
    log = Path(f"{engine.url.database}-wal")
    checkpoint(engine)
    written = [str(n) for n in range(20)]
    for feed in written[:3]:
        with engine.begin() as connection:
            write(connection, feed)
    with engine.connect() as checks, engine.connect() as reads:
        driver = cast(QueuedConnection, checks.connection.dbapi_connection)
        line = Meanwhile(reads.rollback)
        monkeypatch.setattr(driver, "line", line)
        reads.execution_options(**{READS: True}).execute(select(cards.c.id))
        for feed in written[3:]:
            with engine.begin() as connection:
                write(connection, feed)

        driver.checkpoint()
        assert line.turns == 0  # It is too short to have anybody wait.
        monkeypatch.setattr(sqlite_database, "LOG_PAGES_MIN", 8)
        driver.checkpoint()
        assert line.turns == 0  # Somebody reads nearly all of it.
        monkeypatch.setattr(sqlite_database, "LOG_PAGES_MIN", 36)
        driver.checkpoint()
        assert line.turns == 1

    size = log.stat().st_size
    for feed in ("anew", "and again"):
        with engine.begin() as connection:
            write(connection, feed)
    assert log.stat().st_size == size
    assert feeds_of(engine) == {*written, "anew", "and again"}


def feeds_of(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(select(feed_cursors.c.feed)).scalars())


def test_given_a_disk_that_fails_then_the_commit_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL flushes its log itself")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(flush, "_flush_data", fail)

    with pytest.raises(DBAPIError, match="disk I/O error"), engine.begin() as connection:
        write(connection, "first")


def test_given_a_lazy_transaction_then_it_is_whole_or_not_at_all_and_others_see_it(engine: Engine) -> None:
    card_id = add_card(engine)
    with writing_lazily(engine) as connection:
        connection.execute(update(cards).where(cards.c.id == card_id).values(version=1))

    def fail() -> None:
        with writing_lazily(engine) as connection:
            connection.execute(update(cards).where(cards.c.id == card_id).values(version=2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with reading(engine) as connection:
        assert connection.execute(select(cards.c.version)).scalar_one() == 1


def test_given_four_threads_that_read_then_write_then_no_update_is_lost(engine: Engine) -> None:
    card_id = add_card(engine)

    def count() -> None:
        for _ in range(25):
            with engine.begin() as connection:
                locked = select(cards.c.version).where(cards.c.id == card_id).with_for_update()
                version = connection.execute(locked).scalar_one()
                connection.execute(update(cards).where(cards.c.id == card_id).values(version=version + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with reading(engine) as connection:
        assert connection.execute(select(cards.c.version)).scalar_one() == 100


def test_given_a_writer_in_the_middle_then_a_reader_neither_waits_nor_sees_it(engine: Engine) -> None:
    card_id = add_card(engine)
    with engine.begin() as writing:
        writing.execute(update(cards).where(cards.c.id == card_id).values(balance_minor=7))

        with reading(engine) as connection:
            assert connection.execute(select(cards.c.balance_minor)).scalar_one() == 0


def test_given_a_reader_in_the_middle_then_a_writer_does_not_wait_and_the_reader_sees_one_state(
    engine: Engine,
) -> None:
    card_id = add_card(engine)
    with reading(engine) as connection:
        assert connection.execute(select(cards.c.balance_minor)).scalar_one() == 0
        with engine.begin() as writing:
            writing.execute(update(cards).where(cards.c.id == card_id).values(balance_minor=7))

        assert connection.execute(select(cards.c.balance_minor)).scalar_one() == 0

    with reading(engine) as connection:
        assert connection.execute(select(cards.c.balance_minor)).scalar_one() == 7


def test_given_a_read_on_sqlite_then_it_begins_without_the_write_lock_and_a_write_with_it(
    engine: Engine,
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL has no lock on the whole database")
    other = sqlite3.connect(str(engine.url.database), timeout=0, isolation_level=None)

    with reading(engine) as connection:
        connection.execute(select(cards.c.id))
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    with engine.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.mark.parametrize("end", ["commit", "rollback", "close", "refused"])
def test_given_a_writer_that_ends_in_any_way_then_the_next_in_line_may_write(
    engine: Engine, end: str
) -> None:
    connection = engine.connect()
    connection.begin()
    next_one = threading.Thread(target=add_card, args=(engine,), daemon=True)
    next_one.start()

    if end == "refused":
        with pytest.raises(DBAPIError):
            connection.execute(text("INSERT INTO nowhere VALUES (1)"))
    getattr(connection, "close" if end == "refused" else end)()
    next_one.join(20)

    assert not next_one.is_alive()
    connection.close()
    add_card(engine)
    with reading(engine) as again:
        assert len(again.execute(select(cards.c.id)).all()) == 2


def test_given_many_writers_then_each_comes_to_write(engine: Engine) -> None:
    with ThreadPoolExecutor(12) as writers:
        list(writers.map(lambda _: add_card(engine), range(120)))

    with reading(engine) as connection:
        assert len(connection.execute(select(cards.c.id)).all()) == 120


def test_given_a_read_connection_goes_back_then_the_next_one_may_write(engine: Engine) -> None:
    for _ in range(3):
        with reading(engine) as connection:
            connection.execute(select(cards.c.id))
        add_card(engine)

    with reading(engine) as connection:
        assert len(connection.execute(select(cards.c.id)).all()) == 3


# --- Instants -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        NOW,
        datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=UTC),
        datetime(2026, 11, 23, 13, 0, tzinfo=timezone(timedelta(hours=1))),
        datetime(2026, 11, 23, 1, 0, tzinfo=timezone(timedelta(hours=-11))),
    ],
)
def test_given_an_instant_in_any_zone_then_the_same_instant_comes_back_in_utc(
    engine: Engine, moment: datetime
) -> None:
    with engine.begin() as connection:
        connection.execute(insert(feed_cursors).values(side="flow", feed="f", cursor="1", read_at=moment))

    with reading(engine) as connection:
        read = connection.execute(select(feed_cursors.c.read_at)).scalar_one()

    assert read == moment
    assert read.utcoffset() == timedelta(0)


def test_given_an_instant_without_a_zone_then_it_is_refused(engine: Engine) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(Exception, match="an instant needs a time zone"), engine.begin() as connection:
        connection.execute(insert(feed_cursors).values(side="flow", feed="f", cursor="1", read_at=naive))


# --- One worker on one file ---------------------------------------------------------------------------------

_HOLDER = """
import sys
from sync.ledger.database.engine import only_worker, open_engine
with only_worker(open_engine(sys.argv[1])):
    print("holding", flush=True)
    sys.stdin.read()
"""


def test_given_two_workers_on_one_file_then_the_second_is_refused_and_told_who(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        with only_worker(engine), only_worker(engine):
            return  # Leases let many share.
    with (
        only_worker(engine),
        pytest.raises(LedgerUnavailable, match=rf"another giftsync worker \(process {os.getpid()}\)"),
        only_worker(engine),
    ):
        pass

    with only_worker(engine):
        pass  # The first has given it back.


def test_given_a_worker_that_is_killed_then_its_lock_is_gone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = open_engine(url)
    migrations.upgrade(engine)
    command = [sys.executable, "-c", _HOLDER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        with (
            pytest.raises(LedgerUnavailable, match=rf"\(process {holder.pid}\)"),
            only_worker(engine),
        ):
            pass

        holder.send_signal(signal.SIGKILL)
        holder.wait()

    with only_worker(engine):
        pass
    engine.dispose()


def test_given_a_ledger_in_memory_then_it_needs_no_lock() -> None:
    engine = open_engine("sqlite://")
    with only_worker(engine), only_worker(engine):
        pass
    engine.dispose()


def test_given_a_name_that_is_a_database_of_another_program_then_its_tables_are_left(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    theirs = create_engine(f"sqlite:///{path}")
    with theirs.begin() as connection:
        connection.execute(text("CREATE TABLE cards (title TEXT)"))
        connection.execute(text("INSERT INTO cards VALUES ('Dune')"))
    theirs.dispose()
    engine = open_engine(f"sqlite:///{path}")

    with pytest.raises(LedgerUnavailable, match="not a giftsync database"):
        migrations.upgrade(engine)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT title FROM cards")).scalar_one() == "Dune"
        assert connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar_one() == 1
    engine.dispose()
