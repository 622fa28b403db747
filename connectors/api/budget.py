"""What a side lets all processes of a link ask together, where several share one link."""

from __future__ import annotations

from typing import Protocol


class Budget(Protocol):
    """Units that may still be used, refilled up to a maximum; all processes of the link see the same."""

    def draw(
        self, units: float, per_second: float, maximum: float, keep: float | None = None
    ) -> tuple[bool, float]:
        """Take units, even below zero; whether they were taken, and what is left then.

        Whoever goes below zero waits until the refill has paid for it. With `keep` they are taken only where
        so many would be left.
        """

    def correct(self, back: float, shown: float | None, per_second: float, maximum: float) -> None:
        """Give back units that were not used; `shown`: no more are left than the side says."""
