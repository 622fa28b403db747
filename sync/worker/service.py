"""Service mode: schedule feeds, sweeps and due cards until stopped, then drain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from sync.ledger.cards.store import Lease
from sync.ledger.database.engine import checkpoint
from sync.ledger.database.faults import FaultLog, is_fault
from sync.ledger.incoming.deliveries import StoreResult
from sync.model import Card
from sync.worker.passes import CLAIMS_PER_THREAD, PassReport
from sync.worker.ticker import Ticker
from sync.worker.turns import DUE, DUE_SECONDS, MATCH, Kind, Turn, Turns
from sync.worker.worker import Worker

log = structlog.get_logger(__name__)

#: A worker that is told to stop finishes what it holds within this time; the rest recovers at the next start.
DRAIN_SECONDS = 4.0
#: How often SQLite's log is moved into the database.
CHECKPOINT_SECONDS = 2.0
#: How often to look whether the ledger's file is still there, and whether the ledger is still the newest.
WATCH_SECONDS = 1.0
GENERATION_SECONDS = 10.0
#: How far back feeds are read again at least, up to twice as far, when a second ledger is found.
CURSORS_SECONDS = 600.0
#: How often the log says what was done since the last time.
LOG_COUNTS_SECONDS = 60.0
#: How often to look whether the database works again.
FAULTS_SECONDS = 5.0
#: How often to look whether the machine's clock was set back.
CLOCK_SECONDS = 1.0

#: Woken by what was stored or found. Work on due cards is not among them: the loop starts these by itself.
_WOKEN = (Kind.MATCH, Kind.PROCESS, Kind.READ, Kind.LOOK)
#: Not at the start, when a person waits to see what it does.
_LATER = (Kind.VERIFY,)


class Service:
    """Has a worker go on until told to stop; a stored delivery wakes it."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        #: The loop under way, if any.
        self._loop: Loop | None = None

    def run(self, stop: threading.Event) -> bool:
        """Work until `stop` is set; then finish what is held within DRAIN_SECONDS.

        Returns False when a call was still under way at the end of that time; what it did is found out at the
        next start. Raises LedgerUnavailable when the ledger is deleted or replaced meanwhile.
        """
        worker = self.worker
        worker.serve_until(stop)
        if stop.is_set():
            return True
        worker.recover_ownership()
        run_id = worker.start_run("run")
        loop = self._loop = Loop(worker, run_id)
        worker.read_limits(loop.report)
        loop.start()
        sides = sorted(worker.link.sides)
        log.info("the worker has started", action="run.started", run_id=run_id, sides=sides)
        stop.wait()
        self._loop = None
        if worker.failure is not None:
            loop.abandon()
            raise worker.failure
        drained = loop.drain(DRAIN_SECONDS)
        worker.end_run(run_id, loop.report)
        counts = loop.report.counts
        log.info("the worker has stopped", action="run.stopped", run_id=run_id, drained=drained, **counts)
        return drained

    def wake(self, side: str, kept: StoreResult) -> None:
        """A delivery was stored: go on with it now. Safe from any thread, and when nothing runs."""
        loop = self._loop
        if loop is not None:
            loop.wake(side, kept)

    def wake_turn(self, turn: str) -> None:
        """Another process has stored news for the turn of that name. Safe from any thread, and when nothing
        runs.
        """
        loop = self._loop
        if loop is not None:
            loop.wake_turn(turn)

    def wake_due(self) -> None:
        """A card is due now: go on with it. Safe from any thread, and when nothing runs."""
        loop = self._loop
        if loop is not None:
            loop.due.wake_up()

    def why_stopped(self) -> list[str]:
        """Why nobody else may write now, in words; empty while the service works."""
        loop = self._loop
        if loop is None:
            return ["giftsync is starting or stopping."]
        if not loop.has_read_every_feed():
            return ["giftsync has just started, and reads what happened meanwhile."]
        return self.worker.why_stopped()


class Loop:
    """APScheduler drives what has an interval; a ticker what a customer may wait for. Pools do the work."""

    def __init__(self, worker: Worker, run_id: int) -> None:
        self.worker, self.run_id = worker, run_id
        self.report = PassReport()
        self._counts_logged: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(worker.options.threads, "card")
        self.faults = FaultLog(worker.engine)
        self._running: dict[Future[Card | None], Lease] = {}
        #: Whether there may be due cards that no thread was free for.
        self._left_some = False
        self._lock = threading.Lock()
        #: Held while cards are claimed, so that none is claimed after the end.
        self._claiming = threading.Lock()
        self._stop = threading.Event()
        #: Whether every feed was read, so that cards are worked on.
        self._has_begun = False
        self._began_at = time.monotonic()
        self._scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._clock = Ticker("clock", CLOCK_SECONDS, self._keep_intervals, self.faults.note)
        self.turns = Turns(worker, self.report, run_id)
        self.due = Ticker("due", DUE_SECONDS, self._work_due, self.faults.note)
        self._woken = {turn: self._ticker(turn) for turn in self.turns.all if turn.kind in _WOKEN}
        self._by_name = {str(turn): ticker for turn, ticker in self._woken.items()}

    def _ticker(self, turn: Turn) -> Ticker:
        return Ticker(str(turn), self.turns.seconds(turn), lambda: self._take(turn), self.faults.note)

    def _take(self, turn: Turn) -> None:
        for woken in self.turns.take(turn, self._stop):
            self._wake(woken)
        if turn.kind is Kind.READ:
            self._begin_with_cards()

    def _begin_with_cards(self) -> None:
        """Cards that came due meanwhile waited for the feeds, and wait no longer."""
        with self._lock:
            if self._has_begun or not self.has_read_every_feed():
                return
            self._has_begun = True
        seconds = round(time.monotonic() - self._began_at, 3)
        log.info("every feed was read; cards are worked on", action="run.ready", seconds=seconds)
        self._wake(DUE)
        self._wake(MATCH)

    def _wake(self, turn: Turn) -> None:
        ticker = self.due if turn == DUE else self._woken.get(turn)
        if ticker is not None:
            ticker.wake_up()

    def start(self) -> None:
        """Begin; returns at once."""
        worker = self.worker
        now = datetime.now(tz=self._scheduler.timezone)
        for turn in self.turns.all:
            if turn != DUE and turn.kind not in _WOKEN:
                seconds = self.turns.seconds(turn)
                first = now + timedelta(seconds=seconds if turn.kind in _LATER else 0.0)
                self._every(seconds, first, str(turn), self._take, turn)
        self._every(
            LOG_COUNTS_SECONDS, now + timedelta(seconds=LOG_COUNTS_SECONDS), "counts", self._log_counts
        )
        self._every(FAULTS_SECONDS, now, "faults", self.faults.look_back)
        self._every(CHECKPOINT_SECONDS, now, "checkpoint", checkpoint, worker.engine)
        self._every(WATCH_SECONDS, now, "watch", worker.watch_file)
        first = now + timedelta(seconds=GENERATION_SECONDS)
        self._every(GENERATION_SECONDS, first, "generation", worker.keep_generation)
        self._every(CURSORS_SECONDS, now, "cursors", worker.remember_cursors)
        self._scheduler.start()
        for ticker in self._tickers:
            ticker.start()

    @property
    def _tickers(self) -> tuple[Ticker, ...]:
        return (self.due, self._clock, *self._woken.values())

    def _every(
        self, seconds: float, first: datetime, name: str, job: Callable[..., object], *args: object
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
        # At once, for whoever works next.
        begun = self.worker.give_back(running)
        _, unfinished = wait(begun, max(deadline - time.monotonic(), 0.0))
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

    def wake(self, side: str, kept: StoreResult) -> None:
        """Go on with a delivery that was just stored. Safe from any thread."""
        for turn, is_news in (
            (DUE, kept.due),
            (MATCH, kept.arrived),
            (Turn(Kind.PROCESS, side), kept.to_process),
        ):
            if is_news:
                self._wake(turn)

    def wake_turn(self, turn: str) -> None:
        """Take the turn of that name now; one that news does not wake is left to its pace."""
        ticker = self.due if turn == str(DUE) else self._by_name.get(turn)
        if ticker is not None:
            ticker.wake_up()

    def _log_counts(self) -> None:
        counts, before = self.report.counts, self._counts_logged
        self._counts_logged = counts
        since = {name: value - before.get(name, 0) for name, value in counts.items()}
        log.info("what the worker did in the last minute", action="run.passed", run_id=self.run_id, **since)

    def has_read_every_feed(self) -> bool:
        return self.turns.has_read_every_feed()

    def _work_due(self) -> None:
        with self._claiming:
            free = self.worker.options.threads * CLAIMS_PER_THREAD - len(self._running)
            # What a feed still has to tell may show that this is not the newest ledger.
            if self._stop.is_set() or not self.has_read_every_feed():
                return
            # Before the claim: a card that ends during it is not passed over.
            self._left_some = True
            started = {} if free <= 0 else self.worker.start_due(self._pool, free, self.run_id)
            self._left_some = len(started) >= free
            with self._lock:
                self._running.update(started)
        for future in started:
            future.add_done_callback(self._done)

    def _done(self, future: Future[Card | None]) -> None:
        with self._lock:
            lease = self._running.pop(future, None)
        error = None if future.cancelled() else future.exception()
        if is_fault(error):
            self.faults.note("card", error)
            self.report.add_error(f"the database failed ({type(error).__name__}); see the log")
        elif not future.cancelled():
            self.report.worked += self.worker.ended_well(future, self.report)
        if self._left_some or error is not None or lease is None or self._is_due(lease):
            self.due.wake_up()

    def _is_due(self, lease: Lease) -> bool:
        """Whether news of the card came while it was worked on.

        To look costs less than a claim that finds nothing, which takes its turn among the writers.
        """
        try:
            return self.worker.store.is_due(lease.card_id, self.worker.link.clock())
        except Exception:  # noqa: BLE001 the claim tells what is wrong with the database
            return True


def end_long_waits(scheduler: BackgroundScheduler, now: datetime) -> None:
    """Let no job wait longer than its interval.

    The scheduler waits for moments of the machine's clock, and one that is set back a day would stop its jobs
    for a day.
    """
    for job in scheduler.get_jobs():
        if job.next_run_time - now > job.trigger.interval:
            job.modify(next_run_time=now)
