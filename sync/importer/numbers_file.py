"""Card numbers from a file or from standard input: one a line, or a table whose header names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mappings.serials import Serial
from sync.importer.files import naming
from sync.importer.sheet_file import Sheet, open_sheet
from sync.importer.sheets import cells
from sync.importer.sheets.formats import NUMBERS, Field
from sync.importer.sheets.records import Record
from sync.importer.sheets.rows import (
    BadCell,
    SheetError,
    Survey,
    header_of,
    is_blank,
    whole_number,
)


@dataclass(frozen=True)
class NumberLine:
    """One line: a number, or the reason why it is none."""

    line: int
    serial: Serial | None
    brand: str = ""
    has_cvc: bool = False
    reason: str = ""


def read_numbers(path: Path, content: bytes | None = None) -> Iterator[NumberLine]:
    """Every number in order; lines that begin with # are remarks. Raises FileProblem for what is no text.

    `content` is what was read from standard input.
    """
    with naming(path):
        sheet = open_sheet(path, None, content)
        header, delimiter = _header(sheet)
        survey = Survey(NUMBERS, *header, delimiter, named=True)
        for record in sheet.records(delimiter):
            if not _is_remark(record):
                survey.look(record)
        # Numbers of a pool are of whatever lengths the till generates.
        habits = replace(survey.habits(), number_length=None)
        for record in sheet.records(delimiter):
            if record.line <= habits.header_line or _is_remark(record):
                continue
            try:
                yield _line_of(
                    record, habits.columns, whole_number(_cell(record, habits.columns, Field.NUMBER), habits)
                )
            except BadCell as bad:
                yield NumberLine(record.line, None, reason=record.broken or str(bad))


def _header(sheet: Sheet) -> tuple[tuple[tuple[str, ...], int], str]:
    """The header with its line, and the delimiter; a plain list is read as if `number` stood above it."""
    head: Mapping[str, Sequence[Record]] = {
        delimiter: [record for record in records if not _is_remark(record)]
        for delimiter, records in sheet.head().items()
    }
    try:
        _, header, line, delimiter = header_of(head, NUMBERS, anywhere=False)
    except SheetError:
        return (("number",), 0), "\t"
    return (header, line), delimiter


def _is_remark(record: Record) -> bool:
    return not record.broken and (is_blank(record.cells) or record.cells[0].startswith("#"))


def _cell(record: Record, columns: Mapping[Field, int], what: Field) -> str:
    position = columns.get(what)
    return "" if position is None or position >= len(record.cells) else cells.bare(record.cells[position])


def _line_of(record: Record, columns: Mapping[Field, int], serial: Serial) -> NumberLine:
    brand, cvc = _cell(record, columns, Field.BRAND), _cell(record, columns, Field.CVC)
    return NumberLine(record.line, serial, brand, bool(cvc))
