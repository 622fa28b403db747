"""The people's own account of the money: what they put on cards and took off them."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Entry(StrEnum):
    """A line of the account."""

    OPENING = "opening"
    SOLD_IN_STORE = "sold in the store"
    SOLD_ONLINE = "sold online"
    LOADED = "loaded in the store"
    REFUNDED = "refunded online"
    SPENT_IN_STORE = "spent in the store"
    SPENT_ONLINE = "spent online"

    @property
    def sign(self) -> int:
        return -1 if self in (Entry.SPENT_IN_STORE, Entry.SPENT_ONLINE) else 1


@dataclass
class Tally:
    """Amounts in minor units, all positive; `expected_minor` knows their signs. Thread-safe."""

    _minor: Counter[Entry] = field(default_factory=Counter, init=False)
    _count: Counter[Entry] = field(default_factory=Counter, init=False)
    _refused: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def add(self, entry: Entry, amount_minor: int, count: int = 1) -> None:
        with self._lock:
            self._minor[entry] += amount_minor
            self._count[entry] += count

    def refuse(self) -> None:
        """Somebody wanted to pay and could not."""
        with self._lock:
            self._refused += 1

    def minor(self, entry: Entry) -> int:
        with self._lock:
            return self._minor[entry]

    def count(self, entry: Entry) -> int:
        with self._lock:
            return self._count[entry]

    @property
    def refused(self) -> int:
        return self._refused

    @property
    def movements(self) -> int:
        """How often the people moved money."""
        with self._lock:
            return sum(count for entry, count in self._count.items() if entry is not Entry.OPENING)

    @property
    def expected_minor(self) -> int:
        """What must be on the cards, but for what was written off."""
        with self._lock:
            return sum(entry.sign * minor for entry, minor in self._minor.items())
