"""Whether this machine's clock agrees with the database's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.ledger.database.clock import APART_SECONDS_MAX, seconds_ahead, why_wrong

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(("theirs", "ahead"), [(0.5, 0.0), (-10.0, 10.0), (12.0, -11.0)])
def test_given_an_answer_that_took_a_second_then_only_what_is_surely_apart_counts(
    theirs: float, ahead: float
) -> None:
    after = NOON + timedelta(seconds=1)

    assert seconds_ahead(NOON, NOON + timedelta(seconds=theirs), after) == ahead


def test_given_clocks_that_are_apart_then_it_is_said_which_one_is_ahead() -> None:
    assert why_wrong(APART_SECONDS_MAX) is None
    assert "600 s ahead of" in str(why_wrong(600.0))
    assert "600 s behind" in str(why_wrong(-600.0))
