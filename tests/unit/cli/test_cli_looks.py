"""What `giftsync status` says about the age of looks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cli.build import open_sides
from cli.looks import late_of, look_lines, span_words, sweep_seconds
from config.settings import Settings
from sync.ledger.incoming.looks import Looks
from tests.support import STARTED_AT, link_settings


def settings(**flow: Any) -> Settings:
    return link_settings(flow=flow)


def test_given_an_adaptive_side_then_the_bound_is_ten_rotations_of_its_budget() -> None:
    looks = Looks(100_000, STARTED_AT, adaptive=True)

    assert sweep_seconds("flow", looks, settings()) == 10 * 100_000 / 5
    # Half of what Flow allows is kept for writes and hints.
    assert sweep_seconds("flow", looks, settings(calls_per_second=4)) == 10 * 100_000 / 2
    assert sweep_seconds("flow", looks, settings(calls_per_second=40)) == 10 * 100_000 / 5


def test_given_a_side_that_is_swept_in_rounds_then_the_bound_is_one_round() -> None:
    assert sweep_seconds("shopify", Looks(401, STARTED_AT), settings()) == 3 * 10


def test_given_looks_then_each_side_has_its_age_its_bound_and_what_gave_no_answer() -> None:
    by_side = {
        "flow": Looks(10_000, STARTED_AT, unanswered=2, adaptive=True),
        "shopify": Looks(1, None),
    }

    late = {name: one for name, side in open_sides(settings()).items() if (one := late_of(side)) is not None}

    lines = look_lines(by_side, late, settings(), STARTED_AT + timedelta(hours=3))

    assert lines == [
        (
            "Oldest look at flow",
            "3 hours old (while the worker runs, 10 000 cards within 6 hours); 2 cards gave no answer",
        ),
        (
            "Oldest look at shopify",
            "not every card was looked at yet (while the worker runs, 1 card within 10 seconds)",
        ),
        ("Late news on flow", "what is up to 48 hours late or misdated is found within 15 minutes"),
        ("Late news on shopify", "what is up to 3 hours late or misdated is found within 60 minutes"),
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 second"), (119, "119 seconds"), (121, "3 minutes"), (200_000, "3 days"), (7_201, "3 hours")],
)
def test_given_a_span_then_it_is_rounded_up(seconds: float, words: str) -> None:
    assert span_words(timedelta(seconds=seconds)) == words
