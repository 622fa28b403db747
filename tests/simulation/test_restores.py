"""A ledger that was put back, or is one of two: money is conserved, and each rule is needed for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import pytest

from connectors.memory import MemoryFault
from sync.decisions import lost
from sync.reconcile import card as reconcile
from tests.simulation.key_alone import key_alone
from tests.simulation.restores import Report, put_back, two_ledgers
from tests.simulation.world import Event, Setup

TWO = ("pos", "web")
SPEND, SPEND_TOO, LOAD = Event("pos", -3), Event("web", -2), Event("pos", 4)
BOOK: Mapping[str, Any] = {"lists_entries": True, "overtaking": False}
FAULTS = (MemoryFault.ANSWER_LOST, MemoryFault.DROPPED)

FAMILIES = {
    "two spend": Setup(TWO, (SPEND, SPEND_TOO), 0, **BOOK),
    "load and spend": Setup(TWO, (LOAD, SPEND_TOO), 0, **BOOK),
    "one spends, one fault": Setup(TWO, (SPEND,), 1, faults=FAULTS, **BOOK),
    "creation, one spends": Setup(TWO, (SPEND,), 0, in_step=False, **BOOK),
}
#: The ledger may be copied while an effect is planned that is sent later.
POSTPONED = Setup(TWO, (SPEND,), 1, faults=(MemoryFault.THROTTLED,), **BOOK)


@pytest.mark.parametrize("family", [*FAMILIES, "one spends, postponed"])
def test_given_an_earlier_ledger_is_put_back_then_money_is_conserved_and_nobody_is_asked(
    family: str, record_property: Callable[[str, object], None]
) -> None:
    report = put_back(FAMILIES.get(family, POSTPONED))

    record_property("simulation", f"put back, {family}: {report}")
    assert not report.violations, report.examples[0]
    assert not report.held


@pytest.mark.parametrize("family", ["two spend", "load and spend"])
def test_given_a_second_ledger_then_the_one_that_goes_on_conserves_money(
    family: str, record_property: Callable[[str, object], None]
) -> None:
    report = two_ledgers(FAMILIES[family])

    record_property("simulation", f"two ledgers, {family}: {report}")
    assert not report.violations, report.examples[0]


@pytest.mark.parametrize("family", [*FAMILIES, "one spends, held up on the way"])
def test_given_the_ledger_is_lost_and_the_key_is_left_then_nothing_is_made_or_spent_twice(
    family: str, record_property: Callable[[str, object], None]
) -> None:
    setup = FAMILIES.get(family) or Setup(TWO, (SPEND,), 1, faults=(MemoryFault.LATE,), **BOOK)
    report = key_alone(setup)

    record_property("simulation", f"the key alone, {family}: {report}")
    assert not report.violations, report.examples[0]


def loses(report: Report) -> bool:
    return report.violations > 0 or report.held > 0


def test_given_unknown_effects_are_taken_for_a_customers_then_the_simulation_says_so() -> None:
    with patch.object(lost, "unknown", lambda *_: []):
        assert put_back(FAMILIES["two spend"], marks=False).violations


def test_given_planned_intents_are_not_looked_for_then_the_simulation_says_so() -> None:
    with patch.object(reconcile, "look_for_promised", lambda card, work: (card, True)):
        assert loses(put_back(POSTPONED))


def test_given_a_second_ledger_is_not_noticed_then_the_simulation_says_so() -> None:
    with patch.object(lost, "unknown", lambda *_: []):
        assert loses(two_ledgers(FAMILIES["two spend"]))
