"""Kinds of cards that need their CVC: what a side showed of some is likely of the others of their brand."""

from __future__ import annotations

from sqlalchemy import Engine, select

from sync.ledger.database.engine import asking
from sync.ledger.database.tables import presences

#: A brand that is in use has some among the side's newest cards; to look through all would take seconds.
NEWEST = 1_000


def brands_with_cvc(engine: Engine, side: str) -> frozenset[str | None]:
    """Brands of the side's newest cards of which one needs its CVC; None: the brand is not known."""
    p = presences.c
    newest = select(p.brand, p.needs_cvc).where(p.side == side).order_by(p.id.desc()).limit(NEWEST).subquery()
    with asking(engine) as connection:
        found = connection.execute(select(newest.c.brand).where(newest.c.needs_cvc).distinct())
        return frozenset(found.scalars())
