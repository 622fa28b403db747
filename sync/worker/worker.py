"""The worker: reads feeds, matches arrivals, sweeps, and brings due cards in step."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from math import ceil

import structlog

from connectors.api.bulk import Catalogue, Limited
from connectors.api.errors import NoAnswer, SideClosed
from connectors.api.feed import Feed
from connectors.api.side import Side
from connectors.api.webhooks import Listener, Subscriber
from connectors.bugs import where
from sync.arrivals.ahead import Ahead, look_ahead
from sync.arrivals.match import Matched, Matcher
from sync.arrivals.missing import add_missing
from sync.authority.upkeep import ApiUpkeep
from sync.feeds import reader
from sync.feeds.deliveries import DeliveryProcessor, ProcessedDeliveries
from sync.feeds.list_sweep import ListSweep
from sync.feeds.poller import Poller
from sync.feeds.subscriptions import keep_subscribed
from sync.ledger.cards.due import count_due, make_behind_due, make_postponed_due, next_due
from sync.ledger.cards.store import Lease, Store
from sync.ledger.cards.waits import bring_near
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.database.engine import Engine, LedgerGone, LedgerUnavailable, check_file
from sync.ledger.database.faults import is_fault
from sync.ledger.database.generation import (
    Behind,
    Generation,
    behind,
    caught_up,
    cursors,
    fall_behind,
    put_back,
)
from sync.ledger.database.migrations import check_release, is_current
from sync.ledger.database.running import begin_reading, note_feeds_read
from sync.ledger.database.runs import end_run, start_run
from sync.ledger.incoming.deliveries import Inbox
from sync.ledger.incoming.intake import Arrival, Intake
from sync.ledger.incoming.polls import Polls, ReadRecord
from sync.ledger.proof.adopt import adopt_unproved
from sync.ledger.sides.outages import LOOKING, reading_of
from sync.model import Card, ConflictKind, LinkStopped
from sync.reconcile.behind import second_ledger, tell_of_undecided
from sync.reconcile.brakes import BrakeTripped, access_revoked
from sync.reconcile.card import prefetch, reconcile
from sync.reconcile.work import Link
from sync.support import assign
from sync.support.notices import Notices
from sync.support.privacy import Privacy
from sync.worker import changed_rules, verification
from sync.worker.identity import check_identity
from sync.worker.passes import CLAIMS_PER_THREAD, CountedOnce, PassReport, Progress, WorkerOptions, silent
from sync.worker.verification import VERIFY_SECONDS

log = structlog.get_logger(__name__)

ARRIVALS_BATCH = 200
#: Given the link, the report, the run, whom to tell and what stops it. Raises like a side, BrakeTripped and
#: LinkStopped.
MakeNewCards = Callable[[Link, PassReport, int, Progress, threading.Event], None]
#: How often one pass looks whether a list is ready.
LIST_LOOK_SECONDS = 1.0


@dataclass
class Worker:
    """Works for one link. `sync_once` makes one pass; a `Service` has it go on until told to stop."""

    link: Link
    matcher: Matcher
    options: WorkerOptions = field(default_factory=WorkerOptions)
    #: Sides that tell of changes by webhooks, by name.
    listeners: Mapping[str, Listener] = field(default_factory=dict)
    #: Sides whose webhooks are switched on by the worker, and where each is to deliver them, if anywhere.
    subscribers: Sequence[tuple[Subscriber, str | None]] = ()
    #: Sides that list all their cards in a file, by name.
    catalogues: Mapping[str, Catalogue] = field(default_factory=dict)
    #: Sides that hold no more than so much on one card, by name.
    limited: Mapping[str, Limited] = field(default_factory=dict)
    #: Tells people of new conflicts, if they want to be told.
    notices: Notices | None = None
    #: Answers privacy requests.
    privacy: Privacy | None = None
    #: One for each side that is read one card at a time.
    pollers: Mapping[str, Poller] = field(init=False)
    #: Makes the new cards of a pass from one file, where that is faster than one by one.
    make_new_cards: MakeNewCards | None = None
    #: Goes on with that in a turn, given the same but for whom to tell; seconds until there is more to do,
    #: None while there is nothing.
    carry_new_cards: Callable[[Link, PassReport, int, threading.Event], float | None] | None = None
    #: Tells whether the ledger is the newest of its link; None: nothing is known of that.
    generation: Generation | None = None
    #: Carries on the imports that were queued, given when to stop and the run; seconds until there is more to
    #: do, None while none is queued.
    carry_imports: Callable[[threading.Event, int], float | None] | None = None
    #: What the API of the link has done beside the sync; None where it has none.
    api: ApiUpkeep | None = None
    #: True at the start: another run may have stopped the link.
    _was_stopped: bool = field(default=True, init=False)
    #: Why no card may be decided before every feed was read to now.
    _behind: Behind | None = field(default=None, init=False)
    #: Where the feeds stood a while ago, and less long ago.
    _cursors_before: Mapping[tuple[str, str], str] = field(default_factory=dict, init=False)
    _cursors_after: Mapping[tuple[str, str], str] = field(default_factory=dict, init=False)
    #: Where the feeds stood at the start, until each was read once.
    _cursors: Mapping[tuple[str, str], str] | None = field(default=None, init=False)
    #: Sides whose whole list of cards this run has read.
    _listed: set[str] = field(default_factory=set, init=False)
    _catching_up: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    #: Ends the service.
    _stop: threading.Event | None = field(default=None, init=False)
    _failure: LedgerUnavailable | None = field(default=None, init=False)
    #: Of cards whose work ended in a fault of the database, which could not take them back.
    _to_free: deque[Lease] = field(default_factory=deque, init=False, repr=False)

    def __post_init__(self) -> None:
        self.pollers = {
            name: Poller(self.link, Polls(self.engine, self.store.vault, name, self.options.budget(name)))
            for name, side in self.link.sides.items()
            if side.capabilities.read_batch_max == 1
        }

    @property
    def engine(self) -> Engine:
        return self.link.store.engine

    @property
    def store(self) -> Store:
        return self.link.store

    @property
    def intake(self) -> Intake:
        return self.matcher.intake

    # --- one pass -------------------------------------------------------------------------------------------

    def recover_ownership(self) -> None:
        """Free what a worker that died has left, when the database admits one worker only; look at what
        changed settings leave to be done, and whether the ledger is the newest.
        """
        now = self.link.clock()
        if bring_near(self.store, now, self.link.quiet_seconds):
            log.warning("waits of another clock were ended", action="clock.waits_ended")
        if self.generation is not None and not self.generation.on_many_machines:
            # First: who sees the generation raised knows that this was not said before.
            begin_reading(self.engine, now)
        if self.generation is not None:
            why = self.generation.begin(self.link.clock())
            if why is not None:
                log.warning("the ledger may not be the newest", action="ledger.behind", why=why)
        self._behind = behind(self.engine)
        self._cursors = cursors(self.engine)
        self._cursors_before = self._cursors_after = self._cursors
        if self.engine.dialect.name == "sqlite":
            self.store.free_all(now)
        if adopted := adopt_unproved(self.store, now):
            log.info("cards of an older ledger were verified", action="ledger.adopted", cards=adopted)
        changed_rules.reconsider_after_rule_change(self.link)
        self.intake.take_back(self.link.rules.brands.excludes, self.link.clock())

    def check_sides(self) -> None:
        """Raises SideError when a side cannot be used or is another than this ledger was made with."""
        for side in self.link.sides.values():
            check_identity(self.engine, side, self.link.currency, self.link.clock(), self.link.sides)

    def read_limits(self, report: PassReport) -> None:
        """Ask the sides how much one card may hold, so that nothing is sent that they would refuse."""
        for name in self.limited:
            self.guarded(report, name, lambda n=name: self._read_limit(n))  # type: ignore[misc]

    def _read_limit(self, side: str) -> None:
        found = self.limited[side].creation_limit()
        minor = found[0] if found is not None and found[1] == self.link.currency else None
        rules = self.link.rules
        if side not in rules.sides or minor == rules.sides[side].card_limit_minor:
            return
        limited = replace(rules.sides[side], card_limit_minor=minor)
        rules = replace(rules, sides={**rules.sides, side: limited})
        self.link = replace(self.link, rules=rules)
        self.matcher = replace(self.matcher, link=self.link)
        # It may have been raised since these were decided, in this run or before it.
        self.intake.make_due_over_limit(side, self.link.clock())

    def sync_once(
        self, progress: Progress = silent, *, sweep: bool = True, stop: threading.Event | None = None
    ) -> PassReport:
        """Read every feed, match every arrival, look at every card, and finish what can be finished.

        Waits for quiet periods and throttles, up to `wait_seconds_max`; then reports what is left.
        """
        stop = stop or threading.Event()
        report = PassReport()
        self.recover_ownership()
        run_id = self.start_run("sync")
        self.read_limits(report)
        if self._behind is None:
            for side in self.link.sides.values():
                for feed in side.feeds:
                    progress(f"reading {side.name} {feed.name}", report)
                    self._feed_is_read(report, side, feed)
            self.every_feed_was_read()
        self._wait_to_catch_up(report, progress, stop)
        if not self.is_stopped():
            self.match_all(report, run_id, progress, stop)
        if sweep:
            # Before the sweep: it sees what happens meanwhile to the cards that are made.
            self._make_new_cards(report, run_id, progress, stop)
            for side in self.link.sides.values():
                look = partial(self._sweep_all, report, side, progress, stop)
                self.guarded(report, side.name, look, LOOKING)
            self.verify_next(verification.PASS_CARDS)
        if not self.is_stopped():
            self.guarded(report, "the link", lambda: self._add_missing(report))
        self._work_until_quiet(report, run_id, progress, stop)
        if not stop.is_set():
            self.go_on(report)
        for words in stopped_by(self.engine):
            report.add_error(words)
        for poller in self.pollers.values():
            poller.record((), ())
        self.end_run(run_id, report)
        log.info("a pass is done", action="pass.done", run_id=run_id, **report.counts)
        return report

    # --- a ledger that may not be the newest ----------------------------------------------------------------

    def every_feed_was_read(self) -> None:
        """From now on an unknown effect of giftsync's is made by another ledger that is at work."""
        if self._cursors is not None and self.generation is not None:
            note_feeds_read(self.engine, self.link.clock())
        self._cursors = None

    def _wait_to_catch_up(self, report: PassReport, progress: Progress, stop: threading.Event) -> None:
        while self._behind is not None and not stop.is_set() and not stopped_by(self.engine):
            left = self._quiet_left()
            if left <= 0:
                errors = len(report.errors)
                if self.catch_up(report) or len(report.errors) > errors:
                    return
            progress(
                f"waiting {ceil(max(left, 0.0))} s at most until nothing that an older run has sent can be "
                "on its way",
                report,
            )
            stop.wait(min(max(left, 0.0), 1.0))

    def _quiet_left(self) -> float:
        """Seconds until no request of the ledger that was lost can land any more."""
        if self._behind is None:
            return 0.0
        passed = (self.link.clock() - self._behind.since).total_seconds()
        return self.link.quiet_seconds - passed

    def catch_up(self, report: PassReport) -> bool:
        """Read every feed to now, once that tells everything; whether cards may be decided from now on."""
        with self._catching_up:
            if self._behind is None:
                return True
            if self._quiet_left() > 0 or stopped_by(self.engine):
                return False
            read = [self._feed_is_read(report, s, f) for s in self.link.sides.values() for f in s.feeds]
            if not all(read):
                return False
            caught_up(self.engine, self.link.clock())
            log.warning("every feed was read to now", action="ledger.caught_up", why=self._behind.why)
            self._behind = None
            self.every_feed_was_read()
            return True

    def _feed_is_read(self, report: PassReport, side: Side, feed: Feed) -> bool:
        ended = False

        def read() -> None:
            nonlocal ended
            self.feed_into(report, side, feed)
            ended = True

        self.guarded(report, side.name, read, reading_of(feed))
        return ended

    def _fall_behind(self, why: str) -> None:
        """The ledger was put back to an earlier state; the feeds are read again from where they stood."""
        now = self.link.clock()
        with self.engine.begin() as connection:
            fall_behind(connection, why, now)
            put_back(connection, self._cursors or {})
        log.warning("the ledger may not be the newest", action="ledger.behind", why=why)
        self._behind = behind(self.engine)

    def keep_generation(self) -> None:
        """Raise the generation; ends the service when the ledger is not the one that it has begun with, or is
        of a release by now that this one cannot work beside.
        """
        try:
            check_release(self.engine)
            if self.generation is not None:
                self.generation.advance(self.link.clock())
        except LedgerUnavailable as error:
            self.fail(error)

    def remember_cursors(self) -> None:
        """Keep where the feeds stand, to go back there if a second ledger is found."""
        self._cursors_before, self._cursors_after = self._cursors_after, cursors(self.engine)

    def watch_file(self) -> None:
        """Ends the service when the database's file is gone or another one."""
        try:
            check_file(self.engine)
        except LedgerUnavailable as error:
            self.fail(error)

    def fail(self, error: LedgerUnavailable) -> None:
        """End the service: nothing more can be kept in the ledger, so nothing more is sent."""
        self._failure = self._failure or error
        if self._stop is not None:
            self._stop.set()

    def read_books_again(self, why: str) -> None:
        """Have every card decided from the sides' books at the next pass, as after a restore."""
        with self.engine.begin() as connection:
            fall_behind(connection, why, self.link.clock())

    def work_on_behind(self) -> int:
        """Make every card due whose books are still to be read; returns how many these are."""
        return make_behind_due(self.engine, self.link.clock())

    def verify_next(self, limit: int | None = None, every_seconds: float = VERIFY_SECONDS) -> int:
        """Verify the rows of the next few cards in turn; how many of them are due for it now."""
        limit = limit or verification.slice_size(self.engine, every_seconds)
        return verification.verify_next(self.store, self.intake, self.link.clock(), self.link.currency, limit)

    def _add_missing(self, report: PassReport) -> None:
        report.unfinished += add_missing(self.matcher)

    def go_on(self, report: PassReport) -> None:
        """What is done in several steps, and was cut short or could not be finished."""
        tell_of_undecided(self.engine, self.link.currency, self.link.clock())
        self.guarded(report, "the link", lambda: self._assign(report))
        if not self.is_stopped():
            self.guarded(report, "the link", lambda: self._add_missing(report))
        if self.notices is not None:
            self.notices.send_due()

    def _assign(self, report: PassReport) -> None:
        report.unfinished += assign.go_on(self.link)

    def feed_into(
        self, report: PassReport, side: Side, feed: Feed, stop: threading.Event | None = None
    ) -> bool:
        """Read one feed and store what it tells; whether it was read to its end."""
        try:
            is_behind = self._behind is not None
            read = reader.read_feed(self.link, self.intake, side, feed, is_behind=is_behind, stop=stop)
        except reader.UnknownEffects as found:
            if self._cursors is None:
                raise second_ledger(found.side, found.markers) from None
            self._fall_behind(str(found))
            return False
        report.hints += read.hints
        report.arrived += read.arrived
        if feed.lists_every_card and read.is_whole:
            self._listed.add(side.name)
        return not read.is_cut

    def _sweep_all(self, report: PassReport, side: Side, progress: Progress, stop: threading.Event) -> None:
        catalogue = self.catalogues.get(side.name)
        if catalogue is not None:
            sweep = ListSweep(self.link, self.intake, side.name, catalogue)
            if sweep.is_worth_it():
                self._sweep_list(report, sweep, progress, stop)
                return
        while not stop.is_set():
            swept = self._sweep_slice(side, reader.PAGE_SIZE)
            report.swept += swept.looked_at
            progress(f"looking at cards on {side.name}", report)
            if swept.finished:
                return

    def _sweep_list(
        self, report: PassReport, sweep: ListSweep, progress: Progress, stop: threading.Event
    ) -> None:
        """Have the side list its cards, and wait for it as long as one pass may."""
        deadline = self.link.clock() + timedelta(seconds=self.options.wait_seconds_max)
        while not stop.is_set() and self.link.clock() < deadline:
            swept = sweep.step(stop.is_set)
            report.swept += swept.looked_at
            left = (deadline - self.link.clock()).total_seconds()
            progress(f"waiting for {sweep.side}'s list of its cards, {ceil(left)} s at most", report)
            if swept.finished:
                return
            stop.wait(LIST_LOOK_SECONDS)
        report.add_error(f"{sweep.side}: its list of cards is not ready; the next pass goes on with it.")

    def _sweep_slice(self, side: Side, limit: int) -> reader.Swept:
        poller = self.pollers.get(side.name)
        record = None if poller is None else poller.record
        return reader.sweep(self.link, self.intake, side, limit, record)

    def sweep_by_list(self, side: Side, stopping: Callable[[], bool]) -> reader.Swept | None:
        """Go on with the side's list of its cards; None when none is due."""
        catalogue = self.catalogues.get(side.name)
        if catalogue is None:
            return None
        sweep = ListSweep(self.link, self.intake, side.name, catalogue)
        return sweep.step(stopping) if sweep.is_due() else None

    def look(self, side: Side) -> reader.Swept:
        """Look at the next cards of a side: those that are worth it most, or simply the next."""
        poller = self.pollers.get(side.name)
        return self._sweep_slice(side, self.options.sweep_slice) if poller is None else poller.poll()

    def _saw(self, side: str, look: ReadRecord) -> None:
        poller = self.pollers.get(side)
        if poller is not None:
            poller.saw(look)

    def match_all(
        self, report: PassReport, run_id: int | None, progress: Progress, stop: threading.Event
    ) -> None:
        with ThreadPoolExecutor(self.options.threads, "match") as pool:
            while not stop.is_set():
                due = self.intake.due_arrivals(self.link.clock(), ARRIVALS_BATCH)
                # Those with a serial first and alone: a card without one may turn out to be theirs.
                with_serial = [a for a in due if a.card.serial is not None]
                batch = with_serial or due
                if not batch:
                    return
                ahead = look_ahead(self.link, self.intake, batch, sorted(self._listed))

                def match(arrival: Arrival, ahead: Ahead = ahead) -> Matched | None:
                    return None if stop.is_set() else self.matcher.match(arrival, run_id, ahead)

                outcomes = list(pool.map(match, batch))
                report.met += outcomes.count(Matched.MET)
                progress("matching cards", report)

    def _make_new_cards(
        self, report: PassReport, run_id: int, progress: Progress, stop: threading.Event
    ) -> None:
        make = self.make_new_cards
        if make is not None and not self.is_stopped():
            self.guarded(report, "the link", lambda: make(self.link, report, run_id, progress, stop))

    def go_on_with_new_cards(self, report: PassReport, run_id: int, stop: threading.Event) -> float | None:
        """Take a turn at making many new cards; seconds until there is more to do, None while there is
        nothing.
        """
        carry, seconds = self.carry_new_cards, None

        def turn() -> None:
            nonlocal seconds
            if carry is not None:
                seconds = carry(self.link, report, run_id, stop)

        self.guarded(report, "the link", turn)
        return seconds

    def _work_until_quiet(
        self, report: PassReport, run_id: int | None, progress: Progress, stop: threading.Event
    ) -> None:
        deadline = self.link.clock() + timedelta(seconds=self.options.wait_seconds_max)
        worked = CountedOnce()
        with ThreadPoolExecutor(self.options.threads, "card") as pool:
            while not stop.is_set():
                self.work_on_due(pool, run_id, report, worked, progress, stop)
                at = next_due(self.engine)
                if at is None or at > deadline or self.is_stopped():
                    break
                self.match_all(report, run_id, progress, stop)
                pause = (at - self.link.clock()).total_seconds()
                if pause > 0:
                    left = (deadline - self.link.clock()).total_seconds()
                    progress(
                        f"waiting {ceil(pause)} s for what only time tells, {ceil(left)} s at most", report
                    )
                    stop.wait(min(pause, 1.0))
        report.unfinished = count_due(self.engine)

    def work_on_due(
        self,
        pool: ThreadPoolExecutor,
        run_id: int | None,
        report: PassReport,
        worked: CountedOnce,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        """Work on due cards, each thread one card at a time, until none is due now."""
        running: dict[Future[Card | None], Lease] = {}
        while True:
            if stop.is_set():
                running = {future: running[future] for future in self.give_back(running)}
            free = self.options.threads * CLAIMS_PER_THREAD - len(running)
            # Claimed by the batch, so that sides that read in batches are asked once for many.
            if not stop.is_set() and free >= len(running):
                running |= self.start_due(pool, free, run_id)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                lease = running.pop(future)
                if self.ended_well(future, report):
                    worked.add(lease.card_id)
            report.worked = worked.count
            progress("bringing cards in step", report)

    def start_due(
        self, pool: ThreadPoolExecutor, limit: int, run_id: int | None
    ) -> dict[Future[Card | None], Lease]:
        """Claim up to `limit` due cards, look at them together, and work on each in a thread.

        A card that the database or a cancelled future has kept is given back by `free_kept`.
        """
        leases = self._claim(limit)
        try:
            # While each has a thread of its own, looking together would only keep the first waiting.
            looked = prefetch(self.link, leases) if len(leases) > self.options.threads else {}
        except BaseException:
            self._to_free.extend(leases)
            raise
        started: dict[Future[Card | None], Lease] = {}
        for lease in leases:
            # With the context of whoever logs: a line of a fleet's worker names the link.
            future = pool.submit(
                copy_context().run, reconcile, self.link, lease, run_id, looked.get(lease.card_id), self._saw
            )
            future.add_done_callback(partial(self._keep_to_free, lease))
            started[future] = lease
        return started

    def _keep_to_free(self, lease: Lease, future: Future[Card | None]) -> None:
        """A lease is long: a card not begun, or that the database failed, must not wait for its end."""
        if future.cancelled() or is_fault(future.exception()):
            self._to_free.append(lease)

    def _claim(self, limit: int) -> list[Lease]:
        if self._was_stopped:
            if stopped_by(self.engine):
                return []
            self._was_stopped = False
            self.link.brake.reset()
            self._behind = self._behind or behind(self.engine)
        if not self.catch_up(PassReport()):
            return []
        return self.store.claim_due(self.link.owner, self.link.clock(), self.link.lease_seconds, limit)

    def guarded(
        self, report: PassReport, side: str, action: Callable[[], object], task: str | None = None
    ) -> None:
        """One side's trouble does not keep the other from being read, and is kept under the task's name.

        An action that returns False has asked the side nothing.
        """
        try:
            asked = action() is not False
        except (NoAnswer, SideClosed) as error:
            if task is not None:
                self.link.note_failure(side, task, error)
            elif isinstance(error, SideClosed):
                self.link.on_closed(side, error)
            remedy = f" {error.remedy}" if isinstance(error, SideClosed) else ""
            report.add_error(f"{side}: {error}.{remedy}")
        except BrakeTripped as error:
            self._stop_link(error, report)
        except LinkStopped:
            log.info("somebody has stopped the link", action="link.stopped")
        else:
            if asked and task is not None and self.link.note_answer(side, task):
                make_postponed_due(self.engine, side, self.link.clock())

    def _stop_link(self, error: BrakeTripped, report: PassReport) -> None:
        self._was_stopped = True
        self.intake.report(error.conflict, self.link.clock())
        if error.conflict.kind is ConflictKind.SECOND_LEDGER:
            # Once a person lets it go on, it reads back what the other has done.
            with self.engine.begin() as connection:
                fall_behind(connection, error.conflict.summary, self.link.clock(), second=True)
                # What customers did lately is told again: it explains what the other one did.
                put_back(connection, self._cursors_before)
        log.error("the link has stopped", action="brake.tripped", cause=error.conflict.cause)
        report.add_error(str(error))

    def is_stopped(self) -> bool:
        """Whether a brake keeps the link from writing, or books that are not read yet."""
        return self._behind is not None or bool(stopped_by(self.engine))

    def ended_well(self, future: Future[Card | None], report: PassReport) -> bool:
        """Whether the work on a card ended by itself; if not, its lease runs out and it is taken up again."""
        error = future.exception()
        if error is None:
            return True
        if isinstance(error, BrakeTripped):
            self._stop_link(error, report)
            return False
        if isinstance(error, LinkStopped):
            log.info("somebody has stopped the link", action="link.stopped")
            return False
        if isinstance(error, LedgerGone):
            self.fail(error)
            if self._stop is None:
                raise error
            return False
        log.error(
            "a card could not be worked on",
            action="card.failed",
            error=type(error).__name__,
            where=where(error),
        )
        report.add_error(f"a card could not be worked on ({type(error).__name__}); see the log")
        return False

    def give_back(self, running: Iterable[Future[Card | None]]) -> list[Future[Card | None]]:
        """Let others have the cards whose work has not begun; what goes on."""
        begun = [future for future in running if not future.cancel()]
        self.free_kept()
        return begun

    def free_kept(self) -> None:
        """Give back the cards that were kept, once the database takes them."""
        while self._to_free:
            lease = self._to_free.popleft()
            try:
                self.store.release(lease, self.link.clock())
            except BaseException:
                self._to_free.append(lease)
                raise

    def start_run(self, kind: str) -> int:
        if not is_current(self.engine):
            words = "the ledger is of the next release; this worker goes on beside it"
            log.warning(words, action="ledger.newer")
        return start_run(self.engine, kind, self.link.clock())

    def could_not_begin(self, kind: str) -> None:
        """Note a run that has failed before it began, because a side could not be asked who it is."""
        self.end_run(self.start_run(kind), PassReport(errors=["a side could not be asked"]))

    def end_run(self, run_id: int, report: PassReport) -> None:
        done = not report.errors and not report.unfinished
        end_run(self.engine, run_id, self.link.clock(), report.counts, done=done)

    # --- webhooks -------------------------------------------------------------------------------------------

    def process_deliveries(self, report: PassReport, side: str) -> ProcessedDeliveries:
        """Ask a side about its deliveries that came."""
        told = DeliveryProcessor(self.inbox, self.link, self.listeners, self.privacy).process(side)
        report.hints += told.hints
        report.arrived += told.arrived
        for error in told.errors:
            report.add_error(error)
        for side_name, closed in told.closed.items():
            self.link.on_closed(side_name, closed)
            self._stop_link(access_revoked(side_name, closed), report)
        return told

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.intake)

    def keep_subscribed(self, report: PassReport) -> None:
        """Have the sides deliver their webhooks to this worker's console."""
        for subscriber, url in self.subscribers:
            self.guarded(
                report,
                subscriber.name,
                lambda s=subscriber, u=url: keep_subscribed(self.engine, s, u, self.link.clock()),  # type: ignore[misc]
            )

    # --- beside other workers -------------------------------------------------------------------------------

    def note_others(self) -> None:
        """See what others have found: what stops the link, and that the ledger may not be the newest."""
        self._behind = behind(self.engine)
        self._was_stopped = self._was_stopped or bool(stopped_by(self.engine))

    # --- service --------------------------------------------------------------------------------------------

    def serve_until(self, stop: threading.Event) -> None:
        """From now on a ledger that is deleted or replaced sets `stop`; `failure` says so then."""
        self._stop, self._failure = stop, None

    @property
    def failure(self) -> LedgerUnavailable | None:
        """Why the service has to end, if the ledger is gone."""
        return self._failure

    def why_stopped(self) -> list[str]:
        """Why nothing may be written now, in words; empty while the link runs."""
        why = stopped_by(self.engine)
        if self._behind is not None:
            why.append("The ledger was put back, and the sides' books are being read.")
        return why

    def tell_of_brake(self, error: BrakeTripped) -> None:
        """A brake was tripped by somebody other than the worker."""
        self._stop_link(error, PassReport())
