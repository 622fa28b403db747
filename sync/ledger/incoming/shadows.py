"""Shadows by the thousand, to be compared with a side's own list of its cards."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    Select,
    Text,
    bindparam,
    cast,
    column,
    exists,
    func,
    not_,
    select,
)

from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import cards, conflicts, intents, presences
from sync.ledger.secrets.vault import Vault
from sync.ledger.views import SweptPresence, select_swept, swept_presence


class Shadow(NamedTuple):
    """What the ledger holds of a presence, as far as a list can be compared with it."""

    native_id: str
    id: int
    card_id: int
    shadow_minor: int
    #: The value of a `CardStatus`.
    shadow_status: str
    #: ISO 8601.
    shadow_expires_on: str | None
    #: Whether the card exists on the side. A 0 or 1 where the database has no better.
    born: bool


_COLUMNS = (
    presences.c.native_id,
    presences.c.id,
    presences.c.card_id,
    presences.c.shadow_minor,
    presences.c.shadow_status,
    # As text, on both databases: to make a date of each takes longer than to compare them.
    cast(presences.c.shadow_expires_on, Text),
    presences.c.born,
)
_OF_SIDE = select(*_COLUMNS).where(presences.c.side == bindparam("side"))
# The ids as one value: five hundred of their own cost more than all the rest.
_SHADOWS = {
    "sqlite": _OF_SIDE.where(
        presences.c.native_id.in_(select(column("value")).select_from(func.json_each(bindparam("ids"))))
    ),
    "postgresql": _OF_SIDE.where(
        presences.c.native_id.in_(
            select(func.json_array_elements_text(cast(bindparam("ids", type_=Text), JSON)))
        )
    ),
}
#: All of a side within a range of ids: the list has them in this order, so neighbours are read together.
_BETWEEN = (
    _OF_SIDE.where(presences.c.native_id.between(bindparam("first"), bindparam("last")))
    .order_by(presences.c.native_id)
    .limit(bindparam("limit"))
)
_DOUBTED = exists().where(
    intents.c.card_id == presences.c.card_id, intents.c.side == presences.c.side, intents.c.doubted
)
_CONFLICT = exists().where(conflicts.c.card_id == presences.c.card_id, conflicts.c.closed_at.is_(None))
_AT_REST = (
    select_swept.add_columns(cards.c.version)
    .join(cards, cards.c.id == presences.c.card_id)
    .where(
        presences.c.side == bindparam("of_side"),
        presences.c.card_id.in_(bindparam("of_cards", expanding=True)),
        presences.c.born,
        not_(presences.c.stale),
        # A look may find the cause of these gone, though the card shows nothing new.
        presences.c.hold.is_(None),
        presences.c.refusal.is_(None),
        not_(_CONFLICT),
        not_(_DOUBTED),
    )
)
_VERSIONS = select(cards.c.id, cards.c.version).where(cards.c.id.in_(bindparam("of_cards", expanding=True)))


def shadows_of(engine: Engine, side: str, native_ids: Sequence[str]) -> Sequence[tuple[Any, ...]]:
    """The shadows of these cards of a side, each with the values of a `Shadow`, without unknown ones.

    Others whose ids lie between theirs may be among them. Mostly they come in the order of the ids.
    """
    # More than twice as many have other cards in between, or ids that follow no order.
    limit = 2 * len(native_ids)
    between = {"side": side, "first": min(native_ids), "last": max(native_ids), "limit": limit}
    with reading(engine) as connection:
        rows = _plain(connection, _BETWEEN, between)
        if len(rows) == limit or not {row[0] for row in rows}.issuperset(native_ids):
            # Some are unknown, or the database has an order of its own.
            of = {"side": side, "ids": json.dumps(list(native_ids))}
            rows = _plain(connection, _SHADOWS[engine.dialect.name], of)
    return rows


def _plain(
    connection: Connection, query: Select[Any], which: Mapping[str, object]
) -> Sequence[tuple[Any, ...]]:
    """The rows as the driver gives them: an object around each takes as long as reading it."""
    with closing(connection.execute(query, which)) as result:
        return [] if result.cursor is None else result.cursor.fetchall()


class AtRest(NamedTuple):
    """A presence whose shadow is what the side should show now, until its card has another version."""

    presence: SweptPresence
    version: int


def at_rest(engine: Engine, vault: Vault, side: str, card_ids: Collection[int]) -> list[AtRest]:
    """Those of these cards' presences about which nothing is open and no request was ever in doubt."""
    with asking(engine) as connection:
        rows = connection.execute(_AT_REST, {"of_side": side, "of_cards": list(card_ids)}).all()
    found = [AtRest(swept_presence(row, vault), row.version) for row in rows if not row.in_flight]
    return [one for one in found if not one.presence.unreadable]


def versions_of(engine: Engine, card_ids: Collection[int]) -> dict[int, int]:
    """The cards' versions: each commit makes a new one."""
    with asking(engine) as connection:
        return {row.id: row.version for row in connection.execute(_VERSIONS, {"of_cards": list(card_ids)})}


def nth_presence(engine: Engine, side: str, n: int) -> int | None:
    """The id of the n-th presence of a side, from 1; None when it has fewer."""
    query = select(presences.c.id).where(presences.c.side == side).order_by(presences.c.id)
    with asking(engine) as connection:
        return connection.execute(query.offset(n - 1).limit(1)).scalar_one_or_none()


def newest_presence(engine: Engine, side: str) -> int:
    """The highest id of a side's presences; 0 when it has none."""
    query = select(func.max(presences.c.id)).where(presences.c.side == side)
    with asking(engine) as connection:
        return connection.execute(query).scalar_one() or 0


def count_born(engine: Engine, side: str, up_to_id: int) -> int:
    """How many presences of a side exist there, up to that one."""
    query = select(func.count()).where(presences.c.side == side, presences.c.id <= up_to_id, presences.c.born)
    with asking(engine) as connection:
        return connection.execute(query).scalar_one()


def born_ids(engine: Engine, side: str, after_id: int, up_to_id: int, limit: int) -> list[tuple[int, int]]:
    """The next presences of a side that exist there, as (presence, card)."""
    query = (
        select(presences.c.id, presences.c.card_id)
        .where(presences.c.side == side, presences.c.id > after_id, presences.c.id <= up_to_id)
        .where(presences.c.born)
        .order_by(presences.c.id)
        .limit(limit)
    )
    with asking(engine) as connection:
        return [(row_id, card_id) for row_id, card_id in connection.execute(query).all()]
