"""What orders and receipts said of a card, read back for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Select, and_, or_, select

from sync.ledger.database.engine import reading
from sync.ledger.database.tables import (
    arrivals,
    cards,
    origins,
    pool_numbers,
    presences,
    receipt_lines,
)

#: Names are compared one by one; whoever has more cards with a name than this searches by something else.
NAMES_READ_MAX = 20_000


@dataclass(frozen=True)
class Line:
    """One payment, refund or sale as a side told of it. Amounts in minor units, signed."""

    side: str
    kind: str
    at: datetime
    amount_minor: int | None
    order: str
    receipt: str
    store: str
    till: str


def lines_of(engine: Engine, card_id: int) -> list[Line]:
    """What orders and receipts said of the card, oldest first."""
    mine = and_(
        presences.c.card_id == card_id,
        presences.c.side == receipt_lines.c.side,
        or_(
            presences.c.native_id == receipt_lines.c.native_id,
            presences.c.serial_index == receipt_lines.c.serial_index,
        ),
    )
    columns = [c for c in receipt_lines.c if c.name not in ("key", "native_id", "serial_index")]
    query = select(*columns).join(presences, mine).distinct().order_by(receipt_lines.c.at)
    with reading(engine) as connection:
        return [
            Line(r.side, r.kind, r.at, r.amount_minor, r.order_name, r.receipt, r.store, r.till)
            for r in connection.execute(query)
        ]


def cards_by_number(engine: Engine, index: str) -> list[int]:
    """The cards that have this number on a side, by its keyed hash."""
    query = select(presences.c.card_id).where(presences.c.serial_index == index).distinct()
    return _ids(engine, query)


def cards_by_native_id(engine: Engine, side: str, native_id: str) -> list[int]:
    query = select(presences.c.card_id).where(presences.c.side == side, presences.c.native_id == native_id)
    return _ids(engine, query)


def cards_by_last_chars(engine: Engine, last_chars: str) -> list[int]:
    query = select(presences.c.card_id).where(presences.c.last_chars == last_chars).distinct()
    return _ids(engine, query)


def card_by_id(engine: Engine, card_id: int) -> list[int]:
    return _ids(engine, select(cards.c.id).where(cards.c.id == card_id))


def cards_by_order(engine: Engine, name: str) -> list[int]:
    """The cards that were bought with the order, paid for it or were refunded to for it."""
    names = {name, f"#{name.removeprefix('#')}", name.removeprefix("#")}
    bought = _ids(engine, select(origins.c.card_id).where(origins.c.order_name.in_(names)))
    return [*bought, *_told(engine, receipt_lines.c.order_name.in_(names))]


def cards_by_receipt(engine: Engine, number: str) -> list[int]:
    return _told(engine, receipt_lines.c.receipt == number)


def cards_by_name(engine: Engine, words: Iterable[str]) -> list[int]:
    """The cards bought by somebody whose name has all of these words; they are compared in lower case."""
    wanted = {word.casefold() for word in words}
    query = select(origins.c.card_id, origins.c.holder).where(origins.c.holder != "").limit(NAMES_READ_MAX)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return [row.card_id for row in rows if wanted and wanted <= set(row.holder.casefold().split())]


def is_waiting(engine: Engine, index: str) -> tuple[str, str] | None:
    """Where a number is known that no card has: the side, and why it has none."""
    with reading(engine) as connection:
        arrived = connection.execute(
            select(arrivals.c.side, arrivals.c.left_out).where(arrivals.c.serial_index == index)
        ).first()
        pooled = connection.execute(
            select(pool_numbers.c.side).where(pool_numbers.c.serial_index == index)
        ).first()
    if arrived is not None:
        brand = arrived.left_out
        why = (
            "it waits to be matched" if brand is None else f"its brand {brand} is excluded (excluded_brands)"
        )
        return arrived.side, why
    return None if pooled is None else (pooled.side, "it is a number of the pool that no card has yet")


def _told(engine: Engine, which: ColumnElement[bool]) -> list[int]:
    same = and_(
        presences.c.side == receipt_lines.c.side,
        or_(
            presences.c.native_id == receipt_lines.c.native_id,
            presences.c.serial_index == receipt_lines.c.serial_index,
        ),
    )
    query = select(presences.c.card_id).join(receipt_lines, same).where(which).distinct()
    return _ids(engine, query)


def _ids(engine: Engine, query: Select[int]) -> list[int]:
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())
