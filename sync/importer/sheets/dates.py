"""Dates as people and spreadsheets write them: the day in the link's zone, or a reason. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Final

from sync.importer.sheets.words import CellError, bare

_SLASHED: Final = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})(?:[ T].*)?")
_FORMS: Final = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%Y%m%d")
_NEVER: Final = frozenset(
    [
        *("", "0", "never", "none", "null", "nil", "n/a", "na", "-", "–", "—", "aldri", "ingen", "nie"),
        *("\\n", "jamais", "unlimited", "ubegrenset", "no expiry", "never expires"),
    ]
)
#: What databases write for no date: `0000-00-00`, `0000-00-00 00:00:00`, `00.00.0000`.
_ZEROS: Final = re.compile(r"[0:.\-/ T]+")
#: Seconds or milliseconds since 1970, from 2001 to 2099.
_UNIX: Final = re.compile(r"[1-3][0-9]{9}|[1-3][0-9]{12}|40[0-9]{8}")
_DOTTED: Final = re.compile(r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}")
_SHORT_YEAR: Final = re.compile(r"([0-9]{1,2})([./-])[0-9]{1,2}\2[0-9]{2}")
_MONTH_NAME: Final = re.compile(r"[0-9]{0,4}[ .\-]*[^\W\d_]{3,}[ .\-]+[0-9]{1,4}\b.*")

#: By the first letters, in the languages of spreadsheets.
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            ("jan", "gen", "ene"),
            ("feb", "fév", "fev"),
            ("mar", "mär", "mrz", "maa"),
            ("apr", "avr", "abr"),
            ("mai", "may", "maj", "mei", "mag"),
            ("jun", "juin", "giu"),
            ("jul", "juil", "lug"),
            ("aug", "aoû", "aou", "ago"),
            ("sep", "set"),
            ("okt", "oct", "ott"),
            ("nov",),
            ("dec", "des", "dez", "déc", "dic"),
        ),
        start=1,
    )
    for name in names
}
_TOKENS: Final = re.compile(r"YYYY|YY|MONTH|MON|MM|M|DD|D", re.IGNORECASE)
_GROUPS: Final = {
    "YYYY": r"(?P<y>[0-9]{4})",
    "YY": r"(?P<y>[0-9]{2})",
    "MONTH": r"(?P<name>[^\W\d_]+)\.?",
    "MON": r"(?P<name>[^\W\d_]+)\.?",
    "MM": r"(?P<m>[0-9]{1,2})",
    "M": r"(?P<m>[0-9]{1,2})",
    "DD": r"(?P<d>[0-9]{1,2})",
    "D": r"(?P<d>[0-9]{1,2})",
}
_TIME: Final = r"(?:[ T,]+[0-9]{1,2}:[0-9]{2}.*)?"


def month_of(name: str) -> int | None:
    """1 to 12 for the name of a month or its beginning."""
    text = name.lower()
    return _MONTHS.get(text[:4]) or _MONTHS.get(text[:3])


@dataclass(frozen=True)
class DateForm:
    """How a person says that dates are written: `DD.MM.YY`, `Mon D, YYYY`. `YY` is a year of this century."""

    text: str

    def __post_init__(self) -> None:
        kinds = sorted(token.upper()[0] if len(token) < 3 else token.upper() for token in self._tokens)
        if kinds not in (["D", "M", "Y"], ["D", "M", "YYYY"], ["D", "MON", "Y"], ["D", "MON", "YYYY"]) and (
            kinds not in (["D", "MONTH", "Y"], ["D", "MONTH", "YYYY"])
        ):
            raise ValueError(f"{self.text!r} is no way to write a date: use YYYY or YY, MM or Mon, and DD")

    @property
    def _tokens(self) -> list[str]:
        return _TOKENS.findall(self.text)

    def read(self, text: str) -> date | None:
        """The date, if the text is written so. Raises ValueError for one that does not exist."""
        match = re.fullmatch(self._pattern() + _TIME, text, re.IGNORECASE)
        if match is None:
            return None
        groups = match.groupdict()
        month = int(groups["m"]) if groups.get("m") else month_of(groups.get("name") or "")
        if month is None:
            return None
        year = int(groups["y"])
        return date(year + 2000 if len(groups["y"]) == 2 else year, month, int(groups["d"]))

    def _pattern(self) -> str:
        made, at = "", 0
        for token in _TOKENS.finditer(self.text):
            made += re.escape(self.text[at : token.start()]).replace(r"\ ", r"\s*")
            made += _GROUPS[token[0].upper()]
            at = token.end()
        return made + re.escape(self.text[at:])


def day_first_told(cell: str) -> bool | None:
    """Whether a date with slashes has its day first, when it proves that; else None."""
    match = _SLASHED.fullmatch(bare(cell))
    if match is None:
        return None
    one, two = int(match[1]), int(match[2])
    if one > 12 >= two:
        return True
    return False if two > 12 >= one else None


def day(cell: str, zone: tzinfo, day_first: bool | None, form: DateForm | None = None) -> date | None:
    """A date, or the date in `zone` on which an instant falls; None for a card that never expires.

    Raises CellError. A date that is written as `form` says is read so before any other way.
    """
    text = bare(cell)
    if text.lower() in _NEVER or ("0" in text and _ZEROS.fullmatch(text)):
        return None
    try:
        stated = None if form is None else form.read(text)
        if stated is not None:
            return stated
        match = _SLASHED.fullmatch(text)
        if match is not None:
            return _slashed(match, day_first)
        if _UNIX.fullmatch(text):
            return datetime.fromtimestamp(int(text[:10]), UTC).astimezone(zone).date()
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
    # Seven digits of a second are what .NET writes; Python takes six.
    text = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text)
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
    if _DOTTED.fullmatch(text):
        raise CellError("the date does not exist")
    if _SHORT_YEAR.fullmatch(text):
        raise CellError(
            "the year has two digits; say how dates are written, such as --dates DD.MM.YY, or write "
            "2027-12-31"
        )
    if _MONTH_NAME.fullmatch(text):
        raise CellError(
            'the month is a word; say how dates are written, such as --dates "Mon D, YYYY", or write '
            "2027-12-31"
        )
    if re.fullmatch(r"[0-9]{5}", text):
        raise CellError("a spreadsheet's number of a day; format the column as a date and export again")
    raise CellError("the date is not understood; write it as 2027-12-31")


def _slashed(match: re.Match[str], day_first: bool | None) -> date:
    told = day_first_told(match[0])
    if told is None and day_first is None and match[1].zfill(2) != match[2].zfill(2):
        raise CellError(
            "day and month cannot be told apart, and no other row of the file tells which comes first; "
            "write the date as 2027-12-31, or say --dates DD/MM/YYYY or --dates MM/DD/YYYY"
        )
    first = told if told is not None else bool(day_first)
    if told is not None and day_first is not None and told != day_first:
        raise CellError("the date has day and month in another order than the rest of the file")
    one, two = int(match[1]), int(match[2])
    return date(int(match[3]), two if first else one, one if first else two)
