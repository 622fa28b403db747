"""When what is in doubt is looked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.api.effect import EffectKind
from sync.decisions.looks import FIRST_LOOK_SECONDS, IDEMPOTENT, first_look, next_look

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def _looks(quiet_seconds: float) -> list[float]:
    """Seconds from the doubt to each look that finds nothing, the last at the end of the quiet period."""
    until = NOW + timedelta(seconds=quiet_seconds)
    looks = [first_look(EffectKind.DEBIT, NOW, quiet_seconds)]
    while looks[-1] < until:
        looks.append(next_look(looks[-1], until, quiet_seconds))
    return [(look - NOW).total_seconds() for look in looks]


def test_given_a_minute_of_quiet_then_nine_looks_double_up_to_its_end() -> None:
    assert _looks(60) == [0.3, 0.6, 1.2, 2.4, 4.8, 9.6, 19.2, 38.4, 60]


@pytest.mark.parametrize(("quiet_seconds", "looks_max"), [(0, 1), (0.1, 1), (1, 3), (300, 12), (3600, 15)])
def test_given_any_quiet_period_then_the_looks_are_few_and_the_last_is_at_its_end(
    quiet_seconds: float, looks_max: int
) -> None:
    looks = _looks(quiet_seconds)

    assert len(looks) <= looks_max
    assert looks[-1] == quiet_seconds
    assert looks == sorted(set(looks))


@pytest.mark.parametrize("kind", sorted(IDEMPOTENT))
def test_given_what_is_simply_written_again_then_there_is_no_look_before_the_end(kind: EffectKind) -> None:
    assert first_look(kind, NOW, 60) == NOW + timedelta(seconds=60)


def test_given_a_side_that_cannot_be_asked_when_quiet_is_over_then_it_is_asked_soon_and_then_seldom() -> None:
    waits, now = [], NOW
    for _ in range(12):
        later = next_look(now, NOW, 60)
        waits.append((later - now).total_seconds())
        now = later

    assert waits[0] == FIRST_LOOK_SECONDS
    assert waits == sorted(waits)
    assert waits[-1] == 60
