"""The lifecycle of a card: `inactive → active ⇄ suspended → closed`. Expiry is a date, not a status."""

from __future__ import annotations

from enum import StrEnum


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
