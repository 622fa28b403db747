"""A store and a shop, each as it is unless a test asks for another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.conftest_shopify import Shop, running_shop
from tests.sandbox.test_flow_support import Flow, serve


@pytest.fixture
def flow() -> Iterator[Flow]:
    with serve() as served:
        yield served


@pytest.fixture
def shop() -> Iterator[Shop]:
    with running_shop() as running:
        yield running
