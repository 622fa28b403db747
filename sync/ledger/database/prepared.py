"""Statements that are compiled once and then run by the database's own driver.

SQLAlchemy makes a statement anew each time that it runs: a key to find it by, a context, a result. A movement
runs some thirty, and that made up a third of its processor time. Here SQLAlchemy compiles each statement of
the hot path once and says how its types go in and out; the rest is the driver's. The connection, its
transaction and the kinds of its errors stay SQLAlchemy's.

For statements that are made once, at import: what is compiled is kept as long as the statement is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Insert,
    LargeBinary,
    Select,
    Update,
    bindparam,
    or_,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from sync.ledger.database.tables import Day

Statement = Select[Any] | Insert | Update | Delete
#: By column.
Row = dict[str, Any]
_Process = Callable[[Any], Any]
#: How many values are asked for at once.
PLACES_MAX = 64
#: Many rows have few different dates, and each takes longer to write as text than all else of its row.
_DATES_KEPT = 1_024
#: Rows that one statement adds: half as much work for SQLite as one statement for each of them.
_ROWS_AT_ONCE = 50
_VALUES = " VALUES "


def rows(connection: Connection, statement: Statement, params: Mapping[str, object]) -> list[Row]:
    """What the statement returns. Each of its parameters has to be given."""
    if _is_watched(connection):
        return [dict(row) for row in connection.execute(statement, params).mappings()]
    compiled = _compiled_for(connection, statement, params)
    return compiled.read(compiled.run(connection, params))


def row(connection: Connection, statement: Statement, params: Mapping[str, object]) -> Row | None:
    """The only row that the statement returns, if any."""
    found = rows(connection, statement, params)
    if len(found) > 1:
        raise ValueError(f"{len(found)} rows where at most one can be")
    return found[0] if found else None


def change(connection: Connection, statement: Statement, params: Mapping[str, object]) -> int:
    """How many rows the statement has changed."""
    if _is_watched(connection):
        return cast(CursorResult[Any], connection.execute(statement, params)).rowcount
    return int(_compiled_for(connection, statement, params).run(connection, params).rowcount)


def add_each(
    connection: Connection, statement: Insert, names: Sequence[str], values: Sequence[Sequence[Any]]
) -> None:
    """Add a row for each of these values; `names` are their columns, in order."""
    if not values:
        return
    if _is_watched(connection):
        connection.execute(statement, [dict(zip(names, one, strict=True)) for one in values])
    else:
        _compiled_for(connection, statement, dict.fromkeys(names)).add_each(connection, names, values)


def _is_watched(connection: Connection) -> bool:
    """Whether the statement has to go SQLAlchemy's way: somebody listens, or it names tables anew."""
    return bool(
        connection.engine.dispatch.before_cursor_execute
        or connection.get_execution_options().get("schema_translate_map")
    )


_compiled: WeakKeyDictionary[Statement, dict[tuple[str, ...], _Compiled]] = WeakKeyDictionary()


def _compiled_for(connection: Connection, statement: Statement, params: Mapping[str, object]) -> _Compiled:
    # What is written has the columns that it is given, beside its own.
    key = (connection.dialect.name, *(params if statement.is_dml else ()))
    kept = _compiled.get(statement)
    if kept is None:
        kept = _compiled.setdefault(statement, {})
    found = kept.get(key)
    if found is None:
        found = kept[key] = _Compiled(connection.dialect, statement, list(params))
    return found


class _Compiled:
    """One statement as one driver takes it."""

    def __init__(self, dialect: Dialect, statement: Statement, names: list[str]) -> None:
        columns = names if statement.is_dml else None
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        if compiled.post_compile_params or compiled.literal_execute_params or compiled.escaped_bind_names:
            raise ValueError("the text of this statement depends on its parameters")
        self._sql = str(compiled)
        self._dialect = dialect
        self._returned = tuple(statement.exported_columns)
        self._results: list[tuple[str, _Process | None]] | None = None
        fixed = _fixed(compiled)
        order = list(compiled.positiontup or ()) if compiled.positional else list(compiled.binds)
        places: Sequence[Any] = range(len(order)) if compiled.positional else order
        processes = {name: _process_in(compiled, name, dialect) for name in set(order)}
        #: The arguments, those that never change filled in.
        self._template: Any = {} if not compiled.positional else [None] * len(order)
        self._open: list[tuple[Any, str, _Process | None]] = []
        for place, name in zip(places, order, strict=True):
            process = processes[name]
            if name in fixed:
                self._template[place] = fixed[name] if process is None else process(fixed[name])
            else:
                self._open.append((place, name, process))

    def run(self, connection: Connection, params: Mapping[str, object]) -> Any:
        """The driver's cursor. Raises the errors that SQLAlchemy makes of the driver's."""
        return self._run(connection, self._arguments(params))

    def add_each(
        self, connection: Connection, names: Sequence[str], values: Iterable[Sequence[object]]
    ) -> None:
        """Add a row for each of these values, whose names are given once. Raises like `run`."""
        given = dict(zip(names, zip(*values, strict=True), strict=True))
        columns: dict[Any, Iterable[Any]] = {
            place: given[name] if process is None else map(process, given[name])
            for place, name, process in self._open
        }
        if isinstance(self._template, dict):
            rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
            self._run(connection, [{**self._template, **row} for row in rows], each=True)
            return
        ordered = [columns.get(place, repeat(value)) for place, value in enumerate(self._template)]
        # The values that are the same for all have no end.
        rows_of_values = list(zip(*ordered, strict=False))
        whole = len(rows_of_values) - len(rows_of_values) % _ROWS_AT_ONCE
        many = [
            tuple(chain.from_iterable(rows_of_values[start : start + _ROWS_AT_ONCE]))
            for start in range(0, whole, _ROWS_AT_ONCE)
        ]
        begin, _, places = self._sql.partition(_VALUES)
        self._run(connection, many, each=True, sql=begin + _VALUES + ", ".join([places] * _ROWS_AT_ONCE))
        self._run(connection, rows_of_values[whole:], each=True)

    def _arguments(self, params: Mapping[str, object]) -> Any:
        arguments = self._template.copy()
        for place, name, process in self._open:
            value = params[name]
            arguments[place] = value if process is None else process(value)
        return arguments

    def _run(
        self, connection: Connection, arguments: Any, *, each: bool = False, sql: str | None = None
    ) -> Any:
        sql = sql or self._sql
        if not connection.in_transaction():
            connection.begin()
        driver = cast(Any, connection.connection.dbapi_connection)
        try:
            if each:
                return driver.cursor().executemany(sql, arguments)
            return driver.execute(sql, arguments)
        except Exception as error:  # noqa: BLE001 it is raised again, as SQLAlchemy's
            connection._handle_dbapi_exception(error, sql, None, None, None)

    def read(self, cursor: Any) -> list[Row]:
        found = cursor.fetchall()
        if not found:
            return []
        if self._results is None:
            self._results = self._process_out(cursor.description)
        results = self._results
        return [
            {
                name: value if process is None else process(value)
                for (name, process), value in zip(results, values, strict=True)
            }
            for values in found
        ]

    def _process_out(self, description: Any) -> list[tuple[str, _Process | None]]:
        return [
            (
                shown[0],
                column.type.dialect_impl(self._dialect).result_processor(self._dialect, shown[1]),
            )
            for column, shown in zip(self._returned, description, strict=True)
        ]


def _process_in(compiled: SQLCompiler, name: str, dialect: Dialect) -> _Process | None:
    kind = compiled.binds[name].type
    # Both drivers take bytes as they are; SQLAlchemy wraps them for drivers that do not.
    if isinstance(kind, LargeBinary):
        return None
    process = cast(_Process | None, kind.dialect_impl(dialect).bind_processor(dialect))
    return lru_cache(_DATES_KEPT)(process) if process is not None and isinstance(kind, Day) else process


def _fixed(compiled: SQLCompiler) -> Mapping[str, object]:
    """The parameters that are part of the statement, and the defaults of columns that are not given."""
    fixed: dict[str, object] = {
        name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required
    }
    for column in (*compiled.insert_prefetch, *compiled.update_prefetch):
        default = column.default
        if default is None or not default.is_scalar:
            raise ValueError(f"the default of {column} is not a value")
        fixed[column.key] = cast(Any, default).arg
    return fixed


def any_of(column: ColumnElement[Any], name: str, places: int) -> ColumnElement[bool]:
    """That the column has one of so many values: SQLAlchemy's IN is compiled anew for each number of them."""
    return or_(*(column == bindparam(f"{name}_{place}") for place in range(places)))


def rows_among(
    connection: Connection,
    select_any: Callable[[int], Statement],
    name: str,
    values: Sequence[object],
    others: Mapping[str, object] | None = None,
) -> list[Row]:
    """What a statement made with `any_of` returns for these values, however many; `others` are parameters."""
    found: list[Row] = []
    for start in range(0, len(values), PLACES_MAX):
        some = values[start : start + PLACES_MAX]
        places = places_for(len(some))
        found += rows(connection, select_any(places), {**(others or {}), **placed(name, some, places)})
    return found


def change_among(
    connection: Connection,
    change_any: Callable[[int], Statement],
    name: str,
    values: Sequence[object],
    others: Mapping[str, object],
) -> int:
    """`rows_among` for a statement that changes rows; how many it has changed."""
    changed = 0
    for start in range(0, len(values), PLACES_MAX):
        some = values[start : start + PLACES_MAX]
        places = places_for(len(some))
        changed += change(connection, change_any(places), {**others, **placed(name, some, places)})
    return changed


def places_for(count: int) -> int:
    """For how many values a statement is made that is given so many: few sizes have to be compiled."""
    return 1 << max(count - 1, 0).bit_length()


def placed(name: str, values: Sequence[object], places: int) -> Row:
    """The parameters of `any_of`: the last value fills the places that are left."""
    return {f"{name}_{place}": values[min(place, len(values) - 1)] for place in range(places)}
