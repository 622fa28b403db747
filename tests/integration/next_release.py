"""A release that comes after this one: this tree with one more migration, which adds a column to every table.

The rows of the tables that a redemption goes through say which release has written them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Engine, text

from sync.ledger.database.migrations import newest_revision
from sync.ledger.database.tables import metadata

REVISION = f"{int(newest_revision()) + 1:04d}"
#: Who wrote a row: the release after this one, or this one.
COLUMN, NEXT, BEFORE = "written_by", "next", "before"
_ROOT = Path(__file__).parents[2]
_PACKAGES = ("cli", "config", "connectors", "console", "mappings", "sandbox", "sync")
_TABLES = f"""

for _each in (cards, presences, movements, intents, intent_states):
    _each.append_column(Column("{COLUMN}", Text, default="{NEXT}", server_default="{BEFORE}", nullable=False))
"""
_MIGRATION = f'''"""Say who wrote a row"""

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import metadata

revision = "{REVISION}"
down_revision = "{newest_revision()}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in sorted(metadata.tables):
        op.add_column(name, sa.Column("{COLUMN}", sa.Text(), server_default="{BEFORE}", nullable=False))
'''


def make_next_release(folder: Path, *, oldest_beside: str) -> Path:
    """Write the release's code into the folder; processes that start there run it."""
    for name in _PACKAGES:
        shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    database = folder / "sync/ledger/database"
    _append(database / "tables.py", _TABLES)
    migrations = database / "migrations"
    _append(migrations / "__init__.py", f'\n\nOLDEST_BESIDE = "{oldest_beside}"\n')
    (migrations / "versions" / f"{REVISION}_say_who_wrote_a_row.py").write_text(_MIGRATION, encoding="utf-8")
    return folder


def _append(file: Path, code: str) -> None:
    file.write_text(file.read_text(encoding="utf-8") + code, encoding="utf-8")


def make_ledger_of_next_release(engine: Engine, *, oldest_beside: str) -> None:
    """What the migration of the next release does to a ledger, here and now."""
    with engine.begin() as connection:
        for name in sorted(metadata.tables):
            column = f"{COLUMN} TEXT NOT NULL DEFAULT '{BEFORE}'"
            connection.execute(text(f"ALTER TABLE {name} ADD COLUMN {column}"))
        connection.execute(
            text("UPDATE alembic_version SET version_num = :version, beside = :beside"),
            {"version": REVISION, "beside": oldest_beside},
        )
