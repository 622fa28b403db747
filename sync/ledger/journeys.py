"""How the newest movements travelled: which side each came from, and when the others had it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, func, select

from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import cards, intents, movements, presences

_OPEN = ("planned", "sent", "in_doubt")
#: What carries money to a side.
_CARRYING = ("create", "credit", "debit")


@dataclass(frozen=True)
class Carried:
    """A movement's effect on one other side."""

    side: str
    #: None: under way.
    ended_at: datetime | None


@dataclass(frozen=True)
class Journey:
    """A movement of a side, and what became of it on the others."""

    at: datetime
    card_id: int
    last_chars: str
    side: str
    #: Signed, in minor units.
    amount_minor: int
    currency: str
    #: Empty: nothing had to be written, or nothing may be.
    carried: tuple[Carried, ...]

    @property
    def seconds(self) -> float | None:
        """From the movement's entry into the ledger to its last effect; None: not everywhere yet."""
        ends = [one.ended_at for one in self.carried if one.ended_at is not None]
        if not ends or len(ends) < len(self.carried):
            return None
        return (max(ends) - self.at).total_seconds()


def newest_journeys(engine: Engine, limit: int, since: datetime | None = None) -> list[Journey]:
    """The newest movements that came from a side, newest first; none that is older than `since`."""
    with reading(engine) as connection:
        query = (
            select(movements, cards.c.currency, presences.c.last_chars)
            .join(cards, cards.c.id == movements.c.card_id)
            .join(
                presences,
                (presences.c.card_id == movements.c.card_id) & (presences.c.side == movements.c.side),
            )
            .where(movements.c.kind.in_(("opening", "observed")), movements.c.amount_minor != 0)
            .order_by(movements.c.id.desc())
            .limit(limit)
        )
        moved = [row for row in connection.execute(query) if since is None or row.at >= since]
        effects = connection.execute(
            select(intents)
            .where(
                intents.c.card_id.in_({row.card_id for row in moved}),
                intents.c.kind.in_(_CARRYING),
                intents.c.state.in_((*_OPEN, "applied")),
            )
            .order_by(intents.c.sequence)
        ).all()
    of_card: dict[int, list[Row[Any]]] = {}
    for effect in effects:
        of_card.setdefault(effect.card_id, []).append(effect)
    return [_journey(row, of_card.get(row.card_id, ())) for row in moved]


def _journey(row: Row[Any], effects: Sequence[Row[Any]]) -> Journey:
    first: dict[str, Carried] = {}
    for effect in effects:
        if effect.side != row.side and effect.created_at >= row.at:
            first.setdefault(effect.side, Carried(effect.side, effect.ended_at))
    return Journey(
        row.at, row.card_id, row.last_chars, row.side, row.amount_minor, row.currency, tuple(first.values())
    )


def busiest_card(engine: Engine) -> int | None:
    """The id of the card with the most movements; None without movements."""
    query = select(movements.c.card_id).group_by(movements.c.card_id).order_by(func.count().desc()).limit(1)
    with asking(engine) as connection:
        return connection.execute(query).scalar_one_or_none()
