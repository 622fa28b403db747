"""A small world to run the real protocol in: sides in memory, customers, faults, crashes, a second worker.

Everything that can happen is a choice, so that a schedule is a list of small numbers and can be replayed. The
store is the real one over SQLite in memory; decide, execute, recover and reconcile are the real ones.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select

from connectors.base import Applied, CardRef, Effect, FindResult, Observation, Save
from connectors.memory import CAPABILITIES, MemoryFault, MemorySide
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import crashpoints, decide
from sync.ledger.engine import open_engine
from sync.ledger.store import Store
from sync.ledger.tables import cards, conflicts, intent_states, intents, metadata, movements
from sync.ledger.vault import KEY_BYTES, Vault
from sync.model import Card, LinkRules, Presence, SideRules
from sync.reconcile import reconcile
from sync.work import Link
from tests.simulation.choices import Choices

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SERIAL = "1000200030004000"
QUIET_SECONDS = 60.0
LEASE_SECONDS = 120.0
RUNS_MAX = 16
VAULT = Vault(bytes(range(KEY_BYTES)))


class Crash(BaseException):
    """The process died here."""


class Violation(AssertionError):
    """The oracle found that a guarantee does not hold."""


@dataclass(frozen=True)
class Event:
    """Somebody other than giftsync moves money: a side and a signed amount in minor units."""

    side: str
    amount_minor: int

    def __str__(self) -> str:
        verb = "spends" if self.amount_minor < 0 else "loads"
        return f"a customer {verb} {abs(self.amount_minor)} on {self.side}"


@dataclass(frozen=True)
class Setup:
    """What a family of schedules has in common."""

    sides: tuple[str, ...]
    #: What customers may do, in this order, each at any moment.
    events: tuple[Event, ...]
    faults_max: int
    opening_minor: int = 10
    #: Whether the card exists on every side at the start, or must be created there first.
    in_step: bool = True
    #: Whether sides list entries with markers: the second book.
    lists_entries: bool = False
    #: Late requests land after the quiet period too.
    lands_beyond_quiet: bool = False
    faults: tuple[MemoryFault, ...] = tuple(MemoryFault)
    crash_points: tuple[str, ...] = ("commit.before", "commit.after")
    second_worker: bool = True
    quiet_seconds: float = QUIET_SECONDS


@dataclass
class World:
    """One schedule in the making."""

    setup: Setup
    choices: Choices
    engine: Engine
    story: list[str] = field(default_factory=list)
    now: datetime = START
    events_done: int = 0
    faults_used: int = 0
    moved_minor: int = 0
    nested: bool = False
    card_id: int = 1

    def __post_init__(self) -> None:
        capabilities = replace(CAPABILITIES, lists_entries=self.setup.lists_entries)
        self.sides = {name: SimulatedSide(name, self, capabilities) for name in self.setup.sides}
        markers = itertools.count(1)
        self.store = Store(self.engine, VAULT, lambda: f"gs-{next(markers):04d}")
        self.link = self._link("first")

    def _link(self, owner: str) -> Link:
        return Link(
            store=self.store,
            sides=self.sides,
            rules=LinkRules({name: SideRules() for name in self.setup.sides}),
            clock=lambda: self.now,
            timezone=ZoneInfo("Europe/Oslo"),
            owner=owner,
            quiet_seconds=self.setup.quiet_seconds,
            lease_seconds=LEASE_SECONDS,
        )

    # --- what may happen ------------------------------------------------------------------------------------

    def maybe_event(self) -> None:
        """Customers act before, between and after the calls that giftsync makes."""
        while self.events_done < len(self.setup.events) and self.choices.pick(2):
            self.do_event()

    def do_event(self) -> None:
        event = self.setup.events[self.events_done]
        self.events_done += 1
        side = self.sides[event.side]
        for native_id in side.cards:
            if side.move(native_id, event.amount_minor):
                self.moved_minor += event.amount_minor
                self.story.append(str(event))
                return
        self.story.append(f"{event}: refused")

    def maybe_fault(self, effect: Effect) -> MemoryFault | None:
        if self.nested or self.faults_used >= self.setup.faults_max:
            return None
        answer = self.choices.pick(1 + len(self.setup.faults))
        if not answer:
            return None
        self.faults_used += 1
        fault = self.setup.faults[answer - 1]
        self.story.append(f"the {effect.kind} of {effect.amount_minor} meets {fault}")
        return fault

    def at_crashpoint(self, name: str) -> None:
        if name not in self.setup.crash_points or self.nested or self.faults_used >= self.setup.faults_max:
            return
        answer = self.choices.pick(3 if self.setup.second_worker else 2)
        if answer == 1:
            self.faults_used += 1
            self.story.append(f"the worker dies at {name}")
            raise Crash
        if answer == 2:
            self.faults_used += 1
            self.story.append(
                f"the worker is paused at {name} until its lease is over, and a second one works"
            )
            self._second_worker()

    def _second_worker(self) -> None:
        self.now += timedelta(seconds=LEASE_SECONDS + 1)
        self.nested = True
        try:
            self._work(self._link("second"))
        finally:
            self.nested = False

    # --- running --------------------------------------------------------------------------------------------

    def _work(self, link: Link) -> None:
        lease = link.store.claim(self.card_id, link.owner, self.now, LEASE_SECONDS)
        if lease is not None:
            reconcile(link, lease)

    def run(self) -> None:
        """One run of the worker, which may die in it."""
        try:
            self._work(self.link)
        except Crash:
            pass

    def pass_time(self, seconds: float, lands: bool) -> None:
        if lands:
            for side in self.sides.values():
                if side.land_late():
                    self.story.append(f"a request to {side.name} takes effect late")
        self.now += timedelta(seconds=seconds)

    def play(self) -> None:
        """The whole schedule: runs with everything allowed, then healed runs until quiet, then the oracle."""
        crashpoints.install(self.at_crashpoint)
        try:
            self.maybe_event()
            self.run()
            self.pass_time(1, lands=False)
            self.maybe_event()
            self.run()
            beyond = self.setup.lands_beyond_quiet
            self.pass_time(LEASE_SECONDS + 1, lands=not beyond)
            self.maybe_event()
            self.run()
            self.pass_time(LEASE_SECONDS + 1, lands=True)
        finally:
            crashpoints.install(None)
        while self.events_done < len(self.setup.events):
            self.do_event()
        self.settle_down()
        self.judge()

    def settle_down(self) -> None:
        self.nested = True  # Healed: no faults any more.
        for _ in range(RUNS_MAX):
            before = self.fingerprint()
            self.run()
            self.pass_time(LEASE_SECONDS + 1, lands=True)
            if self.fingerprint() == before and not self.card().open_intents:
                return
        raise Violation(f"not quiet after {RUNS_MAX} runs: {self.describe()}")

    # --- the oracle -----------------------------------------------------------------------------------------

    def card(self) -> Card:
        return self.store.load(self.card_id)

    def fingerprint(self) -> tuple[object, ...]:
        with self.engine.connect() as connection:
            rows = connection.execute(
                select(cards.c.version, cards.c.chain_head).where(cards.c.id == self.card_id)
            ).one()
        return (tuple(rows), tuple(len(side.writes) for side in self.sides.values()))

    def written_off(self) -> int:
        with self.engine.connect() as connection:
            amounts = connection.execute(
                select(movements.c.amount_minor).where(movements.c.kind == "write_off")
            ).scalars()
            return sum(amounts)

    def reported(self) -> int:
        with self.engine.connect() as connection:
            amounts = connection.execute(
                select(conflicts.c.amount_minor).where(conflicts.c.kind == "overdraft")
            ).scalars()
            return sum(amounts)

    def judge(self) -> None:
        """Every guarantee at rest. Raises Violation with the first that does not hold."""
        card = self.card()
        shown = {name: side.shown() for name, side in self.sides.items()}
        truth = self.setup.opening_minor + self.moved_minor
        written_off = self.written_off()
        checks = {
            "money is conserved": card.balance_minor == truth + written_off,
            "every side shows what the hub says": set(shown.values()) == {card.balance_minor},
            "the card is in step": card.in_step,
            "every shortfall is reported exactly": self.reported() == written_off,
            "a shortfall is reported only when there is one": self._shortfall_is_real(written_off, truth),
        }
        if not self.setup.lands_beyond_quiet:
            checks["nothing is applied twice"] = all(s.markers_are_unique() for s in self.sides.values())
        for guarantee, holds in checks.items():
            if not holds:
                raise Violation(f"{guarantee}: no. {self.describe()}")
        before = self.fingerprint()
        self.run()
        if self.fingerprint() != before:
            raise Violation(f"a further run does nothing: no. {self.describe()}")

    def _shortfall_is_real(self, written_off: int, truth: int) -> bool:
        loads = any(event.amount_minor > 0 for event in self.setup.events)
        return written_off >= max(0, -truth) if loads else written_off == max(0, -truth)

    def describe(self) -> str:
        card = self.card()
        shown = {name: side.shown() for name, side in self.sides.items()}
        steps = "; ".join(self.story) or "nothing special"
        return (
            f"opening {self.setup.opening_minor}, customers moved {self.moved_minor}, "
            f"written off {self.written_off()}, hub {card.balance_minor}, sides {shown}. What happened: {steps}."
        )


class SimulatedSide(MemorySide):
    """A memory side around whose every call the customers of the world may act."""

    def __init__(self, name: str, world: World, capabilities: object) -> None:
        super().__init__(
            name,
            lambda: world.now,
            capabilities=capabilities,  # type: ignore[arg-type]
            fault=world.maybe_fault,
        )
        self.world = world

    def observe(self, cards: Sequence[CardRef], *, entries: bool = False) -> Iterator[Observation]:
        if not self.world.nested:
            self.world.maybe_event()
        return super().observe(cards, entries=entries)

    def apply(self, effect: Effect, save: Save) -> Applied:
        if not self.world.nested:
            self.world.maybe_event()
        applied = super().apply(effect, save)
        return applied

    def find(self, effect: Effect) -> FindResult:
        if not self.world.nested:
            self.world.maybe_event()
        return super().find(effect)

    def shown(self) -> int:
        return sum(card.balance_minor for card in self.cards.values())

    def markers_are_unique(self) -> bool:
        markers = [e.marker for card in self.cards.values() for e in card.entries if e.marker]
        return len(markers) == len(set(markers))


@cache
def _template(sides: tuple[str, ...], opening_minor: int, in_step: bool) -> bytes:
    """A ledger with the card as it is at the start, as bytes, so that a schedule starts in a moment."""
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    world = World(Setup(sides, (), 0, opening_minor, in_step), Choices(), engine)
    first = world.sides[sides[0]]
    ref = first.sell(SERIAL, opening_minor)
    seen = next(iter(MemorySide.observe(first, [ref])))
    others = tuple(
        Presence(side, None, Serial(SERIAL), SERIAL[-4:], 0, CardStatus.ACTIVE, None, born=False)
        for side in sides[1:]
    )
    decision = decide.meet({sides[0]: seen}, others, world.link.rules, date(2026, 11, 1))  # type: ignore[dict-item]
    world.store.create(decision, world.now)
    if in_step:
        world.nested = True
        world.run()
        with engine.begin() as connection:
            for table in (intent_states, intents):
                connection.execute(table.delete())
    raw = engine.raw_connection()
    data: bytes = raw.driver_connection.serialize()  # type: ignore[union-attr]
    raw.close()
    engine.dispose()
    return data


_engines: dict[int, Engine] = {}


def make_world(setup: Setup, choices: Choices) -> World:
    """A fresh world at the start of a schedule."""
    engine = _engines.setdefault(0, open_engine("sqlite://"))
    raw = engine.raw_connection()
    connection: sqlite3.Connection = raw.driver_connection  # type: ignore[assignment]
    connection.deserialize(_template(setup.sides, setup.opening_minor, setup.in_step))
    connection.execute("PRAGMA foreign_keys = ON")
    raw.close()
    world = World(setup, choices, engine)
    for position, name in enumerate(setup.sides):
        if position == 0 or setup.in_step:
            world.sides[name].sell(SERIAL, setup.opening_minor)
    return world
