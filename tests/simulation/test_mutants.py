"""The simulation can fail: it catches every protocol that lacks one of the rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, smallest_counter_example


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_given_a_protocol_without_one_rule_then_the_simulation_says_how_it_loses(
    mutant: Mutant, record_property: Callable[[str, object], None]
) -> None:
    example = smallest_counter_example(mutant)

    assert example is not None, f"the mutant survives: {mutant.story}"
    record_property("simulation", f"Mutant: {mutant.name}. “{mutant.story}” {example.words}")
    assert example.words.startswith("It does not hold that ")
