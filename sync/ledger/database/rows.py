"""Every row of a ledger, read at one moment and written into an empty one, on either database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Table,
    TableClause,
    Text,
    column,
    func,
    insert,
    inspect,
    select,
    table,
    text,
    type_coerce,
)

from sync.ledger.database.engine import reading
from sync.ledger.database.tables import Said, metadata

ROWS_AT_ONCE = 1_000
#: Sorts the keys of JSON, which PostgreSQL keeps in an order of its own.
_encoder = msgspec.msgpack.Encoder(order="deterministic")


@dataclass(frozen=True)
class Page:
    """Some rows of one table; the values are in the order of the columns."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass
class Sums:
    """How many rows each table has, and a sum of their hashes, whatever their order."""

    rows: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, int] = field(default_factory=dict)

    def add(self, page: Page) -> None:
        digests = (hashlib.sha256(_encoder.encode(list(row))).digest() for row in page.rows)
        added = sum(int.from_bytes(one) for one in digests)
        self.rows[page.table] = self.rows.get(page.table, 0) + len(page.rows)
        self.hashes[page.table] = (self.hashes.get(page.table, 0) + added) % 2**256


def revision_of(connection: Connection) -> str:
    """The schema's version."""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def columns_of(connection: Connection) -> dict[str, set[str]]:
    """The columns of each table that is there; the schema may be of an earlier release."""
    found = inspect(connection)
    there = [name for name in found.get_table_names() if name in metadata.tables]
    return {name: {each["name"] for each in found.get_columns(name)} for name in there}


def read_rows(
    connection: Connection,
    but: Mapping[str, Sequence[str]] | None = None,
    names: Mapping[str, set[str]] | None = None,
) -> Iterator[Page]:
    """Every row, in an order in which they can be written; `but` leaves rows out, by table and key.

    `names` are the columns that are read; None: all that are there.
    """
    names = columns_of(connection) if names is None else names
    for one in metadata.sorted_tables:
        if one.name not in names:
            continue
        columns = [each for each in one.columns if each.name in names[one.name]]
        query = select(*(_as_kept(each) for each in columns))
        for key in one.primary_key:
            if but and one.name in but:
                query = query.where(key.not_in(but[one.name]))
        rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)
        for part in rows.partitions():
            yield Page(str(one.name), tuple(str(each.name) for each in columns), [list(row) for row in part])


def write_rows(connection: Connection, pages: Iterable[Page]) -> Sums:
    """Write the rows into empty tables; what was written."""
    sums = Sums()
    for page in pages:
        into = _plain(metadata.tables[page.table], page.columns)
        if page.rows:
            connection.execute(insert(into), [dict(zip(page.columns, row, strict=True)) for row in page.rows])
        sums.add(page)
    _raise_sequences(connection, sums.rows)
    return sums


def sums_of(
    connection: Connection,
    but: Mapping[str, Sequence[str]] | None = None,
    names: Mapping[str, set[str]] | None = None,
) -> Sums:
    """What the ledger holds, as `read_rows` reads it."""
    sums = Sums()
    for page in read_rows(connection, but, names):
        sums.add(page)
    return sums


def is_empty(engine: Engine) -> bool:
    """Whether no table has a row."""
    with reading(engine) as connection:
        return next(read_rows(connection), None) is None


def remove_rows(engine: Engine) -> None:
    """Empty every table that is there."""
    with engine.begin() as connection:
        there = set(inspect(connection).get_table_names())
        for one in reversed(metadata.sorted_tables):
            if one.name in there:
                connection.execute(one.delete())


def _as_kept(of: ColumnElement[Any]) -> ColumnElement[Any]:
    """A sentence goes from one ledger into the other as it is kept, not as it reads."""
    return type_coerce(of, Text) if isinstance(of.type, Said) else of


def _plain(of: Table, columns: Sequence[str]) -> TableClause:
    """The table without its defaults, which stand for rows that are new."""
    return table(of.name, *(column(name, _as_kept(of.c[name]).type) for name in columns))


def _raise_sequences(connection: Connection, tables: Iterable[str]) -> None:
    """PostgreSQL counts on from its own number, whatever ids were given."""
    if connection.dialect.name != "postgresql":
        return
    for name in tables:
        for key in metadata.tables[name].primary_key:
            if not isinstance(key.type, Integer) or key.autoincrement is not True:
                continue
            sequence = connection.execute(select(func.pg_get_serial_sequence(name, key.name))).scalar_one()
            if sequence is not None:
                highest = select(func.max(key)).scalar_subquery()
                connection.execute(select(func.setval(sequence, highest)))
