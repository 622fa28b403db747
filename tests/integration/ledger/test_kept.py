"""Connections that are used again: clean, fresh, few, and closed with their engine."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection, Engine, text

from sync.ledger.database import kept
from sync.ledger.database.engine import reading, writing, writing_lazily
from sync.ledger.database.kept import KEPT_MAX

PROBE = text("SELECT 1 FROM (SELECT 1) AS probe")


def used(engine: Engine) -> Connection:
    with reading(engine) as connection:
        connection.execute(PROBE)
    return connection


def test_given_a_second_use_then_it_has_the_same_connection_and_no_transaction(engine: Engine) -> None:
    first = used(engine)

    with reading(engine) as second:
        assert second is first
        assert not second.in_transaction()


def test_given_reads_and_writes_then_each_has_a_connection_and_lazy_writes_have_that_of_all_writes(
    engine: Engine,
) -> None:
    reads = used(engine)

    with writing_lazily(engine) as lazily:
        lazily.execute(PROBE)
    with writing(engine) as writes:
        writes.execute(PROBE)

    assert writes is lazily
    assert writes is not reads


def test_given_a_use_that_failed_then_its_connection_is_not_kept(engine: Engine) -> None:
    first = used(engine)

    def fail() -> None:
        with reading(engine) as connection:
            assert connection is first
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    assert first.closed
    assert used(engine) is not first


def test_given_a_use_that_streams_then_the_next_one_has_another_connection(engine: Engine) -> None:
    with reading(engine) as connection:
        connection.execution_options(yield_per=10).execute(PROBE).all()

    assert connection.closed
    assert "yield_per" not in used(engine).get_execution_options()


def test_given_a_pause_then_the_connection_has_gone_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = used(engine)
    monkeypatch.setattr(kept, "KEPT_SECONDS", 0.0)

    assert used(engine) is not first
    assert first.closed


def test_given_many_at_the_same_time_then_few_are_kept(engine: Engine) -> None:
    together = threading.Barrier(KEPT_MAX + 2)
    found: list[Connection] = []

    def use() -> None:
        with reading(engine) as connection:
            connection.execute(PROBE)
            found.append(connection)
            together.wait(30)

    threads = [threading.Thread(target=use) for _ in range(KEPT_MAX + 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(one) for one in found}) == KEPT_MAX + 2
    assert sum(not one.closed for one in found) == KEPT_MAX


def test_given_an_engine_that_is_disposed_of_then_none_is_left_open(engine: Engine) -> None:
    first = used(engine)
    driver = first.connection.driver_connection

    engine.dispose()

    assert first.closed
    assert used(engine).connection.driver_connection is not driver
