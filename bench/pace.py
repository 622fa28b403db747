"""A steady rate of work, and how long the slowest took."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from statistics import quantiles


def wait_until(moment: float) -> None:
    """Wait for a moment of `time.monotonic`; not at all for one that is past."""
    threading.Event().wait(max(0.0, moment - time.monotonic()))


def p99(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100)[98]
