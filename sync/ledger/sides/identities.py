"""Who the sides were when the ledger was made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from connectors.api.capabilities import Identity
from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import sides


@dataclass(frozen=True)
class KnownSide:
    """A side as it was at the first contact."""

    identity: str
    currency: str


def known_side(engine: Engine, side: str) -> KnownSide | None:
    """Who the ledger was made with; None before the first pass."""
    with asking(engine) as connection:
        known = connection.execute(select(sides).where(sides.c.name == side)).one_or_none()
    return None if known is None else KnownSide(known.identity, known.currency)


def remember_side(engine: Engine, side: str, found: Identity, now: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(sides).values(
                name=side,
                identity=found.identity,
                currency=found.currency,
                timezone=found.timezone,
                first_seen_at=now,
            )
        )


def currencies(engine: Engine) -> dict[str, str]:
    """The currency of each side."""
    with asking(engine) as connection:
        return {row.name: row.currency for row in connection.execute(select(sides.c.name, sides.c.currency))}
