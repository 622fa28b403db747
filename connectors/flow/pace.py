"""How fast Flow is asked: a steady rate if one is configured, and silence for everybody after a 429."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from connectors.api.errors import Throttled

#: A caller that would have to wait longer is sent away instead: its lease on a card must not run out
#: meanwhile.
WAIT_SECONDS_MAX = 10.0
#: How often one call lets itself be held up before it goes ahead and hears 429 itself.
WAITS_MAX = 3


class Pace:
    """Hands out moments at which a call may start. Shared by all threads of a side.

    `pause` waits the given seconds and `monotonic` counts them; a test passes ones that move together.
    """

    def __init__(
        self,
        calls_per_second: float | None,
        pause: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._between = 1 / calls_per_second if calls_per_second else 0.0
        self._monotonic = monotonic
        self._pause = pause
        self._lock = threading.Lock()
        #: The earliest moment for the next call, in seconds of `monotonic`.
        self._next_at = float("-inf")
        #: Nobody calls before this moment.
        self._held_until = float("-inf")

    def wait_turn(self) -> None:
        """Wait for this call's moment.

        Raises Throttled, with nothing sent, when that moment is more than WAIT_SECONDS_MAX away.
        """
        for _ in range(WAITS_MAX):
            wait_seconds = self._reserve()
            if wait_seconds <= 0:
                return
            self._pause(wait_seconds)
            # While this one waited, another may have been told to be silent.
            with self._lock:
                if self._held_until <= self._monotonic():
                    return

    def _reserve(self) -> float:
        """Take the next free moment; how many seconds it is away."""
        with self._lock:
            now = self._monotonic()
            moment = max(now, self._next_at, self._held_until)
            wait_seconds = moment - now
            if wait_seconds > WAIT_SECONDS_MAX:
                raise Throttled("Flow asked for a pause; nothing was sent", wait_seconds)
            self._next_at = moment + self._between
            return wait_seconds

    def hold(self, seconds: float) -> None:
        """No call starts before that many seconds have passed."""
        with self._lock:
            self._held_until = max(self._held_until, self._monotonic() + seconds)
