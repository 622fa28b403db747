"""Which card to read next, on a side that cannot say what changed. Pure: no I/O, no clock, no randomness.

Time is in seconds since any fixed moment, rates are changes per second, money is in minor units.

**What is minimised.** A card that changes λ times a second and is read every T seconds keeps a change
waiting for T/2 on average, so all cards together cost Σ λT/2. Under a budget Σ 1/T = B the least is reached
at T ∝ 1/√λ (Sia, Cho & Cho 2007, who poll news feeds). Cho & Garcia-Molina 2003 and Azar et al. 2018 solve
the kin problem of pages that are fresh or not, where reading a page that changes too fast can be futile;
money has no such case, every redemption must be found. The cost is linear in λ, so when λ is uncertain its
posterior mean takes its place.

**How λ is learned.** A card's own history is short, so it borrows from the population (empirical Bayes):
cards with a like history (how much is spent, how many changes, how long quiet, how long watched) share a
cell, and a cell learns how often a poll of such a card finds a change. A cell with little data leans on a
coarser one. Nothing is assumed about the shape of the rates: steady cards with very different rates and
cards that burn down and rest are both just cells. A read says only *changed* or *not changed*, so a changed
one counts as the expected number of changes given at least one: the step of an expectation-maximisation
that removes the bias which Cho & Garcia-Molina 2003 (on estimating frequencies) warn of. Changes that a
webhook or a receipt told first lengthen a card's history but are not credited to polling: a cell's rate is
that of changes *only a poll* would find (Kolobov et al. 2019 and Busa-Fekete et al. 2025 weigh signals and
polls against each other likewise).

**How the budget is spent.** Each card is a flow with weight √λ (nearly) in a self-clocked fair queue: read
the card with the lowest `turn`, then put it back 1/weight later. Only the order of turns matters, so the
budget is always used up and never exceeded, whatever the estimates are, and no controller is needed. A card
that was not read for `PollBudget.overdue_seconds` goes first: no estimate, however wrong, starves a card.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

DAY = 86_400.0

#: What a card is believed to do before anything is known. Only ratios between cards matter: no setting.
FIRST_GUESS = 1.0 / (30 * DAY)
#: Changes added to a card's own count, as if seen before: a card is never given a rate of nought.
OWN_PRIOR = 0.5
#: A card's weight is its rate to this power. A half makes the mean delay least, but the optimum is flat: a
#: little less costs the mean a hundredth and takes a twentieth off the 95th percentile, where rarely used
#: cards wait, whose rates are known the least.
WEIGHT_POWER = 0.45
#: How many expected changes of the coarser cell a cell's own data must outweigh, from coarse to fine.
CELL_PRIORS = (2.0, 4.0, 6.0)
#: A card's rate rests on about its last so many changes, so that it can cool or heat.
MEMORY_CHANGES = 32.0
#: The population forgets half of what it learned in this time, so that it follows the year.
HALF_LIFE = 45 * DAY
#: At most this share of the largest balance seen is a remnant.
REMNANT_SHARE = 0.1

_N_MAX = 9
_QUIET_MAX = 10
_NOTHING = (0.0, 0.0)


# How far a card is spent: the plainest sign of whether it will change again. Plain integers, because they are
# parts of a cell's number.
_EMPTY, _REMNANT, _USED, _FULL = range(4)
#: The first belief about each, relative to the card's own rate; the first few changes overrule it.
_SPENT_PRIOR = (1 / 16, 1 / 2, 1.0, 1.0)


class ReadBy(StrEnum):
    """Why a card was read."""

    TURN = "turn"
    #: Ahead of its turn, because of the bound, or by the way (before an effect, or by a person).
    OVERDUE = "overdue"
    #: A webhook, a receipt or another feed said that it changed.
    HINT = "hint"


@dataclass(frozen=True)
class PollBudget:
    """What polling a side may cost. The worker asks `choose` for at most its rate times the elapsed time."""

    reads_per_second: float
    #: Every card is read within this many rotations (one takes cards / reads_per_second). One less is the age
    #: at which it goes first, whose reciprocal is the most that cards which never change can cost: a ninth.
    sweep_factor: float = 10.0
    #: No card is read again sooner than this, in turn.
    shortest_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.reads_per_second <= 0 or self.sweep_factor <= 1 or self.shortest_seconds < 0:
            raise ValueError("a budget needs reads, and a sweep factor above 1")

    def bound_seconds(self, cards: int) -> float:
        """No card stays unread for longer, whatever its estimate, as long as the reads are made."""
        return self.sweep_factor * cards / self.reads_per_second

    def overdue_seconds(self, cards: int) -> float:
        """A card unread for so long goes first, oldest first.

        Only cards that were read before it can be ahead of it, and each only once: it waits for at most one
        rotation more, which makes the bound a promise.
        """
        return (self.sweep_factor - 1.0) * cards / self.reads_per_second


class PollHistory(NamedTuple):
    """What is kept per presence. A tuple, because a million of them are made every few days."""

    #: Seen from its sale on; otherwise its youth is unknown.
    issued: bool
    #: Seconds for which it has been watched, and changes in them (an expectation, so not whole).
    exposure: float
    changes: float
    #: When it is believed to have changed last, or when watching began.
    changed_at: float
    polled_at: float
    balance_minor: int
    #: The largest balance seen.
    peak_minor: int
    #: Changes per second that only a poll would find: the posterior mean.
    rate: float
    #: Its share of the budget, about √rate, with a floor; part of `PollPopulation.weight`.
    weight: float
    #: Its place in the order of reads, in virtual time: the lowest is next.
    turn: float


class PollUpdate(NamedTuple):
    """What one event adds to the population. Additions commute: the order within a batch does not matter."""

    cards: int
    weight: float
    #: The turn that was served; the population's clock is the highest.
    clock: float
    #: The cells credited, coarse to fine; empty when nothing was learned.
    cells: tuple[int, ...]
    #: Changes that polling found, changes that the card's own rate led to expect, and seconds watched.
    found: float
    expected: float
    exposure: float


@dataclass(frozen=True)
class PollPopulation:
    """What all cards of a side teach about each. Some hundreds of cells, whatever the number of cards."""

    cards: int = 0
    #: The sum of all cards' weights.
    weight: float = 0.0
    #: Virtual time: the highest turn served.
    clock: float = 0.0
    found: float = 0.0
    exposure: float = 0.0
    #: When the past was last discounted; nought before the first time.
    discounted_at: float = 0.0
    #: (changes found, changes that the cards' own rates led to expect) by cell, all levels together.
    cells: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def mean_rate(self) -> float:
        """Changes per card and second that polling finds."""
        return (self.found + 1.0) / (self.exposure + 1.0 / FIRST_GUESS)

    def absorb(self, updates: Iterable[PollUpdate], now: float) -> PollPopulation:
        """This population with a batch of updates added. The result does not depend on the batch's order."""
        batch = list(updates)
        gained: dict[int, tuple[list[float], list[float]]] = {}
        for update in batch:
            for key in update.cells:
                gain = gained.get(key)
                if gain is None:
                    gain = gained[key] = ([], [])
                gain[0].append(update.found)
                gain[1].append(update.expected)
        keep, discounted_at = self._discount(now)
        cells = (
            {k: (f * keep, e * keep) for k, (f, e) in self.cells.items()} if keep < 1 else dict(self.cells)
        )
        for key, (found, expected) in gained.items():
            f, e = cells.get(key, _NOTHING)
            # fsum is exact before it rounds once; a plain sum would depend on the order.
            cells[key] = (math.fsum((f, *found)), math.fsum((e, *expected)))
        return PollPopulation(
            cards=max(self.cards + sum(u.cards for u in batch), 0),
            weight=max(math.fsum((self.weight, *(u.weight for u in batch))), 0.0),
            clock=max((self.clock, *(u.clock for u in batch))),
            found=math.fsum((self.found * keep, *(u.found for u in batch))),
            exposure=math.fsum((self.exposure * keep, *(u.exposure for u in batch))),
            discounted_at=discounted_at,
            cells=cells,
        )

    def to_json(self) -> str:
        """As text; `from_json` gives the same population back."""
        plain = {
            "cards": self.cards,
            "weight": self.weight,
            "clock": self.clock,
            "found": self.found,
            "exposure": self.exposure,
            "discounted_at": self.discounted_at,
            "cells": {str(key): list(self.cells[key]) for key in sorted(self.cells)},
        }
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> PollPopulation:
        """The population that `to_json` wrote."""
        plain = json.loads(text)
        cells = {
            int(key): (float(found), float(expected)) for key, (found, expected) in plain["cells"].items()
        }
        return cls(**{**plain, "cells": cells})

    def _discount(self, now: float) -> tuple[float, float]:
        # Once a day: often enough for a half-life of weeks, and the cells are not rewritten by every batch.
        if not self.discounted_at:
            return 1.0, now
        passed = now - self.discounted_at
        return (0.5 ** (passed / HALF_LIFE), now) if passed >= DAY else (1.0, self.discounted_at)


class Candidate(NamedTuple):
    """A card that may be read."""

    card_id: int
    turn: float
    #: When it was asked last, whether it was answered or not: a card that cannot be read keeps none waiting.
    polled_at: float


def first_poll(
    population: PollPopulation,
    budget: PollBudget,
    now: float,
    *,
    balance_minor: int,
    issued: bool,
    phase: float,
) -> tuple[PollHistory, PollUpdate]:
    """A card joins with a balance just read.

    `phase`, in (0, 1], is the part of its interval until its first turn: 1 for a card that comes alone,
    spread evenly (by a hash of its id) when many come at once, or they would all be read together for ever.
    `issued`: it was just sold, so that its youth is known.
    """
    rate = _rate(population, 0.0, 0.0, 0.0, _spent(balance_minor, balance_minor), issued)
    weight = _weight(population, budget, rate)
    turn = population.clock + phase / weight
    history = PollHistory(issued, 0.0, 0.0, now, now, balance_minor, balance_minor, rate, weight, turn)
    return history, PollUpdate(1, weight, 0.0, (), 0.0, 0.0, 0.0)


def polled(
    population: PollPopulation,
    budget: PollBudget,
    history: PollHistory,
    now: float,
    *,
    changed: bool,
    balance_minor: int,
    by: ReadBy = ReadBy.TURN,
) -> tuple[PollHistory, PollUpdate]:
    """A card was read. `changed`: it moved since the last read by another hand than giftsync's."""
    waited = max(now - history.polled_at, 0.0)
    spent = _spent(history.balance_minor, history.peak_minor)
    quiet = history.polled_at - history.changed_at
    # The cell of the moment it was last read: what a cell learns is what happens until the next read.
    cells, own_rate = _cells(population, history.changes, history.exposure, quiet, spent, history.issued)
    count = _changes_given_one(history.rate * waited) if changed else 0.0
    hinted = by is ReadBy.HINT
    changes, exposure = history.changes + count, history.exposure + waited
    if changes > MEMORY_CHANGES:
        changes, exposure = MEMORY_CHANGES, exposure * MEMORY_CHANGES / changes
    changed_at = history.changed_at
    if changed:
        # A hint comes at once; a poll later: the last of `count` changes is so old on average.
        changed_at = now if hinted else now - waited / (count + 1.0)
    peak = max(history.peak_minor, balance_minor)
    rate = _rate(population, changes, exposure, now - changed_at, _spent(balance_minor, peak), history.issued)
    weight = _weight(population, budget, rate)
    # In turn, the next turn counts from this one, so that waiting in the queue does not lengthen intervals;
    # but never from before the clock, or a card that was held back would gather a claim on the budget.
    served = max(history.turn, population.clock) if by is ReadBy.TURN else population.clock
    found = 0.0 if hinted else count
    update = PollUpdate(0, weight - history.weight, served, cells, found, own_rate * waited, waited)
    return (
        PollHistory(
            history.issued,
            exposure,
            changes,
            changed_at,
            now,
            balance_minor,
            peak,
            rate,
            weight,
            served + 1.0 / weight,
        ),
        update,
    )


def unanswered(population: PollPopulation, history: PollHistory) -> tuple[PollHistory, PollUpdate]:
    """A card was asked in vain: it has had its turn, and nothing was learned."""
    served = max(history.turn, population.clock)
    later = history._replace(turn=served + 1.0 / history.weight)
    return later, PollUpdate(0, 0.0, served, (), 0.0, 0.0, 0.0)


def forgotten(history: PollHistory) -> PollUpdate:
    """A card left (closed, or gone): its share goes to the others."""
    return PollUpdate(-1, -history.weight, 0.0, (), 0.0, 0.0, 0.0)


def choose(
    population: PollPopulation,
    budget: PollBudget,
    now: float,
    in_turn: Sequence[Candidate],
    oldest: Sequence[Candidate],
    limit: int,
) -> list[tuple[int, ReadBy]]:
    """At most `limit` cards to read now, in order, none twice.

    `in_turn` are the cards with the lowest turns, `oldest` those with the lowest `polled_at`, at least
    `limit` of each (if there are so many), both ascending: two indexed queries, whatever the number of cards.
    """
    overdue_at = now - budget.overdue_seconds(population.cards)
    chosen: dict[int, ReadBy] = {}
    for card in oldest:
        if card.polled_at > overdue_at or len(chosen) >= limit:
            break
        chosen[card.card_id] = ReadBy.OVERDUE
    rested_at = now - budget.shortest_seconds
    for card in in_turn:
        if len(chosen) >= limit:
            break
        if card.polled_at <= rested_at:
            chosen.setdefault(card.card_id, ReadBy.TURN)
    return list(chosen.items())


def _spent(balance_minor: int, peak_minor: int) -> int:
    if balance_minor <= 0:
        return _EMPTY
    if balance_minor >= peak_minor:
        return _FULL
    return _REMNANT if balance_minor <= peak_minor * REMNANT_SHARE else _USED


def _changes_given_one(expected: float) -> float:
    """The mean of a Poisson count that is known to be at least 1."""
    return expected / -math.expm1(-expected) if expected > 1e-9 else 1.0


def _weight(population: PollPopulation, budget: PollBudget, rate: float) -> float:
    """About √rate, and at least so much that the card's own turn comes before it is overdue."""
    weight: float = rate**WEIGHT_POWER
    if not population.cards:
        return weight
    return max(weight, population.weight / (population.cards * (budget.sweep_factor - 1.0)))


def _cells(
    population: PollPopulation, changes: float, exposure: float, quiet: float, spent: int, issued: bool
) -> tuple[tuple[int, int, int], float]:
    """The cells of a history, coarse to fine, and the card's own rate, which the cells correct.

    Cells hold a *factor* on the card's own rate, not a rate: a factor varies so little within a cell that
    wide cells will do, and wide cells learn fast.
    """
    own_rate = (changes + OWN_PRIOR) / (exposure + OWN_PRIOR / population.mean_rate)
    n = _bucket_of_count(changes)
    if n == 0:
        still = int(issued)
    else:
        # How many changes its quiet time would have held at its own rate: what tells a card at rest.
        missed = own_rate * quiet
        still = 2 + (0 if missed < 0.125 else min(math.frexp(missed * 8.0)[1], _QUIET_MAX - 2))
    watched = min(int(exposure).bit_length(), 31)
    coarse = spent * (_N_MAX + 1) + n
    middle = coarse * (_QUIET_MAX + 1) + still
    # Two low bits for the level: one mapping holds all three.
    return (coarse * 4, middle * 4 + 1, (middle * 32 + watched) * 4 + 2), own_rate


def _bucket_of_count(changes: float) -> int:
    """0, 1, 2, 3, 4, 5-6, 7-10, 11-16, 17-29, more: equal steps of what a count can still tell."""
    if changes < 4.5:
        return int(changes + 0.5)
    for bucket, end in ((5, 6.5), (6, 10.5), (7, 16.5), (8, 29.5)):
        if changes < end:
            return bucket
    return _N_MAX


def _rate(
    population: PollPopulation, changes: float, exposure: float, quiet: float, spent: int, issued: bool
) -> float:
    """The posterior mean of a card's rate: its own rate times the factor of its cell."""
    cells, own_rate = _cells(population, changes, exposure, quiet, spent, issued)
    factor = _SPENT_PRIOR[spent]
    for key, prior in zip(cells, CELL_PRIORS, strict=True):
        found, expected = population.cells.get(key, _NOTHING)
        factor = (found + prior) / (expected + prior / factor)
    return own_rate * factor
