"""The switchable rate limit; whether Flow has one is unknown (flow.md §1)."""

from __future__ import annotations

from sandbox.flow.behaviour import RateLimit
from sandbox.flow.values import Clock, to_ms


class RateLimiter:
    """Counts the calls of each token in fixed windows."""

    def __init__(self, limit: RateLimit | None, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._counts: dict[str, tuple[int, int]] = {}

    def wait_s(self, token: str) -> int:
        """Count one call; 0 when it is allowed, else whole seconds until the next window."""
        if self._limit is None:
            return 0
        window_ms = self._limit.window_s * 1000
        now_ms = to_ms(self._clock())
        window = now_ms // window_ms
        current, count = self._counts.get(token, (window, 0))
        count = count + 1 if current == window else 1
        self._counts[token] = (window, count)
        if count <= self._limit.calls:
            return 0
        return max(1, -(-((window + 1) * window_ms - now_ms) // 1000))
