"""One open conflict of the whole link for each cause, renewed while the cause lasts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import conflicts
from sync.model import IGNORED

CAUSE_GONE = "cause gone"


@dataclass(frozen=True)
class LinkConflict:
    """What a conflict of the whole link says now. Its amount is in minor units."""

    kind: str
    cause: str
    summary: str
    amount_minor: int
    currency: str
    proposal: str
    evidence: dict[str, Any]


def keep_open(engine: Engine, told: LinkConflict, now: datetime) -> None:
    """Open the conflict, or have the open one say this; one that a person ignored says it in silence.

    What is not as it was when the person said so is told anew.
    """
    words = {
        "summary": told.summary,
        "amount_minor": told.amount_minor,
        "proposal": told.proposal,
        "evidence": told.evidence,
        "last_seen_at": now,
        "currency": told.currency,
    }
    # Another process that sees the same at once has opened it.
    with suppress(IntegrityError), engine.begin() as connection:
        if connection.execute(update(conflicts).where(_open(told.cause)).values(words)).rowcount:
            return
        ignored = connection.execute(
            select(conflicts.c.id, conflicts.c.evidence).where(_ignored(told.cause))
        ).first()
        if ignored is not None and ignored.evidence == told.evidence:
            return
        connection.execute(update(conflicts).where(_ignored(told.cause)).values(resolution="ignored"))
        connection.execute(insert(conflicts).values(kind=told.kind, cause=told.cause, opened_at=now, **words))


def end(engine: Engine, cause: str, now: datetime) -> None:
    """Close the conflict if it is open: its cause is gone. One that a person ignored may come again."""
    with asking(engine) as connection:
        waits = or_(_open(cause), _ignored(cause))
        if connection.execute(select(conflicts.c.id).where(waits)).first() is None:
            return
    with engine.begin() as connection:
        gone = {"closed_at": now, "resolution": CAUSE_GONE}
        connection.execute(update(conflicts).where(_open(cause)).values(gone))
        connection.execute(update(conflicts).where(_ignored(cause)).values(resolution="ignored"))


def open_causes(engine: Engine, kind: str) -> list[str]:
    """The causes of this kind that are told of, or that a person ignores."""
    waits = or_(conflicts.c.closed_at.is_(None), conflicts.c.resolution == IGNORED)
    query = select(conflicts.c.cause).where(conflicts.c.card_id.is_(None), conflicts.c.kind == kind, waits)
    with asking(engine) as connection:
        return list(connection.execute(query).scalars())


def _open(cause: str) -> ColumnElement[bool]:
    return and_(conflicts.c.card_id.is_(None), conflicts.c.cause == cause, conflicts.c.closed_at.is_(None))


def _ignored(cause: str) -> ColumnElement[bool]:
    return and_(conflicts.c.card_id.is_(None), conflicts.c.cause == cause, conflicts.c.resolution == IGNORED)
