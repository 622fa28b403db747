"""Looks at the cards of a side that is read one card at a time, those first that are worth it most.

`sync.decisions.poll_order` decides, `sync.ledger.incoming.polls` remembers; this asks the side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from connectors.api.card import Absent
from connectors.api.errors import SideError
from sync.crashpoints import crashpoint
from sync.feeds.reader import Swept, differs, look_of, observe
from sync.ledger.incoming.polls import Polls, ReadRecord
from sync.reconcile.work import Link

#: Looks by others that wait for the next slice; of more the oldest are forgotten, which costs an estimate.
WAITING_MAX = 10_000


@dataclass(frozen=True)
class Poller:
    """One side's looks. Thread-safe."""

    link: Link
    polls: Polls
    _waiting: deque[ReadRecord] = field(default_factory=lambda: deque(maxlen=WAITING_MAX), repr=False)

    def saw(self, look: ReadRecord) -> None:
        """Somebody else looked, such as the worker that a hint has woken: it counts as well."""
        self._waiting.append(look)

    def poll(self) -> Swept:
        """Look at the cards whose turn it is, as many as the budget allows; make those due that differ.

        Nothing is decided here: a card that is due is observed again under its lease. Raises what the side
        raises, once what was seen before is kept, and BrakeTripped when the side lacks its cards.
        """
        side = self.link.sides[self.polls.side]
        turns = self.polls.take(self.link.clock())
        looks: list[ReadRecord] = []
        due: set[int] = set()
        absent = 0
        trouble: SideError | None = None
        try:
            answers = observe(side, [turn.presence for turn in turns])
            for turn, observation in zip(turns, answers, strict=True):
                looks.append(look_of(turn.presence, observation, turn.by))
                absent += isinstance(observation, Absent)
                if differs(self.link, side, turn.presence, observation):
                    due.add(turn.presence.card_id)
        except SideError as error:
            trouble = error
        crashpoint("poller.observed")
        self.link.check_not_empty(side.name, len(looks), absent)
        if turns or self._waiting:
            self.polls.record([*self._take_waiting(), *looks], due, self.link.clock(), ends_slice=bool(turns))
        if trouble is not None:
            raise trouble
        return Swept(len(looks), len(due), absent, finished=False)

    def record(self, looks: Sequence[ReadRecord], due: Collection[int]) -> None:
        """Keep a sweep's page, and what others saw; make the cards due that differ."""
        self.polls.record([*self._take_waiting(), *looks], due, self.link.clock())

    def _take_waiting(self) -> list[ReadRecord]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]
