"""How often a card will change: what the model promises of any past, and what it learns of cards."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.decisions.redemption_rates import (
    EMPTY,
    ODD,
    ROUND,
    SOLD,
    Past,
    Rates,
    Spent,
    kind_of,
    spent_of,
)


def past_of(kind: int, spent: Spent, changes: float, days: float, quiet: float) -> Past:
    return Past(kind, spent, changes, days, days * quiet if changes else days)


pasts = st.builds(
    past_of,
    st.integers(min_value=0, max_value=20),
    st.sampled_from(Spent),
    st.floats(min_value=0.0, max_value=33.0),
    st.floats(min_value=0.0, max_value=3_000.0),
    st.floats(min_value=0.0, max_value=1.0),
)


def fleet(rng: random.Random, cards: int = 1_500, days: float = 20.0) -> tuple[list[Past], list[Past]]:
    """Cards of two rates, a fifth of which rests after each change; and each past that a change ended."""
    now, left = [], []
    for number in range(cards):
        rate = 2.0 if number % 10 == 0 else 0.1
        changes, at, last, rests = 0, 0.0, 0.0, False
        while not rests:
            wait = rng.expovariate(rate)
            if at + wait > days:
                break
            quiet = at + wait - last
            left.append(Past(ROUND, Spent.USED, changes, at + wait, quiet))
            at = last = at + wait
            changes, rests = changes + 1, rng.random() < 0.2
        now.append(Past(ROUND, Spent.USED, changes, days, days - last))
    return now, left


@given(pasts, st.lists(pasts, max_size=20))
def test_any_past_has_a_usable_rate_before_and_after_a_fit(past: Past, others: list[Past]) -> None:
    for rates in (Rates(), Rates().counted([], others, others).fitted()):
        assert 0.0 < rates.rate(past) < math.inf
        assert 0.0 < rates.weight(rates.rate(past)) < math.inf
        chances = [rates.chance(past, wait) for wait in (0.0, 1.0, 100.0)]
        assert chances == sorted(chances)
        assert chances[0] == 0.0
        assert chances[-1] <= 1.0


@given(st.lists(pasts, max_size=20), st.lists(pasts, max_size=20), st.randoms(use_true_random=False))
def test_counting_does_not_depend_on_the_order(
    came: list[Past], went: list[Past], rng: random.Random
) -> None:
    rates = Rates().counted([], went)
    mixed = [list(came), list(went)]
    for pile in mixed:
        rng.shuffle(pile)
    assert rates.counted(went, came, went) == rates.counted(mixed[1], mixed[0], mixed[1])


@given(st.lists(pasts, max_size=20), st.lists(pasts, max_size=20))
def test_what_goes_takes_its_whole_part_with_it(stay: list[Past], go: list[Past]) -> None:
    rates = Rates().counted([], [*stay, *go]).counted(go, [])
    assert sum(row[0] for row in rates.rows.values()) == len(stay)
    kept = Rates().counted([], stay)
    assert rates.rows.keys() == kept.rows.keys()
    for key, row in kept.rows.items():
        assert rates.rows[key] == pytest.approx(row, abs=1e-6)


@given(st.lists(pasts, max_size=20))
def test_rates_survive_json(came: list[Past]) -> None:
    rates = Rates().counted([], came, came).fitted()
    assert Rates.of_plain(json.loads(json.dumps(rates.to_plain()))) == rates


@given(st.lists(pasts, min_size=1, max_size=20))
def test_a_fit_keeps_parts_that_are_parts(came: list[Past]) -> None:
    rates = Rates().counted([], came, came).fitted()
    for steps in rates.steps.values():
        assert sum(steps) == pytest.approx(1.0)
        assert min(steps) > 0.0
    assert all(0.0 < part < 1.0 for part in rates.rests.values())


@given(st.integers(min_value=1, max_value=20), st.floats(min_value=0.1, max_value=300.0))
def test_more_changes_in_the_same_time_let_expect_more(changes: int, days: float) -> None:
    fewer, more = (Past(SOLD, Spent.FULL, n, days, 0.0) for n in (changes, changes + 1))
    assert Rates().rate(fewer) < Rates().rate(more)


@given(st.floats(min_value=0.0, max_value=300.0), st.floats(min_value=0.01, max_value=300.0))
def test_the_longer_quiet_the_less_is_expected(days: float, more: float) -> None:
    short = Past(SOLD, Spent.USED, 3.0, 10.0 + days, days)
    assert Rates().rate(short._replace(days=short.days + more, quiet=days + more)) < Rates().rate(short)


def test_fitted_to_cards_it_knows_how_many_change_again() -> None:
    now, left = fleet(random.Random(4))
    rates = Rates().counted([], now, left)
    for _ in range(20):
        rates = rates.fitted()
    unknown = Past(ROUND, Spent.FULL, 0.0, 0.0, 0.0)
    assert rates.rate(unknown) == pytest.approx(0.1 * 2.0 + 0.9 * 0.1, rel=0.15)
    # A fifth of those that changed rest; without the ones that went on, all of them would seem to.
    after_a_change = next(part for key, part in rates.rests.items() if key >= 24)
    assert after_a_change == pytest.approx(0.2, abs=0.05)


def test_fitted_to_cards_it_says_how_likely_a_change_is() -> None:
    rng = random.Random(6)
    now, left = fleet(rng)
    rates = Rates().counted([], now, left)
    for _ in range(20):
        rates = rates.fitted()
    # 300 unused days later nearly all that go on have changed: what is left is the part that rests.
    quiet = Past(ROUND, Spent.USED, 2.0, 20.0, 15.0)
    fresh = Past(ROUND, Spent.USED, 2.0, 5.0, 0.0)
    assert rates.chance(fresh, 300.0) == pytest.approx(0.8, abs=0.06)
    assert rates.chance(quiet, 300.0) < rates.chance(fresh, 300.0)


def test_a_kind_with_few_cards_leans_on_all_and_one_with_many_does_not() -> None:
    slow = [Past(ROUND, Spent.FULL, 0.0, 50.0, 50.0)] * 1_000
    fast = [Past(SOLD, Spent.FULL, 20.0, 10.0, 0.1)] * 200
    few = Rates().counted([], [*slow, *fast[:2]]).fitted().fitted()
    many = Rates().counted([], [*slow, *fast]).fitted().fitted()
    unknown = Past(SOLD, Spent.FULL, 0.0, 0.0, 0.0)
    assert few.rate(unknown) < 0.5 < 1.0 < many.rate(unknown)


@pytest.mark.parametrize(
    ("balance", "sold", "kind"),
    [(50_000, True, SOLD), (0, False, EMPTY), (50_000, False, ROUND), (1, False, ODD), (999, False, ODD + 5)],
)
def test_how_a_card_is_met(balance: int, sold: bool, kind: int) -> None:
    assert kind_of(balance, sold=sold) == kind


def test_odd_amounts_of_any_size_have_a_kind_of_their_own_below_those_that_say_how_far_spent() -> None:
    kinds = [kind_of(10**power + 1, sold=False) for power in range(1, 15)]
    assert kinds == sorted(kinds)
    assert ODD < kinds[0] < kinds[-1] < 24


@pytest.mark.parametrize(
    ("balance", "spent"),
    [(0, Spent.EMPTY), (1, Spent.REMNANT), (1_000, Spent.REMNANT), (1_001, Spent.USED), (10_000, Spent.FULL)],
)
def test_how_far_a_card_is_spent(balance: int, spent: Spent) -> None:
    assert spent_of(balance, 10_000) is spent


def test_an_empty_card_is_expected_to_rest_and_a_round_amount_to_be_used() -> None:
    met = {
        kind: Rates().rate(Past(kind, Spent.FULL, 0.0, 0.0, 0.0)) for kind in (SOLD, EMPTY, ROUND, ODD + 5)
    }
    assert met[EMPTY] < met[ODD + 5] / 50
    assert met[ODD + 5] < met[ROUND] < met[SOLD]
