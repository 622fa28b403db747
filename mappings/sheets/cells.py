"""One cell at a time: what people and spreadsheets write, taken exactly or refused with a reason. Pure.

No reason ever shows the content of a cell: it may be a serial.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Final

from mappings.lifecycle import CardStatus
from mappings.money import AMOUNT_MINOR_MAX, MoneyError, currency_exponent, minor_from_decimal
from mappings.serials import Serial, SerialError


class CellError(ValueError):
    """A cell that cannot be taken; the message is the reason and what to do, without the content."""


_SPACES: Final = " \t\u00a0\u202f\u2007\u200b\ufeff"
_SCIENTIFIC: Final = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+")
_DECIMAL_TAIL: Final = re.compile(r"[0-9]+[.,]0+")
_ERROR: Final = re.compile(r"#(REF|N/A|VALUE|NAME|DIV/0|NUM|NULL)[!?]?", re.IGNORECASE)


def bare(cell: str) -> str:
    """The cell without stray spaces and without what spreadsheets put around text: `="0012"`, `'0012`."""
    if not cell or (cell[0].isalnum() and cell[-1].isalnum()):
        return cell
    text = cell.strip(_SPACES)
    if text.startswith('="') and text.endswith('"') and len(text) >= 3:
        text = text[2:-1].strip(_SPACES)
    elif text.startswith("'"):
        text = text[1:].strip(_SPACES)
    return text


def number(cell: str) -> Serial:
    """A card number, with its leading zeros. Raises CellError, with a hint for what spreadsheets do."""
    text = bare(cell)
    if not text:
        raise CellError("the card number is missing")
    if _SCIENTIFIC.fullmatch(text):
        raise CellError(
            "a spreadsheet turned the number into scientific notation and its last digits are lost; "
            "export the file again with that column formatted as text"
        )
    if _DECIMAL_TAIL.fullmatch(text):
        raise CellError("a spreadsheet gave the number decimals; format that column as text and export again")
    if _ERROR.fullmatch(text):
        raise CellError("the cell holds a spreadsheet's error instead of a number")
    if "*" in text or "•" in text:
        raise CellError("the number is masked; export it with a user who may see whole numbers")
    try:
        return Serial(text)
    except SerialError as error:
        raise CellError(str(error)) from None


# --- Amounts ------------------------------------------------------------------------------------------------

_AMOUNT: Final = re.compile(
    r"(?P<open>\()?(?P<sign>[-−+])?\s*(?P<body>[0-9][0-9.,' \u00a0\u202f]*)(?P<close>\))?"
)
_CURRENCY_WORDS: Final = re.compile(r"kr\.?|[€$£]|(?<![a-z])[a-z]{3}(?![a-z])", re.IGNORECASE)
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
    for code in _CODE.findall(cell) if any(c.isdigit() for c in cell) else ():
        if code.upper() != currency:
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
    text = _ROUND_TAIL.sub("", _CURRENCY_WORDS.sub("", bare(cell))).strip(_SPACES)
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


# --- Dates --------------------------------------------------------------------------------------------------

_SLASHED: Final = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})(?:[ T].*)?")
_FORMS: Final = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%Y%m%d")
_NEVER: Final = frozenset({"", "never", "none", "null", "n/a", "-", "aldri"})


def day_first_told(cell: str) -> bool | None:
    """Whether a date with slashes has its day first, when it proves that; else None."""
    match = _SLASHED.fullmatch(bare(cell))
    if match is None:
        return None
    one, two = int(match[1]), int(match[2])
    if one > 12 >= two:
        return True
    return False if two > 12 >= one else None


def day(cell: str, zone: tzinfo, day_first: bool | None) -> date | None:
    """A date, or the date in `zone` on which an instant falls; None for a card that never expires."""
    text = bare(cell)
    if text.lower() in _NEVER:
        return None
    match = _SLASHED.fullmatch(text)
    try:
        if match is not None:
            return _slashed(match, day_first)
        if len(text) > 10 and text[4:5] == "-":
            return _of_instant(text, zone)
        if text[4:5] == "-":
            return date.fromisoformat(text)
        return _formed(text)
    except CellError:
        raise
    except (ValueError, OverflowError):
        raise CellError("the date does not exist") from None


def _of_instant(text: str, zone: tzinfo) -> date:
    instant = datetime.fromisoformat(text.removesuffix(" UTC") + ("Z" if text.endswith(" UTC") else ""))
    if instant.tzinfo is None:
        return instant.date()
    return instant.astimezone(UTC).astimezone(zone).date()


def _formed(text: str) -> date:
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 a date has no zone
        except ValueError:
            continue
    raise CellError("the date is not understood; write it as 2027-12-31")


def _slashed(match: re.Match[str], day_first: bool | None) -> date:
    told = day_first_told(match[0])
    if told is None and day_first is None and match[1].zfill(2) != match[2].zfill(2):
        raise CellError(
            "day and month cannot be told apart, and no other row of the file tells which comes first; "
            "write the date as 2027-12-31"
        )
    first = told if told is not None else bool(day_first)
    if told is not None and day_first is not None and told != day_first:
        raise CellError("the date has day and month in another order than the rest of the file")
    one, two = int(match[1]), int(match[2])
    return date(int(match[3]), two if first else one, one if first else two)


# --- Words --------------------------------------------------------------------------------------------------

_TRUE: Final = frozenset({"true", "yes", "1", "y", "ja", "on"})
_FALSE: Final = frozenset({"false", "no", "0", "n", "nei", "off"})


def flag(cell: str, default: bool | None = None) -> bool:
    """True or false, in the words that exports use."""
    text = bare(cell).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if not text and default is not None:
        return default
    raise CellError("neither true nor false")


def status(cell: str, known: Mapping[str, CardStatus], default: CardStatus | None) -> CardStatus:
    """The hub's status for the file's word. `known` has lower-case words."""
    text = bare(cell).lower()
    if not text and default is not None:
        return default
    found = known.get(text)
    if found is None:
        raise CellError(f"the status is not one of {', '.join(sorted(known))}")
    return found
