"""How long a redemption waits for its detection: adaptive polling against uniform, and against known rates.

A virtual clock, seeded traces, and the very functions that the worker calls. Every policy sees the same trace
through the same loop: reads are chosen ten seconds' worth at a time, as by the worker, and happen evenly
spaced. New cards are known when they are sold, because a sale comes through a feed. Delays are those of
redemptions that happen in the measured day; the trace goes on behind it so that late ones are found too, and
the few that are not found by its end count with the time until then.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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
    polled,
)

CARDS = 100_000
READS_PER_SECOND = 5.0
SLICE_SECONDS = 10.0
#: Watched in each trace: the last but one is measured, the last lets late redemptions be found.
DAYS = 6
#: The share of redemptions that webhooks announce, and after how long; the share that leaves a receipt which
#: names the card, and how often receipts are searched.
WEBHOOK_SHARE, WEBHOOK_SECONDS = 0.9, 2.0
RECEIPT_SHARE, RECEIPT_SECONDS = 0.9, 10.0


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


@dataclass(frozen=True)
class Trace:
    """Cards and how long they are watched."""

    name: str
    cards: list[TracedCard]
    days: int

    @property
    def redemptions_per_day(self) -> float:
        return sum(len(card.redemptions) for card in self.cards) / self.days


def zipf_trace(cards: int, per_day: float, days: int, *, exponent: float = 1.1, seed: int = 1) -> Trace:
    """Steady cards: the rate of the i-th is proportional to i^-exponent; topped up, so never empty."""
    chance = random.Random(seed)
    shares = [rank**-exponent for rank in range(1, cards + 1)]
    chance.shuffle(shares)
    scale = per_day / DAY / sum(shares)
    traced = []
    for share in shares:
        times = list(_poisson(chance, share * scale, days * DAY))
        traced.append(TracedCard(0.0, 10_000, times, [10_000] * len(times), share * scale, False))
    return Trace(f"Zipf {exponent}, {per_day / cards:g} per card and day", traced, days)


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
        at, balance, times, balances = sold, 10_000, [], []
        for level in (*levels, 0.0):
            at += chance.expovariate(rate)
            after = int(10_000 * (rest + (1 - rest) * level))
            if at < 0:
                balance = after
            elif at < days * DAY:
                times.append(at)
                balances.append(after)
        traced.append(TracedCard(max(sold, 0.0), balance, times, balances, rate, at < days * DAY))
    return Trace("burn-down", traced, days)


def _poisson(chance: random.Random, rate: float, end: float) -> Iterator[float]:
    at = chance.expovariate(rate)
    while at < end:
        yield at
        at += chance.expovariate(rate)


class Policy(Protocol):
    """Chooses cards and is told what was found."""

    def join(self, now: float, number: int, card: TracedCard, phase: float) -> None: ...
    def choose(self, now: float, limit: int) -> list[tuple[int, ReadBy]]: ...
    def found(
        self, now: float, number: int, card: TracedCard, redeemed: int, changed: bool, by: ReadBy
    ) -> None: ...
    def end_slice(self, now: float) -> None: ...


class KnownRates:
    """A fair queue with fixed weights: √rate is the optimum for known rates, 1 is uniform polling.

    The optimum also knows which redemption is the last: having found that, it never reads the card again.
    """

    def __init__(self, weight_of: Callable[[TracedCard], float], *, knows_rest: bool) -> None:
        self._weight_of = weight_of
        self._knows_rest = knows_rest
        self._queue: list[tuple[float, int]] = []
        self._clock = 0.0
        self._turns: dict[int, float] = {}

    def join(self, now: float, number: int, card: TracedCard, phase: float) -> None:
        if not self._done(card, 0):
            self._put(number, self._clock + phase / self._weight_of(card))

    def choose(self, now: float, limit: int) -> list[tuple[int, ReadBy]]:
        taken: list[tuple[int, ReadBy]] = []
        while self._queue and len(taken) < limit:
            turn, number = heapq.heappop(self._queue)
            if self._turns.get(number) == turn:
                self._clock = turn
                taken.append((number, ReadBy.TURN))
        return taken

    def found(
        self, now: float, number: int, card: TracedCard, redeemed: int, changed: bool, by: ReadBy
    ) -> None:
        if self._done(card, redeemed):
            self._turns.pop(number, None)
        else:
            turn = self._turns[number] if by is ReadBy.TURN else self._clock
            self._put(number, turn + 1 / self._weight_of(card))

    def end_slice(self, now: float) -> None:
        pass

    def _done(self, card: TracedCard, redeemed: int) -> bool:
        return self._knows_rest and card.rests and redeemed == len(card.redemptions)

    def _put(self, number: int, turn: float) -> None:
        self._turns[number] = turn
        heapq.heappush(self._queue, (turn, number))


class Adaptive:
    """`sync.decisions.poll_order` with its two indexes in memory: by turn, and by when a card was read."""

    def __init__(self, budget: PollBudget) -> None:
        self.budget = budget
        self.population = PollPopulation()
        self.histories: dict[int, PollHistory] = {}
        self._by_turn: list[tuple[float, int]] = []
        self._by_age: deque[tuple[float, int]] = deque()
        self._updates: list[PollUpdate] = []

    def join(self, now: float, number: int, card: TracedCard, phase: float) -> None:
        history, update = first_poll(
            self.population, self.budget, now, balance_minor=card.balance, issued=card.joins > 0, phase=phase
        )
        self._updates.append(update)
        self._keep(number, history)

    def choose(self, now: float, limit: int) -> list[tuple[int, ReadBy]]:
        oldest: list[Candidate] = []
        overdue_at = now - self.budget.overdue_seconds(self.population.cards)
        while self._by_age and len(oldest) < limit:
            polled_at, number = self._by_age[0]
            if self.histories[number].polled_at == polled_at:
                if polled_at > overdue_at:
                    break
                oldest.append(Candidate(number, self.histories[number].turn, polled_at))
            self._by_age.popleft()
        in_turn: list[Candidate] = []
        while self._by_turn and len(in_turn) < limit:
            turn, number = heapq.heappop(self._by_turn)
            if self.histories[number].turn == turn:
                in_turn.append(Candidate(number, turn, self.histories[number].polled_at))
        chosen = choose(self.population, self.budget, now, in_turn, oldest, limit)
        taken = {number for number, _ in chosen}
        for card in in_turn:
            if card.card_id not in taken:
                heapq.heappush(self._by_turn, (card.turn, card.card_id))
        return chosen

    def found(
        self, now: float, number: int, card: TracedCard, redeemed: int, changed: bool, by: ReadBy
    ) -> None:
        history, update = polled(
            self.population,
            self.budget,
            self.histories[number],
            now,
            changed=changed,
            balance_minor=card.balances[redeemed - 1] if redeemed else card.balance,
            by=by,
        )
        self._updates.append(update)
        self._keep(number, history)

    def end_slice(self, now: float) -> None:
        self.population = self.population.absorb(self._updates, now)
        self._updates = []

    def _keep(self, number: int, history: PollHistory) -> None:
        self.histories[number] = history
        heapq.heappush(self._by_turn, (history.turn, number))
        self._by_age.append((history.polled_at, number))


@dataclass(frozen=True)
class Measured:
    """What a run of one policy over one trace came to."""

    #: When each redemption happened and how long it waited, in seconds.
    delays: list[tuple[float, float]]
    reads: int
    longest_unread: float

    def mean(self, first_day: float, last_day: float) -> float:
        waited = self.between(first_day, last_day)
        return math.fsum(waited) / len(waited)

    def p95(self, first_day: float, last_day: float) -> float:
        waited = sorted(self.between(first_day, last_day))
        return waited[math.ceil(0.95 * len(waited)) - 1]

    def between(self, first_day: float, last_day: float) -> list[float]:
        return [delay for at, delay in self.delays if first_day * DAY <= at < last_day * DAY]


def simulate(
    trace: Trace, policy: Policy, reads_per_second: float, hints: list[tuple[float, int]] | None = None
) -> Measured:
    """Run a policy over a trace. A hinted card is read at once, out of the same budget."""
    chance = random.Random(7)
    cards = trace.cards
    joining = deque(sorted((card.joins, number) for number, card in enumerate(cards)))
    waiting = deque(sorted(hints or []))
    redeemed = [0] * len(cards)
    read_at = [card.joins for card in cards]
    delays: list[tuple[float, float]] = []
    reads, allowed, longest = 0, 0.0, 0.0
    now = 0.0
    while now < trace.days * DAY:
        end = now + SLICE_SECONDS
        while joining and joining[0][0] <= now:
            _, number = joining.popleft()
            policy.join(now, number, cards[number], 1.0 - chance.random() if now == 0 else 1.0)
        if now == 0:
            policy.end_slice(now)
        due: list[tuple[float, int, ReadBy]] = []
        while waiting and waiting[0][0] < end:
            at, number = waiting.popleft()
            due.append((max(at, now), number, ReadBy.HINT))
        allowed = min(allowed, 0.0) + reads_per_second * SLICE_SECONDS - len(due)
        chosen = policy.choose(now, max(int(allowed), 0))
        allowed -= len(chosen)
        due += [(now + i * SLICE_SECONDS / len(chosen), number, by) for i, (number, by) in enumerate(chosen)]
        for at, number, by in sorted(due):
            times, first = cards[number].redemptions, redeemed[number]
            last = first
            while last < len(times) and times[last] <= at:
                delays.append((times[last], at - times[last]))
                last += 1
            redeemed[number] = last
            longest, read_at[number] = max(longest, at - read_at[number]), at
            policy.found(at, number, cards[number], last, last > first, by)
        reads += len(due)
        policy.end_slice(end)
        now = end
    for number, card in enumerate(cards):
        delays += [(at, now - at) for at in card.redemptions[redeemed[number] :]]
        longest = max(longest, now - read_at[number])
    return Measured(delays, reads, longest)


def uniform() -> Policy:
    """Every card in rotation."""
    return KnownRates(lambda card: 1.0, knows_rest=False)


def optimum() -> Policy:
    """1/interval ∝ √rate, with rates that nobody can know."""
    return KnownRates(lambda card: math.sqrt(card.rate), knows_rest=True)


def webhooks(trace: Trace, seed: int = 11) -> list[tuple[float, int]]:
    """Hints by webhook: most redemptions, at once."""
    chance = random.Random(seed)
    return [
        (at + WEBHOOK_SECONDS, number)
        for number, card in enumerate(trace.cards)
        for at in card.redemptions
        if chance.random() < WEBHOOK_SHARE
    ]


def receipts(trace: Trace, seed: int = 12) -> list[tuple[float, int]]:
    """Hints by receipt search: most redemptions, at the next search."""
    chance = random.Random(seed)
    return [
        (math.ceil(at / RECEIPT_SECONDS) * RECEIPT_SECONDS, number)
        for number, card in enumerate(trace.cards)
        for at in card.redemptions
        if chance.random() < RECEIPT_SHARE
    ]


def counting_limit(rates: list[float], days: float, seed: int = 13) -> tuple[float, float]:
    """The least mean delay when all rates are known but not whose they are, and the 95th percentile with it.

    That is Bayes with the true prior and each card's number of changes in so many days, relative to the
    optimum. Only what an estimator needs on top of this is its own fault.
    """
    chance = random.Random(seed)
    grid: dict[int, int] = {}
    for rate in rates:
        step = round(math.log(rate * DAY) * 12)
        grid[step] = grid.get(step, 0) + 1
    prior = [(math.exp(step / 12), count) for step, count in grid.items()]
    means: dict[int, float] = {}
    weights = []
    for rate in rates:
        seen = _poisson_count(chance, rate * DAY * days)
        if seen not in means:
            logs = [math.log(count) + seen * math.log(r) - r * days for r, count in prior]
            top = max(logs)
            odds = [math.exp(log - top) for log in logs]
            means[seen] = sum(o * r for o, (r, _) in zip(odds, prior, strict=True)) / sum(odds)
        weights.append(math.sqrt(means[seen]))
    mean, p95 = _delays_with(rates, weights)
    least, least_p95 = _delays_with(rates, [math.sqrt(rate) for rate in rates])
    return mean / least, p95 / least_p95


def _delays_with(rates: list[float], weights: list[float]) -> tuple[float, float]:
    """Mean and 95th percentile when card i is read every 1/weight: uniform within each interval."""
    total = math.fsum(weights)
    rows = [(rate, total / weight) for rate, weight in zip(rates, weights, strict=True)]
    all_rates = math.fsum(rates)
    low, high = 0.0, max(interval for _, interval in rows)
    for _ in range(30):
        middle = (low + high) / 2
        within = sum(rate * min(middle / interval, 1.0) for rate, interval in rows) / all_rates
        low, high = (middle, high) if within < 0.95 else (low, middle)
    return sum(rate * interval / 2 for rate, interval in rows) / all_rates, high


def _poisson_count(chance: random.Random, mean: float) -> int:
    if mean > 50:
        return max(round(chance.gauss(mean, math.sqrt(mean))), 0)
    count, product, least = 0, chance.random(), math.exp(-mean)
    while product > least:
        count, product = count + 1, product * chance.random()
    return count


def _compare(
    trace: Trace, reads_per_second: float, windows: tuple[tuple[int, int], ...], note: str = ""
) -> None:
    """The three policies on one trace: a line per measured window, in days."""
    budget = PollBudget(reads_per_second)
    by_rotation = simulate(trace, uniform(), reads_per_second)
    by_optimum = simulate(trace, optimum(), reads_per_second)
    by_estimate = simulate(trace, Adaptive(budget), reads_per_second)
    for first, last in windows:
        u, o, a = (m.mean(first, last) for m in (by_rotation, by_optimum, by_estimate))
        u95, o95, a95 = (m.p95(first, last) for m in (by_rotation, by_optimum, by_estimate))
        which = f"day {last}" if last == first + 1 else f"days {first + 1}-{last}"
        print(
            f"{f'{trace.name}, {which}{note}':<48}"
            f"{u / 60:>7.1f}{o / 60:>7.1f}{a / 60:>7.1f}{a / o:>7.2f}{a / u:>7.2f}"
            f"{u95 / 60:>9.0f}{o95 / 60:>6.0f}{a95 / 60:>6.0f}{a95 / o95:>7.2f}{a95 / u95:>7.2f}",
            flush=True,
        )
    reads, unread = by_estimate.reads / trace.days / DAY, by_estimate.longest_unread / 3600
    bound = budget.bound_seconds(len(trace.cards)) / 3600
    print(
        f"  {trace.redemptions_per_day:,.0f} redemptions a day; {reads:.2f} reads a second;"
        f" longest unread {unread:.1f} h of {bound:.1f} h allowed",
        flush=True,
    )


def _print_limit(trace: Trace, days: float) -> None:
    mean, p95 = counting_limit([card.rate for card in trace.cards], days)
    print(
        f"  all rates known, but not whose they are: {mean:.2f} of the optimum's mean, {p95:.2f} of its p95"
    )


_HEADER = (
    f"{'delay in minutes':<48}{'mean:':>7}{'':>7}{'':>7}{'':>7}{'':>7}{'p95:':>9}\n"
    f"{'':<48}{'unif.':>7}{'opt.':>7}{'adapt.':>7}{'a/opt':>7}{'a/unif':>7}"
    f"{'unif.':>9}{'opt.':>6}{'adapt':>6}{'a/opt':>7}{'a/unif':>7}"
)


def _hinted(cards: int, reads_per_second: float) -> None:
    """What webhooks and receipt search add, on the Zipf trace."""
    trace = zipf_trace(cards, 0.4 * cards, 4)
    # As large a part of the budget as it is of the full one.
    search = reads_per_second / READS_PER_SECOND / RECEIPT_SECONDS
    rows: list[tuple[str, list[tuple[float, int]], float]] = [
        ("polling alone", [], 0.0),
        (f"+ receipt search ({RECEIPT_SHARE:.0%}, each {RECEIPT_SECONDS:.0f} s)", receipts(trace), search),
        (f"+ webhooks ({WEBHOOK_SHARE:.0%}, {WEBHOOK_SECONDS:.0f} s)", webhooks(trace), 0.0),
        ("+ both", receipts(trace) + webhooks(trace), search),
    ]
    print(f"{'adaptive polling with hints: ' + trace.name:<48}{'mean':>9}{'p95':>9}{'p99':>9}  found by hint")
    for label, hints, calls in rows:
        measured = simulate(trace, Adaptive(PollBudget(reads_per_second)), reads_per_second - calls, hints)
        waited = sorted(measured.between(2, 3))
        at_once = sum(delay <= RECEIPT_SECONDS + 1 for delay in waited) / len(waited)
        p95, p99 = (waited[math.ceil(q * len(waited)) - 1] for q in (0.95, 0.99))
        print(
            f"{label:<48}{math.fsum(waited) / len(waited) / 60:>7.1f} m{p95 / 60:>7.1f} m{p99 / 60:>7.1f} m"
            f"{at_once:>10.0%}",
            flush=True,
        )


def main(cards: int = CARDS, reads_per_second: float = READS_PER_SECOND) -> None:
    """The two traces at full size, then smaller ones (same calls per card): what the ratio depends on."""
    print(f"{cards:,} cards, {reads_per_second:g} reads a second: a rotation takes", end=" ")
    print(f"{cards / reads_per_second / 3600:.1f} h. Day 1 is the cold start: nothing is known of any card.")
    print(_HEADER)
    days, cold, warm, long = DAYS, (0, 1), (DAYS - 2, DAYS - 1), (DAYS - 3, DAYS - 1)
    trace = zipf_trace(cards, 0.4 * cards, days)
    _compare(trace, reads_per_second, (cold, warm))
    _print_limit(trace, DAYS - 1.5)
    _compare(burn_down_trace(cards, days), reads_per_second, (cold, warm))
    cards, reads_per_second = cards // 10, reads_per_second / 10
    print(f"\n{cards:,} cards, {reads_per_second:g} reads a second")
    for share in (0.05, 0.2, 0.6):
        trace = zipf_trace(cards, share * cards, days)
        _compare(trace, reads_per_second, (long,))
        _print_limit(trace, DAYS - 2)
    for trace, note in (
        (burn_down_trace(cards, days, spread=0.0), ", equal rates"),
        (burn_down_trace(cards, days, spread=1.0), ", wide rates"),
        (burn_down_trace(cards, days, leftovers=0.1), ", 10% leftovers"),
        (burn_down_trace(cards, days, gap_days=30.0, past_days=300.0), ", five times slower"),
    ):
        _compare(trace, reads_per_second, (long,), note)
    print()
    _hinted(cards, reads_per_second)
