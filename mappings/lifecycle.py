"""The lifecycle of a card: `inactive → active ⇄ suspended → closed`. Expiry is a date, not a status."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final

#: No gift card that is in use ended before. Programs write an earlier day where there is none: 0001-01-01,
#: 1900-01-01, 1970-01-01.
FIRST_DAY: Final = date(2000, 1, 1)


def is_last_day(day: date | None) -> bool:
    """Whether a card may have this last day; None: it never expires."""
    return day is None or day >= FIRST_DAY


class CardStatus(StrEnum):
    INACTIVE = "inactive"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    #: Terminal: nothing re-enables a closed card.
    CLOSED = "closed"

    @property
    def restriction(self) -> int:
        """Higher is more restrictive; when two sides disagree the more restrictive wins."""
        return _RESTRICTION[self]


_RESTRICTION = {
    CardStatus.ACTIVE: 0,
    CardStatus.INACTIVE: 1,
    CardStatus.SUSPENDED: 2,
    CardStatus.CLOSED: 3,
}
