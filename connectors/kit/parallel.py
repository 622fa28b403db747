"""Reads that go on at the same time, because each one is mostly waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(read: Callable[[T], R], of: Sequence[T], at_once: int) -> Iterator[R]:
    """`read` of each, at most `at_once` at the same time, in their order.

    Raises what the first failing one raises, in its place. When it fails, or nobody wants the rest, at most
    `at_once` - 1 later ones have begun.
    """
    if len(of) <= 1:
        yield from map(read, of)
        return
    with ThreadPoolExecutor(at_once, "read") as pool:
        begun: deque[Future[R]] = deque()
        for one in of:
            begun.append(pool.submit(read, one))
            if len(begun) == at_once:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
