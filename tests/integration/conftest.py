"""A shop on each database engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from sync import crashpoints
from sync.ledger.vault import Vault
from tests.integration.shop import Shop
from tests.support import Clock, Crashed


@pytest.fixture
def shop(engine: Engine, vault: Vault, clock: Clock) -> Shop:
    return Shop(engine, vault, clock)


@pytest.fixture
def make_shop(engine: Engine, vault: Vault, clock: Clock) -> Callable[..., Shop]:
    """A shop with other settings."""
    return lambda **settings: Shop(engine, vault, clock, **settings)


@pytest.fixture
def crash_after() -> Iterator[Callable[[str, int], None]]:
    """`crash_after(name, skip)`: the process dies once, after passing the point `skip` times."""

    def install(name: str, skip: int) -> None:
        left = [skip]
        lock = threading.Lock()

        def reached(point: str) -> None:
            if point != name:
                return
            with lock:
                left[0] -= 1
                dies = left[0] == -1
            if dies:
                raise Crashed(name)

        crashpoints.install(reached)

    yield install
    crashpoints.install(None)
