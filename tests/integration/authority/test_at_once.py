"""Two tills and an online shopper spend the same card at once, while sides fail and the process is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.authority.at_once import WORTH_MINOR, try_at_once

#: Cards that three spend at the same moment; `python -m tests.integration.authority.at_once` tries 1,000.
TIMES = int(os.environ.get("TEST_AT_ONCE", "8"))
KILLS = 1


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "empty_url",
    [pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("sqlite", marks=pytest.mark.slow)],
    indirect=True,
)
def test_given_mode_authorise_then_nothing_is_overspent_or_lost(empty_url: str, tmp_path: Path) -> None:
    result = try_at_once(TIMES, "authorise", empty_url, tmp_path, kills=KILLS)

    assert result.wrong == []
    assert (result.overspent_minor, result.overdrafts_minor) == (0, 0)
    assert result.answered_twice == 0
    assert all(one.spent_minor <= WORTH_MINOR for one in result.outcomes)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_given_mode_record_then_every_overspend_is_a_conflict_with_its_amount(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'ledger.db'}"

    result = try_at_once(TIMES, "record", database, tmp_path, kills=KILLS)

    assert result.wrong == []
    assert result.overspent_minor == result.overdrafts_minor
    assert result.answered_twice == 0
