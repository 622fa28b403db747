"""Feeds: where hints come from. Everything streams; a page is stored before the next one is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import structlog

from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.feed import Feed, HintPage, Traced
from connectors.api.side import Side
from sync.decisions.poll_order import ReadBy
from sync.decisions.shadow import matches_shadow
from sync.feeds.unchanged import unchanged
from sync.ledger.incoming.intake import Intake
from sync.ledger.incoming.looks import SWEEP_FEED, SweepCursor
from sync.ledger.incoming.polls import ReadRecord
from sync.ledger.incoming.traces import remember_that_it_shows_ours, unknown_markers, unsettled_markers
from sync.ledger.views import SweptPresence, presences_after
from sync.model import Hold
from sync.reconcile.work import Link

log = structlog.get_logger(__name__)

PAGE_SIZE = 250
#: A limit on every page walk; what is left is read the next time, from the cursor.
PAGES_MAX = 100_000


@dataclass(frozen=True)
class FeedRead:
    """What reading a feed came to."""

    hints: int
    arrived: int
    #: Whether it was read to its end, where the feed tells that.
    is_whole: bool = False
    #: Whether `stop` ended it, so that there may be more.
    is_cut: bool = False


@dataclass(frozen=True)
class Swept:
    """What a slice of a sweep came to."""

    looked_at: int
    differ: int
    absent: int
    #: Whether the end was reached; the next slice starts over.
    finished: bool


class UnknownEffects(Exception):
    """A side's feed shows effects of giftsync's that this ledger did not make; its cursor is before them."""

    def __init__(self, side: str, markers: Collection[str]) -> None:
        super().__init__(f"{side} shows {len(markers)} change(s) that giftsync made with another ledger")
        self.side, self.markers = side, sorted(markers)


def read_feed(
    link: Link,
    intake: Intake,
    side: Side,
    feed: Feed,
    *,
    is_behind: bool = False,
    stop: threading.Event | None = None,
) -> FeedRead:
    """Read a side's feed from its cursor to its end, or until `stop` is set, and store every page.

    When `stop` is set it asks for one more page: most feeds tell only then that they have come to their end,
    and one whose single page takes longer than a turn would never be read to it.

    Raises UnknownEffects, unless the ledger `is_behind`: then they are kept for the cards that they concern.
    """
    hints = arrived = 0
    is_whole = is_cut = stopping = False
    pages = _pages(side, feed, intake.cursor(side.name, feed.name))
    for _, page in zip(range(PAGES_MAX), pages, strict=False):
        traced = _traced(link, side, page, is_behind=is_behind)
        same = unchanged(link, intake, side, page.hints) if feed.tells_changes and not is_behind else ()
        taken = intake.take_in(
            side.name,
            feed.name,
            page,
            link.clock(),
            tells_changes=feed.tells_changes,
            unchanged=same,
            traced=traced,
        )
        hints += len(page.hints)
        arrived += taken.arrived
        is_whole = page.is_last
        is_cut = stopping and not is_whole
        if is_cut:
            break
        stopping = stop is not None and stop.is_set()
    return FeedRead(hints, arrived, is_whole, is_cut)


def _pages(side: Side, feed: Feed, cursor: str | None) -> Iterator[HintPage]:
    """The feed's pages from the cursor; from the beginning where the cursor is none of the side's own."""
    pages = iter(side.hints(feed.name, cursor))
    try:
        first = next(pages, None)
    except ValueError:
        if cursor is None:
            raise
        words = "the stored cursor of a feed cannot be read; the feed is read from its beginning"
        log.warning(words, action="feed.begun_anew", side=side.name, feed=feed.name)
        yield from side.hints(feed.name, None)
        return
    if first is not None:
        yield first
        yield from pages


def _traced(link: Link, side: Side, page: HintPage, *, is_behind: bool) -> Sequence[Traced]:
    """What a page tells of giftsync's effects and of customers that a ledger which is behind has to know."""
    if not page.traces and not (is_behind and page.moved):
        return ()
    engine = link.store.engine
    if page.traces:
        remember_that_it_shows_ours(engine, side.name, link.clock())
    markers = [one.marker for one in page.traces]
    if not is_behind:
        unknown = unknown_markers(engine, markers)
        if unknown:
            raise UnknownEffects(side.name, unknown)
        return ()
    wanted = unsettled_markers(engine, markers)
    asked = [one for one in page.traces if one.marker in wanted]
    tracer = side.abilities.tracer
    return [*page.moved, *(tracer.trace(asked) if asked and tracer is not None else ())]


#: Told of the looks of a sweep's page, and of the cards that differ; makes these due.
Record = Callable[[Sequence[ReadRecord], Collection[int]], None]


def sweep(link: Link, intake: Intake, side: Side, limit: int, record: Record | None = None) -> Swept:
    """Look at the next `limit` presences of a side and make those due that differ from their shadow.

    Nothing is decided here: a card that is due is observed again under its lease. Raises BrakeTripped when
    the side suddenly lacks the cards that it had.
    """
    cursor = SweepCursor.load(intake.cursor(side.name, SWEEP_FEED))
    swept = Swept(0, 0, 0, False)
    while swept.looked_at < limit and not swept.finished:
        size = min(limit - swept.looked_at, PAGE_SIZE)
        began_at = link.clock()
        batch = presences_after(link.store.engine, link.store.vault, side.name, cursor.after_id, size)
        seen = list(zip(batch, observe(side, batch), strict=True))
        due = {p.card_id for p, observation in seen if differs(link, side, p, observation)}
        absent = sum(isinstance(observation, Absent) for _, observation in seen)
        finished = len(batch) < size
        swept = Swept(swept.looked_at + len(batch), swept.differ + len(due), swept.absent + absent, finished)
        link.check_not_empty(side.name, swept.looked_at, swept.absent)
        cursor = cursor.moved(began_at, 0 if finished else batch[-1].id)
        if record is None:
            intake.make_due(due, link.clock(), side.name)
        else:
            record([look_of(p, observation, ReadBy.OVERDUE) for p, observation in seen], due)
        intake.save_cursor(side.name, SWEEP_FEED, cursor.dump(), link.clock())
    return swept


def observe(side: Side, presences: Sequence[SweptPresence]) -> Iterator[Observation]:
    """What the side shows for each, in order; work on single cards goes first."""
    refs = [CardRef(p.native_id, p.serial) for p in presences]
    return side.observe(refs, urgent=False) if refs else iter(())


def differs(link: Link, side: Side, p: SweptPresence, observation: Observation) -> bool:
    """Whether the card is to be worked on. Where no answer came, it is asked again the next time."""
    match observation:
        case Seen():
            by_date = side.capabilities.suspends_by_date
            return p.unreadable > 0 or not matches_shadow(p, observation, link.currency, by_date)
        case Absent():
            return True
        case Unreadable():
            return observation.answered and p.hold != Hold.UNREADABLE


def look_of(p: SweptPresence, observation: Observation, by: ReadBy) -> ReadRecord:
    return ReadRecord.of(p.id, p.shadow_minor, p.shadow_status, observation, by, in_flight=p.in_flight)
