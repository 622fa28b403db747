"""Runs of the worker and of imports: when each began and ended, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import insert, update

from sync.ledger.database.engine import Engine
from sync.ledger.database.tables import runs


def start_run(engine: Engine, kind: str, now: datetime) -> int:
    """The id of a run that begins now."""
    with engine.begin() as connection:
        run_id: int = connection.execute(
            insert(runs).values(kind=kind, started_at=now, counts={}).returning(runs.c.id)
        ).scalar_one()
    return run_id


def end_run(engine: Engine, run_id: int, now: datetime, counts: Mapping[str, int], *, done: bool) -> None:
    """Note the end of a run; it has failed if something was left undone."""
    outcome = "done" if done else "failed"
    with engine.begin() as connection:
        connection.execute(
            update(runs).where(runs.c.id == run_id).values(ended_at=now, outcome=outcome, counts=dict(counts))
        )
