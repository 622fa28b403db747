"""Whether the sides are still the ones that this ledger was made with. A link never converts or guesses."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, insert, select

from connectors.api.errors import SideClosed
from connectors.api.side import Identity, Side
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import sides


def check_identity(engine: Engine, side: Side, currency: str | None, now: datetime) -> Identity:
    """Ask the side who it is and compare with what the ledger remembers, or remember it the first time.

    Raises SideClosed, with the remedy, for another shop or tenant, or another currency than the link's.
    """
    found = side.identify()
    if currency is not None and found.currency != currency:
        raise SideClosed(
            f"{side.name} keeps its cards in {found.currency}, the link in {currency}",
            "Link sides of one currency only; giftsync never converts.",
        )
    with reading(engine) as connection:
        known = connection.execute(select(sides).where(sides.c.name == side.name)).one_or_none()
    if known is None:
        with engine.begin() as connection:
            connection.execute(
                insert(sides).values(
                    name=side.name,
                    identity=found.identity,
                    currency=found.currency,
                    timezone=found.timezone,
                    first_seen_at=now,
                )
            )
    elif (known.identity, known.currency) != (found.identity, found.currency):
        raise SideClosed(
            f"{side.name} is {found.identity} in {found.currency}, but this ledger was made with "
            f"{known.identity} in {known.currency}",
            "Check the address and token in the configuration, or name another database for another shop.",
        )
    return found


def known_identity(engine: Engine, side: str) -> tuple[str, str] | None:
    """Who the ledger was made with, and in which currency; None before the first pass."""
    with reading(engine) as connection:
        known = connection.execute(select(sides).where(sides.c.name == side)).one_or_none()
    return None if known is None else (known.identity, known.currency)
