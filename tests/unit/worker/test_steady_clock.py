"""The time of a run: a machine's clock that jumps makes no wait longer and no quiet period shorter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.flow.pace import Pace
from sync.worker.steady_clock import FOLLOWS, SteadyClock

START = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Machine:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.wall, self.seconds = START, 1_000.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.seconds)

    def passes(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


def test_while_nobody_sets_the_clock_it_is_the_machines() -> None:
    machine = Machine()
    for _ in range(5):
        machine.passes(60)
        assert machine.clock() == machine.wall


@pytest.mark.parametrize("step", [timedelta(days=-1), timedelta(days=1), timedelta(seconds=-3)])
def test_given_a_clock_that_is_set_then_a_minute_is_still_a_minute(step: timedelta) -> None:
    machine = Machine()
    before = machine.clock()
    machine.wall += step
    machine.passes(60)
    passed = (machine.clock() - before).total_seconds()
    assert 60 * (1 - FOLLOWS) <= passed <= 60 * (1 + FOLLOWS)


def test_it_never_goes_back() -> None:
    machine = Machine()
    told = [machine.clock()]
    for step in (-86_400, 3_600, -7, 86_400, -86_400):
        machine.wall += timedelta(seconds=step)
        machine.passes(1)
        told.append(machine.clock())
    assert told == sorted(told)


@pytest.mark.parametrize("step", [timedelta(minutes=-10), timedelta(minutes=10)])
def test_it_follows_the_machines_clock_in_the_end(step: timedelta) -> None:
    machine = Machine()
    machine.wall += step
    for _ in range(300):
        machine.passes(60)
        machine.clock()
    assert machine.clock() == machine.wall


def test_the_next_run_begins_with_the_machines_clock() -> None:
    machine = Machine()
    machine.wall += timedelta(days=-1)
    assert SteadyClock(lambda: machine.wall, lambda: machine.seconds)() == machine.wall


def test_given_a_silence_that_flow_asked_for_then_no_clock_but_the_monotonic_one_ends_it() -> None:
    pauses: list[float] = []
    seconds = 0.0
    pace = Pace(None, pauses.append, lambda: seconds)
    pace.hold(5)
    seconds = 4.0
    pace.wait_turn()
    assert pauses[0] == 1.0
    seconds = 6.0
    pauses.clear()
    pace.wait_turn()
    assert pauses == []
