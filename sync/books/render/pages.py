"""A statement as pages to print (PDF); the same bytes for the same statement."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer
from reportlab.platypus import Table as Grid

from mappings.readers import ENGLISH, Reader
from mappings.sentences import say
from sync.books.render.fonts import BOLD, PLAIN, printable, registered
from sync.books.render.tables import Table, facts, headline, shown, spoken, tables_of, title
from sync.books.statement import Statement

MARGIN = 18 * mm
#: Within the margins; reportlab's own.
FRAME_PADDING = 6
#: Tables with more rows may break over pages.
ROWS_TOGETHER_MAX = 30
_INK = colors.HexColor("#1d2733")
_PALE = colors.HexColor("#5b6673")
_RULE = colors.HexColor("#b8c0c8")

_BODY = ParagraphStyle("body", fontName=PLAIN, fontSize=8.5, leading=11, textColor=_INK)
_RIGHT = ParagraphStyle("right", parent=_BODY, alignment=TA_RIGHT)
_BOLD = ParagraphStyle("bold", parent=_BODY, fontName=BOLD)
_BOLD_RIGHT = ParagraphStyle("bold-right", parent=_BOLD, alignment=TA_RIGHT)
_TITLE = ParagraphStyle("title", parent=_BOLD, fontSize=16, leading=20)
_OWED = ParagraphStyle("owed", parent=_BODY, fontSize=11.5, leading=16)
_HEADING = ParagraphStyle("heading", parent=_BOLD, fontSize=10.5, leading=14, spaceBefore=10, spaceAfter=3)
_NOTE = ParagraphStyle("note", parent=_BODY, fontSize=7.5, leading=9.5, textColor=_PALE, spaceBefore=2)


def pdf_of(statement: Statement, signed: str = "", reader: Reader = ENGLISH) -> bytes:
    """The statement as PDF; `signed` tells by whom and how it can be checked."""
    # Once to count the pages: each says of how many it is.
    _, count = _built(statement, signed, 0, reader)
    return _built(statement, signed, count, reader)[0]


def _built(statement: Statement, signed: str, count: int, reader: Reader) -> tuple[bytes, int]:
    registered()
    out = io.BytesIO()
    pages = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=title(statement, reader),
        lang=reader.language,
        author="giftsync",
        invariant=1,
    )
    story = [Paragraph(_shown(title(statement, reader)), _TITLE), Spacer(1, 4)]
    story += [Paragraph(_shown(sentence), _OWED) for sentence in headline(statement, reader)]
    if statement.number is None:
        draft = reader.said(say("A draft: it is not signed, and may be another one tomorrow."))
        story.append(Paragraph(_shown(draft), _NOTE))
    story += [Spacer(1, 4), _facts(statement, pages.width, reader)]
    for table in tables_of(statement, narrow=True):
        story += _section(spoken(table, reader), pages.width, reader)
    if signed:
        story += [Spacer(1, 8), Paragraph(_shown(reader.said(signed)), _NOTE)]
    footer = _footer(statement, count, reader)
    pages.build(story, onFirstPage=footer, onLaterPages=footer)
    return out.getvalue(), pages.page


def _footer(statement: Statement, count: int, reader: Reader) -> Callable[[Any, object], None]:
    def draw(canvas: Any, _: object) -> None:
        canvas.saveState()
        canvas.setFont(PLAIN, 7.5)
        canvas.setFillColor(_PALE)
        left, right = MARGIN + FRAME_PADDING, A4[0] - MARGIN - FRAME_PADDING
        canvas.drawString(left, 10 * mm, printable(title(statement, reader)))
        page = say("Page {number} of {count}", number=canvas.getPageNumber(), count=count)
        canvas.drawRightString(right, 10 * mm, printable(reader.said(page)))
        canvas.restoreState()

    return draw


def _facts(statement: Statement, width: float, reader: Reader) -> Grid:
    rows = [
        [Paragraph(_shown(name), _BOLD), Paragraph(_shown(value), _BODY)]
        for name, value in facts(statement, reader)
    ]
    style = [("VALIGN", (0, 0), (-1, -1), "TOP"), *_padding(1)]
    return Grid(rows, colWidths=[28 * mm, width - 28 * mm], style=style, hAlign="LEFT")


def _section(table: Table, width: float, reader: Reader) -> list[object]:
    heading = Paragraph(_shown(table.title), _HEADING)
    parts: list[object] = [heading]
    if table.rows:
        parts.append(_grid(table, width, reader))
    if table.note:
        parts.append(Paragraph(_shown(table.note), _NOTE))
    return [KeepTogether(parts)] if len(table.rows) <= ROWS_TOGETHER_MAX else parts


def _grid(table: Table, width: float, reader: Reader) -> Grid:
    rows = [
        [
            Paragraph(_shown(column.title), _BOLD_RIGHT if column.kind.is_number else _BOLD)
            for column in table.columns
        ]
    ]
    for number, row in enumerate(table.rows):
        is_last = table.sums_down and number == len(table.rows) - 1
        cells = []
        for n, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
            styles = (_BOLD, _BOLD_RIGHT) if is_last else (_BODY, _RIGHT)
            cells.append(Paragraph(_shown(shown(table, n, cell, reader)), styles[column.kind.is_number]))
        rows.append(cells)
    style = [
        ("LINEBELOW", (0, 0), (-1, 0), 0.7, _INK),
        ("LINEBELOW", (0, 1), (-1, -1), 0.25, _RULE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        *_padding(2),
    ]
    if table.sums_down:
        style.append(("LINEABOVE", (0, -1), (-1, -1), 0.7, _INK))
    return Grid(rows, colWidths=_widths(table, width), style=style, repeatRows=1, hAlign="LEFT")


def _widths(table: Table, width: float) -> list[float]:
    """Amounts get what they need, texts share the rest by their length."""
    numbers = {n: 26 * mm if c.kind.is_money else 16 * mm for n, c in enumerate(table.columns)}
    texts = {n: c for n, c in enumerate(table.columns) if not c.kind.is_number}
    left = width - sum(size for n, size in numbers.items() if n not in texts)
    weights = {n: max(8, *(len(str(row[n])) for row in table.rows), len(c.title)) for n, c in texts.items()}
    whole = sum(weights.values()) or 1
    return [left * weights[n] / whole if n in weights else numbers[n] for n in range(len(table.columns))]


def _padding(points: float) -> list[tuple[object, ...]]:
    everywhere = (0, 0), (-1, -1)
    return [
        ("TOPPADDING", *everywhere, points),
        ("BOTTOMPADDING", *everywhere, points),
        ("LEFTPADDING", *everywhere, 0),
        ("RIGHTPADDING", *everywhere, 4),
    ]


def _shown(text: str) -> str:
    return escape(printable(text))
