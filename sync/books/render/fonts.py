"""The fonts of printed statements: embedded, Latin, Greek and Cyrillic, figures of one width."""

from __future__ import annotations

from functools import cache
from importlib.metadata import distribution
from typing import Any

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

PLAIN, BOLD = "SourceSansPro-Regular", "SourceSansPro-Bold"


@cache
def registered() -> Any:
    """Make both known to reportlab; the plain one."""
    files = distribution("font-source-sans-pro")
    for name in (PLAIN, BOLD):
        file = files.locate_file(f"font_source_sans_pro/files/{name}.ttf")
        pdfmetrics.registerFont(TTFont(name, str(file)))
    return pdfmetrics.getFont(PLAIN)


def printable(text: str) -> str:
    """The text with a question mark for each sign that the fonts do not have."""
    known = registered().face.charToGlyph
    return "".join(sign if ord(sign) in known else "?" for sign in text)
