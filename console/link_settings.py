"""What the settings page needs of whoever keeps the link's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["bool", "choice", "number", "text", "list"]


@dataclass(frozen=True)
class Setting:
    """One setting that a merchant may change."""

    #: Its key path, such as `sides.web.download`.
    path: str
    kind: Kind
    #: As a form has it; empty: left out, or an empty text.
    value: str
    #: Of a `choice`: the values.
    choices: tuple[str, ...] = ()
    #: The explanation in the reference, in English.
    explanation: str = ""
    #: The default as the file would have it; empty: none.
    default: str = ""
    #: The environment variable that sets it, so that the file cannot.
    pinned_by: str = ""

    @property
    def name(self) -> str:
        """The path below the link or the side, such as `directions.balance`."""
        parts = self.path.split(".")
        return ".".join(parts[2:] if parts[0] == "sides" else parts[1:])


@dataclass(frozen=True)
class Group:
    """The settings of the link (`side` is empty), or of one side."""

    side: str
    settings: tuple[Setting, ...]
    #: What is not changed here, as key and value; secrets are only said to be there.
    others: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Change:
    """A setting with its value before and after."""

    setting: Setting
    after: str


@dataclass(frozen=True)
class Would:
    """Effects of one kind on one side that would follow."""

    side: str
    #: As `create`, `credit`, `debit`, `set status`, `set expiry`.
    effect: str
    cards: int
    #: The sum of the amounts, in minor units.
    amount_minor: int
    currency: str


@dataclass
class Trial:
    """A dry run of changed settings, under way or done."""

    would: Sequence[Would] = ()
    #: Sentences of the first conflicts that would be opened, and how many there are in all.
    asked: Sequence[str] = ()
    asked_count: int = 0
    errors: list[str] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True)
class Creates:
    """Cards that a side lacks, and that changed settings let be created there."""

    side: str
    cards: int
    money_minor: int
    currency: str


@dataclass(frozen=True)
class Draft:
    """Changes that are not saved yet."""

    id: str
    by: str
    changes: tuple[Change, ...]
    trial: Trial
    #: Saving them needs a yes to these.
    creates: tuple[Creates, ...] = ()


@dataclass(frozen=True)
class Found:
    """One point of a check-up: `verdict` is `ok`, `warning`, `missing` or `unknown`."""

    verdict: str
    sentence: str
    remedy: str


@dataclass
class Checkup:
    """What a side says of itself, or, under an empty name, all sides together."""

    side: str
    found: dict[str, list[Found]] = field(default_factory=dict)
    error: str = ""
    ended: bool = False


@dataclass(frozen=True)
class Refill:
    """The pool of numbers of one side: what is left by brand, and whether that is little."""

    side: str
    #: An empty brand: numbers for any.
    free: Mapping[str, int]
    low: bool


class Unfit(Exception):
    """Changes that cannot be; `problems` are sentences."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class SettingsDesk(Protocol):
    """The settings of one link, and what can be tried with them."""

    @property
    def restarts(self) -> bool:
        """Whether giftsync begins anew by itself with what was saved."""
        ...

    def groups(self) -> Sequence[Group]:
        """As the file and the environment have them now."""
        ...

    def draft(self, values: Mapping[str, str], by: str) -> Draft:
        """Check changed values by path, keep them, and begin their dry run. Raises Unfit."""
        ...

    def drafted(self, draft: str) -> Draft | None: ...

    def drop(self, draft: str) -> None: ...

    def save(self, draft: str, *, agreed: bool) -> Draft | None:
        """Write the file and begin anew; None: it was saved or dropped before.

        Raises Unfit; also for a draft with `creates` that nobody `agreed` to.
        """
        ...

    @property
    def checkup(self) -> Checkup | None: ...

    def check(self, side: str) -> None:
        """Begin a check-up of a side, or of all sides when it is empty."""
        ...

    def webhook_url(self, side: str) -> str | None: ...

    def pools(self) -> Sequence[Refill]: ...

    def add_numbers(self, side: str, content: bytes) -> int:
        """Add a file's numbers to the pool of a side; how many were new. Raises Unfit."""
        ...

    def connectable(self) -> Mapping[str, str]:
        """The sides that can be connected from a page; the value says why not now, if so."""
        ...

    def connect(self, side: str, by: str, redirect: str) -> str:
        """The address at which the side's owner says yes. Raises Unfit."""
        ...

    def connected(self, side: str, by: str, query: Sequence[tuple[str, str]]) -> tuple[bool, str]:
        """The side's answer: whether it is connected now, and what to tell. Begins anew then."""
        ...

    def pause(self, by: str, why: str) -> bool:
        """Write nothing more on any side until somebody resumes the link; whether it was not paused before.

        Raises Unfit.
        """
        ...

    def resume(self, by: str, why: str) -> int:
        """Let a stopped link go on; how many stops that ended. Raises Unfit."""
        ...
