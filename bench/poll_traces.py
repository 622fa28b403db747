"""Made-up lives of cards, seeded, and for each kind of life what the best of observers could think of a card.

A `Trace` says when each card is redeemed. Its `Insider` knows how the lives were made, every number of it,
but not which life is whose: Bayes with the true prior, told of each change and its time once a card is read.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sync.decisions.poll_order import DAY

FACE = 10_000


class TracedCard(NamedTuple):
    """One card's fate. Times in seconds, balances in minor units after each redemption."""

    #: When it joins: 0 for those on file at the start.
    joins: float
    balance: int
    redemptions: list[float]
    balances: list[int]
    #: Redemptions per second while it is alive; whether it rests after the last one listed (or all along).
    rate: float
    rests: bool


class Insider(Protocol):
    """What is thought of cards, by number: at what rate redemptions are still to be expected."""

    def meets(self, number: int, card: TracedCard) -> None: ...
    def sees(self, number: int, now: float, changes: Sequence[tuple[float, int]]) -> None: ...
    def rate(self, number: int) -> float: ...


@dataclass(frozen=True)
class Trace:
    """Cards and how long they are watched."""

    name: str
    cards: list[TracedCard]
    days: int
    insider: Callable[[], Insider]
    #: From when on, in seconds, everything goes so many times as fast.
    season: tuple[float, float] = (math.inf, 1.0)

    @property
    def redemptions_per_day(self) -> float:
        return sum(len(card.redemptions) for card in self.cards) / self.days


class _Rates:
    """A prior over rates per second: a grid of a quarter of an e-fold."""

    def __init__(self, rates: Sequence[float], step: float = 0.25) -> None:
        counts: dict[int, int] = {}
        for rate in rates:
            cell = round(math.log(rate) / step)
            counts[cell] = counts.get(cell, 0) + 1
        self.logs = [cell * step for cell in sorted(counts)]
        self.rates = [math.exp(log) for log in self.logs]
        self.odds = [math.log(counts[cell] / len(rates)) for cell in sorted(counts)]


class SteadyInsider:
    """Every card is redeemed at a rate of its own that never changes."""

    def __init__(self, rates: Sequence[float]) -> None:
        self._prior = _Rates(rates)
        self._seen: dict[int, list[float]] = {}  # changes, exposure, since

    def meets(self, number: int, card: TracedCard) -> None:
        self._seen[number] = [0.0, 0.0, card.joins]

    def sees(self, number: int, now: float, changes: Sequence[tuple[float, int]]) -> None:
        seen = self._seen[number]
        seen[0] += len(changes)
        seen[1] += now - seen[2]
        seen[2] = now

    def rate(self, number: int) -> float:
        changes, exposure, _ = self._seen[number]
        p = self._prior
        logs = [o + changes * log - r * exposure for o, log, r in zip(p.odds, p.logs, p.rates, strict=True)]
        top = max(logs)
        odds = [math.exp(log - top) for log in logs]
        return sum(o * r for o, r in zip(odds, p.rates, strict=True)) / sum(odds)


class _Life(NamedTuple):
    """One way in which a burn-down card may be meant."""

    odds: float
    #: What it rests with, in parts of its face value.
    rest: float
    #: Redemptions still to come before the last one; -1: it rests.
    left: int
    #: Which row of likelihoods of rates the time before it joined has left.
    past: int


@dataclass
class _Thought:
    lives: list[_Life]
    pasts: list[list[float]]
    share: float
    since: float
    at: float
    last: float
    changes: int = 0


_REST_BINS = 9


@dataclass
class BurnDownInsider:
    """Sold, redeemed one to four times, then at rest: with nothing, or with 1 to 10 % of the face value."""

    rates: Sequence[float]
    past_days: float
    leftovers: float
    _thoughts: dict[int, _Thought] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._prior = _Rates(self.rates, 0.2)
        # Met without its age: after j redemptions in a time that is even over the past.
        span = self.past_days * DAY
        steps = [span * (i + 0.5) / 60 for i in range(60)]
        counts = [[[_poisson_at(j, r * age) for age in steps] for r in self._prior.rates] for j in range(4)]
        alive = [[sum(ages) / 60 for ages in by_rate] for by_rate in counts]
        self._blind = alive + [
            [max(1 - sum(alive[j][i] for j in range(last)), 1e-12) for i in range(len(self._prior.rates))]
            for last in range(1, 5)
        ]

    def meets(self, number: int, card: TracedCard) -> None:
        share = card.balance / FACE
        pasts = self._blind if card.joins <= 0 else [[1.0] * len(self._prior.rates)]
        lives = []
        for rest, odds in self._rests():
            for n in range(4):
                if share >= 1.0:
                    lives.append(_Life(odds / 4, rest, n, 0))
                    continue
                x = (share - rest) / (1 - rest)
                if x > 0:
                    lives += [
                        _Life(odds / 4 * _order(j, n, x) / (1 - rest), rest, n - j, j)
                        for j in range(1, n + 1)
                    ]
                if (d := self._final(rest, share)) > 0:
                    lives.append(_Life(odds / 4 * d, rest, -1, 4 + n))
        self._thoughts[number] = _Thought(lives, pasts, share, card.joins, card.joins, card.joins)

    def sees(self, number: int, now: float, changes: Sequence[tuple[float, int]]) -> None:
        thought = self._thoughts[number]
        for at, balance in changes:
            share, lives = balance / FACE, []
            for life in thought.lives:
                if life.left == 0:
                    if (d := self._final(life.rest, share)) > 0:
                        lives.append(life._replace(odds=life.odds * d, left=-1))
                elif life.left > 0:
                    top = (thought.share - life.rest) / (1 - life.rest)
                    x = (share - life.rest) / (1 - life.rest)
                    if 0 < x < top:
                        d = life.left * (x / top) ** (life.left - 1) / top / (1 - life.rest)
                        lives.append(life._replace(odds=life.odds * d, left=life.left - 1))
            total = sum(life.odds for life in lives) or 1.0
            thought.lives = [life._replace(odds=life.odds / total) for life in lives]
            thought.share, thought.last = share, at
            thought.changes += 1
        thought.at = now

    def rate(self, number: int) -> float:
        thought = self._thoughts[number]
        going: dict[int, float] = {}
        over: dict[int, float] = {}
        for life in thought.lives:
            side = going if life.left >= 0 else over
            side[life.past] = side.get(life.past, 0.0) + life.odds
        if not going:
            return 0.0
        k, p = thought.changes, self._prior
        watched, lived = thought.at - thought.since, thought.last - thought.since
        top = total = 0.0
        for i, (r, log, odds) in enumerate(zip(p.rates, p.logs, p.odds, strict=True)):
            # Scaled by a day, or the powers of rates would leave the range.
            at_rate = math.exp(odds + k * (log + 11.4) - r * lived)
            on = (
                at_rate
                * math.exp(-r * (watched - lived))
                * sum(w * thought.pasts[b][i] for b, w in going.items())
            )
            total += on
            top += r * on
            if over:
                total += at_rate * sum(w * thought.pasts[b][i] for b, w in over.items())
        return top / total if total > 0 else 0.0

    def _rests(self) -> list[tuple[float, float]]:
        if not self.leftovers:
            return [(0.0, 1.0)]
        bins = [
            (0.01 + 0.09 * (i + 0.5) / _REST_BINS, self.leftovers / _REST_BINS) for i in range(_REST_BINS)
        ]
        return [(0.0, 1 - self.leftovers), *bins]

    def _final(self, rest: float, share: float) -> float:
        if share <= 0 or rest <= 0:
            return float(share <= 0 and rest <= 0)
        half = 0.045 / _REST_BINS
        return 1 / (2 * half) if abs(share - rest) <= half + 1e-4 else 0.0


def _order(j: int, n: int, x: float) -> float:
    """The density of the j-th highest of n even numbers."""
    return (
        math.factorial(n) / math.factorial(j - 1) / math.factorial(n - j) * (1 - x) ** (j - 1) * x ** (n - j)
    )


def _poisson_at(count: int, mean: float) -> float:
    return mean**count / math.factorial(count) * math.exp(-mean)


def zipf_trace(cards: int, per_day: float, days: int, *, exponent: float = 1.1, seed: int = 1) -> Trace:
    """Steady cards: the rate of the i-th is proportional to i^-exponent; topped up, so never empty."""
    chance = random.Random(seed)
    shares = [rank**-exponent for rank in range(1, cards + 1)]
    chance.shuffle(shares)
    scale = per_day / DAY / sum(shares)
    traced = []
    for share in shares:
        times = list(_poisson(chance, share * scale, days * DAY))
        traced.append(TracedCard(0.0, FACE, times, [FACE] * len(times), share * scale, False))
    rates = [card.rate for card in traced]
    return Trace(
        f"Zipf {exponent}, {per_day / cards:g} per card and day", traced, days, lambda: SteadyInsider(rates)
    )


def burn_down_trace(
    cards: int,
    days: int,
    *,
    past_days: float = 60.0,
    gap_days: float = 6.0,
    spread: float = 0.5,
    leftovers: float = 0.0,
    seed: int = 2,
) -> Trace:
    """Cards sold evenly over `past_days` and the days watched: spent in one to four redemptions, then rest.

    Gaps are exponential with a mean of the card's own, log-normal around `gap_days` with a sigma of `spread`.
    `leftovers` is the share of cards that rest with 1 to 10 % of their face value on them.
    """
    chance = random.Random(seed)
    traced = []
    for number in range(cards):
        sold = (number / cards * (past_days + days) - past_days) * DAY
        rate = 1 / (gap_days * DAY * chance.lognormvariate(-spread * spread / 2, spread))
        rest = chance.uniform(0.01, 0.10) if chance.random() < leftovers else 0.0
        levels = sorted((chance.random() for _ in range(chance.randint(0, 3))), reverse=True)
        at, balance, times, balances = sold, FACE, [], []
        for level in (*levels, 0.0):
            at += chance.expovariate(rate)
            after = int(FACE * (rest + (1 - rest) * level))
            if at < 0:
                balance = after
            elif at < days * DAY:
                times.append(at)
                balances.append(after)
        traced.append(TracedCard(max(sold, 0.0), balance, times, balances, rate, at < days * DAY))
    draw = random.Random(seed + 1000)
    rates = [1 / (gap_days * DAY * draw.lognormvariate(-spread * spread / 2, spread)) for _ in range(20_000)]
    return Trace("burn-down", traced, days, lambda: BurnDownInsider(rates, past_days, leftovers))


class _InSeason:
    """An insider who knows that time runs faster in a season."""

    def __init__(self, inner: Insider, began: Callable[[float], float]) -> None:
        self._inner = inner
        self._began = began

    def meets(self, number: int, card: TracedCard) -> None:
        self._inner.meets(number, card._replace(joins=self._began(card.joins)))

    def sees(self, number: int, now: float, changes: Sequence[tuple[float, int]]) -> None:
        self._inner.sees(number, self._began(now), [(self._began(at), balance) for at, balance in changes])

    def rate(self, number: int) -> float:
        return self._inner.rate(number)


def december_trace(
    cards: int, days: int, *, quiet_days: float = 1.5, pace: float = 3.0, **lives: float
) -> Trace:
    """Burn-down; after some days everything, sales and redemptions, goes several times as fast."""
    turn = quiet_days * DAY

    def began(at: float) -> float:
        return at if at < turn else turn + (at - turn) * pace

    def happens(at: float) -> float:
        return at if at < turn else turn + (at - turn) / pace

    long = burn_down_trace(cards, math.ceil(began(days * DAY) / DAY), seed=5, **lives)
    end = days * DAY
    traced = []
    for card in long.cards:
        times = [at for at in map(happens, card.redemptions) if at < end]
        if happens(card.joins) < end:
            traced.append(
                card._replace(
                    joins=happens(card.joins),
                    redemptions=times,
                    balances=card.balances[: len(times)],
                    rests=card.rests and len(times) == len(card.redemptions),
                )
            )
    return Trace("December", traced, days, lambda: _InSeason(long.insider(), began), (turn, pace))


class _Both:
    """An insider who is told which of two kinds a card is of."""

    def __init__(self, first: Insider, second: Insider, firsts: int) -> None:
        self._sides = first, second
        self._firsts = firsts

    def meets(self, number: int, card: TracedCard) -> None:
        self._sides[number >= self._firsts].meets(number, card)

    def sees(self, number: int, now: float, changes: Sequence[tuple[float, int]]) -> None:
        self._sides[number >= self._firsts].sees(number, now, changes)

    def rate(self, number: int) -> float:
        return self._sides[number >= self._firsts].rate(number)


def mixed_trace(cards: int, days: int) -> Trace:
    """Two brands: gifts that burn down, a tenth with leftovers, and steady cards that are topped up."""
    gifts = burn_down_trace(cards - cards // 4, days, leftovers=0.1, seed=8)
    steady = zipf_trace(cards // 4, 0.2 * (cards // 4), days, seed=9)
    firsts = len(gifts.cards)
    return Trace(
        *("two brands", [*gifts.cards, *steady.cards], days),
        lambda: _Both(gifts.insider(), steady.insider(), firsts),
    )


def _poisson(chance: random.Random, rate: float, end: float) -> Iterator[float]:
    at = chance.expovariate(rate)
    while at < end:
        yield at
        at += chance.expovariate(rate)
