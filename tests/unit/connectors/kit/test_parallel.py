"""Reads at the same time: in order, bounded, and ended by the first failure."""

from __future__ import annotations

import threading

import pytest

from connectors.api.errors import InDoubt
from connectors.kit.parallel import in_order

WAIT_SECONDS_MAX = 10.0


def test_given_reads_that_wait_then_as_many_as_allowed_go_on_at_once_and_keep_their_order() -> None:
    together = threading.Barrier(3)

    def read(number: int) -> int:
        # Nobody gets past this alone.
        together.wait(WAIT_SECONDS_MAX)
        return number * 10

    assert list(in_order(read, range(6), 3)) == [0, 10, 20, 30, 40, 50]


def test_given_a_bound_then_no_more_than_that_go_on_at_once() -> None:
    lock = threading.Lock()
    now = most = 0

    def read(number: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.001)
        with lock:
            now -= 1
        return number

    assert list(in_order(read, range(50), 4)) == list(range(50))
    assert most <= 4


def test_given_a_failure_then_it_is_raised_in_its_place_and_hardly_any_later_one_begins() -> None:
    begun = []

    def read(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise InDoubt("no answer")
        return number

    answers = in_order(read, range(100), 4)
    assert [next(answers), next(answers)] == [0, 1]
    with pytest.raises(InDoubt):
        next(answers)
    assert len(begun) <= 3 + 3


def test_given_one_read_then_no_thread_is_needed() -> None:
    assert list(in_order(lambda _: threading.current_thread(), [0], 4)) == [threading.current_thread()]
