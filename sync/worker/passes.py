"""A pass of the worker: how hard it may work, and what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sync.decisions.poll_order import PollBudget

ERRORS_KEPT_MAX = 20
POLLS_PER_SECOND = 5.0
#: Cards held per thread, so that one read may look at many.
CLAIMS_PER_THREAD = 8


def with_error(errors: list[str], words: str) -> list[str]:
    """The newest few errors, each once."""
    return errors if words in errors else [*errors, words][-ERRORS_KEPT_MAX:]


@dataclass(frozen=True)
class WorkerOptions:
    """How hard the worker works."""

    threads: int = 8
    #: Presences looked at by one slice of a side's sweep, and how often a slice is due.
    sweep_slice: int = 200
    sweep_interval_seconds: float = 10.0
    #: Cards looked at on a side that is read one card at a time, by side; POLLS_PER_SECOND where none is
    #: said.
    polls_per_second: Mapping[str, float] = field(default_factory=dict)
    #: How long one pass waits for what is in doubt or throttled before it ends with work left.
    wait_seconds_max: float = 300.0
    #: Replaces the feeds' own intervals, for tests and trials.
    feed_interval_seconds: float | None = None

    def budget(self, side: str) -> PollBudget:
        """How often the side's cards are looked at."""
        return PollBudget(self.polls_per_second.get(side, POLLS_PER_SECOND))


@dataclass
class PassReport:
    """What one pass did. Counts only; the ledger has the rest."""

    hints: int = 0
    arrived: int = 0
    met: int = 0
    swept: int = 0
    #: Cards that were worked on: in one pass each is counted once, by a worker that goes on each time.
    worked: int = 0
    #: Cards that a side's trouble, or a person's decision, keeps from being finished.
    unfinished: int = 0
    #: What went wrong with a whole side, in words; the newest few.
    errors: list[str] = field(default_factory=list)

    def add_error(self, words: str) -> None:
        self.errors = with_error(self.errors, words)

    @property
    def counts(self) -> dict[str, int]:
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}


@dataclass
class CountedOnce:
    """Counts cards, each once however often it comes: a bit for each id."""

    count: int = 0
    _seen: bytearray = field(default_factory=bytearray)

    def add(self, card_id: int) -> None:
        place, bit = divmod(card_id, 8)
        if place >= len(self._seen):
            self._seen.extend(bytes(place + 1 - len(self._seen)))
        self.count += not self._seen[place] >> bit & 1
        self._seen[place] |= 1 << bit


Progress = Callable[[str, PassReport], None]


def silent(_: str, __: PassReport) -> None:
    """For whoever does not want to be told."""
