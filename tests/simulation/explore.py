"""Try every schedule of a family: legs of the worker, each in every way that it can go.

Two schedules that lead to equal worlds have the same future. Such a world is continued once, and counted for
all the schedules that led to it: between two runs of the worker, and within a run each time that the worker
has committed everything it knows and is about to choose its next intent.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from tests.simulation.choices import every_way
from tests.simulation.world import Known, Setup, State, Violation, World

EXAMPLES_MAX = 3
#: The end of a schedule that broke a guarantee half way.
BROKEN = b"broken"


@dataclass(frozen=True)
class CounterExample:
    """A schedule that breaks a guarantee: how much had to go on, and the story in words."""

    events_and_faults: int
    steps: int
    words: str

    @property
    def size(self) -> tuple[int, int, int]:
        return (self.events_and_faults, self.steps, len(self.words))


@dataclass
class Report:
    """What the exploration of one family found."""

    setup: Setup
    #: Different schedules, and how many of them break a guarantee.
    schedules: int = 0
    violations: int = 0
    #: What it took: different worlds between two runs, and runs of the worker with choices in them.
    worlds: int = 0
    legs: int = 0
    runs_until_quiet: int = 0
    seconds: float = 0.0
    #: What everybody ends up with: the hub, the sides, what was written off, all in minor units.
    outcomes: set[tuple[int, ...]] = field(default_factory=set)
    counter_examples: list[CounterExample] = field(default_factory=list)

    def blame(self, world: World, violation: Violation) -> None:
        happened = len(world.setup.events) - len(world.events_left)
        example = CounterExample(happened + world.faults_used, len(world.story), str(violation))
        self.counter_examples = sorted([*self.counter_examples, example], key=lambda e: e.size)[:EXAMPLES_MAX]


def explore(setup: Setup, *, merges_within_runs: bool = True) -> Report:
    """Every schedule of the family."""
    started = time.monotonic()
    report = Report(setup)
    world = World(setup)
    legs = _Legs(world, report, merges_within_runs)
    ways = Counter({legs.meet(): 1})
    spent: Counter[bytes] = Counter()
    for _ in range(setup.runs):
        reached: Counter[bytes] = Counter()
        for key, ways_here in ways.items():
            for end, ways_there in legs.ends(key).items():
                into = spent if legs.is_spent[end] else reached
                into[end] += ways_here * ways_there
        ways = reached
    for key, ways_here in (ways + spent).items():
        if key == BROKEN:
            report.schedules += ways_here
            report.violations += ways_here
        else:
            _judge(world, legs.states[key], ways_here, report)
    report.worlds = len(legs.states)
    report.seconds = time.monotonic() - started
    return report


class _Legs:
    """The runs of the worker from every world that can be there before one, in every way."""

    def __init__(self, world: World, report: Report, merges: bool) -> None:
        self.states: dict[bytes, State] = {}
        #: Whether nothing but runs of the worker can happen there any more.
        self.is_spent = {BROKEN: True}
        self._world, self._report, self._merges = world, report, merges
        self._ends: dict[bytes, Counter[bytes]] = {}
        #: For every world within a run: the way that first led there, and where it has ended since, how
        #: often.
        self._known: dict[bytes, tuple[tuple[object, ...], Counter[bytes]]] = {}
        self._passed: list[Counter[bytes]] = []

    def meet(self) -> bytes:
        """Keep the present world, unless an equal one with as short a story is kept."""
        key = self._world.key()
        state = self.states.get(key)
        if state is None or len(self._world.story) < len(state.story):
            self.states[key] = self._world.save()
            self.is_spent[key] = self._world.is_spent
        return key

    def ends(self, key: bytes) -> Counter[bytes]:
        """To which worlds the next run leads from there, and in how many ways to each."""
        if key in self._ends:
            return self._ends[key]
        ends = self._ends[key] = Counter()
        state = self.states[key]
        for choices in every_way():
            self._report.legs += 1
            self._passed = [ends]
            self._world.choices = choices
            self._world.on_rest = partial(self._rest, key) if self._merges else None
            self._world.restore(state)
            led_to = self._leg()
            for passed in self._passed:
                passed.update(led_to)
        return ends

    def _leg(self) -> Counter[bytes]:
        try:
            self._world.leg()
        except Known:
            return self._merged
        except Violation as violation:
            self._report.blame(self._world, violation)
            return Counter({BROKEN: 1})
        return Counter({self.meet(): 1})

    def _rest(self, start: bytes, key: bytes) -> None:
        """Choices are tried in order: whatever another beginning led to has been tried to its ends."""
        beginning = (start, *self._world.choices.answers)
        first, ends = self._known.setdefault(key, (beginning, Counter()))
        if first != beginning:
            self._merged = Counter(ends)
            raise Known
        self._passed.append(ends)


def _judge(world: World, state: State, ways: int, report: Report) -> None:
    world.on_rest = None
    for choices in every_way():
        report.schedules += ways
        world.choices = choices
        world.restore(state)
        try:
            report.runs_until_quiet = max(report.runs_until_quiet, world.heal())
            shown = (side.shown() for side in world.sides.values())
            report.outcomes.add((world.card().balance_minor, *shown, world.written_off()))
        except Violation as violation:
            report.violations += ways
            report.blame(world, violation)


def explore_one_by_one(setup: Setup) -> Report:
    """The same without any merging: every schedule from its beginning. For families that are small enough."""
    report = Report(setup)
    world = World(setup)
    start = world.save()
    for choices in every_way():
        report.schedules += 1
        world.choices = choices
        world.restore(start)
        try:
            for _ in range(setup.runs):
                if not world.is_spent:
                    world.restore(world.save())
                    world.leg()
            world.restore(world.save())
            world.heal()
            shown = (side.shown() for side in world.sides.values())
            report.outcomes.add((world.card().balance_minor, *shown, world.written_off()))
        except Violation as violation:
            report.violations += 1
            report.blame(world, violation)
    return report
