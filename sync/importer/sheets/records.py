"""Split lines of text into records of cells; a broken record takes no other one with it. Pure."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

#: A quoted cell may hold line breaks. One with more of them is a quote that never closes.
LINES_IN_RECORD_MAX: Final = 200
#: Lines that are split at once: few enough that the longest ones fit into memory.
_LINES_AT_ONCE: Final = 50


class Record(NamedTuple):
    """The cells of one record, and the line of the file that it begins on, from 1.

    `broken` is the reason when the line could not be split; then there are no cells.
    """

    line: int
    cells: list[str]
    broken: str = ""


class _TooManyLines(Exception):
    pass


class _Lines(Iterator[str]):
    """The file's lines, with those of the record at hand kept, to be read again."""

    def __init__(self, lines: Iterable[str], number: int) -> None:
        """`number` is the line before the first."""
        self._source = iter(lines)
        self.again: deque[str] = deque()
        self.of_record: list[str] = []
        self.number = number

    def __next__(self) -> str:
        if len(self.of_record) >= LINES_IN_RECORD_MAX:
            raise _TooManyLines
        line = self.again.popleft() if self.again else next(self._source)
        self.of_record.append(line)
        self.number += 1
        return line

    def keep(self, count: int) -> None:
        """Only the first lines belong to the record; the others are read again."""
        rest = self.of_record[count:]
        self.again.extendleft(reversed(rest))
        self.number -= len(rest)


def records_of(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    """Every record in order. Quotes inside a quoted cell are doubled or stand behind a backslash."""
    source, number = iter(lines), 0
    ahead: list[str] = []
    while some := ahead + list(islice(source, max(0, _LINES_AT_ONCE - len(ahead)))):
        rows = _one_a_line(some, delimiter)
        if rows is not None:
            ahead = []
            for cells in rows:
                number += 1
                yield Record(number, cells)
            continue
        feed = _Lines(chain(some, source), number)
        yield from _one_by_one(feed, delimiter, number + len(some))
        number, ahead = feed.number, list(feed.again)


def _one_a_line(lines: Sequence[str], delimiter: str) -> list[list[str]] | None:
    """The cells of lines that are a whole record each, as nearly all are; None when some is not."""
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows if len(rows) == len(lines) else None


def _one_by_one(feed: _Lines, delimiter: str, until: int) -> Iterator[Record]:
    """The records that begin in the lines up to `until`."""
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while feed.number < until:
        feed.of_record = []
        begins = feed.number + 1
        try:
            yield Record(begins, next(reader))
        except StopIteration:
            return
        except (csv.Error, _TooManyLines) as error:
            cells = _with_backslashes(feed, delimiter)
            if cells is None:
                feed.keep(1)
                yield Record(begins, [], _reason(error))
            else:
                yield Record(begins, cells)


def _with_backslashes(feed: _Lines, delimiter: str) -> list[str] | None:
    r"""The record as one whose quotes are written `\"`, and how many lines it then has."""
    for count in range(1, len(feed.of_record) + 1):
        lines = feed.of_record[:count]
        if '\\"' not in lines[-1]:
            return None
        try:
            (cells,) = csv.reader(lines, delimiter=delimiter, escapechar="\\", strict=True)
        except (csv.Error, ValueError):
            continue
        feed.keep(count)
        return cells
    return None


def _reason(error: Exception) -> str:
    if "field larger" in str(error):
        return f"a cell of the row is longer than {csv.field_size_limit():,} characters"
    if isinstance(error, _TooManyLines) or "end of data" in str(error):
        return "a quote that opens here never closes"
    return "a quote that opens here is not closed, or a quote stands inside a value"
