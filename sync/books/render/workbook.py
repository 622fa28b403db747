"""A statement as a spreadsheet. Totals are formulas; what they come to is stored with them."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import xlsxwriter
from xlsxwriter.utility import xl_rowcol_to_cell

from mappings.readers import ENGLISH, Reader
from mappings.sentences import marked, say
from sync.books.render.tables import Cell, Kind, Table, facts, headline, spoken, tables_of, title
from sync.books.statement import Statement

WIDTH_MAX = 48
#: Longer names are refused by Excel.
NAME_LENGTH_MAX = 31
_HEAD = 3
_A4 = 9
#: The same bytes each time: the statement says when it was made.
_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)


def workbook_of(statement: Statement, signed: str = "", reader: Reader = ENGLISH) -> bytes:
    """The whole statement, a sheet for each table; the same bytes for the same statement.

    `signed` tells by whom and how it can be checked.
    """
    out = io.BytesIO()
    # Texts come from sides: none of them becomes a formula, a number or a link.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties({"title": title(statement, reader), "created": _NO_DATE.replace(tzinfo=None)})
        formats = _Formats(book)
        _cover(book, formats, statement, signed, reader)
        for table in tables_of(statement, narrow=False):
            _sheet(book, formats, spoken(table, reader))
        pages = reader.said(say("Page {number} of {count}", number="&P", count="&N"))
        for sheet in book.worksheets():
            sheet.hide_gridlines(2)
            sheet.set_landscape()
            sheet.set_paper(_A4)
            sheet.fit_to_pages(1, 0)
            sheet.set_footer(f"&L{title(statement, reader)}&C&A&R{pages}")
    return out.getvalue()


class _Formats:
    def __init__(self, book: Any) -> None:
        self._book = book
        self._made: dict[tuple[object, ...], Any] = {}

    def of(
        self,
        *,
        bold: bool = False,
        exponent: int | None = None,
        blank_zero: bool = False,
        top: bool = False,
        **more: Any,
    ) -> Any:
        """A format; `exponent`: of amounts with so many decimals."""
        key = (bold, exponent, blank_zero, top, *sorted(more.items()))
        if key not in self._made:
            properties: dict[str, Any] = {"bold": bold, **more}
            if exponent is not None:
                decimals = f".{'0' * exponent}" if exponent else ""
                zero = ";" if blank_zero else ""
                properties["num_format"] = f"#,##0{decimals};[Red]-#,##0{decimals}{zero}"
            if top:
                properties["top"] = 1
            self._made[key] = self._book.add_format(properties)
        return self._made[key]


def _cover(book: Any, formats: _Formats, statement: Statement, signed: str, reader: Reader) -> None:
    sheet = book.add_worksheet(reader.said(marked("Statement")))
    sheet.set_column(0, 0, 16)
    sheet.set_column(1, 1, 90)
    sheet.write_string(0, 0, title(statement, reader), formats.of(bold=True, font_size=14))
    row = 2
    for sentence in headline(statement, reader):
        sheet.write_string(row, 0, sentence, formats.of(bold=True))
        row += 1
    row += 1
    by = [(reader.said(marked("Signed")), reader.said(signed))] if signed else []
    told = [*facts(statement, reader), *by]
    for name, value in told:
        sheet.write_string(row, 0, name, formats.of(valign="top"))
        sheet.write_string(row, 1, value, formats.of(text_wrap=True, valign="top"))
        row += 1


def _sheet(book: Any, formats: _Formats, table: Table) -> None:
    sheet = book.add_worksheet(table.name[:NAME_LENGTH_MAX])
    sheet.write_string(0, 0, table.title, formats.of(bold=True, font_size=12))
    if table.note:
        sheet.write_string(1, 0, table.note, formats.of(italic=True, font_color="#555555"))
    for n, column in enumerate(table.columns):
        align = "right" if column.kind.is_number else "left"
        look = formats.of(bold=True, bottom=1, text_wrap=True, align=align)
        sheet.write_string(_HEAD - 1, n, column.title, look)
        sheet.set_column(n, n, _width(table, n))
    for number, row in enumerate(table.rows):
        for n, cell in enumerate(row):
            _write(sheet, formats, table, number, n, cell)
    sheet.freeze_panes(_HEAD, 1)
    sheet.repeat_rows(0, _HEAD - 1)
    # Codes of accounts are texts, and Excel would mark each as a number that is none.
    last = xl_rowcol_to_cell(_HEAD + len(table.rows), len(table.columns))
    sheet.ignore_errors({"number_stored_as_text": f"A1:{last}"})


def _write(sheet: Any, formats: _Formats, table: Table, number: int, n: int, cell: Cell) -> None:
    is_last = table.sums_down and number == len(table.rows) - 1
    at = (_HEAD + number, n)
    kind = table.columns[n].kind
    if kind is Kind.DATE and not is_last:
        day = datetime.fromisoformat(str(cell))
        sheet.write_datetime(*at, day, formats.of(num_format="yyyy-mm-dd", align="left"))
        return
    if isinstance(cell, str) or kind is Kind.TEXT:
        sheet.write_string(*at, str(cell), formats.of(bold=is_last, top=is_last))
        return
    if kind is Kind.ID:
        sheet.write_number(*at, cell, formats.of(num_format="0", align="left"))
        return
    exponent = table.exponent if kind.is_money else 0
    value = Decimal(cell).scaleb(-exponent)
    formula = _formula(table, number, n, is_last=is_last)
    across = table.sums_across and n == len(table.columns) - 1
    blank = kind is Kind.POSTED
    look = formats.of(bold=is_last or across, exponent=exponent, blank_zero=blank, top=is_last)
    if formula:
        sheet.write_formula(*at, formula, look, value)
    else:
        sheet.write_number(*at, value, look)


def _formula(table: Table, number: int, n: int, *, is_last: bool) -> str:
    """Totals of whatever stands above, or else to the left."""
    if is_last and number:
        above = xl_rowcol_to_cell(_HEAD, n), xl_rowcol_to_cell(_HEAD + number - 1, n)
        return f"=SUM({':'.join(above)})"
    if table.sums_across and n == len(table.columns) - 1:
        left = xl_rowcol_to_cell(_HEAD + number, 1), xl_rowcol_to_cell(_HEAD + number, n - 1)
        return f"=SUM({':'.join(left)})"
    return ""


def _width(table: Table, n: int) -> int:
    """Wide enough for the longest cell, within reason."""
    cells = [str(row[n]) for row in table.rows] + [table.columns[n].title]
    longest = max(len(cell) for cell in cells)
    room = 6 if table.columns[n].kind.is_money else 2
    return max(10, min(longest + room, WIDTH_MAX))
