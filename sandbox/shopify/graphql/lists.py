"""Lists with search and sorting: how `giftCards`, `orders` and `customers` find their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from sandbox.shopify.graphql.connections import (
    ByNumber,
    ByValue,
    Connection,
    Ordering,
    Window,
    page,
)
from sandbox.shopify.graphql.search import InvalidValue, Search, Term, read_instant
from sandbox.shopify.shop.collection import Collection, Numbered
from sandbox.shopify.shop.money import to_decimal, to_minor

#: A null sorts last in both directions (shopify.md §3.1).
NULL_FORWARD = 9_223_372_036_854_775_807
NULL_REVERSED = -9_223_372_036_854_775_808

T = TypeVar("T", bound=Numbered)


@dataclass(frozen=True)
class SortKey(Generic[T]):
    """How one sort key orders rows. `value` may give None only if the others are integers."""

    value: Callable[[T], Any]
    #: Sort value to a cursor's `last_value`, and back.
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value
    #: Kept sorted from its first use on; only for values that are never None.
    indexed: bool = False


def milliseconds(get: Callable[[T], int | None], *, indexed: bool = False) -> SortKey[T]:
    """Sort by an instant; cursors hold epoch milliseconds."""
    return SortKey(get, _to_milliseconds, _from_milliseconds, indexed=indexed)


def _to_milliseconds(seconds: int) -> int:
    return seconds if seconds in (NULL_FORWARD, NULL_REVERSED) else seconds * 1000


def _from_milliseconds(value: Any) -> int:
    number = int(value)
    return number if number in (NULL_FORWARD, NULL_REVERSED) else number // 1000


def day_start(day: date | None) -> int | None:
    """Midnight UTC of a date, in seconds: dates sort and page by it."""
    return None if day is None else int(datetime.combine(day, time(), UTC).timestamp())


def amounts(get: Callable[[T], int], currency: str) -> SortKey[T]:
    """Sort by minor units; cursors hold a JSON number of major units."""
    return SortKey(
        get,
        lambda minor: float(to_decimal(minor, currency)),
        lambda value: to_minor(Decimal(str(value)), currency),
    )


def numbers_by_instant(
    items: Collection[T], sort_key: str, value: Callable[[T], int], term: Term, timezone: ZoneInfo
) -> list[int] | None:
    """Objects that a comparison of an instant can match, from the index behind that sort key."""
    try:
        instant = read_instant(term.value, timezone)
    except InvalidValue:
        return None
    index = items.index(sort_key, value)
    match term.op:
        case ">=" | ">":
            return index.between(instant, None)
        case "<=" | "<":
            return index.between(None, instant)
        case _:
            return index.between(instant, instant + 86_400)


@dataclass
class Listing(Generic[T]):
    """One list: its objects, its sort keys (None sorts by id), and how it is searched."""

    items: Collection[T]
    sort_keys: Mapping[str, SortKey[T] | None]
    compile: Callable[[str], Search[T]]
    #: Numbers that a search can be narrowed down to by one term, ascending or not; None if it can't.
    narrow: Callable[[Search[T]], Iterable[int] | None]
    #: Objects that the caller may not see are left out.
    visible: Callable[[T], bool] = lambda item: True

    def page(
        self, arguments: Mapping[str, Any], search: Search[T] | None, *, reverse: bool = False
    ) -> Connection[T]:
        """One page of the list for these GraphQL arguments."""
        window = Window.of(arguments, reverse=reverse)
        if search is not None and search.nothing:
            return page(ByNumber[T]([]), window, self.items.get)
        ordering = self._ordering(self.sort_keys[arguments["sortKey"]], window, search)
        return page(ordering, window, lambda number: self._find(number, search))

    def count(self, search: Search[T] | None, limit: int) -> tuple[int, bool]:
        """How many there are, up to `limit`, and whether that is exact."""
        if search is None:
            total = len(self.items)
            return min(total, limit), total <= limit
        total = 0
        for number in () if search.nothing else self._candidates(search):
            if self._find(number, search) is not None:
                total += 1
                if total > limit:
                    return limit, False
        return total, True

    def _find(self, number: int, search: Search[T] | None) -> T | None:
        """The object as it is now, if the search, which sees it as it was, finds it."""
        item = self.items.get(number)
        if item is None or not self.visible(item):
            return None
        if search is None:
            return item
        searched = self.items.as_searched(number)
        return item if searched is not None and search.matches(searched) else None

    def _candidates(self, search: Search[T]) -> Iterable[int]:
        unseen = self.items.unseen_numbers()
        narrowed = self.narrow(search)
        if narrowed is None:
            return self.items.numbers
        return sorted({*narrowed, *unseen})

    def _ordering(self, key: SortKey[T] | None, window: Window, search: Search[T] | None) -> Ordering[T]:
        numbers = self.items.numbers if search is None else self._candidates(search)
        narrowed = numbers is not self.items.numbers
        if key is None:
            return ByNumber(list(numbers) if narrowed else self.items.numbers, as_text=search is None)
        if key.indexed and not narrowed:
            name = next(name for name, one in self.sort_keys.items() if one is key)
            return ByValue(self.items.index(name, key.value).rows, key.write, key.read)
        null = NULL_REVERSED if window.reverse else NULL_FORWARD
        rows = []
        for number in numbers:
            item = self._find(number, search)
            if item is not None:
                value = key.value(item)
                rows.append((null if value is None else value, number))
        rows.sort()
        return ByValue(rows, key.write, key.read)
