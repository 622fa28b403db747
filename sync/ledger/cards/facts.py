"""What is read of a card that cannot be loaded, and of its requests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select

from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import cards, conflicts, intent_states, presences
from sync.model import IGNORED


def currency_of_card(engine: Engine, card_id: int) -> str:
    with asking(engine) as connection:
        return str(connection.execute(select(cards.c.currency).where(cards.c.id == card_id)).scalar())


def last_chars_of_card(engine: Engine, card_id: int) -> str:
    """Of the first side that shows any; empty when none does."""
    query = select(presences.c.last_chars).where(presences.c.card_id == card_id).order_by(presences.c.id)
    with asking(engine) as connection:
        return next((str(one) for one in connection.execute(query).scalars() if one), "")


def last_step_at(engine: Engine, markers: Sequence[str]) -> datetime | None:
    """When the newest step of any of these intents was committed."""
    query = select(func.max(intent_states.c.at)).where(intent_states.c.marker.in_(markers))
    with asking(engine) as connection:
        return connection.execute(query).scalar()


def told_of(engine: Engine, card_ids: Collection[int], cause: str) -> set[int]:
    """Those of the cards with a conflict of this cause that is open, or that a person ignores."""
    query = select(conflicts.c.card_id).where(
        conflicts.c.card_id.in_(card_ids),
        conflicts.c.cause == cause,
        or_(conflicts.c.closed_at.is_(None), conflicts.c.resolution == IGNORED),
    )
    with asking(engine) as connection:
        return set(connection.execute(query).scalars())


def highest_card_id(engine: Engine) -> int:
    """Zero without cards."""
    with asking(engine) as connection:
        return connection.execute(select(func.max(cards.c.id))).scalar() or 0


def has_presence(engine: Engine, side: str) -> bool:
    """Whether any card is on the side."""
    with asking(engine) as connection:
        return (
            connection.execute(select(presences.c.id).where(presences.c.side == side).limit(1)).scalar()
            is not None
        )


def is_ignored(engine: Engine, card_id: int, cause: str) -> bool:
    """Whether a person said that this cause is not to be told of again while it stays."""
    query = select(conflicts.c.id).where(
        conflicts.c.card_id == card_id, conflicts.c.cause == cause, conflicts.c.resolution == IGNORED
    )
    with asking(engine) as connection:
        return connection.execute(query.limit(1)).first() is not None
