"""Tables as CSV: amounts with a point, texts that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from mappings.money import decimal_from_minor
from sync.books.render.tables import Cell, Table

#: A cell that begins with one of these is a formula to most spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(table: Table) -> bytes:
    """The table in UTF-8 with a byte order mark, by which Excel knows it; lines end as RFC 4180 says."""
    rows = ([_text(table, n, cell) for n, cell in enumerate(row)] for row in table.rows)
    return write_csv([column.title for column in table.columns], rows)


def write_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode("utf-8-sig")


def harmless(text: str) -> str:
    """What a side said, so that a spreadsheet shows it and does not run it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(table: Table, column: int, cell: Cell) -> str:
    if isinstance(cell, int):
        is_money = table.columns[column].kind.is_money
        return decimal_from_minor(cell, table.currency) if is_money else str(cell)
    return harmless(cell)
