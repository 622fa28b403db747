"""What all workers of a link have moved within the brakes' window, on PostgreSQL, where several share a link.

An effect is counted before it is sent; one whose worker dies in between stays counted, which brakes sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from sync.ledger.database.engine import Engine, writing_lazily
from sync.ledger.database.tables import brake_cards, brake_window, conflicts
from sync.ledger.database.upsert import upsert
from sync.model import ConflictKind

#: The window's one row.
_ONE = 1


@dataclass(frozen=True)
class LedgerCounts:
    """The window of one link. Thread-safe."""

    engine: Engine

    def count(
        self,
        card_id: int,
        amount_minor: int,
        now: datetime,
        window: timedelta,
        check: Callable[[int, int], None],
    ) -> None:
        """Count one effect, after `check` was given the money and the cards with it and has not raised.

        A window ends by time, and when a person lets the link go on. Workers take turns.
        """
        with writing_lazily(self.engine) as connection:
            new = {"id": _ONE, "since": now, "money_minor": 0, "cards": 0}
            connection.execute(upsert(connection, brake_window, new).on_conflict_do_nothing())
            row = connection.execute(select(brake_window).with_for_update()).one()
            money, cards, since = row.money_minor, row.cards, row.since
            resumed_at = connection.execute(
                select(func.max(conflicts.c.closed_at)).where(
                    conflicts.c.kind == ConflictKind.BRAKE.value, conflicts.c.closed_at.is_not(None)
                )
            ).scalar_one()
            if now - since > window or (resumed_at is not None and resumed_at > since):
                connection.execute(delete(brake_cards))
                money, cards, since = 0, 0, max(now, resumed_at or now)
            known = connection.execute(
                select(brake_cards.c.card_id).where(brake_cards.c.card_id == card_id)
            ).first()
            cards += known is None
            check(money + amount_minor, cards)
            if known is None:
                connection.execute(insert(brake_cards).values(card_id=card_id))
            connection.execute(
                update(brake_window).values(money_minor=money + amount_minor, cards=cards, since=since)
            )

    def reset(self) -> None:
        """The ledger shows by itself that a person has let the link go on."""
