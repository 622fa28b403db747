"""What a worker does for a link, in turns: each does one job and says which others have something to do then.

The embedded worker takes them all in one process; the workers of a fleet share them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from connectors.api.feed import Feed
from connectors.api.side import Side
from sync.authority.upkeep import EVENTS_SECONDS
from sync.feeds import reader
from sync.feeds.subscriptions import SUBSCRIBE_SECONDS
from sync.ledger.cards.facts import has_presence
from sync.ledger.sides.outages import LOOKING, reading_of
from sync.worker.passes import CountedOnce, PassReport, silent
from sync.worker.verification import VERIFY_SECONDS
from sync.worker.worker import Worker

#: Longer than any feed looks back.
HINTS_KEPT = timedelta(days=3)
#: How often to look at a few cards of a side that is read one card at a time.
POLL_INTERVAL_SECONDS = 5.0
#: What becomes due by the clock alone is found this late at most.
DUE_SECONDS = 0.25
MATCH_SECONDS = 1.0
#: How often to look for an import that was queued, and for many new cards.
IMPORT_SECONDS = 3.0
#: Cards met in one turn that are looked at together at once; no side makes so few faster from a file.
MANY_MET = 50
PROCESS_SECONDS = 1.0
#: How often to ask how much one card may hold.
LIMITS_SECONDS = 3600.0
#: How often to go on with what is done in several steps.
GO_ON_SECONDS = 5.0
FORGET_SECONDS = 86_400.0


class Kind(StrEnum):
    """The jobs of a turn."""

    #: Work on the cards that are due.
    DUE = "due"
    #: Ask a side about its deliveries that came.
    PROCESS = "process"
    #: Match cards that arrived.
    MATCH = "match"
    #: Read a feed.
    READ = "read"
    #: Look at the next cards of a side.
    LOOK = "look"
    #: Carry on an import that was queued, and make many new cards.
    IMPORT = "import"
    #: Go on with what was interrupted, and tell people of new conflicts.
    GO_ON = "go on"
    #: Tell receivers of events.
    TELL = "tell"
    VERIFY = "verify"
    LIMITS = "limits"
    SUBSCRIBE = "subscribe"
    FORGET = "forget"


@dataclass(frozen=True)
class Turn:
    """One turn of a link, by its job and what that is about."""

    kind: Kind
    side: str = ""
    feed: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind.value, self.side, self.feed) if part)


DUE = Turn(Kind.DUE)
MATCH = Turn(Kind.MATCH)


class Turns:
    """The turns of one link in one process. Each may run beside the others, but never twice at once."""

    def __init__(
        self, worker: Worker, report: PassReport, run_id: int, paces: Mapping[Kind, float] | None = None
    ) -> None:
        """`paces` has the seconds between two turns of a job, where these are not an embedded worker's."""
        self.worker, self.report, self.run_id = worker, report, run_id
        self._seconds = {**_SECONDS, **(paces or {})}
        #: Feeds that were read to their end since this process began with the link.
        self._read: set[tuple[str, str]] = set()
        #: Feeds whose last read was cut short.
        self._cut: set[tuple[str, str]] = set()
        #: Sides without cards at the last look.
        self._without_cards: set[str] = set()
        #: Seconds until an import has something to do after the last turn; None: nothing is queued.
        self.import_again_seconds: float | None = None
        #: The same for telling receivers; None: nobody is told anything.
        self.tell_again_seconds: float | None = None

    @property
    def all(self) -> Sequence[Turn]:
        worker = self.worker
        sides = worker.link.sides.values()
        return (
            DUE,
            MATCH,
            *(Turn(Kind.PROCESS, side) for side in worker.listeners),
            *(Turn(Kind.READ, side.name, feed.name) for side in sides for feed in side.feeds),
            *(Turn(Kind.LOOK, side.name) for side in sides),
            *((Turn(Kind.IMPORT),) if worker.carry_imports is not None else ()),
            *((Turn(Kind.TELL),) if worker.api is not None else ()),
            *map(Turn, (Kind.GO_ON, Kind.VERIFY, Kind.LIMITS, Kind.FORGET)),
            *((Turn(Kind.SUBSCRIBE),) if worker.subscribers else ()),
        )

    def seconds(self, turn: Turn) -> float:
        """How often the turn is due when nothing wakes it."""
        options = self.worker.options
        match turn.kind:
            case Kind.READ:
                return options.feed_interval_seconds or self._feed(turn).interval_seconds
            case Kind.LOOK:
                one_by_one = turn.side in self.worker.pollers
                return POLL_INTERVAL_SECONDS if one_by_one else options.sweep_interval_seconds
            case _:
                return self._seconds[turn.kind]

    def take(self, turn: Turn, stop: threading.Event) -> Iterable[Turn]:
        """Do the turn's job, or the part of it that comes before `stop`; the turns that it wakes, which are
        told while it is under way.
        """
        match turn.kind:
            case Kind.DUE:
                return self._work_on_due(stop)
            case Kind.PROCESS:
                return self._process(turn.side)
            case Kind.MATCH:
                return self._match(stop)
            case Kind.READ:
                return self._read_feed(self.worker.link.sides[turn.side], self._feed(turn), stop)
            case Kind.LOOK:
                return self._look(self.worker.link.sides[turn.side], stop)
            case Kind.IMPORT:
                self._import(stop)
            case Kind.GO_ON:
                self.worker.free_kept()
                self.worker.go_on(PassReport())
            case Kind.TELL:
                self.tell_again_seconds = None if self.worker.api is None else self.worker.api.tell(stop)
            case Kind.VERIFY:
                return (DUE,) if self.worker.verify_next(every_seconds=self.seconds(turn)) else ()
            case Kind.LIMITS:
                self.worker.read_limits(self.report)
            case Kind.SUBSCRIBE:
                self.worker.keep_subscribed(self.report)
            case Kind.FORGET:
                self._forget()
        return ()

    def found_no_card(self, turn: Turn) -> bool:
        """Whether a look at a side came to nothing because no card is there."""
        return turn.kind is Kind.LOOK and turn.side in self._without_cards

    def was_cut_short(self, turn: Turn) -> bool:
        """Whether the last read of the feed ended before the feed did."""
        return (turn.side, turn.feed) in self._cut

    def has_read_every_feed(self) -> bool:
        """Whether cards may be decided: a feed may still tell that this ledger is not the newest."""
        return {(s.name, f.name) for s in self.worker.link.sides.values() for f in s.feeds} <= self._read

    def read_every_feed(self, stop: threading.Event) -> None:
        """Read the feeds that this process has not read yet."""
        for turn in self.all:
            if turn.kind is Kind.READ and (turn.side, turn.feed) not in self._read and not stop.is_set():
                self.take(turn, stop)

    def _feed(self, turn: Turn) -> Feed:
        feeds = self.worker.link.sides[turn.side].feeds
        return next(feed for feed in feeds if feed.name == turn.feed)

    def _read_feed(self, side: Side, feed: Feed, stop: threading.Event) -> Iterable[Turn]:
        before, ended = self.report.hints, False

        def read() -> None:
            nonlocal ended
            ended = self.worker.feed_into(self.report, side, feed, stop)

        self.worker.guarded(self.report, side.name, read, reading_of(feed))
        self._cut.discard((side.name, feed.name))
        if stop.is_set() and not ended:
            self._cut.add((side.name, feed.name))
            return ()
        self._read.add((side.name, feed.name))
        if self.has_read_every_feed():
            self.worker.every_feed_was_read()
        return (DUE, MATCH) if self.report.hints != before else ()

    def _look(self, side: Side, stop: threading.Event) -> Iterator[Turn]:
        looked_at = 0
        for how in (
            lambda: self.worker.look(side),
            lambda: self.worker.sweep_by_list(side, stop.is_set),
        ):
            found: list[reader.Swept] = []

            def look(how: Callable[[], reader.Swept | None] = how, found: list[reader.Swept] = found) -> bool:
                looked = how()
                if looked is not None:
                    found.append(looked)
                return looked is not None and looked.looked_at > 0

            self.worker.guarded(self.report, side.name, look, LOOKING)
            for looked in found:
                self.report.swept += looked.looked_at
                looked_at += looked.looked_at
                if looked.differ:
                    yield DUE
        self._without_cards.discard(side.name)
        if not looked_at and not has_presence(self.worker.engine, side.name):
            self._without_cards.add(side.name)

    def _process(self, side: str) -> Iterable[Turn]:
        told = self.worker.process_deliveries(self.report, side)
        return (
            *((DUE,) if told.hints else ()),
            *(Turn(Kind.READ, *feed) for feed in told.feeds),
            *(Turn(Kind.LOOK, name) for name in told.lists),
            *((MATCH,) if told.arrived else ()),
            *((Turn(Kind.PROCESS, side),) if told.more else ()),
        )

    def _match(self, stop: threading.Event) -> Iterable[Turn]:
        # A card without a serial may belong to one that another feed has not told of yet.
        before = self.report.met
        if self.has_read_every_feed() and not self.worker.is_stopped():
            self.worker.match_all(self.report, self.run_id, silent, stop)
        # So many together may be made faster from a file.
        return (Turn(Kind.IMPORT),) if self.report.met - before >= MANY_MET else ()

    def _work_on_due(self, stop: threading.Event) -> Iterable[Turn]:
        """Work on due cards until none is due now; whoever goes on all the time starts them one by one."""
        if self.has_read_every_feed():
            worked = CountedOnce()
            with ThreadPoolExecutor(self.worker.options.threads, "card") as pool:
                self.worker.work_on_due(pool, self.run_id, self.report, worked, silent, stop)
        return ()

    def _import(self, stop: threading.Event) -> None:
        """Carry on what makes many cards: queued imports, and new cards that are made from files."""
        self.import_again_seconds = None
        worker = self.worker
        if not self.has_read_every_feed() or worker.is_stopped():
            return
        carry = worker.carry_imports
        waits = (
            None if carry is None else carry(stop, self.run_id),
            worker.go_on_with_new_cards(self.report, self.run_id, stop),
        )
        self.import_again_seconds = min((one for one in waits if one is not None), default=None)

    def _forget(self) -> None:
        now = self.worker.link.clock()
        self.worker.inbox.forget_old(now, self.worker.listeners)
        self.worker.intake.forget_hints(now - HINTS_KEPT)
        if self.worker.api is not None:
            self.worker.api.forget()


_SECONDS = {
    Kind.DUE: DUE_SECONDS,
    Kind.PROCESS: PROCESS_SECONDS,
    Kind.MATCH: MATCH_SECONDS,
    Kind.IMPORT: IMPORT_SECONDS,
    Kind.GO_ON: GO_ON_SECONDS,
    Kind.TELL: EVENTS_SECONDS,
    Kind.VERIFY: VERIFY_SECONDS,
    Kind.LIMITS: LIMITS_SECONDS,
    Kind.SUBSCRIBE: SUBSCRIBE_SECONDS,
    Kind.FORGET: FORGET_SECONDS,
}
