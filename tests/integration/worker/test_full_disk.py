"""A disk without room: told in words, waited for, and gone on from at once."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert
from sqlalchemy.exc import OperationalError

from cli.commands import sync as sync_command
from sync.ledger.database import faults
from sync.ledger.database.engine import open_engine
from sync.ledger.database.faults import (
    EVERY_SECONDS,
    QUIET_SECONDS,
    FaultLog,
    LedgerFull,
    full_words,
    is_full,
)
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.tables import runs
from sync.worker import worker as worker_module
from sync.worker.passes import CountedOnce, PassReport
from sync.worker.service import Loop
from sync.worker.turns import Kind, Turn
from tests.integration.shop import FLOW, LEASE_SECONDS, Shop
from tests.support import Giftsync

AT = datetime(2026, 11, 28, tzinfo=UTC)


@contextmanager
def full(engine: Engine) -> Iterator[None]:
    """SQLite's own limit on pages: its error is that of a full disk."""

    def limit(connection: Any, *_: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(engine, "checkout", limit)
    try:
        yield
    finally:
        event.remove(engine, "checkout", limit)


def fill(engine: Engine) -> None:
    """A row that is larger than any free page."""
    counts = {str(number): number for number in range(2_000)}
    with engine.begin() as connection:
        connection.execute(insert(runs).values(kind="sync", started_at=AT, counts=counts))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    upgrade(engine)
    yield engine
    engine.dispose()


# --- What it is ---------------------------------------------------------------------------------------------


def test_given_no_room_then_the_error_is_known_for_what_it_is_and_names_the_disk(
    ledger: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full(ledger), pytest.raises(OperationalError) as caught:
        fill(ledger)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=5 << 30, free=3 << 20))

    assert is_full(ledger, caught.value)
    assert full_words(ledger) == (
        f"there is no room for the ledger on the disk of {tmp_path}: 3.0 MiB of 5.0 GiB are free (or a quota "
        "is used up)"
    )


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (OperationalError("", {}, sqlite3.OperationalError("database is locked")), False),
        (OperationalError("", {}, sqlite3.OperationalError("disk I/O error")), False),
        (OperationalError("", {}, SimpleNamespace(sqlstate="53100")), True),  # type: ignore[arg-type]
        (OperationalError("", {}, SimpleNamespace(sqlstate="57P01")), False),  # type: ignore[arg-type]
        (None, False),
    ],
)
def test_other_errors_are_told_from_it(ledger: Engine, cause: BaseException | None, expected: bool) -> None:
    assert is_full(ledger, cause) is expected


def test_given_an_error_of_the_disk_with_nothing_free_then_it_is_full(
    ledger: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=1 << 30, free=0))
    assert is_full(ledger, OperationalError("", {}, sqlite3.OperationalError("disk I/O error")))


# --- How it is told -----------------------------------------------------------------------------------------


def test_a_fault_is_told_at_once_then_once_a_minute_and_its_end_once(
    ledger: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[str, object]] = []
    at = [0.0]

    class Log:
        def error(self, event: str, **fields: object) -> None:
            lines.append((event, fields.get("more")))

        info = error

    monkeypatch.setattr(faults, "log", Log())
    told = FaultLog(ledger, lambda: at[0])
    error = OperationalError("secret", {"of": "value"}, sqlite3.OperationalError("database is locked"))
    for second in range(int(EVERY_SECONDS) + 1):
        at[0] = float(second)
        told.note("due", error)
        told.look_back()
    at[0] += QUIET_SECONDS
    told.look_back()
    told.look_back()

    words = "the database fails: database is locked; trying again"
    assert lines == [(words, None), (words, 59), ("the database works again", None)]


# --- What the worker does -----------------------------------------------------------------------------------


NO_ROOM = OperationalError("", {}, sqlite3.OperationalError("database or disk is full"))


def fails(*_: object) -> object:
    raise NO_ROOM


def claimable(shop: Shop) -> set[int]:
    shop.clock.advance(1)
    return {one.card_id for one in shop.store.claim_due("w", shop.clock(), LEASE_SECONDS, 10)}


@pytest.mark.parametrize("during", ["reconcile", "prefetch"])
def test_given_cards_that_met_a_full_disk_then_they_are_free_once_there_is_room(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    cards = {shop.meet(FLOW, 10_000), shop.meet(FLOW, 4_000, "5000600070008000")}
    shop.worker.intake.make_due(cards, shop.clock(), None)
    shop.worker.options = replace(shop.worker.options, threads=1)
    loop = Loop(shop.worker, shop.worker.start_run("run"))
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool, suppress(OperationalError):
        patch.setattr(worker_module, during, fails)
        wait(shop.worker.start_due(pool, 10, loop.run_id))
    assert claimable(shop) == set()

    loop._take(Turn(Kind.GO_ON))

    assert claimable(shop) == cards


def test_given_a_turn_that_a_full_disk_ended_then_cards_that_it_had_begun_are_free_as_well(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = shop.meet(FLOW, 10_000)
    shop.worker.intake.make_due([card], shop.clock(), None)
    claims: Iterator[Callable[..., object]] = iter([shop.worker.start_due, fails])
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(worker_module, "reconcile", fails)
        patch.setattr(shop.worker, "start_due", lambda *given: next(claims)(*given))
        with pytest.raises(OperationalError):
            shop.worker.work_on_due(
                pool, None, PassReport(), CountedOnce(), lambda *_: None, threading.Event()
            )

    shop.worker.free_kept()

    assert claimable(shop) == {card}


def test_given_a_full_disk_at_the_start_then_run_waits_for_room(
    giftsync: Giftsync, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = sync_command._run, [2]

    def run(settings: Any, stop: threading.Event, *rest: Any, **how: Any) -> int:
        left[0] -= 1
        if left[0] >= 0:
            raise LedgerFull("there is no room for the ledger on the disk of /data: 0.0 KiB are free")
        stop.set()
        return real(settings, stop, *rest, **how)

    monkeypatch.setattr(sync_command, "_run", run)
    monkeypatch.setattr(sync_command, "ROOM_SECONDS", 0.0)
    code, out, err = giftsync("run", "--json")

    assert (code, left) == (0, [-1])
    assert json.loads(out)["drained"] is True
    assert err.count("waiting for room, which goes on by itself") == 2


def test_given_a_full_disk_then_a_pass_says_so(giftsync: Giftsync, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise OperationalError("", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(sync_command, "check_sides", run)
    code, _, err = giftsync("sync")

    assert code == 3
    assert "there is no room for the ledger on the disk of " in err
