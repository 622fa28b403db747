"""Every mishap at every step of a movement on Flow: real ledger, worker, connector and emulator.

A *step* is a request to Flow or a crash point of the worker, whichever way it comes to it: planning, sending,
saving, reading back, recovering. A *case* is one movement with a mishap at one step, or at two. After it the
worker goes on as it does at its next start, until nothing is due; then everybody must agree.

`python -m tests.simulation.flow_crashes [--pairs [--part 2/5]]` tries them all and prints how many.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select

from connectors.api.card import CardRef
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sandbox.flow import FlowBehaviour, FlowEmulator
from sync import crashpoints
from sync.arrivals.match import Matched
from sync.ledger.database import migrations
from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.tables import cards
from sync.reconcile.card import reconcile
from tests.flow_shop import TOKEN, FlowShop
from tests.flow_wire import Bridge, Mishap, Script
from tests.integration.shop import FLOW, LEASE_SECONDS, SHOPIFY
from tests.support import Clock, Crashed

BALANCE = 100_00
RUNS_MAX = 40
STEPS_MAX = 600
A_MOMENT = timedelta(milliseconds=1)

#: What is tried in pairs. To die before a request is to die after the step before it.
HARD = (Mishap.DIE_AFTER, Mishap.LOSE_ANSWER, Mishap.LATE, Mishap.LATER)


@dataclass(frozen=True)
class Movement:
    """What customers do to a card with BALANCE on it, and what must come of it. Minor units."""

    #: On the other side; giftsync then moves the same in Flow.
    online_minor: int
    left_minor: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Spent in the store right before the money step: it is refused.
    rush_minor: int = 0
    shortfall_minor: int = 0


BY_REFUND = {"api_issue_allowed": False, "refund_settlement_credits": True}
MOVEMENTS = {
    "debit": Movement(-30_00, 70_00),
    "load": Movement(30_00, 130_00),
    "refund": Movement(30_00, 130_00, BY_REFUND),
    "issue": Movement(0, BALANCE),
    "empty": Movement(-BALANCE, 0),
    "close": Movement(-BALANCE, 0),
    # Where nobody has shown that an order settles once, and it does not.
    "unproved": Movement(-30_00, 70_00, {"order_settles_once": False}),
    "race": Movement(-30_00, 0, rush_minor=80_00, shortfall_minor=10_00),
}


@dataclass(frozen=True)
class Ended:
    """A case that came to rest."""

    #: Every step until then.
    steps: Sequence[str]
    struck: Sequence[str]
    #: Empty orders whose uid was never learnt: nothing is owed for them, and nobody can find them.
    lost_orders: int


class Stage:
    """One emulated tenant and one ledger; every case has a card of its own."""

    def __init__(self, name: str, behaviour: FlowBehaviour | None = None) -> None:
        self.name = name
        self._movement = MOVEMENTS[name]
        self._clock = Clock()
        self._loop = asyncio.new_event_loop()
        # The stricter reading: an order whose uid was never learnt keeps its number.
        behaviour = behaviour or FlowBehaviour(
            external_order_number_unique=True, settled_order_takes_more=name == "unproved"
        )
        self._emulator = FlowEmulator(token=TOKEN, clock=self._clock, behaviour=behaviour)
        self._bridge = Bridge(self._emulator, self._loop)
        self._engine = open_engine("sqlite://")
        migrations.upgrade(self._engine)
        self._shop = FlowShop(self._engine, self._clock, bridge=self._bridge, **self._movement.settings)
        self._numbers = itertools.count(5_000_000_000_000_001)
        self._next_order = 1
        #: When the requests land that take until the end of the quiet period.
        self._later_at: datetime | None = None

    def close(self) -> None:
        self._shop.sides[FLOW].close()
        self._engine.dispose()
        self._loop.close()

    def play(self, mishaps: Mapping[int, Mishap]) -> Ended:
        """One case. Raises AssertionError, with its story, when anything is not as it must be."""
        serial, card_id = self._prepare()
        self._new_orders()
        script = self._bridge.script = Script(mishaps, steps_max=STEPS_MAX)
        script.about_to = self._rush(serial)

        def reached(point: str) -> None:
            # A crash point is where the process may die, and nothing else happens there.
            if script.next(point, (Mishap.DIE_BEFORE,)) is not None:
                raise Crashed(point)

        self._to_rest(reached)
        steps = tuple(script.steps)
        script.land()
        made_late = self._work_again(card_id)
        story = f"{self.name}: {'; then '.join(script.struck) or 'no mishap'}"
        lost_orders = self._check(serial, card_id, story)
        assert made_late == (), f"{story}: the next run did {made_late}"
        return Ended(steps, script.struck, lost_orders)

    # --- before ---------------------------------------------------------------------------------------------

    def _prepare(self) -> tuple[Serial, int]:
        """A card that is in step, and a customer on the other side who has just moved it."""
        self._bridge.script = Script({}, steps_max=STEPS_MAX)
        shop = self._shop
        if self.name == "issue":
            serial = Serial(str(next(self._numbers)))
            return serial, shop.meet(SHOPIFY, BALANCE, serial.reveal())
        sold = self._loop.run_until_complete(
            self._emulator.control()["sell"]({"amount": f"{BALANCE / 100:.2f}"})
        )
        serial = Serial(str(sold["number"]))
        assert shop.matcher.match(shop.arrive(FLOW, CardRef(serial=serial))) is Matched.MET
        card_id = shop.card_id(serial.reveal())
        card = shop.work(card_id)
        assert card is not None
        assert card.in_step
        online = shop.sides[SHOPIFY].cards[shop.native(SHOPIFY, serial.reveal())]
        online.balance_minor += self._movement.online_minor
        if self.name == "close":
            online.status = CardStatus.CLOSED
        shop.intake.make_due([card_id], self._clock())
        return serial, card_id

    def _rush(self, serial: Serial) -> Callable[[str], None]:
        """A customer in the store who is quicker than the first money step."""
        left = [self._movement.rush_minor]

        def about_to(step: str) -> None:
            if step == "POST settlements" and left[0]:
                spent: dict[str, object] = {"number": serial.reveal(), "amount": f"{left.pop() / 100:.2f}"}
                left.append(0)
                self._loop.run_until_complete(self._emulator.control()["redeem"](spent))

        return about_to

    # --- the worker -----------------------------------------------------------------------------------------

    def _to_rest(self, reached: Callable[[str], None]) -> None:
        """Work as the worker does, across its deaths, until nothing is due."""
        crashpoints.install(reached)
        self._later_at = None
        try:
            for _ in range(RUNS_MAX):
                try:
                    self._work_due()
                except Crashed:
                    # The next start: the only worker on this ledger takes back what the dead one held.
                    self._shop.worker.recover_ownership()
                    continue
                due_at = self._next_due()
                if due_at is None:
                    return
                if due_at > self._clock():
                    self._wait_until(due_at)
            raise AssertionError("it never comes to rest")
        finally:
            crashpoints.install(None)

    def _wait_until(self, due_at: datetime) -> None:
        """Let time pass, and what was held up land in it: at once, or at the end of the quiet period."""
        script = self._bridge.script
        if script.later and self._later_at is None:
            self._later_at = self._clock() + timedelta(seconds=self._shop.link.quiet_seconds) - A_MOMENT
        if self._later_at is not None and due_at >= self._later_at:
            self._clock.advance(max((self._later_at - self._clock()).total_seconds(), 0.0))
            self._later_at = None
            script.land()
        self._clock.advance((due_at - self._clock()).total_seconds())
        script.land_late()

    def _work_due(self) -> None:
        shop = self._shop
        for lease in shop.store.claim_due("worker 1", self._clock(), LEASE_SECONDS, 10):
            reconcile(shop.link, lease)

    def _next_due(self) -> datetime | None:
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(cards.c.due_at, cards.c.lease_until).where(
                    cards.c.due_at.is_not(None) | cards.c.lease_until.is_not(None)
                )
            ).all()
        return min((moment for row in rows for moment in row if moment is not None), default=None)

    def _work_again(self, card_id: int) -> tuple[str, ...]:
        """One more run of the worker; what it wrote, on either side or in the ledger."""
        before = self._bridge.script.step
        writes, rows = len(self._shop.sides[SHOPIFY].writes), self._counts(card_id)
        self._shop.intake.make_due([card_id], self._clock())
        self._to_rest(lambda point: None)
        asked = [step for step in self._bridge.script.steps[before:] if not step.startswith("GET ")]
        other = len(self._shop.sides[SHOPIFY].writes) - writes
        return (*asked, *["a write on the other side"] * other, *(self._counts(card_id) - rows).elements())

    def _counts(self, card_id: int) -> Counter[str]:
        names = ("movements", "intent_states")
        return Counter({name: len(self._shop.rows(name, card_id=card_id)) for name in names})

    # --- after ----------------------------------------------------------------------------------------------

    def _check(self, serial: Serial, card_id: int, story: str) -> int:
        shop, left = self._shop, self._movement.left_minor
        card = shop.card(card_id)
        in_flow = self._emulator.world.cards.find(serial.reveal())
        assert in_flow is not None, story
        online = shop.sides[SHOPIFY].cards[shop.native(SHOPIFY, serial.reveal())]
        assert (card.balance_minor, in_flow.balance, online.balance_minor) == (left, left, left), story
        assert card.in_step, story
        assert card.status is (CardStatus.CLOSED if self.name == "close" else CardStatus.ACTIVE), story
        told = [(one["kind"], one["amount_minor"]) for one in shop.rows("conflicts", card_id=card_id)]
        short = self._movement.shortfall_minor
        assert told == ([("overdraft", short)] if short else []), story
        landed = Counter(one.reference for one in in_flow.movements if one.reference.startswith("gs-"))
        intents = [i for i in shop.rows("intents", card_id=card_id, side=FLOW) if i["amount_minor"]]
        assert {i["state"] for i in intents} <= {"applied", "refused", "withdrawn"}, story
        assert landed == {i["marker"]: 1 for i in intents if i["state"] == "applied"}, story
        return self._check_orders(len(landed), story)

    def _check_orders(self, movements: int, story: str) -> int:
        """No order is left hanging: each is settled once, parked, or was never more than a number."""
        made = [one for one in self._new_orders() if one.external_number]
        settled = [one for one in made if one.settled_ms is not None]
        assert len(settled) == movements, story
        open_orders = [one for one in made if one.settled_ms is None and one.state != "PARKED"]
        assert [one for one in open_orders if one.items or one.settlements] == [], story
        return len(open_orders)

    def _new_orders(self) -> list[Any]:
        """The orders that were made since the last time."""
        found = []
        while (order := self._emulator.world.till.find(self._next_order)) is not None:
            found.append(order)
            self._next_order += 1
        return found


@dataclass
class Tally:
    """What a set of cases came to; a case that is not as it must be ends it."""

    cases: int = 0
    steps: int = 0
    lost_orders: int = 0

    def add(self, ended: Ended) -> None:
        self.cases += 1
        self.steps += len(ended.steps)
        self.lost_orders += ended.lost_orders


def possible(step: str) -> Sequence[Mishap]:
    """What can befall a step. At a crash point the process may die; nothing else happens there."""
    return tuple(Mishap) if _is_request(step) else (Mishap.DIE_BEFORE,)


def _is_request(step: str) -> bool:
    return step.partition(" ")[0] in ("GET", "POST", "PUT")


def singles(stage: Stage) -> Tally:
    """Every mishap at every step: until it strikes, all goes as without it."""
    tally = Tally()
    for number, step in enumerate(stage.play({}).steps, 1):
        for mishap in possible(step):
            tally.add(stage.play({number: mishap}))
    return tally


def pairs(stage: Stage, part: int = 1, parts: int = 1) -> Tally:
    """The hard mishaps at every two steps: the second strikes while the first is recovered from.

    Of several parts, each has its share of the first mishaps.
    """
    tally, firsts = Tally(), itertools.count()
    for first, step in enumerate(stage.play({}).steps, 1):
        for mishap in _hard(step):
            if next(firsts) % parts != part - 1:
                continue
            alone = stage.play({first: mishap})
            for second, later in enumerate(alone.steps[first:], first + 1):
                for worse in _hard(later):
                    tally.add(stage.play({first: mishap, second: worse}))
    return tally


def _hard(step: str) -> Sequence[Mishap]:
    return HARD if _is_request(step) else possible(step)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.flow_crashes", description=__doc__)
    parser.add_argument("--pairs", action="store_true", help="two mishaps in each case: many minutes")
    parser.add_argument("--part", default="1/1", help="with --pairs, such as 2/5: so much of the work")
    parser.add_argument("--movement", choices=MOVEMENTS, action="append", help="only this one")
    options = parser.parse_args(arguments)
    part, parts = (int(number) for number in options.part.split("/"))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"{'movement':<10}{'cases':>8}{'steps':>10}{'empty orders left':>20}{'seconds':>10}")
    total = 0
    for name in options.movement or MOVEMENTS:
        stage, began = Stage(name), time.monotonic()
        tally = pairs(stage, part, parts) if options.pairs else singles(stage)
        stage.close()
        total += tally.cases
        print(
            f"{name:<10}{tally.cases:>8,}{tally.steps:>10,}{tally.lost_orders:>20,}"
            f"{time.monotonic() - began:>10.0f}",
            flush=True,
        )
    print(f"{total:,} cases, money exact in each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
