"""Opens any file of rows: text in any encoding, a workbook, either of them in gzip. Read twice, never held.

A workbook is read by python-calamine, which takes .xlsx, .xls, .xlsb and .ods alike.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from python_calamine import CalamineError, PasswordError, load_workbook

from mappings.sentences import say
from sync.importer.sheets.records import Record, records_of
from sync.importer.sheets.rows import DELIMITERS, HEAD_LINES, is_blank
from sync.importer.sheets.text import EncodingFinder, NotText

_CHUNK_BYTES: Final = 1 << 20
#: A longer line is no row of cards. It is cut, so that it is one bad row and is never held whole.
_LINE_CHARS_MAX: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
#: A cell of a workbook keeps so many digits.
_EXACT_DIGITS: Final = 15
#: The name that is given as the encoding of a workbook.
WORKBOOK: Final = "workbook"


@dataclass(frozen=True)
class Sheet:
    """The rows of one file. `content` stands in for a file that is read from standard input."""

    path: Path
    content: bytes | None = field(default=None, repr=False)
    #: Of text; found by looking.
    encoding: str = ""
    #: Of a workbook; read once.
    rows: Sequence[Sequence[str]] | None = field(default=None, repr=False)

    def records(self, delimiter: str) -> Iterator[Record]:
        """Every row. A workbook has cells already, whatever the delimiter."""
        if self.rows is not None:
            yield from (Record(line, list(row)) for line, row in enumerate(self.rows, start=1))
            return
        with self._text() as file:
            yield from records_of(_lines(file), delimiter)

    def head(self, delimiters: Sequence[str] = DELIMITERS) -> Mapping[str, Sequence[Record]]:
        """The first rows, as each delimiter splits them."""
        if self.rows is not None:
            return {delimiters[0]: list(islice(self.records(""), HEAD_LINES))}
        with self._text() as file:
            lines = list(islice(_lines(file), HEAD_LINES))
        if lines and len(lines[0]) == _LINE_CHARS_MAX:
            raise NotText(say("it begins with a line longer than a megabyte, so it is no table of cards."))
        return {one: list(records_of(lines, one)) for one in delimiters}

    @contextmanager
    def _text(self) -> Iterator[io.TextIOWrapper]:
        with (
            _binary(self.path, self.content) as file,
            io.TextIOWrapper(file, encoding=self.encoding, newline="") as text,
        ):
            yield text


def open_sheet(path: Path, encoding: str | None = None, content: bytes | None = None) -> Sheet:
    """Find out what the file is. Raises NotText, OSError or UnicodeError."""
    with _binary(path, content) as file:
        head = file.read(8)
        if head.startswith(_WORKBOOKS):
            return Sheet(path, content, WORKBOOK, _rows_of_workbook(head + file.read()))
        if encoding is not None:
            return Sheet(path, content, encoding)
        finder = EncodingFinder()
        finder.feed(head + file.read(_CHUNK_BYTES))
        while chunk := file.read(_CHUNK_BYTES):
            finder.feed(chunk)
    return Sheet(path, content, finder.encoding())


@contextmanager
def _binary(path: Path, content: bytes | None) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked if they are in gzip."""
    with path.open("rb") if content is None else io.BytesIO(content) as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        if not packed:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked  # type: ignore[misc]
        except (EOFError, gzip.BadGzipFile) as error:
            raise NotText(say("it is a damaged gzip file. Pack it again.")) from error


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    """Lines, each no longer than a row may be; the rest of a longer one is passed over."""
    while line := file.readline(_LINE_CHARS_MAX):
        if len(line) == _LINE_CHARS_MAX and line[-1] not in "\r\n":
            while (rest := file.readline(_LINE_CHARS_MAX)) and rest[-1] not in "\r\n":
                pass
        yield line


# --- Workbooks ----------------------------------------------------------------------------------------------


def _rows_of_workbook(content: bytes) -> list[list[str]]:
    """The rows of the only sheet that has any."""
    try:
        with load_workbook(io.BytesIO(content)) as book:
            found = {
                name: _rows(book.get_sheet_by_name(name).to_python(skip_empty_area=False))
                for name in book.sheet_names
            }
    except PasswordError:
        raise NotText(say("it is a workbook with a password. Save it without one.")) from None
    except CalamineError:
        words = say("it is a damaged old Excel workbook. Save it as CSV UTF-8.")
        if content[:2] == b"PK":
            words = say("it is an archive or a damaged Excel workbook. Unpack it, or save it as CSV UTF-8.")
        raise NotText(words) from None
    filled = {name: rows for name, rows in found.items() if not all(map(is_blank, rows))}
    if len(filled) > 1:
        names = ", ".join(filled)
        raise NotText(
            say(
                "it has several sheets with rows ({names}). Save the one with the cards as a file of its "
                "own.",
                names=names,
            )
        )
    return next(iter(filled.values()), [])


def _rows(cells: Sequence[Sequence[object]]) -> list[list[str]]:
    return [[_text_of(cell) for cell in row] for row in cells]


def _text_of(cell: object) -> str:
    """A cell as a careful export would write it."""
    match cell:
        case bool():
            return "TRUE" if cell else "FALSE"
        case int():
            return _number_text(float(cell)) if len(str(abs(cell))) > _EXACT_DIGITS else str(cell)
        case float():
            return _number_text(cell)
        case datetime():
            return cell.date().isoformat() if cell.time() == time() else cell.isoformat(sep=" ")
        case date() | time():
            return cell.isoformat()
        case timedelta():
            return str(cell)
    return str(cell)


def _number_text(value: float) -> str:
    """Up to 15 digits as they are; of a longer number the last ones are lost, and it says so itself."""
    if abs(value) >= 10**_EXACT_DIGITS:
        return f"{value:.14E}"
    text = f"{value:.15g}"
    whole, mark, fraction = text.partition(".")
    # Three decimals could be taken for thousands.
    return f"{whole}.{fraction}0" if mark and len(fraction) == 3 else text
