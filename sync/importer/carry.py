"""Carries out the creates of many cards one by one, as fast as their side allows.

`sent` is committed for a group, the calls of the group are made by many threads, and the outcomes are
committed for a group again. Whatever is no plain success is given back, due, to the ordinary work on cards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.base import EffectKind
from connectors.errors import InDoubt, NotSent, Refused, SideClosed, Throttled
from sync import decide
from sync.crashpoints import crashpoint
from sync.execute import CLOSED_WAIT_SECONDS, NOT_SENT_WAIT_SECONDS, effect_of
from sync.importer.progress import Halt, ImportProgress
from sync.ledger.batches import Batches, Held, Step
from sync.ledger.store import Lease
from sync.model import Card, Decision, Intent, IntentState, Presence
from sync.work import Link

#: Creates whose `sent` is committed together, and outcomes that are.
GROUP = 64
#: Outcomes wait no longer than this for others to be committed with.
FLUSH_SECONDS = 1.0


def ready_create(card: Card, now: datetime) -> tuple[Presence, Intent] | None:
    """The card's only open intent, if that is a create that is surely not on its side and may be sent."""
    if len(card.open_intents) != 1 or card.held:
        return None
    p, intent = next((p, i) for p in card.presences for i in p.open_intents)
    waits = intent.not_before is not None and intent.not_before > now
    fresh = intent.state is IntentState.PLANNED and not intent.doubted and not waits
    return (p, intent) if fresh and intent.kind is EffectKind.CREATE else None


@dataclass
class Carrier:
    """Carries creates of any side out, live."""

    link: Link
    batches: Batches
    run_id: int | None
    threads: int
    progress: ImportProgress
    halt: Halt
    _renewed_at: datetime | None = field(default=None, init=False)
    _closed: SideClosed | None = field(default=None, init=False)

    def carry(self, groups: Iterable[list[Held]]) -> None:
        """Carry out every group. Raises SideClosed, BrakeTripped or what the groups raise, at the end."""
        waiting: Iterator[Held] = (held for group in groups for held in group)
        running: set[Future[Step | None]] = set()
        outcomes: list[Step] = []
        flushed_at, more = self.link.clock(), True
        failed: Exception | None = None
        with ThreadPoolExecutor(self.threads, "create") as pool:
            while more or running:
                while more and len(running) <= self.threads + GROUP // 2:
                    try:
                        sent = self._send(waiting)
                    except Exception as error:  # noqa: BLE001 raised again when what is under way has ended
                        failed, sent = error, []
                        self.halt.set()
                    more = bool(sent)
                    running |= {pool.submit(self._call, held) for held in sent}
                if running:
                    done, running = wait(running, FLUSH_SECONDS, FIRST_COMPLETED)
                    outcomes += [step for one in done if (step := one.result()) is not None]
                now = self.link.clock()
                if (
                    len(outcomes) >= GROUP
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
            while not self.halt.is_set() and len(steps) < GROUP:
                held = next(waiting, None)
                if held is None:
                    break
                engine, now = self.link.store.engine, self.link.clock()
                ready = ready_create(held.card, now)
                aside[held.lease] = now
                if ready is not None:
                    card_id, intent = held.lease.card_id, ready[1]
                    self.link.brake.spend(engine, card_id, intent.marker, intent.amount_minor, now)
                    steps.append(Step(held, decide.sent(held.card, ready[1])))
                    del aside[held.lease]
        except Exception:
            # Nothing of the group was committed as sent: it stays planned and due.
            self.batches.give_back(aside | {step.held.lease: self.link.clock() for step in steps})
            raise
        self.batches.give_back(aside)
        return self.batches.commit(steps, self.link.clock(), self.run_id) if steps else []

    def _call(self, held: Held) -> Step | None:
        """One call, and what it came to. None when the lease ran out before it was made: then it was not."""
        crashpoint("execute.sent")
        card = held.card
        p, intent = next((p, i) for p in card.presences for i in p.open_intents)
        if self.link.clock() >= self._held_until(held):
            return None

        def save(progress: Mapping[str, str]) -> None:
            self.link.store.save_progress(held.lease, intent.marker, progress)

        try:
            applied = self.link.sides[p.side].apply(effect_of(card, p, intent), save)
        except NotSent as error:
            return self._again(held, intent, str(error), NOT_SENT_WAIT_SECONDS)
        except Throttled as error:
            return self._again(held, intent, str(error), error.wait_seconds)
        except SideClosed as error:
            self.link.on_closed(p.side, error)
            self._closed = error
            self.halt.set()
            return self._again(held, intent, str(error), CLOSED_WAIT_SECONDS)
        except Refused as error:
            crashpoint("execute.called")
            refused = decide.refuse(card, p.side, intent, error.reason, str(error), error.native_id)
            return Step(held, refused, True, self.link.clock())
        except InDoubt as error:
            crashpoint("execute.called")
            until = self.link.clock() + timedelta(seconds=self.link.quiet_seconds)
            return Step(held, decide.doubt(card, intent, str(error), until), True, until)
        crashpoint("execute.called")
        landed = decide.land(card, p.side, intent, 1, applied.native_id, applied.reference or "")
        return Step(held, landed, True, after_landing(landed, self.link.clock()))

    def _again(self, held: Held, intent: Intent, reason: str, seconds: float) -> Step:
        not_before = self.link.clock() + timedelta(seconds=seconds)
        return Step(held, decide.not_sent(held.card, intent, reason, not_before), True, not_before)

    def _flush(self, outcomes: list[Step]) -> None:
        if outcomes:
            committed = self.batches.commit(outcomes, self.link.clock(), self.run_id)
            landed = sum(1 for held in committed if not held.card.open_intents and held.card.in_step)
            self.progress.add(done=landed, made=landed)

    def _give_back_rest(self, waiting: Iterator[Held]) -> None:
        """What was claimed and not sent, because we were told to stop, is due for whoever comes next."""
        rest = {held.lease: self.link.clock() for held in waiting}
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


def after_landing(landed: Decision, now: datetime) -> datetime | None:
    """When a card whose create landed is due: at once if anything else of it is open."""
    more = landed.card.open_intents or any(p.stale for p in landed.card.presences)
    return now if more else None
