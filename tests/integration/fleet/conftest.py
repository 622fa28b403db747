"""A queue beside a ledger in one PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine

from sync.fleet.queue import TurnQueue
from sync.ledger.database.engine import open_engine
from sync.ledger.database.news import tell_queue

LEDGER = "public"


@pytest.fixture
def database(_start_over: Callable[[str], str]) -> str:
    return _start_over("migrated")


@contextmanager
def opened_queue(database: str) -> Iterator[TurnQueue]:
    """The queue of a fleet's workers beside the ledgers."""
    opened = TurnQueue(database)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def queue(database: str) -> Iterator[TurnQueue]:
    with opened_queue(database) as opened:
        yield opened


@pytest.fixture
def engine(database: str, queue: TurnQueue) -> Iterator[Engine]:
    """The ledger, which tells the queue of its news."""
    opened = open_engine(database)
    assert tell_queue(opened, LEDGER)
    yield opened
    opened.dispose()
