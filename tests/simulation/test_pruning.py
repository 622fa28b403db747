"""Merging equal worlds and leaving out equal choices changes how long it takes, not what is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.memory import MemoryFault
from tests.simulation.explore import explore, explore_one_by_one
from tests.simulation.families import CANCELLING, OVERDRAFTS, SPENDING, TWO, unpruned
from tests.simulation.mutants import MUTANTS
from tests.simulation.world import Setup

SMALL = Setup(TWO, SPENDING[:1], 1)
TWO_EVENTS = Setup(TWO, OVERDRAFTS[:2], 0)
SMALL_BOOK = replace(SMALL, lists_entries=True, lands_beyond_quiet=True, faults=(MemoryFault.LATE,))
FEW_FAULTS = Setup(TWO, CANCELLING, 1, faults=(MemoryFault.ANSWER_LOST,), overtaking=False, runs=2)


@pytest.mark.parametrize("setup", [SMALL, TWO_EVENTS, SMALL_BOOK], ids=["one fault", "two events", "book"])
def test_given_equal_worlds_are_merged_then_as_many_schedules_are_counted_as_without(setup: Setup) -> None:
    merged = explore(setup)
    single = explore_one_by_one(setup)

    assert (merged.schedules, merged.violations) == (single.schedules, 0)
    assert merged.outcomes == single.outcomes


@pytest.mark.parametrize(
    "setup", [SMALL, TWO_EVENTS, FEW_FAULTS], ids=["one fault", "two events", "few faults"]
)
def test_given_equal_choices_are_left_out_then_everybody_ends_up_with_the_same(setup: Setup) -> None:
    pruned = explore(setup)
    everything = explore(unpruned(setup))

    assert everything.schedules > pruned.schedules
    assert (pruned.violations, everything.violations) == (0, 0)
    assert pruned.outcomes == everything.outcomes


@pytest.mark.parametrize("name", ["blind retry", "no fencing", "no quiet period"])
def test_given_a_mutant_then_the_pruned_and_the_whole_exploration_both_catch_it(name: str) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)

    with mutant.entered():
        pruned, everything = explore(SMALL), explore(unpruned(SMALL))

    assert pruned.violations
    assert everything.violations
    assert pruned.counter_examples[0].events_and_faults == everything.counter_examples[0].events_and_faults
