"""Card numbers and amounts in cells: taken exactly, or refused with a reason and the cure. Pure.

No reason ever shows the content of a cell: it may be a serial.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mappings.money import AMOUNT_MINOR_MAX, MoneyError, currency_exponent, minor_from_decimal
from mappings.serials import SERIAL_LENGTH_MAX, Serial, SerialError
from sync.importer.sheets.dates import DateForm, day, day_first_told, month_of
from sync.importer.sheets.words import (
    SPACES,
    CellError,
    bare,
    flag,
    is_total,
    status,
)

__all__ = [
    "CellError",
    "DateForm",
    "Marks",
    "amount",
    "bare",
    "day",
    "day_first_told",
    "decimal_mark_told",
    "flag",
    "is_total",
    "minor_amount",
    "number",
    "sign_told",
    "spoiled",
    "status",
]

#: `1.23E+15`. Codes may have an `e` between digits; a spreadsheet always writes a mark or a sign.
_SCIENTIFIC: Final = re.compile(r"[0-9]+[.,][0-9]+[eE][+-]?[0-9]+|[0-9]+[eE]\+[0-9]+|[0-9][eE][0-9]+")
_DECIMAL_TAIL: Final = re.compile(r"[0-9]+[.,]0+")
_ERROR: Final = re.compile(r"#(REF|N/A|VALUE|NAME|DIV/0|NUM|NULL)[!?]?", re.IGNORECASE)
_DAY: Final = re.compile(r"[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4}")
_DAY_IN_WORDS: Final = re.compile(r"[0-9]{1,2}[. \-]+([^\W\d_]{3,9})\.?|([^\W\d_]{3,9})[. \-]+[0-9]{1,4}")
#: A shorter one without any digit is a word, not a number.
_WORD_LENGTH_MAX: Final = 7
_AS_TEXT: Final = "format that column as text and export again"


def spoiled(cell: str) -> str | None:
    """What a spreadsheet did to a number or code, and the cure; None when nothing shows."""
    text = bare(cell)
    if _SCIENTIFIC.fullmatch(text):
        return (
            "a spreadsheet turned the number into scientific notation and its last digits are lost; "
            "export the file again with that column formatted as text"
        )
    if _DECIMAL_TAIL.fullmatch(text):
        return f"a spreadsheet gave the number decimals; {_AS_TEXT}"
    if _ERROR.fullmatch(text):
        return "the cell holds a spreadsheet's error instead of a number"
    words = _DAY_IN_WORDS.fullmatch(text)
    if _DAY.fullmatch(text) or (words is not None and month_of(words[1] or words[2]) is not None):
        return f"a spreadsheet turned it into a date; {_AS_TEXT}"
    return None


def number(cell: str) -> Serial:
    """A card number, with its leading zeros. Raises CellError, with a hint for what spreadsheets do."""
    text = bare(cell)
    if text.isascii() and text.isdigit() and len(text) <= SERIAL_LENGTH_MAX:
        return Serial(text)
    if not text:
        raise CellError("the card number is missing")
    reason = spoiled(text)
    if reason is not None:
        raise CellError(reason)
    if "*" in text or "•" in text or "…" in text:
        raise CellError("the number is masked; export it with a user who may see whole numbers")
    try:
        serial = Serial(text)
    except SerialError as error:
        raise CellError(str(error)) from None
    if len(text) <= _WORD_LENGTH_MAX and not any(c.isdigit() for c in text):
        raise CellError("it is a word, not a card number")
    return serial


# --- Amounts ------------------------------------------------------------------------------------------------

_AMOUNT: Final = re.compile(
    r"(?P<open>\()?(?P<sign>[-−+])?\s*(?P<body>[0-9][0-9.,' \u00a0\u202f]*)(?P<close>\))?"
)
_CURRENCY_WORDS: Final = re.compile(r"kr\.?|[€$£¥]|(?<![a-z])[a-z]{3}(?![a-z])", re.IGNORECASE)
_KRONER: Final = frozenset({"NOK", "SEK", "DKK", "ISK"})
#: A word or sign that only some currencies have; `$` is of too many to list.
_SIGNS: Final = {"€": {"EUR"}, "£": {"GBP"}, "¥": {"JPY", "CNY"}}
_KR: Final = re.compile(r"kr(?![a-z])", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[0-9]{1,9}[.,][0-9]{2}")
_CODE: Final = re.compile(r"(?<![A-Za-z])[A-Za-z]{3}(?![A-Za-z])")
_ROUND_TAIL: Final = re.compile(r"[.,]\s*[-–—]\s*$")


@dataclass(frozen=True)
class Marks:
    """Which characters a column of amounts uses: found by looking at all of it."""

    #: "," or "."; None when no cell told, and a cell that needs it is refused.
    decimal: str | None = None


def decimal_mark_told(cell: str) -> str | None:
    """The decimal mark that a cell proves: two different marks, or a tail that is no group of three."""
    if _PLAIN.fullmatch(cell):
        return cell[-3]
    body = _body(cell)
    if body is None:
        return None
    marks = [c for c in body if c in ".,"]
    if len(set(marks)) == 2:
        return marks[-1]
    if not marks:
        return None
    other = "," if marks[0] == "." else "."
    if len(marks) > 1:
        return other
    whole, tail = body.split(marks[0])
    return marks[0] if len(tail) != 3 or len(whole) > 3 else None


def amount(cell: str, currency: str, marks: Marks) -> int:
    """Signed minor units. Exact, or CellError; never converted from another currency."""
    if _PLAIN.fullmatch(cell) and cell[-3] == marks.decimal and currency_exponent(currency) == 2:
        return int(cell[:-3] + cell[-2:])  # The plain case of most files.
    if any(c.isdigit() for c in cell) and not _is_in(cell, currency):
        raise CellError(f"the amount is not in {currency}, the link's currency; nothing is converted")
    found = _split(cell)
    if found is None:
        raise CellError("the amount is missing" if not bare(cell) else "the amount is not a number")
    sign, body = found
    digits = _plain(body, currency, marks)
    try:
        return sign * minor_from_decimal(digits, currency)
    except MoneyError as error:
        raise CellError(str(error)) from None


def _is_in(cell: str, currency: str) -> bool:
    """Whether no word and no sign in the cell is of another currency."""
    if any(code.upper() != currency for code in _CODE.findall(cell)):
        return False
    if "$" in cell and currency in _KRONER | {"EUR", "GBP", "CHF", "PLN"}:
        return False
    if currency not in _KRONER and _KR.search(cell):
        return False
    return all(currency in of for sign, of in _SIGNS.items() if sign in cell)


def sign_told(cell: str) -> int:
    """1 or -1 for money on a card or owed by it; 0 for nothing, or what is no amount."""
    found = _split(cell)
    return 0 if found is None or not found[1].strip("0.,") else found[0]


def minor_amount(cell: str) -> int:
    """Signed minor units that were written as such: whole numbers."""
    text = bare(cell)
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        raise CellError("the amount is missing" if not text else "the amount is not a whole number")
    value = int(text)
    if abs(value) > AMOUNT_MINOR_MAX:
        raise CellError("the amount is larger than any gift card holds")
    return value


def _split(cell: str) -> tuple[int, str] | None:
    text = _ROUND_TAIL.sub("", _CURRENCY_WORDS.sub("", bare(cell))).strip(SPACES)
    match = _AMOUNT.fullmatch(text)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    negative = match["sign"] in ("-", "−") or match["open"] is not None
    return (-1 if negative else 1), re.sub(r"[ '\u00a0\u202f]", "", match["body"])


def _body(cell: str) -> str | None:
    found = _split(cell)
    return None if found is None else found[1]


def _plain(body: str, currency: str, marks: Marks) -> str:
    """Digits with a point for the decimal mark. Raises CellError when the mark cannot be told."""
    decimal = decimal_mark_told(body)
    if decimal is None and ("." in body or "," in body):
        # One mark before three digits: thousands, or three decimals.
        if marks.decimal is None and currency_exponent(currency) < 3:
            raise CellError(
                "the amount can be read in two ways (thousands or decimals), and no other row of the file "
                "tells which; write it with two decimals"
            )
        decimal = marks.decimal or "."
    if decimal is not None and marks.decimal is not None and decimal != marks.decimal:
        raise CellError(f"the amount uses another decimal mark than the rest of the file ({marks.decimal})")
    whole, _, fraction = body.rpartition(decimal) if decimal and decimal in body else (body, "", "")
    group = "," if decimal == "." else "."
    if group in fraction or not _well_grouped(whole, group):
        raise CellError("the amount is not a number")
    return f"{whole.replace(group, '')}.{fraction or '0'}"


def _well_grouped(whole: str, group: str) -> bool:
    first, *rest = whole.split(group)
    return all(len(part) == 3 for part in rest) and (not rest or 1 <= len(first) <= 3) and whole != ""
