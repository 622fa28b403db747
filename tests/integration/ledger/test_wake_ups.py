"""Processes that store news wake the worker of the ledger in another one, on both databases."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync.ledger.database.engine import Engine, database_file, open_engine
from sync.ledger.database.news import tell
from sync.ledger.database.wake_ups import PIPE, WakeUps, heard

LEDGER = "public"
SECONDS_MAX = 30


class Heard:
    """What a worker is woken for, in order."""

    def __init__(self) -> None:
        self.turns: list[str] = []
        self._came = threading.Condition()

    def __call__(self, turn: str) -> None:
        with self._came:
            self.turns.append(turn)
            self._came.notify_all()

    def has_heard(self, turn: str, seconds_max: float = SECONDS_MAX) -> bool:
        with self._came:
            return self._came.wait_for(lambda: turn in self.turns, seconds_max)


@pytest.fixture
def worker() -> Heard:
    return Heard()


def send(engine: Engine, *turns: str) -> None:
    """As whoever stores news does: in its transaction, and once that has ended."""
    with engine.begin() as connection:
        for turn in turns:
            tell(connection, turn)
    WakeUps(engine, LEDGER).stored(turns)


def wakes(engine: Engine, worker: Heard, turn: str) -> bool:
    """PostgreSQL tells of nothing that came before it was listened to."""
    WakeUps(engine, LEDGER)
    for _ in range(SECONDS_MAX * 20):
        send(engine, turn)
        if worker.has_heard(turn, 0.05):
            return True
    return False


def test_given_a_worker_that_listens_when_it_is_woken_then_it_hears_for_what(
    engine: Engine, worker: Heard
) -> None:
    with heard(engine, LEDGER, worker):
        assert wakes(engine, worker, "match")
        send(engine, "due", "process/shopify")

        assert worker.has_heard("process/shopify")
    assert worker.turns[-2:] == ["due", "process/shopify"]


def test_given_nobody_who_listens_when_it_is_woken_then_nothing_fails(engine: Engine) -> None:
    send(engine, "due")


@pytest.fixture
def postgres(_start_over: Callable[[str], str]) -> Iterator[Engine]:
    opened = open_engine(_start_over("migrated"))
    yield opened
    opened.dispose()


@pytest.mark.postgres
def test_given_a_transaction_that_is_undone_when_it_told_news_then_nobody_is_woken(
    postgres: Engine, worker: Heard
) -> None:
    with heard(postgres, LEDGER, worker):
        assert wakes(postgres, worker, "match")
        with postgres.connect() as connection, connection.begin() as transaction:
            tell(connection, "process/lost")
            transaction.rollback()
        with postgres.begin() as connection:
            tell(connection, "process/later", 5.0)
            tell(connection, "process/kept")

        assert worker.has_heard("process/kept")
    assert {"process/lost", "process/later"}.isdisjoint(worker.turns)


@pytest.mark.postgres
def test_given_a_connection_that_is_cut_when_it_is_back_then_wake_ups_are_heard_again(
    postgres: Engine, worker: Heard
) -> None:
    with heard(postgres, LEDGER, worker):
        assert wakes(postgres, worker, "match")
        with postgres.begin() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
            )

        assert wakes(postgres, worker, "due")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with opened.begin():
        pass
    yield opened
    opened.dispose()


def test_given_a_pipe_that_a_killed_worker_has_left_when_the_next_listens_then_it_is_woken(
    file: Engine, worker: Heard
) -> None:
    pipe = f"{database_file(file)}{PIPE}"
    os.mkfifo(pipe, 0o600)
    # Nobody reads it: the writer does not wait.
    send(file, "due")

    with heard(file, LEDGER, worker):
        send(file, "match")
        assert worker.has_heard("match")
        assert os.stat(pipe).st_mode & 0o777 == 0o600
    assert worker.turns == ["match"]
    assert not Path(pipe).exists()


def test_given_more_wake_ups_than_the_pipe_holds_then_the_writer_never_waits(file: Engine) -> None:
    awake, goes_on = threading.Event(), threading.Event()

    def slow(turn: str) -> None:
        awake.set()
        goes_on.wait(SECONDS_MAX)

    with heard(file, LEDGER, slow):
        send(file, "due")
        assert awake.wait(SECONDS_MAX)
        for _ in range(3):
            send(file, *["process/shopify"] * 5_000)
        goes_on.set()


def test_given_a_file_in_the_place_of_the_pipe_then_it_is_left_alone_and_the_worker_works_on(
    file: Engine, worker: Heard
) -> None:
    place = Path(f"{database_file(file)}{PIPE}")
    place.write_text("mine")

    with heard(file, LEDGER, worker):
        send(file, "due")

    assert place.read_text() == "mine"
    assert worker.turns == []
