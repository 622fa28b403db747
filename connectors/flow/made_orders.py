"""The orders that this process has made, so that no feed reads them again to learn whose they are."""

from __future__ import annotations

import threading
from typing import Final

#: More than a feed shows again; an order that is forgotten here is read.
ORDERS_MAX: Final = 10_000


class MadeOrders:
    """Markers by order uid, the newest few thousand. Thread-safe; empty after each start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._markers: dict[str, str] = {}

    def add(self, order_uid: str, marker: str) -> None:
        with self._lock:
            self._markers[order_uid] = marker
            if len(self._markers) > ORDERS_MAX:
                del self._markers[next(iter(self._markers))]

    def marker(self, order_uid: str) -> str | None:
        """The marker of an order that this process has made; None for any other."""
        with self._lock:
            return self._markers.get(order_uid)
