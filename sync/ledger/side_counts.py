"""What is under way on each side, and what has moved there, counted for those who watch many links."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import case, func, select

from sync.ledger.database.engine import Engine, reading
from sync.ledger.database.tables import (
    cards,
    conflicts,
    deliveries,
    intent_states,
    intents,
    movements,
    outages,
)

_OPEN = ("planned", "sent", "in_doubt")
#: No transaction takes so long: by then every row up to a number is there.
SETTLED = timedelta(minutes=1)


@dataclass(frozen=True)
class SideCounts:
    """Counts of one moment. Amounts in minor units."""

    #: Open intents, by side and state.
    intents: Mapping[tuple[str, str], int]
    #: Since when the oldest request that is in doubt may have happened, by side.
    doubted_since: Mapping[str, datetime]
    #: Since when the oldest open intent waits, by side.
    waiting_since: Mapping[str, datetime]
    #: Webhook deliveries that are stored and not processed: how many, and since when, by side.
    deliveries: Mapping[str, int]
    delivered_since: Mapping[str, datetime]
    #: Since when the side does not answer, by side and task.
    outages: Mapping[tuple[str, str], datetime]
    #: Money at stake in open conflicts, by kind.
    at_stake_minor: Mapping[str, int]


def read_side_counts(engine: Engine) -> SideCounts:
    """Count all of it in one state of the ledger."""
    with reading(engine) as connection:
        open_ones = connection.execute(
            select(intents.c.side, intents.c.state, func.count(), func.min(intents.c.created_at))
            .where(intents.c.state.in_(_OPEN))
            .group_by(intents.c.side, intents.c.state)
        ).all()
        doubts = connection.execute(
            select(intents.c.side, func.min(intent_states.c.at))
            .join(intent_states, intent_states.c.marker == intents.c.marker)
            .where(intents.c.state == "in_doubt", intent_states.c.state == "sent")
            .group_by(intents.c.side)
        ).all()
        inbox = connection.execute(
            select(deliveries.c.side, func.count(), func.min(deliveries.c.received_at))
            .where(deliveries.c.due_at.is_not(None))
            .group_by(deliveries.c.side)
        ).all()
        stakes = connection.execute(
            select(conflicts.c.kind, func.sum(conflicts.c.amount_minor))
            .where(conflicts.c.closed_at.is_(None))
            .group_by(conflicts.c.kind)
        ).all()
        silent = connection.execute(select(outages.c.side, outages.c.task, outages.c.since)).all()
    waiting: dict[str, datetime] = {}
    for side, _, _, since in open_ones:
        waiting[side] = min(since, waiting.get(side, since))
    return SideCounts(
        intents={(side, state): count for side, state, count, _ in open_ones},
        doubted_since={one[0]: one[1] for one in doubts},
        waiting_since=waiting,
        deliveries={side: count for side, count, _ in inbox},
        delivered_since={side: since for side, _, since in inbox},
        outages={(side, task): since for side, task, since in silent},
        at_stake_minor={kind: int(minor) for kind, minor in stakes},
    )


@dataclass(frozen=True)
class Moved:
    """Movements that entered the hub from one side, in one currency."""

    movements: int = 0
    #: Both zero or more, in minor units.
    in_minor: int = 0
    out_minor: int = 0


@dataclass
class MoneyMoved:
    """Adds up all movements of the ledger; reads each once in the life of the process. Thread-safe.

    A movement is counted a minute after it was written. None as the side: write-offs and resolutions.
    """

    _upto: int = field(default=0, init=False)
    _sums: dict[tuple[str | None, str], Moved] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def read(self, engine: Engine, now: datetime) -> Mapping[tuple[str | None, str], Moved]:
        """What has moved, by side and currency, since the ledger began."""
        amount = movements.c.amount_minor
        with self._lock, reading(engine) as connection:
            newest = select(func.max(movements.c.id)).where(
                movements.c.id > self._upto, movements.c.at <= now - SETTLED
            )
            upto = connection.execute(newest).scalar_one()
            if upto is None:
                return dict(self._sums)
            rows = connection.execute(
                select(
                    movements.c.side,
                    cards.c.currency,
                    func.count(),
                    func.sum(case((amount > 0, amount), else_=0)),
                    func.sum(case((amount < 0, -amount), else_=0)),
                )
                .join(cards, cards.c.id == movements.c.card_id)
                .where(movements.c.id > self._upto, movements.c.id <= upto)
                .group_by(movements.c.side, cards.c.currency)
            ).all()
            for side, currency, count, came_in, went_out in rows:
                was = self._sums.get((side, currency), Moved())
                self._sums[side, currency] = Moved(
                    was.movements + count, was.in_minor + int(came_in), was.out_minor + int(went_out)
                )
            self._upto = upto
            return dict(self._sums)
