"""The stated estimate: one by one or in one file."""

from __future__ import annotations

import pytest

from connectors.api.bulk import Pace
from sync.importer.estimate import estimate

STANDARD = Pace(10, 100, 2_000)
PLUS = Pace(10, 1_000, 20_000)


@pytest.mark.parametrize(
    ("cards", "pace", "in_bulk"),
    [(200, STANDARD, False), (500, STANDARD, False), (1_000, STANDARD, True), (100_000, PLUS, False)],
)
def test_given_a_shop_then_the_faster_way_is_chosen(cards: int, pace: Pace, in_bulk: bool) -> None:
    found = estimate(cards, pace)
    assert found.in_bulk is in_bulk
    assert found.in_bulk == (found.bulk_seconds < found.live_seconds)


def test_given_that_a_person_says_how_then_the_words_say_so() -> None:
    stated = estimate(1_000, STANDARD, forced=False)
    assert stated.words == (
        "1000 cards: about 80 s one by one at the shop's rate, about 53 s in bulk "
        "(assumed: 30 cards a second); they are made one by one"
    )
    assert estimate(36_000, STANDARD).words.startswith("36000 cards: about 60 min one by one")
    assert "3.3 h" in estimate(120_000, STANDARD).words
