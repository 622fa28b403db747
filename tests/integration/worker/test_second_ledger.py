"""Two workers with a ledger each on one link; a ledger that is taken away under a worker."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sync.decisions.resolutions import Action
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.database.engine import LedgerGone, LedgerUnavailable, open_engine
from sync.ledger.database.generation import Generation
from sync.ledger.database.replica import replicate
from sync.ledger.secrets.vault import Vault
from sync.support.settle import Resolution, resolve
from sync.worker.passes import WorkerOptions
from sync.worker.service import Service
from sync.worker.worker import Worker
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import STARTED_AT, Clock

SECONDS = 20.0


@pytest.fixture
def second(shop: Shop, vault: Vault, clock: Clock, tmp_path: Path) -> Iterator[Callable[[], Shop]]:
    """A copy of the ledger with a worker of its own, on the same sides."""
    engines: list[Engine] = []

    def copy() -> Shop:
        engine = replicate(shop.engine, tmp_path / "second.db")
        engines.append(engine)
        other = Shop(engine, vault, clock)
        other.sides = shop.sides
        other.link = replace(other.link, sides=shop.sides, owner="worker 2")
        other.matcher = replace(other.matcher, link=other.link)
        other.worker = type(other.worker)(other.link, other.matcher, WorkerOptions(threads=2))
        return other

    yield copy
    for engine in engines:
        engine.dispose()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to it"
        threading.Event().wait(0.02)


def test_given_two_workers_with_a_ledger_each_then_one_stops_and_the_one_that_goes_on_heals(
    shop: Shop, second: Callable[[], Shop], clock: Clock
) -> None:
    shop.in_step(50_000)
    shop.sync()
    other = second()
    stop = threading.Event()
    workers = [replace_options(one) for one in (shop, other)]
    threads = [threading.Thread(target=Service(worker).run, args=(stop,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    until(lambda: all(worker._cursors is None for worker in workers))

    spent = 0
    try:
        # Whoever sees a redemption first leaves nothing for the other to do, so it may take several.
        for _ in range(40):
            if any(stopped_by(one.engine) for one in (shop, other)):
                break
            spent += 10 * shop.move(FLOW, -10)
            shop.worker.intake.make_due([1], clock())
            other.worker.intake.make_due([1], clock())
            threading.Event().wait(0.3)
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS)

    stopped = [one for one in (shop, other) if stopped_by(one.engine)]
    assert stopped
    assert all("another ledger" in stopped_by(one.engine)[0] for one in stopped)
    before = shop.shown()
    for one in stopped:
        one.sync()
    assert shop.shown() == before

    goes_on = next((one for one in (shop, other) if one not in stopped), shop)
    for conflict in (c for c in goes_on.rows("conflicts") if c["kind"] == "second_ledger"):
        said = Resolution(Action.RESUME, "a person", "the other is gone")
        resolve(goes_on.link, conflict["id"], said)
    goes_on.sync()

    assert shop.shown() == {FLOW: 50_000 - spent, SHOPIFY: 50_000 - spent}


def replace_options(shop: Shop) -> Worker:
    shop.worker.options = WorkerOptions(threads=2, sweep_interval_seconds=0.1, feed_interval_seconds=0.1)
    return shop.worker


def test_given_a_second_ledgers_debit_then_the_link_stops_before_anything_is_sent(
    shop: Shop, second: Callable[[], Shop]
) -> None:
    card_id = shop.in_step(50_000)
    other = second()
    shop.sync()
    other.move(FLOW, -1_000)
    other.work(card_id)
    writes = len(shop.sides[FLOW].writes), len(shop.sides[SHOPIFY].writes)

    report = shop.sync()

    assert report.errors
    assert (len(shop.sides[FLOW].writes), len(shop.sides[SHOPIFY].writes)) == writes
    assert "another ledger" in stopped_by(shop.engine)[0]
    assert shop.card(card_id).balance_minor == 50_000

    (conflict,) = [c for c in shop.rows("conflicts") if c["kind"] == "second_ledger"]
    resolve(shop.link, conflict["id"], Resolution(Action.RESUME, "a person", "the copy is gone"))
    shop.sync()

    assert shop.shown() == {FLOW: 49_000, SHOPIFY: 49_000}
    assert shop.card(card_id).in_step


@pytest.fixture
def in_file(vault: Vault, clock: Clock, tmp_path: Path) -> Iterator[Shop]:
    empty = open_empty()
    shop = Shop(replicate(empty, tmp_path / "giftsync.db"), vault, clock)
    empty.dispose()
    yield shop
    shop.engine.dispose()


def open_empty() -> Engine:
    from sync.ledger.database.migrations import upgrade

    engine = open_engine("sqlite://")
    upgrade(engine)
    return engine


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_given_the_file_is_taken_away_under_a_worker_then_it_ends_with_an_error_and_sends_nothing_more(
    in_file: Shop, tmp_path: Path, how: str
) -> None:
    in_file.in_step(50_000)
    in_file.sync()
    path = tmp_path / "giftsync.db"
    kept = tmp_path / "kept.db"
    shutil.copy(path, kept)
    replace_options(in_file)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            Service(in_file.worker).run(threading.Event())
        except LedgerUnavailable as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until(lambda: in_file.worker._cursors is None)
    if how == "deleted":
        path.unlink()
    else:
        kept.replace(path)
    in_file.move(FLOW, -1_000)
    thread.join(SECONDS)

    (error,) = failed
    assert isinstance(error, LedgerGone)
    assert ("is gone" if how == "deleted" else "was replaced") in str(error)
    assert in_file.shown() == {FLOW: 49_000, SHOPIFY: 50_000}


def test_given_an_older_database_written_over_the_open_one_then_the_generation_tells(
    in_file: Shop, clock: Clock, tmp_path: Path
) -> None:
    generation = Generation(in_file.engine, tmp_path / "giftsync.generation")
    assert generation.begin(clock()) is None
    generation.advance(clock())
    in_file.by_hand("UPDATE marks SET value = '1' WHERE name = 'generation'")

    with pytest.raises(LedgerUnavailable, match="replaced"):
        generation.advance(clock())


@pytest.mark.parametrize(
    ("done", "why"),
    [
        ("UPDATE marks SET value = '1' WHERE name = 'generation'", "put back to an earlier state"),
        ("UPDATE marks SET value = 'another' WHERE name = 'ledger'", "another ledger was used"),
        ("UPDATE marks SET value = '12' WHERE name = 'place'", "is a copy"),
        ("DELETE FROM marks WHERE name = 'ledger'", "this one is new"),
    ],
)
def test_given_a_ledger_that_is_not_the_newest_then_it_is_behind_at_the_start(
    in_file: Shop, clock: Clock, tmp_path: Path, done: str, why: str
) -> None:
    card_id = in_file.in_step(50_000)
    generation = Generation(in_file.engine, tmp_path / "giftsync.generation")
    generation.begin(clock())
    assert generation.begin(clock()) is None
    in_file.by_hand(done)

    assert why in (generation.begin(clock()) or "")
    assert in_file.card(card_id).behind
    assert generation.begin(clock()) is None


class BesideAnother(Generation):
    """Another worker on the machine raises the generation whenever this one looks at the file."""

    def _read(self) -> Mapping[str, object]:
        Generation(self.engine, self.file).advance(STARTED_AT)
        return super()._read()


@pytest.mark.postgres
def test_given_another_worker_on_the_machine_then_neither_takes_the_ledger_for_an_older_one(
    shop: Shop, tmp_path: Path
) -> None:
    file = tmp_path / "giftsync.generation"
    Generation(shop.engine, file).begin(STARTED_AT)
    mine = BesideAnother(shop.engine, file)

    assert mine.doubt() is None
    assert mine.begin(STARTED_AT) is None
    mine.advance(STARTED_AT)
    assert Generation(shop.engine, file).begin(STARTED_AT) is None


@pytest.mark.postgres
def test_given_a_new_machine_of_a_fleet_then_the_ledger_is_not_behind_for_that(
    shop: Shop, tmp_path: Path
) -> None:
    Generation(shop.engine, tmp_path / "first").begin(STARTED_AT)
    second = Generation(shop.engine, tmp_path / "second", on_many_machines=True)

    assert second.begin(STARTED_AT) is None
    assert second.begin(STARTED_AT) is None
    shop.by_hand("UPDATE marks SET value = '1' WHERE name = 'generation'")
    assert "put back" in (second.begin(STARTED_AT) or "")


def test_given_the_generation_file_is_gone_then_the_ledger_is_behind(
    in_file: Shop, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "giftsync.generation"
    generation = Generation(in_file.engine, file)
    generation.begin(clock())
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()

    assert "is missing" in (generation.begin(clock()) or "")
