"""Writes a mapping file to start from: what was found out about a card file, and what a person has to say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mappings.lifecycle import CardStatus
from mappings.sentences import say
from sync.importer.files import FileProblem, naming
from sync.importer.sheet_file import WORKBOOK, Sheet, open_sheet
from sync.importer.sheets import cells
from sync.importer.sheets.formats import DEFAULT, Field, columns_of, recognise, suggests
from sync.importer.sheets.records import Record
from sync.importer.sheets.rows import SheetError, header_of, is_blank, is_hint, names_in

#: More words than these are no statuses.
_STATUS_WORDS_MAX: Final = 30
_ENCODINGS: Final = {"utf-8-sig": "utf-8", "utf-16": "utf-16", "cp1252": "cp1252"}
_FIELDS: Final = (
    *(Field.NUMBER, Field.BALANCE, Field.STATUS, Field.VALID_TO, Field.CURRENCY, Field.CVC, Field.ENABLED),
    *(Field.ARCHIVED, Field.BRAND, Field.STORE, Field.LEGACY_NUMBER, Field.NOTE, Field.POOL),
)


def layout_text(path: Path) -> str:
    """The mapping file as text. Raises FileProblem for a file without names of columns."""
    with naming(path):
        sheet = open_sheet(path)
        header, line, delimiter = _header(sheet)
        columns = columns_of(recognise(header) or DEFAULT, header)
        columns = {what: at for what, at in columns.items() if what in _FIELDS}
        words = _words(sheet, delimiter, line, columns.get(Field.STATUS))
    names = [name.strip() for name in header]
    rest = [name for at, name in enumerate(names) if name and at not in columns.values()]
    lines = [
        f"# How to read {path.name}. Check it, then:",
        f"#   giftsync import plan --pos {path.name} --format THIS_FILE.toml",
        f"name = {_text(path.stem)}",
        'amounts = "decimal"          # or "minor": 50000 for 500.00',
        '# dates = "DD.MM.YY"         # when that is unclear; also "Mon D, YYYY" or "day first"',
    ]
    if sheet.encoding != WORKBOOK:
        lines.append(f"delimiter = {_text(delimiter)}")
        if sheet.encoding in _ENCODINGS:
            lines.append(f"encoding = {_text(_ENCODINGS[sheet.encoding])}")
    lines += ["", *_ignored(rest), "", "[columns]"]
    for what in _FIELDS:
        if what in columns:
            lines.append(f"{what.value} = {_text(names[columns[what]])}")
        elif what in (Field.NUMBER, Field.BALANCE):
            lines.append(f"# {what.value} = ?        # it must be one of the columns below")
    lines += [f"# ? = {_text(name)}{_sounds(name)}" for name in rest]
    free = ", ".join(what.value for what in _FIELDS if what not in columns)
    lines += [f"# fields that are free: {free}", "", *_statuses(words)]
    return "\n".join(lines) + "\n"


def _header(sheet: Sheet) -> tuple[tuple[str, ...], int, str]:
    """The header, its line and the delimiter: of a known layout, else the line with most names."""
    head = sheet.head()
    try:
        _, header, line, delimiter = header_of(head, None)
    except SheetError:
        best = names_in(head)
        for delimiter, records in head.items():
            for record in records:
                if not _is_data(record) and tuple(c.strip() for c in record.cells if c.strip()) == best:
                    return tuple(record.cells), record.line, delimiter
        raise FileProblem(say("no line names the columns; write one above the rows"), sheet.path) from None
    return header, line, delimiter


def _is_data(record: Record) -> bool:
    return bool(record.broken) or is_blank(record.cells) or is_hint(record.cells)


def _words(sheet: Sheet, delimiter: str, header_line: int, position: int | None) -> Sequence[str]:
    """The words of the status column. None with digits: that would be a number in the wrong column."""
    found: dict[str, None] = {}
    for record in sheet.records(delimiter):
        if position is None or record.line <= header_line or position >= len(record.cells):
            continue
        word = cells.bare(record.cells[position])
        if word and not any(c.isdigit() for c in word):
            found[word] = None
        if len(found) > _STATUS_WORDS_MAX:
            return []
    return list(found)


def _ignored(rest: Sequence[str]) -> list[str]:
    loud = [name for name in rest if suggests(name)]
    if not loud:
        return []
    return [
        "# These sound as if they mattered. Say below what they are, or that they do not matter:",
        f"# ignore = [{', '.join(map(_text, loud))}]",
    ]


def _sounds(name: str) -> str:
    what = suggests(name)
    return f"        # sounds like {what}" if what else ""


def _statuses(words: Sequence[str]) -> list[str]:
    if not words:
        return []
    known: Mapping[str, CardStatus] = DEFAULT.statuses
    lines = ["[statuses]                   # each is inactive, active, suspended or closed"]
    for word in words:
        status = known.get(word.lower())
        lines.append(f"{_text(word)} = {_text(status.value)}" if status else f'{_text(word)} = "?"')
    return lines


def _text(value: str) -> str:
    """A TOML text: JSON's escapes are TOML's, too."""
    return json.dumps(value, ensure_ascii=False)
