"""Makes many cards from one file on a side that offers it, under the same protocol.

    1  upload the file                      nothing is made yet
    2  remember the file and its lines, commit `sent` for each create
    3  commit that the side is about to be told; tell it to start; commit its id for the operation
    4  wait; commit the outcome of each line; a line without one is in doubt and read back by its code

A process that dies before 3 has surely started nothing; one that dies in 3 asks the side by the file's tag.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from connectors.api.bulk import LineOutcome, MassCreator
from connectors.api.effect import Applied
from connectors.api.errors import (
    InDoubt,
    NotSent,
    Refused,
    SideClosed,
    SideError,
    Throttled,
)
from mappings.sentences import say
from sync.crashpoints import crashpoint
from sync.decisions import protocol
from sync.importer.carry import after_landing, ready_create
from sync.importer.progress import ImportProgress, StopSignal
from sync.ledger.cards.batches import Batches, Held, Step
from sync.ledger.imports.rows import Batch, Import, Imports
from sync.model import Intent, IntentState, LinkStopped
from sync.reconcile.brakes import BrakeTripped
from sync.reconcile.execute import NOT_SENT_WAIT_SECONDS, effect_of
from sync.reconcile.work import Link

T = TypeVar("T")

#: Lines whose outcomes are committed together, and creates whose `sent` is.
GROUP = 250
#: The first file of an import is small: it shows how fast the side is.
FIRST_LINES = 1_000
LINES = 10_000
POLL_SECONDS_MIN = 0.2
POLL_SECONDS_MAX = 5.0
STARTS_MAX = 30
TAG_BYTES = 8


@dataclass
class MassSender:
    """Carries creates of one side out, a file at a time."""

    link: Link
    imports: Imports
    batches: Batches
    plan: Import
    side: str
    creator: MassCreator
    run_id: int | None
    progress: ImportProgress
    halt: StopSignal
    pause: Callable[[float], None]
    #: How often the side is told to start a file before it is given up for now.
    starts_max: int = STARTS_MAX
    #: Whether to wait for the end of a file; else a later turn takes its outcome in.
    waits: bool = True

    def carry(self, groups: Iterable[list[Held]]) -> None:
        """Make the cards of all groups. Raises like a side or the groups, BrakeTripped and LinkStopped."""
        stream = iter(groups)
        size, chunk = min(FIRST_LINES, self.creator.lines_max), list[Held]()
        try:
            for group in stream:
                chunk += group
                if len(chunk) >= size:
                    full, chunk = chunk, []
                    self._make(full)
                    size = min(LINES, self.creator.lines_max)
            full, chunk = chunk, []
            self._make(full)
        except Exception:
            self.halt.set()
            self._give_back(chunk)
            for group in stream:
                self._give_back(group)
            raise

    def _give_back(self, group: Iterable[Held]) -> None:
        self.batches.give_back({held.lease: self.link.clock() for held in group})

    def _make(self, chunk: list[Held]) -> None:
        ready, rest = _split(chunk, self.link.clock())
        self._give_back(rest)
        if self.halt.is_set():
            self._give_back(held for held, _ in ready)
        if self.halt.is_set() or not ready:
            return
        tag = secrets.token_hex(TAG_BYTES)
        try:
            engine, now = self.link.store.engine, self.link.clock()
            for held, intent in ready:
                self.link.brake.spend(engine, held.lease.card_id, intent.marker, intent.amount_minor, now)
            self.progress.say(say("uploading {count} cards", count=len(ready)))
            path = self.creator.upload([effect_of(held.card, intent) for held, intent in ready])
        except (BrakeTripped, SideError):
            self._give_back(held for held, _ in ready)
            raise
        now = self.link.clock()
        batch_id = self.imports.make_batch(self.plan, self.side, tag, len(ready), now)
        self.batches.put_in_file(batch_id, [held.lease.card_id for held, _ in ready])
        line_of = {held.lease.card_id: line for line, (held, _) in enumerate(ready)}
        sent: dict[int, Held] = {}
        try:
            for group in _grouped(ready, GROUP):
                steps = [Step(held, protocol.sent(held.card, intent)) for held, intent in group]
                for held in self.batches.commit(steps, self.link.clock(), self.run_id):
                    sent[line_of[held.lease.card_id]] = held
                self.batches.renew(self.link.clock())
        except LinkStopped:
            # The side was not told to start, so nothing of the file will be made.
            self._take_back(batch_id)
            raise
        crashpoint("mass.sent")
        operation = self._start(batch_id, tag, path)
        if operation is None:
            self._take_back(batch_id)
            return
        self._finish(batch_id, operation, len(ready), sent)

    def _start(self, batch_id: int, tag: str, path: str) -> str | None:
        """Tell the side to start; None when it surely did not."""
        for _ in range(self.starts_max):
            self.imports.change_batch(batch_id, called_at=self.link.clock())
            crashpoint("mass.called")
            try:
                operation = self.creator.start(tag, path)
            except (Throttled, NotSent) as error:
                # Surely nothing happened, so it may be told again.
                self.pause(error.wait_seconds if isinstance(error, Throttled) else NOT_SENT_WAIT_SECONDS)
                self.batches.renew(self.link.clock())
                continue
            except InDoubt:
                found = self._find(tag)
                if found is None:
                    if self.waits:
                        self._doubt_all(batch_id)
                    raise
                operation = found
            except SideClosed:
                self._take_back(batch_id)
                raise
            self.imports.change_batch(batch_id, operation=operation)
            crashpoint("mass.started")
            return operation
        return None

    def _find(self, tag: str) -> str | None:
        """What the side says it started, asked again after a quiet period when it shows nothing.

        A turn does not wait: a later one asks again.
        """
        found = self.creator.find_started(tag)
        if found is None and self.waits:
            self.pause(self.link.quiet_seconds)
            found = self.creator.find_started(tag)
        return found

    # --- outcomes -------------------------------------------------------------------------------------------

    def resume(self, batch: Batch) -> None:
        """Settle a file that an earlier process left."""
        self.progress.say(say("taking up a file of cards that was under way"))
        operation = batch.operation
        if operation is None and batch.called_at is not None:
            operation = self._find(batch.tag)
            quiet_until = batch.called_at + timedelta(seconds=self.link.quiet_seconds)
            if operation is None and not self.waits and self.link.clock() < quiet_until:
                return
        if operation is not None:
            self._finish(batch.id, operation, batch.lines)
        elif batch.called_at is None:
            self._take_back(batch.id)
        else:
            self._doubt_all(batch.id)

    def _finish(self, batch_id: int, operation: str, lines: int, sent: dict[int, Held] | None = None) -> None:
        """Wait for the end and take in the outcomes; `sent` has the card of each line, if we hold it."""
        seconds, before = POLL_SECONDS_MIN, 0
        while not (state := self.creator.state(operation)).is_over:
            self.progress.say(
                say("making cards in bulk ({done} of {count})", done=state.lines_done, count=lines)
            )
            self.progress.add(made=max(0, state.lines_done - before))
            before = max(before, state.lines_done)
            self.batches.renew(self.link.clock())
            if not self.waits:
                return
            self.pause(seconds)
            seconds = min(seconds * 1.5, POLL_SECONDS_MAX)
            if self.halt.is_set():
                return  # The side goes on by itself; the next apply takes its outcome in.
        crashpoint("mass.over")
        self.progress.add(made=-before)
        for group in _grouped(self.creator.outcomes(operation), GROUP):
            self._take_in(batch_id, group, sent)
        self._doubt_all(batch_id)

    def _take_in(self, batch_id: int, group: Sequence[LineOutcome], sent: dict[int, Held] | None) -> None:
        held_by_line = self._claimed(batch_id, group) if sent is None else sent
        steps, idle = [], {}
        for one in group:
            held = held_by_line.get(one.line)
            if held is None:
                continue
            intent = _sent_create(held, self.side)
            if intent is None:
                idle[held.lease] = self.link.clock() if held.card.open_intents else None
            else:
                steps.append(self._step(held, intent, one))
        after = self.batches.commit(steps, self.link.clock(), self.run_id)
        self.batches.give_back(idle)
        landed = sum(1 for held in after if held.card.is_in_step(self.link.rules.own_dates))
        self.progress.add(done=landed, made=landed)

    def _claimed(self, batch_id: int, group: Sequence[LineOutcome]) -> dict[int, Held]:
        """The cards of the lines, taken up from an earlier process."""
        card_of = self.imports.batch_cards(batch_id, [one.line for one in group])
        held = {
            one.lease.card_id: one for one in self.batches.claim(list(card_of.values()), self.link.clock())
        }
        return {line: held[card_id] for line, card_id in card_of.items() if card_id in held}

    def _step(self, held: Held, intent: Intent, outcome: LineOutcome) -> Step:
        now, card, result = self.link.clock(), held.card, outcome.result
        until = now + timedelta(seconds=self.link.quiet_seconds)
        if isinstance(result, Applied) and outcome.marker == intent.marker:
            landed = protocol.land_applied(card, intent, result)
            return Step(held, landed, True, after_landing(landed, now))
        if isinstance(result, Refused) and not intent.doubted:
            refused = protocol.refuse(card, intent, result.reason, str(result), result.native_id)
            return Step(held, refused, True, now)
        reason = str(result) if isinstance(result, SideError) else "the line made another card than was meant"
        refusal = result.reason if isinstance(result, Refused) else None
        return Step(held, protocol.doubt(card, intent, reason, until, refusal), True, until)

    def _doubt_all(self, batch_id: int) -> None:
        """Lines that nobody told the outcome of: read back by their code, like any create in doubt."""
        until = self.link.clock() + timedelta(seconds=self.link.quiet_seconds)

        def doubt(held: Held, intent: Intent) -> Step:
            words = "the side did not tell what became of the line"
            return Step(held, protocol.doubt(held.card, intent, words, until), True, until)

        self._settle_unsettled(batch_id, doubt)

    def _take_back(self, batch_id: int) -> None:
        """The side was surely never told: the creates are planned again."""
        now = self.link.clock()

        def plan_again(held: Held, intent: Intent) -> Step:
            return Step(
                held, protocol.not_sent(held.card, intent, "the file was never started", now), True, now
            )

        self._settle_unsettled(batch_id, plan_again)
        self.imports.take_out_of(batch_id)

    def _settle_unsettled(self, batch_id: int, step_of: Callable[[Held, Intent], Step]) -> None:
        after = 0
        while cards := self.imports.unsettled_in(batch_id, after, GROUP):
            after = cards[-1]
            steps, idle = [], {}
            for held in self.batches.claim(cards, self.link.clock()):
                intent = _sent_create(held, self.side)
                if intent is None:
                    idle[held.lease] = self.link.clock()
                else:
                    steps.append(step_of(held, intent))
            self.batches.commit(steps, self.link.clock(), self.run_id)
            self.batches.give_back(idle)
        self.imports.change_batch(batch_id, ended_at=self.link.clock())


def _split(chunk: Iterable[Held], now: datetime) -> tuple[list[tuple[Held, Intent]], list[Held]]:
    ready, rest = [], []
    for held in chunk:
        found = ready_create(held.card, now)
        if found is None:
            rest.append(held)
        else:
            ready.append((held, found))
    return ready, rest


def _sent_create(held: Held, side: str) -> Intent | None:
    """The card's create that was sent and not settled."""
    open_intents = held.card.presence(side).open_intents
    return open_intents[0] if open_intents and open_intents[0].state is IntentState.SENT else None


def _grouped(items: Iterable[T], size: int) -> Iterator[list[T]]:
    stream = iter(items)
    while group := list(islice(stream, size)):
        yield group
