"""Connections that somebody has just used, for whoever comes next.

A movement begins a dozen transactions, one after the other, and to get a connection out of the pool, make it
ready and put it back costs more than most of them do on it.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from typing import Final

from sqlalchemy import Connection, Engine, event

#: For each use; the pool has more for those who come at the same time.
KEPT_MAX: Final = 3
#: Older ones go back to the pool, which looks whether the server still knows them.
KEPT_SECONDS: Final = 1.0


class KeptConnections:
    """Those of one engine, by what they are ready for. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._idle: dict[str, deque[tuple[Connection, float]]] = {}
        kept = weakref.ref(self)

        def disposed(_: Engine) -> None:
            found = kept()
            if found is not None:
                found.close()

        event.listen(engine, "engine_disposed", disposed)

    def take(self, use: str) -> Connection | None:
        """The one that was given back last for this use, unless that is a while ago."""
        idle = self._idle.get(use)
        while idle:
            try:
                connection, since = idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < KEPT_SECONDS:
                return connection
            connection.close()
        return None

    def give_back(self, use: str, connection: Connection) -> None:
        """Keep a connection whose transaction went well."""
        transaction = connection.get_transaction()
        if transaction is not None:
            transaction.close()
        idle = self._idle.setdefault(use, deque())
        if len(idle) >= KEPT_MAX or connection.closed or connection.invalidated:
            connection.close()
        else:
            idle.append((connection, time.monotonic()))

    def close(self) -> None:
        """Close them: the pool that they came from is gone."""
        for idle in self._idle.values():
            while idle:
                connection, _ = idle.pop()
                connection.invalidate()
                connection.close()
