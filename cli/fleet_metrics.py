"""What a Prometheus server reads from a worker of a fleet: every link of the folder, and the worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cli.console import standing_of, totals_of
from cli.crew import Roster
from cli.metrics_port import metrics_served
from cli.output import Output
from console.metrics import by_link
from console.pulse import Picture, pause_seconds, take_picture
from sync.fleet.crew import Crew
from sync.ledger.side_counts import MoneyMoved

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class FleetMetrics(Collector):
    """Counts each link in turn, and answers with the newest counts. Asks no side anything."""

    roster: Roster
    crew: Crew
    _pictures: dict[str, Picture] = field(default_factory=dict, init=False)
    _moved: dict[str, MoneyMoved] = field(default_factory=dict, init=False)

    def collect(self) -> Iterator[Metric]:
        names, usage = self.roster.names(), self.crew.usage()
        yield from by_link(
            {
                names[ledger]: replace(picture, usage=usage.get(ledger, {}))
                for ledger, picture in dict(self._pictures).items()
                if ledger in names
            }
        )
        turns = CounterMetricFamily("giftsync_turns", "Turns that this worker has taken.")
        turns.add_metric([], self.crew.taken)
        yield turns
        yield GaugeMetricFamily(
            "giftsync_links_open", "Links that this worker has open.", value=self.crew.open_links
        )

    def count(self, stop: threading.Event) -> None:
        """Count every link once, as far as there is time before `stop`."""
        for ledger in self.roster.names():
            if stop.is_set():
                return
            try:
                moved = self._moved.setdefault(ledger, MoneyMoved())
                with self.roster.built(ledger) as (settings, worker):
                    self._pictures[ledger] = take_picture(
                        worker.link,
                        lambda totals, s=settings, w=worker: standing_of(s, w, totals),  # type: ignore[misc]
                        totals_of(settings, worker),
                        moved,
                    )
            except Exception as error:  # noqa: BLE001 its counts grow old, which an alert tells of
                why = str(error) or type(error).__name__
                log.warning("a link could not be counted", action="metrics.failed", ledger=ledger, why=why)

    @contextmanager
    def served(self, port: int, output: Output) -> Iterator[None]:
        """Serve `/metrics` while the block runs, and count a twentieth of the time. Raises OperatorError."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        stop = threading.Event()
        counts = threading.Thread(target=self._count_always, args=(stop,), name="metrics", daemon=True)
        with metrics_served(port, registry, output):
            counts.start()
            try:
                yield
            finally:
                stop.set()

    def _count_always(self, stop: threading.Event) -> None:
        while not stop.is_set():
            began = time.monotonic()
            self.count(stop)
            stop.wait(pause_seconds(time.monotonic() - began, watched=False))
