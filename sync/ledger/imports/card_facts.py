"""What the ledger has confirmed of the cards of an import's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select

from sync.ledger.database.engine import reading
from sync.ledger.database.tables import cards, conflicts, intents, presences

_OPEN = ("planned", "sent", "in_doubt")


@dataclass
class CardFacts:
    """One card. Amounts in minor units."""

    balance_minor: int
    #: Whether money is owed to sides that lack it: it is active, and has some.
    is_owed: bool
    #: Whether a create of it was confirmed, and what was put on it.
    is_made: bool = False
    made_minor: int = 0
    #: Whether anything is planned, sent or in doubt.
    is_open: bool = False
    #: Sides that it is to be made on and is not.
    to_create: tuple[str, ...] = ()
    refused: bool = False
    #: What waits for a person, in words.
    conflicts: tuple[str, ...] = ()


def card_facts(engine: Engine, card_ids: Sequence[int]) -> dict[int, CardFacts]:
    """The facts of each card, read in one state of the ledger."""
    if not card_ids:
        return {}
    with reading(engine) as connection:
        found = {
            row.id: CardFacts(row.balance_minor, row.status == "active" and row.balance_minor > 0)
            for row in connection.execute(
                select(cards.c.id, cards.c.balance_minor, cards.c.status).where(cards.c.id.in_(card_ids))
            )
        }
        creates = select(intents.c.card_id, intents.c.kind, intents.c.state, intents.c.amount_minor).where(
            intents.c.card_id.in_(card_ids)
        )
        for card_id, kind, state, amount_minor in connection.execute(creates):
            facts = found[card_id]
            facts.is_open |= state in _OPEN
            if kind == "create" and state == "applied":
                facts.is_made = True
                facts.made_minor += amount_minor
        to_create = select(presences.c.card_id, presences.c.side, presences.c.refusal).where(
            presences.c.card_id.in_(card_ids), presences.c.born.is_(False)
        )
        for card_id, side, refusal in connection.execute(to_create):
            facts = found[card_id]
            facts.to_create = (*facts.to_create, side)
            facts.refused |= refusal is not None
        waiting = (
            select(conflicts.c.card_id, conflicts.c.kind)
            .where(conflicts.c.card_id.in_(card_ids), conflicts.c.closed_at.is_(None))
            .order_by(conflicts.c.id)
        )
        for card_id, kind in connection.execute(waiting):
            facts = found[card_id]
            facts.conflicts = (*facts.conflicts, kind.replace("_", " "))
    return found
