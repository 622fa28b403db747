"""The leaky bucket of an R-Series account, as its answers tell it (lightspeed.md §A1)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from connectors.api.errors import Throttled

#: What one request may cost before its answer tells: a write with two nested payments and a line.
COST_GUESSED: Final = 12.0
#: What is not urgent leaves this part of the bucket to payments.
KEPT_PART: Final = 4
#: The facts allow one look-up by code in a second; this much more covers what the way takes.
CODE_SECONDS: Final = 1.05


@dataclass
class Bucket:
    """What is in the bucket now, by the last answer and the drip since. Thread-safe."""

    pause: Callable[[float], None]
    monotonic: Callable[[], float] = time.monotonic
    #: Used, size, drip a second, and when they were told.
    _told: tuple[float, float, float, float] | None = None
    _next_code_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def level(self) -> tuple[float, float] | None:
        """How much is used, and of how much; None: no answer has told it."""
        with self._lock:
            if self._told is None:
                return None
            used, size, drip, at = self._told
            return max(0.0, used - drip * (self.monotonic() - at)), size

    def note(self, headers: Mapping[str, str]) -> None:
        """Believe what an answer tells, if it can be read."""
        used, _, size = headers.get("X-LS-Api-Bucket-Level", "").partition("/")
        try:
            told = (float(used), float(size), float(headers.get("X-LS-Api-Drip-Rate", "1")), self.monotonic())
        except ValueError:
            return
        if all(map(math.isfinite, told)) and told[1] > 0 and told[2] > 0:
            with self._lock:
                self._told = told

    def wait_for_room(self, *, urgent: bool) -> None:
        """Wait until a request fits. Raises Throttled for one that is not urgent, so that it comes later."""
        level = self.level
        if level is None:
            return
        used, size = level
        room = min(COST_GUESSED, size) if urgent else max(size / KEPT_PART, min(COST_GUESSED, size))
        with self._lock:
            drip = self._told[2] if self._told is not None else 1.0
        missing = used + room - size
        if missing <= 0:
            return
        if not urgent:
            raise Throttled("the rest of Lightspeed's limit is kept for payments", missing / drip)
        self.pause(missing / drip)

    def wait_for_code(self) -> None:
        """Take a turn among the look-ups by code."""
        with self._lock:
            now = self.monotonic()
            at = max(now, self._next_code_at)
            self._next_code_at = at + CODE_SECONDS
        if at > now:
            self.pause(at - now)
