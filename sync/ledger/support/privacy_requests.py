"""The privacy requests that were answered: each once, kept for people, without personal data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from sync.ledger.database.engine import asking
from sync.ledger.database.tables import privacy_requests
from sync.ledger.database.upsert import upsert


@dataclass(frozen=True)
class Answer:
    """One answered request, for people. It holds no personal data."""

    id: int
    side: str
    topic: str
    orders: int
    cards: int
    outcome: str
    answered_at: datetime


def is_answered(engine: Engine, side: str, key: str) -> bool:
    """Whether the delivery with this key was answered."""
    mine = (privacy_requests.c.side == side, privacy_requests.c.key == key)
    with asking(engine) as connection:
        return connection.execute(select(privacy_requests.c.id).where(*mine)).first() is not None


def first_answered_at(engine: Engine, side: str, digest: str) -> datetime | None:
    """When the side's first request with this content was answered; None: never."""
    same = (privacy_requests.c.side == side, privacy_requests.c.digest == digest)
    query = select(privacy_requests.c.answered_at).where(*same).order_by(privacy_requests.c.answered_at)
    with asking(engine) as connection:
        return connection.execute(query.limit(1)).scalar_one_or_none()


def save_answer(
    engine: Engine,
    side: str,
    key: str,
    topic: str,
    digest: str,
    *,
    orders: int,
    cards: int,
    outcome: str,
    answered_at: datetime,
) -> None:
    """Keep an answer; the first one of a delivery stays."""
    values = {
        "side": side,
        "key": key,
        "topic": topic,
        "digest": digest,
        "orders": orders,
        "cards": cards,
        "outcome": outcome,
        "answered_at": answered_at,
    }
    with engine.begin() as connection:
        connection.execute(upsert(connection, privacy_requests, values).on_conflict_do_nothing())


def answers(engine: Engine) -> list[Answer]:
    """Every answered request, oldest first."""
    with asking(engine) as connection:
        rows = connection.execute(select(privacy_requests).order_by(privacy_requests.c.id)).all()
    return [Answer(r.id, r.side, r.topic, r.orders, r.cards, r.outcome, r.answered_at) for r in rows]
