"""Adaptive polling: what each function promises, whatever happened before."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.decisions.poll_order import (
    DAY,
    Candidate,
    PollBudget,
    PollHistory,
    PollPopulation,
    PollUpdate,
    ReadBy,
    choose,
    first_poll,
    forgotten,
    polled,
    unanswered,
)

BUDGET = PollBudget(reads_per_second=1.0)
HOUR = 3600.0

events = st.lists(
    st.tuples(
        st.floats(min_value=0.0, max_value=30 * DAY),
        st.booleans(),
        st.integers(min_value=0, max_value=100_000),
        st.sampled_from(ReadBy),
    ),
    max_size=12,
)


def join(
    population: PollPopulation, now: float = 0.0, balance: int = 10_000
) -> tuple[PollHistory, PollPopulation]:
    history, update = first_poll(population, BUDGET, now, balance_minor=balance, issued=False, phase=1.0)
    return history, population.absorb([update], now)


def live(
    population: PollPopulation,
    history: PollHistory,
    happened: Sequence[tuple[float, bool, int, ReadBy]],
) -> tuple[PollHistory, PollPopulation, list[PollUpdate]]:
    updates = []
    for waited, changed, balance, by in happened:
        now = history.polled_at + waited
        history, update = polled(
            population, BUDGET, history, now, changed=changed, balance_minor=balance, by=by
        )
        updates.append(update)
        population = population.absorb([update], now)
    return history, population, updates


def taught(cards: int = 400, days: int = 6, seed: int = 3) -> PollPopulation:
    """A population that was watched: a tenth of the cards change daily, a tenth are empty, the rest rests."""
    chance = random.Random(seed)
    population = PollPopulation()
    histories = []
    for number in range(cards):
        history, population = join(population, balance=0 if number % 10 == 1 else 10_000)
        histories.append(history)
    for reading in range(1, days * 4 + 1):
        updates = []
        for number, history in enumerate(histories):
            changed = number % 10 == 0 and chance.random() < 0.25
            balance = max(history.balance_minor - 100, 1) if changed else history.balance_minor
            histories[number], update = polled(
                population, BUDGET, history, reading * 6 * HOUR, changed=changed, balance_minor=balance
            )
            updates.append(update)
        population = population.absorb(updates, reading * 6 * HOUR)
    return population


TAUGHT = taught()


def watched(population: PollPopulation, changed: Sequence[bool], balance: int = 5_000) -> PollHistory:
    """A card read every six hours."""
    history, _ = first_poll(population, BUDGET, 0.0, balance_minor=10_000, issued=False, phase=1.0)
    for reading, moved in enumerate(changed, 1):
        history, _ = polled(
            population, BUDGET, history, reading * 6 * HOUR, changed=moved, balance_minor=balance
        )
    return history


@given(events)
def test_any_history_gives_a_usable_rate_and_a_later_turn(
    happened: list[tuple[float, bool, int, ReadBy]],
) -> None:
    history, population = join(PollPopulation())
    for event in happened:
        clock = population.clock
        history, population, _ = live(population, history, [event])
        assert history.rate > 0
        assert math.isfinite(history.rate)
        assert history.weight > 0
        assert math.isfinite(history.weight)
        assert history.turn > clock
        assert population.clock >= clock
        assert history.changed_at <= history.polled_at
        assert history.peak_minor >= history.balance_minor


@given(events)
def test_a_population_survives_json(happened: list[tuple[float, bool, int, ReadBy]]) -> None:
    history, population = join(PollPopulation())
    _, population, _ = live(population, history, happened)
    assert PollPopulation.from_json(population.to_json(), population.rates_to_json()) == population
    assert json.loads(population.to_json())["cards"] == 1


@given(events, events, st.randoms(use_true_random=False))
def test_the_order_within_a_batch_does_not_matter(
    some: list[tuple[float, bool, int, ReadBy]],
    others: list[tuple[float, bool, int, ReadBy]],
    chance: random.Random,
) -> None:
    population = TAUGHT
    first, _ = join(population)
    second, _ = join(population, balance=0)
    batch = live(population, first, some)[2] + live(population, second, others)[2]
    shuffled = list(batch)
    chance.shuffle(shuffled)
    assert population.absorb(batch, 40 * DAY) == population.absorb(shuffled, 40 * DAY)


@given(events)
def test_nothing_depends_on_anything_but_the_arguments(
    happened: list[tuple[float, bool, int, ReadBy]],
) -> None:
    history, population = join(PollPopulation())
    assert live(population, history, happened) == live(population, history, happened)


@given(events)
def test_the_sum_of_weights_is_kept(happened: list[tuple[float, bool, int, ReadBy]]) -> None:
    other, population = join(PollPopulation())
    history, population = join(population)
    history, population, _ = live(population, history, happened)
    assert population.cards == 2
    assert population.weight == pytest.approx(history.weight + other.weight)
    left = population.absorb([forgotten(history)], 0.0)
    assert left.cards == 1
    assert left.weight == pytest.approx(other.weight)


def test_the_more_often_it_changed_the_sooner_it_is_read() -> None:
    population = TAUGHT
    weights = [watched(population, [i % period == 0 for i in range(24)]).weight for period in (8, 4, 2, 1)]
    assert weights == sorted(weights)
    assert weights[-1] > 1.3 * weights[0]


def test_an_empty_card_is_read_the_least() -> None:
    population = TAUGHT
    spent = [False] * 11 + [True]
    empty, used = watched(population, spent, balance=0), watched(population, spent)
    untouched = watched(population, [False] * 12, balance=10_000)
    assert empty.weight < used.weight
    assert empty.weight < untouched.weight


def test_a_card_that_grew_quiet_is_read_less() -> None:
    population = TAUGHT
    busy = watched(population, [True] * 12)
    quiet = watched(population, [True] * 12 + [False] * 24)
    assert quiet.weight < busy.weight


def test_a_refill_makes_an_empty_card_a_candidate_again() -> None:
    population = TAUGHT
    empty = watched(population, [False] * 11 + [True], balance=0)
    refilled, _ = polled(
        population, BUDGET, empty, empty.polled_at + HOUR, changed=True, balance_minor=20_000, by=ReadBy.HINT
    )
    assert refilled.weight > empty.weight
    assert refilled.peak_minor == 20_000


@pytest.mark.parametrize(("by", "least", "most"), [(ReadBy.HINT, 0.0, 0.5), (ReadBy.TURN, 0.8, 1.5)])
def test_what_a_hint_told_first_is_no_work_for_polling(by: ReadBy, least: float, most: float) -> None:
    """The same changes, told by hints or found by polls: only the second make polling worth its calls."""
    population = PollPopulation()
    histories = [join(population)[0]] * 60
    updates: list[PollUpdate] = []
    for day in range(1, 15):
        after = [
            polled(population, BUDGET, one, day * DAY, changed=day % 2 == 0, balance_minor=5_000, by=by)
            for one in histories
        ]
        histories, updates = [history for history, _ in after], [update for _, update in after]
        population = population.absorb(updates, day * DAY)
    rates, past = population.rates, updates[-1].came
    assert past is not None
    last, _ = polled(population, BUDGET, histories[0], 14 * DAY, changed=False, balance_minor=5_000, by=by)
    assert least <= last.rate * DAY / rates.rate(past) <= most
    assert last.changed_at == 14 * DAY


@given(
    st.floats(min_value=1e-9, max_value=1e-1),
    st.floats(min_value=1.0, max_value=30 * DAY),
)
def test_a_changed_read_says_at_most_one_change_in_at_most_half_the_time(rate: float, waited: float) -> None:
    history, population = join(PollPopulation())
    before = history._replace(rate=rate)
    after, _ = polled(population, BUDGET, before, waited, changed=True, balance_minor=1)
    assert 0.0 <= after.changes <= 1.0 + 1e-9
    assert 0.0 <= after.exposure <= waited / 2 * (1 + 1e-9)
    if rate * waited > 1e-3:
        # The slope of the likelihood of "at least one", which the count stands for, is the same.
        slope = after.changes / rate - after.exposure
        assert slope == pytest.approx(
            waited * math.exp(-rate * waited) / -math.expm1(-rate * waited), rel=1e-6, abs=1e-6 * waited
        )


def test_the_population_forgets_by_half_lives() -> None:
    population = TAUGHT
    # Once a day at most, so that a batch does not rewrite every cell.
    assert population.absorb([], population.discounted_at + DAY / 2) == population
    later = population.absorb([], population.discounted_at + 45 * DAY)
    key = next(iter(population.cells))
    assert later.cells[key] == pytest.approx(tuple(value / 2 for value in population.cells[key]))


def test_a_clock_that_goes_back_teaches_nothing() -> None:
    history, population = join(PollPopulation(), now=DAY)
    after, update = polled(population, BUDGET, history, 0.0, changed=False, balance_minor=10_000)
    assert update.expected == 0.0
    assert after.exposure == 0.0


candidates = st.lists(
    st.tuples(st.floats(min_value=0, max_value=1e6), st.floats(min_value=0, max_value=1e6)), max_size=30
).map(lambda rows: [Candidate(number, turn, at) for number, (turn, at) in enumerate(rows)])


@given(candidates, st.integers(min_value=0, max_value=20), st.floats(min_value=0, max_value=2e6))
def test_never_more_than_the_limit_none_twice_and_the_overdue_first(
    cards: list[Candidate], limit: int, now: float
) -> None:
    population = PollPopulation(cards=len(cards))
    by_turn = sorted(cards, key=lambda card: card.turn)
    by_age = sorted(cards, key=lambda card: card.polled_at)
    chosen = choose(population, BUDGET, now, by_turn, by_age, limit)
    numbers = [number for number, _ in chosen]
    assert len(numbers) <= limit
    assert len(set(numbers)) == len(numbers)
    overdue_at = now - BUDGET.overdue_seconds(len(cards))
    overdue = [card.card_id for card in by_age if card.polled_at <= overdue_at]
    assert numbers[: len(overdue)] == overdue[:limit]
    if len(overdue) < limit:
        rested = {card.card_id for card in cards if card.polled_at <= now - BUDGET.shortest_seconds}
        assert len(numbers) == min(limit, len(rested | set(overdue)))
    turns = [cards[number].turn for number, by in chosen if by is ReadBy.TURN]
    assert turns == sorted(turns)


@pytest.mark.parametrize(
    ("reads", "factor", "shortest"), [(0.0, 10.0, 5.0), (1.0, 1.0, 5.0), (1.0, 10.0, -1.0)]
)
def test_a_budget_that_cannot_be_kept_is_refused(reads: float, factor: float, shortest: float) -> None:
    with pytest.raises(ValueError, match="budget"):
        PollBudget(reads, factor, shortest)


def test_the_bound_is_one_rotation_after_a_card_is_overdue() -> None:
    assert BUDGET.overdue_seconds(10) == 90.0
    assert BUDGET.bound_seconds(10) == 100.0


def test_a_card_that_gives_no_answer_has_its_turn_and_teaches_nothing() -> None:
    history, population = join(PollPopulation())
    after, update = unanswered(population, history)
    assert after == history._replace(turn=after.turn)
    assert after.turn > history.turn
    taught = population.absorb([update], 0.0)
    assert (taught.clock, taught.cells, taught.rates) == (history.turn, {}, population.rates)
