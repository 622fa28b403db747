"""Accounting periods: calendar months and days in the link's time zone, as half-open spans of instants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_MONTH = re.compile(r"(\d{4})-(\d{2})")
#: Outside these years a month is a slip of the keyboard.
_YEARS = range(2000, 2200)


class PeriodError(ValueError):
    """What was asked for is no period; the message says why."""


@dataclass(frozen=True)
class Period:
    """From `from_at` up to, not including, `until_at`; both in UTC."""

    #: `2026-11`, or `2026-11-01 to 2026-11-15`.
    name: str
    from_at: datetime
    until_at: datetime
    #: The last day of it, by the calendar of its time zone.
    last_day: date


def month(text: str, zone: tzinfo) -> Period:
    """Return the calendar month `YYYY-MM`. Raises PeriodError."""
    year, number = _parsed(text)
    first = date(year, number, 1)
    after = date.fromisoformat(f"{month_after(text)}-01")
    return Period(text, _midnight(first, zone), _midnight(after, zone), after - timedelta(days=1))


def days(first: date, last: date, zone: tzinfo) -> Period:
    """Return the span of whole days, both included. Raises PeriodError."""
    if last < first:
        raise PeriodError(f"the period ends on {last}, before it begins on {first}")
    after = last + timedelta(days=1)
    return Period(f"{first} to {last}", _midnight(first, zone), _midnight(after, zone), last)


def month_after(text: str) -> str:
    """`2026-12` is followed by `2027-01`."""
    year, number = _parsed(text)
    return f"{year + number // 12:04}-{number % 12 + 1:02}"


def months_before(moment: datetime, months: int) -> datetime:
    """The same day of an earlier month, or its last one where it has no such day."""
    number = moment.year * 12 + moment.month - 1 - months
    year, index = divmod(number, 12)
    for day in range(moment.day, 27, -1):
        try:
            return moment.replace(year=year, month=index + 1, day=day)
        except ValueError:
            continue
    return moment.replace(year=year, month=index + 1)


def month_of(moment: datetime, zone: tzinfo) -> str:
    """The calendar month that the moment falls in."""
    return f"{moment.astimezone(zone):%Y-%m}"


def _parsed(text: str) -> tuple[int, int]:
    found = _MONTH.fullmatch(text)
    if found is None or int(found[1]) not in _YEARS or not 1 <= int(found[2]) <= 12:
        raise PeriodError(f"{text!r} is not a month; write it as 2026-11")
    return int(found[1]), int(found[2])


def _midnight(day: date, zone: tzinfo) -> datetime:
    """The first instant of a day; where clocks skip midnight, the instant at which they do."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)
