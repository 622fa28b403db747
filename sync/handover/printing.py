"""Cards on paper: labels and sheets as PDF, with bar codes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from reportlab.graphics.barcode.code128 import Code128
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.renderPDF import draw
from reportlab.graphics.shapes import Drawing
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from mappings.readers import ENGLISH, Reader
from mappings.sentences import marked, say
from sync.books.render.fonts import BOLD, PLAIN, printable, registered
from sync.handover.printed import NotPrintable, Printed

#: Of a label printer's roll.
LABEL = (62 * mm, 40 * mm)
#: Of a bank card; ten of them stand on a sheet of A4.
CARD = (85.6 * mm, 54 * mm)
COLUMNS, ROWS = 2, 5
QR = 19 * mm
EDGE = 3.5 * mm
BAR_HEIGHT = 10 * mm
#: The narrowest bar that a till's scanner reads from thermal paper, and the widest that is of use.
BAR_MIN, BAR_MAX = 0.19 * mm, 0.5 * mm
#: White on both sides of a bar code, in bars.
QUIET_BARS = 10


def labels(cards: Sequence[Printed], reader: Reader = ENGLISH) -> bytes:
    """A page of a label's size for each card. Raises NotPrintable."""
    out = io.BytesIO()
    canvas = _canvas(out, LABEL, reader)
    for card in cards:
        _draw(canvas, card, 0, 0, LABEL, reader)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def sheets(cards: Sequence[Printed], reader: Reader = ENGLISH) -> bytes:
    """Pages of A4 with ten cards each, in frames to cut along. Raises NotPrintable."""
    out = io.BytesIO()
    canvas = _canvas(out, A4, reader)
    left, low = (A4[0] - COLUMNS * CARD[0]) / 2, (A4[1] - ROWS * CARD[1]) / 2
    on_page = COLUMNS * ROWS
    for start in range(0, len(cards), on_page):
        for place, card in enumerate(cards[start : start + on_page]):
            row, column = divmod(place, COLUMNS)
            x, y = left + column * CARD[0], low + (ROWS - 1 - row) * CARD[1]
            canvas.setLineWidth(0.2)
            canvas.rect(x, y, *CARD)
            _draw(canvas, card, x, y, CARD, reader)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def _canvas(out: io.BytesIO, size: tuple[float, float], reader: Reader) -> Any:
    registered()
    canvas = Canvas(out, pagesize=size, invariant=1)
    canvas.setTitle(reader.said(marked("Gift cards")))
    canvas.setAuthor("giftsync")
    return canvas


def _draw(canvas: Any, card: Printed, x: float, y: float, size: tuple[float, float], reader: Reader) -> None:
    """Title and amount above with the QR code beside them; number, CVC and bar code below."""
    width, height = size
    beside = width - 2 * EDGE - QR - mm
    top = y + height - EDGE
    title = printable(card.title)
    until = "" if card.expires_on is None else reader.said(say("Valid until {day}", day=card.expires_on))
    for line, (text, font, points) in enumerate(
        (
            (title, BOLD, 10.0),
            (printable(reader.money(card.amount_minor, card.currency)), PLAIN, 11.0),
            (printable(until), PLAIN, 7.5),
        )
    ):
        _text(canvas, text, font, points, x + EDGE, top - 9 - line * 13, beside)
    widget = QrCodeWidget(card.qr, barLevel="M")
    left, low, right, high = widget.getBounds()
    drawing = Drawing(QR, QR, transform=[QR / (right - left), 0, 0, QR / (high - low), 0, 0])
    drawing.add(widget)
    draw(drawing, canvas, x + width - EDGE - QR, top - QR)
    base = y + EDGE
    _bars(canvas, card, x, base, width)
    number = card.grouped if card.cvc is None else f"{card.grouped}   CVC {card.cvc}"
    _text(canvas, number, BOLD, 10.0, x + EDGE, base + BAR_HEIGHT + 4, width - 2 * EDGE)


def _bars(canvas: Any, card: Printed, x: float, y: float, width: float) -> None:
    bars = Code128(card.serial.written, barWidth=1.0, barHeight=BAR_HEIGHT, quiet=False).width
    narrow = min(BAR_MAX, width / (bars + 2 * QUIET_BARS))
    if narrow < BAR_MIN:
        raise NotPrintable(
            f"a number of {len(card.serial.written)} signs is too long for a bar code of {width / mm:.0f} mm"
        )
    code = Code128(card.serial.written, barWidth=narrow, barHeight=BAR_HEIGHT, quiet=False)
    code.drawOn(canvas, x + (width - code.width) / 2, y)


def _text(canvas: Any, text: str, font: str, points: float, x: float, y: float, width: float) -> None:
    """One line, smaller if it is too long for the width."""
    wide = stringWidth(text, font, points)
    canvas.setFont(font, points if wide <= width else points * width / wide)
    canvas.drawString(x, y, text)
