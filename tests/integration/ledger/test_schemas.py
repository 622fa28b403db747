"""Several ledgers in one PostgreSQL, each in a schema of its own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from sync.ledger.database.engine import LedgerUnavailable, open_engine, sharing_connections
from sync.ledger.database.marks import read_mark, save_mark
from sync.ledger.database.migrations import upgrade
from tests.integration.schemas import schemas_with_tables
from tests.support import Clock

STARTS = """
import sys
from sync.ledger.database.engine import open_engine
from sync.ledger.database.migrations import upgrade
print("ready", flush=True)
sys.stdin.readline()
upgrade(open_engine(sys.argv[1]))
"""


@pytest.mark.postgres
def test_given_workers_that_start_at_once_then_each_has_the_whole_schema(empty_postgres: str) -> None:
    url = _with_schema(empty_postgres, "link_busy")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", STARTS, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60)[1] for one in started]

    assert [one.returncode for one in started] == [0, 0, 0, 0], said
    assert schemas_with_tables(empty_postgres) == {"link_busy"}


@pytest.mark.parametrize("name", ["pg_mine", 'a"b', "Acme", "a b", "", "a" * 64, "a,public"])
def test_given_a_schema_that_would_need_quotes_then_it_is_refused(name: str) -> None:
    with pytest.raises(LedgerUnavailable, match="schema"):
        open_engine(_with_schema("postgresql://localhost/none", name))


@pytest.mark.postgres
def test_given_ledgers_that_share_connections_then_neither_sees_what_the_other_keeps(
    empty_postgres: str, clock: Clock
) -> None:
    with sharing_connections():
        acme, zebra = (
            open_engine(_with_schema(empty_postgres, name)) for name in ("link_acme", "link_zebra")
        )
        for engine in (acme, zebra):
            upgrade(engine)
        # Often enough for the driver to prepare the statements on the server.
        for number in range(20):
            save_mark(acme, "whose", f"acme {number}", clock())
            save_mark(zebra, "whose", f"zebra {number}", clock())
            acme.dispose()
            assert read_mark(acme, "whose") == f"acme {number}"
            with zebra.connect() as connection:
                connection.execute(text("UPDATE marks SET value = 'gone'"))
                connection.rollback()
            assert read_mark(zebra, "whose") == f"zebra {number}"
        with acme.connect() as connection:
            ours = connection.execute(
                text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            ).scalar_one()

    # This one, and the one that the test's fixture has.
    assert ours <= 2


@pytest.mark.postgres
def test_given_a_shared_connection_that_was_cut_off_then_the_fault_is_told_and_the_next_one_has_another(
    empty_postgres: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long this takes: one that has rested would be asked first.
    monkeypatch.setattr("sync.ledger.database.engine.RESTED_SECONDS", float("inf"))
    with sharing_connections(at_most=1):
        acme, zebra = (
            open_engine(_with_schema(empty_postgres, name)) for name in ("link_acme", "link_zebra")
        )
        upgrade(acme)
        upgrade(zebra)
        with acme.connect() as connection:
            gone = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with create_engine(empty_postgres, poolclass=NullPool).connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:gone, 10000)"), {"gone": gone})

        with pytest.raises(OperationalError):
            read_mark(zebra, "whose")

        assert read_mark(zebra, "whose") is None


@pytest.mark.postgres
def test_given_more_at_once_than_ledgers_share_connections_then_the_next_one_waits(
    empty_postgres: str,
) -> None:
    with sharing_connections(at_most=3), ExitStack() as taken, ThreadPoolExecutor(1) as others:
        acme, zebra = (
            open_engine(_with_schema(empty_postgres, name)) for name in ("link_acme", "link_zebra")
        )
        for _ in range(2):
            taken.enter_context(acme.connect())
        last = acme.connect()
        next_one = others.submit(lambda: zebra.connect().close())
        _, waiting = wait([next_one], timeout=0.1)
        last.close()

        next_one.result(10)

    assert waiting == {next_one}


def _with_schema(url: str, name: str) -> str:
    return make_url(url).update_query_dict({"schema": name}).render_as_string(hide_password=False)


@pytest.mark.postgres
def test_given_two_ledgers_in_one_database_then_neither_sees_what_the_other_keeps(
    empty_postgres: str, clock: Clock
) -> None:
    acme, zebra = (open_engine(_with_schema(empty_postgres, name)) for name in ("link_acme", "link_zebra"))
    try:
        upgrade(acme)
        upgrade(zebra)
        save_mark(acme, "whose", "acme", clock())

        assert (read_mark(acme, "whose"), read_mark(zebra, "whose")) == ("acme", None)
        assert schemas_with_tables(empty_postgres) == {"link_acme", "link_zebra"}
    finally:
        acme.dispose()
        zebra.dispose()
