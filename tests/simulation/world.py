"""A small world to run the real protocol in: sides in memory, customers, faults, crashes, a second worker.

Everything that can happen is a choice, so that a schedule is a list of small numbers and can be replayed.
The store is the real one over SQLite in memory; decide, execute, recover and reconcile are the real ones. A
world can be saved between two runs of the worker and continued from there, once for every choice that the
next run offers.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from connectors.api.capabilities import Capabilities
from connectors.api.card import CardRef, Observation
from connectors.api.effect import Applied, Effect, EffectKind, FindResult, Save
from connectors.api.errors import InDoubt
from connectors.memory import CAPABILITIES, MemoryCard, MemoryFault, MemorySide
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import crashpoints
from sync.authority.answers import Reply, answer_once
from sync.authority.redemptions import Redemptions, Wish
from sync.authority.work import CardBusy, Hands, Terms
from sync.decisions import protocol
from sync.decisions.authority import Denied, Mode
from sync.ledger.cards.store import Lease, Store
from sync.ledger.database.engine import open_engine
from sync.ledger.database.tables import metadata
from sync.ledger.hub.redemptions import RedemptionRow, find_redemption, made_by
from sync.ledger.hub.requests import Answer, Requests
from sync.ledger.incoming.intake import write_due
from sync.ledger.proof.pages import read_pages
from sync.ledger.proof.verify import check_card
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.model import Caller, Card, Intent, InvariantBroken, LinkRules, Presence, SideRules, Unconfirmed
from sync.reconcile import card as reconcile
from sync.reconcile.execute import next_intent
from sync.reconcile.work import Link, Work
from tests.simulation.choices import Choices

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 1)
SERIAL = "1000200030004000"
QUIET_SECONDS = 60.0
LEASE_SECONDS = 120.0
#: Longer than a lease and a quiet period.
LONG_SECONDS = LEASE_SECONDS + 1
SHORT_SECONDS = 1.0
#: Healed runs until everything must be quiet. The most that any schedule has needed is in the documentation.
RUNS_UNTIL_QUIET_MAX = 12
CARD_ID = 1
VAULT = Vault(bytes(range(KEY_BYTES)))

#: Referring tables last.
TABLES = (
    *("cards", "presences", "intents", "movements", "intent_states", "identities", "conflicts"),
    *("redemptions", "hub_entries", "api_requests"),
)
#: The ledger's promises about its own rows, watched by the database while everything else happens.
WATCHES = (
    "CREATE TABLE watch (awake INTEGER NOT NULL)",
    "INSERT INTO watch VALUES (0)",
    *(
        f"CREATE TRIGGER {table}_{change.lower()} BEFORE {change} ON {table} WHEN (SELECT awake FROM watch)"
        " BEGIN SELECT RAISE(ABORT, 'an append-only row was deleted or changed'); END"
        for table in ("movements", "intent_states", "identities")
        for change in ("DELETE", "UPDATE")
    ),
    (
        "CREATE TRIGGER fencing BEFORE UPDATE ON cards WHEN NEW.fencing < OLD.fencing"
        " BEGIN SELECT RAISE(ABORT, 'a fencing number was lowered'); END"
    ),
)
Rows = tuple[tuple[tuple[object, ...], ...], ...]


#: Calls to sides in one run of one worker; the most that any schedule has needed is far below.
CALLS_MAX = 60


#: Longer than a lease and a quiet period, so that what is in doubt is mostly known before the end.
PENDING_SECONDS = 150.0
TILL = "till"


class Crash(BaseException):
    """The process died here."""


class Known(BaseException):
    """From here on, everything has been tried already."""


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
class Call:
    """Somebody asks the hub: pays with the card under a key, or gives back what was paid under it."""

    amount_minor: int
    key: str = "a"
    #: Gives back so much of what the key has paid.
    reverses: bool = False

    def __str__(self) -> str:
        return f"a caller {'gives back' if self.reverses else 'pays'} {self.amount_minor} under {self.key}"


@dataclass(frozen=True)
class Setup:
    """What a family of schedules has in common."""

    sides: tuple[str, ...]
    #: What customers may do: each at any moment, in any order, or not at all.
    events: tuple[Event, ...]
    faults_max: int
    opening_minor: int = 10
    #: Runs of the worker in which anything may happen; then the world heals.
    runs: int = 3
    #: Whether the card exists on every side at the start, or must be created there first.
    in_step: bool = True
    #: Whether sides list entries with markers: the second book.
    lists_entries: bool = False
    #: Whether sides apply a marker at most once, so that what is in doubt is asked for again.
    applies_marker_once: bool = False
    #: Sides that do, where not all of them do.
    once_on: tuple[str, ...] = ()
    #: What lands at most once under its marker on every side, so that what is not found is asked for again.
    lands_once: frozenset[EffectKind] = frozenset()
    #: Sides that take no money onto a card.
    no_top_up: tuple[str, ...] = ()
    #: Of a world with hints, sides that give none: a change is seen when the rotation comes to the card.
    rotated: tuple[str, ...] = ()
    #: Late requests land after the quiet period too.
    lands_beyond_quiet: bool = False
    #: What a write may meet.
    faults: tuple[MemoryFault, ...] = tuple(MemoryFault)
    #: Whether the worker looks at many cards with one read before it works on them.
    prefetches: bool = False
    #: Whether the worker runs only when a hint or the ledger says so, and looks only at the side that the
    #: hint names; otherwise every run is a sweep.
    hinted: bool = False
    #: Whether a read may stay without an answer.
    read_faults: bool = False
    #: Whether the worker may die at the crash points.
    crashes: bool = True
    #: Whether the worker may be paused until its lease is over and a second one has worked on the card.
    overtaking: bool = True
    #: Whether it may be paused as long without that anybody takes the card.
    pauses: bool = False
    #: Leave out choices that lead where another choice leads; documented in simulation.md, tested in
    #: test_pruning.
    pruned: bool = True
    #: What callers of the API may ask: each before any run, in any order, or not at all.
    calls: tuple[Call, ...] = ()
    #: Whether callers may ask while a worker has the card, too: before each of its calls.
    calls_within: bool = False
    mode: Mode = Mode.AUTHORISE
    unconfirmed: Unconfirmed = Unconfirmed.REFUSE
    pending_seconds: float = PENDING_SECONDS
    quiet_seconds: float = QUIET_SECONDS


@dataclass(frozen=True)
class SideState:
    cards: tuple[MemoryCard, ...]
    late: tuple[tuple[Effect, datetime], ...]


@dataclass(frozen=True)
class State:
    """A world between two runs of the worker."""

    #: The rows of TABLES.
    ledger: Rows
    sides: tuple[SideState, ...]
    now: datetime
    events_left: tuple[Event, ...]
    faults_used: int
    moved_minor: int
    markers_made: int
    story: tuple[str, ...]
    calls_left: tuple[Call, ...] = ()
    #: What customers took off the card, by side.
    spent: tuple[tuple[str, int], ...] = ()
    #: What callers were answered for good: under which key, and what.
    answers: tuple[tuple[str, str], ...] = ()


class World:
    """One schedule in the making."""

    def __init__(self, setup: Setup, choices: Choices | None = None) -> None:
        self.setup = setup
        self.choices = choices or Choices()
        self.engine = watched_engine()
        self.sqlite = connection_of(self.engine)
        self.sides = {name: SimulatedSide(name, self, self._capabilities(name)) for name in setup.sides}
        self.markers_made = 0
        #: Worlds at rest in which every guarantee was found to hold.
        self.judged: set[bytes] = set()
        #: For a told schedule: what the next writes meet.
        self.scripted: list[MemoryFault] = []
        self.store = Store(self.engine, VAULT, self._new_marker)
        #: Told when the worker is about to choose its next intent, with a key of everything that matters
        #: then.
        self.on_rest: Callable[[bytes], None] | None = None
        self.links = [self._link(f"worker {n}") for n in range(1, setup.faults_max + 2 + setup.calls_within)]
        self.begin()

    def _capabilities(self, side: str) -> Capabilities:
        setup = self.setup
        return replace(
            CAPABILITIES,
            lists_entries=setup.lists_entries,
            applies_marker_once=setup.applies_marker_once or side in setup.once_on,
            lands_once=setup.lands_once,
            credits=side not in setup.no_top_up,
        )

    def _new_marker(self) -> str:
        self.markers_made += 1
        return f"gs-{self.markers_made:04d}"

    def _link(self, owner: str) -> Link:
        return Link(
            store=self.store,
            sides=self.sides,
            rules=LinkRules(
                {name: SideRules(credits=name not in self.setup.no_top_up) for name in self.setup.sides}
            ),
            clock=lambda: self.now,
            timezone=ZoneInfo("Europe/Oslo"),
            owner=owner,
            currency="NOK",
            quiet_seconds=self.setup.quiet_seconds,
            lease_seconds=LEASE_SECONDS,
        )

    # --- the start, saving and restoring --------------------------------------------------------------------

    def begin(self) -> None:
        """The card as it is at the start: sold on the first side, in step or to be created elsewhere."""
        setup = self.setup
        write_rows(self.sqlite, _template(setup.sides, setup.opening_minor, setup.in_step))
        for position, side in enumerate(self.sides.values()):
            side.forget()
            if position == 0 or setup.in_step:
                side.sell(SERIAL, setup.opening_minor)
        self.now = START
        self.events_left = list(setup.events)
        self.faults_used = 0
        self.moved_minor = 0
        self.calls_left = list(setup.calls)
        self.spent: Counter[str] = Counter()
        self.answers: dict[str, str] = {}
        self.markers_made = 0 if setup.in_step else len(setup.sides) - 1
        self.story: list[str] = []
        self._reset_run()

    def _reset_run(self) -> None:
        self.healed = False
        self.leases: list[Lease] = []
        self.calls: list[int] = []
        #: How many times something durable happened, and anything that an overtaken worker could miss.
        self.durable_steps = 0
        self.steps = 1
        self._died_at = self._paused_at = 0
        #: What the paused workers have been through, outermost first.
        self._pauses: list[tuple[int, ...]] = []

    def save(self) -> State:
        return State(
            ledger=_rows(self.sqlite),
            sides=tuple(side.save() for side in self.sides.values()),
            now=self.now,
            events_left=tuple(self.events_left),
            faults_used=self.faults_used,
            moved_minor=self.moved_minor,
            markers_made=self.markers_made,
            story=tuple(self.story),
            calls_left=tuple(self.calls_left),
            spent=tuple(sorted(self.spent.items())),
            answers=tuple(sorted(self.answers.items())),
        )

    def restore(self, state: State) -> None:
        write_rows(self.sqlite, state.ledger)
        for side, saved in zip(self.sides.values(), state.sides, strict=True):
            side.restore(saved)
        self.now = state.now
        self.events_left = list(state.events_left)
        self.faults_used = state.faults_used
        self.moved_minor = state.moved_minor
        self.markers_made = state.markers_made
        self.story = list(state.story)
        self.calls_left = list(state.calls_left)
        self.spent = Counter(dict(state.spent))
        self.answers = dict(state.answers)
        self._reset_run()

    # --- what may happen ------------------------------------------------------------------------------------

    def before_call(self, side: SimulatedSide) -> None:
        """Customers act, and requests held up on the way arrive, before a call that could notice."""
        self.steps += 1
        self.calls[-1] += 1
        if self.calls[-1] > CALLS_MAX:
            raise self.violation("a run ends after a bounded number of calls")
        if self.healed:
            return
        for noticed in [side] if self.setup.pruned else self.sides.values():
            self.maybe_events(noticed)
        self.maybe_call()

    def maybe_events(self, side: SimulatedSide) -> None:
        while True:
            possible = self._possible_events(side)
            late = min(len(side.late), 1)
            answer = self.choices.pick(1 + len(possible) + late) if possible or late else 0
            if not answer:
                return
            if answer <= len(possible):
                self.do_event(possible[answer - 1])
            else:
                side.land_one()

    def maybe_call(self) -> None:
        """A caller asks while a worker has the card."""
        within = self.setup.calls_within and self.leases
        possible = list(dict.fromkeys(self.calls_left)) if within else []
        answer = self.choices.pick(1 + len(possible)) if possible else 0
        if answer:
            self.call(possible[answer - 1])

    def _possible_events(self, side: SimulatedSide) -> list[Event]:
        """What may happen next on the side; two customers who do the same are one choice."""
        if not side.cards:
            return []
        return list(dict.fromkeys(e for e in self.events_left if e.side == side.name))

    def do_event(self, event: Event) -> None:
        self.events_left.remove(event)
        side = self.sides[event.side]
        if all(side.move(native_id, event.amount_minor) for native_id in side.cards):
            self.moved_minor += event.amount_minor
            self.spent[event.side] -= min(event.amount_minor, 0)
            self.story.append(str(event))
        else:
            self.story.append(f"{event}, and the till refuses")
        self.hint(side)

    def hint(self, side: SimulatedSide) -> None:
        """The side tells that a card has changed, if it tells anything."""
        if self.setup.hinted and side.name not in self.setup.rotated:
            with self.engine.begin() as connection:
                write_due(connection, [CARD_ID], self.now, side.name)

    def rotate(self, side: str) -> None:
        """The rotation comes to the card on a side."""
        with self.engine.begin() as connection:
            write_due(connection, [CARD_ID], self.now, side)

    def _may_fail(self) -> bool:
        return not self.healed and self.faults_used < self.setup.faults_max

    def _fail(self, words: str) -> None:
        self.faults_used += 1
        self.story.append(words)

    def maybe_fault(self, effect: Effect) -> MemoryFault | None:
        self.durable_steps += 1
        if self.scripted:
            return self.scripted.pop(0)
        if not self._may_fail():
            return None
        answer = self.choices.pick(1 + len(self.setup.faults))
        if not answer:
            return None
        fault = self.setup.faults[answer - 1]
        self._fail(f"the {effect.kind} of {effect.amount_minor} {_FAULT_WORDS[fault]}")
        return fault

    def maybe_read_fault(self) -> None:
        if self.setup.read_faults and self._may_fail() and self.choices.pick(2):
            self._fail("a read stays without an answer")
            raise InDoubt("no answer")

    def at_crashpoint(self, name: str) -> None:
        if name in ("commit.after", "progress.after", "look.after"):
            self.durable_steps += 1
            self.steps += 1
            self.check_moment()
        if not self._may_fail() or (name == "commit.inside" and self.setup.pruned):
            return
        everything = not self.setup.pruned
        ways = ["goes on"]
        if self.setup.crashes and (everything or self.durable_steps != self._died_at):
            ways.append("dies")
        if name != "commit.inside" and (everything or self.steps != self._paused_at):
            ways += ["is paused"] * self.setup.pauses + ["is overtaken"] * self.setup.overtaking
        self._died_at, self._paused_at = self.durable_steps, self.steps
        way = ways[self.choices.pick(len(ways))] if len(ways) > 1 else "goes on"
        if way == "dies":
            self._fail(f"the worker dies at {name}")
            raise Crash
        if way == "is paused":
            self._fail(f"the worker is paused at {name} until its lease is over")
            self.pass_time(LONG_SECONDS)
        elif way == "is overtaken":
            self._fail(
                f"the worker is paused at {name} until its lease is over, and a second one takes the card"
            )
            self.pass_time(LONG_SECONDS)
            self._pauses.append(self.choices.answers)
            self.run()
            self._pauses.pop()

    def pass_time(self, seconds: float) -> None:
        """Requests that the side can no longer hold arrive before the time is over."""
        later = self.now + timedelta(seconds=seconds)
        if not self.setup.lands_beyond_quiet:
            for side in self.sides.values():
                while side.late and side.late[0][1] < later:
                    if not self.healed:
                        self.maybe_events(side)
                    if side.late:
                        side.land_one()
        self.now = later

    # --- running --------------------------------------------------------------------------------------------

    def run(self, *, sweeps: bool = False) -> None:
        """One run of the worker, which may die in it. Raises Violation when the ledger is wronged."""
        link = self.links[len(self.leases)]
        if self.setup.hinted and not sweeps:
            lease = next(iter(link.store.claim_due(link.owner, self.now, LEASE_SECONDS, 1)), None)
        else:
            lease = link.store.claim(CARD_ID, link.owner, self.now, LEASE_SECONDS)
        if lease is None:
            return
        if any(held.until > self.now for held in self.leases):
            raise self.violation("at most one lease is open")
        self.leases.append(lease)
        self.calls.append(0)
        self.steps += 1
        # To die right after a claim is as good as not to have run, unless the claim has used a hint up.
        self.durable_steps += self.setup.hinted
        try:
            self.work(link, lease)
        except Crash:
            pass
        except (DBAPIError, InvariantBroken) as error:
            words = str(getattr(error, "orig", error))
            raise self.violation(f"the ledger allows what is done ({words})") from error
        finally:
            self.leases.pop()
            self.calls.pop()

    def call(self, call: Call) -> None:
        """A caller asks the hub, whose process may die in it: then the answer is lost."""
        self.calls_left.remove(call)
        self.story.append(str(call))
        link = self.links[len(self.leases)]
        terms = Terms(
            mode=self.setup.mode,
            unconfirmed=self.setup.unconfirmed,
            pending_seconds=self.setup.pending_seconds,
            answer_seconds=0.0,
            claim_seconds=0.0,
        )
        hands = SimulatedHands(lambda: link, terms, world=self)
        leases = len(self.leases)
        self.calls.append(0)
        key = f"give back {call.key}" if call.reverses else call.key
        try:
            answer = answer_once(
                Requests(self.engine), TILL, key, str(call), self.now, lambda: self._reply(hands, call, key)
            )
        except Crash:
            return
        except (DBAPIError, InvariantBroken) as error:
            words = str(getattr(error, "orig", error))
            raise self.violation(f"the ledger allows what is done ({words})") from error
        finally:
            del self.leases[leases:]
            self.calls.pop()
        state = str(answer.body["state"])
        if answer.status != 503 and state != "pending" and self.answers.setdefault(key, state) != state:
            raise self.violation(f"a repeated request is answered like the first ({self.answers[key]})")
        self.story.append(f"and is answered: {state}")

    def _reply(self, hands: Hands, call: Call, key: str) -> Reply:
        caller = Caller(TILL, key=key)
        try:
            if not call.reverses:
                wish = Wish(call.amount_minor, "NOK")
                return _reply_of(Redemptions(hands).redeem(CARD_ID, wish, caller))
            paid = self._paid_under(call.key)
            if paid is None:
                return Reply(Answer(404, {"state": "unknown"}), final=False)
            Redemptions(hands).reverse(paid, call.amount_minor, caller)
            return Reply(Answer(200, {"state": "given back"}))
        except Denied as denied:
            return Reply(Answer(409, {"state": f"denied: {denied.reason}"}))
        except CardBusy:
            return Reply(Answer(503, {"state": "busy"}), final=False)

    def _paid_under(self, key: str) -> RedemptionRow | None:
        made = made_by(self.engine, TILL, key)
        return None if made is None else find_redemption(self.engine, made)

    def work(self, link: Link, lease: Lease) -> None:
        # Named twice, because a single card is not worth a batch.
        looked = reconcile.prefetch(link, [lease, lease]) if self.setup.prefetches else {}
        reconcile.reconcile(link, lease, looked=looked.get(CARD_ID))

    def leg(self) -> None:
        """Time passes, then the worker runs; everything may happen."""
        crashpoints.install(self.at_crashpoint)
        reconcile.next_intent = self._rest  # type: ignore[attr-defined]
        try:
            gaps = self._gaps()
            self.pass_time(gaps[self.choices.pick(len(gaps))] if len(gaps) > 1 else gaps[0])
            if self.setup.hinted:  # Otherwise there may be no call before which they could act.
                for side in self.sides.values():
                    self.maybe_events(side)
            for name in self.setup.rotated:
                if self.choices.pick(2):
                    self.rotate(name)
            possible = list(dict.fromkeys(self.calls_left))
            answer = self.choices.pick(1 + len(possible)) if possible else 0
            if answer:
                self.call(possible[answer - 1])
            else:
                self.run()
        finally:
            crashpoints.install(None)
            reconcile.next_intent = next_intent  # type: ignore[attr-defined]

    def _rest(self, card: Card, work: Work) -> Intent | None:
        """The worker holds nothing but the card as committed, and a few flags: worlds can be compared."""
        flags = _flags_of_run()
        if self.on_rest is not None and flags is not None and self._holds_lease():
            position = (
                flags["concludes"],
                *(flags["_"], flags["unread"], sorted(flags["unseen"]), sorted(work.closed)),
                *(self.durable_steps != self._died_at, self.steps != self._paused_at),
                self._pauses,
                self._until(work.lease.until),
            )
            self.on_rest(hashlib.blake2b(repr(position).encode(), key=self.key(), digest_size=16).digest())
            if card != self.card():
                raise self.violation(f"the worker's card is the ledger's: {card} is not {self.card()}")
        return next_intent(card, work)

    def _gaps(self) -> tuple[float, ...]:
        """How long the worker may stay away: only what makes a difference is tried."""
        if not self.setup.pruned:
            return (LONG_SECONDS, SHORT_SECONDS)
        leased, waits = self.sqlite.execute(
            "SELECT (SELECT lease_until FROM cards WHERE id = ?), (SELECT max(not_before) FROM intents"
            " WHERE card_id = ? AND state IN ('planned','sent','in_doubt'))",
            (CARD_ID, CARD_ID),
        ).fetchone()
        if leased is not None:
            return (LONG_SECONDS,)  # After a short absence the card would still be leased to the dead worker.
        return (LONG_SECONDS, SHORT_SECONDS) if waits is not None else (SHORT_SECONDS,)

    @property
    def is_spent(self) -> bool:
        """Whether nothing can happen any more but runs of the worker."""
        late = any(side.late for side in self.sides.values())
        return not self.events_left and not self.calls_left and not self._may_fail() and not late

    def heal(self) -> int:
        """Faults end and customers go home; the worker runs when the ledger says so. Then the oracle judges.

        Returns the number of runs until everything was quiet.
        """
        if self.events_left and self.choices.pick(2):
            for event in tuple(self.events_left):
                if self.sides[event.side].cards:
                    self.do_event(event)
        self.healed = True
        if (
            self.setup.lands_beyond_quiet
            and any(s.late for s in self.sides.values())
            and self.choices.pick(2)
        ):
            self._settle_down()  # What is held up arrives only when everything has long been quiet.
        for side in self.sides.values():
            while side.late:
                side.land_one()
        crashpoints.install(self.at_crashpoint)
        try:
            runs = self._settle_down()
            key = self.key()
            if key not in self.judged:
                self.judge()
                self.judged.add(key)
        finally:
            crashpoints.install(None)
        return runs

    def _settle_down(self) -> int:
        """One sweep, unless hints must do; after that only what the ledger says is due."""
        self.pass_time(LONG_SECONDS)
        for name in self.setup.rotated:
            self.rotate(name)
        self.run()
        for runs in range(1, RUNS_UNTIL_QUIET_MAX):
            due_at = self._due_at()
            if due_at is None:
                return runs
            self.pass_time(max((due_at - self.now).total_seconds(), 0))
            self.run()
        raise self.violation(f"quiet is reached in {RUNS_UNTIL_QUIET_MAX} runs")

    # --- the oracle -----------------------------------------------------------------------------------------

    def _one(self, query: str) -> tuple[int, ...]:
        row: tuple[int, ...] = self.sqlite.execute(query).fetchone()
        return row

    def _due_at(self) -> datetime | None:
        """When the ledger wants to be worked on, or the end of the quiet period that this is a look within.

        When nothing happens any more, a look finds the same as the one at the end.
        """
        due_at, quiet_until = self._one(
            "SELECT coalesce(due_at, lease_until), (SELECT max(not_before) FROM intents"
            " WHERE state = 'in_doubt') FROM cards"
        )
        return None if due_at is None else _instant(max(str(due_at), str(quiet_until or "")))

    def card(self) -> Card:
        return self.store.load(CARD_ID)

    def check_moment(self) -> None:
        """What holds at every moment; deleted and changed rows are caught by the database's triggers."""
        (balance,) = self._one("SELECT balance_minor FROM cards")
        if balance < 0:
            raise self.violation("the hub's balance is never negative")
        if self.leases and not self._holds_lease():
            raise self.violation("a worker whose lease went to another commits nothing")

    def _holds_lease(self) -> bool:
        return self._one("SELECT fencing FROM cards") == (self.leases[-1].fencing,)

    def check_credit(self, effect: Effect) -> None:
        """Money is taken on one side before it is given on another; what stands behind a credit waits."""
        (waiting,) = self._one(
            "SELECT count(*) FROM intents AS debit WHERE kind = 'debit' AND state = 'planned'"
            " AND NOT EXISTS (SELECT 1 FROM intents AS ahead"
            " WHERE ahead.side = debit.side AND ahead.sequence < debit.sequence"
            " AND ahead.kind IN ('credit', 'create') AND ahead.state IN ('planned', 'sent', 'in_doubt'))"
        )
        if effect.kind in (EffectKind.CREDIT, EffectKind.CREATE) and waiting:
            raise self.violation("no money is given while some is still to be taken away")

    def check_landed_once(self, side: SimulatedSide, marker: str) -> None:
        if not self.setup.lands_beyond_quiet and side.landings()[marker] > 1:
            raise self.violation(f"nothing is applied twice, as {marker} was on {side.name}")

    def written_off(self) -> int:
        return self._one("SELECT coalesce(sum(amount_minor), 0) FROM movements WHERE kind = 'write_off'")[0]

    def reported(self) -> int:
        return self._one("SELECT coalesce(sum(amount_minor), 0) FROM conflicts WHERE kind = 'overdraft'")[0]

    def judge(self) -> None:
        """Every guarantee at rest. Raises Violation with the first that does not hold."""
        card = self.card()
        lacking = self._lacking(card)
        redeemed, given_back, undecided = self._one(
            "SELECT coalesce(sum(amount_minor), 0), (SELECT coalesce(sum(amount_minor), 0) FROM hub_entries),"
            " count(ends_at) FROM redemptions"
        )
        truth = self.setup.opening_minor + self.moved_minor - redeemed
        written_off = self.written_off()
        others = self._one(
            "SELECT count(*) FROM conflicts"
            " WHERE closed_at IS NULL AND kind NOT IN ('overdraft', 'duplicate', 'not_writable')"
        )[0]
        checks = {
            "money is conserved to the minor unit": card.balance_minor == truth + written_off,
            "every side shows what the hub says": {
                one + lacking.get(name, 0) for name, one in self._shown().items()
            }
            <= {card.balance_minor},
            "what a side cannot be given is told with its exact amount": self._told_lacking() == lacking,
            "every shortfall is reported exactly": self.reported() == written_off,
            "a shortfall is written off only when there is one": self._shortfall_is_real(
                written_off, truth, given_back
            ),
            "every redemption ends certain": not undecided,
            "callers alone never overdraw the card": redeemed <= self.setup.opening_minor + self._loaded(),
            "what was recorded is entered": not self._one(
                "SELECT count(*) FROM redemptions WHERE NOT entered"
            )[0],
            "what a caller was told stands": all(self._stands(key) for key in self.answers),
            "no side lets money be spent that a caller was told is theirs": self._is_theirs_alone(redeemed),
            "the card exists once on every side": self._exists_everywhere(card),
            "the card is in step": bool(lacking)
            or card.in_step
            or not all(side.cards for side in self.sides.values()),
            "no person is asked without need": not others,
        }
        for guarantee, holds in checks.items():
            if not holds:
                raise self.violation(guarantee)
        for rows in itertools.chain.from_iterable(read_pages(self.engine)):
            for finding in check_card(rows, VAULT):
                raise self.violation(f"the audit finds nothing ({finding.summary})")
        self._judge_idle()

    def _shown(self) -> dict[str, int]:
        return {name: side.shown() for name, side in self.sides.items() if side.cards}

    def _lacking(self, card: Card) -> dict[str, int]:
        """What sides without top-up show less than the hub, since they could not be given it."""
        missing = {name: card.balance_minor - self._shown().get(name, 0) for name in self.setup.no_top_up}
        return {name: minor for name, minor in missing.items() if minor > 0}

    def _told_lacking(self) -> dict[str, int]:
        """What the open conflicts say of it."""
        rows = self.sqlite.execute(
            "SELECT side, amount_minor FROM conflicts WHERE closed_at IS NULL AND kind = 'not_writable'"
        ).fetchall()
        return {str(side): int(minor) for side, minor in rows}

    def _judge_idle(self) -> None:
        before = self._traces()
        self.run(sweeps=True)
        if self._traces() != before:
            raise self.violation("a further run does nothing")

    def _traces(self) -> tuple[object, ...]:
        return (
            self._one("SELECT version, chain_head, due_at FROM cards"),
            tuple(len(side.writes) for side in self.sides.values()),
        )

    def _exists_everywhere(self, card: Card) -> bool:
        """An empty card need not be made on a side that never had it."""
        counts = {len(side.cards) for side in self.sides.values()}
        return counts == {1} or (counts == {0, 1} and card.balance_minor == 0 and not card.open_intents)

    def _stands(self, key: str) -> bool:
        """What was confirmed is taken off the card, but for what was given back; the rest is not."""
        told, made = self.answers[key], made_by(self.engine, TILL, key)
        if key.startswith("give back"):
            return (made is not None) == (told == "given back")
        paid = self._paid_under(key)
        if told == "completed":
            return paid is not None and paid.amount_minor == paid.asked_minor - self._given_back(paid.id)
        return paid is None or paid.amount_minor == 0

    def _given_back(self, redemption_id: str) -> int:
        query = "SELECT coalesce(sum(amount_minor), 0) FROM hub_entries WHERE redemption_id = ?"
        return int(self.sqlite.execute(query, (redemption_id,)).fetchone()[0])

    def _is_theirs_alone(self, redeemed: int) -> bool:
        """In mode `authorise`, no side's own customers could spend what the hub has given away."""
        if self.setup.mode is not Mode.AUTHORISE or self.setup.unconfirmed is not Unconfirmed.REFUSE:
            return True
        least = self.setup.opening_minor + self._loaded()
        return all(spent + redeemed <= least for spent in self.spent.values())

    def _loaded(self) -> int:
        return sum(e.amount_minor for e in self.setup.events if e.amount_minor > 0)

    def _shortfall_is_real(self, written_off: int, truth: int, given_back: int) -> bool:
        """Spending that is seen before a load may overdraw a card that the load would have covered."""
        loaded = given_back + self._loaded()
        least = max(0, -truth)
        return least <= written_off <= (max(0, loaded - truth) if loaded else least)

    def violation(self, guarantee: str) -> Violation:
        return Violation(f"It does not hold that {guarantee}. {self.describe()}")

    def describe(self) -> str:
        (hub,) = self._one("SELECT balance_minor FROM cards")
        shown = ", ".join(f"{name} {side.shown()}" for name, side in self.sides.items())
        steps = "; ".join(self.story) or "nothing special happened"
        return (
            f"The card had {self.setup.opening_minor}; {steps}. Customers moved {self.moved_minor}, "
            f"{self.written_off()} was written off; now the hub says {hub}, the sides show {shown}."
        )

    # --- equal states ---------------------------------------------------------------------------------------

    def key(self) -> bytes:
        """Equal for two worlds that no continuation can tell apart, as far as the oracle looks.

        Names that only identify (markers, row ids, versions, fencing numbers) are replaced by positions and
        moments by their distance from now, which is all that the protocol uses of them.
        """
        card = self.sqlite.execute(
            "SELECT balance_minor, status, expires_on, held, due_for, lease_until, due_at FROM cards"
        ).fetchone()
        presences = self.sqlite.execute(
            "SELECT native_id, shadow_minor, shadow_status, shadow_expires_on, born, stale, hold, refusal,"
            " refusals FROM presences ORDER BY id"
        ).fetchall()
        known: dict[str, tuple[str, int, int]] = {}
        open_intents: list[tuple[Any, ...]] = []
        for marker, state, landings, amount, not_before, look_at, *rest in self.sqlite.execute(
            "SELECT marker, state, landings, amount_minor, not_before, look_at, side, kind, status,"
            " expires_on, status_before, expires_before, progress, doubted, refusal, unclear_reads"
            " FROM intents ORDER BY sequence"
        ):
            if state in ("planned", "sent", "in_doubt"):
                known[marker] = (f"open {len(open_intents)}", landings, amount)
                moments = (self._until(not_before), self._until(look_at))
                open_intents.append((state, landings, amount, *moments, *rest))
            else:
                known[marker] = ("closed", landings, amount)
        conflicts = self.sqlite.execute(
            "SELECT kind, side, sum(amount_minor), count(*) FROM conflicts WHERE closed_at IS NULL"
            " GROUP BY kind, side ORDER BY kind, side"
        ).fetchall()
        whole = (
            (*card[:5], self._until(card[5]), self._until(card[6]) if self.setup.hinted else None),
            presences,
            open_intents,
            conflicts,
            (self.written_off(), self.reported(), self.moved_minor),
            [side.key(known, self.now) for side in self.sides.values()],
            (sorted(map(str, self.events_left)), self.faults_used),
            self._called() if self.setup.calls else (),
        )
        return hashlib.blake2b(repr(whole).encode(), digest_size=16).digest()

    def _called(self) -> object:
        """What callers asked, what came of it, and what they know."""
        rows = self.sqlite.execute(
            "SELECT q.key, q.status, r.state, r.asked_minor, r.amount_minor, r.confirmed, r.entered,"
            " r.ends_at, e.amount_minor FROM api_requests AS q LEFT JOIN redemptions AS r ON r.id = q.made"
            " LEFT JOIN hub_entries AS e ON e.id = q.made ORDER BY q.key"
        ).fetchall()
        moved = [(*row[:7], self._until(row[7]), row[8]) for row in rows]
        order = self.sqlite.execute(
            "SELECT q.key FROM redemptions AS r JOIN api_requests AS q ON q.made = r.id"
            " WHERE r.ends_at IS NOT NULL ORDER BY r.made_at, r.id"
        ).fetchall()
        left, answers = sorted(map(str, self.calls_left)), sorted(self.answers.items())
        return (moved, order, left, answers, sorted(self.spent.items()))

    def _until(self, moment: str | datetime | None) -> float | None:
        if moment is None:
            return None
        instant = moment if isinstance(moment, datetime) else _instant(moment)
        return max((instant - self.now).total_seconds(), 0.0)


_FAULT_WORDS = {
    MemoryFault.NOT_SENT: "cannot be sent",
    MemoryFault.THROTTLED: "is throttled",
    MemoryFault.REFUSED: "is refused",
    MemoryFault.DROPPED: "is lost on the way, without a word",
    MemoryFault.ANSWER_LOST: "takes effect and its answer is lost",
    MemoryFault.LATE: "is held up on the way",
}


def _flags_of_run() -> dict[str, Any] | None:
    """The flags of the run of the worker that is about to choose an intent; None within a call."""
    caller = sys._getframe(3)
    concludes = caller.f_code.co_name == "conclude"
    if concludes:
        caller = sys._getframe(4)
    if caller.f_code.co_name != "_work":
        return None
    return {**caller.f_locals, "concludes": concludes}


def _reply_of(made: RedemptionRow) -> Reply:
    state = made.state.value
    return Reply(Answer(202 if state == "pending" else 201, {"state": state}), final=state != "pending")


@dataclass(frozen=True)
class SimulatedHands(Hands):
    """Hands whose leases the oracle knows of."""

    world: World | None = None

    def _claim(self, link: Link, card_id: int) -> Work:
        world = self.world
        assert world is not None
        work = super()._claim(link, card_id)
        if any(held.until > world.now for held in world.leases):
            raise world.violation("at most one lease is open")
        world.leases.append(work.lease)
        world.steps += 1
        world.durable_steps += world.setup.hinted
        return work


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
        #: Requests held up on the way, each with the moment after which the side cannot hold it any more.
        self.late: list[tuple[Effect, datetime]] = []

    def observe(
        self, cards: Sequence[CardRef], *, entries: bool = False, urgent: bool = True
    ) -> Iterator[Observation]:
        self.world.before_call(self)
        self.world.maybe_read_fault()
        return super().observe(cards, entries=entries, urgent=urgent)

    def lookup(self, serial: Serial) -> Observation:
        self.world.before_call(self)
        self.world.maybe_read_fault()
        return super().lookup(serial)

    def apply(self, effect: Effect, save: Save) -> Applied:
        self.world.before_call(self)
        self.world.check_credit(effect)
        try:
            return super().apply(effect, save)
        finally:
            if self._late:
                until = self.world.now + timedelta(seconds=QUIET_SECONDS)
                self.late.append((self._late.pop(), until))

    def find(self, effect: Effect) -> FindResult:
        self.world.before_call(self)
        self.world.maybe_read_fault()
        return super().find(effect)

    def land_one(self) -> None:
        effect, _ = self.late.pop(0)
        had_effect = self._try(effect)
        words = "arrives and takes effect" if had_effect else "arrives and is refused"
        self.world.story.append(f"the held up {effect.kind} of {effect.amount_minor} {words}")
        self.world.hint(self)

    def _carry_out(self, effect: Effect) -> MemoryCard:
        card = super()._carry_out(effect)
        self.world.check_landed_once(self, effect.marker)
        return card

    def shown(self) -> int:
        return sum(card.balance_minor for card in self.cards.values())

    def landings(self) -> Counter[str]:
        return Counter(e.marker for card in self.cards.values() for e in card.entries if e.marker)

    # --- saving and restoring -------------------------------------------------------------------------------

    def forget(self) -> None:
        self.restore(SideState((), ()))

    def save(self) -> SideState:
        cards = tuple(
            replace(card, entries=list(card.entries), applied=set(card.applied))
            for card in self.cards.values()
        )
        return SideState(cards, tuple(self.late))

    def restore(self, state: SideState) -> None:
        self.cards = {
            c.native_id: replace(c, entries=list(c.entries), applied=set(c.applied)) for c in state.cards
        }
        self.late = list(state.late)
        self.writes = []
        self._journal = []
        self._ids = itertools.count(len(self.cards) + 1)
        self._entry_ids = itertools.count(sum(len(c.entries) for c in self.cards.values()) + 1)

    def key(self, known: dict[str, tuple[str, int, int]], now: datetime) -> object:
        """What the side shows, and what of our markers the ledger does not know of yet."""
        landings = self.landings()
        unknown = sorted(
            (known[marker], landings[marker])
            for marker in {*landings, *(effect.marker for effect, _ in self.late)}
            if known[marker][0] != "closed" or landings[marker] != known[marker][1]
        )
        return (
            [(c.balance_minor, c.status.value, str(c.expires_on), c.created_by) for c in self.cards.values()],
            unknown,
            [
                (e.kind.value, e.amount_minor, known[e.marker], max((until - now).total_seconds(), 0.0))
                for e, until in self.late
            ],
        )


def _instant(stored: str) -> datetime:
    return datetime.fromisoformat(stored).replace(tzinfo=UTC)


def connection_of(engine: Engine) -> sqlite3.Connection:
    """What the store writes to, without SQLAlchemy: for the oracle, and to save and restore."""
    raw = engine.raw_connection()
    connection: sqlite3.Connection = raw.driver_connection  # type: ignore[assignment]
    raw.close()  # Back to a pool of one.
    return connection


def _rows(connection: sqlite3.Connection) -> Rows:
    return tuple(tuple(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in TABLES)


def write_rows(connection: sqlite3.Connection, ledger: Rows) -> None:
    """Rows are replaced one by one: to load a database whole would cost every statement its plan."""
    connection.execute("BEGIN")
    connection.execute("UPDATE watch SET awake = 0")
    # What is told to subscribers: no decision reads it.
    connection.execute("DELETE FROM card_changes")
    for table in reversed(TABLES):
        connection.execute(f"DELETE FROM {table}")
    for table, rows in zip(TABLES, ledger, strict=True):
        if rows:
            marks = ",".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    connection.execute("UPDATE watch SET awake = 1")
    connection.execute("COMMIT")


@cache
def watched_engine() -> Engine:
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    connection = connection_of(engine)
    for watch in WATCHES:
        connection.execute(watch)
    return engine


@cache
def _template(sides: tuple[str, ...], opening_minor: int, in_step: bool) -> Rows:
    """A ledger with the card as it is at the start."""
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    shown = {}
    for side in sides if in_step else sides[:1]:
        there = MemorySide(side, lambda: START)
        shown[side] = next(iter(there.observe([there.sell(SERIAL, opening_minor)])))
    others = tuple(
        Presence(side, None, Serial(SERIAL), SERIAL[-4:], 0, CardStatus.ACTIVE, None, born=False)
        for side in sides
        if side not in shown
    )
    markers = itertools.count(1)
    rules = LinkRules({name: SideRules() for name in sides})
    decision = protocol.meet(shown, others, rules, TODAY)  # type: ignore[arg-type]
    Store(engine, VAULT, lambda: f"gs-{next(markers):04d}").create(decision, START)
    rows = _rows(connection_of(engine))
    engine.dispose()
    return rows
