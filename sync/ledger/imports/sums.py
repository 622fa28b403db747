"""What an import came to, added up from the ledger's own rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, case, func, select

from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import (
    cards,
    conflicts,
    import_rows,
    intents,
    movements,
    presences,
)
from sync.ledger.imports.rows import Import

_OPENED = ("opening", "adopted")


@dataclass(frozen=True)
class SideSums:
    """The imported cards on one side. Amounts in minor units.

    had + made + moved + on_the_way = shows
    """

    side: str
    #: Cards that are there now, and those among them that the import made.
    cards: int
    made_cards: int
    #: What was on them when the hub met them.
    had_minor: int
    #: What the import put on new cards.
    made_minor: int
    #: What customers, staff and the worker moved since.
    moved_minor: int
    #: Promised and not confirmed.
    on_the_way_minor: int
    #: What the side shows once everything has landed.
    shows_minor: int

    @property
    def adds_up(self) -> bool:
        return self.had_minor + self.made_minor + self.moved_minor + self.on_the_way_minor == self.shows_minor


@dataclass(frozen=True)
class HubSums:
    """The imported cards in the hub. `opening + changes = balance`."""

    cards: int
    opening_minor: int
    #: Signed: everything that moved them since.
    changes_minor: int
    balance_minor: int
    held: int
    #: Notifications that were ever planned for them.
    notices: int

    @property
    def adds_up(self) -> bool:
        return self.opening_minor + self.changes_minor == self.balance_minor


@dataclass(frozen=True)
class Liability:
    """What is owed to the owners of some cards."""

    name: str
    cards: int
    balance_minor: int


def _cards_of(plan: Import) -> Any:
    return select(import_rows.c.card_id).where(
        import_rows.c.import_id == plan.id,
        import_rows.c.id > plan.first_row,
        import_rows.c.card_id.is_not(None),
    )


def _sum(what: ColumnElement[int], when: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((when, what), else_=0)), 0)


def hub_sums(engine: Engine, plan: Import) -> HubSums:
    """All of the plan's cards."""
    opening = movements.c.kind == "opening"
    with reading(engine) as connection:
        moved = connection.execute(
            select(_sum(movements.c.amount_minor, opening), _sum(movements.c.amount_minor, ~opening)).where(
                movements.c.card_id.in_(_cards_of(plan))
            )
        ).one()
        held = connection.execute(
            select(
                func.count(),
                func.coalesce(func.sum(cards.c.balance_minor), 0),
                func.coalesce(func.sum(case((cards.c.held, 1), else_=0)), 0),
            ).where(cards.c.id.in_(_cards_of(plan)))
        ).one()
        notices = connection.execute(
            select(func.count()).where(intents.c.kind == "notify", intents.c.card_id.in_(_cards_of(plan)))
        ).scalar_one()
    return HubSums(held[0], int(moved[0]), int(moved[1]), int(held[1]), int(held[2]), notices)


def side_sums(engine: Engine, plan: Import, side: str) -> SideSums:
    """The plan's cards on one side."""
    created = and_(intents.c.kind == "create", intents.c.state == "applied")
    is_open = intents.c.state.in_(("planned", "sent", "in_doubt"))
    met = movements.c.kind.in_(_OPENED)
    with reading(engine) as connection:
        moved = connection.execute(
            select(
                _sum(movements.c.shadow_delta_minor, met), _sum(movements.c.shadow_delta_minor, ~met)
            ).where(movements.c.side == side, movements.c.card_id.in_(_cards_of(plan)))
        ).one()
        effects = connection.execute(
            select(
                _sum(intents.c.amount_minor, created),
                func.coalesce(func.sum(case((created, 1), else_=0)), 0),
                _sum(intents.c.amount_minor, is_open),
                _sum(intents.c.amount_minor, and_(intents.c.state == "applied", intents.c.kind != "create")),
            ).where(intents.c.side == side, intents.c.card_id.in_(_cards_of(plan)))
        ).one()
        shown = connection.execute(
            select(
                func.coalesce(func.sum(case((presences.c.born, 1), else_=0)), 0),
                func.coalesce(func.sum(presences.c.shadow_minor), 0),
            ).where(presences.c.side == side, presences.c.card_id.in_(_cards_of(plan)))
        ).one()
    return SideSums(
        side,
        int(shown[0]),
        int(effects[1]),
        int(moved[0]),
        int(effects[0]),
        int(moved[1]) + int(effects[3]),
        int(effects[2]),
        int(shown[1]),
    )


def liability(engine: Engine, plan: Import, by: str) -> list[Liability]:
    """The plan's cards by `brand` or `store`, the most money first."""
    column = import_rows.c[by]
    total = func.coalesce(func.sum(cards.c.balance_minor), 0)
    query = (
        select(column, func.count(), total)
        .join(cards, cards.c.id == import_rows.c.card_id)
        .where(import_rows.c.import_id == plan.id)
        .group_by(column)
        .order_by(total.desc(), column)
    )
    with asking(engine) as connection:
        return [Liability(row[0], row[1], int(row[2])) for row in connection.execute(query)]


def count_conflicts(engine: Engine, plan: Import) -> dict[str, tuple[int, int]]:
    """Open conflicts of the plan's cards by kind: how many, and the money at stake."""
    query = (
        select(conflicts.c.kind, func.count(), func.coalesce(func.sum(conflicts.c.amount_minor), 0))
        .where(conflicts.c.card_id.in_(_cards_of(plan)), conflicts.c.closed_at.is_(None))
        .group_by(conflicts.c.kind)
        .order_by(conflicts.c.kind)
    )
    with asking(engine) as connection:
        return {row[0]: (row[1], int(row[2])) for row in connection.execute(query)}
