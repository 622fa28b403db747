"""How often a card will change: what is known of it, in the light of all others. Pure: no I/O, no clock.

**The model** is "buy till you die" (Fader, Hardie & Lee 2005, who count customers): a card changes at a
rate of its own, and after any change it may rest for ever. Then only three numbers of its past matter: how
many changes, in what time, and for how long it has been quiet since. How far it is spent says how likely it
rests; how it was met (on its sale, with a round amount, an odd one, or nothing) says what it did before
anybody watched.

**How the model learns.** Rates are spread over steps of two, a Gamma distribution each, so that any spread
can be told, steady or wild. Which part of the cards is of which step, and which part rests, is fitted to
the cards themselves by expectation-maximisation (empirical Bayes: Robbins 1956, Laird 1978). Cards with a
like past are one row of this, so that a fit costs the same for a million cards as for a thousand. A kind
with few cards leans on all cards, and all cards on a first belief. That one rests is never seen; that one
went on is, so both are counted: cards at rest stay, and without the others they would seem to be all there
are.

Time is in days in here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, NamedTuple

#: How a card was met. Part of what is kept: never renumber. Odd amounts follow, by size in steps of four.
SOLD, EMPTY, ROUND, ODD = range(4)
ALL = -1


class Spent(IntEnum):
    """How far a card is spent now. Part of what is kept: never renumber."""

    EMPTY = 0
    REMNANT = 1
    USED = 2
    FULL = 3


class Past(NamedTuple):
    """What is known of one card."""

    #: How it was met: see `kind_of`.
    kind: int
    spent: Spent
    #: Changes, the time in which they happened, and the time without any at its end.
    changes: float
    days: float
    quiet: float


#: A card's weight is its rate to this power. A half makes the mean delay least, but the optimum is flat: a
#: little less costs the mean a hundredth and takes a twentieth off the 95th percentile, where rarely used
#: cards wait, whose rates are known the least.
WEIGHT_POWER = 0.45
#: At most this share of the largest balance seen is a remnant.
REMNANT_SHARE = 0.1
#: A card that is met with a multiple of this on it is probably as it was sold.
_ROUND_MINOR = 1_000

#: The Gamma distributions: their shape, and their mean times between two changes, eight years to ten seconds.
_SHAPE = 3.0
_POWERS = range(11, -14, -1)
_MEANS = tuple(2.0**power for power in _POWERS)
_SCALES = tuple(_SHAPE * mean for mean in _MEANS)
_FACTORS = tuple(scale**_SHAPE for scale in _SCALES)
#: The first belief: a change in 32 days, and each step from there is less likely by so much.
_FIRST_POWER, _AWAY = 5, 0.5
_FIRST_STEPS = tuple(
    _AWAY ** abs(power - _FIRST_POWER) / sum(_AWAY ** abs(other - _FIRST_POWER) for other in _POWERS)
    for power in _POWERS
)
#: The first belief that a card rests: by how it was met, and once it changed by how far it is spent.
_FIRST_RESTS_AS_MET = {SOLD: 0.02, EMPTY: 0.998, ROUND: 0.1, ODD: 0.3}
_FIRST_RESTS = {Spent.EMPTY: 0.998, Spent.REMNANT: 0.5, Spent.USED: 0.1, Spent.FULL: 0.02}
#: What beliefs are worth, in cards: the first about rates, the one of all cards about a kind's, about rest.
_FIRST_CARDS, _ALL_CARDS, _REST_CARDS = 10.0, 10.0, 5.0
#: The keys of `Rates.rests`: as met below this, from here on how far it is spent.
_CHANGED = 24
#: Of expectation-maximisation, in one fit; the next goes on from there.
_ROUNDS = 3
_NO_CARDS = (0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Rates:
    """What the cards of a side teach about each other's rates. Some hundred rows, whatever their number."""

    #: (cards, changes, days, quiet days) of the cards with a like past, summed up.
    rows: Mapping[int, tuple[int, float, float, float]] = field(default_factory=dict)
    #: Cards that changed again, by `_rest_key` of what they were before.
    went_on: Mapping[int, int] = field(default_factory=dict)
    #: Which part of a kind's cards is of each step; `ALL` is of all kinds.
    steps: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    #: Which part rests, by `_rest_key`.
    rests: Mapping[int, float] = field(default_factory=dict)

    def to_plain(self) -> dict[str, object]:
        """As JSON has it; `of_plain` gives the same back."""
        return {
            "rows": {str(key): self.rows[key] for key in sorted(self.rows)},
            "went_on": {str(key): self.went_on[key] for key in sorted(self.went_on)},
            "steps": {str(key): self.steps[key] for key in sorted(self.steps)},
            "rests": {str(key): self.rests[key] for key in sorted(self.rests)},
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Rates:
        """The rates that `to_plain` wrote."""
        return cls(
            rows={
                int(key): (int(row[0]), float(row[1]), float(row[2]), float(row[3]))
                for key, row in plain["rows"].items()
            },
            went_on={int(key): int(cards) for key, cards in plain["went_on"].items()},
            steps={int(key): tuple(parts) for key, parts in plain["steps"].items()},
            rests={int(key): float(part) for key, part in plain["rests"].items()},
        )

    def rate(self, past: Past) -> float:
        """Changes a day: the posterior mean."""
        likely = self._likely(past)
        return likely.rate / (math.fsum(likely.going) + math.fsum(likely.resting))

    def chance(self, past: Past, wait: float) -> float:
        """How likely a change is within so many days."""
        now = self._likely(past)
        later = self._likely(past._replace(days=past.days + wait, quiet=past.quiet + wait))
        going = math.fsum(now.going)
        return max(going - math.fsum(later.going), 0.0) / (going + math.fsum(now.resting))

    def weight(self, rate: float) -> float:
        """A card's part of the reads, about √rate; one for a card that goes on and of which nothing is known.

        So a turn stays what it was while the rates are learned, and a card that waits for its first read is
        not overtaken by all that were read since.
        """
        steps = self.steps.get(ALL, _FIRST_STEPS)
        unknown = math.fsum(part / mean for part, mean in zip(steps, _MEANS, strict=True))
        return float((rate / unknown) ** WEIGHT_POWER)

    def counted(self, gone: Iterable[Past], came: Iterable[Past], changed: Iterable[Past] = ()) -> Rates:
        """With some pasts taken out, others put in, and some (as they were) that have changed since.

        The result does not depend on the order.
        """
        moved: dict[int, list[tuple[int, Past]]] = {}
        for pasts, sign in ((gone, -1), (came, 1)):
            for past in pasts:
                moved.setdefault(_row(past), []).append((sign, past))
        rows = dict(self.rows)
        for key, moves in moved.items():
            cards, changes, days, quiet = rows.get(key, _NO_CARDS)
            cards += sum(sign for sign, _ in moves)
            if cards <= 0:
                rows.pop(key, None)
                continue
            rows[key] = (
                cards,
                # fsum is exact before it rounds once; a plain sum would depend on the order.
                math.fsum((changes, *(sign * past.changes for sign, past in moves))),
                math.fsum((days, *(sign * past.days for sign, past in moves))),
                math.fsum((quiet, *(sign * past.quiet for sign, past in moves))),
            )
        went_on = dict(self.went_on)
        for past in changed:
            key = _rest_key(past)
            went_on[key] = went_on.get(key, 0) + 1
        return replace(self, rows=rows, went_on=went_on)

    def fitted(self) -> Rates:
        """With steps and rests that suit the rows better."""
        if not self.rows:
            return self
        rates = self
        for _ in range(_ROUNDS):
            rates = rates._maximised()
        return rates

    def _maximised(self) -> Rates:
        by_kind: dict[int, list[float]] = {}
        rest: dict[int, tuple[float, int]] = {}
        for key, row in sorted(self.rows.items()):
            past, cards = _mean_past(key, *row), row[0]
            likely = self._likely(past)
            resting = math.fsum(likely.resting)
            each = cards / (math.fsum(likely.going) + resting)
            sums = by_kind.setdefault(past.kind, [0.0] * len(_SCALES))
            for step, (one, other) in enumerate(zip(likely.going, likely.resting, strict=True)):
                sums[step] += (one + other) * each
            before = rest.get(_rest_key(past), (0.0, 0))
            rest[_rest_key(past)] = before[0] + resting * each, before[1] + cards
        everyone = _leaning(
            [math.fsum(parts) for parts in zip(*by_kind.values(), strict=True)], _FIRST_STEPS, _FIRST_CARDS
        )
        return replace(
            self,
            steps={ALL: everyone}
            | {kind: _leaning(sums, everyone, _ALL_CARDS) for kind, sums in by_kind.items()},
            rests={
                key: (resting + _REST_CARDS * _first_rest(key))
                / (cards + self.went_on.get(key, 0) + _REST_CARDS)
                for key, (resting, cards) in rest.items()
            },
        )

    def _likely(self, past: Past) -> _Likely:
        key = _rest_key(past)
        rest = self.rests.get(key)
        if rest is None:
            rest = _first_rest(key)
        steps = self.steps.get(past.kind) or self.steps.get(ALL, _FIRST_STEPS)
        power = _SHAPE + past.changes
        days, lived, rate = past.days, max(past.days - past.quiet, 0.0), 0.0
        going, resting = [], []
        for step, factor, scale in zip(steps, _FACTORS, _SCALES, strict=True):
            odds, at = step * factor, scale + days
            alive = (1.0 - rest) * odds * at**-power
            going.append(alive)
            rate += alive * power / at
            resting.append(rest * odds * (scale + lived) ** -power)
        return _Likely(going, resting, rate)


class _Likely(NamedTuple):
    """How likely a past is by step, of a card that goes on and of one at rest; and the rates so weighted."""

    going: list[float]
    resting: list[float]
    rate: float


def kind_of(balance_minor: int, *, sold: bool) -> int:
    """How a card is met: what its balance says of what it did before."""
    if sold:
        return SOLD
    if balance_minor <= 0:
        return EMPTY
    if balance_minor % _ROUND_MINOR == 0:
        return ROUND
    return min(ODD + balance_minor.bit_length() // 2, _CHANGED - 1)


def spent_of(balance_minor: int, peak_minor: int) -> Spent:
    """How far a card is spent that has had as much as `peak_minor`."""
    if balance_minor <= 0:
        return Spent.EMPTY
    if balance_minor >= peak_minor:
        return Spent.FULL
    return Spent.REMNANT if balance_minor <= peak_minor * REMNANT_SHARE else Spent.USED


def _rest_key(past: Past) -> int:
    return _CHANGED + past.spent if past.changes > 0 else past.kind


def _first_rest(key: int) -> float:
    return _FIRST_RESTS_AS_MET[min(key, ODD)] if key < _CHANGED else _FIRST_RESTS[Spent(key - _CHANGED)]


def _leaning(cards: list[float], towards: tuple[float, ...], weight: float) -> tuple[float, ...]:
    """The part of each step, as if `weight` more cards had been seen that are spread like `towards`."""
    total = math.fsum(cards) + weight
    return tuple((part + weight * other) / total for part, other in zip(cards, towards, strict=True))


def _row(past: Past) -> int:
    """The row of a past: in steps of four in time, two in quiet, less in changes."""
    n = 0 if past.changes <= 0 else next((n for n, end in _COUNTS if past.changes < end), len(_COUNTS) + 1)
    watched = min((int(past.days * 24.0).bit_length() + 1) // 2, 15)
    missed = past.changes * past.quiet / past.days if n and past.days > 0 else 0.0
    still = min(int(missed * 2.0).bit_length(), 7)
    return (((n * 16 + watched) * 8 + still) * _CHANGED + past.kind) * len(Spent) + past.spent


_COUNTS = tuple(enumerate((1.5, 2.5, 3.5, 5.5, 9.5, 18.5), 1))


def _mean_past(key: int, cards: int, changes: float, days: float, quiet: float) -> Past:
    rest, spent = divmod(key, len(Spent))
    return Past(rest % _CHANGED, Spent(spent), *(max(total / cards, 0.0) for total in (changes, days, quiet)))
