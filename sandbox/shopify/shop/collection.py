"""Objects of one kind by number, with sorted indexes and a search index that lags behind writes."""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

#: A sort value. Within one index all values are of one type, so that they compare.
SortValue = Any


class Numbered(Protocol):
    number: int


T = TypeVar("T", bound=Numbered)


class OrderedIndex(Generic[T]):
    """(value, number) of every object, sorted. A change costs O(log n) and moving part of a list."""

    def __init__(self, value: Callable[[T], SortValue], items: Iterator[T]) -> None:
        self.value = value
        self.rows: list[tuple[SortValue, int]] = sorted((value(item), item.number) for item in items)

    def add(self, item: T) -> None:
        insort(self.rows, (self.value(item), item.number))

    def remove(self, item: T) -> None:
        del self.rows[bisect_left(self.rows, (self.value(item), item.number))]

    def move(self, before: SortValue, item: T) -> None:
        after = self.value(item)
        if after != before:
            del self.rows[bisect_left(self.rows, (before, item.number))]
            insort(self.rows, (after, item.number))

    def between(self, low: SortValue | None, high: SortValue | None) -> list[int]:
        """Numbers of the objects with low <= value <= high; None is no bound."""
        start = 0 if low is None else bisect_left(self.rows, (low,))
        end = len(self.rows) if high is None else bisect_right(self.rows, (high, float("inf")))
        return [number for _, number in self.rows[start:end]]


class Collection(Generic[T]):
    """All objects of one kind. Numbers only grow, so `numbers` is sorted by appending."""

    def __init__(self, monotonic: Callable[[], float], search_lag_s: float) -> None:
        self.by_number: dict[int, T] = {}
        self.numbers: list[int] = []
        self._monotonic = monotonic
        self._search_lag_s = search_lag_s
        self._indexes: dict[str, OrderedIndex[T]] = {}
        #: Writes that search does not see yet: when it will, which object, and the object as it was before.
        self._unseen: deque[tuple[float, int]] = deque()
        self._before: dict[int, deque[T | None]] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[T]:
        return iter(self.by_number.values())

    def get(self, number: int | None) -> T | None:
        return None if number is None else self.by_number.get(number)

    def last_until(self, number: int) -> T | None:
        """The object with the greatest number up to this one."""
        position = bisect_right(self.numbers, number)
        return None if position == 0 else self.by_number[self.numbers[position - 1]]

    def load(self, item: T) -> None:
        """Take in an object from before the emulator started, which search knows about."""
        self.by_number[item.number] = item
        self.numbers.append(item.number)
        for index in self._indexes.values():
            index.add(item)

    def add(self, item: T) -> None:
        """Take in a new object. Search finds it later."""
        self._hide(item.number, None)
        self.load(item)

    def remove(self, item: T) -> None:
        """Forget an object; search forgets it at once."""
        del self.by_number[item.number]
        del self.numbers[bisect_left(self.numbers, item.number)]
        for index in self._indexes.values():
            index.remove(item)
        self._before.pop(item.number, None)
        self._unseen = deque(row for row in self._unseen if row[1] != item.number)

    @contextmanager
    def changing(self, item: T) -> Iterator[T]:
        """Change an object's fields inside this, so that indexes follow at once and search later."""
        if self._search_lag_s > 0:
            self._hide(item.number, copy.copy(item))
        before = {name: index.value(item) for name, index in self._indexes.items()}
        yield item
        for name, value in before.items():
            self._indexes[name].move(value, item)

    def index(self, name: str, value: Callable[[T], SortValue]) -> OrderedIndex[T]:
        """The index of that name, built at its first use and kept from then on."""
        if name not in self._indexes:
            self._indexes[name] = OrderedIndex(value, iter(self))
        return self._indexes[name]

    def as_searched(self, number: int) -> T | None:
        """The object as the search index knows it now; None if it doesn't yet."""
        before = self._before.get(number)
        return self.by_number.get(number) if before is None else before[0]

    def unseen_numbers(self) -> list[int]:
        """Objects whose latest writes search doesn't know yet: no sorted index may be asked about them."""
        self._forget_seen()
        return list(self._before)

    def _hide(self, number: int, before: T | None) -> None:
        self._forget_seen()
        if self._search_lag_s > 0:
            self._unseen.append((self._monotonic() + self._search_lag_s, number))
            self._before.setdefault(number, deque()).append(before)

    def _forget_seen(self) -> None:
        now = self._monotonic()
        while self._unseen and self._unseen[0][0] <= now:
            _, number = self._unseen.popleft()
            waiting = self._before[number]
            waiting.popleft()
            if not waiting:
                del self._before[number]
