"""Which card to read next, on a side that cannot say what changed. Pure: no I/O, no clock, no randomness.

Time is in seconds since any fixed moment, rates are changes per second, money is in minor units.

**What is minimised.** A card that changes λ times a second and is read every T seconds keeps a change
waiting for T/2 on average, so all cards together cost Σ λT/2. Under a budget Σ 1/T = B the least is reached
at T ∝ 1/√λ (Sia, Cho & Cho 2007, who poll news feeds). Cho & Garcia-Molina 2003 and Azar et al. 2018 solve
the kin problem of pages that are fresh or not, where reading a page that changes too fast can be futile;
money has no such case, every redemption must be found. The cost is linear in λ, so when λ is uncertain its
posterior mean takes its place.

**How λ is learned.** `sync.decisions.redemption_rates` says what a card's past and all other cards let
expect. A read says only *changed* or *not changed*; Cho & Garcia-Molina 2003 (on estimating frequencies)
warn of counting such reads. Its likelihood, 1 - exp(-λT), is replaced by that of a count in a time, with
the same slope and curvature, so that it adds up like what a hint tells. Last comes a factor by cell, cards
that are spent, changed and quiet alike: how often polls of such cards find a change, and how often the
model led to expect one. It is about one, but where webhooks and receipts tell first: what counts is changes
*only a poll* would find (Kolobov et al. 2019 and Busa-Fekete et al. 2025 weigh signals and polls against
each other likewise).

**How the budget is spent.** Each card is a queue with weight √λ (nearly) in a self-clocked fair queue: read
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
from typing import Any, NamedTuple

from sync.decisions.redemption_rates import Past, Rates, kind_of, spent_of

DAY = 86_400.0

#: How many expected changes a cell's own data must outweigh, from coarse to fine.
CELL_PRIORS = (200.0, 200.0)
#: A card's rate rests on about its last so many changes, so that it can cool or heat.
MEMORY_CHANGES = 32.0
#: The population forgets half of what it learned in this time, so that it follows the year.
HALF_LIFE = 45 * DAY
#: The rates are fitted anew after so many reads, or once so many parts of all cards were read.
FIT_READS, FIT_PARTS = 64, 32

_NOTHING = (0.0, 0.0)


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

    #: How it was met.
    kind: int
    #: Seconds for which it has been watched, and changes in them (an expectation, so not whole).
    exposure: float
    changes: float
    #: When it was last found changed, or when watching began.
    changed_at: float
    polled_at: float
    balance_minor: int
    #: The largest balance seen.
    peak_minor: int
    #: Changes per second that only a poll would find: the posterior mean.
    rate: float
    #: Its share of the budget, about √rate, one for an unknown card, with a floor.
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
    #: Whether polling found a change, and how likely that was.
    found: float
    expected: float
    #: What was known of the card, and what is known now; None: it joins, or leaves.
    gone: Past | None = None
    came: Past | None = None
    changed: bool = False


@dataclass(frozen=True)
class PollPopulation:
    """What all cards of a side teach about each. Some hundreds of cells, whatever the number of cards."""

    cards: int = 0
    #: The sum of all cards' weights.
    weight: float = 0.0
    #: Virtual time: the highest turn served.
    clock: float = 0.0
    #: When the past was last discounted; nought before the first time.
    discounted_at: float = 0.0
    #: (changes found, changes that the model led to expect) by cell, both levels together.
    cells: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    rates: Rates = field(default_factory=Rates)
    #: Reads since the rates were fitted.
    unfitted: int = 0

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
        cards = max(self.cards + sum(u.cards for u in batch), 0)
        rates = self.rates.counted(
            [u.gone for u in batch if u.gone is not None],
            [u.came for u in batch if u.came is not None],
            [u.gone for u in batch if u.changed and u.gone is not None],
        )
        unfitted = self.unfitted + len(batch)
        if unfitted >= max(FIT_READS, cards / FIT_PARTS):
            rates, unfitted = rates.fitted(), 0
        return PollPopulation(
            cards=cards,
            weight=max(math.fsum((self.weight, *(u.weight for u in batch))), 0.0),
            clock=max((self.clock, *(u.clock for u in batch))),
            discounted_at=discounted_at,
            cells=cells,
            rates=rates,
            unfitted=unfitted,
        )

    def to_json(self) -> str:
        """As text, without what `rates_to_json` has: releases before it read this."""
        plain = {
            "cards": self.cards,
            "weight": self.weight,
            "clock": self.clock,
            "discounted_at": self.discounted_at,
            "cells": {str(key): self.cells[key] for key in sorted(self.cells)},
        }
        return json.dumps(plain, separators=(",", ":"))

    def rates_to_json(self) -> str:
        """The rates as text; `from_json` gives the same population back from both."""
        plain = {**self.rates.to_plain(), "unfitted": self.unfitted}
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, rates: str | None) -> PollPopulation:
        """The population that `to_json` and `rates_to_json` wrote; what cannot be read is learned anew."""
        try:
            return cls._of_plain(json.loads(text), json.loads(rates) if rates else None)
        except (ValueError, TypeError, LookupError, AttributeError):
            return cls()

    @classmethod
    def _of_plain(cls, plain: Any, learned: Any) -> PollPopulation:
        return cls(
            cards=plain["cards"],
            weight=plain["weight"],
            clock=plain["clock"],
            discounted_at=plain["discounted_at"],
            cells={int(key): (float(found), float(due)) for key, (found, due) in plain["cells"].items()},
            rates=Rates.of_plain(learned) if learned else Rates(),
            unfitted=learned["unfitted"] if learned else 0,
        )

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
    kind = kind_of(balance_minor, sold=issued)
    history = PollHistory(kind, 0.0, 0.0, now, now, balance_minor, balance_minor, 0.0, 1.0, 0.0)
    past = _past(history)
    rate = _rate(population, past)
    weight = _weight(population, budget, rate, joins=True)
    history = history._replace(rate=rate, weight=weight, turn=population.clock + phase / weight)
    return history, PollUpdate(1, weight, 0.0, (), 0.0, 0.0, came=past)


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
    # As it was when it was last read: what a cell learns is what happens until the next read.
    before = _past(history)
    hinted = by is ReadBy.HINT
    changes, exposure = history.changes, history.exposure + waited
    if changed and hinted:
        changes += 1.0
    elif changed:
        count, within = _at_least_one(history.rate, waited)
        changes, exposure = changes + count, history.exposure + within
    if changes > MEMORY_CHANGES:
        changes, exposure = MEMORY_CHANGES, exposure * MEMORY_CHANGES / changes
    after = history._replace(
        exposure=exposure,
        changes=changes,
        changed_at=now if changed else history.changed_at,
        polled_at=now,
        balance_minor=balance_minor,
        peak_minor=max(history.peak_minor, balance_minor),
    )
    past = _past(after)
    rate = _rate(population, past)
    weight = _weight(population, budget, rate)
    # In turn, the next turn counts from this one, so that waiting in the queue does not lengthen intervals;
    # but never from before the clock, or a card that was held back would gather a claim on the budget.
    served = max(history.turn, population.clock) if by is ReadBy.TURN else population.clock
    update = PollUpdate(
        cards=0,
        weight=weight - history.weight,
        clock=served,
        cells=_cells(before),
        found=1.0 if changed and not hinted else 0.0,
        expected=population.rates.chance(before, waited / DAY),
        gone=before,
        came=past,
        changed=changed,
    )
    return after._replace(rate=rate, weight=weight, turn=served + 1.0 / weight), update


def unanswered(population: PollPopulation, history: PollHistory) -> tuple[PollHistory, PollUpdate]:
    """A card was asked in vain: it has had its turn, and nothing was learned."""
    served = max(history.turn, population.clock)
    later = history._replace(turn=served + 1.0 / history.weight)
    return later, PollUpdate(0, 0.0, served, (), 0.0, 0.0)


def forgotten(history: PollHistory) -> PollUpdate:
    """A card left (closed, or gone): its share goes to the others."""
    return PollUpdate(-1, -history.weight, 0.0, (), 0.0, 0.0, gone=_past(history))


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


def _past(history: PollHistory) -> Past:
    exposure = history.exposure
    quiet = min(max(history.polled_at - history.changed_at, 0.0), exposure) if history.changes else exposure
    return Past(
        history.kind,
        spent_of(history.balance_minor, history.peak_minor),
        history.changes,
        exposure / DAY,
        quiet / DAY,
    )


def _at_least_one(rate: float, waited: float) -> tuple[float, float]:
    """What a changed read says, as so many changes in so many seconds.

    Its likelihood is 1 - exp(-rate * waited). The one of a count, with the same slope and curvature at the
    present estimate, takes its place: one change in half the time, and ever less the more were likely.
    """
    x = rate * waited
    if x < 1e-3:
        return 1.0, waited / 2.0
    if x > 500.0:
        return 0.0, 0.0
    slope = x / math.expm1(x)
    count = slope * (slope * math.exp(x))  # The square alone would be too small for a float.
    return count, (count - slope) / rate


def _weight(population: PollPopulation, budget: PollBudget, rate: float, *, joins: bool = False) -> float:
    """About √rate, and at least so much that the card's own turn comes before it is overdue.

    A card that joins knows no mean to go by, when all others join as well: too low a weight for many at once
    would make all of them overdue at once.
    """
    mean = population.weight / population.cards if population.cards else 0.0
    least = (max(mean, 1.0) if joins else mean) / (budget.sweep_factor - 1.0)
    return max(population.rates.weight(rate * DAY), least)


def _cells(past: Past) -> tuple[int, int]:
    """The cells of a past, coarse to fine: how far spent and how many changes, then how long quiet."""
    n = min(int(past.changes + 0.5), 5)
    missed = past.changes * past.quiet / past.days if n and past.days > 0 else 0.0
    coarse = past.spent * 6 + n
    # One low bit for the level: one mapping holds both.
    return coarse * 2, (coarse * 8 + min(int(missed * 2.0).bit_length(), 7)) * 2 + 1


def _rate(population: PollPopulation, past: Past) -> float:
    """Changes a second that a poll would find: the posterior mean, times the factor of its cell."""
    factor = 1.0
    for key, prior in zip(_cells(past), CELL_PRIORS, strict=True):
        found, expected = population.cells.get(key, _NOTHING)
        factor = (found + prior * factor) / (expected + prior)
    return population.rates.rate(past) / DAY * factor
