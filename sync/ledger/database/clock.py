"""Whether this machine's clock agrees with PostgreSQL's, and so with those of the other machines of a link.

Leases and quiet periods are moments that one worker writes and another one compares with its own clock. Who
is ahead would take cards from a worker that still has them, and take what is on its way for what never came.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import func, select

from sync.ledger.database.engine import Engine, LedgerUnavailable, asking

#: Far less than the shortest lease, and more than clocks that are kept in time ever differ.
APART_SECONDS_MAX: Final = 5.0


def machine_time() -> datetime:
    return datetime.now(UTC)


def seconds_ahead(before: datetime, theirs: datetime, after: datetime) -> float:
    """How far a clock is surely ahead of another one that was read between two looks at it; negative: behind,
    0: they may agree.
    """
    if theirs < before:
        return (before - theirs).total_seconds()
    return min((after - theirs).total_seconds(), 0.0)


def why_wrong(ahead: float) -> str | None:
    """In words, why nothing may be done by a clock that is so many seconds ahead; None: it may."""
    if abs(ahead) <= APART_SECONDS_MAX:
        return None
    how = "ahead of" if ahead > 0 else "behind"
    return (
        f"this machine's clock is {abs(ahead):.0f} s {how} the database server's, and by it cards would be "
        "taken from other workers; set both clocks by a time server (NTP)"
    )


def check_clock(engine: Engine, clock: Callable[[], datetime] = machine_time) -> None:
    """Raises LedgerUnavailable when this machine's clock is not PostgreSQL's; SQLite is on this machine."""
    if engine.dialect.name != "postgresql":
        return
    before = clock()
    with asking(engine) as connection:
        theirs = connection.execute(select(func.clock_timestamp())).scalar_one()
    why = why_wrong(seconds_ahead(before, theirs, clock()))
    if why is not None:
        raise LedgerUnavailable(why)
