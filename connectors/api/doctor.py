"""What the doctor finds out about a side: one sentence per point, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from connectors.api.capabilities import Identity
from mappings.serials import Serial


class Verdict(StrEnum):
    """How a point stands."""

    OK = "ok"
    #: The link works, but less well or less safely than it could.
    WARNING = "warning"
    #: The link cannot run, or not in a direction that is switched on.
    MISSING = "missing"
    #: Nothing is wrong; only a probe or a person can tell.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One point. Neither sentence nor remedy nor evidence ever holds a serial or a token."""

    #: Stable, for scripts, such as `scope.read_orders`.
    point: str
    verdict: Verdict
    sentence: str
    #: How to grant or mend it; empty when there is nothing to do.
    remedy: str = ""
    evidence: Mapping[str, str | int | bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """What was found out about a point before."""

    verdict: Verdict
    sentence: str
    at: datetime


@dataclass(frozen=True)
class Expectations:
    """What the link expects of a side."""

    #: ISO 4217; None: whatever the side has.
    currency: str | None
    #: IANA name.
    timezone: str
    #: The side's verdicts of earlier probes, by point.
    known: Mapping[str, Known] = field(default_factory=dict)
    #: A card to look at, if one was named.
    card: Serial | None = None
    #: Where the side is to deliver webhooks; None: giftsync has no public address.
    webhook_url: str | None = None


@dataclass(frozen=True)
class ExaminationReport:
    """What reading alone can tell about a side."""

    findings: Sequence[Finding]
    #: None: the side could not be asked.
    identity: Identity | None = None


class Journal(Protocol):
    """Keeps what a probe needs to put its card back, also after a crash. Never a serial."""

    def load(self) -> Mapping[str, Any] | None: ...

    def save(self, notes: Mapping[str, Any]) -> None:
        """Durable when it returns."""
        ...

    def clear(self) -> None: ...


@dataclass(frozen=True)
class ProbeContext:
    """What a probe works with."""

    card: Serial
    journal: Journal
    #: Longer than the side can hold a request and still carry it out.
    quiet_seconds: float
    #: Gives a marker that no intent has.
    new_marker: Callable[[], str]


class Examinable(Protocol):
    """A side that can be examined."""

    @property
    def name(self) -> str: ...

    @property
    def known_as(self) -> str:
        """The identity that it is configured for, without asking."""
        ...

    def examine(self, wanted: Expectations) -> ExaminationReport:
        """Everything that can be told by reading. Changes nothing; raises nothing of SideError."""
        ...

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        """Try on a test card what reading cannot tell, and put the card back as it was.

        Findings come as soon as they are sure, and are worth keeping. What could not be put back is the last
        one, with the exact amount.
        """
        ...


def listed(findings: Sequence[Finding], verdict: Verdict) -> list[Finding]:
    return [one for one in findings if one.verdict is verdict]
