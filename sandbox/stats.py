"""Calls, points and throttles by operation: what an emulator was asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

OperationKind = Literal["query", "mutation"]


@dataclass(frozen=True)
class Operation:
    """One API operation, named so that faults can match it and stats can count it.

    `name` is the API's own: `giftCardCredit` (several root fields are joined by `+`), `POST settlements`.
    """

    kind: OperationKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass
class OperationStats:
    kind: OperationKind
    calls: int = 0
    #: Query cost charged; zero for a side without points.
    points: int = 0
    throttles: int = 0
    #: Faults injected, by kind.
    faults: dict[str, int] = field(default_factory=dict)


@dataclass
class Stats:
    """Counters since start or since the last reset."""

    operations: dict[str, OperationStats] = field(default_factory=dict)

    def of(self, operation: Operation) -> OperationStats:
        return self.operations.setdefault(operation.name, OperationStats(operation.kind))

    def as_json(self) -> dict[str, object]:
        rows = self.operations.values()
        return {
            "calls": sum(row.calls for row in rows),
            "mutations": sum(row.calls for row in rows if row.kind == "mutation"),
            "points": sum(row.points for row in rows),
            "throttles": sum(row.throttles for row in rows),
            "operations": {
                name: {
                    "kind": row.kind,
                    "calls": row.calls,
                    "points": row.points,
                    "throttles": row.throttles,
                    "faults": row.faults,
                }
                for name, row in sorted(self.operations.items())
            },
        }
