"""The worker for ever: what has an interval, what has a bell, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.exc import SQLAlchemyError

from connectors.api.side import Feed, Side
from sync.feeds import reader
from sync.feeds.subscriptions import SUBSCRIBE_SECONDS
from sync.ledger.cards.store import Lease
from sync.ledger.database.engine import checkpoint
from sync.ledger.database.faults import FaultLog
from sync.ledger.incoming.deliveries import StoreResult
from sync.model import Card
from sync.worker.passes import CLAIMS_PER_THREAD, PassReport, silent
from sync.worker.ticker import Ticker

if TYPE_CHECKING:
    from sync.worker.worker import Worker

log = structlog.get_logger(__name__)

#: Longer than any feed looks back.
HINTS_KEPT = timedelta(days=3)
#: How often to look at a few cards of a side that is read one card at a time.
POLL_INTERVAL_SECONDS = 5.0
#: What becomes due by the clock alone is found this late at most.
DUE_SECONDS = 0.25
MATCH_SECONDS = 1.0
HEAR_SECONDS = 1.0
#: How often to ask how much one card may hold.
LIMITS_SECONDS = 3600.0
#: How often SQLite's log is moved into the database.
CHECKPOINT_SECONDS = 2.0
#: How often to look whether the ledger's file is still there, and whether the ledger is still the newest.
WATCH_SECONDS = 1.0
GENERATION_SECONDS = 10.0
#: How far back feeds are read again at least, up to twice as far, when a second ledger is found.
CURSORS_SECONDS = 600.0
#: How often to go on with what is done in several steps.
GO_ON_SECONDS = 5.0
#: How often the log says what was done since the last time.
LOG_COUNTS_SECONDS = 60.0
#: How often to look whether the machine's clock was set back.
CLOCK_SECONDS = 1.0


class Loop:
    """APScheduler drives what has an interval; what a customer may wait for has a bell. Pools do the work."""

    def __init__(self, worker: Worker, run_id: int) -> None:
        self.worker, self.run_id = worker, run_id
        self.report = PassReport()
        self._counts_logged: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(worker.options.threads, "card")
        self.faults = FaultLog(worker.engine)
        self.due = Ticker("due", DUE_SECONDS, self._work_due, self.faults.note)
        self.match = Ticker("match", MATCH_SECONDS, self._match, self.faults.note)
        self._hears = {side: self._delivery_ticker(side) for side in worker.listeners}
        self._running: dict[Future[Card | None], Lease] = {}
        #: Of cards whose work ended in a fault of the database, which could not take them back.
        self._to_free: list[Lease] = []
        self._lock = threading.Lock()
        #: Held while cards are claimed, so that none is claimed after the end.
        self._claiming = threading.Lock()
        self._stop = threading.Event()
        self._scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._clock = Ticker("clock", CLOCK_SECONDS, self._keep_intervals, self.faults.note)
        self._read: set[tuple[str, str]] = set()
        self._feeds = {
            (side.name, feed.name): self._feed_ticker(side, feed)
            for side in worker.link.sides.values()
            for feed in side.feeds
        }
        self._looks = {side.name: self._look_ticker(side) for side in worker.link.sides.values()}

    def _feed_ticker(self, side: Side, feed: Feed) -> Ticker:
        seconds = self.worker.options.feed_interval_seconds or feed.interval_seconds
        return Ticker(
            f"feed {side.name} {feed.name}", seconds, lambda: self._read_feed(side, feed), self.faults.note
        )

    def _delivery_ticker(self, side: str) -> Ticker:
        return Ticker(f"hear {side}", HEAR_SECONDS, lambda: self._hear(side), self.faults.note)

    def _look_ticker(self, side: Side) -> Ticker:
        one_by_one = side.name in self.worker.pollers
        seconds = POLL_INTERVAL_SECONDS if one_by_one else self.worker.options.sweep_interval_seconds
        return Ticker(f"look {side.name}", seconds, lambda: self._look(side), self.faults.note)

    def start(self) -> None:
        """Begin; returns at once."""
        worker = self.worker
        now = datetime.now(tz=self._scheduler.timezone)
        self._every(GO_ON_SECONDS, now, "go on", self._go_on)
        self._every(86_400.0, now, "forget", self._forget)
        self._every(
            LOG_COUNTS_SECONDS, now + timedelta(seconds=LOG_COUNTS_SECONDS), "counts", self._log_counts
        )
        self._every(CHECKPOINT_SECONDS, now, "checkpoint", checkpoint, worker.engine)
        self._every(LIMITS_SECONDS, now, "limits", self._read_limits)
        self._every(WATCH_SECONDS, now, "watch", worker.watch_file)
        first = now + timedelta(seconds=GENERATION_SECONDS)
        self._every(GENERATION_SECONDS, first, "generation", worker.keep_generation)
        self._every(CURSORS_SECONDS, now, "cursors", worker.remember_cursors)
        if worker.subscribers:
            self._every(SUBSCRIBE_SECONDS, now, "subscribe", self._subscribe)
        self._scheduler.start()
        for ticker in self._tickers:
            ticker.start()

    @property
    def _tickers(self) -> tuple[Ticker, ...]:
        return (
            self.due,
            self.match,
            self._clock,
            *self._hears.values(),
            *self._feeds.values(),
            *self._looks.values(),
        )

    def _every(
        self, seconds: float, first: datetime, name: str, job: Callable[..., None], *args: object
    ) -> None:
        def run() -> None:
            try:
                job(*args)
            except Exception as error:  # noqa: BLE001 told in our words, and repeated
                self.faults.note(name, error)

        self._scheduler.add_job(run, "interval", seconds=seconds, next_run_time=first, id=name, name=name)

    def _keep_intervals(self) -> None:
        end_long_waits(self._scheduler, datetime.now(tz=self._scheduler.timezone))

    def drain(self, seconds: float) -> bool:
        """Begin nothing more, and wait for what is under way; whether all of it ended in time."""
        for ticker in self._tickers:
            ticker.stop()
        # At once: work in many small steps ends after the one under way.
        self._stop.set()
        deadline = time.monotonic() + seconds
        # Whoever is claiming cards has told of them by then; it may look at them first, in a call that hangs.
        if not self._claiming.acquire(timeout=seconds):
            return False
        self._claiming.release()
        # In a thread, since waiting for the jobs that are under way has no limit of its own.
        jobs = threading.Thread(target=self._scheduler.shutdown, name="shutdown", daemon=True)
        jobs.start()
        with self._lock:
            running = dict(self._running)
        # What has not begun is given back at once, for whoever works next.
        given_back = [lease for future, lease in running.items() if future.cancel()]
        for lease in given_back:
            self.worker.store.release(lease, self.worker.link.clock())
        _, unfinished = wait([f for f in running if not f.cancelled()], max(deadline - time.monotonic(), 0.0))
        self._pool.shutdown(wait=False)
        jobs.join(max(deadline - time.monotonic(), 0.0))
        ended = [ticker.join(max(deadline - time.monotonic(), 0.0)) for ticker in self._tickers]
        return not unfinished and not jobs.is_alive() and all(ended)

    def abandon(self) -> None:
        """Begin nothing more and wait for nothing: the ledger can keep nothing of it any more."""
        for ticker in self._tickers:
            ticker.stop()
        self._stop.set()
        self._scheduler.shutdown(wait=False)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read_feed(self, side: Side, feed: Feed) -> None:
        before = self.report.hints
        self.worker.guarded(
            self.report, side.name, lambda: self.worker.feed_into(self.report, side, feed, self._stop)
        )
        if self._stop.is_set():
            # It may have been cut short.
            return
        self._read.add((side.name, feed.name))
        if self._every_feed_was_read():
            self.worker.every_feed_was_read()
        if self.report.hints != before:
            self.due.wake_up()
            self.match.wake_up()

    def _look(self, side: Side) -> None:
        def look(how: Callable[[], reader.Swept | None]) -> None:
            looked = how()
            if looked is not None:
                self.report.swept += looked.looked_at
                if looked.differ:
                    self.due.wake_up()

        for how in (
            lambda: self.worker.look(side),
            lambda: self.worker.sweep_by_list(side, self._stop.is_set),
        ):
            self.worker.guarded(self.report, side.name, lambda h=how: look(h))  # type: ignore[misc]

    def wake(self, side: str, kept: StoreResult) -> None:
        """Go on with a delivery that was just stored. Safe from any thread."""
        if kept.due:
            self.due.wake_up()
        if kept.arrived:
            self.match.wake_up()
        if kept.to_hear and side in self._hears:
            self._hears[side].wake_up()

    def _hear(self, side: str) -> None:
        told = self.worker.hear(self.report, side)
        if told.hints:
            self.due.wake_up()
        for feed in told.feeds:
            self._feeds[feed].wake_up()
        for side_name in told.lists:
            self._looks[side_name].wake_up()
        if told.arrived:
            self.match.wake_up()
        if told.more:
            self._hears[side].wake_up()

    def _read_limits(self) -> None:
        self.worker.read_limits(self.report)

    def _subscribe(self) -> None:
        self.worker.keep_subscribed(self.report)

    def _log_counts(self) -> None:
        counts, before = self.report.counts, self._counts_logged
        self._counts_logged = counts
        since = {name: value - before.get(name, 0) for name, value in counts.items()}
        log.info("what the worker did in the last minute", action="run.passed", run_id=self.run_id, **since)

    def _go_on(self) -> None:
        self._free()
        self.faults.look_back()
        self.worker.go_on(PassReport())

    def _forget(self) -> None:
        now = self.worker.link.clock()
        self.worker.inbox.forget_old(now, self.worker.listeners)
        self.worker.intake.forget_hints(now - HINTS_KEPT)

    def _every_feed_was_read(self) -> bool:
        return {(s.name, f.name) for s in self.worker.link.sides.values() for f in s.feeds} <= self._read

    def _match(self) -> None:
        # A card without a serial may belong to one that another feed has not told of yet.
        if self._every_feed_was_read() and not self.worker.is_stopped():
            self.worker.match_all(self.report, self.run_id, silent, self._stop)

    def _work_due(self) -> None:
        with self._claiming:
            free = self.worker.options.threads * CLAIMS_PER_THREAD - len(self._running)
            # What a feed still has to tell may show that this is not the newest ledger.
            if self._stop.is_set() or free <= 0 or not self._every_feed_was_read():
                return
            started = self.worker.start_due(self._pool, free, self.run_id)
            with self._lock:
                self._running.update(started)
        for future in started:
            future.add_done_callback(self._done)

    def _done(self, future: Future[Card | None]) -> None:
        with self._lock:
            lease = self._running.pop(future, None)
        error = None if future.cancelled() else future.exception()
        if isinstance(error, SQLAlchemyError | OSError):
            self.faults.note("card", error)
            self.report.add_error(f"the database failed ({type(error).__name__}); see the log")
            if lease is not None:
                with self._lock:
                    self._to_free.append(lease)
        elif not future.cancelled():
            self.report.worked += self.worker.ended_well(future, self.report)
        self.due.wake_up()

    def _free(self) -> None:
        """Give back the cards that a fault has kept, once the database takes them; their leases are long."""
        with self._lock:
            leases, self._to_free = self._to_free, []
        try:
            while leases:
                self.worker.store.release(leases[-1], self.worker.link.clock())
                leases.pop()
        finally:
            with self._lock:
                self._to_free += leases


def end_long_waits(scheduler: BackgroundScheduler, now: datetime) -> None:
    """Let no job wait longer than its interval.

    The scheduler waits for moments of the machine's clock, and one that is set back a day would stop its jobs
    for a day.
    """
    for job in scheduler.get_jobs():
        if job.next_run_time - now > job.trigger.interval:
            job.modify(next_run_time=now)
