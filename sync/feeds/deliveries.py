"""Hears the webhook deliveries that were stored: asks a side about them, and makes cards due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from connectors.api.errors import SideClosed, SideError
from connectors.api.side import DeliveryAnswer, Hint, Listener
from sync.feeds.unchanged import unchanged
from sync.ledger.incoming.deliveries import Inbox, StoredDelivery
from sync.ledger.incoming.intake import Intake
from sync.reconcile.work import Link
from sync.support.privacy import Privacy

LETTERS_BATCH = 100
LETTER_AGAIN_SECONDS = 2.0
LETTER_AGAIN_SECONDS_MAX = 600.0
DOUBLINGS_MAX = 16


@dataclass
class ProcessedDeliveries:
    """What a batch of deliveries came to."""

    #: Deliveries that need not be heard again.
    heard: int = 0
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
    """Hears one side's deliveries, many with few calls: while these are answered, the next ones gather."""

    inbox: Inbox
    link: Link
    listeners: Mapping[str, Listener]
    privacy: Privacy | None

    @property
    def intake(self) -> Intake:
        return self.inbox.intake

    def hear(self, side: str) -> ProcessedDeliveries:
        """Hear what of the side is due."""
        told = ProcessedDeliveries()
        asked: list[list[StoredDelivery]] = []
        due = self.inbox.due(side, self.link.clock(), LETTERS_BATCH)
        told.more = len(due) == LETTERS_BATCH
        for letters in _by_subject(due):
            if self.privacy is not None and self.privacy.concerns(letters[0].delivery):
                self._answer(self.privacy, letters, told)
            else:
                asked.append(letters)
        if asked:
            answers = self._ask(side, asked)
            self._take_in(side, list(zip(asked, answers, strict=True)), told)
        return told

    def _ask(self, side: str, asked: Sequence[list[StoredDelivery]]) -> Sequence[DeliveryAnswer | SideError]:
        try:
            return self.listeners[side].hear([letters[0].delivery for letters in asked])
        except SideError as error:
            return [error] * len(asked)

    def _take_in(
        self,
        side: str,
        answers: Sequence[tuple[list[StoredDelivery], DeliveryAnswer | SideError]],
        told: ProcessedDeliveries,
    ) -> None:
        """Store the hints, and only then that the deliveries were heard."""
        heard = [(letters, answer) for letters, answer in answers if isinstance(answer, DeliveryAnswer)]
        for letters, answer in answers:
            if isinstance(answer, SideError):
                self._fail(letters, answer, told)
        hints = [hint for _, answer in heard for hint in answer.hints]
        try:
            self._hint(side, hints, told)
        except SideError as error:
            for letters, _ in heard:
                self._fail(letters, error, told)
            return
        for _, answer in heard:
            told.feeds |= {(side, feed): None for feed in answer.feeds}
            if answer.list_ready:
                told.lists.add(side)
            if answer.closed is not None:
                told.closed[side] = answer.closed
        self._settle([letter for letters, _ in heard for letter in letters], told)

    def _hint(self, side: str, hints: Sequence[Hint], told: ProcessedDeliveries) -> None:
        if hints:
            same = unchanged(self.link, self.intake, self.link.sides[side], hints)
            told.arrived += self.intake.hint(side, hints, self.link.clock(), unchanged=same).arrived
            told.hints += len(hints)

    def _answer(self, privacy: Privacy, letters: Sequence[StoredDelivery], told: ProcessedDeliveries) -> None:
        for letter in letters:
            if privacy.answer(letter.side, letter.delivery):
                self._settle([letter], told)
            else:
                again_at = self.link.clock() + timedelta(seconds=LETTER_AGAIN_SECONDS_MAX)
                self.inbox.postpone([letter], again_at)

    def _settle(self, letters: Sequence[StoredDelivery], told: ProcessedDeliveries) -> None:
        if letters:
            self.inbox.heard(letters)
            told.heard += len(letters)

    def _fail(self, letters: Sequence[StoredDelivery], error: SideError, told: ProcessedDeliveries) -> None:
        told.errors.append(f"{letters[0].side}: {error}.")
        doublings = min(letters[0].attempts, DOUBLINGS_MAX)
        seconds = min(LETTER_AGAIN_SECONDS * 2**doublings, LETTER_AGAIN_SECONDS_MAX)
        self.inbox.postpone(letters, self.link.clock() + timedelta(seconds=seconds))


def _by_subject(letters: Sequence[StoredDelivery]) -> list[list[StoredDelivery]]:
    """Deliveries about one thing are heard together: an order that is paid is told of under several topics.

    A privacy request's subject is no thing to ask about, so each stands for itself.
    """
    groups: dict[str, list[StoredDelivery]] = {}
    for letter in letters:
        is_thing = letter.delivery.subject and not letter.delivery.subject.startswith("{")
        groups.setdefault(letter.delivery.subject if is_thing else letter.delivery.key, []).append(letter)
    return list(groups.values())
