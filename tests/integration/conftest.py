"""A shop on each database engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from sync.ledger.vault import Vault
from tests.integration.shop import Shop
from tests.support import Clock


@pytest.fixture
def shop(engine: Engine, vault: Vault, clock: Clock) -> Shop:
    return Shop(engine, vault, clock)


@pytest.fixture
def make_shop(engine: Engine, vault: Vault, clock: Clock) -> Callable[..., Shop]:
    """A shop with other settings."""
    return lambda **settings: Shop(engine, vault, clock, **settings)
