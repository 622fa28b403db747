"""A model of Shopify's cost bucket, shared by every thread of a side, so that nothing is sent too fast.

Each app and shop has a bucket of points that refills steadily (shopify.md §6). The model is pure: the
monotonic clock and the pause are passed in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: The smallest plan's bucket and refill, until the first answer tells the real ones (shopify.md §6).
MAXIMUM_POINTS_DEFAULT: Final = 2_000.0
RESTORE_POINTS_PER_SECOND_DEFAULT: Final = 100.0
#: Longer than any bucket takes to refill; a model that asks for more is wrong.
PAUSE_SECONDS_MAX: Final = 60.0


@dataclass(frozen=True)
class ThrottleStatus:
    """The bucket as an answer shows it, after that request was charged (`throttleStatus`)."""

    maximum_points: float
    available_points: float
    restore_points_per_second: float


@dataclass(frozen=True)
class Reservation:
    """Points taken for one request, until `settle`."""

    points: float
    #: How many reservations had been made with this one.
    number: int
    #: Whether no other request was on its way when this one was reserved.
    first: bool


class CostBucket:
    """Points that may still be spent. Thread-safe.

    A reservation is taken at once, even below zero; whoever goes below zero waits until the refill has paid
    for it. So waiting threads queue up in the order they came, and each waits once.
    """

    def __init__(self, monotonic: Callable[[], float], pause: Callable[[float], None]) -> None:
        self._monotonic = monotonic
        self._pause = pause
        self._lock = threading.Lock()
        self._maximum = MAXIMUM_POINTS_DEFAULT
        self._restore_per_second = RESTORE_POINTS_PER_SECOND_DEFAULT
        self._available = MAXIMUM_POINTS_DEFAULT
        self._in_flight: dict[int, float] = {}
        self._reservations = 0
        self._at = monotonic()

    def reserve(self, points: float) -> Reservation:
        """Take points for a request, first waiting until the bucket has them; `settle` must follow."""
        with self._lock:
            self._refill()
            self._reservations += 1
            reservation = Reservation(points, self._reservations, first=not self._in_flight)
            self._in_flight[reservation.number] = points
            self._available -= points
            seconds = -self._available / self._restore_per_second
        if seconds > 0:
            try:
                self._pause(min(seconds, PAUSE_SECONDS_MAX))
            except BaseException:
                self.settle(reservation, used_points=0)
                raise
        return reservation

    def settle(
        self, reservation: Reservation, used_points: float | None, status: ThrottleStatus | None = None
    ) -> None:
        """Replace the reservation by what was used, and take over what the answer says.

        `used_points` is None when no answer told it: the reservation then counts as spent.
        """
        with self._lock:
            self._refill()
            del self._in_flight[reservation.number]
            used = reservation.points if used_points is None else used_points
            self._available += reservation.points - used
            if status is not None:
                self._take_over(reservation, status)
            self._available = min(self._available, self._maximum)

    def _take_over(self, reservation: Reservation, status: ThrottleStatus) -> None:
        self._maximum = status.maximum_points
        self._restore_per_second = max(1.0, status.restore_points_per_second)
        # The answer may not know the requests that other threads have on the way.
        shown = status.available_points - sum(self._in_flight.values())
        # Answers can overtake each other, and an older one shows more than there still is. Only a request
        # that met no other on its way may raise the model.
        alone = reservation.first and reservation.number == self._reservations
        self._available = shown if alone else min(self._available, shown)

    @property
    def available_points(self) -> float:
        """What the model thinks may be spent now; negative while someone waits."""
        with self._lock:
            self._refill()
            return self._available

    @property
    def limits(self) -> ThrottleStatus:
        """The bucket as the model has it: the smallest plan's until the first answer."""
        available = self.available_points
        with self._lock:
            return ThrottleStatus(self._maximum, available, self._restore_per_second)

    def _refill(self) -> None:
        now = self._monotonic()
        elapsed, self._at = max(0.0, now - self._at), now
        self._available = min(self._maximum, self._available + elapsed * self._restore_per_second)


class CostBook:
    """The cost of each operation, as last charged; the request that comes next will cost about the same."""

    def __init__(self) -> None:
        self._points: dict[str, float] = {}

    def estimate(self, operation: str, guess: float) -> float:
        return self._points.get(operation, guess)

    def learn(self, operation: str, requested_points: float) -> None:
        self._points[operation] = requested_points
