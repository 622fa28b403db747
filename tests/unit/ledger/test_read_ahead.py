"""The next batch is read while the caller works on this one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sync.ledger.read_ahead import read_ahead


def test_given_batches_then_they_come_in_order_and_one_is_read_ahead() -> None:
    second_is_read = threading.Event()

    def batches() -> Iterator[int]:
        yield 1
        second_is_read.set()
        yield 2
        yield 3

    with read_ahead(batches()) as ahead:
        assert next(ahead) == 1
        assert second_is_read.wait(30)  # The caller has not asked for it.
        assert list(ahead) == [2, 3]


def test_given_an_error_while_a_batch_is_read_then_the_caller_gets_it_in_its_turn() -> None:
    def batches() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with read_ahead(batches()) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ValueError, match="broken"):
            next(ahead)


def test_given_a_caller_that_gives_up_then_no_thread_is_left() -> None:
    def batches() -> Iterator[int]:
        yield from range(1_000)

    def give_up() -> None:
        with read_ahead(batches()) as ahead:
            next(ahead)
            raise KeyError

    with pytest.raises(KeyError):
        give_up()

    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]
