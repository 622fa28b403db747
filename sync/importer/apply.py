"""Carries a plan out: online cards to the store first, then store cards to the shop (peers.md §1, point 8).

Every row goes through first contact and the intents of the ledger, so it can be stopped anywhere and run
again: what is done is done, what was under way is read back. Customers are never notified.

One process carries a plan out as a whole (`apply`), or workers do in their turns (`turn`), each of which
takes up what the one before has held.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import TypeVar

import structlog

from connectors.api.bulk import Lister, MassCreator
from connectors.api.errors import NoAnswer, NotSent, SideClosed
from mappings.sentences import say
from sync.arrivals.missing import look_for_missing
from sync.importer.actions import Action, ImportContext
from sync.importer.carry import CreateSender, ready_create
from sync.importer.estimate import Estimate, estimate
from sync.importer.mass import MassSender
from sync.importer.meet import RowMatcher
from sync.importer.numbers import NoNumbers, Numbers
from sync.importer.outcomes import CHANGED
from sync.importer.progress import ImportProgress, StopSignal
from sync.ledger.cards.batches import Batches, Held, InsertedCard
from sync.ledger.cards.store import AlreadyThere, Lease
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.database.engine import LedgerUnavailable
from sync.ledger.database.runs import end_run, start_run
from sync.ledger.imports.rows import Import, Imports, Row
from sync.ledger.incoming.intake import Intake
from sync.model import Card, LinkStopped
from sync.reconcile.brakes import BrakeTripped
from sync.reconcile.card import reconcile
from sync.reconcile.work import Link

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: Rows met together: one transaction, and one read of the online shop.
ROWS_AT_ONCE = 200
#: Groups of cards that are made ready before they can be sent.
GROUPS_AHEAD = 10
#: The same of one turn, at whose end what is ready waits for the next one; and creates sent together.
TURN_ROWS_AT_ONCE = 50
TURN_GROUPS_AHEAD = 1
TURN_GROUP = 16
#: How often one turn tells a side to start a file.
TURN_STARTS_MAX = 3
#: How long an apply waits for quiet periods at its end before it leaves the rest to the next one.
WAIT_SECONDS_MAX = 300.0
#: So many rows together of which none can be read say that a side is away.
UNREAD_MIN = 10
_TO_POS = (Action.CREATE_POS,)
_TO_ONLINE = (Action.ADOPT, Action.CONFLICT, Action.WATCH, Action.CREATE_ONLINE)


#: Calls at the same time.
THREADS = 32


class Mode(StrEnum):
    """How cards are made online."""

    #: As the estimate says.
    AUTO = "auto"
    LIVE = "live"
    BULK = "bulk"


@dataclass
class Importer:
    """Carries one plan out. `alone`: no other process can be at work on the ledger (a SQLite file's lock)."""

    link: Link
    imports: Imports
    intake: Intake
    context: ImportContext
    numbers: Numbers
    lister: Lister
    creator: MassCreator | None
    mode: Mode = Mode.AUTO
    threads: int = THREADS
    #: For a trial: no more rows than this.
    limit: int | None = None
    alone: bool = True
    progress: ImportProgress = field(default_factory=ImportProgress)
    halt: StopSignal = field(default_factory=StopSignal)
    pause: Callable[[float], None] | None = None
    on_estimate: Callable[[Estimate], None] = lambda stated: None
    #: Where the turns have come to among the rows of these actions.
    places: dict[Sequence[Action], int] = field(default_factory=dict)
    _in_turns: bool = field(default=False, init=False)
    _hold_on: Callable[[], None] = field(default_factory=lambda: _nothing, init=False)
    _run_id: int | None = field(default=None, init=False)
    _taken: int = field(default=0, init=False)

    def apply(self, plan: Import) -> bool:
        """Do what is left of the chosen rows; whether nothing is left.

        Raises LedgerUnavailable when the link is stopped or another apply holds the plan.
        """
        stopped = stopped_by(self.link.store.engine)
        if stopped:
            raise LedgerUnavailable(f"the link is stopped: {stopped[0]} `giftsync resume` lets it go on")
        owner = f"{owner_of(plan)} {secrets.token_hex(4)}"
        batches = Batches(self.link.store, owner, self.link.lease_seconds)
        now = self.link.clock()
        self.imports.take(plan, batches.owner, now, alone=self.alone)
        if self.alone:
            # Whatever held a card, an import or a worker, is dead.
            self.link.store.free_all(now)
        # What an earlier apply finished, and did not live to note, is not looked at again.
        self.imports.finish_rows(plan)
        self._hold_on = lambda: self.imports.hold_on(plan, batches.owner, self.link.clock())
        run_id = self._run_id = start_run(self.link.store.engine, "import", self.link.clock())
        done = False
        try:
            self._guarded(lambda: self._carry_out(plan, batches))
            self.imports.finish_rows(plan)
            done = not self.imports.count_left(plan)
        finally:
            look_for_missing(self.link)
            self.imports.leave(plan, batches.owner, self.link.clock(), done=done)
            self._end_run(run_id, done)
        return done

    def turn(self, plan: Import, run_id: int) -> int:
        """Go on with a plan that is held until `halt` is set; returns how many chosen rows are left.

        Cards that were made ready and not sent stay held for the next turn, of this worker or another: all
        have one owner. What is in doubt or refused is due, and left to the worker's ordinary work.
        """
        self._in_turns, self._run_id = True, run_id
        batches = Batches(self.link.store, owner_of(plan), self.link.lease_seconds)
        # A turn ends when all that it has sent is settled, so whoever has sent these is dead.
        batches.let_go(self.imports.in_flight(plan, 0, ROWS_AT_ONCE), self.link.clock())
        self._guarded(lambda: self._carry_out(plan, batches))
        self.imports.finish_rows(plan)
        look_for_missing(self.link)
        return sum(count for count, _ in self.imports.count_left(plan).values())

    def _carry_out(self, plan: Import, batches: Batches) -> None:
        mass = self._mass(plan, batches)
        if mass is not None:
            for batch in self.imports.open_batches(plan):
                mass.resume(batch)
                if self.halt.is_set():
                    return
            if self._in_turns and self.imports.open_batches(plan):
                return
        live = CreateSender(self.link, batches, self._run_id, self.threads, self.progress, self.halt)
        if self._in_turns:
            live.group, live.keeps = TURN_GROUP, True
        with ThreadPoolExecutor(self.threads, "meet") as threads:
            details_of = self.lister.details_of
            matcher = RowMatcher(
                self.link, self.imports, batches, self.context, self.numbers, details_of, threads
            )
            if not self._in_turns:
                self._resume(plan, threads)
            self.progress.say(say("bringing online cards to {side}", side=self.context.pos))
            with self._ahead(self._ready(plan, batches, matcher, _TO_POS)) as ready:
                live.carry(ready)
            if self.halt.is_set():
                return
            use_mass = mass is not None and self.chooses_mass(plan)
            self.progress.say(say("bringing store cards to {side}", side=self.context.online))
            sender = mass if use_mass and mass is not None else live
            with self._ahead(self._ready(plan, batches, matcher, _TO_ONLINE)) as ready:
                sender.carry(ready)
            if not self._in_turns:
                self._finish(plan, threads)

    def _mass(self, plan: Import, batches: Batches) -> MassSender | None:
        if self.creator is None:
            return None
        mass = MassSender(
            self.link,
            self.imports,
            batches,
            plan,
            self.context.online,
            self.creator,
            self._run_id,
            self.progress,
            self.halt,
            self._pause,
        )
        if self._in_turns:
            # At the end of its time a turn still makes the file of the cards that it has made ready.
            mass.halt = StopSignal()
            mass.starts_max, mass.waits = TURN_STARTS_MAX, False
        return mass

    def _ahead(self, items: Iterator[list[Held]]) -> _Ahead[list[Held]]:
        return _Ahead(items, TURN_GROUPS_AHEAD if self._in_turns else GROUPS_AHEAD)

    def chooses_mass(self, plan: Import) -> bool:
        """Whether its cards are made online many by one file: as somebody said, or as the estimate says."""
        if self.creator is None:
            return False
        if self._in_turns:
            return bool(plan.in_bulk)
        # A request that costs little shows what the shop's bucket really is.
        self.link.sides[self.context.online].identify()
        cards = self.imports.count_creates(plan, Action.CREATE_ONLINE.value)
        forced = None if self.mode is Mode.AUTO else self.mode is Mode.BULK
        stated = estimate(min(cards, self.limit or cards), self.creator.pace(), forced)
        if cards:
            self.on_estimate(stated)
        return stated.in_bulk

    # --- making ready ---------------------------------------------------------------------------------------

    def _ready(
        self, plan: Import, batches: Batches, matcher: RowMatcher, actions: Sequence[Action]
    ) -> Iterator[list[Held]]:
        """Cards of an earlier apply that were never sent, then the cards of the next rows, met and held."""
        side = self.context.pos if actions == _TO_POS else self.context.online
        yield from self._never_sent(plan, batches, side)
        after = self.places.get(actions, plan.first_row) if self._in_turns else plan.first_row
        looked = absent = 0
        while not self.halt.is_set():
            rows = self._next_rows(plan, actions, after)
            if not rows:
                # Those that could not be read are there still; the next turn begins with them.
                self.places.pop(actions, None)
                return
            after = self.places[actions] = rows[-1].id
            self._hold_on()
            proved = self._proved(plan, rows)
            met = matcher.meet(proved)
            looked, absent = looked + met.looked, absent + met.absent
            self.link.check_not_empty(self.context.pos, looked, absent)
            self.imports.settle_rows(met.settled)
            held = self._create(batches, met.born)
            for reason in met.unread[:1]:
                self.progress.fail(f"some cards could not be read: {reason}")
            without_work = len(met.born) - len(held)
            self.progress.add(done=len(met.settled) + without_work, moved=met.moved, unread=len(met.unread))
            yield held
            if len(met.unread) == len(proved) >= UNREAD_MIN:
                # Not these cards but a whole side: the other rows would fare no better.
                raise NotSent(f"none of {len(proved)} cards could be read ({met.unread[0]})")

    def _next_rows(self, plan: Import, actions: Sequence[Action], after: int) -> list[Row]:
        size = TURN_ROWS_AT_ONCE if self._in_turns else ROWS_AT_ONCE
        size = size if self.limit is None else min(size, self.limit - self._taken)
        rows = self.imports.chosen(plan, [a.value for a in actions], after, size) if size > 0 else []
        self._taken += len(rows)
        return rows

    def _proved(self, plan: Import, rows: Sequence[Row]) -> list[Row]:
        """Those that are as they were planned; nothing is done with the others."""
        proved: list[Row] = []
        changed: dict[int, str] = {}
        for row in rows:
            if self.imports.is_proved(plan, row):
                proved.append(row)
            else:
                changed[row.id] = CHANGED
        if changed:
            words = "rows of an import in the ledger are not as they were planned; nothing is done with them"
            log.warning(words, action="import.rows_changed", plan=plan.id, rows=len(changed))
            self.imports.settle_rows(changed)
            self.progress.add(done=len(changed))
        return proved

    def _create(self, batches: Batches, born: Sequence[InsertedCard]) -> list[Held]:
        """One transaction for all; one each when somebody else was quicker with one of them."""
        if not born:
            return []
        now = self.link.clock()
        try:
            return batches.create(born, now, self._run_id)
        except AlreadyThere:
            held: list[Held] = []
            for one in born:
                try:
                    held += batches.create([one], now, self._run_id)
                except AlreadyThere:
                    # It stays planned; the next apply finds it known.
                    self.progress.add(unread=1)
            return held

    def _never_sent(self, plan: Import, batches: Batches, side: str) -> Iterator[list[Held]]:
        after = 0
        size = TURN_ROWS_AT_ONCE if self._in_turns else ROWS_AT_ONCE
        while not self.halt.is_set() and (ids := self.imports.never_sent(plan, after, size)):
            after = ids[-1]
            ready: list[Held] = []
            back: dict[Lease, datetime | None] = {}
            for held in batches.claim(ids, self.link.clock()):
                found = ready_create(held.card, self.link.clock())
                if found is not None and found.side == side:
                    ready.append(held)
                else:
                    # Due at once; what waits for a quiet period says so itself when it is looked at.
                    back[held.lease] = _waits_until(held.card, self.link.clock())
            batches.give_back(back)
            yield ready

    # --- the rest -------------------------------------------------------------------------------------------

    def _resume(self, plan: Import, threads: Executor) -> None:
        """What an earlier apply left in doubt starts its quiet period now, while the rest is carried out."""
        after = 0
        while not self.halt.is_set() and (ids := self.imports.in_flight(plan, after, ROWS_AT_ONCE)):
            after = ids[-1]
            list(threads.map(self._work_on, ids))

    def _finish(self, plan: Import, threads: Executor) -> None:
        """The ordinary work on every card that is not finished: read back, explain, try again."""
        deadline = self.link.clock() + timedelta(seconds=WAIT_SECONDS_MAX + self.link.quiet_seconds)
        while not self.halt.is_set():
            now = self.link.clock()
            ids = self.imports.met(plan, 0, ROWS_AT_ONCE, due_by=now)
            if ids:
                self.progress.say(say("finishing what was in doubt"))
                list(threads.map(self._work_on, ids))
                continue
            due = self.imports.next_due(plan)
            if due is None or due > deadline:
                return
            pause, left = (due - now).total_seconds(), (deadline - now).total_seconds()
            self.progress.say(
                say(
                    "waiting {seconds} s for what only time tells, {most} s at most",
                    seconds=ceil(pause),
                    most=ceil(left),
                )
            )
            self._pause(min(max(pause, 0.05), 1.0))
            if self.link.clock() > deadline:
                return

    def _work_on(self, card_id: int) -> Card | None:
        lease = self.link.store.claim(card_id, self.link.owner, self.link.clock(), self.link.lease_seconds)
        card = None if lease is None else reconcile(self.link, lease, self._run_id)
        if card is not None and card.is_in_step(self.link.rules.own_dates):
            self.progress.add(done=1)
        return card

    def _guarded(self, action: Callable[[], None]) -> None:
        """What stops an import short is said; what was done stays done."""
        try:
            action()
        except SideClosed as error:
            self.progress.fail(f"{error}. {error.remedy}")
        except NoAnswer as error:
            self.progress.fail(str(error) if self._in_turns else f"{error}; run the same command again")
        except NoNumbers as error:
            self.progress.fail(str(error))
        except BrakeTripped as error:
            self.intake.report(error.conflict, self.link.clock())
            self.progress.fail(str(error))
        except LinkStopped as error:
            self.progress.fail(f"{error} `giftsync resume` lets the link go on")

    def _pause(self, seconds: float) -> None:
        self._hold_on()
        if self.pause is not None:
            self.pause(seconds)
        else:
            self.halt.stop.wait(seconds)

    def _end_run(self, run_id: int, done: bool) -> None:
        counts = {name: value for name, value in vars(self.progress).items() if isinstance(value, int)}
        done = done and not self.progress.errors
        end_run(self.link.store.engine, run_id, self.link.clock(), counts, done=done)


def _nothing() -> None:
    return


def owner_of(plan: Import) -> str:
    """Who holds the cards that the plan's turns have made ready."""
    return f"import {plan.id}"


def _waits_until(card: Card, now: datetime) -> datetime | None:
    moments = [intent.due_at or now for intent in card.open_intents]
    stale = any(p.stale for p in card.presences)
    return min(moments, default=now if stale else None)


class _Ahead(Iterator[T]):
    """Runs an iterator in a thread, a few items ahead of whoever takes them."""

    def __init__(self, items: Iterator[T], count: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(count)
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)
        self._over = False

    def __enter__(self) -> _Ahead[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever takes the items takes all of them; the iterator itself ends when it is told to halt.
        while not self._over:
            self._take()
        self._thread.join()

    def _run(self) -> None:
        try:
            for item in self._items:
                self._queue.put((item, None))
        except BaseException as error:  # noqa: BLE001 raised again where the items are taken
            self._queue.put((None, error))
        else:
            self._queue.put((None, None))

    def _take(self) -> tuple[T | None, BaseException | None]:
        item, error = self._queue.get()
        self._over = item is None
        return item, error

    def __next__(self) -> T:
        if self._over:
            raise StopIteration
        item, error = self._take()
        if error is not None:
            raise error
        if item is None:
            raise StopIteration
        return item
