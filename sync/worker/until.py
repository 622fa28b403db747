"""A stop signal with a time limit: how a turn ends by itself."""

from __future__ import annotations

import threading
import time

#: A turn ends after this time and the call that is under way then.
TURN_SECONDS = 2.0


class Until(threading.Event):
    """Is set when `stop` is, and after some time."""

    def __init__(self, stop: threading.Event, seconds: float) -> None:
        super().__init__()
        self._stop, self._ends_at = stop, time.monotonic() + seconds

    def is_set(self) -> bool:
        return self._stop.is_set() or time.monotonic() >= self._ends_at

    def wait(self, timeout: float | None = None) -> bool:
        left = max(self._ends_at - time.monotonic(), 0.0)
        self._stop.wait(left if timeout is None else min(timeout, left))
        return self.is_set()
