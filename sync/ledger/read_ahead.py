"""Read the next batch while the caller works on this one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def read_ahead(batches: Iterator[T]) -> Iterator[Iterator[T]]:
    """Take each of `batches` in a thread of its own, one ahead of the caller.

    Nobody else may use what they are read from meanwhile. What the thread raises reaches the caller in its
    turn, and the thread has ended when this does.
    """
    with ThreadPoolExecutor(1, "read-ahead") as thread:

        def taken() -> Iterator[T]:
            coming = thread.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = thread.submit(next, batches, None)
                yield batch

        yield taken()
