"""A console on each database engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.console.house import House, open_house
from tests.integration.shop import Shop


@pytest.fixture
def house(shop: Shop) -> Iterator[House]:
    with open_house(shop) as found:
        yield found
