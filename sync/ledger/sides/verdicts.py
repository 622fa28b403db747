"""What `giftsync doctor` has proved about a side, and what a probe needs to put its test card back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, inspect, select

from connectors.api.doctor import Finding, Known, Verdict
from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import probes, verdicts
from sync.ledger.database.upsert import upsert


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on one side. Those on another shop or tenant of the same name do not count."""

    engine: Engine
    side: str
    identity: str

    def record(self, finding: Finding, now: datetime) -> None:
        """Keep a finding; it takes the place of the one before."""
        values = {
            "side": self.side,
            "point": finding.point,
            "identity": self.identity,
            "verdict": finding.verdict.value,
            "sentence": finding.sentence,
            "evidence": dict(finding.evidence),
            "at": now,
        }
        _put(self.engine, verdicts, ["side", "point"], values)

    def known(self) -> dict[str, Known]:
        """By point, what was found out last; nothing for a ledger that is older than verdicts."""
        with reading(self.engine) as connection:
            if not inspect(connection).has_table(verdicts.name):
                return {}
            rows = connection.execute(
                select(verdicts).where(verdicts.c.side == self.side, verdicts.c.identity == self.identity)
            ).all()
        return {row.point: Known(Verdict(row.verdict), row.sentence, row.at) for row in rows}


@dataclass(frozen=True)
class ProbeJournal:
    """A `Journal` of the probe of one side. Every save is durable before it returns."""

    engine: Engine
    side: str
    identity: str
    now: datetime

    def load(self) -> Mapping[str, Any] | None:
        with asking(self.engine) as connection:
            return connection.execute(
                select(probes.c.notes).where(probes.c.side == self.side, probes.c.identity == self.identity)
            ).scalar_one_or_none()

    def save(self, notes: Mapping[str, Any]) -> None:
        values = {"side": self.side, "identity": self.identity, "notes": dict(notes), "at": self.now}
        _put(self.engine, probes, ["side"], values)

    def clear(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(probes).where(probes.c.side == self.side))


def _put(engine: Engine, table: Any, key: list[str], values: Mapping[str, Any]) -> None:
    rest = {name: value for name, value in values.items() if name not in key}
    with engine.begin() as connection:
        connection.execute(
            upsert(connection, table, values).on_conflict_do_update(index_elements=key, set_=rest)
        )
