"""Directs the demo: lets the people loose, waits for quiet, and asks for the proof."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta

from cli.background import Background
from cli.build import Ledger, now
from cli.demo.people import Person, Stage
from cli.demo.proof import Proof, prove
from cli.demo.view import LAGS_SHOWN, Phase, Show, Snapshot
from cli.demo.watch import Lags
from cli.live.link_view import travel_of
from cli.live.picture import TRAVELS_SHOWN, Travel
from cli.places import Places
from connectors.api.capabilities import Usage
from sync.ledger import views
from sync.ledger.journeys import busiest_card, newest_journeys
from sync.ledger.views import ConflictRow
from sync.model import ConflictKind
from sync.support.audit import Audit, Finding, audit
from sync.worker.service import Service

SNAPSHOT_SECONDS = 0.5
#: So many of the newest movements have some among them that have arrived.
BROUGHT_READ = 60
GATHER_SECONDS_MAX = 600.0
IN_DOUBT = ConflictKind.IN_DOUBT.value
SETTLE_SECONDS_MAX = 180.0


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    proof: Proof
    lags: Lags
    movements: int
    refused: int
    #: How long the people acted.
    traffic_seconds: float
    #: Waiting for a person.
    conflicts: int
    #: Of these, what a side does not tell: whether a write took effect.
    asked: tuple[ConflictRow, ...]
    usage: dict[str, Usage]
    places: Places
    #: The ledger recomputed and every card read back from all sides, with what came of it.
    audit: Audit
    findings: tuple[Finding, ...]
    #: The card with the most movements.
    busiest_card: int | None

    @property
    def proved(self) -> bool:
        """The people's account agrees with all sides, and the ledger with itself and with them."""
        return self.proof.holds and self.audit.exit_code == 0 and not self.findings

    @property
    def waits_for_people(self) -> bool:
        """Whether every card that differs waits for a person, and nothing else is wrong."""
        explained = 0 < self.proof.different <= len({one.card_id for one in self.asked})
        return explained and self.audit.exit_code != 2 and not self.findings


@dataclass
class Director:
    """One performance."""

    service: Service
    ledger: Ledger
    stage: Stage
    currency: str
    seed: int
    show: Show
    #: Set by Ctrl-C: ends the traffic early.
    stop: threading.Event
    _backgrounds: list[Background] = field(default_factory=list, init=False)
    _acting_since: float | None = field(default=None, init=False)
    _acted_seconds: float = field(default=0.0, init=False)

    def perform(self, duration_seconds: float | None) -> Outcome:
        """Gather, act, settle, prove. Raises whatever a thread could not cope with."""
        with ExitStack() as stack:
            for name, target in (("worker", self.service.run), ("watch", self.stage.watch.run)):
                self._backgrounds.append(stack.enter_context(Background(name, target)))
            self._until(Phase.GATHERING, GATHER_SECONDS_MAX, self._is_at_rest)
            self._act(duration_seconds)
            # A first Ctrl-C ends the traffic only: without quiet there is no proof.
            self._until(Phase.SETTLING, SETTLE_SECONDS_MAX, self._is_at_rest, stop=threading.Event())
        truth = self.stage.watch.look()
        tally = self.stage.tally
        sides = self.service.worker.link.sides
        usage = {name: side.usage() for name, side in sides.items()}
        # The trouble is over: a side that does not answer would leave the audit without its proof.
        for venue in self.stage.venues:
            venue.calls.fail((), self.seed)
        audited = audit(self.ledger.engine, self.ledger.vault, now, sides)
        findings = tuple(audited)
        return Outcome(
            proof=prove(truth, tally, self.ledger.engine, self.currency, self.stage.venues),
            lags=self.stage.watch.lags(),
            movements=tally.movements,
            refused=tally.refused,
            traffic_seconds=self._acted_seconds,
            conflicts=sum(views.status(self.ledger.engine, now()).conflicts.values()),
            asked=self._asked(),
            usage=usage,
            places=Places.of(sides),
            audit=audited,
            findings=findings,
            busiest_card=busiest_card(self.ledger.engine),
        )

    def _act(self, duration_seconds: float | None) -> None:
        """Let the people act for the time asked for, or until stopped."""
        self._acting_since = time.monotonic()
        with ExitStack() as stack:
            people = [venue for venue in self.stage.venues for _ in range(venue.people.count)]
            for number, venue in enumerate(people):
                person = Person(self.stage, venue, f"{self.seed} {number}")
                name = f"{venue.people.who} {number}"
                self._backgrounds.append(stack.enter_context(Background(name, person.run)))
            self._until(Phase.ACTING, duration_seconds, lambda: False)
        self._acted_seconds = time.monotonic() - self._acting_since
        self._check()

    def _until(
        self,
        phase: Phase,
        seconds_max: float | None,
        done: Callable[[], bool],
        stop: threading.Event | None = None,
    ) -> None:
        """Show the demo until `done`, until the time is over (None: no end), or until somebody stops it."""
        began = time.monotonic()
        seconds = 0.0
        while (seconds_max is None or seconds < seconds_max) and not done():
            self.show(self._snapshot(phase, seconds, seconds_max))
            left = SNAPSHOT_SECONDS if seconds_max is None else min(SNAPSHOT_SECONDS, seconds_max - seconds)
            if (stop or self.stop).wait(left):
                return
            self._check()
            seconds = time.monotonic() - began

    def _check(self) -> None:
        for background in self._backgrounds:
            background.check()

    def _is_settled(self) -> bool:
        """All sides agree on every card, and nothing waits to be matched or carried out.

        A card that is merely due does not count: every hint makes one due to be looked at.
        """
        watch, status = self.stage.watch, views.status(self.ledger.engine, now())
        idle = not (status.arrivals or status.intents)
        return idle and bool(watch.truth.groups) and watch.truth.in_step and not watch.lags().waiting

    def _is_at_rest(self) -> bool:
        """Settled, or as far as it gets before a person says what became of a write."""
        if self._is_settled():
            return True
        status, truth, asked = views.status(self.ledger.engine, now()), self.stage.watch.truth, self._asked()
        # What was planned after a write in doubt waits behind it.
        behind = sum(self._open_on(one) for one in asked)
        only_doubts = not status.arrivals and sum(status.intents.values()) == behind
        apart = len(truth.groups) - truth.agreeing
        return only_doubts and 0 < apart <= len({one.card_id for one in asked})

    def _asked(self) -> tuple[ConflictRow, ...]:
        """Where a person is asked what became of a write; there is one for each card and side."""
        return tuple(one for one in views.list_conflicts(self.ledger.engine) if one.kind == IN_DOUBT)

    def _open_on(self, one: ConflictRow) -> int:
        """How many intents are open on the card's side."""
        found = views.list_intents(self.ledger.engine, one.card_id or 0)
        return sum(intent.side == one.side and intent.ended_at is None for intent in found)

    def _snapshot(self, phase: Phase, seconds: float, seconds_max: float | None) -> Snapshot:
        status = views.status(self.ledger.engine, now())
        truth, tally = self.stage.watch.truth, self.stage.tally
        acted = self._acted_seconds or (time.monotonic() - self._acting_since if self._acting_since else 0.0)
        return Snapshot(
            phase=phase,
            seconds=seconds,
            seconds_max=seconds_max,
            cards=len(truth.groups),
            cards_in_step=truth.agreeing,
            currency=self.currency,
            totals_minor=truth.totals_minor,
            apart_minor=tuple(self.stage.watch.apart_minor),
            travels=self._brought() if phase is Phase.GATHERING else self._travels(),
            newest_lags=self.stage.watch.newest_lags(LAGS_SHOWN),
            movements=tally.movements,
            movements_per_minute=60 * tally.movements / acted if acted else 0.0,
            refused=tally.refused,
            lags=self.stage.watch.lags(),
            open_intents=sum(status.intents.values()),
            in_doubt=status.intents.get("in_doubt", 0),
            conflicts=sum(status.conflicts.values()),
            usage={name: side.usage() for name, side in self.service.worker.link.sides.items()},
            places=Places.of(self.service.worker.link.sides),
        )

    def _brought(self) -> list[Travel]:
        """The cards that are brought to the other sides: nobody has moved money yet.

        At most half of them are on their way, so that there are always some that have arrived.
        """
        found = [travel_of(one) for one in newest_journeys(self.ledger.engine, BROUGHT_READ)]
        on_their_way = [one for one in found if one.seconds is None][: TRAVELS_SHOWN // 2]
        arrived = [one for one in found if one.seconds is not None][: TRAVELS_SHOWN - len(on_their_way)]
        return sorted([*on_their_way, *arrived], key=lambda one: one.at, reverse=True)

    def _travels(self) -> list[Travel]:
        """What the people did last, and whether the other sides show it."""
        at, monotonic = now(), self.stage.watch.monotonic()
        return [
            Travel(
                at - timedelta(seconds=monotonic - act.at),
                act.serial[-4:],
                act.amount_minor,
                act.origin,
                tuple(name for name in self.service.worker.link.sides if name != act.origin),
                lag,
            )
            for act, lag in self.stage.watch.newest(TRAVELS_SHOWN)
        ]
