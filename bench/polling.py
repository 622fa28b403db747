"""How long a redemption waits for its detection: adaptive polling against uniform, and against known rates.

A virtual clock, seeded traces, and the very functions that the worker calls. Every policy sees the same trace
through the same loop: reads are chosen ten seconds' worth at a time, as by the worker, and happen evenly
spaced. New cards are known when they are sold, because a sale comes through a feed. The mean is what is to be
expected of redemptions in the measured day between the reads that were made, by the rates that made the
trace; percentiles are of those that happened. The trace goes on behind that day so that late ones are found
too, and the few that are not found by its end count with the time until then.
"""

from __future__ import annotations

import heapq
import math
import os
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.poll_traces import (
    Trace,
    TracedCard,
    burn_down_trace,
    december_trace,
    mixed_trace,
    zipf_trace,
)
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

CARDS = int(os.environ.get("TEST_BENCH_POLLED", "5000"))
#: As 100,000 cards at five reads a second.
CARDS_PER_READ = 20_000
SLICE_SECONDS = 10.0
#: Watched in each trace: the last but one is measured, the last lets late redemptions be found.
DAYS = 6
#: The share of redemptions that webhooks announce, and after how long; the share that leaves a receipt which
#: names the card, and how often receipts are searched.
WEBHOOK_SHARE, WEBHOOK_SECONDS = 0.9, 2.0
RECEIPT_SHARE, RECEIPT_SECONDS = 0.9, 10.0


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
            self.population,
            self.budget,
            now,
            balance_minor=card.balance,
            issued=card.joins > 0,
            phase=phase,
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


class Limit(Adaptive):
    """The same queue and promise, with what an insider thinks: who has to count cannot do much better."""

    def __init__(self, budget: PollBudget, trace: Trace) -> None:
        super().__init__(budget)
        self._insider = trace.insider()
        self._usual_rate = statistics.median(card.rate for card in trace.cards)
        self._told: dict[int, int] = {}

    def join(self, now: float, number: int, card: TracedCard, phase: float) -> None:
        self._insider.meets(number, card)
        self._told[number] = 0
        weight = self._weight(number, 1.0)
        self._updates.append(PollUpdate(1, weight, 0.0, (), 0.0, 0.0))
        turn = self.population.clock + phase / weight
        self._keep(number, PollHistory(0, 0.0, 0.0, now, now, 0, 0, 0.0, weight, turn))

    def found(
        self, now: float, number: int, card: TracedCard, redeemed: int, changed: bool, by: ReadBy
    ) -> None:
        news = slice(self._told[number], redeemed)
        self._insider.sees(number, now, list(zip(card.redemptions[news], card.balances[news], strict=True)))
        self._told[number] = redeemed
        history, weight = self.histories[number], self._weight(number)
        served = self.population.clock if by is not ReadBy.TURN else max(history.turn, self.population.clock)
        self._updates.append(PollUpdate(0, weight - history.weight, served, (), 0.0, 0.0))
        self._keep(number, history._replace(polled_at=now, weight=weight, turn=served + 1.0 / weight))

    def _weight(self, number: int, mean: float = 0.0) -> float:
        weight, population = math.sqrt(self._insider.rate(number) / self._usual_rate), self.population
        if population.cards:
            mean = max(mean, population.weight / population.cards)
        return max(weight, mean / (self.budget.sweep_factor - 1.0))


@dataclass(frozen=True)
class Measured:
    """What a run of one policy over one trace came to."""

    #: When each redemption happened and how long it waited, in seconds.
    delays: list[tuple[float, float]]
    reads: int
    longest_unread: float
    #: By day: redemptions that were to be expected, and how long they wait together.
    expected: Sequence[tuple[float, float]]

    def mean(self, first_day: float, last_day: float) -> float:
        waited = self.between(first_day, last_day)
        return math.fsum(waited) / len(waited)

    def expected_mean(self, first_day: int, last_day: int) -> float:
        """The mean that is to be expected between the reads that were made; not where hints led to them.

        What happened to happen is a draw of it: the delays of 200 redemptions have a mean that is a tenth too
        long or too short, and two policies differ by less.
        """
        redemptions, waited = zip(*self.expected[first_day:last_day], strict=True)
        return math.fsum(waited) / math.fsum(redemptions)

    def p95(self, first_day: float, last_day: float) -> float:
        waited = sorted(self.between(first_day, last_day))
        return waited[math.ceil(0.95 * len(waited)) - 1]

    def between(self, first_day: float, last_day: float) -> list[float]:
        return [delay for at, delay in self.delays if first_day * DAY <= at < last_day * DAY]


class Expected:
    """Adds up, by day, what redemptions are to be expected while cards can still be redeemed, and how long
    they wait for the read that ends the time in which they happen.
    """

    def __init__(self, trace: Trace) -> None:
        self._season_at, self._pace = trace.season
        self.redemptions = [0.0] * (trace.days + 1)
        self.waited = [0.0] * (trace.days + 1)

    def add(self, card: TracedCard, read_at: float, next_at: float) -> None:
        """The time between two reads of a card."""
        until = next_at
        if card.rests:
            until = min(next_at, card.redemptions[-1] if card.redemptions else 0.0)
        begin = max(read_at, card.joins)
        while begin < until:
            day = int(begin // DAY)
            end = min(until, (day + 1) * DAY)
            if begin < self._season_at < end:
                end = self._season_at
            rate = card.rate * (self._pace if begin >= self._season_at else 1.0)
            self.redemptions[day] += rate * (end - begin)
            self.waited[day] += rate * ((next_at - begin) ** 2 - (next_at - end) ** 2) / 2.0
            begin = end


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
    expected = Expected(trace)
    reads, allowed, longest = 0, 0.0, 0.0
    # Those on file join a page at a time, as in the ledger.
    joined, page = 0, max(len(cards) // 100, 1)
    now = 0.0
    while now < trace.days * DAY:
        end = now + SLICE_SECONDS
        while joining and joining[0][0] <= now:
            _, number = joining.popleft()
            policy.join(now, number, cards[number], 1.0 - chance.random() if now == 0 else 1.0)
            joined += 1
            if joined % page == 0:
                policy.end_slice(now)
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
            expected.add(cards[number], read_at[number], at)
            longest, read_at[number] = max(longest, at - read_at[number]), at
            policy.found(at, number, cards[number], last, last > first, by)
        reads += len(due)
        policy.end_slice(end)
        now = end
    for number, card in enumerate(cards):
        delays += [(at, now - at) for at in card.redemptions[redeemed[number] :]]
        expected.add(card, read_at[number], now)
        longest = max(longest, now - read_at[number])
    return Measured(delays, reads, longest, list(zip(expected.redemptions, expected.waited, strict=True)))


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


def _compare(
    trace: Trace, reads_per_second: float, windows: tuple[tuple[int, int], ...], note: str = ""
) -> None:
    """The three policies on one trace: a line per measured window, in days."""
    budget = PollBudget(reads_per_second)
    by_rotation = simulate(trace, uniform(), reads_per_second)
    by_optimum = simulate(trace, optimum(), reads_per_second)
    by_insider = simulate(trace, Limit(budget, trace), reads_per_second)
    by_estimate = simulate(trace, Adaptive(budget), reads_per_second)
    for first, last in windows:
        runs = (by_rotation, by_optimum, by_insider, by_estimate)
        u, o, i, a = (run.expected_mean(first, last) for run in runs)
        u95, o95, i95, a95 = (run.p95(first, last) for run in runs)
        which = f"day {last}" if last == first + 1 else f"days {first + 1}-{last}"
        print(
            f"{f'{trace.name}, {which}{note}':<48}"
            f"{u / 60:>7.1f}{o / 60:>7.1f}{i / 60:>7.1f}{a / 60:>7.1f}{i / o:>7.2f}{a / o:>7.2f}{a / i:>7.2f}"
            f"{u95 / 60:>7.0f}{o95 / 60:>6.0f}{i95 / 60:>6.0f}{a95 / 60:>6.0f}"
            f"{a95 / o95:>7.2f}{a95 / i95:>7.2f}",
            flush=True,
        )
    reads, unread = by_estimate.reads / trace.days / DAY, by_estimate.longest_unread / 3600
    bound = budget.bound_seconds(len(trace.cards)) / 3600
    print(
        f"  {trace.redemptions_per_day:,.0f} redemptions a day; {reads:.2f} reads a second;"
        f" longest unread {unread:.1f} h of {bound:.1f} h allowed",
        flush=True,
    )


_HEADER = (
    f"{'delay in minutes':<48}{'mean:':>7}{'':>42}{'p95:':>7}\n"
    f"{'':<48}{'unif.':>7}{'opt.':>7}{'limit':>7}{'adapt.':>7}{'l/opt':>7}{'a/opt':>7}{'a/lim':>7}"
    f"{'unif.':>7}{'opt.':>6}{'limit':>6}{'adapt':>6}{'a/opt':>7}{'a/lim':>7}"
)


def _hinted(cards: int, reads_per_second: float) -> None:
    """What webhooks and receipt search add, on the Zipf trace."""
    trace = zipf_trace(cards, 0.4 * cards, 4)
    # As large a part of the budget as it is of five reads a second.
    search = reads_per_second / 5.0 / RECEIPT_SECONDS
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


def main(cards: int = CARDS) -> None:
    """Each trace with all policies; then what hints add."""
    reads_per_second = cards / CARDS_PER_READ
    print(f"{cards:,} cards, {reads_per_second:g} reads a second: a rotation takes", end=" ")
    print(f"{cards / reads_per_second / 3600:.1f} h. Day 1 is the cold start: nothing is known of any card.")
    print(
        "opt.: every card's rate is known; limit: how the cards were made is known, but not which is which."
    )
    print(_HEADER)
    for trace, note in (
        *((zipf_trace(cards, share * cards, DAYS), "") for share in (0.4, 0.05, 0.2, 0.6)),
        (burn_down_trace(cards, DAYS), ""),
        (burn_down_trace(cards, DAYS, spread=0.0), ", equal rates"),
        (burn_down_trace(cards, DAYS, spread=1.0), ", wide rates"),
        (burn_down_trace(cards, DAYS, leftovers=0.1), ", 10% leftovers"),
        (burn_down_trace(cards, DAYS, gap_days=30.0, past_days=300.0), ", five times slower"),
        (december_trace(cards, DAYS), ""),
        (mixed_trace(cards, DAYS), ""),
    ):
        _compare(trace, reads_per_second, ((0, 1), (DAYS - 3, DAYS - 1)), note)
    print()
    _hinted(cards, reads_per_second)
