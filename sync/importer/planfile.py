"""The plan as a file that people open, and what they may do to it: take lines out, and nothing else.

No serial is in it: a card shows its last four and a keyed reference. What will be done is in the ledger; the
file says for which rows. It may have been through a spreadsheet: lines are found by plan, row and reference,
and compared by what they mean, whatever the file type, encoding, delimiter, order of columns and way of
writing numbers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from mappings.money import decimal_from_minor
from mappings.serials import mask
from sync.importer.actions import Action
from sync.importer.files import FileProblem, Told, naming, private_file
from sync.importer.sheet_file import Sheet, open_sheet
from sync.importer.sheets import cells
from sync.importer.sheets.cells import CellError, Marks
from sync.importer.sheets.records import Record
from sync.importer.sheets.rows import is_blank
from sync.ledger.imports.rows import Import, Imports, Row

COLUMNS: Final = (
    *("plan", "row", "ref", "action", "reason", "card", "brand", "store", "currency"),
    *("pos_balance", "shopify_balance", "to_create", "status", "expires", "file", "line"),
)
#: What must say in the file what it says in the ledger.
_AMOUNTS: Final = ("pos_balance", "shopify_balance", "to_create")
_NEEDED: Final = ("plan", "row", "ref", "action", *_AMOUNTS)
_PAGE: Final = 1_000
_WRONG_LINES_SHOWN: Final = 5


def write_plan(path: Path, imports: Imports, plan: Import, told: Told = lambda rows: None) -> int:
    """Write every row of the plan; returns how many."""
    written = 0
    with private_file(path, "utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in imports.rows(plan):
            writer.writerow(cells_of(plan, row))
            written += 1
            if written % _PAGE == 0:
                told(written)
    return written


def keep_older(path: Path, plan: Import) -> Path | None:
    """Rename another plan that stands in the file, so that a new one does not replace it; where it went."""
    try:
        older = import_id_of(path)
    except FileProblem:
        return None
    if older == plan.id:
        return None
    return path.replace(path.with_name(f"{path.stem}.{older}{path.suffix}"))


def cells_of(plan: Import, row: Row) -> list[str]:
    """One row as text, in the order of COLUMNS."""
    source = "" if row.source is None else str(plan_source(plan, row.source))
    return [
        plan.id,
        str(row.id),
        row.ref,
        row.action,
        row.reason,
        mask(row.last_chars) if row.last_chars else "",
        harmless(row.brand),
        harmless(row.store),
        plan.currency,
        money_cell(row.pos_minor, plan.currency),
        money_cell(row.online_minor, plan.currency),
        money_cell(row.amount_minor or None, plan.currency),
        row.status,
        row.expires_on.isoformat() if row.expires_on else "",
        harmless(source),
        "" if row.line is None else str(row.line),
    ]


def plan_source(plan: Import, number: int) -> str:
    """The name of one of the plan's files."""
    return str(plan.sources[number]["file"]) if number < len(plan.sources) else ""


def money_cell(minor: int | None, currency: str) -> str:
    return "" if minor is None else decimal_from_minor(minor, currency)


def harmless(text: str) -> str:
    """What others wrote, so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


@dataclass(frozen=True)
class _Line:
    number: int
    row: int
    cells: dict[str, str]


def import_id_of(path: Path) -> str:
    """The plan that a file is of. Raises FileProblem."""
    first = next(_lines(path), None)
    if first is None:
        raise FileProblem(f"{path} has no lines: nothing was planned")
    return cells.bare(first.cells["plan"])


def choose_rows(path: Path, imports: Imports, plan: Import, told: Told = lambda rows: None) -> int:
    """Mark the rows that stand in the file. Raises FileProblem for one that was changed; then none is marked.

    Returns how many do something.
    """
    lines = _lines(path)
    wrong: list[int] = []
    doing = 0
    while page := list(islice(lines, _PAGE)):
        wrong += [line.number for line in _differing(imports, plan, page)]
        doing += len(page)
        told(doing)
    if wrong:
        shown = ", ".join(map(str, wrong[:_WRONG_LINES_SHOWN])) + (", …" if len(wrong) > 5 else "")
        raise FileProblem(
            f"{path}: lines {shown} are not as they were planned. Lines may be taken out of a plan, not "
            "changed; plan again, or put them back as they were"
        )
    imports.unchoose(plan)
    chosen, lines = 0, _lines(path)
    while page := list(islice(lines, _PAGE)):
        doing_words = [(line.row, Action(cells.bare(line.cells["action"]).lower())) for line in page]
        ids = [row for row, action in doing_words if action.does_something]
        imports.choose(plan, ids)
        chosen += len(ids)
    return chosen


def _differing(imports: Imports, plan: Import, page: Sequence[_Line]) -> Iterator[_Line]:
    rows = imports.rows_by_id(plan, [line.row for line in page])
    for line in page:
        row = rows.get(line.row)
        if row is None or not _means_the_same(line.cells, plan, row):
            yield line


def _means_the_same(cells_here: Mapping[str, str], plan: Import, row: Row) -> bool:
    words = {"plan": plan.id, "ref": row.ref, "action": row.action}
    amounts = (row.pos_minor, row.online_minor, row.amount_minor or None)
    return all(cells.bare(cells_here[name]).lower() == word for name, word in words.items()) and all(
        _is_amount(cells_here[name], minor, plan.currency)
        for name, minor in zip(_AMOUNTS, amounts, strict=True)
    )


def _is_amount(cell: str, minor: int | None, currency: str) -> bool:
    """Whether the cell can be read as this amount: `500`, `500,00`, `1 234.50`."""
    if not cells.bare(cell):
        return minor is None
    for mark in (None, ".", ","):
        try:
            if cells.amount(cell, currency, Marks(mark)) == minor:
                return True
        except CellError:
            continue
    return False


# --- Reading ------------------------------------------------------------------------------------------------

#: What a spreadsheet puts into a whole number: decimals, and marks of thousands.
_DECIMALS: Final = re.compile(r"[.,]0{1,2}$")
_MARKS: Final = re.compile(r"[\s\u00a0\u202f.,']")


def _lines(path: Path) -> Iterator[_Line]:
    """The file's rows by column name."""
    with naming(path):
        sheet = open_sheet(path)
        header, delimiter = _header(sheet)
        names = [name.strip().lower() for name in header.cells]
        for record in sheet.records(delimiter):
            if record.line <= header.line or (not record.broken and is_blank(record.cells)):
                continue
            padded = record.cells + [""] * (len(names) - len(record.cells))
            found = dict(zip(names, padded, strict=False))
            row = _MARKS.sub("", _DECIMALS.sub("", cells.bare(found.get("row", ""))))
            if record.broken or not is_blank(padded[len(names) :] or [""]) or not row.isdecimal():
                raise FileProblem(
                    f"{path}:{record.line}: the line is damaged, or no line of the plan: take it out, or "
                    "plan again"
                )
            yield _Line(record.line, int(row[:18]), found)


def _header(sheet: Sheet) -> tuple[Record, str]:
    """The record that names the columns, and the delimiter."""
    missing: list[str] = list(_NEEDED)
    for delimiter, records in sheet.head().items():
        for record in records:
            names = {name.strip().lower() for name in record.cells}
            lacking = [name for name in _NEEDED if name not in names]
            if not lacking:
                return record, delimiter
            missing = min(missing, lacking, key=len)
    raise FileProblem(f"{sheet.path}:1: it is no plan of giftsync: no column {', '.join(missing)}")
