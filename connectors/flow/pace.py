"""How fast Flow is asked: a steady rate if one is configured, and silence for everybody once Flow wants it.

Flow's limits are not published. One answer 429 among many, with a short wait, says little of the next call,
so its own caller waits. Several among the latest calls, or a long wait, are a limit, and then nobody calls
until it is over.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from connectors.api.budget import Budget
from connectors.api.errors import Throttled

#: A caller that would have to wait longer is sent away instead: its lease on a card must not run out
#: meanwhile.
WAIT_SECONDS_MAX = 10.0
#: How often one call lets itself be held up before it goes ahead and hears 429 itself.
WAITS_MAX = 3
#: So many answers 429 among the latest calls are a limit.
REFUSED_MAX = 3
LATEST_CALLS = 20
#: Whoever asks for a longer wait than this means everybody.
SHORT_SECONDS = 2.0


class Pace:
    """Hands out moments at which a call may start. Shared by all threads of a side.

    `pause` waits the given seconds and `monotonic` counts them; a test passes ones that move together.
    """

    def __init__(
        self,
        calls_per_second: float | None,
        pause: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
        budget: Budget | None = None,
    ) -> None:
        """`budget` is what all processes of the link share, where these are several."""
        self._rate, self._budget = calls_per_second, budget
        self._between = 1 / calls_per_second if calls_per_second else 0.0
        self._monotonic = monotonic
        self._pause = pause
        self._lock = threading.Lock()
        #: The earliest moment for the next call, in seconds of `monotonic`.
        self._next_at = float("-inf")
        #: Nobody calls before this moment.
        self._held_until = float("-inf")
        #: Calls so far, and at which of them the latest answers 429 came.
        self._calls = 0
        self._refused_at: deque[int] = deque(maxlen=REFUSED_MAX)

    def wait_turn(self) -> None:
        """Wait for this call's moment.

        Raises Throttled, with nothing sent, when that moment is more than WAIT_SECONDS_MAX away.
        """
        with self._lock:
            self._calls += 1
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
        if self._budget is not None and self._rate:
            return self._reserve_of_all(self._budget, self._rate)
        with self._lock:
            now = self._monotonic()
            moment = max(now, self._next_at, self._held_until)
            wait_seconds = moment - now
            if wait_seconds > WAIT_SECONDS_MAX:
                raise Throttled("Flow asked for a pause; nothing was sent", wait_seconds)
            self._next_at = moment + self._between
            return wait_seconds

    def _reserve_of_all(self, budget: Budget, rate: float) -> float:
        with self._lock:
            held_seconds = self._held_until - self._monotonic()
        if held_seconds > WAIT_SECONDS_MAX:
            raise Throttled("Flow asked for a pause; nothing was sent", held_seconds)
        taken, left = budget.draw(1.0, rate, 1.0, keep=-WAIT_SECONDS_MAX * rate)
        wait_seconds = max(-left / rate, held_seconds, 0.0)
        if not taken:
            raise Throttled("other workers ask all that Flow allows; nothing was sent", wait_seconds)
        return wait_seconds

    def refused(self, seconds: float) -> None:
        """Take in that Flow answered 429 and asked for so many seconds."""
        with self._lock:
            self._refused_at.append(self._calls)
            several = (
                len(self._refused_at) == REFUSED_MAX and self._calls - self._refused_at[0] < LATEST_CALLS
            )
        if several or seconds > SHORT_SECONDS:
            self.hold(seconds)

    def hold(self, seconds: float) -> None:
        """No call starts before that many seconds have passed."""
        with self._lock:
            self._held_until = max(self._held_until, self._monotonic() + seconds)
