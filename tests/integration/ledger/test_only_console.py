"""One process at a time serves the console of a ledger."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from sync.ledger.database.engine import database_file, open_engine
from sync.ledger.database.only_console import console_file, only_console

LEDGER = "acme"
KEY = "hashtextextended('giftsync console ' || current_schema(), 0)"


@contextmanager
def held_by_another_process(engine: Engine) -> Iterator[None]:
    """What another process would hold: a lock of a descriptor, or of a connection, of its own."""
    file = database_file(engine)
    if file is not None:
        with open(console_file(str(file)), "w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({KEY})")
        yield
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({KEY})")


def test_given_another_process_that_serves_it_then_the_right_is_had_once_that_one_ends(
    empty_url: str,
) -> None:
    engine = open_engine(empty_url)
    with held_by_another_process(engine), only_console(engine, LEDGER) as is_ours:
        assert not is_ours
    with only_console(engine, LEDGER) as is_ours:
        assert is_ours
    engine.dispose()


def test_given_a_console_that_begins_anew_then_its_process_keeps_the_right_until_the_last_one_ends(
    empty_url: str,
) -> None:
    first, second = open_engine(empty_url), open_engine(empty_url)
    with only_console(first, LEDGER) as before:
        with only_console(second, LEDGER) as anew:
            assert (before, anew) == (True, True)
        assert is_taken(first)
    assert not is_taken(first)
    first.dispose()
    second.dispose()


def is_taken(engine: Engine) -> bool:
    """Whether another process would be refused."""
    file = database_file(engine)
    if file is not None:
        with open(console_file(str(file)), "w") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False
    with engine.connect() as connection:
        return not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({KEY})").scalar_one()
