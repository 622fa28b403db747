"""Flushing SQLite's log to the disk, once for all who wait for it.

SQLite flushes inside a commit (`synchronous = FULL`), and then nobody else can write until the disk has
answered: mostly a fraction of a millisecond, sometimes a third of a second. Here commits only write
(`synchronous = NORMAL`), and whoever needs the disk waits afterwards, while others go on writing. What is
flushed is the same file, to the same effect: https://www.sqlite.org/pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

# Not on every system; where it is missing, the file's times are flushed with it.
_flush_data = getattr(os, "fdatasync", os.fsync)


class LogFlush:
    """The flushes of one database's log. Thread-safe."""

    def __init__(self, database: Path) -> None:
        self._log = Path(f"{database}-wal")
        self._turn = threading.Condition()
        self._flushing = False
        self._begun = self._ended = 0

    def wait(self) -> None:
        """Return once everything that was committed before this call is on the disk. Raises OSError."""
        with self._turn:
            # One that is under way may have begun before our commit.
            wanted = self._begun + 1
            while self._ended < wanted:
                if self._flushing:
                    self._turn.wait()
                else:
                    self._lead()

    def _lead(self) -> None:
        """Flush for everybody who waits now; those who come meanwhile wait for the next one."""
        self._flushing = True
        self._begun += 1
        self._turn.release()
        try:
            self._flush()
        finally:
            self._turn.acquire()
            self._flushing = False
            self._turn.notify_all()
        self._ended = self._begun

    def _flush(self) -> None:
        try:
            log = os.open(self._log, os.O_RDONLY)
        except FileNotFoundError:
            # The last connection was closed, which moves all of the log into the database, flushed.
            return
        try:
            _flush_data(log)
        finally:
            os.close(log)
