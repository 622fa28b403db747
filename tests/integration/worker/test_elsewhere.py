"""Who serves a link beside its worker writes only while that works on the newest ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from cli.serving import WATCH_SECONDS, LedgerWatch
from sync.ledger.database.engine import LedgerUnavailable, database_file, only_worker
from sync.ledger.database.frozen import Frozen, freeze, thaw
from sync.ledger.database.generation import GENERATION, Generation, caught_up, fall_behind
from sync.ledger.database.marks import save_mark
from sync.ledger.database.wake_ups import WakeUps
from sync.support.pausing import pause
from sync.worker.elsewhere import ServiceElsewhere
from sync.worker.worker import Worker
from tests.integration.shop import SHOPIFY, Shop

JUST_STARTED = ["giftsync has just started, and reads what happened meanwhile."]


@pytest.fixture
def worker(shop: Shop, tmp_path: Path) -> Iterator[Worker]:
    """It holds the ledger, and has read every feed in a run before."""
    shop.worker.generation = Generation(shop.engine, tmp_path / "generation")
    with only_worker(shop.engine):
        shop.meet(SHOPIFY, 10_000)
        shop.sync()
        yield shop.worker


def elsewhere(worker: Worker) -> ServiceElsewhere:
    return ServiceElsewhere(worker, WakeUps(worker.engine, "public"))


def test_given_no_worker_then_nobody_writes(shop: Shop) -> None:
    assert elsewhere(shop.worker).why_stopped() == ["No worker of giftsync runs."]


def test_given_a_worker_at_work_when_it_has_raised_the_generation_then_others_write(worker: Worker) -> None:
    service = elsewhere(worker)

    # The ledger may be one that was put back, and say of itself what was true before.
    assert service.why_stopped() == JUST_STARTED
    worker.keep_generation()
    assert service.why_stopped() == []


def test_given_a_worker_that_begins_then_nobody_writes_until_it_has_read_every_feed(
    shop: Shop, worker: Worker
) -> None:
    service = elsewhere(worker)
    worker.recover_ownership()
    assert service.why_stopped() == JUST_STARTED

    shop.sync()

    assert service.why_stopped() == []


def test_given_a_worker_of_a_fleet_that_opens_the_link_then_those_who_serve_it_go_on(worker: Worker) -> None:
    service = elsewhere(worker)
    worker.keep_generation()
    assert worker.generation is not None
    worker.generation = replace(worker.generation, on_many_machines=True)

    worker.recover_ownership()

    assert service.why_stopped() == []


def test_given_a_ledger_that_was_put_back_then_nobody_writes_until_the_books_were_read(
    shop: Shop, worker: Worker
) -> None:
    service = elsewhere(worker)
    worker.keep_generation()

    with worker.engine.begin() as connection:
        fall_behind(connection, "it was put back", shop.clock())
    assert service.why_stopped() == ["The ledger was put back, and the sides' books are being read."]
    caught_up(worker.engine, shop.clock())
    assert service.why_stopped() == []


def test_given_a_link_that_somebody_pauses_elsewhere_then_nobody_writes(shop: Shop, worker: Worker) -> None:
    service = elsewhere(worker)
    worker.keep_generation()
    pause(worker.intake, "Kari", "stocktaking", shop.clock())

    (why,) = service.why_stopped()

    assert "has paused the link: stocktaking" in why


@pytest.fixture
def watch(worker: Worker) -> LedgerWatch:
    made = LedgerWatch(worker.engine, "public", monotonic=count(step=WATCH_SECONDS).__next__)
    made.look()
    return made


def test_given_a_ledger_that_is_put_back_while_it_is_served_then_it_is_served_no_more(
    shop: Shop, worker: Worker, watch: LedgerWatch
) -> None:
    save_mark(worker.engine, GENERATION, "0", shop.clock())

    with pytest.raises(LedgerUnavailable, match="put back to an earlier state"):
        watch.look()


def test_given_a_ledger_that_is_moved_while_it_is_served_then_it_is_served_no_more(
    shop: Shop, worker: Worker, watch: LedgerWatch
) -> None:
    freeze(worker.engine, Frozen("1", "it was moved to elsewhere"), shop.clock())
    try:
        with pytest.raises(LedgerUnavailable, match="it was moved to elsewhere"):
            watch.look()
    finally:
        thaw(worker.engine)


def test_given_a_file_that_is_deleted_while_it_is_served_then_it_is_served_no_more(
    worker: Worker, watch: LedgerWatch
) -> None:
    file = database_file(worker.engine)
    if file is None:
        pytest.skip("a database on a server is no file")
    file.unlink()

    with pytest.raises(LedgerUnavailable, match="is gone"):
        watch.look()
