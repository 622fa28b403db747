"""What tests of one card's work share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sync import crashpoints


@pytest.fixture
def passed() -> Iterator[list[str]]:
    """The crash points that were passed."""
    points: list[str] = []
    crashpoints.install(points.append)
    yield points
    crashpoints.install(None)
