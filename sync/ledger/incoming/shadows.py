"""Shadows by the thousand, to be compared with a side's own list of its cards."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import Engine, bindparam, exists, func, not_, select

from mappings.lifecycle import CardStatus
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import cards, conflicts, intents, presences
from sync.ledger.secrets.vault import Vault
from sync.ledger.views import SweptPresence, select_swept, swept_presence


class Shadow(NamedTuple):
    """What the ledger holds of a presence, as far as a list can be compared with it."""

    id: int
    card_id: int
    shadow_minor: int
    shadow_status: CardStatus
    shadow_expires_on: date | None


_SHADOWS = select(
    presences.c.native_id,
    presences.c.id,
    presences.c.card_id,
    presences.c.shadow_minor,
    presences.c.shadow_status,
    presences.c.shadow_expires_on,
).where(presences.c.side == bindparam("side"), presences.c.native_id.in_(bindparam("ids", expanding=True)))
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
_STATUSES = {status.value: status for status in CardStatus}


def shadows_of(engine: Engine, side: str, native_ids: Sequence[str]) -> dict[str, Shadow]:
    """The shadows of these cards of a side, by native id; unknown ones are left out."""
    with reading(engine) as connection:
        rows = connection.execute(_SHADOWS, {"side": side, "ids": native_ids}).all()
    return {
        native: Shadow(row_id, card_id, minor, _STATUSES[status], expires_on)
        for native, row_id, card_id, minor, status, expires_on in rows
    }


class AtRest(NamedTuple):
    """A presence whose shadow is what the side should show now, until its card has another version."""

    presence: SweptPresence
    version: int


def at_rest(engine: Engine, vault: Vault, side: str, card_ids: Collection[int]) -> list[AtRest]:
    """Those of these cards' presences about which nothing is open and no request was ever in doubt."""
    with reading(engine) as connection:
        rows = connection.execute(_AT_REST, {"of_side": side, "of_cards": list(card_ids)}).all()
    return [AtRest(swept_presence(row, vault), row.version) for row in rows if not row.in_flight]


def versions_of(engine: Engine, card_ids: Collection[int]) -> dict[int, int]:
    """The cards' versions: each commit makes a new one."""
    with reading(engine) as connection:
        return {row.id: row.version for row in connection.execute(_VERSIONS, {"of_cards": list(card_ids)})}


def nth_presence(engine: Engine, side: str, n: int) -> int | None:
    """The id of the n-th presence of a side, from 1; None when it has fewer."""
    query = select(presences.c.id).where(presences.c.side == side).order_by(presences.c.id)
    with reading(engine) as connection:
        return connection.execute(query.offset(n - 1).limit(1)).scalar_one_or_none()


def newest_presence(engine: Engine, side: str) -> int:
    """The highest id of a side's presences; 0 when it has none."""
    query = select(func.max(presences.c.id)).where(presences.c.side == side)
    with reading(engine) as connection:
        return connection.execute(query).scalar_one() or 0


def born_ids(engine: Engine, side: str, after_id: int, up_to_id: int, limit: int) -> list[tuple[int, int]]:
    """The next presences of a side that exist there, as (presence, card)."""
    query = (
        select(presences.c.id, presences.c.card_id)
        .where(presences.c.side == side, presences.c.id > after_id, presences.c.id <= up_to_id)
        .where(presences.c.born)
        .order_by(presences.c.id)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [(row.id, row.card_id) for row in connection.execute(query)]
