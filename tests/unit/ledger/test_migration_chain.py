"""The migrations are one chain: two with the same number, made side by side, are found before any ledger."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from sync.ledger.database import migrations


def test_given_the_migrations_then_each_follows_the_one_of_the_number_before() -> None:
    folder = Path(migrations.__file__).parent
    config = Config()
    config.set_main_option("script_location", str(folder))
    files = sorted(path.name for path in (folder / "versions").glob("[0-9]*.py"))

    chain = [revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()]

    assert list(reversed(chain)) == [name[:4] for name in files]
    assert chain == [f"{number:04}" for number in range(len(files), 0, -1)]
