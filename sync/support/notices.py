"""A digest of new conflicts for the people who settle them, with a cursor of its own.

A digest that could not be delivered is made again the next time, so each conflict is told of at least once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Engine, func, select

from mappings.money import format_money
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import conflicts
from sync.ledger.incoming.marks import read_mark, save_mark
from sync.support.senders import NotDelivered, Notice, Sender

log = structlog.get_logger(__name__)

CURSOR = "notices"
#: Conflicts told of one by one; of more there is a number.
LISTED_MAX = 20


@dataclass(frozen=True)
class NoticeResult:
    """One line of a digest."""

    id: int
    kind: str
    summary: str
    amount_minor: int
    currency: str | None

    def __str__(self) -> str:
        at_stake = self.amount_minor and self.currency
        stake = f", {format_money(self.amount_minor, self.currency or '')}" if at_stake else ""
        return f"{self.id} ({self.kind.replace('_', ' ')}{stake}): {self.summary}"


@dataclass(frozen=True)
class Digest:
    """What happened since the last one."""

    opened: Sequence[NoticeResult]
    opened_count: int
    #: Closed by themselves: their cause is gone.
    ended_count: int
    waiting_count: int
    last_id: int

    @property
    def is_news(self) -> bool:
        return bool(self.opened_count or self.ended_count)

    def notice(self) -> Notice:
        lines = [str(one) for one in self.opened]
        more = self.opened_count - len(self.opened)
        if more:
            lines.append(f"and {more} more")
        if self.ended_count:
            lines.append(f"Closed by themselves, because their cause is gone: {self.ended_count}.")
        lines.append(f"Waiting for a decision: {self.waiting_count}. `giftsync conflicts list` shows them.")
        opened = [{"id": one.id, "kind": one.kind, "amount_minor": one.amount_minor} for one in self.opened]
        data = {
            "opened": opened,
            "opened_count": self.opened_count,
            "ended_count": self.ended_count,
            "waiting_count": self.waiting_count,
        }
        return Notice(f"giftsync: {self.opened_count} new conflicts", "\n".join(lines), data)


def digest(engine: Engine, after_id: int, since: datetime) -> Digest:
    """Conflicts with a higher id than the last one told of, and what ended since then."""
    new = conflicts.c.id > after_id
    with reading(engine) as connection:

        def count(*where: object) -> int:
            query = select(func.count()).select_from(conflicts).where(*where)  # type: ignore[arg-type]
            return connection.execute(query).scalar_one()

        last = connection.execute(select(func.max(conflicts.c.id))).scalar_one() or 0
        rows = connection.execute(
            select(conflicts).where(new, conflicts.c.id <= last).order_by(conflicts.c.id).limit(LISTED_MAX)
        ).all()
        return Digest(
            [NoticeResult(r.id, r.kind, r.summary, r.amount_minor, r.currency) for r in rows],
            count(new, conflicts.c.id <= last),
            count(conflicts.c.closed_at > since, conflicts.c.resolution == "cause gone"),
            count(conflicts.c.closed_at.is_(None)),
            last,
        )


@dataclass(frozen=True)
class Notices:
    """Sends digests. `send_due` may be called as often as wanted."""

    engine: Engine
    senders: Sequence[Sender]
    clock: Callable[[], datetime]
    interval_seconds: float

    def send_due(self) -> bool:
        """Send a digest when there is news and the last one is long enough ago; whether one went out."""
        now = self.clock()
        told = json.loads(read_mark(self.engine, CURSOR) or "{}")
        since = datetime.fromisoformat(told["at"]) if told else now
        if told and 0 <= (now - since).total_seconds() < self.interval_seconds:
            return False
        found = digest(self.engine, told.get("id", 0), since)
        if not found.is_news:
            return False
        sent = [self._send(sender, found.notice()) for sender in self.senders]
        if any(sent):
            # One that failed while another went out is not made up for: nobody is told twice.
            value = json.dumps({"id": found.last_id, "at": now.isoformat()})
            save_mark(self.engine, CURSOR, value, now)
        return any(sent)

    def _send(self, sender: Sender, notice: Notice) -> bool:
        try:
            sender.send(notice)
        except NotDelivered as error:
            log.error("a notice was not delivered", action="notice.failed", why=str(error))
            return False
        return True
