"""Cards of a ledger that was put back, and those of them that a person has to decide."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, exists, func, not_, select

from sync.ledger.cards.append import READ_BACK
from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import cards, conflicts, intent_states
from sync.model import ConflictKind

_has_first_contact = exists().where(
    conflicts.c.card_id == cards.c.id,
    conflicts.c.kind == ConflictKind.FIRST_CONTACT.value,
    conflicts.c.closed_at.is_(None),
)
#: The sides' books do not say what the lost ledger did with these.
_is_undecided = and_(cards.c.behind, cards.c.held, not_(_has_first_contact))


@dataclass(frozen=True)
class UndecidedCard:
    """Its balance, as far as this ledger knows, is in minor units."""

    card_id: int
    balance_minor: int


def undecided_cards(engine: Engine, limit: int | None = None) -> list[UndecidedCard]:
    """The cards that a person has to decide, by id."""
    query = select(cards.c.id, cards.c.balance_minor).where(_is_undecided).order_by(cards.c.id).limit(limit)
    with asking(engine) as connection:
        return [UndecidedCard(row.id, row.balance_minor) for row in connection.execute(query)]


def is_undecided(engine: Engine, card_id: int) -> bool:
    with asking(engine) as connection:
        query = select(cards.c.id).where(cards.c.id == card_id, _is_undecided)
        return connection.execute(query).first() is not None


def count_behind(engine: Engine) -> int:
    """Cards whose books are to be read before anything is decided of them."""
    with asking(engine) as connection:
        return connection.execute(select(func.count()).where(cards.c.behind)).scalar_one()


def count_read_back(engine: Engine) -> int:
    """How many effects of lost ledgers this one has taken in."""
    query = select(func.count()).where(intent_states.c.reason.startswith(READ_BACK))
    with asking(engine) as connection:
        return connection.execute(query).scalar_one()
