"""Imports that workers carry out in their turns, a batch at a time, between all that a customer may wait for.

A plan is queued (`Imports.queue`) and goes on until nothing of it is left, or somebody pauses it. Any worker
of the link takes the next turn; the ledger has what the one before has done and held. A worker that dies
leaves the plan and the cards that it held to whoever comes when its leases have run out.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from connectors.api.errors import SideError
from sync.importer.actions import Action
from sync.importer.apply import Importer
from sync.importer.progress import StopSignal
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.imports.rows import Import, Imports, queued_imports
from sync.reconcile.brakes import ProcessCounts
from sync.reconcile.work import Link
from sync.worker.until import TURN_SECONDS, Until

log = structlog.get_logger(__name__)

#: Until a plan that another worker holds is looked at again, and one whose side makes cards from a file.
HELD_SECONDS = 3.0
FILE_SECONDS = 3.0
#: Until a plan is taken up again of which all that is left waits: for a quiet period, a person, an answer.
WAITING_SECONDS = 10.0
#: The same after trouble with a whole side.
TROUBLE_SECONDS = 30.0
_NOT_OURS = (
    "the import was queued in the database, not by giftsync, or by a release before this one; nothing was "
    "done for it. If it is meant, queue it again"
)


@dataclass
class QueuedImports:
    """The queued imports of one link, for one worker. Call it once a turn."""

    imports: Imports
    link: Callable[[], Link]
    #: The parts that carry a plan out, to end when they are told to.
    importer_of: Callable[[Import, StopSignal], Importer]
    seconds: float = TURN_SECONDS
    _places: dict[str, dict[Sequence[Action], int]] = field(default_factory=dict, init=False)

    def __call__(self, stop: threading.Event, run_id: int) -> float | None:
        """Go on with the plan that was queued first, and while it waits with the next; seconds until there is
        more to do, 0 for at once, None when none is queued.
        """
        until = Until(stop, self.seconds)
        waits: list[float] = []
        for plan in queued_imports(self.imports.engine):
            seconds = self._turn(plan, until, run_id)
            if seconds is not None:
                waits.append(seconds)
            if until.is_set() or seconds == 0:
                break
        return min(waits, default=None)

    def _turn(self, plan: Import, until: threading.Event, run_id: int) -> float | None:
        link, owner = self.link(), f"turn {secrets.token_hex(8)}"
        if not self.imports.is_queued_by_giftsync(plan):
            log.warning(_NOT_OURS, action="import.not_queued", plan=plan.id)
            self.imports.refuse(plan, _NOT_OURS)
            return None
        # As long as a card is held: longer than any call.
        if not self.imports.takes(plan, owner, link.clock(), alone=False, seconds=link.lease_seconds):
            return HELD_SECONDS
        try:
            importer = self.importer_of(plan, StopSignal(until))
        except SideError as error:
            self.imports.leave(plan, owner, link.clock(), done=False, trouble=str(error))
            return TROUBLE_SECONDS
        importer.places = self._places.setdefault(plan.id, {})
        left = importer.turn(plan, run_id)
        errors = importer.progress.errors
        self.imports.leave(
            plan,
            owner,
            link.clock(),
            done=not left,
            rows_left=left,
            money_left_minor=_money_left(importer),
            trouble=errors[-1] if errors else None,
        )
        if not left:
            self._places.pop(plan.id, None)
            log.info("an import is done", action="import.done", plan=plan.id)
            return None
        if errors:
            log.warning("an import has to wait", action="import.waits", plan=plan.id, why=errors[-1])
            return TROUBLE_SECONDS
        if until.is_set():
            return 0.0
        return FILE_SECONDS if self.imports.open_batches(plan) else WAITING_SECONDS


def _money_left(importer: Importer) -> int | None:
    """What the next turns may move; None: reckoned anew, once a person lets a link go on that is stopped."""
    brake = importer.link.brake
    if brake.limits.money_minor is None or stopped_by(importer.link.store.engine):
        return None
    spent = brake.counts.money_minor if isinstance(brake.counts, ProcessCounts) else 0
    return brake.limits.money_minor - spent
