"""Schema migrations, each of which works with the code of the release before it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from sync.ledger.database.engine import LedgerUnavailable, reading
from sync.ledger.database.tables import metadata


def _config(engine: Engine) -> Config:
    config = Config()
    # The file format of alembic's settings gives % a meaning.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to this release; safe to run twice.

    Raises LedgerUnavailable for a database of a newer release or of another program, which is left as it is.
    """
    config = _config(engine)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with reading(engine) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        theirs = set() if current is not None else _tables_in_the_way(connection)
    if theirs:
        raise LedgerUnavailable(
            f"the database is not a giftsync database (it has a table {min(theirs)!r} already) and is left "
            "as it is; name another one in `database`"
        )
    if current is not None and current not in known:
        raise LedgerUnavailable(
            "the database was made by a newer giftsync; upgrade giftsync, the database is left as it is"
        )
    command.upgrade(config, revision)


def _tables_in_the_way(connection: Connection) -> set[str]:
    """Tables of another program. PostgreSQL is often shared, so only names that we need are in the way."""
    there = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return there if connection.dialect.name == "sqlite" else there & set(metadata.tables)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back; `base` removes every table. For tests and repairs."""
    command.downgrade(_config(engine), revision)
