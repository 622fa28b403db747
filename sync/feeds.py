"""Feeds: where hints come from. Everything streams; a page is stored before the next one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from connectors.base import Absent, CardRef, Feed, Seen, Side, Unreadable
from mappings.lifecycle import CardStatus
from sync.ledger.intake import Intake
from sync.ledger.vault import Vault
from sync.ledger.views import SweptPresence, presences_after

SWEEP_FEED = "sweep"
#: A limit on every page walk; what is left is read the next time, from the cursor.
PAGES_MAX = 100_000


@dataclass(frozen=True)
class FeedRead:
    """What reading a feed came to."""

    hints: int
    arrived: int


@dataclass(frozen=True)
class Swept:
    """What a slice of a sweep came to."""

    looked_at: int
    differ: int
    absent: int
    #: Whether the end was reached; the next slice starts over.
    finished: bool


def read_feed(intake: Intake, side: Side, feed: Feed, clock: Callable[[], datetime]) -> FeedRead:
    """Read a side's feed from its cursor to its end, and store every page."""
    hints = arrived = 0
    pages = side.hints(feed.name, intake.cursor(side.name, feed.name))
    for _, page in zip(range(PAGES_MAX), pages, strict=False):
        taken = intake.take_in(side.name, feed.name, page, clock(), tells_changes=feed.tells_changes)
        hints += len(page.hints)
        arrived += taken.arrived
    return FeedRead(hints, arrived)


def sweep(
    intake: Intake,
    engine: Engine,
    vault: Vault,
    side: Side,
    limit: int,
    clock: Callable[[], datetime],
) -> Swept:
    """Look at the next `limit` presences of a side and make those due that differ from their shadow.

    Nothing is decided here: a card that is due is observed again under its lease.
    """
    after = int(intake.cursor(side.name, SWEEP_FEED) or 0)
    batch_size = side.capabilities.read_batch_max
    looked_at = differ = absent = 0
    finished = False
    while looked_at < limit and not finished:
        size = min(limit - looked_at, max(batch_size, 1))
        batch = presences_after(engine, vault, side.name, after, size)
        finished = len(batch) < size
        due, gone = _compare(side, batch)
        if due:
            intake.make_due(due, clock())
        looked_at, differ, absent = looked_at + len(batch), differ + len(due), absent + gone
        after = 0 if finished or not batch else batch[-1].id
        intake.save_cursor(side.name, SWEEP_FEED, str(after), clock())
    return Swept(looked_at, differ, absent, finished)


def _compare(side: Side, batch: list[SweptPresence]) -> tuple[set[int], int]:
    due: set[int] = set()
    absent = 0
    answers = side.observe([CardRef(p.native_id, p.serial) for p in batch]) if batch else iter(())
    for p, observation in zip(batch, answers, strict=True):
        match observation:
            case Seen():
                if not _as_shadowed(p, observation):
                    due.add(p.card_id)
            case Absent():
                absent += 1
                due.add(p.card_id)
            case Unreadable():
                pass  # The next sweep asks again.
    return due, absent


def _as_shadowed(p: SweptPresence, seen: Seen) -> bool:
    if seen.status is CardStatus.CLOSED or p.shadow_status is CardStatus.CLOSED:
        return seen.status is p.shadow_status
    suspended_by_date = seen.status is CardStatus.SUSPENDED and seen.expires_on is None
    return (
        seen.balance_minor == p.shadow_minor
        and seen.status is p.shadow_status
        and (suspended_by_date or seen.expires_on == p.shadow_expires_on)
    )
