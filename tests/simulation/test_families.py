"""Every schedule of the bounded families, over the real protocol and the real store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.explore import explore
from tests.simulation.families import BOUNDED
from tests.simulation.world import RUNS_UNTIL_QUIET_MAX

#: Runs of the worker until everything is quiet, when nothing goes wrong any more.
QUIET_SOON = 4


@pytest.mark.parametrize("family", BOUNDED)
def test_given_any_schedule_of_the_family_then_every_guarantee_holds(
    family: str, record_property: Callable[[str, object], None]
) -> None:
    report = explore(BOUNDED[family])

    record_property("simulation", f"{family}: {report.schedules:,} schedules, {report.violations} violations")
    assert not report.violations, report.counter_examples[0].words
    assert report.schedules > report.worlds, "a family without choices proves nothing"
    assert report.runs_until_quiet <= QUIET_SOON < RUNS_UNTIL_QUIET_MAX
