"""What feeds tell of giftsync's own effects and of customers, on sides that list no entries of a card.

Rows are kept only for a ledger that is behind, until the card that they are about was decided.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, or_, select

from connectors.api.feed import Traced
from sync.ledger.database.engine import asking
from sync.ledger.database.marks import read_mark, save_mark
from sync.ledger.database.tables import cards, intents, movements, presences, traces
from sync.ledger.database.upsert import upsert
from sync.ledger.secrets.vault import Vault
from sync.model import MovementKind, Told

_SHOWS_OURS = "shows_ours"
#: Movements of a card that a second ledger is expected to have mirrored at most.
HISTORY_MAX = 50


def unknown_markers(engine: Engine, markers: Iterable[str]) -> set[str]:
    """Those that no intent of this ledger has."""
    wanted = set(markers)
    if not wanted:
        return set()
    with asking(engine) as connection:
        known = connection.execute(select(intents.c.marker).where(intents.c.marker.in_(wanted))).scalars()
        return wanted - set(known)


def unsettled_markers(engine: Engine, markers: Iterable[str]) -> set[str]:
    """Those that no intent of this ledger has, or one that is still open."""
    wanted = set(markers)
    ended = select(intents.c.marker).where(intents.c.marker.in_(wanted), intents.c.ended_at.is_not(None))
    with asking(engine) as connection:
        return wanted - set(connection.execute(ended).scalars())


def remember_that_it_shows_ours(engine: Engine, side: str, now: datetime) -> None:
    """The side's feed shows what giftsync does there: so it shows all of it."""
    if not shows_ours(engine, side):
        save_mark(engine, f"{_SHOWS_OURS}:{side}", "yes", now)


def shows_ours(engine: Engine, side: str) -> bool:
    return read_mark(engine, f"{_SHOWS_OURS}:{side}") is not None


def moved_by_customers(engine: Engine, card_id: int) -> Mapping[str, Sequence[int]]:
    """By side, the newest movements of customers that the ledger knows of the card, oldest first."""
    query = (
        select(movements.c.side, movements.c.amount_minor)
        .where(movements.c.card_id == card_id, movements.c.kind == MovementKind.OBSERVED.value)
        .order_by(movements.c.chain_seq.desc())
        .limit(HISTORY_MAX)
    )
    found: dict[str, list[int]] = {}
    with asking(engine) as connection:
        for row in connection.execute(query):
            found.setdefault(row.side, []).insert(0, row.amount_minor)
    return found


def keep(connection: Connection, vault: Vault, side: str, found: Sequence[Traced], now: datetime) -> None:
    """Remember what a feed told; told again it changes nothing."""
    for one in found:
        serial = one.card.serial
        values: dict[str, Any] = {
            "side": side,
            "serial_index": None if serial is None else vault.index(serial),
            "native_id": one.card.native_id,
            "marker": one.marker,
            "amount_minor": one.amount_minor,
            "reference": one.reference,
            "at": one.at,
            "seen_at": now,
        }
        connection.execute(upsert(connection, traces, values).on_conflict_do_nothing())


def _of_card(card_id: int) -> Any:
    return and_(
        presences.c.card_id == card_id,
        presences.c.side == traces.c.side,
        or_(
            traces.c.native_id == presences.c.native_id,
            traces.c.serial_index == presences.c.serial_index,
        ),
        # What was there when the card was met is in the balance that it was met with.
        presences.c.card_id == cards.c.id,
        traces.c.seen_at > cards.c.created_at,
    )


def told_of(engine: Engine, card_id: int) -> Mapping[str, Sequence[Told]]:
    """By side, what feeds told of the card, oldest first."""
    query = (
        select(traces.c.side, traces.c.marker, traces.c.amount_minor, traces.c.reference, traces.c.at)
        .where(_of_card(card_id))
        .order_by(traces.c.at.is_not(None), traces.c.at)
    )
    with asking(engine) as connection:
        rows = connection.execute(query).all()
    found: dict[str, list[Told]] = {}
    # Without a time comes first, as in the query.
    for row in sorted(rows, key=lambda row: (row.at is not None, row.at, _number(row.reference))):
        found.setdefault(row.side, []).append(Told(row.marker, row.amount_minor, row.reference))
    return found


def _number(reference: str | None) -> tuple[int, ...]:
    """Tells lines of the same second apart: the numbers that a side hands out grow.

    Feeds are read newest first as well as oldest first, so the order of arrival says nothing. Where a side's
    numbers do not grow, effects may look unexplained: then a person is asked.
    """
    return tuple(int(digits) for digits in re.findall(r"[0-9]+", reference or ""))


def forget_traces(connection: Connection, card_id: int) -> None:
    """The card was decided with them."""
    of_card = select(traces.c.id).where(_of_card(card_id))
    connection.execute(delete(traces).where(traces.c.id.in_(of_card)))
