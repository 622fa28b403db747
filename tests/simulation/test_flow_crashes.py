"""A movement on Flow takes many calls and commits; a mishap at any of them doubles and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from connectors.api.effect import NotFound
from connectors.flow.money_effects import MoneyEffects
from sandbox.flow import FlowBehaviour
from tests.flow_wire import Mishap
from tests.simulation.flow_crashes import MOVEMENTS, Stage, pairs, singles


@pytest.fixture
def stage_of() -> Iterator[Callable[[str], Stage]]:
    stages: list[Stage] = []

    def make(name: str) -> Stage:
        stages.append(Stage(name))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


def test_given_no_mishap_then_a_debit_takes_these_steps(stage_of: Callable[[str], Stage]) -> None:
    steps = stage_of("debit").play({}).steps

    assert [step for step in steps if " " in step] == [
        "GET giftcards",  # The worker looks; what follows is the debit.
        "GET giftcards",
        "POST orders",
        "POST items",
        "POST settlements",
        "GET giftcards",
    ]


@pytest.mark.parametrize("name", MOVEMENTS)
def test_given_a_mishap_at_any_step_then_money_is_exact_and_no_order_hangs(
    name: str, stage_of: Callable[[str], Stage], record_property: Callable[[str, object], None]
) -> None:
    tally = singles(stage_of(name))

    record_property("simulation", f"Flow, {name}: {tally.cases} cases of one mishap, money exact in each")
    # A debit, the shortest one, has five calls and 21 crash points.
    assert tally.cases >= 63


@pytest.mark.parametrize("name", ["race", "refund"])
def test_given_one_mishap_and_each_second_one_then_money_is_exact_and_no_order_hangs(
    name: str, stage_of: Callable[[str], Stage]
) -> None:
    # One first mishap in the middle; every other one, and the other movements, are slow.
    assert pairs(stage_of(name), 25, 120).cases >= 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", MOVEMENTS)
def test_given_mishaps_at_any_two_steps_then_money_is_exact_and_no_order_hangs(
    name: str, stage_of: Callable[[str], Stage], record_property: Callable[[str, object], None]
) -> None:
    tally = pairs(stage_of(name))

    record_property("simulation", f"Flow, {name}: {tally.cases} cases of two mishaps, money exact in each")
    assert tally.cases >= 700


def test_given_a_connector_that_forgets_what_it_saved_then_a_case_shows_it(
    stage_of: Callable[[str], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of("debit")
    money_step = stage.play({}).steps.index("POST settlements") + 1
    monkeypatch.setattr(MoneyEffects, "find", lambda *_: NotFound())
    monkeypatch.setattr(MoneyEffects, "_known_order", lambda *_: None)

    with pytest.raises(AssertionError, match="debit: POST settlements: the answer is lost"):
        stage.play({money_step: Mishap.LOSE_ANSWER})


def test_given_a_flow_that_settles_an_order_twice_and_a_setting_that_denies_it_then_a_case_shows_it() -> None:
    stage = Stage("debit", FlowBehaviour(settled_order_takes_more=True))
    money_step = stage.play({}).steps.index("POST settlements") + 1

    with pytest.raises(AssertionError, match="the end of the quiet period"):
        stage.play({money_step: Mishap.LATER})
    stage.close()


def test_given_a_connector_that_parks_nothing_then_a_case_shows_it(
    stage_of: Callable[[str], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MoneyEffects, "_park", lambda *_: None)

    with pytest.raises(AssertionError, match="race: no mishap"):
        stage_of("race").play({})
