"""Rows that somebody changes at any moment move no money; mutants.py says what each part of it is for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.tampering import CHANGES, changed_rows
from tests.simulation.world import Event, Setup

TWO = ("pos", "web")
SETUP = Setup(TWO, (Event("pos", -3), Event("web", -2)), 0)


@pytest.mark.parametrize("change", CHANGES)
def test_given_rows_that_are_changed_at_any_moment_then_no_money_moves_and_rebuild_puts_it_right(
    change: str, record_property: Callable[[str, object], None]
) -> None:
    report = changed_rows(SETUP, change)

    record_property("simulation", f"rows changed, {change}: {report}")
    assert not report.violations, report.examples[0]
    assert report.held, "a change that nobody notices proves nothing"
