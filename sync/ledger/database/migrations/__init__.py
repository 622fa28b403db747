"""Schema migrations. They expand only, so that workers of the release before may go on beside this schema.

The schema says which releases may: `alembic_version.beside` is the newest migration that the oldest of them
knows. An older release refuses to work.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, inspect, select
from sqlalchemy.exc import OperationalError, ProgrammingError

from sync.ledger.database.engine import LedgerUnavailable, asking, make_schema, reading
from sync.ledger.database.frozen import refuse_frozen, refuse_frozen_current
from sync.ledger.database.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest migration of the release before this one. Raise it when a release is made, and to the newest one
#: with a change that workers of that release cannot work beside.
OLDEST_BESIDE: Final = "0020"
#: While a migration waits for a table, everybody else waits for it, too.
LOCK_SECONDS: Final = 2
LOCK_TRIES: Final = 5
LOCK_AGAIN_SECONDS: Final = 1.0
#: PostgreSQL's names for a lock that was not had in time, and for a deadlock.
_LOCKED: Final = ("55P03", "40P01")

_FOLDER: Final = Path(__file__).parent
#: Alembic keeps what it migrates in variables of its module.
_one_at_a_time = threading.Lock()


def _config(engine: Engine) -> Config:
    from alembic.config import Config

    config = Config()
    # The file format of alembic's settings gives % a meaning.
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine, revision: str = "head") -> str | None:
    """Bring the schema to this release; safe to run twice. A newer one that this may work beside stays.

    Returns the last migration that it had seen before; None: there was no schema.

    Raises LedgerUnavailable for a database of any other newer release or of another program, which is left as
    it is, for a ledger that was moved, and while long transactions keep a table.
    """
    make_schema(engine)
    found = _version(engine)
    if revision == "head" and found == newest_revision():
        refuse_frozen_current(engine)
        return found  # As nearly always; alembic takes a second to import, and to find nothing to do.
    with reading(engine) as connection:
        if found is not None:
            refuse_frozen(connection)
        theirs = set() if found is not None else _tables_in_the_way(connection)
    if theirs:
        raise LedgerUnavailable(
            f"the database is not a giftsync database (it has a table {min(theirs)!r} already) and is left "
            "as it is; name another one in `database`"
        )
    if revision == "head" and found is not None and found not in _revisions():
        _check_beside(engine)
        return found
    from alembic import command

    config = _config(engine)
    for left in reversed(range(LOCK_TRIES)):
        try:
            with _one_at_a_time:
                command.upgrade(config, revision)
            return found
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _LOCKED:
                raise
            if not left:
                raise LedgerUnavailable(
                    "the ledger cannot be brought to this release now: a long transaction keeps one of its "
                    "tables, such as an export or an audit. Nothing was changed; try again when it has ended"
                ) from error
        threading.Event().wait(LOCK_AGAIN_SECONDS)
    return found


@cache
def _revisions() -> frozenset[str]:
    """The migrations of this release; their files are named by their revisions, in order."""
    return frozenset(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


def newest_revision() -> str:
    """The last migration of this release."""
    return max(_revisions())


_VERSION = Table("alembic_version", MetaData(), Column("version_num", Text), Column("beside", Text))


def is_current(engine: Engine) -> bool:
    """Whether the schema is there and of this release; one query."""
    return _version(engine) == newest_revision()


def check_release(engine: Engine) -> None:
    """Raises LedgerUnavailable when the schema is of a release that this one cannot work beside."""
    found = _version(engine)
    if found is not None and found not in _revisions():
        _check_beside(engine)


def check_same_release(engine: Engine) -> None:
    """Raises LedgerUnavailable for a newer schema, of which this release cannot copy or remove everything."""
    found = _version(engine)
    if found is not None and found not in _revisions():
        raise LedgerUnavailable(
            "the ledger was made by a newer giftsync; upgrade giftsync: this one would leave out what is new"
        )


def note_release(connection: Connection) -> None:
    """Say in a schema of this release which older ones may go on beside it."""
    connection.execute(_VERSION.update().values(beside=OLDEST_BESIDE))


def _version(engine: Engine) -> str | None:
    """The last migration that the schema has seen; None: there is no schema."""
    try:
        with asking(engine) as connection:
            return max(connection.execute(select(_VERSION.c.version_num)).scalars(), default=None)
    except (OperationalError, ProgrammingError):
        return None  # There is no such table.


def _check_beside(engine: Engine) -> None:
    try:
        with asking(engine) as connection:
            oldest = connection.execute(select(_VERSION.c.beside)).scalar_one_or_none()
    except (OperationalError, ProgrammingError):
        oldest = None
    if oldest is None or oldest > newest_revision():
        raise LedgerUnavailable(
            "the database was made by a newer giftsync; upgrade giftsync, the database is left as it is"
        )


def _tables_in_the_way(connection: Connection) -> set[str]:
    """Tables of another program. PostgreSQL is often shared, so only names that we need are in the way."""
    there = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return there if connection.dialect.name == "sqlite" else there & set(metadata.tables)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back; `base` removes every table. For tests and repairs."""
    from alembic import command

    command.downgrade(_config(engine), revision)
