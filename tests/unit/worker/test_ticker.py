"""A bell: what is rung for is done, however it falls."""

from __future__ import annotations

import threading

from sync.worker.ticker import Ticker

SECONDS_MAX = 30.0
NEVER = 3600.0


def test_given_a_ring_during_the_job_then_it_runs_once_more_right_after() -> None:
    runs: list[int] = []
    inside, go_on, twice = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        runs.append(len(runs))
        inside.set()
        go_on.wait(SECONDS_MAX)
        if len(runs) == 2:
            twice.set()

    ticker = Ticker("test", NEVER, job)
    ticker.start()
    assert inside.wait(SECONDS_MAX)
    ticker.wake_up()
    ticker.wake_up()
    go_on.set()

    assert twice.wait(SECONDS_MAX)
    ticker.stop()
    assert ticker.join(SECONDS_MAX)
    assert runs == [0, 1]


def test_given_a_job_that_fails_then_the_next_ring_is_heard_all_the_same() -> None:
    done = threading.Event()
    failed = threading.Event()

    def job() -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        done.set()

    ticker = Ticker("test", NEVER, job)
    ticker.start()
    assert failed.wait(SECONDS_MAX)
    ticker.wake_up()

    assert done.wait(SECONDS_MAX)
    ticker.stop()
    assert ticker.join(SECONDS_MAX)


def test_given_nobody_rings_then_it_runs_by_its_interval() -> None:
    runs: list[int] = []
    enough = threading.Event()

    def job() -> None:
        runs.append(len(runs))
        if len(runs) == 3:
            enough.set()

    ticker = Ticker("test", 0.01, job)
    ticker.start()

    assert enough.wait(SECONDS_MAX)
    ticker.stop()
    assert ticker.join(SECONDS_MAX)


def test_given_a_silenced_bell_then_a_ring_does_nothing() -> None:
    ticker = Ticker("test", NEVER, lambda: None)
    ticker.start()
    ticker.stop()
    assert ticker.join(SECONDS_MAX)
    ticker.wake_up()
