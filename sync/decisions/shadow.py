"""Whether a side shows what a shadow says."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from connectors.api.card import Seen
from mappings.lifecycle import CardStatus


class Shadowed(Protocol):
    """What can be compared."""

    @property
    def shadow_minor(self) -> int: ...

    @property
    def shadow_status(self) -> CardStatus: ...

    @property
    def shadow_expires_on(self) -> date | None: ...

    @property
    def needs_cvc(self) -> bool: ...


def matches_shadow(p: Shadowed, seen: Seen, currency: str, suspends_by_date: bool) -> bool:
    """Whether the side shows what the presence says, in the link's currency."""
    if seen.currency != currency or seen.needs_cvc != p.needs_cvc:
        return False
    if seen.status is CardStatus.CLOSED or p.shadow_status is CardStatus.CLOSED:
        return seen.status is p.shadow_status
    suspended_by_date = suspends_by_date and seen.status is CardStatus.SUSPENDED
    return (
        seen.balance_minor == p.shadow_minor
        and seen.status is p.shadow_status
        and (suspended_by_date or seen.expires_on == p.shadow_expires_on)
    )
