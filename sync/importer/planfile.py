"""The plan as a file that people open, and what they may do to it: take lines out, and nothing else.

No serial is in it: a card shows its last four and a keyed reference. What will be done is in the ledger; the
file says for which rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from mappings.money import decimal_from_minor
from mappings.serials import mask
from sync.importer.actions import Action
from sync.importer.files import FileProblem, Told, private_file
from sync.ledger.imports import Import, Imports, Row

COLUMNS: Final = (
    *("plan", "row", "ref", "action", "reason", "card", "brand", "store", "currency"),
    *("pos_balance", "shopify_balance", "to_create", "status", "expires", "file", "line"),
)
#: What must stand in the file as the ledger has it.
_CHECKED: Final = ("action", "pos_balance", "shopify_balance", "to_create")
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
    cells: dict[str, str]


def import_id_of(path: Path) -> str:
    """The plan that a file is of. Raises FileProblem."""
    first = next(_lines(path), None)
    if first is None:
        raise FileProblem(f"{path} has no lines: nothing was planned")
    return first.cells["plan"]


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
        ids = [int(line.cells["row"]) for line in page if Action(line.cells["action"]).does_something]
        imports.choose(plan, ids)
        chosen += len(ids)
    return chosen


def _differing(imports: Imports, plan: Import, page: Sequence[_Line]) -> Iterator[_Line]:
    numbers = [int(line.cells["row"]) for line in page if line.cells["row"].isdigit()]
    rows = imports.rows_by_id(plan, numbers)
    for line in page:
        row = rows.get(int(line.cells["row"])) if line.cells["row"].isdigit() else None
        if row is None or line.cells["plan"] != plan.id:
            yield line
            continue
        planned = dict(zip(COLUMNS, cells_of(plan, row), strict=True))
        if any(line.cells[name] != planned[name] for name in ("ref", *_CHECKED)):
            yield line


def _lines(path: Path) -> Iterator[_Line]:
    """The file's rows by column name. A spreadsheet may have saved it with another delimiter."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = max((",", ";", "\t"), key=first.count)
            header = next(csv.reader([first], delimiter=delimiter), [])
            missing = [name for name in ("plan", "row", "ref", *_CHECKED) if name not in header]
            if missing:
                raise FileProblem(f"{path}:1: it is no plan of giftsync: no column {', '.join(missing)}")
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    raise FileProblem(f"{path}:{reader.line_num + 1}: the line is damaged; plan again")
                yield _Line(reader.line_num + 1, dict(zip(header, cells, strict=True)))
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise FileProblem(f"{path} is damaged or was saved in another encoding; plan again") from None
