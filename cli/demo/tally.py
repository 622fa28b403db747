"""The people's own account of the money: what they put on cards and took off them."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from sandbox.emulated import Act, Deed


@dataclass(frozen=True)
class Entry:
    """A line of the account."""

    words: str
    #: 1: it put money on cards; -1: it took money off them.
    sign: int = 1

    @staticmethod
    def of(act: Act) -> Entry:
        return Entry(act.words, -1 if act.deed is Deed.SPEND else 1)


OPENING = Entry("opening")


@dataclass
class Tally:
    """Amounts in minor units, all positive; `expected_minor` knows their signs. Thread-safe."""

    #: The lines of the account, in the order in which they are shown.
    entries: tuple[Entry, ...] = (OPENING,)
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
            return sum(count for entry, count in self._count.items() if entry != OPENING)

    @property
    def expected_minor(self) -> int:
        """What must be on the cards, but for what was written off."""
        with self._lock:
            return sum(entry.sign * minor for entry, minor in self._minor.items())
