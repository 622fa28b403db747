"""A merchant to test with: sides in memory, a real ledger, and everything that works on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Table, select, text

from connectors.api.abilities import Abilities
from connectors.api.capabilities import Capabilities, Place
from connectors.api.card import CardRef
from connectors.api.effect import Effect
from connectors.api.feed import Hint, HintPage
from connectors.memory import CAPABILITIES, MemoryCard, MemoryFault, MemorySide
from mappings.sentences import say
from mappings.serials import Serial
from sync.arrivals.match import Matched, Matcher
from sync.ledger.cards.pool import Pool
from sync.ledger.cards.store import Lease, Store
from sync.ledger.database.engine import reading
from sync.ledger.incoming.intake import Arrival, Intake
from sync.ledger.secrets.vault import Vault
from sync.model import Card, FirstContact, LinkRules, SideRules
from sync.reconcile.card import reconcile
from sync.reconcile.work import Link
from sync.worker.passes import PassReport, WorkerOptions
from sync.worker.worker import Worker
from tests.support import Clock, MovesClock

FLOW, SHOPIFY = "flow", "shopify"
#: What people call them.
PLACES = {
    FLOW: Place("Flow", "Flow Admin", where="store", at=say("in the store")),
    SHOPIFY: Place("Shopify", "Shopify Admin", where="online", at="online"),
}
SERIAL = "1000200030004000"
LEASE_SECONDS = 120.0


class Shop:
    """Sides and ledger of one merchant. Amounts in minor units of NOK."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        clock: Clock,
        *,
        capabilities: Mapping[str, Capabilities] | None = None,
        rules: Mapping[str, SideRules] | None = None,
        first_contact: FirstContact = FirstContact.ASK,
        first_contact_side: str | None = None,
        serial_prefix: str | None = None,
        names: tuple[str, ...] = (FLOW, SHOPIFY),
        threads: int = 4,
    ) -> None:
        self.engine, self.vault, self.clock = engine, vault, clock
        self._faults: dict[str, list[MemoryFault]] = defaultdict(list)
        self.sides = {name: self._side(name, (capabilities or {}).get(name, CAPABILITIES)) for name in names}
        self.store = Store(engine, vault)
        given = {name: SideRules() for name in names} | dict(rules or {})
        side_rules = {
            name: replace(one, serial_prefix=one.serial_prefix or serial_prefix)
            for name, one in given.items()
        }
        self.link = Link(
            store=self.store,
            sides=self.sides,
            rules=LinkRules(side_rules, first_contact, first_contact_side),
            clock=clock,
            timezone=ZoneInfo("Europe/Oslo"),
            owner="worker 1",
            currency="NOK",
            lease_seconds=LEASE_SECONDS,
        )
        self.intake = Intake(engine, vault)
        self.pool = Pool(engine, vault)
        self.matcher = Matcher(self.link, self.intake, self.pool, lambda n: "7" * n)
        self.worker = Worker(self.link, self.matcher, WorkerOptions(threads=threads))

    def _side(self, name: str, capabilities: Capabilities) -> MemorySide:
        side = MemorySide(name, self.clock, capabilities=capabilities, fault=lambda _: self._fault(name))
        side.abilities = Abilities(place=PLACES.get(name))
        return side

    # --- what happens ---------------------------------------------------------------------------------------

    def fail(self, side: str, *faults: MemoryFault) -> None:
        """The next writes on the side meet these, one each."""
        self._faults[side] += faults

    def _fault(self, side: str) -> MemoryFault | None:
        with suppress(IndexError):  # Of several threads, one gets the last.
            return self._faults[side].pop(0)
        return None

    def arrive(self, side: str, ref: CardRef, **more: Any) -> Arrival:
        """A feed tells of the card; one that is seen online was bought there unless a test says otherwise."""
        more.setdefault("sold_here", side == SHOPIFY)
        last = more.pop("last_chars", None) or (ref.serial.last_chars if ref.serial else "")
        page = HintPage([Hint(ref, "test", last, **more)], "1")
        self.intake.take_in(side, "test", page, self.clock(), tells_changes=True)
        return next(a for a in self.intake.due_arrivals(self.clock(), 100) if a.card == ref)

    def sell(
        self, side: str, amount_minor: int, serial: str = SERIAL, expires_on: date | None = None
    ) -> CardRef:
        return self.sides[side].sell(serial, amount_minor, expires_on)

    def meet(self, side: str, amount_minor: int, serial: str = SERIAL) -> int:
        """A card is sold on the side and the hub meets it; returns its id. Nothing is carried out yet."""
        ref = self.sell(side, amount_minor, serial)
        matched = self.matcher.match(self.arrive(side, ref))
        if matched is not Matched.MET:
            raise AssertionError(f"the card was not met: {matched}")
        return self.card_id(serial)

    def in_step(self, amount_minor: int = 10_000, serial: str = SERIAL) -> int:
        """A card that is the same everywhere; returns its id."""
        card_id = self.meet(FLOW, amount_minor, serial)
        card = self.work(card_id)
        if card is None or not card.in_step:
            raise AssertionError(f"not in step: {card}")
        return card_id

    def move(self, side: str, amount_minor: int, serial: str = SERIAL) -> bool:
        """A customer spends (negative) or loads on the side."""
        return self.sides[side].move(self.native(side, serial), amount_minor)

    # --- working --------------------------------------------------------------------------------------------

    def claim(self, card_id: int, owner: str = "worker 1") -> Lease:
        lease = self.store.claim(card_id, owner, self.clock(), LEASE_SECONDS)
        if lease is None:
            raise AssertionError(f"card {card_id} is leased")
        return lease

    def work(self, card_id: int) -> Card | None:
        """One piece of work on the card."""
        return reconcile(self.link, self.claim(card_id))

    def work_until_quiet(self, card_id: int, runs_max: int = 20) -> Card:
        """Work as often as the ledger says that it is due; time passes in between."""
        for _ in range(runs_max):
            card = self.work(card_id)
            due_at = self.row("cards", id=card_id)["due_at"]
            if card is not None and due_at is None:
                return card
            if due_at is not None and due_at > self.clock():
                self.clock.advance((due_at - self.clock()).total_seconds())
        raise AssertionError(f"card {card_id} is never quiet")

    def sync(self) -> PassReport:
        """One pass of the worker; where it waits, time passes."""
        return self.worker.sync_once(stop=MovesClock(self.clock))

    # --- looking --------------------------------------------------------------------------------------------

    def _cards(self, side: str) -> list[MemoryCard]:
        """The cards there at one moment, while workers make others."""
        return list(self.sides[side].cards.values())

    def native(self, side: str, serial: str = SERIAL) -> str:
        return next(c.native_id for c in self._cards(side) if c.serial == Serial(serial))

    def shown(self, serial: str = SERIAL) -> dict[str, int]:
        """What each side that has the card shows."""
        return {
            name: card.balance_minor
            for name in self.sides
            for card in self._cards(name)
            if card.serial == Serial(serial)
        }

    def card(self, card_id: int) -> Card:
        return self.store.load(card_id)

    def card_id(self, serial: str = SERIAL) -> int:
        return int(self.row("presences", serial_index=self.vault.index(Serial(serial)))["card_id"])

    def rows(self, table: str, **where: object) -> list[dict[str, Any]]:
        from_table: Table = _table(table)
        query = select(from_table).where(*(from_table.c[name] == value for name, value in where.items()))
        key = (
            "chain_seq" if "chain_seq" in from_table.c and table != "cards" else next(iter(from_table.c)).name
        )
        with reading(self.engine) as connection:
            found = connection.execute(query.order_by(from_table.c[key])).mappings()
            return [dict(row) for row in found]

    def row(self, table: str, **where: object) -> dict[str, Any]:
        found = self.rows(table, **where)
        if not found:
            raise AssertionError(f"no row of {table} with {where}")
        return found[0]

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """The whole ledger, to show that something left it as it was."""
        names = ("cards", "presences", "movements", "intents", "intent_states", "conflicts")
        return {name: self.rows(name) for name in names}

    def by_hand(self, *statements: str) -> None:
        """Somebody changes the database with a tool of their own, which minds no foreign keys."""
        with self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SET session_replication_role = replica"))
            del raw
            for statement in statements:
                connection.execute(text(statement))
            connection.commit()
            connection.invalidate()


def _table(name: str) -> Table:
    from sync.ledger.database.tables import metadata

    return metadata.tables[name]


def hidden(capabilities: Capabilities = CAPABILITIES) -> Capabilities:
    """A side that sells cards whose serial only their owner knows."""
    return replace(capabilities, hides_serials=True)


def later(clock: Clock, seconds: float) -> datetime:
    return clock() + timedelta(seconds=seconds)


def effects(side: MemorySide) -> list[tuple[str, int]]:
    """What was written to the side: kinds and amounts, in order."""
    return [_effect(e) for e in side.writes]


def _effect(effect: Effect) -> tuple[str, int]:
    return effect.kind.value, effect.amount_minor
