"""POS numbers generated in advance: uploaded once, allotted once, in the transaction that makes the card."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select

from mappings.serials import Serial
from sync.ledger.database.engine import asking
from sync.ledger.database.tables import pool_numbers
from sync.ledger.database.upsert import upsert
from sync.ledger.secrets.vault import Vault

#: Fewer free numbers than this is a warning.
LOW_WATER = 50
#: How many of the oldest free numbers are offered at a time.
CHOICE = 64


@dataclass(frozen=True)
class PoolNumber:
    id: int
    serial: Serial


@dataclass(frozen=True)
class Pool:
    """The pools of all sides."""

    engine: Engine
    vault: Vault

    def add(self, side: str, serials: Iterable[Serial], brand: str | None = None) -> int:
        """Add numbers; one that is there already is left as it is. Returns how many are new."""
        added = 0
        with self.engine.begin() as connection:
            for serial in serials:
                values = {
                    "side": side,
                    "brand": brand,
                    "serial_index": self.vault.index(serial),
                    "serial_sealed": self.vault.seal(serial),
                    "last_chars": serial.last_chars,
                }
                added += connection.execute(
                    upsert(connection, pool_numbers, values).on_conflict_do_nothing()
                ).rowcount
        return added

    def next_free(self, side: str, brand: str | None) -> PoolNumber | None:
        """A number that no card has yet, of the brand or else of none.

        It is allotted only by the transaction that creates the card. One of the oldest few, by chance:
        workers that ask at the same time rarely get the same.
        """
        found = None if brand is None else self._one_free(side, brand)
        return found or self._one_free(side, None)

    def _one_free(self, side: str, brand: str | None) -> PoolNumber | None:
        with asking(self.engine) as connection:
            rows = connection.execute(
                select(pool_numbers.c.id, pool_numbers.c.serial_sealed)
                .where(
                    pool_numbers.c.side == side,
                    pool_numbers.c.allotted_at.is_(None),
                    pool_numbers.c.brand.is_(None) if brand is None else pool_numbers.c.brand == brand,
                )
                .order_by(pool_numbers.c.id)
                .limit(CHOICE)
            ).all()
        if not rows:
            return None
        row = random.choice(rows)
        return PoolNumber(row.id, self.vault.open(row.serial_sealed))

    def is_allotted(self, number: PoolNumber) -> bool:
        with asking(self.engine) as connection:
            at = connection.execute(
                select(pool_numbers.c.allotted_at).where(pool_numbers.c.id == number.id)
            ).scalar_one_or_none()
        return at is not None

    def free_after(self, side: str, after_id: int, limit: int) -> list[PoolNumber]:
        """The next numbers of no brand that no card has yet."""
        with asking(self.engine) as connection:
            rows = connection.execute(
                select(pool_numbers.c.id, pool_numbers.c.serial_sealed)
                .where(
                    pool_numbers.c.side == side,
                    pool_numbers.c.allotted_at.is_(None),
                    pool_numbers.c.brand.is_(None),
                    pool_numbers.c.id > after_id,
                )
                .order_by(pool_numbers.c.id)
                .limit(limit)
            ).all()
        return [PoolNumber(row.id, self.vault.open(row.serial_sealed)) for row in rows]

    def free(self, side: str) -> int:
        with asking(self.engine) as connection:
            return connection.execute(
                select(func.count()).where(pool_numbers.c.side == side, pool_numbers.c.allotted_at.is_(None))
            ).scalar_one()

    def free_by_brand(self, side: str) -> dict[str | None, int]:
        """How many numbers are free of each brand; of None: those that will do for any."""
        with asking(self.engine) as connection:
            rows = connection.execute(
                select(pool_numbers.c.brand, func.count())
                .where(pool_numbers.c.side == side, pool_numbers.c.allotted_at.is_(None))
                .group_by(pool_numbers.c.brand)
                .order_by(pool_numbers.c.brand)
            )
            return {row[0]: row[1] for row in rows}

    def retire(self, number: PoolNumber, now: datetime) -> None:
        """Take a number out that turned out to be in use."""
        with self.engine.begin() as connection:
            connection.execute(
                pool_numbers.update().where(pool_numbers.c.id == number.id).values(allotted_at=now)
            )
