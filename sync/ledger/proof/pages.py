"""Every row of the ledger's cards, a page of cards at a time, each page in one state of the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Engine, Table, or_, select

from sync.ledger.database import tables
from sync.ledger.database.engine import reading
from sync.ledger.proof.findings import CardRows, Row
from sync.model import IGNORED

#: Cards read at once. All their rows are in memory together.
PAGE_SIZE = 500
#: Less than any id that the database gives: a forged row may have one.
FIRST_ID = -(2**62)


def read_pages(engine: Engine) -> Iterator[list[CardRows]]:
    """Every card with its rows, by id, a page at a time; rows without a card stand where it would be."""
    after: int | None = None
    while True:
        page, after = read_page(engine, after, PAGE_SIZE)
        yield page
        if after is None:
            return


def read_page(engine: Engine, after: int | None, limit: int) -> tuple[list[CardRows], int | None]:
    """The first cards after an id (None: of all) with their rows, and the last id; None at the end."""
    after = FIRST_ID - 1 if after is None else after
    with reading(engine) as connection:
        ids = connection.execute(
            select(tables.cards.c.id)
            .where(tables.cards.c.id > after)
            .order_by(tables.cards.c.id)
            .limit(limit)
        )
        page_ids = list(ids.scalars())
        last = page_ids[-1] if len(page_ids) == limit else None
        return _read_page(connection, after, last, page_ids), last


def read_card(connection: Connection, card_id: int) -> CardRows:
    """One card with its rows."""
    return _read_card(connection, card_id)


def _read_page(
    connection: Connection, after: int, last: int | None, card_ids: Sequence[int]
) -> list[CardRows]:
    try:
        return _read_rows(connection, after, last)
    except (ValueError, TypeError):
        # A column holds what cannot be, such as words for an instant: find the card that it belongs to.
        return [_read_card(connection, card_id) for card_id in card_ids]


def _read_card(connection: Connection, card_id: int) -> CardRows:
    try:
        return _read_rows(connection, card_id - 1, card_id)[0]
    except (ValueError, TypeError):
        return CardRows(None, illegible=card_id)


def _read_rows(connection: Connection, after: int, last: int | None) -> list[CardRows]:
    """The cards after one id up to another or to the end, in order, and rows whose card is not there."""

    def within(column: ColumnElement[int]) -> ColumnElement[bool]:
        return column > after if last is None else (column > after) & (column <= last)

    def rows_of(table: Table, card_id: Column[Any], *order: str) -> list[dict[str, Any]]:
        ordered = select(table).where(within(card_id)).order_by(card_id, *(table.c[name] for name in order))
        # Closed however it ends: on SQLite an open result would keep the connection from writing afterwards.
        with closing(connection.execute(ordered)) as result:
            names = tuple(result.keys())
            return [dict(zip(names, row, strict=True)) for row in result]

    found = {card["id"]: CardRows(card) for card in rows_of(tables.cards, tables.cards.c.id)}

    def of_card(row: Row) -> CardRows:
        return found.setdefault(row["card_id"], CardRows(None))

    for p in rows_of(tables.presences, tables.presences.c.card_id, "id"):
        of_card(p).presences.append(p)
    for m in rows_of(tables.movements, tables.movements.c.card_id, "chain_seq"):
        of_card(m).movements.append(m)
    for intent in rows_of(tables.intents, tables.intents.c.card_id, "sequence"):
        of_card(intent).intents.append(intent)
    for state in rows_of(tables.intent_states, tables.intent_states.c.card_id, "chain_seq"):
        of_card(state).intent_states.append(state)
    for one in rows_of(tables.identities, tables.identities.c.card_id, "chain_seq"):
        of_card(one).identities.append(one)
    for taken in rows_of(tables.redemptions, tables.redemptions.c.card_id, "made_at", "id"):
        (of_card(taken).redemptions if taken["entered"] else of_card(taken).recorded).append(taken)
    for change in rows_of(tables.card_changes, tables.card_changes.c.card_id, "id"):
        of_card(change).changes.append(change)
    disputes = select(tables.conflicts.c.card_id, tables.conflicts.c.side).where(
        within(tables.conflicts.c.card_id),
        # What a person ignores is still there.
        or_(tables.conflicts.c.closed_at.is_(None), tables.conflicts.c.resolution == IGNORED),
    )
    for card_id, side in connection.execute(disputes):
        if card_id in found:
            found[card_id].disputed.add(side)
    return list(found.values())
