"""What orders and receipts said of a card, read back for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Select, and_, or_, select

from mappings.contact import contact_of, digest_of
from mappings.sentences import say
from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import (
    arrivals,
    cards,
    origin_names,
    origins,
    pool_numbers,
    presences,
    receipt_lines,
)
from sync.ledger.secrets.vault import Vault

#: Names are opened and compared one by one; whoever has more cards with a name searches by something else.
NAMES_OPENED_MAX = 2_000


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
    with asking(engine) as connection:
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


def cards_by_mail(engine: Engine, vault: Vault, address: str) -> list[int]:
    """The cards that were sold to somebody with this mail address, where the till was told it."""
    contact = contact_of(address, "")
    if contact is None:
        return []
    return _told(engine, receipt_lines.c.buyer_index == vault.contact_index(digest_of(contact.email)))


@dataclass(frozen=True)
class Named:
    """The cards of people with a name."""

    card_ids: list[int]
    #: Of a name that is so common, the newest cards were looked at only.
    is_common: bool = False


def cards_by_name(engine: Engine, vault: Vault, name: str) -> Named:
    """The cards bought by somebody whose name has all of these words; they are compared in lower case."""
    wanted = set(name.casefold().split())
    if not wanted:
        return Named([])
    first, *others = vault.name_words(name)
    # Which cards have all words is found out in the index of words alone: thousands may have one of them, and
    # each of their names is elsewhere on the disk.
    matching = select(origin_names.c.card_id).where(origin_names.c.word == first)
    for word in others:
        other = origin_names.alias()
        matching = matching.join(other, and_(other.c.card_id == origin_names.c.card_id, other.c.word == word))
    newest = matching.order_by(origin_names.c.card_id.desc()).limit(NAMES_OPENED_MAX + 1).subquery()
    query = (
        select(origins.c.card_id, origins.c.holder)
        .join(newest, newest.c.card_id == origins.c.card_id)
        .order_by(origins.c.card_id.desc())
    )
    with asking(engine) as connection:
        rows = connection.execute(query).all()
    found = [
        row.card_id
        for row in rows[:NAMES_OPENED_MAX]
        if wanted <= set(vault.open_words(row.holder).casefold().split())
    ]
    return Named(found, len(rows) > NAMES_OPENED_MAX)


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
            say("it waits to be matched")
            if brand is None
            else say("its brand {brand} is excluded (excluded_brands)", brand=brand)
        )
        return arrived.side, why
    return None if pooled is None else (pooled.side, say("it is a number of the pool that no card has yet"))


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
    with asking(engine) as connection:
        return list(connection.execute(query).scalars())
