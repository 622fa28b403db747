"""The leaky bucket of query points (shopify.md §6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Plan(StrEnum):
    """Shopify plans with different limits."""

    STANDARD = "standard"
    ADVANCED = "advanced"
    PLUS = "plus"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True)
class PlanLimits:
    """Points restored per second, points that the bucket holds, and the plan's public name."""

    restore_per_s: int
    capacity: int
    public_name: str


PLAN_LIMITS = {
    Plan.STANDARD: PlanLimits(100, 2_000, "Basic"),
    Plan.ADVANCED: PlanLimits(200, 4_000, "Advanced"),
    Plan.PLUS: PlanLimits(1_000, 20_000, "Shopify Plus"),
    Plan.ENTERPRISE: PlanLimits(2_000, 40_000, "Shopify Plus"),
}


@dataclass
class Bucket:
    """Points that one app may still spend on one shop."""

    limits: PlanLimits
    #: Seconds that only grow.
    monotonic: Callable[[], float]
    _points: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._points = self.limits.capacity
        self._at = self.monotonic()

    def available(self) -> int:
        """Whole points that can be spent now."""
        now = self.monotonic()
        restored = max(0.0, now - self._at) * self.limits.restore_per_s
        self._points = min(float(self.limits.capacity), self._points + restored)
        self._at = now
        return int(self._points)

    def take(self, points: int) -> bool:
        """Reserve points. False, and nothing is taken, if there are too few."""
        if self.available() < points:
            return False
        self._points -= points
        return True

    def give_back(self, points: int) -> None:
        """Return what a request reserved and did not use."""
        self._points = min(float(self.limits.capacity), self._points + points)

    def status(self, available: int | None = None) -> dict[str, int]:
        """`throttleStatus`; `available` overrides what there is, for an injected throttle."""
        return {
            "maximumAvailable": self.limits.capacity,
            "currentlyAvailable": self.available() if available is None else available,
            "restoreRate": self.limits.restore_per_s,
        }
