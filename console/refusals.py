"""Tells of refused deliveries at a bounded rate: whoever floods the receiver must not flood the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0
#: Reasons are sentences of ours, so there are few.
REASONS_MAX = 100


class RefusalLog:
    """One line for each reason at once, then one in `EVERY_SECONDS` that counts the others. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: When each was told last, and how many came since.
        self._told: dict[tuple[str, str, str], tuple[float, int]] = {}

    def note(self, action: str, why: str, side: str = "") -> None:
        now = self._monotonic()
        key = (action, why, side)
        with self._lock:
            told = self._told.get(key)
            if told is None and len(self._told) >= REASONS_MAX:
                return
            told_at, since = told or (float("-inf"), 0)
            if now - told_at < EVERY_SECONDS:
                self._told[key] = (told_at, since + 1)
                return
            self._told[key] = (now, 0)
        more: dict[str, object] = {"side": side} if side else {}
        if since:
            more["more"] = since
        log.warning("a webhook was refused", action=action, why=why, **more)
