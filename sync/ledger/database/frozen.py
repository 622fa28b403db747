"""A ledger that its database keeps from ever being written again: it was moved, or is being erased.

Triggers on every table refuse each change, so it does not matter who tries: a worker that runs, one that
starts from a copy of old settings, another release. Reading goes on.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, inspect, select, text

from sync.ledger.database.engine import LedgerUnavailable, reading
from sync.ledger.database.marks import write_mark
from sync.ledger.database.tables import marks, metadata

FROZEN = "frozen"
LOCK_SECONDS_MAX = 30
_CHANGES = ("INSERT", "UPDATE", "DELETE")
_WORDS = "this ledger was moved or erased; nothing is written to it any more"


@dataclass(frozen=True)
class Frozen:
    """Why a ledger is frozen."""

    #: One move or erasure.
    id: str
    #: For people, without a password.
    words: str
    #: The address that the ledger is moved to, sealed; empty: it is being erased.
    to_sealed: str = ""
    #: The file with the key that it gets there; empty: it keeps its own.
    new_key: str = ""


def freeze(engine: Engine, why: Frozen, now: datetime) -> None:
    """Let nothing be written from now on; waits for the transactions that are under way."""
    with engine.begin() as connection:
        names = _tables(connection)
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'"))
            # All at once and in one order, so that no half of a transaction comes in between.
            connection.execute(text(f"LOCK TABLE {', '.join(names)} IN SHARE ROW EXCLUSIVE MODE"))
        write_mark(connection, FROZEN, json.dumps(asdict(why)), now)
        for statement in _refusing(engine, names):
            connection.execute(text(statement))


def thaw(engine: Engine) -> None:
    """Let the ledger be written again. Only for a move that is given up."""
    with engine.begin() as connection:
        for name in _tables(connection):
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"DROP TRIGGER IF EXISTS giftsync_frozen ON {name}"))
            else:
                for change in _CHANGES:
                    connection.execute(text(f"DROP TRIGGER IF EXISTS giftsync_frozen_{change}_{name}"))
        connection.execute(marks.delete().where(marks.c.name == FROZEN))


def frozen(engine: Engine) -> Frozen | None:
    """Why the ledger is frozen; None: it is not, or there is none."""
    with reading(engine) as connection:
        return _frozen(connection)


def refuse_frozen(connection: Connection) -> None:
    """Raises LedgerUnavailable for a ledger that is frozen."""
    why = _frozen(connection)
    if why is not None:
        raise LedgerUnavailable(why.words)


def refuse_frozen_current(engine: Engine) -> None:
    """`refuse_frozen` for a schema that is known to be of this release; one query."""
    with reading(engine) as connection:
        why = _mark(connection)
    if why is not None:
        raise LedgerUnavailable(why.words)


def _frozen(connection: Connection) -> Frozen | None:
    return _mark(connection) if inspect(connection).has_table(marks.name) else None


def _mark(connection: Connection) -> Frozen | None:
    found = connection.execute(select(marks.c.value).where(marks.c.name == FROZEN)).scalar_one_or_none()
    return None if found is None else Frozen(**json.loads(found))


def _tables(connection: Connection) -> list[str]:
    """Every table of ours that is there, the version of the schema too, in one order."""
    ours = {*metadata.tables, "alembic_version"}
    return sorted(ours & set(inspect(connection).get_table_names()))


def _refusing(engine: Engine, names: list[str]) -> list[str]:
    if engine.dialect.name == "postgresql":
        body = f"$$ BEGIN RAISE EXCEPTION '{_WORDS}'; END $$"
        function = f"CREATE OR REPLACE FUNCTION giftsync_frozen() RETURNS trigger LANGUAGE plpgsql AS {body}"
        changes = " OR ".join((*_CHANGES, "TRUNCATE"))
        trigger = f"CREATE TRIGGER giftsync_frozen BEFORE {changes} ON"
        return [
            function,
            *(f"{trigger} {name} FOR EACH STATEMENT EXECUTE FUNCTION giftsync_frozen()" for name in names),
        ]
    return [
        f"CREATE TRIGGER giftsync_frozen_{change}_{name} BEFORE {change} ON {name} "
        f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
        for name in names
        for change in _CHANGES
    ]
