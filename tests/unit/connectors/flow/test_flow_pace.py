"""One answer 429 among many is its own caller's; several are a limit, and everybody is silent."""

from __future__ import annotations

from connectors.flow.pace import LATEST_CALLS, REFUSED_MAX, Pace


class Waiting:
    """Time that moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        self.pace = Pace(None, self._pause, lambda: self.now)

    def _pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def test_given_one_call_that_is_refused_then_the_others_go_on() -> None:
    flow = Waiting()
    flow.pace.wait_turn()
    flow.pace.refused(2.0)

    flow.pace.wait_turn()

    assert flow.waits == []


def test_given_several_calls_that_are_refused_then_nobody_calls_until_the_wait_is_over() -> None:
    flow = Waiting()
    for _ in range(REFUSED_MAX):
        flow.pace.wait_turn()
        flow.pace.refused(2.0)

    flow.pace.wait_turn()
    flow.pace.wait_turn()

    assert flow.waits == [2.0]


def test_given_one_refusal_with_a_long_wait_then_everybody_waits() -> None:
    flow = Waiting()
    flow.pace.wait_turn()
    flow.pace.refused(5.0)

    flow.pace.wait_turn()

    assert flow.waits == [5.0]


def test_given_refusals_far_apart_then_each_is_its_own_callers() -> None:
    flow = Waiting()
    for call in range(LATEST_CALLS * 10):
        flow.pace.wait_turn()
        if call % LATEST_CALLS == 0:
            flow.pace.refused(2.0)

    assert flow.waits == []


def test_given_a_limit_that_is_over_then_the_next_lone_refusal_is_its_own_callers() -> None:
    flow = Waiting()
    for _ in range(REFUSED_MAX):
        flow.pace.wait_turn()
        flow.pace.refused(2.0)
    for _ in range(LATEST_CALLS):
        flow.pace.wait_turn()
    flow.pace.refused(2.0)

    flow.pace.wait_turn()

    assert flow.waits == [2.0]
