"""A pass of the worker: how hard it may work, and what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

ERRORS_KEPT_MAX = 20
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
    #: Cards looked at on a side that is read one card at a time.
    polls_per_second: float = 5.0
    #: How long one pass waits for what is in doubt or throttled before it ends with work left.
    wait_seconds_max: float = 300.0
    #: Replaces the feeds' own intervals, for tests and trials.
    feed_interval_seconds: float | None = None


@dataclass
class PassReport:
    """What one pass did. Counts only; the ledger has the rest."""

    hints: int = 0
    arrived: int = 0
    met: int = 0
    swept: int = 0
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


Progress = Callable[[str, PassReport], None]


def silent(_: str, __: PassReport) -> None:
    """For whoever does not want to be told."""
