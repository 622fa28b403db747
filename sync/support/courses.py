"""The course of a card's balance on each side, for plots. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.ledger.views import IntentRow, MovementRow
from sync.model import IntentState, MovementKind


@dataclass(frozen=True)
class Course:
    """What each side showed, in steps. Amounts in minor units."""

    #: By side: from when on it showed which balance.
    lines: Mapping[str, Sequence[tuple[datetime, int]]]
    #: When how much was written off, as a positive amount.
    written_off: Sequence[tuple[datetime, int]]


def course_of(movements: Sequence[MovementRow], intents: Sequence[IntentRow]) -> Course:
    """Worked out from what the ledger recorded: a side moves by a customer's movement, or by our effect."""
    changes: list[tuple[datetime, str, int]] = [
        (m.at, m.side, m.shadow_delta_minor) for m in movements if m.side is not None and m.shadow_delta_minor
    ]
    changes += [
        (i.ended_at, i.side, i.amount_minor)
        for i in intents
        if i.state == IntentState.APPLIED and i.ended_at is not None and i.amount_minor
    ]
    lines: dict[str, list[tuple[datetime, int]]] = {}
    shown: dict[str, int] = {}
    for at, side, change in sorted(changes, key=lambda one: one[0]):
        shown[side] = shown.get(side, 0) + change
        lines.setdefault(side, []).append((at, shown[side]))
    lost = [(m.at, abs(m.amount_minor)) for m in movements if m.kind == MovementKind.WRITE_OFF]
    return Course(dict(sorted(lines.items())), lost)
