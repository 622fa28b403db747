"""The time of one run: waits last as long as they say, whoever sets the machine's clock meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from sync.ledger.database.clock import machine_time

log = structlog.get_logger(__name__)

#: How much faster or slower than time itself a run follows the machine's clock: a wait of a minute is never
#: shorter than 57 seconds.
FOLLOWS = 0.05
#: A difference that nobody's clock has by drifting.
STEP = timedelta(minutes=1)
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


def monotonic_seconds() -> float:
    """Seconds since some moment, also of those in which the machine slept, where the system counts them."""
    return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)


class SteadyClock:
    """Zone-aware time that never goes back. Thread-safe.

    It begins with the machine's clock and goes on with the monotonic one. Where the two come apart it follows
    the machine's clock slowly: a clock that jumps back must not make a wait a day longer, and one that jumps
    forward must not end a quiet period early. The next run begins with the machine's clock again.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = machine_time,
        monotonic: Callable[[], float] = monotonic_seconds,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._at = monotonic()
        self._time = wall()
        self._stepped = False

    def __call__(self) -> datetime:
        with self._lock:
            now, wall = self._monotonic(), self._wall()
            seconds = max(0.0, now - self._at)
            self._at = now
            if abs((wall - self._time).total_seconds() - seconds) <= seconds * FOLLOWS:
                # As nearly always: a redemption asks thirty times what time it is.
                self._time, self._stepped = wall, False
                return wall
            passed = timedelta(seconds=seconds)
            ahead = wall - (self._time + passed)
            self._time += passed + max(-passed * FOLLOWS, min(passed * FOLLOWS, ahead))
            stepped, self._stepped = abs(ahead) > STEP and not self._stepped, abs(ahead) > STEP
            told = self._time
        if stepped:
            log.warning(
                "the machine's clock was set; this run goes on with its own time and follows slowly",
                action="clock.stepped",
                ahead_seconds=round(ahead.total_seconds()),
            )
        return told
