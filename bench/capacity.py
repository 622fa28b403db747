"""Capacity on paper: what many merchants need by what was measured, and a simulation that checks the paper.

    python -m bench capacity

The simulation has a virtual clock: workers with places and one core each, two lines of turns, lanes, turns
that are cut short, redemptions that come at random. `docs/reference/capacity.md` shows what both say.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from statistics import quantiles

from connectors.flow.settings import READS_AT_ONCE
from sync.fleet.crew import places
from sync.fleet.queue import LATER, NOW
from sync.worker.until import TURN_SECONDS

# --- What was measured, and by which command ----------------------------------------------------------------

#: `python -m bench costs`: one redemption's calls to both sides, Shopify's points, processor milliseconds of
#: the worker, round trips to the database, new rows, and bytes on its disk.
REDEMPTION_CALLS, REDEMPTION_POINTS, REDEMPTION_MS = 6.0, 7.0, 12.6
REDEMPTION_TRIPS, REDEMPTION_ROWS, REDEMPTION_BYTES = 51.0, 5.0, 2_007.0
#: The same, a card that is met on one side and created on the other.
CARD_CALLS, CARD_POINTS, CARD_MS = 4.0, 10.3, 23.0
CARD_TRIPS, CARD_ROWS, CARD_BYTES = 67.6, 16.0, 11_428.0
#: The same, a card that is looked at on both sides and shows nothing new.
LOOK_CALLS, LOOK_MS, LOOK_TRIPS = 1.0, 1.6, 3.5
#: `python -m bench idle`: one turn of an idle link: processor milliseconds of the worker and of PostgreSQL,
#: statements.
TURN_MS, TURN_SERVER_MS, TURN_TRIPS = 11.0, 5.2, 14.3
#: What a card's work takes of PostgreSQL for each round trip: as a turn's did while it made 21. Those that it
#: makes no more were the cheapest, so the turn itself counts as before.
TRIP_SERVER_MS = TURN_SERVER_MS / 21.0
#: Turns a second of a link at rest with the paces of who sets none (`sync/fleet/crew.py`, the sides' feeds),
#: and how many of them look at cards: each side's next ones every 5 and 10 s.
IDLE_TURNS, IDLE_LOOKS = 0.55, 0.3
#: An answer of a side takes so long; set, not measured.
ANSWER_SECONDS = 0.1


@dataclass(frozen=True)
class Load:
    """What merchants do."""

    merchants: int
    cards_each: int
    redemptions_a_day_each: float
    #: Flow's `polls_per_second`.
    looks_a_second_each: float
    #: The busiest hour has so much more than the mean one.
    peak: float = 4.0


@dataclass(frozen=True)
class Need:
    """What that takes."""

    redemptions_a_second: float
    worker_cores: float
    server_cores: float
    trips_a_second: float
    places_now: float
    places_later: float
    cards_gib: float
    gib_a_year: float
    calls_a_second: float


def need(load: Load) -> Need:
    """What the load takes in its busiest hour. Little's law: places held are the rate times the time."""
    turns = load.merchants * IDLE_TURNS
    look_turns = load.merchants * IDLE_LOOKS
    looks = load.merchants * load.looks_a_second_each
    redemptions = load.merchants * load.redemptions_a_day_each / 86_400 * load.peak
    of_cards = looks * LOOK_TRIPS + redemptions * REDEMPTION_TRIPS
    held = TURN_MS / 1000 + ANSWER_SECONDS
    held_for_one = REDEMPTION_MS / 1000 + REDEMPTION_CALLS * ANSWER_SECONDS
    return Need(
        redemptions_a_second=redemptions,
        worker_cores=(turns * TURN_MS + looks * LOOK_MS + redemptions * REDEMPTION_MS) / 1000,
        server_cores=(turns * TURN_SERVER_MS + of_cards * TRIP_SERVER_MS) / 1000,
        trips_a_second=turns * TURN_TRIPS + of_cards,
        places_now=(turns - look_turns) * held + redemptions * held_for_one,
        places_later=look_turns * TURN_MS / 1000 + looks * (LOOK_MS / 1000 + ANSWER_SECONDS / READS_AT_ONCE),
        cards_gib=load.merchants * load.cards_each * CARD_BYTES / 2**30,
        gib_a_year=load.merchants * load.redemptions_a_day_each * 365 * REDEMPTION_BYTES / 2**30,
        calls_a_second=turns - look_turns + looks * LOOK_CALLS + redemptions * REDEMPTION_CALLS,
    )


# --- The simulation -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """What a turn does: so many steps, each some processor time and then an answer that is waited for."""

    processor_seconds: float
    answer_seconds: float
    #: None: it goes on until it is cut short.
    steps: int | None = 1


READ = Work(TURN_MS / 1000, ANSWER_SECONDS)
REDEEM = Work(REDEMPTION_MS / 1000 / REDEMPTION_CALLS, ANSWER_SECONDS, round(REDEMPTION_CALLS))
#: Sixteen threads create cards at once, so that the processor is what they wait for.
CREATE = Work(CARD_MS / 1000, ANSWER_SECONDS / 16, None)


@dataclass
class _Turn:
    link: int
    name: str
    lane: str
    urgent: bool
    work: Work
    #: Processor time before its first step.
    first_seconds: float = 0.0
    #: When the redemptions came that it answers for.
    came: list[float] = field(default_factory=list)
    is_queued: bool = False
    is_behind: bool = False


@dataclass
class _Worker:
    free: dict[str, int]
    #: When its core is free again.
    core_at: float = 0.0
    busy_seconds: float = 0.0


@dataclass
class Outcome:
    """What the simulation saw."""

    seconds: float
    #: How long redemptions waited for a place, and until they were carried over.
    waits: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    processor_seconds: float = 0.0
    place_seconds: dict[str, float] = field(default_factory=lambda: {NOW: 0.0, LATER: 0.0})

    @property
    def p99_wait(self) -> float:
        return quantiles(self.waits, n=100)[98]

    @property
    def p99_lag(self) -> float:
        return quantiles(self.lags, n=100)[98]


class Simulation:
    """A fleet on a virtual clock."""

    def __init__(self, workers: int, turns_at_once: int, *, is_fair: bool = True, seed: int = 1) -> None:
        """Not `is_fair`: one line, no lanes, and what was cut short goes to the end of the same line."""
        self.is_fair, self.chance, self.now = is_fair, random.Random(seed), 0.0
        shares: dict[str, int] = {}
        for lines, count in places(turns_at_once):
            shares[lines[0]] = count
        if not is_fair:
            shares = {NOW: turns_at_once}
        self.workers = [_Worker(dict(shares)) for _ in range(workers)]
        self.lines: dict[str, deque[_Turn]] = {NOW: deque(), LATER: deque()}
        self.running: set[tuple[int, str]] = set()
        self.outcome = Outcome(0.0)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def at(self, moment: float, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, event))

    def run(self, seconds: float) -> Outcome:
        while self._events and self._events[0][0] <= seconds:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.outcome.seconds = seconds
        self.outcome.processor_seconds = sum(worker.busy_seconds for worker in self.workers)
        return self.outcome

    # --- who comes --------------------------------------------------------------------------------------

    def rest(self, link: int, looks_a_second: float) -> None:
        """A link at rest: its feeds and looks, each by its pace."""
        per_look, per_read = 1 / IDLE_LOOKS, 4 / (IDLE_TURNS - IDLE_LOOKS)
        look = Work(LOOK_MS / 1000, ANSWER_SECONDS / READS_AT_ONCE, round(per_look * looks_a_second))
        self._repeat(_Turn(link, "look", "later", False, look, TURN_MS / 1000), per_look)
        for number in range(4):
            self._repeat(_Turn(link, f"read/{number}", f"side/{number % 2}", True, READ), per_read)

    def sell(self, link: int, per_second: float) -> None:
        """Redemptions of a link, at random."""
        turn = _Turn(link, "due", "due", True, REDEEM)

        def come() -> None:
            turn.came.append(self.now)
            self.queue(turn)
            self.at(self.now + self.chance.expovariate(per_second), come)

        self.at(self.chance.expovariate(per_second), come)

    def take_in(self, link: int) -> None:
        """A link with more new cards than the time is enough for."""
        names = ("due", "match", "due/2", "due/3", "due/4")
        for name in names:
            self.queue(_Turn(link, name, name, name in ("due", "match"), CREATE))

    def _repeat(self, turn: _Turn, seconds: float) -> None:
        def come() -> None:
            self.queue(turn)
            self.at(self.now + seconds, come)

        self.at(self.chance.uniform(0, seconds), come)

    # --- the queue --------------------------------------------------------------------------------------

    def queue(self, turn: _Turn) -> None:
        if turn.is_queued:
            return
        turn.is_queued = True
        urgent = not self.is_fair or (turn.urgent and not turn.is_behind)
        self.lines[NOW if urgent else LATER].append(turn)
        self._hand_out()

    def _hand_out(self) -> None:
        for line in (NOW, LATER):
            # The freest worker asks first.
            for worker in sorted(self.workers, key=lambda one: (-one.free.get(line, 0), one.core_at)):
                while worker.free.get(line, 0) and (turn := self._next(line)) is not None:
                    worker.free[line] -= 1
                    self._begin(worker, line, turn)

    def _next(self, line: str) -> _Turn | None:
        for turn in self.lines[line]:
            if self._lane(turn) not in self.running:
                self.lines[line].remove(turn)
                return turn
        return None

    def _lane(self, turn: _Turn) -> tuple[int, str]:
        return (turn.link, turn.lane if self.is_fair else turn.name)

    def _begin(self, worker: _Worker, line: str, turn: _Turn) -> None:
        turn.is_queued = False
        self.running.add(self._lane(turn))
        came, turn.came = turn.came, []
        self.outcome.waits += [self.now - moment for moment in came]
        began, left = self.now, turn.work.steps
        worker.core_at = max(worker.core_at, self.now) + turn.first_seconds
        worker.busy_seconds += turn.first_seconds

        def step() -> None:
            nonlocal left
            is_over = left == 0 if left is not None else self.now - began >= TURN_SECONDS
            if is_over:
                self.running.discard(self._lane(turn))
                worker.free[line] += 1
                self.outcome.place_seconds[line] += self.now - began
                self.outcome.lags += [self.now - moment for moment in came]
                if turn.work.steps is None:
                    turn.is_behind = True
                    self.queue(turn)
                self._hand_out()
                return
            left = None if left is None else left - 1
            worker.core_at = max(worker.core_at, self.now) + turn.work.processor_seconds
            worker.busy_seconds += turn.work.processor_seconds
            self.at(worker.core_at + turn.work.answer_seconds, step)

        step()


def fleet(
    load: Load, workers: int, turns_at_once: int, *, imports: int = 0, is_fair: bool = True
) -> Simulation:
    """Merchants that sell as in the busiest hour, and others that take in new cards without end."""
    simulation = Simulation(workers, turns_at_once, is_fair=is_fair)
    for link in range(load.merchants + imports):
        simulation.rest(link, load.looks_a_second_each)
        if link < load.merchants:
            simulation.sell(link, load.redemptions_a_day_each / 86_400 * load.peak)
        else:
            simulation.take_in(link)
    return simulation


# --- What the page says -------------------------------------------------------------------------------------

#: Workers are to be busy for no more than this part of their time.
BUSY_MAX = 0.6
#: The last one looks at cards a tenth as often.
EXAMPLES = (
    Load(20, 10_000, 500, 5.0),
    Load(1_000, 100_000, 50, 5.0),
    Load(10_000, 100_000, 50, 5.0),
    Load(10_000, 100_000, 50, 0.5),
)
SIMULATED_SECONDS = 600.0


def workers_for(load: Load) -> int:
    """Workers of one core each."""
    return ceil(need(load).worker_cores / BUSY_MAX)


def table() -> list[str]:
    """What the examples need, as the page has it."""
    return [_row(load, need(load)) for load in EXAMPLES]


def _row(load: Load, n: Need) -> str:
    return (
        f"| {load.merchants:,} × {load.cards_each:,} | {load.looks_a_second_each:g} | "
        f"{n.redemptions_a_second:,.1f} | {n.calls_a_second:,.0f} | {n.worker_cores:,.1f} | "
        f"{workers_for(load):,} | {ceil(n.places_now):,} + {ceil(n.places_later):,} | "
        f"{n.server_cores:,.1f} | {n.trips_a_second:,.0f} | {n.cards_gib:,.0f} | {n.gib_a_year:,.0f} |"
    )


def check(load: Load = EXAMPLES[0]) -> tuple[Need, Outcome]:
    """What the paper says of a load, and what the simulation sees of it."""
    return need(load), fleet(load, workers_for(load), 8).run(SIMULATED_SECONDS)


def waiting() -> list[str]:
    """Who waits for imports, as the page has it: two workers, and the first example but for its imports."""
    rows = []
    for imports in (0, 1, 3):
        found = [
            fleet(EXAMPLES[0], 2, 8, imports=imports, is_fair=one).run(SIMULATED_SECONDS)
            for one in (True, False)
        ]
        told = " | ".join(f"{one.p99_wait:.2f} s | {one.p99_lag:.2f} s" for one in found)
        rows.append(f"| {imports} | {told} |")
    return rows


def main() -> None:
    """The page's tables, and how far paper and simulation are apart."""
    print(*table(), sep="\n")
    wanted, seen = check()
    print(
        f"{EXAMPLES[0].merchants} merchants, {workers_for(EXAMPLES[0])} workers, by paper and by simulation: "
        f"cores {wanted.worker_cores:.2f} and {seen.processor_seconds / seen.seconds:.2f}, places now "
        f"{wanted.places_now:.2f} and {seen.place_seconds[NOW] / seen.seconds:.2f}, later "
        f"{wanted.places_later:.2f} and {seen.place_seconds[LATER] / seen.seconds:.2f}"
    )
    print(*waiting(), sep="\n")


if __name__ == "__main__":
    main()
