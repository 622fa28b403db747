"""The queue of cards that wait to be worked on, seen and filled as a whole."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select, update

from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.news import DUE, tell
from sync.ledger.database.tables import arrivals, cards, intents
from sync.ledger.views import in_step


def next_due(engine: Engine) -> datetime | None:
    """When time alone brings something further; what waits for a side is not waited for."""
    # A card that is leased, whoever has it, can be had when its lease is over and not before.
    free = cards.c.lease_until.is_(None)
    query = select(
        select(func.min(cards.c.due_at)).where(free, ~cards.c.awaits_side).scalar_subquery(),
        select(func.min(cards.c.lease_until)).scalar_subquery(),
        select(func.min(arrivals.c.due_at)).where(~arrivals.c.awaits_side).scalar_subquery(),
    )
    with asking(engine) as connection:
        moments = connection.execute(query).one()
    return min((m for m in moments if m is not None), default=None)


def count_due(engine: Engine) -> int:
    """Cards that wait, now or later, and those that are being worked on."""
    with asking(engine) as connection:
        return connection.execute(
            select(func.count()).where(cards.c.due_at.is_not(None) | cards.c.lease_until.is_not(None))
        ).scalar_one()


def make_out_of_step_due(engine: Engine, now: datetime) -> int:
    """Have every card worked on that is not in step; returns how many these are."""
    with engine.begin() as connection:
        out_of_step = update(cards).where(~in_step)
        return _told(connection, connection.execute(out_of_step.values(due_at=now, due_for=None)).rowcount)


def make_behind_due(engine: Engine, now: datetime) -> int:
    """Have every card worked on whose books are still to be read; returns how many these are."""
    with engine.begin() as connection:
        of_behind = update(cards).where(cards.c.behind, ~cards.c.held)
        return _told(connection, connection.execute(of_behind.values(due_at=now, due_for=None)).rowcount)


def make_postponed_due(engine: Engine, side: str, now: datetime) -> int:
    """Have cards worked on whose effects could not be sent to the side; how many there are."""
    waiting = select(intents.c.card_id).where(
        intents.c.side == side, intents.c.state == "planned", intents.c.postponed > 0
    )
    due = update(cards).where(cards.c.id.in_(waiting), cards.c.lease_until.is_(None))
    with engine.begin() as connection:
        return _told(connection, connection.execute(due.values(due_at=now, due_for=None)).rowcount)


def _told(connection: Connection, made_due: int) -> int:
    if made_due:
        tell(connection, DUE)
    return made_due
