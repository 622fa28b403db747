"""New cards by few imports: what several threads want to import at about the same time goes in one file.

Maestra takes 60 imports an hour, so a file for each card would stop everything after an hour's first minutes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.api.errors import InDoubt

#: Number and amount in minor units.
Row = tuple[str, int]
#: Longer than the import call of a file takes as a whole, and shorter than the lease on a card.
WAIT_SECONDS_MAX: Final = 40.0


@dataclass
class _File:
    """One file in the making."""

    rows: list[Row] = field(default_factory=list)
    sent: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class SharedImports:
    """Gathers rows for a moment, then sends them. Thread-safe."""

    def __init__(
        self,
        send: Callable[[Sequence[Row]], None],
        pause: Callable[[float], None],
        gather_seconds: float,
    ) -> None:
        self._send = send
        self._pause = pause
        self._gather_seconds = gather_seconds
        self._lock = threading.Lock()
        self._open: _File | None = None

    def add(self, rows: Sequence[Row]) -> None:
        """Return once the rows were handed over with a file. Raises what the sending raised."""
        with self._lock:
            leads = self._open is None
            file = self._open = self._open or _File()
            file.rows += rows
        if not leads:
            if not file.sent.wait(WAIT_SECONDS_MAX):
                raise InDoubt("the file that has the card was not sent in time")
            if file.error is not None:
                raise file.error
            return
        try:
            self._pause(self._gather_seconds)
            with self._lock:
                # From now on rows go into another file.
                self._open = None
            self._send(file.rows)
        except Exception as error:
            with self._lock:
                if self._open is file:
                    self._open = None
            file.error = error
            raise
        finally:
            file.sent.set()
