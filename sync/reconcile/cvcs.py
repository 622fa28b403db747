"""CVCs that callers give: in memory while the request has the card, and never stored or logged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mappings.serials import Serial
from sync.model import Card


class LentCvcs:
    """What sides are asked with, for a card that they show or debit with its CVC only. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lent: dict[Serial, str] = {}

    def of(self, serial: Serial) -> str | None:
        """The card's CVC while a caller lends it."""
        with self._lock:
            return self._lent.get(serial)

    @contextmanager
    def lent(self, card: Card, cvc: str | None) -> Iterator[None]:
        """Lend the CVC until the block ends. Whoever calls has the card, so there is one at a time."""
        serials = () if cvc is None else {p.serial for p in card.presences if p.serial is not None}
        try:
            with self._lock:
                self._lent |= dict.fromkeys(serials, cvc or "")
            yield
        finally:
            with self._lock:
                for serial in serials:
                    self._lent.pop(serial, None)
