"""What the overview shows, counted again and again beside the pages, so that no page waits for a count.

A million cards take seconds to add up, so that is done apart from all else, which takes milliseconds. A
reader waits twenty times as long as counting took before it counts again, and every page says when that was.
While nobody watches, it is counted now and then only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from connectors.api.capabilities import Usage
from sync.ledger import views
from sync.ledger.journeys import Journey, newest_journeys
from sync.ledger.side_counts import MoneyMoved, Moved, SideCounts, read_side_counts
from sync.ledger.totals import Totals
from sync.ledger.views import ConflictRow, RunRow
from sync.reconcile.work import Link
from sync.standing import Standing

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
PAUSE_FACTOR = 20.0
#: Whoever watches asks more often than this.
WATCHED_SECONDS = 5.0
#: What is counted so often is never called stale.
UNWATCHED_PAUSE_SECONDS = 15.0
JOURNEYS_MAX = 2_000
A_DAY = timedelta(days=1)
#: Not counted for so long: what is shown is called stale.
STALE = timedelta(seconds=30)
RUNS_SHOWN = 5
CONFLICTS_SHOWN = 5
#: Cards that are added up as fast as this are added up again whenever somebody has decided something.
QUICK_SECONDS = 0.1


@dataclass(frozen=True)
class Picture:
    """The link at one moment."""

    at: datetime
    standing: Standing
    #: The newest movements of the last day, newest first.
    journeys: Sequence[Journey]
    usage: Mapping[str, Usage]
    #: The dearest open conflicts.
    conflicts: Sequence[ConflictRow]
    runs: Sequence[RunRow]
    #: What is under way on each side.
    sides: SideCounts
    #: What has moved since the ledger began, by side and currency.
    moved: Mapping[tuple[str | None, str], Moved]
    #: How long counting took, without the totals.
    seconds: float

    @property
    def waiting(self) -> int:
        """How many conflicts are open."""
        return sum(self.standing.counts.conflicts.values())

    @property
    def totals(self) -> Totals:
        """What every card was looked at for; older than the rest."""
        return self.standing.totals

    @property
    def lags(self) -> list[tuple[datetime, float]]:
        return [(one.at, one.seconds) for one in self.journeys if one.seconds is not None]


def take_picture(
    link: Link, standing: Callable[[Totals], Standing], totals: Totals, moved: MoneyMoved
) -> Picture:
    """Read the rest; asks the sides nothing."""
    began, now = time.monotonic(), link.clock()
    engine = link.store.engine
    return Picture(
        at=now,
        standing=standing(totals),
        journeys=newest_journeys(engine, JOURNEYS_MAX, now - A_DAY),
        usage={name: side.usage() for name, side in link.sides.items()},
        conflicts=views.open_conflicts(engine, CONFLICTS_SHOWN),
        runs=views.newest_runs(engine, RUNS_SHOWN),
        sides=read_side_counts(engine),
        moved=moved.read(engine, now),
        seconds=time.monotonic() - began,
    )


def pause_seconds(took_seconds: float, *, watched: bool) -> float:
    """How long to wait before it is counted again."""
    least = PAUSE_SECONDS if watched else UNWATCHED_PAUSE_SECONDS
    return max(least, PAUSE_FACTOR * took_seconds)


class Pulse:
    """Keeps the newest picture. The thread runs while the block does."""

    def __init__(
        self,
        link: Callable[[], Link],
        standing: Callable[[Totals], Standing],
        totals: Callable[[], Totals],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link, self._standing, self._add_up, self._monotonic = link, standing, totals, monotonic
        self._asked_at = monotonic()
        self._picture: Picture | None = None
        self._totals: Totals | None = None
        self._added_up_at = monotonic()
        self._moved = MoneyMoved()
        self._version = 0
        #: Held for a moment only, but while the first picture is taken.
        self._lock, self._first = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wanted.set()
        self._thread.join(PAUSE_SECONDS * 10)

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    @property
    def version(self) -> int:
        self._ask()
        return self._version

    def picture(self) -> Picture:
        """The newest one. The first is taken by whoever asks for it, and so is one after a time in which
        nobody did, unless counting takes long.
        """
        was_watched = self._ask()
        found = self._picture
        if found is None:
            with self._first:
                return self._picture or self.refresh()
        if not was_watched and self._thread.is_alive() and found.seconds < PAUSE_SECONDS:
            return self.refresh()
        return found

    def _ask(self) -> bool:
        """Note that somebody watches; whether somebody did before."""
        was_watched, self._asked_at = self._is_watched(), self._monotonic()
        if not was_watched:
            self.soon()
        return was_watched

    def _is_watched(self) -> bool:
        return self._monotonic() - self._asked_at < WATCHED_SECONDS

    def refresh(self) -> Picture:
        """Take one now: something was decided. Totals that take long to add up stay as they are."""
        found = self._totals
        return self._take(found if found is not None and found.seconds >= QUICK_SECONDS else None)

    def _take(self, totals: Totals | None) -> Picture:
        if totals is None:
            totals = self._totals = self._add_up()
            self._added_up_at = self._monotonic()
        picture = take_picture(self._link(), self._standing, totals, self._moved)
        with self._lock:
            # Another thread may have begun later and be done.
            if self._picture is None or self._picture.at <= picture.at:
                self._picture = picture
                self._version += 1
            return self._picture

    def _kept(self) -> Totals | None:
        """The totals, unless they are to be added up again."""
        found = self._totals
        if found is None:
            return None
        age = self._monotonic() - self._added_up_at
        return found if age < pause_seconds(found.seconds, watched=self._is_watched()) else None

    def soon(self) -> None:
        """Do not wait for the end of the pause."""
        self._wanted.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._first if self._picture is None else nullcontext():
                    took = self._take(self._kept()).seconds
            except Exception as error:  # noqa: BLE001 the pages say since when nothing was counted
                log.warning("the link could not be counted", action="pulse.failed", why=type(error).__name__)
                took = PAUSE_SECONDS
            self._wanted.wait(pause_seconds(took, watched=self._is_watched()))
            self._wanted.clear()
