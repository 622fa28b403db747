"""Locks of PostgreSQL that belong to a connection and to no transaction: whoever dies gives them back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

#: Several ledgers may share a database, each in a schema of its own.
_KEY: Final = "hashtextextended(:name || ' ' || coalesce(current_schema(), ''), 0)"


def advisory_lock(engine: Engine, name: str, *, blocking: bool) -> Callable[[], None] | None:
    """Take the ledger's lock of that name; what gives it back, or None where another has it.

    Raises SQLAlchemyError.
    """
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    # Never given to anybody else: the lock would go with it.
    connection.detach()
    named = {"name": name}

    def give_back() -> None:
        # The server would notice the end of the connection a moment later.
        with suppress(SQLAlchemyError):
            connection.execute(text(f"SELECT pg_advisory_unlock({_KEY})"), named)
        connection.close()

    try:
        if blocking:
            connection.execute(text(f"SELECT pg_advisory_lock({_KEY})"), named)
            return give_back
        if connection.execute(text(f"SELECT pg_try_advisory_lock({_KEY})"), named).scalar_one():
            return give_back
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None
