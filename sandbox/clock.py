"""The clock of an emulated side: another machine's clock, which may be wrong, jump, or run fast.

It has two faces. The wall clock gives the dates and times that the API shows; durations (search lag, query
points, retries) are measured with seconds that only grow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

RATE_MAX = 100_000.0
#: A step is at most this long, in either direction: a hundred years.
STEP_SECONDS_MAX = 100 * 366 * 86_400.0
YEAR_MIN, YEAR_MAX = 1971, 9000
#: How long a stopped clock lets somebody sleep who waits for it.
LOOK_SECONDS = 60.0


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class SandboxClock:
    """Zone-aware wall time and growing seconds, both derived from the machine's and both adjustable."""

    machine_wall: Callable[[], datetime] = utc_now
    machine_monotonic: Callable[[], float] = time.monotonic
    #: Seconds that pass here for each second of the machine; 0 is a stopped clock.
    rate: float = 1.0
    #: Seconds between this clock and the `Date` header of answers; None leaves the header out.
    date_header_s: float | None = 0.0
    _wall_shift_s: float = field(default=0.0, init=False)
    _growing_shift_s: float = field(default=0.0, init=False)
    #: The machine's seconds when the rate was last set.
    _since_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._since_s = self.machine_monotonic()

    def wall(self) -> datetime:
        return self.machine_wall() + timedelta(seconds=self._wall_shift_s + self._gained_s())

    def monotonic(self) -> float:
        return self.machine_monotonic() + self._growing_shift_s + self._gained_s()

    def turn_to(self, moment: datetime, seconds: float = 0.0) -> None:
        """Set the wall clock to so many seconds after a moment; no time passes.

        Raises OverflowError, and changes nothing, for a time outside the years that it can show.
        """
        wanted = moment + timedelta(seconds=seconds)
        if not YEAR_MIN <= wanted.year <= YEAR_MAX:
            raise OverflowError(wanted.year)
        self._wall_shift_s += (wanted - self.wall()).total_seconds()

    def pass_growing(self, seconds: float) -> None:
        """Let durations pass at once; the wall clock is set apart."""
        self._growing_shift_s += seconds

    def set_rate(self, rate: float) -> None:
        """Let time pass at another rate from now on."""
        gained = self._gained_s()
        self._wall_shift_s += gained
        self._growing_shift_s += gained
        self._since_s = self.machine_monotonic()
        self.rate = rate

    def machine_seconds(self, seconds: float) -> float:
        """How long the machine has to wait for so many seconds to pass here."""
        return seconds / self.rate if self.rate > 0 else LOOK_SECONDS

    def date_header(self) -> str | None:
        """The `Date` header of an answer that is sent now; None when it is left out."""
        if self.date_header_s is None:
            return None
        shown = self.wall() + timedelta(seconds=self.date_header_s)
        return format_datetime(shown.astimezone(UTC), usegmt=True)

    def _gained_s(self) -> float:
        return (self.rate - 1.0) * (self.machine_monotonic() - self._since_s)
