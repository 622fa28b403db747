"""What a side allows is shared: all workers of a link together stay within it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from connectors.api.errors import Throttled
from connectors.flow.pace import WAIT_SECONDS_MAX, Pace
from connectors.shopify.bucket import CostBucket, Priority, SharedBucket, ThrottleStatus
from sync.ledger.database.engine import open_engine
from sync.ledger.sides.budgets import SharedBudget

pytestmark = pytest.mark.postgres
PER_SECOND, MAXIMUM, COST = 400.0, 200.0, 20.0
SECONDS = 2.0


@pytest.fixture
def shares(_start_over: Callable[[str], str]) -> Callable[[], SharedBudget]:
    """The budget as another process sees it, each time."""
    url = _start_over("migrated")
    return lambda: SharedBudget(open_engine(url), "shopify")


def spend(buckets: list[CostBucket], seconds: float) -> float:
    """The points that as many threads as there are cores and more spend in that time."""
    ends_at, pause = time.monotonic() + seconds, threading.Event()

    def ask(bucket: CostBucket) -> float:
        spent = 0.0
        while time.monotonic() < ends_at:
            reservation = bucket.reserve(COST)
            if time.monotonic() >= ends_at:
                break
            spent += COST
            status = ThrottleStatus(MAXIMUM, MAXIMUM, PER_SECOND)
            bucket.settle(reservation, COST, status)
            pause.wait(0.001)
        return spent

    with ThreadPoolExecutor(len(buckets) * 2) as pool:
        return sum(pool.map(ask, [*buckets, *buckets]))


def test_given_two_workers_then_they_spend_no_more_than_the_side_allows(
    shares: Callable[[], SharedBudget],
) -> None:
    def wait(seconds: float) -> None:
        threading.Event().wait(seconds)

    budgets = [shares(), shares()]
    buckets: list[CostBucket] = [SharedBucket(time.monotonic, wait, budget) for budget in budgets]
    for bucket in buckets:
        # The first answer tells how large the bucket is.
        bucket.settle(bucket.reserve(0.0), 0.0, ThrottleStatus(MAXIMUM, MAXIMUM, PER_SECOND))
    allowed = MAXIMUM + PER_SECOND * SECONDS

    spent = spend(buckets, SECONDS)

    assert 0.5 * allowed < spent <= allowed + COST
    for budget in budgets:
        budget.engine.dispose()


def test_given_a_worker_that_has_spent_all_then_a_sweep_of_another_is_sent_away(
    shares: Callable[[], SharedBudget],
) -> None:
    mine, other = shares(), shares()
    pauses: list[float] = []
    bucket = SharedBucket(time.monotonic, pauses.append, other)
    mine.draw(50_000.0, 100.0, 2_000.0)

    with pytest.raises(Throttled):
        bucket.reserve(10.0, Priority.SWEEP)

    assert min(pauses) > 1.0
    for budget in (mine, other):
        budget.engine.dispose()


def test_given_an_answer_that_shows_less_then_all_know_and_none_believes_more(
    shares: Callable[[], SharedBudget],
) -> None:
    mine, other = shares(), shares()
    mine.draw(0.0, 0.001, MAXIMUM)

    mine.correct(0.0, 50.0, 0.001, MAXIMUM)
    assert other.draw(0.0, 0.001, MAXIMUM)[1] == pytest.approx(50.0, abs=0.1)
    mine.correct(0.0, 150.0, 0.001, MAXIMUM)
    assert other.draw(0.0, 0.001, MAXIMUM)[1] == pytest.approx(50.0, abs=0.1)
    for budget in (mine, other):
        budget.engine.dispose()


def test_given_two_workers_then_flow_is_asked_at_the_rate_of_one(shares: Callable[[], SharedBudget]) -> None:
    budgets = [shares(), shares()]
    waits: list[float] = []
    paces = [Pace(2.0, waits.append, time.monotonic, budget) for budget in budgets]
    began = time.monotonic()
    for _ in range(5):
        for pace in paces:
            pace.wait_turn()
    took_seconds = time.monotonic() - began

    # The first goes at once and each other one half a second after the one before it, whenever it asked.
    assert 4.5 - took_seconds <= max(waits, default=0.0) <= 4.5
    for budget in budgets:
        budget.engine.dispose()


def test_given_others_that_ask_all_that_flow_allows_then_nothing_is_sent_and_nothing_taken(
    shares: Callable[[], SharedBudget],
) -> None:
    budget = shares()
    budget.draw(WAIT_SECONDS_MAX + 5.0, 1.0, 1.0)
    pace = Pace(1.0, lambda seconds: None, time.monotonic, budget)
    before = budget.draw(0.0, 1.0, 1.0)[1]

    with pytest.raises(Throttled):
        pace.wait_turn()

    assert budget.draw(0.0, 1.0, 1.0)[1] >= before
    budget.engine.dispose()


def test_given_a_clock_that_is_set_back_then_nothing_is_refilled(shares: Callable[[], SharedBudget]) -> None:
    budget = shares()
    budget.draw(190.0, PER_SECOND, MAXIMUM)
    with budget.engine.begin() as connection:
        connection.execute(text("UPDATE budgets SET units = 10, at = clock_timestamp() + interval '1 hour'"))

    assert budget.draw(4.0, PER_SECOND, MAXIMUM) == (True, 6.0)
    budget.engine.dispose()


def test_given_a_long_rest_then_no_more_is_refilled_than_there_can_be(
    shares: Callable[[], SharedBudget],
) -> None:
    budget = shares()
    budget.draw(190.0, PER_SECOND, MAXIMUM)
    with budget.engine.begin() as connection:
        connection.execute(text("UPDATE budgets SET units = -50, at = at - interval '1 hour'"))

    assert budget.draw(150.0, PER_SECOND, MAXIMUM, keep=60.0) == (False, MAXIMUM)
    assert budget.draw(150.0, PER_SECOND, MAXIMUM, keep=50.0) == (True, 50.0)
    budget.engine.dispose()


def test_given_workers_that_draw_at_once_then_each_unit_is_given_out_once(
    shares: Callable[[], SharedBudget],
) -> None:
    budgets = [shares() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda n: budgets[n % 4].draw(10.0, 0.001, MAXIMUM, keep=0.0)[0], range(40)))

    assert sum(drawn) == MAXIMUM / 10.0
    for budget in budgets:
        budget.engine.dispose()
