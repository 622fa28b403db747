"""Ctrl-C and SIGTERM: the first finishes what is under way, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED_AT_ONCE = 130


@contextmanager
def stop_on_signals(note: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that the first signal sets. Only for the main thread."""
    stop = threading.Event()

    def handle(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            # Threads that wait for a side would hold up an ordinary exit; the ledger survives this one.
            os._exit(STOPPED_AT_ONCE)
        stop.set()
        note("Stopping: finishing what is under way. Once more stops at once.")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
