"""The journal of settled receipts, searchable by the instant they settled (flow.md §4, "Receipt search")."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right


class ReceiptJournal:
    """Sequence numbers of settled orders in the order of their settledAt.

    Two flat arrays, because a million receipts must fit; a window is found by bisection.
    """

    def __init__(self) -> None:
        self._at_ms = array("q")
        self._seq = array("q")

    def __len__(self) -> int:
        return len(self._seq)

    def add(self, at_ms: int, seq: int) -> None:
        """Insert after every receipt that settled at or before `at_ms`; cheap at the end, where time adds."""
        position = len(self._at_ms)
        if position and self._at_ms[-1] > at_ms:
            position = bisect_right(self._at_ms, at_ms)
        self._at_ms.insert(position, at_ms)
        self._seq.insert(position, seq)

    def window(self, from_ms: int | None, to_ms: int | None, *, to_inclusive: bool) -> range:
        """Positions of what settled from `from_ms` on and before (or at) `to_ms`; None is unbounded."""
        low = 0 if from_ms is None else bisect_left(self._at_ms, from_ms)
        if to_ms is None:
            high = len(self._at_ms)
        else:
            high = (bisect_right if to_inclusive else bisect_left)(self._at_ms, to_ms)
        return range(low, max(low, high))

    def seq(self, position: int) -> int:
        return self._seq[position]
