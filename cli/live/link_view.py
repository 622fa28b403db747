"""The live view of a configured link, read from its ledger: for `run` and `status --watch`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import StringIO
from statistics import quantiles

from rich.console import Console
from rich.live import Live
from rich.text import Text
from sqlalchemy import Engine

from cli.live.picture import PLOT_WIDTH_MAX, TRAVELS_SHOWN, Picture, Travel
from cli.output import plural, when
from cli.status_report import StatusReport, read_report
from config.settings import Settings
from connectors.api.side import Side
from sync.ledger.journeys import Journey, newest_journeys

#: Between two looks at the ledger; a large one is looked at less often.
LOOK_SECONDS = 0.5
LOOK_FACTOR = 20.0
REFRESHES_PER_SECOND = 4


@dataclass
class LinkView:
    """Reads the ledger again and again; asks the sides nothing."""

    settings: Settings
    engine: Engine
    sides: Mapping[str, Side]
    clock: Callable[[], datetime]
    _apart_minor: deque[int] = field(default_factory=lambda: deque(maxlen=PLOT_WIDTH_MAX), init=False)

    def picture(self) -> Picture:
        now = self.clock()
        report = read_report(self.settings, self.engine, self.sides, now)
        journeys = newest_journeys(self.engine, PLOT_WIDTH_MAX)
        totals = report.totals.shown_minor
        self._apart_minor.append(max(totals.values(), default=0) - min(totals.values(), default=0))
        lags = [one.seconds for one in reversed(journeys) if one.seconds is not None]
        zone = self.settings.link.zone
        wrong = [
            *(f"STOPPED: {words}" for words in report.stopped_by),
            *(one.words for one in report.outages),
        ]
        return Picture(
            headline=" ".join(wrong) or report.summary,
            well=not wrong and not report.counts.conflicts and not report.one_sided,
            corner=f"{'worker runs' if report.worker_runs else 'no worker runs'}, {when(now, zone)[11:]}",
            currency=report.currency or self.settings.link.currency or "XXX",
            zone=zone,
            totals_minor=totals,
            apart_minor=tuple(self._apart_minor),
            travels=[travel_of(one) for one in journeys[:TRAVELS_SHOWN]],
            lags=lags,
            lag_words=_lag_words(lags),
            lines=[*((report.summary,) if wrong else ()), *_lines(report, now)],
            places=report.places,
        )

    def show(self, console: Console, stop: threading.Event) -> None:
        """Draw until `stop` is set."""
        with Live(
            self.picture(), console=console, refresh_per_second=REFRESHES_PER_SECOND, transient=True
        ) as live:
            pause = LOOK_SECONDS
            while not stop.wait(pause):
                began = time.monotonic()
                live.update(self.picture())
                pause = max(LOOK_SECONDS, LOOK_FACTOR * (time.monotonic() - began))


class LinesAbove(StringIO):
    """Where log lines go while the view is shown: each is printed above it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text.strip():
            self._console.print(Text.from_ansi(text.rstrip()))
        return len(text)


def travel_of(journey: Journey) -> Travel:
    """A movement as the ledger knows it."""
    to = tuple(one.side for one in journey.carried)
    return Travel(journey.at, journey.last_chars, journey.amount_minor, journey.side, to, journey.seconds)


def _lag_words(lags: list[float]) -> str:
    """From the entry into the ledger to the other side: how late a movement was noticed is not in it."""
    if not lags:
        return "no movement was carried yet"
    cuts = quantiles(lags if len(lags) > 1 else lags * 2, n=20, method="inclusive")
    return f"half carried within {cuts[9]:.1f} s, 95 % within {cuts[18]:.1f} s"


def _lines(report: StatusReport, now: datetime) -> list[str]:
    counts = report.counts
    doubt = counts.intents.get("in_doubt", 0)
    lines = [
        f"{plural(counts.due, 'card')} to work on, {plural(counts.arrivals, 'card')} not matched yet, "
        f"{plural(sum(counts.intents.values()), 'open intent')}" + (f" ({doubt} in doubt)" if doubt else "")
    ]
    newest: dict[str, datetime] = {}
    for (side, _), at in counts.feeds.items():
        newest[side] = max(at, newest.get(side, at))
    read = (
        f"{report.places.system(side)} {max(0, round((now - at).total_seconds()))} s ago"
        for side, at in sorted(newest.items())
    )
    return [*lines, f"Last read: {', '.join(read) or 'nothing yet'}"]
