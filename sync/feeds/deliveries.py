"""Processes the webhook deliveries that were stored: asks a side about them, and makes cards due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connectors.api.errors import SideClosed, SideError
from connectors.api.feed import Hint
from connectors.api.webhooks import DeliveryAnswer, Listener, PrivacyRequest
from sync.feeds.unchanged import unchanged
from sync.ledger.incoming.deliveries import Inbox, StoredDelivery
from sync.ledger.incoming.intake import Intake
from sync.reconcile.work import Link
from sync.support.privacy import Privacy

BATCH_MAX = 100
AGAIN_SECONDS = 2.0
AGAIN_SECONDS_MAX = 600.0
DOUBLINGS_MAX = 16


@dataclass
class ProcessedDeliveries:
    """What a batch of deliveries came to."""

    #: Deliveries that are done.
    processed: int = 0
    #: There may be more of them.
    more: bool = False
    hints: int = 0
    arrived: int = 0
    #: Feeds that are worth reading now, as (side, feed).
    feeds: dict[tuple[str, str], None] = field(default_factory=dict)
    #: Sides whose list, which a sweep waits for, is ready.
    lists: set[str] = field(default_factory=set)
    #: Sides that have shut giftsync out.
    closed: dict[str, SideClosed] = field(default_factory=dict)
    #: In words.
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DeliveryProcessor:
    """Processes one side's deliveries, many with few calls: the next ones gather meanwhile."""

    inbox: Inbox
    link: Link
    listeners: Mapping[str, Listener]
    privacy: Privacy | None

    @property
    def intake(self) -> Intake:
        return self.inbox.intake

    def process(self, side: str) -> ProcessedDeliveries:
        """Process those of the side that are due."""
        told = ProcessedDeliveries()
        due = self.inbox.due(side, self.link.clock(), BATCH_MAX)
        told.more = len(due) == BATCH_MAX
        reader = self.link.sides[side].abilities.privacy
        others: list[StoredDelivery] = []
        for one in due:
            request = None if reader is None else reader.privacy_request(one.delivery)
            if request is None:
                others.append(one)
            elif self.privacy is not None:
                self._answer(self.privacy, one, request, told)
        asked = _by_subject(others)
        if asked:
            answers = self._ask(side, asked)
            self._take_in(side, list(zip(asked, answers, strict=True)), told)
        return told

    def _ask(self, side: str, asked: Sequence[list[StoredDelivery]]) -> Sequence[DeliveryAnswer | SideError]:
        try:
            return self.listeners[side].resolve([group[0].delivery for group in asked])
        except SideError as error:
            return [error] * len(asked)

    def _take_in(
        self,
        side: str,
        answers: Sequence[tuple[list[StoredDelivery], DeliveryAnswer | SideError]],
        told: ProcessedDeliveries,
    ) -> None:
        """Store the hints, and only then that the deliveries are done."""
        answered = [(group, answer) for group, answer in answers if isinstance(answer, DeliveryAnswer)]
        for group, answer in answers:
            if isinstance(answer, SideError):
                self._fail(group, answer, told)
        hints = [hint for _, answer in answered for hint in answer.hints]
        try:
            self._hint(side, hints, told)
        except SideError as error:
            for group, _ in answered:
                self._fail(group, error, told)
            return
        for _, answer in answered:
            told.feeds |= {(side, feed): None for feed in answer.feeds}
            if answer.list_ready:
                told.lists.add(side)
            if answer.closed is not None:
                told.closed[side] = answer.closed
        self._settle([one for group, _ in answered for one in group], told)

    def _hint(self, side: str, hints: Sequence[Hint], told: ProcessedDeliveries) -> None:
        if hints:
            same = unchanged(self.link, self.intake, self.link.sides[side], hints)
            told.arrived += self.intake.hint(side, hints, self.link.clock(), unchanged=same).arrived
            told.hints += len(hints)

    def _answer(
        self, privacy: Privacy, one: StoredDelivery, request: PrivacyRequest, told: ProcessedDeliveries
    ) -> None:
        if privacy.answer(one.side, one.delivery, request):
            self._settle([one], told)
        else:
            self.inbox.postpone([one], self.link.clock(), AGAIN_SECONDS_MAX)

    def _settle(self, group: Sequence[StoredDelivery], told: ProcessedDeliveries) -> None:
        if group:
            self.inbox.finish(group)
            told.processed += len(group)

    def _fail(self, group: Sequence[StoredDelivery], error: SideError, told: ProcessedDeliveries) -> None:
        told.errors.append(f"{group[0].side}: {error}.")
        doublings = min(group[0].attempts, DOUBLINGS_MAX)
        seconds = min(AGAIN_SECONDS * 2**doublings, AGAIN_SECONDS_MAX)
        self.inbox.postpone(group, self.link.clock(), seconds)


def _by_subject(due: Sequence[StoredDelivery]) -> list[list[StoredDelivery]]:
    """Group deliveries by subject: a side sends several topics for one paid order."""
    groups: dict[str, list[StoredDelivery]] = {}
    for one in due:
        groups.setdefault(one.delivery.subject or one.delivery.key, []).append(one)
    return list(groups.values())
