"""Pages of connections and their cursors (shopify.md §3.1)."""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sandbox.shopify.graphql.errors import bad_request

PAGE_MAX = 250

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


@dataclass(slots=True)
class Edge(Generic[T]):
    cursor: str
    node: T


@dataclass(slots=True)
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(slots=True)
class Connection(Generic[T]):
    edges: list[Edge[T]]
    page_info: PageInfo

    @property
    def nodes(self) -> list[T]:
        return [edge.node for edge in self.edges]


@dataclass(frozen=True)
class Cursor:
    """Where a page begins or ends: the row with this id and sort value."""

    last_id: int
    last_value: Any

    def encode(self) -> str:
        body = {"last_id": self.last_id, "last_value": self.last_value}
        return base64.b64encode(json.dumps(body, separators=(",", ":")).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        try:
            body = json.loads(base64.b64decode(text, validate=True))
            number = body["last_id"]
            if not isinstance(number, int) or isinstance(number, bool):
                raise TypeError
            return cls(number, body["last_value"])
        except (binascii.Error, ValueError, TypeError, KeyError):
            raise bad_request("Malformed cursor") from None


@dataclass(frozen=True)
class Window:
    """Which page is asked for."""

    count: int
    from_end: bool
    after: Cursor | None
    before: Cursor | None
    reverse: bool

    @classmethod
    def of(cls, arguments: Mapping[str, Any], *, reverse: bool = False) -> Window:
        """Read first, last, after, before and reverse; `reverse` turns the order of the whole list."""
        first, last = arguments.get("first"), arguments.get("last")
        if first is None and last is None:
            raise bad_request("you must provide one of first or last")
        if first is not None and last is not None:
            raise bad_request("providing both first and last is not supported")
        name = "last" if first is None else "first"
        count: int = arguments[name]
        if count < 0:
            raise bad_request(f"{name} cannot be less than zero")
        if count > PAGE_MAX:
            raise bad_request(f"{count} exceeds the maximum of {PAGE_MAX} rows a page")
        after, before = arguments.get("after"), arguments.get("before")
        return cls(
            count=count,
            from_end=first is None,
            after=None if after is None else Cursor.decode(after),
            before=None if before is None else Cursor.decode(before),
            reverse=bool(arguments.get("reverse")) != reverse,
        )


class Ordering(Protocol[T_contra]):
    """A sorted list of rows, and how rows, numbers and cursors belong together."""

    #: Ascending; a row is anything that compares.
    rows: Sequence[Any]

    def number(self, row: Any) -> int: ...

    def row_at(self, cursor: Cursor) -> Any:
        """A row that sorts where the cursor is."""

    def cursor(self, row: Any, item: T_contra) -> Cursor: ...


def page(ordering: Ordering[T], window: Window, find: Callable[[int], T | None]) -> Connection[T]:
    """One page. `find` gives the object behind a number, or None if it is not in the list.

    Looks at as few rows as it can: a page of a million rows costs as much as a page of ten.
    """
    start, end = _bounds(ordering, window)
    # From the end of a list means from the start of its mirror image.
    backwards = window.reverse != window.from_end
    positions = range(end - 1, start - 1, -1) if backwards else range(start, end)
    found = _take(ordering, positions, find, window.count + 1)
    more = len(found) > window.count
    del found[window.count :]
    if window.from_end:
        found.reverse()
        has_next, has_previous = window.before is not None, more
    else:
        has_next, has_previous = more, window.after is not None
    edges = [Edge(ordering.cursor(row, item).encode(), item) for row, item in found]
    return Connection(
        edges,
        PageInfo(
            has_next, has_previous, edges[0].cursor if edges else None, edges[-1].cursor if edges else None
        ),
    )


def _bounds(ordering: Ordering[T], window: Window) -> tuple[int, int]:
    """Positions [start, end) of the rows between the cursors."""
    rows = ordering.rows
    after = None if window.after is None else ordering.row_at(window.after)
    before = None if window.before is None else ordering.row_at(window.before)
    if window.reverse:
        after, before = before, after
    try:
        start = 0 if after is None else bisect_right(rows, after)
        end = len(rows) if before is None else bisect_left(rows, before)
    except TypeError:
        # A cursor of another sort key.
        raise bad_request("Malformed cursor") from None
    return start, end


def _take(
    ordering: Ordering[T], positions: range, find: Callable[[int], T | None], count: int
) -> list[tuple[Any, T]]:
    found: list[tuple[Any, T]] = []
    for row, item in _existing(ordering, positions, find):
        found.append((row, item))
        if len(found) == count:
            break
    return found


def _existing(
    ordering: Ordering[T], positions: range, find: Callable[[int], T | None]
) -> Iterator[tuple[Any, T]]:
    for position in positions:
        row = ordering.rows[position]
        item = find(ordering.number(row))
        if item is not None:
            yield row, item


@dataclass
class ByNumber(Generic[T]):
    """Rows that are the numbers themselves."""

    rows: Sequence[int]
    #: The cursor's `last_value` is the number as text or as a number (shopify.md §3.1).
    as_text: bool = True

    def number(self, row: int) -> int:
        return row

    def row_at(self, cursor: Cursor) -> int:
        return cursor.last_id

    def cursor(self, row: int, item: T) -> Cursor:
        return Cursor(row, str(row) if self.as_text else row)


@dataclass
class ByValue(Generic[T]):
    """Rows (value, number). The functions turn a sort value into a cursor's `last_value` and back."""

    rows: Sequence[tuple[Any, int]]
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value

    def number(self, row: tuple[Any, int]) -> int:
        return row[1]

    def row_at(self, cursor: Cursor) -> tuple[Any, int]:
        try:
            return self.read(cursor.last_value), cursor.last_id
        except (TypeError, ValueError, ArithmeticError):
            raise bad_request("Malformed cursor") from None

    def cursor(self, row: tuple[Any, int], item: T) -> Cursor:
        return Cursor(row[1], self.write(row[0]))


class _Numbered(Protocol):
    number: int


N = TypeVar("N", bound=_Numbered)


def page_of(items: Sequence[N], arguments: Mapping[str, Any], *, reverse: bool = False) -> Connection[N]:
    """One page of a short list that is in the order of its numbers."""
    window = Window.of(arguments, reverse=reverse)
    by_number = {item.number: item for item in items}
    ordering: ByNumber[N] = ByNumber([item.number for item in items])
    return page(ordering, window, by_number.get)
