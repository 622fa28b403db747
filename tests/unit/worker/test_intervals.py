"""What has an interval goes on when the machine's clock is set back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from sync.worker.service import end_long_waits

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def scheduler() -> Iterator[BackgroundScheduler]:
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.start(paused=True)
    yield scheduler
    scheduler.shutdown()


def next_run(scheduler: BackgroundScheduler) -> datetime:
    (job,) = scheduler.get_jobs()
    return job.next_run_time  # type: ignore[no-any-return]


def test_given_a_clock_that_was_set_back_a_day_then_the_job_is_due_now(
    scheduler: BackgroundScheduler,
) -> None:
    scheduler.add_job(int, "interval", seconds=60, next_run_time=NOW + timedelta(days=1))

    end_long_waits(scheduler, NOW)

    assert next_run(scheduler) == NOW


@pytest.mark.parametrize("seconds", [-30, 0, 1, 60])
def test_given_a_wait_within_the_interval_then_it_stays(scheduler: BackgroundScheduler, seconds: int) -> None:
    due = NOW + timedelta(seconds=seconds)
    scheduler.add_job(int, "interval", seconds=60, next_run_time=due)

    end_long_waits(scheduler, NOW)

    assert next_run(scheduler) == due
