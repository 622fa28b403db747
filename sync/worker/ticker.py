"""A thread that works when it is woken, and at an interval besides."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from connectors.bugs import where

log = structlog.get_logger(__name__)


class Ticker:
    """Runs one job at a time, at once when woken and every `seconds` otherwise.

    A wake-up during the job is answered right after it: a scheduler would skip that run, and what came
    meanwhile would wait for the next interval.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        job: Callable[[], None],
        failed: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self._name = name
        self._failed = failed or _log_failure
        self._seconds = seconds
        self._job = job
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._woken.set()
        self._thread.start()

    def wake_up(self) -> None:
        """Safe from any thread, before the start and after the end."""
        self._woken.set()

    def stop(self) -> None:
        """Begin no further run; `join` waits for the one that is under way."""
        self._stopped = True
        self._woken.set()

    def join(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._woken.wait(self._seconds)
            # Before the job, so that a wake-up meanwhile is not taken for one that it has answered.
            self._woken.clear()
            if self._stopped:
                return
            try:
                self._job()
            except Exception as error:  # noqa: BLE001 one run that failed must not end all others
                self._failed(self._name, error)


def _log_failure(job: str, error: Exception) -> None:
    log.error("a job failed", action="job.failed", job=job, error=type(error).__name__, where=where(error))
