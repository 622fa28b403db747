"""Longer histories than can be enumerated: several cards, statuses, expiry, days that pass.

Hypothesis chooses what happens; after every step the ledger's invariants hold, and at the end, when all is
healed, the sides agree. A failure prints the shortest history that it found and how to run it again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connectors.api.card import Seen
from connectors.api.effect import Effect
from connectors.memory import CAPABILITIES, MemoryCard, MemoryFault, MemorySide
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import crashpoints
from sync.decisions import protocol
from sync.ledger.cards.store import Store
from sync.ledger.proof.pages import read_pages
from sync.ledger.proof.verify import check_card
from sync.model import Card, LinkRules, Presence, SideRules
from sync.reconcile.card import reconcile
from sync.reconcile.work import Link
from tests.simulation.world import (
    LEASE_SECONDS,
    LONG_SECONDS,
    QUIET_SECONDS,
    TABLES,
    VAULT,
    Crash,
    connection_of,
    watched_engine,
    write_rows,
)

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ALL_SIDES = ("pos", "web", "app")
CARDS_MAX = 3
REFUSALS_MAX = 2
RUNS_UNTIL_QUIET_MAX = 40

amounts = st.sampled_from((1, 3, 7, 10))
which = st.integers(0, CARDS_MAX - 1)
sides = st.sampled_from(ALL_SIDES)
#: Before, around and long after the days that can pass.
days = st.sampled_from((-1, 2, 30)).map(lambda d: START.date() + timedelta(days=d))
crashes = st.none() | st.integers(0, 24)


@dataclass
class Told:
    """What really happened to a card. Amounts in minor units."""

    card_id: int
    serial: Serial
    opening_minor: int
    moved_minor: int = 0
    spent_minor: int = 0
    was_closed: bool = False


class Histories(RuleBasedStateMachine):
    """Customers, staff, time and trouble around the real worker."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = watched_engine()
        self.sqlite = connection_of(self.engine)
        write_rows(self.sqlite, tuple(() for _ in TABLES))
        self.now = START
        self.told: list[Told] = []
        self.faults: list[MemoryFault] = []
        self.refusals = 0
        self.unreachable: set[str] = set()
        self.late_until: datetime | None = None
        self.markers = itertools.count(1)
        self.serials = itertools.count(1000200030004000)
        self.rows_before = (0, 0)

    @initialize(count=st.sampled_from((2, 3)), lists_entries=st.booleans())
    def begin(self, count: int, lists_entries: bool) -> None:
        capabilities = replace(CAPABILITIES, lists_entries=lists_entries)
        self.sides = {
            name: MemorySide(
                name,
                lambda: self.now,
                capabilities=capabilities,
                fault=partial(self._fault, name),
            )
            for name in ALL_SIDES[:count]
        }
        self.link = Link(
            store=Store(self.engine, VAULT, lambda: f"gs-{next(self.markers):04d}"),
            sides=self.sides,
            rules=LinkRules({name: SideRules() for name in self.sides}),
            clock=lambda: self.now,
            timezone=ZoneInfo("Europe/Oslo"),
            owner="worker",
            currency="NOK",
            quiet_seconds=QUIET_SECONDS,
            lease_seconds=LEASE_SECONDS,
        )

    def _fault(self, side: str, effect: Effect) -> MemoryFault | None:
        if side in self.unreachable:
            return MemoryFault.NOT_SENT
        fault = self.faults.pop(0) if self.faults else None
        if fault is MemoryFault.LATE and self.late_until is None:
            self.late_until = self.now + timedelta(seconds=QUIET_SECONDS)
        return fault

    def _side(self, name: str) -> MemorySide:
        return self.sides.get(name, self.sides["pos"])

    def _told(self, index: int) -> Told:
        return self.told[index % len(self.told)]

    def _on(self, side: MemorySide, told: Told) -> MemoryCard | None:
        return next((c for c in side.cards.values() if c.serial == told.serial), None)

    # --- customers ------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.told) < CARDS_MAX)
    @rule(side=sides, amount=amounts, expires_on=st.none() | days)
    def sell(self, side: str, amount: int, expires_on: date | None) -> None:
        serial = str(next(self.serials))
        seller = self._side(side)
        ref = seller.sell(serial, amount, expires_on)
        seen = next(iter(seller.observe([ref])))
        assert isinstance(seen, Seen)
        others = tuple(
            Presence(name, None, Serial(serial), serial[-4:], 0, CardStatus.ACTIVE, None, born=False)
            for name in self.sides
            if name != seller.name
        )
        met = protocol.meet({seller.name: seen}, others, self.link.rules, self._today())
        self.told.append(Told(self.link.store.create(met, self.now), Serial(serial), amount))

    def _today(self) -> date:
        return self.now.astimezone(self.link.timezone).date()

    @precondition(lambda self: self.told)
    @rule(index=which, side=sides, amount=amounts, sign=st.sampled_from((-1, -1, 1)))
    def spend_or_load(self, index: int, side: str, amount: int, sign: int) -> None:
        told, seller = self._told(index), self._side(side)
        card = self._on(seller, told)
        if card is not None and seller.move(card.native_id, sign * amount):
            told.moved_minor += sign * amount
            told.spent_minor += amount if sign < 0 else 0

    # --- staff ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.told)
    @rule(index=which, side=sides, status=st.sampled_from((CardStatus.SUSPENDED, CardStatus.ACTIVE)))
    def suspend_or_resume(self, index: int, side: str, status: CardStatus) -> None:
        card = self._on(self._side(side), self._told(index))
        if card is not None and card.status is not CardStatus.CLOSED:
            self._side(side).set(card.native_id, status=status)

    @precondition(lambda self: self.told)
    @rule(index=which, side=sides)
    def close(self, index: int, side: str) -> None:
        card = self._on(self._side(side), self._told(index))
        if card is not None:
            self._side(side).set(card.native_id, status=CardStatus.CLOSED)
            self._told(index).was_closed = True

    @precondition(lambda self: self.told)
    @rule(index=which, side=sides, expires_on=days)
    def change_expiry(self, index: int, side: str, expires_on: date) -> None:
        card = self._on(self._side(side), self._told(index))
        if card is not None and card.status is not CardStatus.CLOSED:
            self._side(side).set(card.native_id, expires_on=expires_on)

    # --- trouble --------------------------------------------------------------------------------------------

    @rule(fault=st.sampled_from(tuple(MemoryFault)))
    def meet_fault(self, fault: MemoryFault) -> None:
        """A side that refuses again and again for no reason is a person's to mend: twice at most."""
        self.refusals += fault is MemoryFault.REFUSED
        if fault is not MemoryFault.REFUSED or self.refusals <= REFUSALS_MAX:
            self.faults.append(fault)

    @rule(side=sides)
    def flap(self, side: str) -> None:
        self.unreachable ^= {self._side(side).name}

    @rule()
    def land_late(self) -> None:
        for side in self.sides.values():
            side.land_late()
        self.late_until = None

    # --- time and work --------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((1.0, 61.0, LONG_SECONDS)))
    def pass_seconds(self, seconds: float) -> None:
        self._pass(timedelta(seconds=seconds))

    @rule(days=st.sampled_from((1, 3)))
    def pass_days(self, days: int) -> None:
        self._pass(timedelta(days=days))

    def _pass(self, duration: timedelta) -> None:
        """A request can be held up only so long."""
        if self.late_until is not None and self.now + duration > self.late_until:
            self.land_late()
        self.now += duration

    @precondition(lambda self: self.told)
    @rule(index=which, crash_at=crashes)
    def sync_one(self, index: int, crash_at: int | None) -> None:
        self._run(self._told(index), crash_at)

    @precondition(lambda self: self.told)
    @rule()
    def sync_all(self) -> None:
        for told in self.told:
            self._run(told)

    def _run(self, told: Told, crash_at: int | None = None) -> None:
        lease = self.link.store.claim(told.card_id, "worker", self.now, LEASE_SECONDS)
        if lease is None:
            return
        points = itertools.count()

        def die(name: str) -> None:
            if next(points) == crash_at:
                note(f"the worker dies at {name}")
                raise Crash

        crashpoints.install(die)
        try:
            reconcile(self.link, lease)
        except Crash:
            pass
        finally:
            crashpoints.install(None)

    # --- at every moment ------------------------------------------------------------------------------------

    @invariant()
    def the_hub_is_never_negative(self) -> None:
        assert not self.sqlite.execute("SELECT id FROM cards WHERE balance_minor < 0").fetchall()

    @invariant()
    def no_row_is_ever_lost(self) -> None:
        """The triggers of the world refuse a change; the counts tell of anything that goes around them."""
        rows = self.sqlite.execute(
            "SELECT (SELECT count(*) FROM movements), (SELECT count(*) FROM intent_states)"
        ).fetchone()
        assert rows >= self.rows_before
        self.rows_before = rows

    @invariant()
    def nothing_is_applied_twice(self) -> None:
        for side in getattr(self, "sides", {}).values():
            markers = [e.marker for c in side.cards.values() for e in c.entries if e.marker]
            assert len(markers) == len(set(markers))

    # --- at the end -----------------------------------------------------------------------------------------

    def teardown(self) -> None:
        crashpoints.install(None)
        if not self.told:
            return
        self.faults, self.unreachable = [], set()
        self.land_late()
        self._settle_down()
        for told in self.told:
            self._check_at_rest(told)
        # Staff make every card usable again; then nothing may be owed anywhere.
        for told in self.told:
            self._make_usable(told)
        self._settle_down()
        for told in self.told:
            self._check_at_rest(told)
            self._check_usable(told)

    def _settle_down(self) -> None:
        """Look at every card, then work on what the ledger says is due, until nothing is; then look again."""
        for _ in range(2):
            self.now += timedelta(seconds=LONG_SECONDS)
            self.sync_all()
            for _ in range(RUNS_UNTIL_QUIET_MAX):
                due = self.sqlite.execute("SELECT min(due_at) FROM cards").fetchone()[0]
                if due is None:
                    break
                self.now = max(self.now, datetime.fromisoformat(due).replace(tzinfo=UTC))
                for lease in self.link.store.claim_due("worker", self.now, LEASE_SECONDS, CARDS_MAX):
                    reconcile(self.link, lease)
            else:
                raise AssertionError("quiet is not reached")
        before = self._traces()
        self.sync_all()
        assert self._traces() == before, "a further run does nothing"

    def _traces(self) -> object:
        return (
            self.sqlite.execute("SELECT version, chain_head FROM cards ORDER BY id").fetchall(),
            self.sqlite.execute("SELECT cause, seen FROM conflicts ORDER BY id").fetchall(),
            [len(side.writes) for side in self.sides.values()],
        )

    def _sum(self, told: Told, kind: str) -> int:
        query = "SELECT coalesce(sum(amount_minor), 0) FROM movements WHERE card_id = ? AND kind = ?"
        return int(self.sqlite.execute(query, (told.card_id, kind)).fetchone()[0])

    def _conflicts(self, told: Told) -> dict[tuple[str, str | None], int]:
        query = "SELECT kind, side, amount_minor FROM conflicts WHERE card_id = ? AND closed_at IS NULL"
        return {(kind, side): amount for kind, side, amount in self.sqlite.execute(query, (told.card_id,))}

    def _shown(self, told: Told) -> Iterator[tuple[MemorySide, MemoryCard]]:
        for side in self.sides.values():
            card = self._on(side, told)
            if card is not None:
                yield side, card

    def _check_at_rest(self, told: Told) -> None:
        card = self.link.store.load(told.card_id)
        note(f"{card}")
        written_off, closed = self._sum(told, "write_off"), self._sum(told, "closed")
        worth = told.opening_minor + told.moved_minor + written_off + closed
        # A side may empty a card as it closes it: money spent right before ends with the card, for all one
        # can tell.
        doubtful = told.spent_minor if told.was_closed else 0
        assert worth <= card.balance_minor <= worth + doubtful, "money is conserved"
        (reported,) = self.sqlite.execute(
            "SELECT coalesce(sum(amount_minor), 0) FROM conflicts WHERE card_id = ? AND kind = 'overdraft'",
            (told.card_id,),
        ).fetchone()
        assert reported == written_off, "every shortfall is reported exactly"
        assert not closed or told.was_closed, "money ends only with a closed card"
        assert not card.open_intents
        self._check_sides(told, card)
        for rows in itertools.chain.from_iterable(read_pages(self.engine)):
            assert not list(check_card(rows, VAULT))

    def _check_sides(self, told: Told, card: Card) -> None:
        """Every side shows what the hub says, or a conflict says exactly by how much it does not, and why."""
        conflicts = self._conflicts(told)
        if told.was_closed:
            assert card.status is CardStatus.CLOSED, "nothing is re-enabled after it was closed"
        for side, shown in self._shown(told):
            presence = card.presence(side.name)
            assert presence.hold is None, "nothing is held without need"
            assert shown.status is card.status
            if card.status is CardStatus.CLOSED:
                continue
            assert shown.expires_on == card.expires_on
            owed = abs(card.balance_minor - shown.balance_minor)
            assert conflicts.get(("not_writable", side.name), 0) == owed, "what cannot be written is told"

    def _make_usable(self, told: Told) -> None:
        for _, shown in self._shown(told):
            if shown.status is not CardStatus.CLOSED:
                shown.status, shown.expires_on = CardStatus.ACTIVE, START.date() + timedelta(days=3650)

    def _check_usable(self, told: Told) -> None:
        card = self.link.store.load(told.card_id)
        if card.status is not CardStatus.CLOSED:
            shown = {side.name: c.balance_minor for side, c in self._shown(told)}
            assert set(shown.values()) == {card.balance_minor}, "all sides are equal"
            assert len(shown) == len(self.sides) or card.balance_minor == 0
            assert card.in_step or len(shown) < len(self.sides)
            kinds = {kind for kind, _ in self._conflicts(told)}
            assert kinds <= {"overdraft", "status", "expiry"}, "no person is asked without need"


TestHistories = Histories.TestCase
