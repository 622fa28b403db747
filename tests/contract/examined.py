"""What the tests of both doctors share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.api.doctor import (
    Examinable,
    ExaminationReport,
    Expectations,
    Finding,
    ProbeContext,
    Verdict,
)
from mappings.serials import Serial

QUIET_SECONDS = 5.0


@dataclass
class Notes:
    """A journal in memory."""

    kept: Mapping[str, Any] | None = None
    saves: list[Mapping[str, Any]] = field(default_factory=list)

    def load(self) -> Mapping[str, Any] | None:
        return self.kept

    def save(self, notes: Mapping[str, Any]) -> None:
        self.kept = dict(notes)
        self.saves.append(self.kept)

    def clear(self) -> None:
        self.kept = None


def context(card: Serial | None, notes: Notes) -> ProbeContext:
    assert card is not None
    markers = (f"gs-probe{number}x{id(notes)}" for number in itertools.count())
    return ProbeContext(card, notes, QUIET_SECONDS, lambda: next(markers))


def wanted(**changes: Any) -> Expectations:
    return Expectations(**{"currency": "NOK", "timezone": "Europe/Oslo", **changes})


def point(found: ExaminationReport | Iterable[Finding], name: str) -> Finding:
    """The one finding on a point."""
    findings = found.findings if isinstance(found, ExaminationReport) else list(found)
    (finding,) = [one for one in findings if one.point == name]
    return finding


def points(found: ExaminationReport | Iterable[Finding], verdict: Verdict) -> list[str]:
    findings = found.findings if isinstance(found, ExaminationReport) else found
    return [one.point for one in findings if one.verdict is verdict]


def words(found: Iterable[Finding]) -> str:
    """Everything that could be shown."""
    return " ".join(f"{one.point} {one.sentence} {one.remedy} {dict(one.evidence)}" for one in found)


def probed(side: Examinable, card: Serial | None, notes: Notes | None = None) -> list[Finding]:
    return list(side.probe(context(card, notes or Notes())))


def cut_short(findings: Iterator[Finding], after: str) -> None:
    """Read findings up to a point, and never go on: the process was killed."""
    for finding in findings:
        if finding.point == after:
            return
    raise AssertionError(f"no finding {after}")
