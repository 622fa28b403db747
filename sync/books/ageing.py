"""Ageing of what is owed, and the estimate of what will never be used (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mappings.sentences import marked

#: Days after which a band begins, with its name; the first begins at zero.
BANDS: tuple[tuple[int, str], ...] = (
    (0, marked("up to 30 days")),
    (30, marked("31 to 90 days")),
    (90, marked("91 to 180 days")),
    (180, marked("181 to 365 days")),
    (365, marked("1 to 2 years")),
    (730, marked("2 to 3 years")),
    (1095, marked("over 3 years")),
)


def band_limits(at: datetime) -> list[datetime]:
    """For each band but the last: what happened after this instant falls in it or in one before it."""
    return [at - timedelta(days=days) for days, _ in BANDS[1:]]


@dataclass(frozen=True)
class Band:
    """How much is owed on how many cards of one age."""

    name: str
    cards: int
    closing_minor: int


@dataclass(frozen=True)
class Breakage:
    """An estimate, never a booking: what of the closing balance will probably not be used.

    On cards older than `months`, `rate_per_mille` of all the value ever put on them is still there, owed or
    expired; the same share is expected to stay on the younger ones.
    """

    months: int
    rate_per_mille: int
    old_put_on_minor: int
    old_left_minor: int
    young_put_on_minor: int
    young_left_minor: int
    estimate_minor: int


def estimate_breakage(
    months: int, old_put_on: int, old_left: int, young_put_on: int, young_left: int, old_owed: int
) -> Breakage | None:
    """None without a card that is old enough: there is nothing to learn from.

    `old_left` has what has expired as well, `old_owed` and `young_left` only what is still owed.
    """
    if old_put_on <= 0:
        return None
    expected = min(young_left, young_put_on * old_left // old_put_on)
    rate = 1000 * old_left // old_put_on
    return Breakage(months, rate, old_put_on, old_left, young_put_on, young_left, old_owed + expected)


def bands_of(ages: Mapping[int, tuple[int, int]]) -> tuple[Band, ...]:
    """Every band in order, from cards and amounts by the number of the band."""
    return tuple(Band(name, *ages.get(number, (0, 0))) for number, (_, name) in enumerate(BANDS))
