"""Schema migrations, each of which works with the code of the release before it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from sync.ledger.engine import LedgerUnavailable, reading


def _config(engine: Engine) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to this release; safe to run twice.

    Raises LedgerUnavailable for a database of a newer release, which is left as it is.
    """
    config = _config(engine)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with reading(engine) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise LedgerUnavailable(
            "the database was made by a newer giftsync; upgrade giftsync, the database is left as it is"
        )
    command.upgrade(config, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back; `base` removes every table. For tests and repairs."""
    command.downgrade(_config(engine), revision)
