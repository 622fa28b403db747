"""The plan as a file that people open, and what they may do to it: take lines out, and nothing else.

No serial is in it: a card shows its last four and a keyed reference. What will be done is in the ledger; the
file says for which rows. It may have been through a spreadsheet: lines are found by plan, row and reference,
and compared by what they mean, whatever the file type, encoding, delimiter, order of columns and way of
writing numbers.
"""

from __future__ import annotations

import codecs
import csv
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest, sha256
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Final

from mappings.money import decimal_from_minor
from mappings.sentences import say
from mappings.serials import mask
from sync.importer.actions import Action
from sync.importer.files import FileProblem, OnProgress, naming, private_file
from sync.importer.sheet_file import Sheet, open_sheet
from sync.importer.sheets import cells
from sync.importer.sheets.cells import CellError, Marks
from sync.importer.sheets.records import Record
from sync.importer.sheets.rows import is_blank
from sync.ledger.imports.rows import Import, Imports, PlanLine, Statement, ref_of

COLUMNS: Final = (
    *("plan", "row", "ref", "action", "reason", "card", "brand", "store", "currency"),
    *("pos_balance", "online_balance", "to_create", "status", "expires", "file", "line"),
)
#: What must say in the file what it says in the ledger.
_AMOUNTS: Final = ("pos_balance", "online_balance", "to_create")
_NEEDED: Final = ("plan", "row", "ref", "action", *_AMOUNTS)
_PAGE: Final = 1_000
_TEXTS_KEPT: Final = 1_024
_LINE_END: Final = "\r\n"
_WRONG_LINES_SHOWN: Final = 5


def write_plan(path: Path, imports: Imports, plan: Import, told: OnProgress = lambda rows: None) -> int:
    """Write every row of the plan; returns how many."""
    written, digest = 0, sha256(codecs.BOM_UTF8)
    with private_file(path, "utf-8-sig") as file:

        def write(text: str) -> None:
            digest.update(text.encode())
            file.write(text)

        write(_as_csv([COLUMNS]))
        cells_of = PlanCells(plan)
        for page in imports.lines(plan):
            # Mostly no cell needs quotes, which the page as a whole tells.
            text = "".join([",".join(cells_of(line)) + _LINE_END for line in page])
            plain = ((len(COLUMNS) - 1) * len(page), 0, len(page), len(page))
            as_is = tuple(map(text.count, (",", '"', "\r", "\n"))) == plain
            write(text if as_is else _as_csv(map(cells_of, page)))
            written += len(page)
            told(written)
    imports.remember_file(plan, digest.hexdigest())
    return written


def _as_csv(rows: Iterable[Sequence[str]]) -> str:
    text = StringIO(newline="")
    csv.writer(text, lineterminator=_LINE_END).writerows(rows)
    return text.getvalue()


def keep_older(path: Path, plan: Import) -> Path | None:
    """Rename another plan that stands in the file, so that a new one does not replace it; where it went."""
    try:
        older = import_id_of(path)
    except FileProblem:
        return None
    if older == plan.id:
        return None
    return path.replace(path.with_name(f"{path.stem}.{older}{path.suffix}"))


class PlanCells:
    """Gives the rows of a plan as text, in the order of COLUMNS."""

    def __init__(self, plan: Import) -> None:
        self._id, self._currency = plan.id, plan.currency
        self._files = {number: harmless(plan_source(plan, number)) for number in range(len(plan.sources))}
        # Of brands and stores there are few.
        self._harmless = lru_cache(_TEXTS_KEPT)(harmless)

    def __call__(self, line: PlanLine) -> list[str]:
        row_id, serial_index, online_id, action, reason, last_chars, brand, store = line[:8]
        pos_minor, online_minor, amount_minor, status, expires_on, source, number = line[8:]
        currency, amount = self._currency, amount_minor or None
        pos = "" if pos_minor is None else decimal_from_minor(pos_minor, currency)
        return [
            self._id,
            str(row_id),
            ref_of(serial_index, online_id),
            action,
            reason,
            mask(last_chars) if last_chars else "",
            self._harmless(brand),
            self._harmless(store),
            currency,
            pos,
            "" if online_minor is None else decimal_from_minor(online_minor, currency),
            pos if amount == pos_minor else money_cell(amount, currency),
            status,
            str(expires_on or ""),
            "" if source is None else self._files.get(source, ""),
            "" if number is None else str(number),
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
        raise FileProblem(say("it has no lines: nothing was planned"), path)
    return cells.bare(first.cells["plan"])


def choose_rows(path: Path, imports: Imports, plan: Import, told: OnProgress = lambda rows: None) -> int:
    """Mark the rows that stand in the file. Raises FileProblem for one that was changed; then none is marked.

    Returns how many do something.
    """
    with naming(path), path.open("rb") as file:
        as_written = file_digest(file, "sha256").hexdigest() == imports.remembered_file(plan)
    if as_written:
        return imports.choose_all(plan, [action for action in Action if action.does_something])
    lines = _lines(path)
    wrong: list[int] = []
    seen = 0
    #: Rows that do something: eight bytes each.
    doing = array("q")
    while page := list(islice(lines, _PAGE)):
        for line, row in _ledgers(imports, plan, page):
            if row is None or not _means_the_same(line.cells, plan, row):
                wrong.append(line.number)
            elif Action(row.action).does_something:
                doing.append(row.id)
        seen += len(page)
        told(seen)
    if wrong:
        shown = ", ".join(map(str, wrong[:_WRONG_LINES_SHOWN])) + (", …" if len(wrong) > 5 else "")
        words = say(
            "lines {lines} are not as they were planned. Lines may be taken out of a plan, not changed; plan "
            "again, or put them back as they were",
            lines=shown,
        )
        raise FileProblem(words, path)
    imports.unchoose(plan)
    for start in range(0, len(doing), _PAGE):
        imports.choose(plan, doing[start : start + _PAGE].tolist())
    return len(doing)


def _ledgers(
    imports: Imports, plan: Import, page: Sequence[_Line]
) -> Iterator[tuple[_Line, Statement | None]]:
    """Each line beside the ledger's row of its number."""
    rows = imports.statements(plan, [line.row for line in page])
    return ((line, rows.get(line.row)) for line in page)


def _means_the_same(cells_here: Mapping[str, str], plan: Import, row: Statement) -> bool:
    words = {"plan": plan.id, "ref": row.ref, "action": row.action}
    amounts = (row.pos_minor, row.online_minor, row.amount_minor or None)
    return all(
        cells_here[name] == word or cells.bare(cells_here[name]).lower() == word
        for name, word in words.items()
    ) and all(
        _is_amount(cells_here[name], minor, plan.currency)
        for name, minor in zip(_AMOUNTS, amounts, strict=True)
    )


def _is_amount(cell: str, minor: int | None, currency: str) -> bool:
    """Whether the cell can be read as this amount: `500`, `500,00`, `1 234.50`."""
    if not cells.bare(cell):
        return minor is None
    if cell == money_cell(minor, currency):
        return True
    for mark in (".", ",", None):
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
                words = say("the line is damaged, or no line of the plan: take it out, or plan again")
                raise FileProblem(words, path, record.line)
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
    words = say("it is no plan of giftsync: no column {names}", names=", ".join(missing))
    raise FileProblem(words, sheet.path, 1)
