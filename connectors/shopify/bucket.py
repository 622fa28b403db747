"""A model of Shopify's cost bucket, shared by every thread of a side, so that nothing is sent too fast.

Each app and shop has a bucket of points that refills steadily (shopify.md §6). A customer may be waiting for
work on a single card, so it goes before sweeps: these leave a reserve in the bucket. The model is pure: the
monotonic clock and the pause are passed in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from connectors.api.budget import Budget
from connectors.api.errors import Throttled

#: The smallest plan's bucket and refill, until the first answer tells the real ones (shopify.md §6).
MAXIMUM_POINTS_DEFAULT: Final = 2_000.0
RESTORE_POINTS_PER_SECOND_DEFAULT: Final = 100.0
#: Longer than any bucket takes to refill; a model that asks for more is wrong.
PAUSE_SECONDS_MAX: Final = 60.0
#: What sweeps leave in the bucket, in seconds of its refill.
RESERVE_SECONDS: Final = 1.0
#: Points are whole numbers; what the model lacks beside this is rounding.
POINTS_TOLERANCE: Final = 0.001
#: How often one request of a sweep lets other work go first before it is sent away.
YIELDS_MAX: Final = 20


class Priority(StrEnum):
    """Whose turn it is when points are short."""

    #: A customer may be waiting.
    CARD = "card"
    #: Nobody is: sweeps, and walks over everything.
    SWEEP = "sweep"


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

    For a card a reservation is taken at once, even below zero; whoever goes below zero waits until the refill
    has paid for it. So waiting threads queue up in the order they came, and each waits once.

    For a sweep it is taken only when the reserve stays in the bucket. So a request for a card that costs no
    more than the reserve is never kept waiting by sweeps, only by other cards.
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

    def reserve(self, points: float, priority: Priority = Priority.CARD) -> Reservation:
        """Take points for a request, first waiting until the bucket has them; `settle` must follow.

        Raises Throttled, with nothing taken, for a sweep that other work leaves no points to.
        """
        if priority is Priority.SWEEP:
            return self._reserve_for_sweep(points)
        with self._lock:
            self._refill()
            reservation = self._take(points)
            seconds = -self._available / self._restore_per_second
        if seconds > 0:
            try:
                self._pause(min(seconds, PAUSE_SECONDS_MAX))
            except BaseException:
                self.settle(reservation, used_points=0)
                raise
        return reservation

    def _reserve_for_sweep(self, points: float) -> Reservation:
        seconds = 0.0
        for _ in range(YIELDS_MAX):
            with self._lock:
                self._refill()
                # The bucket never holds more than its maximum, so no more can be asked of it.
                wanted = min(points + RESERVE_SECONDS * self._restore_per_second, self._maximum)
                if self._available >= wanted - POINTS_TOLERANCE:
                    return self._take(points)
                seconds = (wanted - self._available) / self._restore_per_second
            self._pause(min(seconds, PAUSE_SECONDS_MAX))
        raise Throttled("work on single cards needs all that Shopify allows", seconds)

    def _take(self, points: float) -> Reservation:
        self._reservations += 1
        reservation = Reservation(points, self._reservations, first=not self._in_flight)
        self._in_flight[reservation.number] = points
        self._available -= points
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
                self._believe(reservation, status)
            self._available = min(self._available, self._maximum)

    def _believe(self, reservation: Reservation, status: ThrottleStatus) -> None:
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


class SharedBucket(CostBucket):
    """The bucket where several processes spend from it: what is left is kept where all see it.

    What an answer shows may only lower it: a request of another process may have been paid for and be on its
    way. What that costs too much, the refill gives back.
    """

    def __init__(
        self, monotonic: Callable[[], float], pause: Callable[[float], None], budget: Budget
    ) -> None:
        super().__init__(monotonic, pause)
        self._budget = budget

    def reserve(self, points: float, priority: Priority = Priority.CARD) -> Reservation:
        if priority is Priority.SWEEP:
            return self._reserve_for_sweep(points)
        _, left = self._budget.draw(points, self._restore_per_second, self._maximum)
        reservation = self._counted(points)
        if left < 0:
            try:
                self._pause(min(-left / self._restore_per_second, PAUSE_SECONDS_MAX))
            except BaseException:
                self.settle(reservation, used_points=0)
                raise
        return reservation

    def _reserve_for_sweep(self, points: float) -> Reservation:
        seconds = 0.0
        for _ in range(YIELDS_MAX):
            # The bucket never holds more than its maximum, so no more can be asked of it.
            reserve = min(RESERVE_SECONDS * self._restore_per_second, self._maximum - points)
            keep = reserve - POINTS_TOLERANCE
            taken, left = self._budget.draw(points, self._restore_per_second, self._maximum, keep)
            if taken:
                return self._counted(points)
            seconds = (points + reserve - left) / self._restore_per_second
            self._pause(min(seconds, PAUSE_SECONDS_MAX))
        raise Throttled("work on single cards needs all that Shopify allows", seconds)

    def _counted(self, points: float) -> Reservation:
        with self._lock:
            return self._take(points)

    def settle(
        self, reservation: Reservation, used_points: float | None, status: ThrottleStatus | None = None
    ) -> None:
        super().settle(reservation, used_points, status)
        used = reservation.points if used_points is None else used_points
        shown = None if status is None else status.available_points
        self._budget.correct(reservation.points - used, shown, self._restore_per_second, self._maximum)

    @property
    def available_points(self) -> float:
        return self._budget.draw(0.0, self._restore_per_second, self._maximum)[1]


class CostBook:
    """The cost of each operation, as last charged; the request that comes next will cost about the same."""

    def __init__(self) -> None:
        self._points: dict[str, float] = {}

    def estimate(self, operation: str, guess: float) -> float:
        return self._points.get(operation, guess)

    def charged(self, operation: str) -> float | None:
        """What it cost the last time; None: that was never told."""
        return self._points.get(operation)

    def learn(self, operation: str, requested_points: float) -> None:
        self._points[operation] = requested_points
