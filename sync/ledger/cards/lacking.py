"""Cards that a side lacks, counted and listed. `sharing` are the sides whose cards are brought to others;
None: all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, false, func, not_, or_, select

from mappings.brands import Brands
from mappings.lifecycle import CardStatus
from sync.ledger.database.engine import Engine, asking, reading
from sync.ledger.database.tables import cards, presences
from sync.ledger.views import in_step, not_verified
from sync.model import Hold


@dataclass(frozen=True)
class MissingCards:
    """How many cards a side lacks, and what is on them in minor units."""

    cards: int
    money_minor: int


def lacking(engine: Engine, side: str, sharing: Collection[str] | None = None) -> MissingCards:
    """The cards that would be created on the side, if it were written from now on."""
    with reading(engine) as connection:
        return _counted(connection, _lacks(side, sharing))


def one_sided(
    connection: Connection, side: str, brands: Brands, sharing: Collection[str] | None = None
) -> MissingCards:
    """The cards that the side should have and lacks, without those of brands that are left out."""
    return _counted(connection, and_(_lacks(side, sharing), not_(_left_out(connection, brands))))


def in_step_everywhere(
    connection: Connection, sides: Collection[str], brands: Brands, sharing: Collection[str] | None = None
) -> int:
    """How many cards are in step and on every one of the sides, unless their brand is left out."""
    left_out = _left_out(connection, brands)
    whole = [or_(left_out, not_(_lacks(side, sharing))) for side in sides]
    return connection.execute(select(func.count()).select_from(cards).where(in_step, *whole)).scalar_one()


def lacking_after(
    engine: Engine, side: str, after_id: int, limit: int, sharing: Collection[str] | None = None
) -> list[int]:
    """The next cards by id that the side lacks."""
    with asking(engine) as connection:
        query = select(cards.c.id).where(cards.c.id > after_id, _lacks(side, sharing)).order_by(cards.c.id)
        return list(connection.execute(query.limit(limit)).scalars())


def known_missing(engine: Engine, side: str) -> int:
    """How many cards the side had and does not show any more, as far as is known."""
    with asking(engine) as connection:
        return connection.execute(
            select(func.count()).where(presences.c.side == side, presences.c.hold == Hold.MISSING.value)
        ).scalar_one()


def _counted(connection: Connection, which: ColumnElement[bool]) -> MissingCards:
    query = select(func.count(), func.coalesce(func.sum(cards.c.balance_minor), 0)).where(which)
    count, money = connection.execute(query).one()
    return MissingCards(count, int(money))


def _lacks(side: str, sharing: Collection[str] | None) -> ColumnElement[bool]:
    """Whether the side lacks a card that some side shares."""
    of_card = presences.c.card_id == cards.c.id
    lacks = and_(
        not_(exists().where(of_card, presences.c.side == side)),
        cards.c.balance_minor > 0,
        cards.c.status == CardStatus.ACTIVE.value,
        not_(cards.c.held),
        not_(not_verified),
    )
    if sharing is None:
        return lacks
    return and_(lacks, exists().where(of_card, presences.c.side.in_(sharing), presences.c.born))


def _left_out(connection: Connection, brands: Brands) -> ColumnElement[bool]:
    """Whether a card is of a brand that is left out on any side; the names are compared as `Brands` does."""
    if not any(brands.excluded.values()):
        return false()
    named = connection.execute(
        select(presences.c.side, presences.c.brand).where(presences.c.brand.is_not(None)).distinct()
    )
    excluded = [(side, brand) for side, brand in named if brands.excludes(side, brand)]
    return exists().where(
        presences.c.card_id == cards.c.id,
        or_(
            false(),
            *(and_(presences.c.side == side, presences.c.brand == brand) for side, brand in excluded),
        ),
    )
