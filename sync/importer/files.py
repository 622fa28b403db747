"""Card files on disk: read twice, never held; their rejects are written back, to be corrected."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TextIO

from mappings.sentences import in_a_row, say
from sync.importer.problem import FileProblem as FileProblem
from sync.importer.sheet_file import WORKBOOK, Sheet, open_sheet
from sync.importer.sheets.custom import MappingError, date_habit, read_mapping
from sync.importer.sheets.formats import FORMATS, Format, Role, format_named, key_of
from sync.importer.sheets.rows import (
    DELIMITERS,
    REJECT_COLUMNS,
    FileCard,
    FileTotal,
    Habits,
    OnlineCard,
    Reject,
    SheetError,
    Survey,
    Terms,
    header_of,
    read_cards,
    read_pools,
)
from sync.importer.sheets.text import NotText
from sync.ledger.database.private_files import open_private

_PROGRESS_ROWS: Final = 20_000
AUTO: Final = "auto"

OnProgress = Callable[[int], None]


@dataclass(frozen=True)
class Stated:
    """What a person says of a file beside its layout."""

    #: Names of columns that say nothing more, though they sound like it.
    ignored: frozenset[str] = frozenset()
    #: `day first`, `month first` or a form such as `DD.MM.YY`.
    dates: str | None = None
    mixed_lengths: bool = False

    def applied_to(self, layout: Format) -> Format:
        """Raises FileProblem for dates that are no form."""
        changed = replace(layout, ignored=layout.ignored | frozenset(map(key_of, self.ignored)))
        if self.mixed_lengths:
            changed = replace(changed, mixed_lengths=True)
        if self.dates is None:
            return changed
        try:
            day_first, form = date_habit(self.dates)
        except MappingError as error:
            raise FileProblem(error.args[0], commands="--dates takes it") from None
        return replace(changed, day_first=day_first, date_form=form)


NOTHING_STATED: Final = Stated()


@dataclass(frozen=True)
class CardFile:
    """A file that was looked through once and can be read."""

    path: Path
    sheet: Sheet
    habits: Habits

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def encoding(self) -> str:
        return self.sheet.encoding

    @property
    def role(self) -> Role:
        return self.habits.layout.role

    def cards(self, terms: Terms) -> Iterator[FileCard | OnlineCard | Reject | FileTotal]:
        """Every data row as a card, a reject or a total. Raises FileProblem."""
        with naming(self.path):
            yield from read_cards(self.sheet.records(self.habits.delimiter), self.habits, terms)

    def pools(self) -> dict[str, bool]:
        with naming(self.path):
            return read_pools(self.sheet.records(self.habits.delimiter), self.habits)

    def check_columns(self) -> None:
        """Raises FileProblem when a column that sounds as if it mattered is not read."""
        if self.habits.suggesting:
            told = (
                say("{name} (sounds like {what})", name=name, what=say(what))
                for name, what in self.habits.suggesting
            )
            names = " ".join(f'--ignore "{name}"' for name, _ in self.habits.suggesting)
            raise FileProblem(
                say(
                    "these columns are not read, and cards could be taken wrongly without them: {columns}",
                    columns=in_a_row(told, ", "),
                ),
                self.path,
                commands=f"`giftsync import layout {self.path}` writes a mapping file in which you say what "
                f"they are; or say that they do not matter: {names}",
            )

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
        with private_file(path, "utf-8-sig") as out:
            delimiter = "," if self.encoding == WORKBOOK else self.habits.delimiter
            writer = csv.writer(out, delimiter=delimiter)
            writer.writerow([*header, *REJECT_COLUMNS])
            for line, row, _ in self.sheet.records(self.habits.delimiter):
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
            say(
                "“{name}” is no layout: use {names}, or the path of a mapping file (.toml)",
                name=name,
                names=f"{AUTO}, {names}",
            )
        )
    try:
        return read_mapping(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise _unreadable(path, error) from None
    except (MappingError, UnicodeDecodeError) as error:
        words = error.args[0] if isinstance(error, MappingError) else say("it is not UTF-8")
        raise FileProblem(words, path) from None


def open_card_file(
    path: Path,
    layout: Format | None,
    told: OnProgress = lambda rows: None,
    stated: Stated = NOTHING_STATED,
    content: bytes | None = None,
) -> CardFile:
    """Look through a file once: its encoding, layout and habits. Raises FileProblem.

    `content` is what was read from standard input, under the name `path`.
    """
    with naming(path):
        sheet = open_sheet(path, None if layout is None else layout.encoding, content)
        own = None if layout is None else layout.delimiter
        chosen, header, line, delimiter = header_of(sheet.head(DELIMITERS if own is None else (own,)), layout)
        survey = Survey(stated.applied_to(chosen), header, line, delimiter, named=layout is not None)
        for count, record in enumerate(sheet.records(delimiter), start=1):
            survey.look(record)
            if count % _PROGRESS_ROWS == 0:
                told(count)
        habits = survey.habits()
        if not habits.rows:
            raise SheetError(say("the file names its columns, and has no rows below them"), line)
        return CardFile(path, sheet, habits)


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
        raise FileProblem(say("it cannot be written: {why}", why=error.strerror), path) from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors as FileProblem, with the file's name and line."""
    try:
        yield
    except SheetError as error:
        raise FileProblem(error.args[0], path, error.line, error.commands) from None
    except NotText as error:
        raise FileProblem(error.args[0], path) from None
    except UnicodeError:
        words = say("it is damaged: not all of it is text. Save it as CSV UTF-8.")
        raise FileProblem(words, path) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> FileProblem:
    return FileProblem(say("it cannot be read: {why}", why=error.strerror), path)
