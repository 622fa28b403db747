"""SQLite's log that a crash has left, beside another state of the database: refused, or harmless."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.demo.control import Control
from tests.integration.cli.test_put_back import audit, backup, balances, ledger
from tests.support import Giftsync

__all__ = ["ledger"]

#: A worker raises the generation and dies: nobody moves the log into the database. Before that it has written
#: as many rows as it was told, changed each, and moved into the database that they are there.
DIES = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode = WAL")
for n in range(int(sys.argv[2])):
    c.execute("INSERT INTO marks (name, value, at) VALUES (?, '', '2026-11-01 00:00:00.000000')", (f"n{n}",))
if c.total_changes:
    c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    c.execute("UPDATE marks SET value = '1' WHERE name LIKE 'n%'")
c.execute("UPDATE marks SET value = CAST(value AS INTEGER) + 1 WHERE name = 'generation'")
os._exit(9)
"""


def die(ledger: Path, rows: int = 0) -> dict[str, bytes]:
    """A crash; what it has left."""
    ended = subprocess.run([sys.executable, "-c", DIES, str(ledger), str(rows)], check=False)
    assert ended.returncode == 9
    return {name: (ledger.parent / name).read_bytes() for name in (ledger.name, f"{ledger.name}-wal")}


def lie(ledger: Path, files: dict[str, bytes]) -> None:
    """The files as they lie there, and no index of the log, which SQLite makes anew."""
    for path in ledger.parent.glob(f"{ledger.name}-*"):
        path.unlink()
    for name, content in files.items():
        (ledger.parent / name).write_bytes(content)


def without_log(ledger: Path) -> None:
    for end in ("-wal", "-shm"):
        ledger.with_name(f"{ledger.name}{end}").unlink(missing_ok=True)


def test_given_a_crash_then_its_log_is_read_and_nothing_is_doubted(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    lie(ledger, die(ledger))
    flow.move("redeem", 10_000, number=number)

    code, out, err = giftsync("sync")

    assert code == 0, out + err
    assert "earlier state" not in out + err
    assert [b[number] for b in balances(flow, shopify)] == [40_000, 40_000]


@pytest.mark.parametrize("command", [("status",), ("sync",)])
def test_given_a_database_that_was_put_back_beside_the_newer_log_then_nothing_is_opened_until_it_is_gone(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path, command: tuple[str, ...]
) -> None:
    first = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    kept = backup(ledger)
    second = flow.move("sell", 20_000)["number"]
    giftsync("sync")
    giftsync("sync")
    mixed = {**die(ledger, rows=500), **kept}
    lie(ledger, mixed)

    code, out, err = giftsync(*command)

    assert code == 3, out + err
    assert "giftsync.db-wal beside giftsync.db is the log of another state" in err
    assert {name: (ledger.parent / name).read_bytes() for name in mixed} == mixed
    # and as it says
    without_log(ledger)
    code, out, err = giftsync("recover")
    assert code == 0, out + err
    assert [(b[first], b[second]) for b in balances(flow, shopify)] == [(50_000, 20_000)] * 2
    audit(giftsync)


def test_given_an_older_log_beside_the_newer_database_then_it_is_refused_and_harmless_once_it_is_gone(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    left = die(ledger)
    flow.move("redeem", 10_000, number=number)
    giftsync("sync")
    flow.move("redeem", 10_000, number=number)
    giftsync("sync")
    log = f"{ledger.name}-wal"
    mixed = {**backup(ledger), log: left[log]}
    lie(ledger, mixed)

    code, _, err = giftsync("sync")

    assert code == 3
    assert "is the log of another state" in err
    assert {name: (ledger.parent / name).read_bytes() for name in mixed} == mixed
    without_log(ledger)
    assert giftsync("sync")[0] == 0
    assert [b[number] for b in balances(flow, shopify)] == [30_000, 30_000]
    audit(giftsync)


def test_given_a_database_that_was_put_back_beside_a_newer_log_that_fits_then_the_books_are_read_anew(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    kept = backup(ledger)
    for _ in range(2):
        flow.move("redeem", 10_000, number=number)
        giftsync("sync")
    # Nothing in the mix contradicts, and its generation is the newest.
    lie(ledger, {**die(ledger), **kept})

    code, out, err = giftsync("sync")

    assert code == 0, out + err
    assert "beside a log of another state" in err
    assert [b[number] for b in balances(flow, shopify)] == [30_000, 30_000]
    audit(giftsync)


def test_given_a_database_that_was_written_long_after_its_log_then_the_books_are_read_anew(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    lie(ledger, die(ledger))
    # The database was written long after its log.
    at = ledger.stat().st_mtime
    os.utime(ledger.with_name(f"{ledger.name}-wal"), (at - 3_600, at - 3_600))
    flow.move("redeem", 10_000, number=number)

    code, out, err = giftsync("sync")

    assert code == 0, out + err
    assert "beside a log of another state" in out + err
    assert [b[number] for b in balances(flow, shopify)] == [40_000, 40_000]
    audit(giftsync)
