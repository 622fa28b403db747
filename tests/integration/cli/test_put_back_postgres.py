"""A ledger in PostgreSQL is put back with pg_restore, as docs/how-to/back-up-and-restore.md says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from cli.demo.control import Control
from tests.integration.cli.test_put_back import audit, balances
from tests.support import Giftsync

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Database:
    """An empty database, and the programs that copy it and put it back."""

    url: str
    programs: Path

    def run(self, program: str, *options: str) -> None:
        subprocess.run([self.programs / program, *options], check=True, capture_output=True, timeout=60)

    @property
    def address(self) -> str:
        return self.url.replace("+psycopg", "")


@pytest.fixture
def database(_start_over: Callable[[str], str]) -> Database:
    url = _start_over("empty")
    engine = create_engine(url)
    with engine.connect() as connection:
        server = connection.execute(text("SELECT setting FROM pg_config WHERE name = 'BINDIR'")).scalar_one()
    engine.dispose()
    return Database(url, Path(server))


@pytest.fixture
def giftsync_on_postgres(giftsync: Giftsync, config: Path, database: Database) -> Iterator[Giftsync]:
    kept = config.read_text(encoding="utf-8")
    lines = [line for line in kept.splitlines() if not line.startswith(("database", "key_file"))]
    head = f'database = "{database.url}"\nkey_file = "{config.parent / "giftsync.key"}"\n'
    config.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    yield giftsync
    config.write_text(kept, encoding="utf-8")


@pytest.mark.parametrize("knows", [True, False], ids=["with the counter", "without the counter"])
def test_given_a_dump_that_was_put_back_then_what_was_done_since_counts_once(
    giftsync_on_postgres: Giftsync,
    database: Database,
    config: Path,
    flow: Control,
    shopify: Control,
    tmp_path: Path,
    knows: bool,
) -> None:
    giftsync, dump = giftsync_on_postgres, str(tmp_path / "kept.dump")
    number = flow.move("sell", 50_000)["number"]
    assert giftsync("sync")[0] == 0
    database.run("pg_dump", "--format=custom", f"--file={dump}", database.address)
    flow.move("redeem", 10_000, number=number)
    assert giftsync("sync")[0] == 0
    shopify.move("checkout", 5_000, code=number)
    assert giftsync("sync")[0] == 0

    database.run(
        "pg_restore", "--clean", "--if-exists", "--single-transaction", f"--dbname={database.address}", dump
    )
    if not knows:
        for path in config.parent.glob("*.generation"):
            path.unlink()
    code, out, err = giftsync("recover")

    assert code == 0, out + err
    assert [b[number] for b in balances(flow, shopify)] == [35_000, 35_000]
    flow.move("redeem", 1_000, number=number)
    assert giftsync("sync")[0] == 0
    assert [b[number] for b in balances(flow, shopify)] == [34_000, 34_000]
    audit(giftsync)


def test_given_a_ledger_in_postgresql_when_a_backup_is_asked_for_then_it_says_what_makes_one(
    giftsync_on_postgres: Giftsync, tmp_path: Path
) -> None:
    assert giftsync_on_postgres("sync")[0] == 0

    code, _, err = giftsync_on_postgres("backup", str(tmp_path / "kept.db"))

    assert (code, "pg_dump --format=custom" in err) == (3, True), err
    assert not (tmp_path / "kept.db").exists()
