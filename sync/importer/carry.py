"""Carries out the creates of many cards live, as fast as their side allows.

`sent` is committed for a group, the calls of the group are made by many threads, and the outcomes are
committed for a group again. A side may take several creates with one call; each has its own outcome.
Whatever is no plain success is given back, due, to the ordinary work on cards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from connectors.api.effect import Applied, EffectKind
from connectors.api.errors import NotSent, Refused, SideClosed, SideError, Throttled
from connectors.api.side import Side
from sync.crashpoints import crashpoint
from sync.decisions import protocol
from sync.decisions.looks import first_look
from sync.importer.progress import ImportProgress, StopSignal
from sync.ledger.cards.batches import Batches, Held, Step
from sync.ledger.cards.store import Lease
from sync.model import Card, Decision, Intent, IntentState
from sync.reconcile.execute import CLOSED_WAIT_SECONDS, NOT_SENT_WAIT_SECONDS, effect_of
from sync.reconcile.work import Link

GROUP = 64
#: Outcomes wait no longer than this for others to be committed with.
FLUSH_SECONDS = 1.0


def ready_create(card: Card, now: datetime) -> Intent | None:
    """The card's only open intent, if that is a create that is surely not on its side and may be sent."""
    if len(card.open_intents) != 1 or card.held:
        return None
    (intent,) = card.open_intents
    waits = intent.not_before is not None and intent.not_before > now
    fresh = intent.state is IntentState.PLANNED and not intent.doubted and not waits
    return intent if fresh and intent.kind is EffectKind.CREATE else None


@dataclass
class CreateSender:
    """Carries creates of any side out, live."""

    link: Link
    batches: Batches
    run_id: int | None
    threads: int
    progress: ImportProgress
    halt: StopSignal
    #: Creates whose `sent` is committed together, and outcomes that are.
    group: int = GROUP
    #: Whether cards that were not sent stay held for the same owner's next turn, instead of being due.
    keeps: bool = False
    _renewed_at: datetime | None = field(default=None, init=False)
    _closed: SideClosed | None = field(default=None, init=False)

    def carry(self, groups: Iterable[list[Held]]) -> None:
        """Carry out every group. Raises SideClosed, BrakeTripped, LinkStopped or like the groups, at last."""
        waiting: Iterator[Held] = (held for group in groups for held in group)
        running: set[Future[list[Step]]] = set()
        outcomes: list[Step] = []
        flushed_at, more = self.link.clock(), True
        failed: Exception | None = None
        with ThreadPoolExecutor(self.threads, "create") as pool:
            while more or running:
                while more and len(running) <= self.threads + self.group // 2:
                    try:
                        sent = self._send(waiting)
                    except Exception as error:  # noqa: BLE001 raised again when what is under way has ended
                        failed, sent = error, []
                        self.halt.set()
                    more = bool(sent)
                    running |= {pool.submit(self._call_pack, pack) for pack in self._packs(sent)}
                if running:
                    done, running = wait(running, FLUSH_SECONDS, FIRST_COMPLETED)
                    outcomes += [step for one in done for step in one.result()]
                now = self.link.clock()
                if (
                    len(outcomes) >= self.group
                    or not running
                    or (now - flushed_at).total_seconds() > FLUSH_SECONDS
                ):
                    self._flush(outcomes)
                    outcomes, flushed_at = [], now
                    self._renew(now)
            self._flush(outcomes)
        self._give_back_rest(waiting)
        if failed is not None:
            raise failed
        if self._closed is not None:
            raise self._closed

    def _send(self, waiting: Iterator[Held]) -> list[Held]:
        """Commit `sent` for the next group; empty when there is nothing left to send."""
        steps: list[Step] = []
        aside: dict[Lease, datetime | None] = {}
        try:
            while not self.halt.is_set() and len(steps) < self.group:
                held = next(waiting, None)
                if held is None:
                    break
                engine, now = self.link.store.engine, self.link.clock()
                ready = ready_create(held.card, now)
                aside[held.lease] = now
                if ready is not None:
                    card_id = held.lease.card_id
                    self.link.brake.spend(engine, card_id, ready.marker, ready.amount_minor, now)
                    steps.append(Step(held, protocol.sent(held.card, ready)))
                    del aside[held.lease]
            sent = self.batches.commit(steps, self.link.clock(), self.run_id) if steps else []
        except Exception:
            # Nothing of the group was committed as sent: it stays planned and due.
            self.batches.give_back(aside | {step.held.lease: self.link.clock() for step in steps})
            raise
        self.batches.give_back(aside)
        return sent

    def _packs(self, sent: list[Held]) -> Iterator[list[Held]]:
        """Creates of one side that go in one request; alone where a side takes one at a time."""
        by_side: dict[str, list[Held]] = {}
        for held in sent:
            by_side.setdefault(_create_of(held).side, []).append(held)
        for name, group in by_side.items():
            packs = self.link.sides[name].abilities.pack_creator
            size = 1 if packs is None else packs.pack_size(self.threads)
            yield from (group[start : start + size] for start in range(0, len(group), size))

    def _call_pack(self, pack: list[Held]) -> list[Step]:
        """One call, and what each of its creates came to. Those whose lease ran out before are not sent."""
        crashpoint("execute.sent")
        now = self.link.clock()
        pack = [held for held in pack if now < self._held_until(held)]
        if not pack:
            return []
        side = self.link.sides[_create_of(pack[0]).side]
        packs = side.abilities.pack_creator
        if len(pack) > 1 and packs is not None:
            effects = [effect_of(held.card, _create_of(held)) for held in pack]
            outcomes = list(zip(pack, packs.create_pack(effects), strict=True))
        else:
            outcomes = [self._apply(side, held) for held in pack]
        crashpoint("execute.called")
        return [self._step(held, outcome) for held, outcome in outcomes]

    def _apply(self, side: Side, held: Held) -> tuple[Held, Applied | SideError]:
        """One call: the card with what was saved on the way, and what came of it."""
        intent = _create_of(held)

        def save(progress: Mapping[str, str], /, *, lazily: bool = False) -> None:
            nonlocal held
            store = self.link.store
            saved = store.save_progress(held.lease, held.card, intent.marker, progress, lazily=lazily)
            held = replace(held, card=saved)

        try:
            outcome: Applied | SideError = side.apply(effect_of(held.card, intent), save)
        except SideError as error:
            outcome = error
        return held, outcome

    def _step(self, held: Held, outcome: Applied | SideError) -> Step:
        card = held.card
        intent = _create_of(held)
        match outcome:
            case Applied():
                landed = protocol.land_applied(card, intent, outcome)
                return Step(held, landed, True, after_landing(landed, self.link.clock()))
            case NotSent():
                return self._again(held, intent, str(outcome), NOT_SENT_WAIT_SECONDS)
            case Throttled():
                return self._again(held, intent, str(outcome), outcome.wait_seconds)
            case SideClosed():
                self.link.on_closed(intent.side, outcome)
                self._closed = outcome
                self.halt.set()
                return self._again(held, intent, str(outcome), CLOSED_WAIT_SECONDS)
            case Refused():
                refused = protocol.refuse(card, intent, outcome.reason, str(outcome), outcome.native_id)
                return Step(held, refused, True, self.link.clock())
        now, quiet_seconds = self.link.clock(), self.link.quiet_seconds
        until = now + timedelta(seconds=quiet_seconds)
        look_at = first_look(intent.kind, now, quiet_seconds)
        doubted = protocol.doubt(card, intent, str(outcome), until, look_at=look_at)
        return Step(held, doubted, True, look_at)

    def _again(self, held: Held, intent: Intent, reason: str, seconds: float) -> Step:
        not_before = self.link.clock() + timedelta(seconds=seconds)
        return Step(held, protocol.not_sent(held.card, intent, reason, not_before), True, not_before)

    def _flush(self, outcomes: list[Step]) -> None:
        if outcomes:
            committed = self.batches.commit(outcomes, self.link.clock(), self.run_id)
            landed = sum(1 for held in committed if held.card.is_in_step(self.link.rules.own_dates))
            self.progress.add(done=landed, made=landed)

    def _give_back_rest(self, waiting: Iterator[Held]) -> None:
        """What was claimed and not sent, because we were told to stop, is due for whoever comes next."""
        rest = {held.lease: self.link.clock() for held in waiting}
        if not self.keeps:
            self.batches.give_back(rest)

    def _held_until(self, held: Held) -> datetime:
        """When the card stops being ours, by the clock."""
        renewed = self._renewed_at
        if renewed is None:
            return held.lease.until
        return max(held.lease.until, renewed + timedelta(seconds=self.batches.lease_seconds))

    def _renew(self, now: datetime) -> None:
        since = self._renewed_at or now - timedelta(seconds=self.batches.lease_seconds)
        if (now - since).total_seconds() > self.batches.lease_seconds / 4:
            self.batches.renew(now)
            self._renewed_at = now


def _create_of(held: Held) -> Intent:
    """The card's only open intent, which is its create."""
    return held.card.open_intents[0]


def after_landing(landed: Decision, now: datetime) -> datetime | None:
    """When a card whose create landed is due: at once if anything else of it is open."""
    more = landed.card.open_intents or any(p.stale for p in landed.card.presences)
    return now if more else None
