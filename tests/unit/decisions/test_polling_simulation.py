"""Adaptive polling over small traces: the benchmark's loop, seeds and all, with 2,000 cards."""

from __future__ import annotations

import random

import pytest

from bench.poll_traces import (
    SteadyInsider,
    Trace,
    TracedCard,
    burn_down_trace,
    december_trace,
    mixed_trace,
    zipf_trace,
)
from bench.polling import (
    SLICE_SECONDS,
    Adaptive,
    Expected,
    Limit,
    simulate,
    uniform,
    webhooks,
)
from sync.decisions.poll_order import DAY, PollBudget, PollHistory, ReadBy

CARDS = 2_000
READS_PER_SECOND = 0.1
DAYS = 3


def adaptive() -> Adaptive:
    return Adaptive(PollBudget(READS_PER_SECOND))


@pytest.mark.parametrize(
    "trace",
    [
        pytest.param(zipf_trace(CARDS, 0.6 * CARDS, DAYS), id="zipf"),
        pytest.param(burn_down_trace(CARDS, DAYS, gap_days=4.0), id="burn", marks=pytest.mark.slow),
        pytest.param(burn_down_trace(CARDS, DAYS, gap_days=4.0, leftovers=0.1), id="leftovers"),
        pytest.param(december_trace(CARDS, DAYS, gap_days=4.0), id="december", marks=pytest.mark.slow),
        pytest.param(mixed_trace(CARDS, DAYS), id="two brands", marks=pytest.mark.slow),
    ],
)
def test_redemptions_are_found_almost_as_soon_as_by_one_who_knows_how_the_cards_were_made(
    trace: Trace,
) -> None:
    budget = PollBudget(READS_PER_SECOND)
    found = simulate(trace, adaptive(), READS_PER_SECOND)
    limit = simulate(trace, Limit(budget, trace), READS_PER_SECOND)
    rotation = simulate(trace, uniform(), READS_PER_SECOND)
    assert found.expected_mean(1, DAYS) < 0.5 * rotation.expected_mean(1, DAYS)
    assert found.expected_mean(1, DAYS) < 1.15 * limit.expected_mean(1, DAYS)
    # From the first hour on, with nothing learned.
    assert found.expected_mean(0, 1) < 1.2 * limit.expected_mean(0, 1)


def test_what_happened_has_the_mean_that_was_to_be_expected() -> None:
    for trace in (burn_down_trace(CARDS, DAYS, gap_days=2.0), december_trace(CARDS, DAYS, gap_days=2.0)):
        measured = simulate(trace, uniform(), READS_PER_SECOND)

        assert measured.expected_mean(0, DAYS) == pytest.approx(measured.mean(0, DAYS), rel=0.06)
        happened = len(measured.between(0, DAYS))
        assert sum(count for count, _ in measured.expected) == pytest.approx(happened, rel=0.06)


def test_a_redemption_is_to_be_expected_while_the_card_has_its_last_one_before_it() -> None:
    card = TracedCard(0.0, 100, [DAY + 3_600.0], [0], 2.0 / DAY, True)
    trace = Trace("one card", [card], 2, lambda: SteadyInsider([1.0]), (DAY, 3.0))
    expected = Expected(trace)

    expected.add(card, DAY / 2, DAY + 7_200.0)
    expected.add(card, DAY + 7_200.0, DAY + 9_000.0)

    hours = [redemptions / card.rate / 3_600 for redemptions in expected.redemptions]
    # Half of the first day, and three times as fast an hour of the next.
    assert hours == pytest.approx([12, 3, 0])
    # At its end each waits two hours more, and 14 at first; the last hour's wait two to one.
    waits = [
        waited / redemptions / 3_600
        for waited, redemptions in zip(expected.waited, expected.redemptions, strict=True)
        if redemptions
    ]
    assert waits == pytest.approx([8, 1.5])


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
    measured = simulate(Trace("quiet", cards, 1, lambda: SteadyInsider([1.0])), policy, READS_PER_SECOND)
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
