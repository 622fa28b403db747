"""Turns in the queue: none is lost, none is handed out twice, and none waits for a worker that is dead."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import Engine

from sync.fleet.queue import DEAD_SECONDS, LATER, NOW, Timed, TurnQueue
from sync.ledger.database.frozen import Frozen, freeze, thaw
from sync.ledger.database.news import DUE, tell
from sync.ledger.database.news import QUEUE_SCHEMA as SCHEMA
from sync.support import pausing
from tests.integration.fleet.conftest import LEDGER
from tests.integration.shop import Shop

pytestmark = pytest.mark.postgres
HOUR = 3600.0
DUE_EACH_HOUR = Timed(DUE, HOUR, DUE, urgent=True)
MATCH_EACH_HOUR = Timed("match", HOUR, "match", urgent=True)


@contextmanager
def connected(queue: TurnQueue) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    options = f"-csearch_path={SCHEMA}"
    with psycopg.connect(queue.address, autocommit=True, options=options, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def rests(queue: TurnQueue) -> TurnQueue:
    """The ledger's work on due cards was handed out and done; nothing but news makes it due."""
    queue.keep(LEDGER, [DUE_EACH_HOUR])
    assert queue.hand_out() == 1
    with connected(queue) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    return queue


def jobs(queue: TurnQueue, status: str = "todo") -> list[str]:
    with connected(queue) as connection:
        found = connection.execute(
            "SELECT lock FROM procrastinate_jobs WHERE status = %s::procrastinate_job_status", [status]
        )
        return [row["lock"] for row in found]


def fetch(queue: TurnQueue, worker_id: int, lines: Sequence[str] = (NOW, LATER)) -> str | None:
    """What the engine gives a worker that asks for a job."""
    with connected(queue) as connection:
        job = connection.execute(
            "SELECT * FROM procrastinate_fetch_job_v2(%s::varchar[], %s)", [list(lines), worker_id]
        ).fetchone()
        assert job is not None
        return None if job["lock"] is None else str(job["lock"])


def a_worker(queue: TurnQueue, *, silent_seconds: float = 0.0) -> int:
    with connected(queue) as connection:
        row = connection.execute("SELECT * FROM procrastinate_register_worker_v1()").fetchone()
        assert row is not None
        worker_id = int(row["worker_id"])
        connection.execute(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - make_interval(secs => %s) "
            "WHERE id = %s",
            [silent_seconds, worker_id],
        )
        return worker_id


# --- News ---------------------------------------------------------------------------------------------------


def test_given_news_that_is_not_kept_then_it_is_not_told(rests: TurnQueue, engine: Engine) -> None:
    with engine.connect() as connection:
        tell(connection, DUE)
        connection.rollback()

    assert rests.hand_out() == 0


def test_given_a_hint_of_a_card_then_its_turn_is_handed_out(rests: TurnQueue, shop: Shop) -> None:
    card_id = shop.in_step()
    rests.hand_out()
    with connected(rests) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")

    shop.intake.make_due([card_id], shop.clock())

    assert (rests.hand_out(), jobs(rests)) == (1, [f"{LEDGER}/{DUE}"])


def test_given_a_job_that_begins_before_the_news_is_kept_then_the_turn_comes_again(
    rests: TurnQueue, engine: Engine
) -> None:
    """Deduplicated inside of the transaction the news would be lost: the job that answers for it began."""
    rests.tell(LEDGER, DUE)
    rests.hand_out()
    worker = a_worker(rests)

    with engine.begin() as connection:
        tell(connection, DUE)
        rests.hand_out()
        assert fetch(rests, worker) == f"{LEDGER}/{DUE}"
    rests.hand_out()

    assert (jobs(rests, "doing"), jobs(rests)) == ([f"{LEDGER}/{DUE}"], [f"{LEDGER}/{DUE}"])


def test_given_news_again_and_again_then_one_job_waits(rests: TurnQueue) -> None:
    for _ in range(3):
        rests.tell(LEDGER, DUE)
        rests.hand_out()

    assert jobs(rests) == [f"{LEDGER}/{DUE}"]


def test_given_news_for_a_turn_that_nobody_takes_then_it_is_forgotten(rests: TurnQueue) -> None:
    rests.tell("nobody", DUE)

    assert (rests.hand_out(), rests.hand_out(), jobs(rests)) == (0, 0, [])


def test_given_a_paused_link_that_is_resumed_then_what_has_waited_goes_on_at_once(
    rests: TurnQueue, shop: Shop
) -> None:
    rests.keep(LEDGER, [DUE_EACH_HOUR, MATCH_EACH_HOUR])
    pausing.pause(shop.intake, "ada", "stocktaking", shop.clock())
    rests.hand_out()
    finish(rests)

    pausing.resume(shop.link, "ada", "counted")

    rests.hand_out()
    assert sorted(jobs(rests)) == [f"{LEDGER}/due", f"{LEDGER}/match"]


# --- Time ---------------------------------------------------------------------------------------------------


def test_given_workers_that_hand_out_at_once_then_each_turn_is_handed_out_once(queue: TurnQueue) -> None:
    ledgers = [f"link_{number}" for number in range(40)]
    for ledger in ledgers:
        queue.keep(ledger, [DUE_EACH_HOUR])
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(queue.hand_out())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == 40
    assert sorted(jobs(queue)) == sorted(f"{ledger}/{DUE}" for ledger in ledgers)
    assert queue.hand_out() == 0


def test_given_a_turn_that_says_when_it_is_due_again_then_it_is_handed_out_then(rests: TurnQueue) -> None:
    rests.due_in(LEDGER, DUE, 0)

    assert (rests.hand_out(), rests.hand_out()) == (1, 0)


def test_given_a_link_that_is_kept_again_then_only_what_changed_is_due_sooner(rests: TurnQueue) -> None:
    rests.keep(LEDGER, [DUE_EACH_HOUR, MATCH_EACH_HOUR])
    assert rests.hand_out() == 1
    rests.keep(LEDGER, [MATCH_EACH_HOUR])
    rests.tell(LEDGER, DUE)

    assert (rests.hand_out(), rests.known()) == (0, {LEDGER})


# --- What waits for what ------------------------------------------------------------------------------------


def lines(queue: TurnQueue) -> dict[str, str]:
    """The line that each waiting turn stands in."""
    with connected(queue) as connection:
        found = connection.execute("SELECT queueing_lock, queue_name FROM procrastinate_jobs")
        return {row["queueing_lock"]: row["queue_name"] for row in found}


def test_given_a_turn_that_nobody_waits_for_then_it_keeps_no_urgent_place(queue: TurnQueue) -> None:
    queue.keep(LEDGER, [DUE_EACH_HOUR, Timed("forget", HOUR, LATER, urgent=False)])
    queue.hand_out()

    assert lines(queue) == {f"{LEDGER}/{DUE}": NOW, f"{LEDGER}/forget": LATER}


def test_given_a_turn_that_was_cut_short_then_it_lets_others_go_first_until_it_has_caught_up(
    queue: TurnQueue,
) -> None:
    queue.keep("imports", [DUE_EACH_HOUR])
    queue.keep("sells", [DUE_EACH_HOUR])
    worker = a_worker(queue)
    queue.hand_out()
    assert {fetch(queue, worker), fetch(queue, worker)} == {f"imports/{DUE}", f"sells/{DUE}"}
    finish(queue)

    queue.cut_short("imports", DUE)
    queue.tell("sells", DUE)
    queue.hand_out()
    assert lines(queue) == {f"imports/{DUE}": LATER, f"sells/{DUE}": NOW}
    finish(queue)
    # News that comes meanwhile does not bring it back.
    queue.tell("imports", DUE)
    queue.hand_out()
    assert lines(queue) == {f"imports/{DUE}": LATER}
    finish(queue)

    queue.caught_up("imports", DUE)
    queue.tell("imports", DUE)
    queue.hand_out()
    assert lines(queue) == {f"imports/{DUE}": NOW}


def test_given_two_turns_of_a_lane_then_the_second_waits_and_another_lane_does_not(queue: TurnQueue) -> None:
    first, second = (
        Timed("read/flow/a", HOUR, "flow", urgent=True),
        Timed("read/flow/b", HOUR, "flow", urgent=True),
    )
    queue.keep(LEDGER, [first, second, DUE_EACH_HOUR])
    queue.hand_out()
    worker = a_worker(queue)

    assert {fetch(queue, worker), fetch(queue, worker)} == {f"{LEDGER}/flow", f"{LEDGER}/{DUE}"}
    assert fetch(queue, worker) is None
    finish(queue, "doing")
    assert fetch(queue, worker) == f"{LEDGER}/flow"


def test_given_news_that_has_to_wait_then_its_turn_is_handed_out_when_it_has(
    rests: TurnQueue, engine: Engine
) -> None:
    with engine.begin() as connection:
        tell(connection, DUE, HOUR)
    assert rests.hand_out() == 0

    with connected(rests) as connection:
        connection.execute("UPDATE news SET due_at = now()")
    assert rests.hand_out() == 1


def finish(queue: TurnQueue, status: str | None = None) -> None:
    """Every job is done, or every one of a status."""
    with connected(queue) as connection:
        connection.execute(
            "DELETE FROM procrastinate_jobs WHERE %(one)s::text IS NULL OR status::text = %(one)s",
            {"one": status},
        )


# --- Ledgers that are gone ----------------------------------------------------------------------------------


def test_given_a_ledger_that_is_forgotten_then_nothing_of_it_is_left_and_the_others_stay(
    queue: TurnQueue,
) -> None:
    for ledger in (LEDGER, "other"):
        queue.keep(ledger, [DUE_EACH_HOUR])
    queue.hand_out()
    for ledger in (LEDGER, "other"):
        queue.tell(ledger, DUE)

    queue.forget(LEDGER)

    assert (queue.known(), jobs(queue)) == ({"other"}, [f"other/{DUE}"])
    finish(queue)
    assert (queue.hand_out(), jobs(queue)) == (1, [f"other/{DUE}"])


def test_given_a_ledger_that_was_moved_or_dropped_then_it_is_given_up(
    queue: TurnQueue, engine: Engine
) -> None:
    assert not queue.is_given_up(LEDGER)
    assert queue.is_given_up("nowhere")

    freeze(engine, Frozen("1", "this ledger was moved"), datetime.now(UTC))
    try:
        assert queue.is_given_up(LEDGER)
    finally:
        thaw(engine)


# --- Workers that die ---------------------------------------------------------------------------------------


def test_given_a_dead_worker_whose_turn_waits_again_then_neither_is_kept_out(
    rests: TurnQueue,
) -> None:
    """The engine's own way would put the first job back beside the second, which its index refuses."""
    rests.tell(LEDGER, DUE)
    rests.hand_out()
    dead = a_worker(rests, silent_seconds=DEAD_SECONDS + 1)
    fetch(rests, dead)
    rests.tell(LEDGER, DUE)
    rests.hand_out()
    assert fetch(rests, a_worker(rests)) is None

    assert rests.reassign() == [(LEDGER, DUE)]

    assert fetch(rests, a_worker(rests)) == f"{LEDGER}/{DUE}"


def test_given_a_dead_worker_then_its_turn_is_due_at_once(rests: TurnQueue) -> None:
    rests.tell(LEDGER, DUE)
    rests.hand_out()
    fetch(rests, a_worker(rests, silent_seconds=DEAD_SECONDS + 1))

    rests.reassign()

    assert (rests.hand_out(), jobs(rests, "doing"), jobs(rests)) == (1, [], [f"{LEDGER}/{DUE}"])


def test_given_a_worker_that_lives_then_its_turn_is_left_to_it(rests: TurnQueue) -> None:
    rests.tell(LEDGER, DUE)
    rests.hand_out()
    fetch(rests, a_worker(rests, silent_seconds=DEAD_SECONDS - 5))

    assert (rests.reassign(), jobs(rests, "doing")) == ([], [f"{LEDGER}/{DUE}"])


def test_given_a_second_worker_that_opens_the_queue_then_it_finds_it_made(queue: TurnQueue) -> None:
    second = TurnQueue(queue.address)
    second.open()
    second.tell("nobody", DUE)
    second.close()

    assert queue.hand_out() == 0
