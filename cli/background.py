"""Threads that are told to stop, and whose mishaps are not lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

STOP_SECONDS_MAX = 30.0


class Background:
    """Runs `target(stop)` in a thread of its own."""

    def __init__(self, name: str, target: Callable[[threading.Event], object]) -> None:
        self._target = target
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_SECONDS_MAX)

    def check(self) -> None:
        """Raise what ended the thread early."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._target(self._stop)
        except Exception as error:  # noqa: BLE001 raised again by `check`
            self._error = error
