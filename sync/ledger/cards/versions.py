"""How often cards were changed, to tell which were since they were read."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import cards


def changed_since(engine: Engine, versions: Mapping[int, int]) -> set[int]:
    """The cards whose version is another than this one now."""
    if not versions:
        return set()
    query = select(cards.c.id, cards.c.version).where(cards.c.id.in_(versions))
    with asking(engine) as connection:
        return {row.id for row in connection.execute(query) if row.version != versions[row.id]}
