"""Adaptive polling over small traces: the benchmark's loop, seeds and all, with 2,000 cards."""

from __future__ import annotations

import random

import pytest

from bench.polling import (
    SLICE_SECONDS,
    Adaptive,
    Trace,
    TracedCard,
    burn_down_trace,
    optimum,
    simulate,
    uniform,
    webhooks,
    zipf_trace,
)
from sync.decisions.poll_order import DAY, PollBudget, PollHistory, ReadBy

CARDS = 2_000
READS_PER_SECOND = 0.1
DAYS = 3


def adaptive() -> Adaptive:
    return Adaptive(PollBudget(READS_PER_SECOND))


@pytest.mark.parametrize(
    "trace",
    [zipf_trace(CARDS, 0.6 * CARDS, DAYS), burn_down_trace(CARDS, DAYS, gap_days=4.0)],
    ids=["zipf", "burn"],
)
def test_redemptions_are_found_far_sooner_than_by_rotation_and_almost_as_soon_as_possible(
    trace: Trace,
) -> None:
    found = simulate(trace, adaptive(), READS_PER_SECOND).mean(1.5, 2.5)
    assert found < 0.55 * simulate(trace, uniform(), READS_PER_SECOND).mean(1.5, 2.5)
    assert found < 1.4 * simulate(trace, optimum(), READS_PER_SECOND).mean(1.5, 2.5)


def test_the_budget_is_used_up_and_kept() -> None:
    trace = zipf_trace(CARDS, 0.6 * CARDS, 2)
    measured = simulate(trace, adaptive(), READS_PER_SECOND)
    assert measured.reads == pytest.approx(2 * DAY * READS_PER_SECOND, abs=2)


class Misled(Adaptive):
    """Believes that half of the cards are beyond all bounds hot, and never learns."""

    def _keep(self, number: int, history: PollHistory) -> None:
        if number % 2:
            history = history._replace(turn=self.population.clock + 1e-9)
        super()._keep(number, history)


@pytest.mark.parametrize("policy", [adaptive(), Misled(PollBudget(READS_PER_SECOND))], ids=["sane", "misled"])
def test_no_card_starves_whatever_the_estimates_are(policy: Adaptive) -> None:
    # Cards that never change, most of them empty. They join together, so they are overdue together: worst.
    chance = random.Random(5)
    cards = [TracedCard(0.0, chance.choice((0, 0, 0, 100)), [], [], 0.0, False) for _ in range(100)]
    measured = simulate(Trace("quiet", cards, 1), policy, READS_PER_SECOND)
    bound = policy.budget.bound_seconds(100)
    assert measured.longest_unread <= bound + SLICE_SECONDS


def test_a_card_that_joins_is_polled_and_a_hint_is_found_at_once() -> None:
    trace = zipf_trace(200, 100, 2)
    hints = webhooks(trace)
    measured = simulate(trace, Adaptive(PollBudget(READS_PER_SECOND)), READS_PER_SECOND, hints)
    at_once = sum(delay <= 2.001 for _, delay in measured.delays)
    assert at_once >= 0.85 * len(measured.delays)
    # Hints come out of the same budget.
    assert measured.reads <= 2 * DAY * READS_PER_SECOND + 2


def test_the_same_trace_gives_the_same_reads() -> None:
    trace = burn_down_trace(300, 2)
    runs = [simulate(trace, Adaptive(PollBudget(0.05)), 0.05) for _ in range(2)]
    assert runs[0] == runs[1]


def test_choosing_leaves_what_was_not_chosen_in_the_queue() -> None:
    policy = Adaptive(PollBudget(1.0))
    card = TracedCard(0.0, 100, [], [], 0.0, False)
    for number in range(3):
        policy.join(0.0, number, card, 1.0)
    policy.end_slice(0.0)
    assert policy.choose(1.0, 3) == []  # Read a second ago: too soon.
    assert sorted(policy.choose(6.0, 3)) == [(0, ReadBy.TURN), (1, ReadBy.TURN), (2, ReadBy.TURN)]
