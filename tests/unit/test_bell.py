"""A bell: what is rung for is done, however it falls."""

from __future__ import annotations

import threading

from sync.bell import Bell

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

    bell = Bell("test", NEVER, job)
    bell.start()
    assert inside.wait(SECONDS_MAX)
    bell.ring()
    bell.ring()
    go_on.set()

    assert twice.wait(SECONDS_MAX)
    bell.silence()
    assert bell.join(SECONDS_MAX)
    assert runs == [0, 1]


def test_given_a_job_that_fails_then_the_next_ring_is_heard_all_the_same() -> None:
    done = threading.Event()
    failed = threading.Event()

    def job() -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        done.set()

    bell = Bell("test", NEVER, job)
    bell.start()
    assert failed.wait(SECONDS_MAX)
    bell.ring()

    assert done.wait(SECONDS_MAX)
    bell.silence()
    assert bell.join(SECONDS_MAX)


def test_given_nobody_rings_then_it_runs_by_its_interval() -> None:
    runs: list[int] = []
    enough = threading.Event()

    def job() -> None:
        runs.append(len(runs))
        if len(runs) == 3:
            enough.set()

    bell = Bell("test", 0.01, job)
    bell.start()

    assert enough.wait(SECONDS_MAX)
    bell.silence()
    assert bell.join(SECONDS_MAX)


def test_given_a_silenced_bell_then_a_ring_does_nothing() -> None:
    bell = Bell("test", NEVER, lambda: None)
    bell.start()
    bell.silence()
    assert bell.join(SECONDS_MAX)
    bell.ring()
