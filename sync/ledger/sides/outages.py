"""Which side does not answer, since when and why: kept in the ledger, for whoever looks from elsewhere.

An outage is of one side and one task, such as reading a feed: a side that shows its cards may still take no
writes. It ends when the same task succeeds.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog
from sqlalchemy import Engine, delete, or_, select

from connectors.api.errors import SideClosed, SideError, Throttled
from connectors.api.feed import Feed
from sync.ledger.database.engine import asking
from sync.ledger.database.tables import outages
from sync.ledger.database.upsert import upsert

log = structlog.get_logger(__name__)

#: The task of sending effects.
WRITING: Final = "writing"
#: The task of asking who the side is, at the start.
STARTING: Final = "starting"
#: The task of comparing known cards.
LOOKING: Final = "looking at cards"
#: How often an outage that goes on is written and logged again.
TOLD_AGAIN: Final = timedelta(minutes=1)
#: A task that was not tried for so long is not one of the worker's any more, such as that of a feed that was
#: switched off: it ends with any other of its side.
FORGOTTEN_AFTER: Final = timedelta(minutes=15)


def reading_of(feed: Feed) -> str:
    """The task of reading a feed."""
    return f"reading {feed.name.replace('_', ' ')}"


class OutageKind(StrEnum):
    #: No connection, no answer, or none that can be believed.
    SILENT = "silent"
    #: The side said "too fast".
    THROTTLED = "throttled"
    #: Nothing works until a person acts.
    CLOSED = "closed"


@dataclass(frozen=True)
class Outage:
    """A task that a side does not answer to."""

    side: str
    task: str
    kind: OutageKind
    since: datetime
    #: When it was asked last.
    asked_at: datetime
    #: In words, as the connector says it; never with a serial or a token.
    reason: str
    #: What a person has to do; empty where it may pass by itself.
    remedy: str


@dataclass
class Outages:
    """The outages of a link as one process knows them. Thread-safe."""

    _open: dict[tuple[str, str], Outage] | None = field(default=None, init=False)
    _read_at: datetime | None = field(default=None, init=False)
    #: When the last outage of each side ended, in this process.
    _ended_at: dict[str, datetime] = field(default_factory=dict, init=False)
    _logged_at: dict[tuple[str, str], datetime] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def failed(self, engine: Engine, side: str, task: str, error: SideError, now: datetime) -> bool:
        """Keep that the side did not answer; whether that is to be told: at first, and now and then."""
        with self._lock:
            known = self._known(engine, now)
            before = known.get((side, task))
            kind, remedy = _kind_of(error)
            outage = Outage(side, task, kind, before.since if before else now, now, str(error), remedy)
            told = self._logged_at.get((side, task))
            is_due = told is None or now - told >= TOLD_AGAIN
            if before is None or is_due or (before.kind, before.reason) != (kind, outage.reason):
                _save(engine, outage)
                known[side, task] = outage
            if not is_due:
                return False
            self._logged_at[side, task] = now
        if kind is not OutageKind.CLOSED:
            log.warning(
                "a side does not answer; it is asked again until it does",
                action="side.silent",
                side=side,
                task=task,
                reason=outage.reason,
                since=outage.since.isoformat(),
                seconds=round((now - outage.since).total_seconds()),
            )
        return True

    def answered(self, engine: Engine, side: str, task: str, now: datetime) -> bool:
        """The side did what was asked; whether that ends an outage. Costs nothing while there is none."""
        with self._lock:
            known = self._known(engine, now)
            ended = [
                one
                for one in known.values()
                if one.side == side and (one.task in (task, STARTING) or now - one.asked_at > FORGOTTEN_AFTER)
            ]
            if not ended:
                return False
            _forget(engine, side, task, now)
            self._ended_at[side] = now
            for one in ended:
                del known[one.side, one.task]
                self._logged_at.pop((one.side, one.task), None)
        for one in ended:
            log.info(
                "a side answers again",
                action="side.answers",
                side=side,
                task=one.task,
                seconds=round((now - one.since).total_seconds()),
            )
        return True

    def ended_at(self, side: str) -> datetime | None:
        """When the side was found to answer again; None: not in this process."""
        return self._ended_at.get(side)

    def _known(self, engine: Engine, now: datetime) -> dict[tuple[str, str], Outage]:
        """Read now and then: another process may have been told of one."""
        if self._open is None or self._read_at is None or not now - self._read_at < TOLD_AGAIN:
            self._open = {(one.side, one.task): one for one in read_outages(engine)}
            self._read_at = now
        return self._open


def read_outages(engine: Engine) -> tuple[Outage, ...]:
    """Every outage, the oldest of a side first."""
    with asking(engine) as connection:
        rows = connection.execute(select(outages).order_by(outages.c.side, outages.c.since)).mappings()
        return tuple(Outage(**{**row, "kind": OutageKind(row["kind"])}) for row in rows)


def by_side(found: Sequence[Outage]) -> Mapping[str, tuple[Outage, ...]]:
    """Outages by the side that they are of."""
    return {
        side: tuple(one for one in found if one.side == side)
        for side in dict.fromkeys(one.side for one in found)
    }


def _kind_of(error: SideError) -> tuple[OutageKind, str]:
    match error:
        case SideClosed():
            return OutageKind.CLOSED, error.remedy
        case Throttled():
            return OutageKind.THROTTLED, ""
    return OutageKind.SILENT, ""


def _save(engine: Engine, outage: Outage) -> None:
    values = {**vars(outage), "kind": outage.kind.value}
    with engine.begin() as connection:
        made = upsert(connection, outages, values)
        changed = {name: values[name] for name in ("kind", "asked_at", "reason", "remedy")}
        connection.execute(made.on_conflict_do_update(index_elements=["side", "task"], set_=changed))


def _forget(engine: Engine, side: str, task: str, now: datetime) -> None:
    is_over = or_(outages.c.task.in_((task, STARTING)), outages.c.asked_at < now - FORGOTTEN_AFTER)
    with engine.begin() as connection:
        connection.execute(delete(outages).where(outages.c.side == side, is_over))
