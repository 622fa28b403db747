"""A worker of a fleet: takes the turns that the queue hands out, some at a time, until it is told to stop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

import psycopg
import structlog
from structlog.contextvars import bound_contextvars

from connectors.api.capabilities import Usage
from sync.fleet.queue import DEAD_SECONDS, HEARTBEAT_SECONDS, LATER, NOW, TASK, Timed, TurnQueue
from sync.fleet.shelf import AGAIN_SECONDS, CannotOpen, OpenWorker, Shelf
from sync.ledger.cards.due import next_due
from sync.ledger.database.clock import machine_time, seconds_ahead, why_wrong
from sync.ledger.database.faults import is_fault
from sync.ledger.database.migrations import is_current
from sync.worker.turns import DUE, MATCH, Kind, Turn, Turns
from sync.worker.until import TURN_SECONDS, Until

log = structlog.get_logger(__name__)

#: What is due by the clock is handed out this late at most.
HAND_OUT_SECONDS = 0.5
#: Between two attempts to reach a database that does not answer.
RECONNECT_SECONDS = 1.0
#: How often to look for what dead workers have left, and for links to close.
TEND_SECONDS = 3.0
#: Jobs under way are waited for so long when the worker stops.
DRAIN_SECONDS = 4.0
CURSORS_SECONDS = 600.0
#: The engine forgets a job that is told of while it asks for one; it asks again after this time.
FETCH_SECONDS = 0.5
#: How often to look whether to stop.
STOP_SECONDS = 0.1
#: A turn that finds its cards due, but not for it, comes again after this time.
AGAIN_SECONDS_MIN = 1.0
#: A turn that the database has failed comes again after this time.
FAILED_SECONDS = 2.0
#: A turn that takes longer than any call to a side, and any pause that a side asks for, is told of.
SLOW_SECONDS = 120.0
#: A turn that this release does not know is left to others for this time.
LEFT_SECONDS = 1.0

#: How often turns that news wakes are due all the same. What idle links cost is mostly this.
PACES = {
    **dict.fromkeys((Kind.DUE, Kind.MATCH, Kind.PROCESS, Kind.GO_ON, Kind.IMPORT, Kind.TELL), 60.0),
    Kind.VERIFY: 300.0,
}
#: A side without cards is looked at this often; feeds tell of its first one.
WITHOUT_CARDS_SECONDS = 60.0
#: A customer may be waiting for these.
_URGENT = (Kind.DUE, Kind.PROCESS, Kind.MATCH, Kind.READ)
#: Beside the first, by other workers, while cards are due that one turn could not work on.
MORE_DUE = tuple(Turn(Kind.DUE, str(number)) for number in range(2, 5))
_NEVER_SECONDS = 86_400.0


def timed(turn: Turn, seconds: float) -> Timed:
    """The turn's place in the queue."""
    match turn.kind:
        case Kind.DUE | Kind.MATCH | Kind.IMPORT | Kind.TELL:
            lane = str(turn)
        case Kind.PROCESS | Kind.READ:
            # A side that does not answer keeps one place waiting, not one for each of its feeds.
            lane = f"side/{turn.side}"
        case _:
            lane = LATER
    return Timed(str(turn), seconds, lane, urgent=turn.kind in _URGENT and turn not in MORE_DUE)


def places(turns_at_once: int) -> Sequence[tuple[Sequence[str], int]]:
    """How many places each line of the queue has in a worker."""
    if turns_at_once == 1:
        return [((NOW, LATER), 1)]
    later = max(turns_at_once * 3 // 8, 1)
    return [((NOW,), turns_at_once - later), ((LATER,), later)]


class Crew:
    """A worker of a fleet in this process."""

    def __init__(
        self,
        queue: TurnQueue,
        open_worker: OpenWorker,
        ledgers: Callable[[], Mapping[str, object]],
        turns_at_once: int,
        clock: Callable[[], datetime] = machine_time,
    ) -> None:
        """`ledgers` names those that are to be worked on, each with the version of its settings; it is asked
        again and again. `clock` is this machine's.
        """
        self._queue, self._ledgers, self._turns_at_once = queue, ledgers, turns_at_once
        self._shelf = Shelf(open_worker, self._opened, PACES)
        self._clock = clock
        self._stop = threading.Event()
        #: Why no turn may be taken by this machine's clock, in words.
        self._clock_is_wrong: str | None = None
        #: When each turn that is under way began.
        self._begun: dict[tuple[str, str], float] = {}
        self._told_of: set[tuple[str, str]] = set()
        self._cursors_at: dict[str, float] = {}
        self._tended_at = float("-inf")
        #: Turns that were taken.
        self.taken = 0

    @property
    def open_links(self) -> int:
        return len(self._shelf)

    def usage(self) -> Mapping[str, Mapping[str, Usage]]:
        """What the links that are open have asked of their sides, by ledger and side."""
        return self._shelf.usage()

    def run(self, stop: threading.Event) -> bool:
        """Work until `stop` is set, whatever becomes of the database; whether all of it has ended then."""
        hands_out = threading.Thread(target=self._hand_out_always, name="hand out", daemon=True)
        takes = threading.Thread(target=self._take_always, name="turns", daemon=True)
        hands_out.start()
        takes.start()
        stop.wait()
        self._stop.set()
        deadline = time.monotonic() + DRAIN_SECONDS + 1.0
        for thread in (takes, hands_out):
            thread.join(max(deadline - time.monotonic(), 0.0))
        drained = not takes.is_alive()
        if drained:
            self._shelf.close()
        return drained

    # --- what is due goes into the queue --------------------------------------------------------------------

    def _hand_out_always(self) -> None:
        self._again_and_again(
            "hand out", lambda: self._queue.listen(self._hand_out, self._stop, HAND_OUT_SECONDS)
        )

    def _hand_out(self) -> None:
        self._queue.hand_out()
        if time.monotonic() - self._tended_at >= TEND_SECONDS:
            self._tended_at = time.monotonic()
            self._look_at_clock()
            self._tell_of_slow_turns()
            ledgers = self._ledgers()
            self._shelf.expect(ledgers)
            for ledger in ledgers.keys() - self._queue.known():
                self._queue.keep(ledger, [timed(Turn(Kind.GO_ON), PACES[Kind.GO_ON])])
            for ledger, turn in self._queue.reassign():
                log.warning(
                    "a turn of a dead worker is taken again", action="turn.left", ledger=ledger, turn=turn
                )
            self._shelf.close_idle()

    def _look_at_clock(self) -> None:
        before, theirs = self._clock(), self._queue.time()
        why = why_wrong(seconds_ahead(before, theirs, self._clock()))
        if (why is None) != (self._clock_is_wrong is None):
            if why is None:
                log.info("this machine's clock is right again; the worker goes on", action="clock.right")
            else:
                log.error(f"the worker takes no turns: {why}", action="clock.wrong")
        self._clock_is_wrong = why

    def _tell_of_slow_turns(self) -> None:
        """A statement that waits for a lock or a slow disk raises nothing, and keeps its turn's place."""
        slow_since = time.monotonic() - SLOW_SECONDS
        slow = {turn for turn, at in list(self._begun.items()) if at < slow_since}
        for ledger, turn in sorted(slow - self._told_of):
            words = (
                f"a turn has not ended in {SLOW_SECONDS:.0f} s, so the database or a side keeps it waiting; "
                "see what it waits for in pg_stat_activity"
            )
            log.warning(words, action="turn.slow", ledger=ledger, turn=turn)
        self._told_of = slow

    def _again_and_again(self, name: str, job: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                job()
            except Exception as error:  # noqa: BLE001 a database that is restarted must not end the worker
                if not self._stop.is_set():
                    words = "the queue does not answer; trying again"
                    log.error(words, action="queue.fault", job=name, error=type(error).__name__)
            self._stop.wait(RECONNECT_SECONDS)

    # --- turns ----------------------------------------------------------------------------------------------

    def _take_always(self) -> None:
        self._again_and_again("turns", self._take_while_clock_is_right)

    def _take_while_clock_is_right(self) -> None:
        self._look_at_clock()
        if self._clock_is_wrong is None:
            asyncio.run(self._take_jobs())

    async def _take_jobs(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(self._turns_at_once, "turn"))
        app = self._queue.engine()
        # Never tried again by the engine: see `TurnQueue.reassign`.
        app.task(name=TASK, retry=False)(self.take)
        async with app.open_async():
            workers = [
                asyncio.create_task(
                    app.run_worker_async(
                        queues=list(queues),
                        concurrency=count,
                        install_signal_handlers=False,
                        delete_jobs="always",
                        fetch_job_polling_interval=FETCH_SECONDS,
                        update_heartbeat_interval=HEARTBEAT_SECONDS,
                        stalled_worker_timeout=DEAD_SECONDS,
                        shutdown_graceful_timeout=DRAIN_SECONDS,
                    )
                )
                for queues, count in places(self._turns_at_once)
            ]
            while not (
                self._stop.is_set() or self._clock_is_wrong or any(worker.done() for worker in workers)
            ):
                await asyncio.sleep(STOP_SECONDS)
            for worker in workers:
                worker.cancel()
            outcomes = await asyncio.gather(*workers, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def take(self, ledger: str, turn: str, behind: bool) -> None:
        """Take one turn of one link. Never raises: what went wrong was told, and the turn comes again."""
        self.taken += 1
        self._begun[ledger, turn] = time.monotonic()
        try:
            with bound_contextvars(ledger=ledger):
                self._try(ledger, turn, behind)
        finally:
            self._begun.pop((ledger, turn), None)

    def _try(self, ledger: str, turn: str, behind: bool) -> None:
        try:
            with self._shelf.held(ledger) as turns:
                known = {str(one): one for one in (*turns.all, *MORE_DUE)}.get(turn)
                # Else it is of a newer release, whose workers it waits for.
                again = LEFT_SECONDS if known is None else self._take(turns, ledger, known)
            if again == 0:
                more = map(str, MORE_DUE) if known == DUE else ()
                self._queue.cut_short(ledger, turn, tuple(more))
                return
            if behind:
                self._queue.caught_up(ledger, turn)
            if again is not None:
                self._queue.due_in(ledger, turn, again)
        except CannotOpen:
            if ledger not in self._ledgers() and self._queue.is_given_up(ledger):
                # Its settings name another ledger by now, or the link is gone.
                self._queue.forget(ledger)
            else:
                self._queue.due_in(ledger, turn, AGAIN_SECONDS)
        except Exception as error:  # noqa: BLE001 told, and repeated by its pace
            action = "database.fault" if is_fault(error) else "turn.failed"
            log.error("a turn failed", action=action, turn=turn, error=type(error).__name__)
            if is_fault(error):
                # One that news wakes has a long pace, and its news is used up.
                with suppress(psycopg.Error):
                    self._queue.due_in(ledger, turn, FAILED_SECONDS)

    def _take(self, turns: Turns, ledger: str, turn: Turn) -> float | None:
        """Seconds until the turn is due again; None: as its pace says."""
        stop, worker = Until(self._stop, TURN_SECONDS), turns.worker
        worker.free_kept()
        if turn.kind in (Kind.DUE, Kind.MATCH, Kind.IMPORT):
            worker.note_others()
            turns.read_every_feed(stop)
        for woken in turns.take(turn, stop):
            # What makes cards due or arrive has told so itself, in the transaction that stored it.
            if woken not in (DUE, MATCH):
                self._queue.tell(ledger, str(woken))
        if turn.kind is Kind.GO_ON:
            self._tend(turns, ledger)
        if turn.kind is Kind.IMPORT:
            return turns.import_again_seconds
        if turn.kind is Kind.TELL:
            return turns.tell_again_seconds
        if turn.kind is Kind.READ:
            # One that takes long, and came to its end, has nothing to go on with.
            return 0 if turns.was_cut_short(turn) else None
        if turns.found_no_card(turn):
            return WITHOUT_CARDS_SECONDS
        if turn.kind not in (Kind.DUE, Kind.MATCH) or worker.is_stopped():
            return None
        at = next_due(worker.engine)
        if at is None:
            return None
        left = (at - worker.link.clock()).total_seconds()
        if stop.is_set() and left <= 0:
            return 0
        if turn in MORE_DUE:
            return None
        return min(max(left, AGAIN_SECONDS_MIN), PACES[turn.kind])

    def _tend(self, turns: Turns, ledger: str) -> None:
        turns.worker.keep_generation()
        now = time.monotonic()
        if now - self._cursors_at.get(ledger, float("-inf")) >= CURSORS_SECONDS:
            self._cursors_at[ledger] = now
            turns.worker.remember_cursors()

    def _opened(self, ledger: str, turns: Turns) -> None:
        self._queue.keep(
            ledger,
            [
                *(timed(turn, turns.seconds(turn)) for turn in turns.all),
                *(timed(turn, _NEVER_SECONDS) for turn in MORE_DUE),
            ],
            with_others=not is_current(turns.worker.engine),
        )
