"""The schema: what the migrations make is what the code expects, and they can be taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from sync.ledger.database import migrations
from sync.ledger.database.engine import LedgerUnavailable, open_engine
from sync.ledger.database.tables import metadata
from tests.integration.shop import Shop


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    engine = open_engine(empty_url)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_given_an_empty_database_then_the_migrations_make_what_the_code_expects(empty: Engine) -> None:
    migrations.upgrade(empty)

    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_given_the_schema_then_every_check_of_the_code_is_in_the_database(empty: Engine) -> None:
    migrations.upgrade(empty)

    # Alembic does not compare these, and on SQLite they are easily lost in a batch migration.
    for table in metadata.sorted_tables:
        named = {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}
        assert {c["name"] for c in inspect(empty).get_check_constraints(table.name)} == named


def test_given_the_schema_then_down_and_up_again_ends_the_same(empty: Engine) -> None:
    migrations.upgrade(empty)
    made = tables(empty)

    migrations.downgrade(empty, "base")
    assert tables(empty) == set()

    migrations.upgrade(empty)
    assert tables(empty) == made == set(metadata.tables)


def test_given_every_step_of_the_migrations_then_each_can_be_taken_back(empty: Engine) -> None:
    script = ScriptDirectory.from_config(migrations._config(empty))
    for revision in reversed(list(script.walk_revisions())):
        migrations.upgrade(empty, revision.revision)
        assert not isinstance(revision.down_revision, list | tuple)
        migrations.downgrade(empty, revision.down_revision or "base")
        migrations.upgrade(empty, revision.revision)

    assert tables(empty) == set(metadata.tables)


def test_given_a_ledger_with_cards_then_upgrading_again_keeps_them(shop: Shop) -> None:
    shop.in_step(10_000)
    before = shop.everything()

    migrations.upgrade(shop.engine)

    assert shop.everything() == before


def test_given_a_database_of_a_newer_release_then_it_is_refused_and_left_as_it_is(empty: Engine) -> None:
    migrations.upgrade(empty)
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999', beside = '9998'"))

    with pytest.raises(LedgerUnavailable, match="made by a newer giftsync; upgrade giftsync"):
        migrations.upgrade(empty)

    with empty.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
