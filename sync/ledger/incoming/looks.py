"""How long ago each side was looked at: what bounds the delay of a change that no feed tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, func, select

from sync.ledger.database.tables import feed_cursors, polls

SWEEP_FEED: Final = "sweep"


@dataclass(frozen=True)
class SweepCursor:
    """Where a sweep in order of id is. One that has reached the end begins again."""

    after_id: int = 0
    #: When this round began; None before the first one.
    began_at: datetime | None = None
    #: Every presence was looked at since then: the beginning of the last round that reached the end.
    whole_since: datetime | None = None

    def moved(self, now: datetime, after_id: int) -> SweepCursor:
        """After a page that was read at `now`; an `after_id` of 0 is the end."""
        began_at = now if self.after_id == 0 or self.began_at is None else self.began_at
        if after_id == 0:
            return SweepCursor(0, None, began_at)
        return replace(self, after_id=after_id, began_at=began_at)

    def dump(self) -> str:
        def instant(at: datetime | None) -> str | None:
            return None if at is None else at.astimezone(UTC).isoformat()

        return json.dumps([self.after_id, instant(self.began_at), instant(self.whole_since)])

    @staticmethod
    def load(text: str | None) -> SweepCursor:
        """None is the beginning of the first round, and so is what is no cursor of a sweep."""
        if text is None:
            return SweepCursor()
        try:
            after_id, *instants = json.loads(text)
            began_at, whole_since = (None if at is None else datetime.fromisoformat(at) for at in instants)
            return SweepCursor(int(after_id), began_at, whole_since)
        except (ValueError, TypeError):
            return SweepCursor()


@dataclass(frozen=True)
class Looks:
    """How long ago one side was looked at."""

    #: Its presences that are looked at.
    cards: int
    #: No look is older than this; None: not every card was looked at yet.
    oldest_at: datetime | None
    #: Cards that were asked for last without an answer.
    unanswered: int = 0
    #: Cards are looked at in an order of their own, not in rounds.
    adaptive: bool = False


def looks(connection: Connection, cards: Mapping[str, int]) -> Mapping[str, Looks]:
    """By side, for every side that has cards; `cards` is how many."""
    swept = {
        row.side: SweepCursor.load(row.cursor).whole_since
        for row in connection.execute(select(feed_cursors).where(feed_cursors.c.feed == SWEEP_FEED))
    }
    polled = {
        row.side: Looks(row.cards, row.oldest, row.unanswered, adaptive=True)
        for row in connection.execute(
            select(
                polls.c.side,
                func.count().label("cards"),
                func.min(polls.c.polled_at).label("oldest"),
                func.count().filter(polls.c.asked_at > polls.c.polled_at).label("unanswered"),
            ).group_by(polls.c.side)
        )
    }
    return {side: polled.get(side) or Looks(count, swept.get(side)) for side, count in sorted(cards.items())}
