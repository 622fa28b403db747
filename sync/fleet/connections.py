"""Connections to the queue: every turn takes one out of a pool twice, and pays what that costs."""

from __future__ import annotations

import time
from typing import Any, Final
from weakref import WeakKeyDictionary

import procrastinate
import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from sync.ledger.database.engine import RESTED_SECONDS

#: Whoever waits for a connection for so long is told that the database does not answer.
CONNECT_SECONDS: Final = 5

#: When each connection was given back last, by the monotonic clock.
_used_at: WeakKeyDictionary[psycopg.Connection | psycopg.AsyncConnection, float] = WeakKeyDictionary()


def pool(address: str, connect: dict[str, Any]) -> ConnectionPool:
    """A pool, to be opened, whose connections ask the server only for what they are asked."""
    return ConnectionPool(
        address,
        kwargs={**connect, "autocommit": True},
        min_size=1,
        max_size=2,
        timeout=CONNECT_SECONDS,
        open=False,
        check=_check,
        reset=_note_use,
    )


def engine_connector(address: str, connect: dict[str, Any]) -> procrastinate.PsycopgConnector:
    """The same for procrastinate, each of whose steps is one statement."""

    def make(**options: Any) -> AsyncConnectionPool:
        # The engine would ask a connection each time whether it is still there.
        return AsyncConnectionPool(**{**options, "check": _check_async})

    return procrastinate.PsycopgConnector(
        pool_factory=make,
        conninfo=address,
        kwargs=connect,
        min_size=1,
        max_size=6,
        timeout=CONNECT_SECONDS,
        configure=_begin_nothing,
        reset=_note_use_async,
    )


def _has_rested(connection: psycopg.Connection | psycopg.AsyncConnection) -> bool:
    used_at = _used_at.get(connection)
    return used_at is not None and time.monotonic() - used_at >= RESTED_SECONDS


def _note_use(connection: psycopg.Connection) -> None:
    _used_at[connection] = time.monotonic()


async def _note_use_async(connection: psycopg.AsyncConnection) -> None:
    _used_at[connection] = time.monotonic()


def _check(connection: psycopg.Connection) -> None:
    if _has_rested(connection):
        ConnectionPool.check_connection(connection)


async def _check_async(connection: psycopg.AsyncConnection) -> None:
    if _has_rested(connection):
        await AsyncConnectionPool.check_connection(connection)


async def _begin_nothing(connection: psycopg.AsyncConnection) -> None:
    # In the arguments of `connect` it would be given twice where the engine listens.
    await connection.set_autocommit(True)
