"""Hears the webhook deliveries that were stored: asks the sides about them, and makes cards due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.base import Heard, Listener
from connectors.errors import SideClosed, SideError
from sync.ledger.intake import Intake
from sync.ledger.mailbox import Letter, Mailbox
from sync.privacy import Privacy

LETTERS_BATCH = 100
LETTER_AGAIN_SECONDS = 2.0
LETTER_AGAIN_SECONDS_MAX = 600.0
DOUBLINGS_MAX = 16


@dataclass
class Hearsay:
    """What a batch of deliveries came to."""

    #: Deliveries that need not be heard again.
    heard: int = 0
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
class Hearing:
    """Hears with many threads at once: one slow answer keeps no other delivery waiting."""

    mailbox: Mailbox
    intake: Intake
    listeners: Mapping[str, Listener]
    privacy: Privacy | None
    clock: Callable[[], datetime]

    def hear(self, threads: Executor, on_due: Callable[[], None]) -> Hearsay:
        """Hear what is due; `on_due` is called each time that cards have become due."""
        told = Hearsay()
        asked: dict[Future[Heard | SideError], list[Letter]] = {}
        for letters in _by_subject(self.mailbox.due(self.clock(), LETTERS_BATCH)):
            first = letters[0]
            listener = self.listeners.get(first.side)
            if self.privacy is not None and self.privacy.concerns(first.delivery):
                self._answer(self.privacy, letters, told)
            elif listener is None:
                self._settle(letters, told)
            else:
                asked[threads.submit(_ask, listener, first)] = letters
        waiting = set(asked)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            self._take_in([(asked[future], future.result()) for future in done], told, on_due)
        return told

    def _take_in(
        self,
        answers: Sequence[tuple[list[Letter], Heard | SideError]],
        told: Hearsay,
        on_due: Callable[[], None],
    ) -> None:
        """Store the hints, and only then that the deliveries were heard."""
        heard: list[Letter] = []
        for letters, answer in answers:
            side = letters[0].side
            if isinstance(answer, SideError):
                told.errors.append(f"{side}: {answer}.")
                self._postpone(letters)
                continue
            if answer.hints:
                told.arrived += self.intake.hint(side, answer.hints, self.clock()).arrived
                told.hints += len(answer.hints)
                on_due()
            told.feeds |= {(side, feed): None for feed in answer.feeds}
            if answer.list_ready:
                told.lists.add(side)
            if answer.closed is not None:
                told.closed[side] = answer.closed
            heard += letters
        self._settle(heard, told)

    def _answer(self, privacy: Privacy, letters: Sequence[Letter], told: Hearsay) -> None:
        for letter in letters:
            if privacy.answer(letter.side, letter.delivery):
                self._settle([letter], told)
            else:
                again_at = self.clock() + timedelta(seconds=LETTER_AGAIN_SECONDS_MAX)
                self.mailbox.postpone([letter], again_at)

    def _settle(self, letters: Sequence[Letter], told: Hearsay) -> None:
        if letters:
            self.mailbox.heard(letters)
            told.heard += len(letters)

    def _postpone(self, letters: Sequence[Letter]) -> None:
        doublings = min(letters[0].attempts, DOUBLINGS_MAX)
        seconds = min(LETTER_AGAIN_SECONDS * 2**doublings, LETTER_AGAIN_SECONDS_MAX)
        self.mailbox.postpone(letters, self.clock() + timedelta(seconds=seconds))


def _by_subject(letters: Sequence[Letter]) -> list[list[Letter]]:
    """Deliveries about one thing are heard together: an order that is paid is told of under several topics.

    A privacy request's subject is no thing to ask about, so each stands for itself.
    """
    groups: dict[tuple[str, str], list[Letter]] = {}
    for letter in letters:
        is_thing = letter.delivery.subject and not letter.delivery.subject.startswith("{")
        subject = letter.delivery.subject if is_thing else letter.delivery.key
        groups.setdefault((letter.side, subject), []).append(letter)
    return list(groups.values())


def _ask(listener: Listener, letter: Letter) -> Heard | SideError:
    try:
        return listener.hear(letter.delivery)
    except SideError as error:
        return error
