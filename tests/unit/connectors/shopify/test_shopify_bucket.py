"""The cost bucket: pure, with a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.api.errors import Throttled
from connectors.shopify.bucket import (
    PAUSE_SECONDS_MAX,
    POINTS_TOLERANCE,
    RESTORE_POINTS_PER_SECOND_DEFAULT,
    YIELDS_MAX,
    CostBook,
    CostBucket,
    Priority,
    ThrottleStatus,
)

STANDARD = ThrottleStatus(2_000, 2_000, 100)


@dataclass
class Time:
    """A monotonic clock; pausing moves it on, and others act `meanwhile`: one for each pause."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def bucket(time: Time) -> CostBucket:
    return CostBucket(time.monotonic, time.pause)


def test_a_full_bucket_never_waits(bucket: CostBucket, time: Time) -> None:
    for _ in range(20):
        bucket.reserve(100)

    assert time.pauses == []
    assert bucket.available_points == 0


def test_an_empty_bucket_waits_exactly_for_the_refill(bucket: CostBucket, time: Time) -> None:
    bucket.reserve(2_000)

    bucket.reserve(10)

    assert time.pauses == [pytest.approx(0.1)]
    assert bucket.available_points == pytest.approx(0)


def test_waiting_requests_queue_up(time: Time) -> None:
    pauses: list[float] = []
    bucket = CostBucket(time.monotonic, pauses.append)
    bucket.reserve(2_000)

    for _ in range(3):
        bucket.reserve(50)

    # Nobody moved the clock: each waits behind those that came before.
    assert pauses == [pytest.approx(0.5), pytest.approx(1.0), pytest.approx(1.5)]


def test_an_answer_corrects_the_model(bucket: CostBucket) -> None:
    first = bucket.reserve(10)
    bucket.settle(first, 10, ThrottleStatus(4_000, 300, 200))
    assert bucket.available_points == 300

    second = bucket.reserve(10)
    bucket.settle(second, 10, ThrottleStatus(4_000, 3_000, 200))
    assert bucket.available_points == 3_000


def test_an_answer_does_not_know_what_is_still_on_its_way(bucket: CostBucket) -> None:
    small = bucket.reserve(10)
    bucket.reserve(600)

    bucket.settle(small, 10, ThrottleStatus(2_000, 1_700, 100))

    assert bucket.available_points == 1_100


def test_an_answer_that_was_overtaken_does_not_raise_the_model(bucket: CostBucket) -> None:
    """A is charged before B, but its answer comes after B's: what it shows is no longer there."""
    a, b = bucket.reserve(10), bucket.reserve(600)

    bucket.settle(b, 600, ThrottleStatus(2_000, 1_390, 100))
    bucket.settle(a, 10, ThrottleStatus(2_000, 1_990, 100))

    assert bucket.available_points == 1_380


def test_what_was_not_used_is_given_back(bucket: CostBucket) -> None:
    reservation = bucket.reserve(500)

    bucket.settle(reservation, 100, STANDARD)

    assert bucket.available_points == 2_000


def test_the_bucket_refills_to_its_maximum_only(bucket: CostBucket, time: Time) -> None:
    bucket.settle(bucket.reserve(500), 500, ThrottleStatus(2_000, 1_500, 100))

    time.now += 2
    assert bucket.available_points == 1_700
    time.now += 1_000
    assert bucket.available_points == 2_000


def test_without_an_answer_the_reservation_counts_as_spent(bucket: CostBucket) -> None:
    bucket.settle(bucket.reserve(500), None)

    assert bucket.available_points == 1_500


def test_what_was_never_sent_is_given_back(bucket: CostBucket) -> None:
    bucket.settle(bucket.reserve(500), 0)

    assert bucket.available_points == 2_000


def test_no_pause_is_longer_than_any_refill(bucket: CostBucket, time: Time) -> None:
    bucket.reserve(1_000_000)

    assert time.pauses == [PAUSE_SECONDS_MAX]


def test_a_pause_that_is_cut_short_gives_its_points_back(time: Time) -> None:
    class ShuttingDown(Exception):
        pass

    def pause(_: float) -> None:
        raise ShuttingDown

    bucket = CostBucket(time.monotonic, pause)
    bucket.reserve(2_000)

    with pytest.raises(ShuttingDown):
        bucket.reserve(100)

    assert bucket.available_points == 0


# --- Priorities ---------------------------------------------------------------------------------------------

RESERVE = RESTORE_POINTS_PER_SECOND_DEFAULT  # A second of the refill.


def test_given_a_sweep_then_it_leaves_the_reserve_and_waits_for_the_rest(
    bucket: CostBucket, time: Time
) -> None:
    bucket.reserve(2_000 - RESERVE, Priority.SWEEP)
    assert time.pauses == []

    bucket.reserve(10, Priority.SWEEP)

    assert time.pauses == [pytest.approx(0.1)]
    assert bucket.available_points == pytest.approx(RESERVE)


def test_given_a_waiting_sweep_then_a_card_goes_first_and_at_once(bucket: CostBucket, time: Time) -> None:
    bucket.reserve(2_000 - RESERVE, Priority.SWEEP)
    time.meanwhile = [lambda: bucket.reserve(50)]

    bucket.reserve(10, Priority.SWEEP)

    # The card took its points without a pause; the sweep pauses once more, for what the card took.
    assert time.pauses == [pytest.approx(0.1), pytest.approx(0.5)]


def test_given_cards_that_need_everything_then_a_sweep_is_sent_away_with_nothing_taken(
    bucket: CostBucket, time: Time
) -> None:
    bucket.reserve(2_000)
    time.meanwhile = [lambda: bucket.reserve(RESERVE)] * YIELDS_MAX

    with pytest.raises(Throttled) as throttled:
        bucket.reserve(10, Priority.SWEEP)

    assert throttled.value.wait_seconds == pytest.approx(1.0)
    assert bucket.available_points == pytest.approx(10)


def test_given_a_request_larger_than_the_bucket_less_its_reserve_then_a_full_bucket_is_enough(
    bucket: CostBucket, time: Time
) -> None:
    bucket.reserve(2_000, Priority.SWEEP)

    assert time.pauses == []


@given(st.lists(st.tuples(st.sampled_from(Priority), st.integers(1, 400), st.floats(0, 3)), max_size=60))
def test_given_any_mixture_then_every_sweep_leaves_a_card_the_reserve(
    requests: list[tuple[Priority, int, float]],
) -> None:
    time = Time()
    bucket = CostBucket(time.monotonic, time.pause)
    for priority, points, seconds in requests:
        time.now += seconds
        bucket.settle(bucket.reserve(points, priority), points)
        if priority is Priority.SWEEP:
            assert bucket.available_points >= RESERVE - POINTS_TOLERANCE


def test_the_book_remembers_the_last_cost() -> None:
    book = CostBook()
    assert book.estimate("Read", 5) == 5

    book.learn("Read", 12)

    assert book.estimate("Read", 5) == 12
