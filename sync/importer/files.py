"""Card files on disk: read twice, never held; their rejects are written back, to be corrected."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TextIO

from mappings.sheets.custom import MappingError, read_mapping
from mappings.sheets.formats import FORMATS, Format, Role, format_named
from mappings.sheets.rows import (
    REJECT_COLUMNS,
    FileCard,
    Habits,
    OnlineCard,
    Reject,
    SheetError,
    Survey,
    Terms,
    header_of,
    read_cards,
    read_pools,
    rows_of,
)
from mappings.sheets.text import EncodingFinder, NotText
from sync.ledger.private_files import open_private

_CHUNK_BYTES: Final = 1 << 20
#: A longer line is no row of cards, and would have to be held whole.
_LINE_BYTES_MAX: Final = 1 << 20
_HEAD_LINES: Final = 20
_PROGRESS_ROWS: Final = 20_000
AUTO: Final = "auto"

Told = Callable[[int], None]


class FileProblem(Exception):
    """A file cannot be used; the message names it, the line where there is one, and what to do."""


@dataclass(frozen=True)
class CardFile:
    """A file that was looked through once and can be read."""

    path: Path
    encoding: str
    habits: Habits

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def role(self) -> Role:
        return self.habits.layout.role

    def cards(self, terms: Terms) -> Iterator[FileCard | OnlineCard | Reject]:
        """Every data row as a card or a reject. Raises FileProblem."""
        with _naming(self.path), _opened(self.path, self.encoding) as file:
            yield from read_cards(rows_of(file, self.habits.delimiter), self.habits, terms)

    def pools(self) -> dict[str, bool]:
        with _naming(self.path), _opened(self.path, self.encoding) as file:
            return read_pools(rows_of(file, self.habits.delimiter), self.habits)

    def write_rejects(self, path: Path, rejects: Iterable[tuple[int, str, str]]) -> int:
        """Copy the rows on the given lines to `path`, with line, column and reason; returns how many.

        `rejects` is sorted by line. The copy has the layout of the file, so it can be corrected and imported.
        It holds whole card numbers, as the file does: only its owner may read it.
        """
        wanted = iter(rejects)
        next_one = next(wanted, None)
        if next_one is None:
            path.unlink(missing_ok=True)
            return 0
        written = 0
        header = [name for name in self.habits.header if name not in REJECT_COLUMNS]
        with private_file(path, "utf-8-sig") as out, _opened(self.path, self.encoding) as file:
            writer = csv.writer(out, delimiter=self.habits.delimiter)
            writer.writerow([*header, *REJECT_COLUMNS])
            for line, row in rows_of(file, self.habits.delimiter):
                while next_one is not None and next_one[0] < line:
                    next_one = next(wanted, None)
                if next_one is None:
                    break
                if next_one[0] == line:
                    cells = (row + [""] * len(header))[: max(len(header), len(row) - self._extra)]
                    writer.writerow([*cells, *map(str, next_one)])
                    written += 1
        return written

    @property
    def _extra(self) -> int:
        """How many of giftsync's own columns a file of rejects that is read again ends with."""
        return sum(name in REJECT_COLUMNS for name in self.habits.header)


def layout_of(name: str) -> Format | None:
    """A layout by name, a mapping file by path, or None for `auto`. Raises FileProblem."""
    if name == AUTO:
        return None
    known = format_named(name)
    if known is not None:
        return known
    path = Path(name)
    if path.suffix.lower() != ".toml":
        names = ", ".join(one.name for one in FORMATS)
        raise FileProblem(
            f"{name!r} is no layout: use {AUTO}, {names}, or the path of a mapping file (.toml)"
        )
    try:
        return read_mapping(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror}") from None
    except (MappingError, UnicodeDecodeError) as error:
        words = str(error) if isinstance(error, MappingError) else "it is not UTF-8"
        raise FileProblem(f"{path}: {words}") from None


def open_card_file(path: Path, layout: Format | None, told: Told = lambda rows: None) -> CardFile:
    """Look through a file once: its encoding, layout and habits. Raises FileProblem."""
    with _naming(path):
        encoding = layout.encoding if layout is not None and layout.encoding else _encoding_of(path)
        with _opened(path, encoding) as file:
            chosen, header, line, delimiter = header_of(list(islice(file, _HEAD_LINES)), layout)
        survey = Survey(chosen, header, line, delimiter)
        with _opened(path, encoding) as file:
            for count, (at, row) in enumerate(rows_of(file, delimiter), start=1):
                survey.look(at, row)
                if count % _PROGRESS_ROWS == 0:
                    told(count)
        return CardFile(path, encoding, survey.habits())


@contextmanager
def private_file(path: Path, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Write a file that only its owner can read. It takes its name when it is whole, never before."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = open_private(partial, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(descriptor, "w", encoding=encoding, newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise FileProblem(f"{path} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _encoding_of(path: Path) -> str:
    finder, since_newline = EncodingFinder(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            finder.feed(chunk)
            newline = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            since_newline = len(chunk) - newline if newline >= 0 else since_newline + len(chunk)
            if since_newline > _LINE_BYTES_MAX:
                raise NotText("it has a line longer than a megabyte, so it is no table of cards.")
    return finder.encoding()


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[TextIO]:
    with path.open(encoding=encoding, newline="") as file:
        yield file


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors as FileProblem, with the file's name and line."""
    try:
        yield
    except SheetError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise FileProblem(f"{where}: {error}") from None
    except NotText as error:
        raise FileProblem(f"{path}: {error}") from None
    except UnicodeError:
        raise FileProblem(f"{path} is damaged: not all of it is text. Save it as CSV UTF-8.") from None
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror}") from None
