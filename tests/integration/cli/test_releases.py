"""Two releases on one ledger: what works beside what, and who stops with words."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from bench.processes import GIFTSYNC
from cli.demo.control import Control
from config.load import load
from sync.ledger.database import migrations
from sync.ledger.database.engine import LedgerUnavailable, open_engine
from sync.ledger.database.migrations import OLDEST_BESIDE, newest_revision, upgrade
from sync.ledger.secrets.vault import Vault
from sync.support.audit import audit
from tests.integration.cli.conftest import Run
from tests.integration.next_release import (
    BEFORE,
    COLUMN,
    NEXT,
    REVISION,
    make_ledger_of_next_release,
    make_next_release,
)
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import Clock, Giftsync

NEWER = "made by a newer giftsync; upgrade giftsync"


@pytest.fixture
def ledger(empty_url: str) -> Iterator[Engine]:
    """A ledger whose schema may be changed."""
    engine = open_engine(empty_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def own_shop(ledger: Engine, vault: Vault, clock: Clock) -> Shop:
    return Shop(ledger, vault, clock)


def version_of(engine: Engine) -> tuple[str, str | None]:
    with engine.connect() as connection:
        version, beside = connection.execute(text("SELECT version_num, beside FROM alembic_version")).one()
    return version, beside


def test_given_this_release_then_the_one_before_it_is_an_earlier_one() -> None:
    assert OLDEST_BESIDE in migrations._revisions()
    assert newest_revision() >= OLDEST_BESIDE


def test_given_a_ledger_that_is_brought_up_then_it_says_which_releases_may_go_on(ledger: Engine) -> None:
    assert version_of(ledger) == (newest_revision(), OLDEST_BESIDE)

    migrations.downgrade(ledger, "0020")
    upgrade(ledger, newest_revision())

    assert version_of(ledger) == (newest_revision(), OLDEST_BESIDE)


def test_given_a_ledger_of_the_next_release_then_this_one_goes_on_beside_it(
    ledger: Engine, own_shop: Shop, vault: Vault, clock: Clock
) -> None:
    card_id = own_shop.in_step(10_000)
    make_ledger_of_next_release(ledger, oldest_beside=newest_revision())

    upgrade(ledger)
    own_shop.move(FLOW, -1_000)
    own_shop.move(SHOPIFY, -2_000)
    own_shop.intake.make_due([card_id], clock())
    own_shop.sync()
    own_shop.meet(SHOPIFY, 5_000, "1000200030005000")
    own_shop.sync()

    assert version_of(ledger) == (REVISION, newest_revision())
    assert own_shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert own_shop.shown("1000200030005000") == {FLOW: 5_000, SHOPIFY: 5_000}
    found = audit(ledger, vault, clock, own_shop.sides)
    assert [one.summary for one in found] == []
    assert found.exit_code == 0


@pytest.mark.parametrize("beside", [REVISION, None], ids=["two releases ahead", "says nothing"])
def test_given_a_ledger_further_ahead_then_this_release_stops_with_words(
    ledger: Engine, own_shop: Shop, beside: str | None
) -> None:
    own_shop.in_step()
    worker, stop = own_shop.worker, threading.Event()
    worker.serve_until(stop)
    worker.keep_generation()
    assert worker.failure is None
    with ledger.begin() as connection:
        connection.execute(
            text("UPDATE alembic_version SET version_num = '9999', beside = :beside"), {"beside": beside}
        )

    worker.keep_generation()

    assert stop.is_set()
    assert NEWER in str(worker.failure)
    with pytest.raises(LedgerUnavailable, match=NEWER):
        upgrade(ledger)
    assert version_of(ledger) == ("9999", beside)


@pytest.mark.postgres
def test_given_a_long_transaction_then_a_migration_keeps_nobody_waiting_and_comes_later(
    empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 1)
    monkeypatch.setattr(migrations, "LOCK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(migrations, "LOCK_TRIES", 2)
    engine = open_engine(empty_postgres)
    upgrade(engine, "0020")
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM alembic_version"))
        with pytest.raises(LedgerUnavailable, match="a long transaction keeps one of its tables"):
            upgrade(engine)
        connection.rollback()
    upgrade(engine)

    assert version_of(engine) == (newest_revision(), OLDEST_BESIDE)
    engine.dispose()


def test_given_a_ledger_of_the_next_release_then_this_one_does_not_copy_or_remove_what_it_does_not_know(
    links: Run, run: Run, folder: Path, settings: Path, tmp_path: Path, flow: Control
) -> None:
    links("add", "acme", "--from", str(settings))
    config = folder / "acme/giftsync.toml"
    flow.move("sell", 50_000)
    assert run("sync", "--config", str(config))[0] == 0
    engine = open_engine(load(config).database)
    make_ledger_of_next_release(engine, oldest_beside=newest_revision())
    engine.dispose()

    for command in (
        ("move", "acme", "--file"),
        ("export", "acme", str(tmp_path / "acme.giftsync")),
        ("erase", "acme", "--yes"),
    ):
        code, _, err = links(*command)
        assert (code, NEWER in err) == (3, True), err

    assert run("sync", "--config", str(config))[0] == 0


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    return make_next_release(tmp_path / "next", oldest_beside=newest_revision())


def sync_by(code: Path, config: Path) -> None:
    command = [*GIFTSYNC, "sync", "--config", str(config), "--json"]
    done = subprocess.run(command, cwd=code, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exit_code"] == 0


@pytest.mark.parametrize("place", ["file", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_given_an_upgrade_that_is_taken_back_then_each_release_goes_on_where_the_other_was(
    place: str,
    request: pytest.FixtureRequest,
    next_release: Path,
    giftsync: Giftsync,
    config: Path,
    flow: Control,
    shopify: Control,
) -> None:
    if place == "postgres":
        text_before = config.read_text(encoding="utf-8")
        url = request.getfixturevalue("empty_postgres")
        lines = [line for line in text_before.splitlines() if not line.startswith(("database", "key_file"))]
        own = f'database = "{url}"\nkey_file = "{config.parent / "giftsync.key"}"\n'
        config.write_text(own + "\n".join(lines), encoding="utf-8")
    number = flow.move("sell", 50_000)["number"]
    worth = 50_000
    this: Callable[[], None] = lambda: _synced(giftsync)  # noqa: E731
    other: Callable[[], None] = lambda: sync_by(next_release, config)  # noqa: E731
    for works in (this, other, this, other):
        works()
        assert [card.balance_minor for card in shopify.cards()] == [worth]
        flow.move("redeem", 1_000, number=number)
        worth -= 1_000
    this()

    assert giftsync("audit", "--live")[0] == 0
    engine = open_engine(load(config).database)
    with engine.connect() as connection:
        assert set(connection.execute(text(f"SELECT {COLUMN} FROM movements")).scalars()) == {BEFORE, NEXT}
    engine.dispose()


def _synced(giftsync: Giftsync) -> None:
    code, _, err = giftsync("sync")
    assert code == 0, err
