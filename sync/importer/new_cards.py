"""Makes many new cards from files, where that is faster than one by one.

A first pass may meet thousands of cards that the online shop lacks. One by one each create costs points of
the shop; from a file nearly none. They go the importer's way (`sync.importer.mass`): under the same intents
and leases, with the rows of a plan that is made for them, so a process that dies anywhere is followed by
one that takes the file up again. What needs more than its create is left to the ordinary work on cards.

A pass makes all of them and waits for their files (`make`). Workers do it in turns (`turn`) beside all that
a customer may wait for: a turn starts one file of at most TURN_CARDS cards, or takes in what came of the
last. Only the cards of that file wait for it, a minute by the assumed pace of files; every other card is
worked on meanwhile, also those that are to be made and are not in the file.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import structlog

from connectors.api.bulk import MassCreator
from sync.importer.estimate import Estimate, estimate
from sync.importer.mass import MassSender
from sync.importer.progress import ImportProgress, StopSignal
from sync.ledger.cards.batches import Batches, Held
from sync.ledger.imports.rows import LEASE_SECONDS, Import, Imports
from sync.reconcile.work import Link
from sync.worker.passes import PassReport, Progress, silent

log = structlog.get_logger(__name__)

#: Cards that are claimed together.
CLAIMED = 200
#: Cards of one file that is made in turns: by the assumed pace the side is done with it within a minute.
TURN_CARDS = 1_000
#: Until the next turn while a side makes cards from a file, and while a card of one waits for its quiet
#: period or a person; and how often a turn tells the side to start.
FILE_SECONDS = 3.0
WAITING_SECONDS = 10.0
TURN_STARTS_MAX = 3


@dataclass(frozen=True)
class NewCards:
    """The new cards of one link. `alone`: no other process can be at work on the ledger."""

    imports: Imports
    alone: bool

    def make(
        self, link: Link, report: PassReport, run_id: int, progress: Progress, stop: threading.Event
    ) -> None:
        """Make those that wait, side by side. Raises like a side, BrakeTripped and LinkStopped."""
        for name, side in link.sides.items():
            creator = side.abilities.mass_creator
            if creator is None or not link.rules.side(name).creates:
                continue
            for plan in self.imports.begun_by_passes(name):
                # An earlier pass died, or had to leave a part.
                self._carry(link, plan, name, creator, report, run_id, progress, stop)
            if not stop.is_set() and self._is_worth_a_file(link, name, creator):
                plan = self.imports.begin_for_pass(name, link.currency, link.clock())
                self._carry(link, plan, name, creator, report, run_id, progress, stop)

    def turn(self, link: Link, report: PassReport, run_id: int, stop: threading.Event) -> float | None:
        """Go on with those that wait; seconds until there is more to do, None when no file is worth it.

        Raises as `make` does.
        """
        waits: list[float] = []
        for name, side in link.sides.items():
            creator = side.abilities.mass_creator
            if creator is None or not link.rules.side(name).creates:
                continue
            for plan in self.imports.begun_by_passes(name):
                self._carry(link, plan, name, creator, report, run_id, silent, stop, in_turns=True)
            if not stop.is_set() and not self._has_files(name) and self._is_worth_a_file(link, name, creator):
                plan = self.imports.begin_for_pass(name, link.currency, link.clock())
                self._carry(link, plan, name, creator, report, run_id, silent, stop, in_turns=True)
            if self._has_files(name):
                waits.append(FILE_SECONDS)
            elif self.imports.begun_by_passes(name):
                waits.append(WAITING_SECONDS)
        return min(waits, default=None)

    def _has_files(self, side: str) -> bool:
        """Whether the side is making cards from a file whose outcome is not taken in."""
        return any(self.imports.open_batches(plan) for plan in self.imports.begun_by_passes(side))

    def _is_worth_a_file(self, link: Link, side: str, creator: MassCreator) -> bool:
        stated = self._estimate(link, side, creator)
        if stated is None or not stated.in_bulk:
            return False
        log.info("new cards are made from one file", action="creates.bulk", side=side, why=stated.words)
        return True

    def _estimate(self, link: Link, side: str, creator: MassCreator) -> Estimate | None:
        waiting = self.imports.count_waiting(side, link.clock())
        return estimate(waiting, creator.pace()) if waiting else None

    def _carry(
        self,
        link: Link,
        plan: Import,
        side: str,
        creator: MassCreator,
        report: PassReport,
        run_id: int,
        progress: Progress,
        stop: threading.Event,
        *,
        in_turns: bool = False,
    ) -> None:
        # What a turn has held is the next one's: all have one owner.
        held_by = f"pass {plan.id}" + ("" if in_turns else f" {secrets.token_hex(4)}")
        batches = Batches(link.store, held_by, link.lease_seconds)
        taken_by, alone = f"pass {secrets.token_hex(8)}", self.alone and not in_turns
        seconds = link.lease_seconds if in_turns else LEASE_SECONDS
        if not self.imports.takes(plan, taken_by, link.clock(), alone=alone, seconds=seconds):
            return  # Another worker is at it.
        told = ImportProgress(told=lambda now: progress(now.doing, report))
        halt = StopSignal(stop)
        mass = MassSender(
            link, self.imports, batches, plan, side, creator, run_id, told, halt, lambda s: _pause(stop, s)
        )
        if in_turns:
            # A file that is begun at the end of a turn is started all the same.
            mass.halt, mass.starts_max, mass.waits = StopSignal(), TURN_STARTS_MAX, False
        try:
            for batch in self.imports.open_batches(plan):
                mass.resume(batch)
            if not halt.is_set() and not self.imports.open_batches(plan):
                waiting = self._waiting(link, plan, batches)
                mass.carry(islice(waiting, TURN_CARDS // CLAIMED) if in_turns else waiting)
        finally:
            self.imports.finish_made(plan)
            self.imports.leave(plan, taken_by, link.clock(), done=not self.imports.count_left(plan))
            report.worked += told.made

    def _waiting(self, link: Link, plan: Import, batches: Batches) -> Iterator[list[Held]]:
        after = 0
        while ids := self.imports.never_sent(plan, after, CLAIMED):
            after = ids[-1]
            yield batches.claim(ids, link.clock())


def _pause(stop: threading.Event, seconds: float) -> None:
    stop.wait(seconds)
