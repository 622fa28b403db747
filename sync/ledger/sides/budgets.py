"""What all workers of a link may still ask of a side, on PostgreSQL, where several workers share a link.

By the database's clock: no worker's is right for all. A worker that dies takes with it what it had drawn
and not used; the refill makes up for that. Each method is one statement, since every call to a side needs
two of them. A crash of the server may undo the last ones: nothing is lost by that but some refill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, TextClause, text

from sync.ledger.database.engine import Engine

#: A clock that was set back refills nothing.
_REFILLED: Final = (
    "least(CAST(:maximum AS double precision), "
    "units + greatest(extract(epoch FROM clock_timestamp() - at)::double precision, 0) * :per_second)"
)
_SHOW: Final = text(f"SELECT {_REFILLED} FROM budgets WHERE side = :side")
_BEGIN: Final = text(
    "INSERT INTO budgets (side, units, at) VALUES (:side, :maximum, clock_timestamp()) ON CONFLICT DO NOTHING"
)


def _change(units: str, condition: str = "true") -> TextClause:
    return text(
        f"UPDATE budgets SET units = {units}, at = greatest(at, clock_timestamp()) "
        "FROM (SELECT set_config('synchronous_commit', 'off', true) AS is_set) AS lazily "
        f"WHERE side = :side AND is_set = 'off' AND {condition} RETURNING units"
    )


_TAKE: Final = _change(f"{_REFILLED} - :units")
_TAKE_IF_LEFT: Final = _change(f"{_REFILLED} - :units", f"{_REFILLED} - :units >= :keep")
_GIVE_BACK: Final = _change(f"least({_REFILLED} + :back, :maximum, CAST(:shown AS double precision))")


@dataclass(frozen=True)
class SharedBudget:
    """One side's units. Thread-safe."""

    engine: Engine
    side: str

    def draw(
        self, units: float, per_second: float, maximum: float, keep: float | None = None
    ) -> tuple[bool, float]:
        """See `connectors.api.budget.Budget`."""
        values = {
            "side": self.side,
            "units": units,
            "per_second": per_second,
            "maximum": maximum,
            "keep": keep,
        }
        statement = _TAKE if keep is None else _TAKE_IF_LEFT
        with self._connected() as connection:
            left = connection.execute(statement, values).scalar()
            if left is not None:
                return True, float(left)
            shown = connection.execute(_SHOW, values).scalar()
            if shown is not None:
                return False, float(shown)
            connection.execute(_BEGIN, values)
        return self.draw(units, per_second, maximum, keep)

    def correct(self, back: float, shown: float | None, per_second: float, maximum: float) -> None:
        """See `connectors.api.budget.Budget`."""
        values = {
            "side": self.side,
            "back": back,
            "shown": shown,
            "per_second": per_second,
            "maximum": maximum,
        }
        with self._connected() as connection:
            if connection.execute(_GIVE_BACK, values).scalar() is None:
                connection.execute(_BEGIN, values)
                connection.execute(_GIVE_BACK, values)

    def _connected(self) -> Connection:
        return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
