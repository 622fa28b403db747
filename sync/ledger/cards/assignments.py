"""Physical cards that were given, or are being given, to people who bought one online."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mappings.serials import Serial
from sync.ledger.conflicts.of_link import CAUSE_GONE
from sync.ledger.database.engine import Engine, reading
from sync.ledger.database.tables import assignments, conflicts, movements
from sync.ledger.incoming.origins import copy_origin
from sync.ledger.secrets.vault import Vault
from sync.model import IGNORED, ConflictKind, MovementKind


class NumberTaken(Exception):
    """The physical card's number is being assigned to another card."""


@dataclass(frozen=True)
class NewAssignment:
    """What was taken from a card, for a physical one. Amounts in minor units."""

    from_card: int
    serial: Serial
    amount_minor: int
    expires_on: date | None
    note: str
    closes_old: bool
    by: str


@dataclass(frozen=True)
class Assignment:
    """One that is under way or done. Amounts in minor units."""

    from_card: int
    #: None until the value was given.
    to_card: int | None
    serial_index: str
    serial: Serial
    last_chars: str
    amount_minor: int
    expires_on: date | None
    note: str
    closes_old: bool
    #: What had been written off on the card before its value was taken.
    written_off_before: int
    is_done: bool
    created_at: datetime


@dataclass(frozen=True)
class Assignments:
    """Reads are transactions of their own; what is written belongs to one of the caller's."""

    engine: Engine
    vault: Vault

    def of_card(self, card_id: int) -> Assignment | None:
        """The assignment of the card's value, if there is one."""
        with reading(self.engine) as connection:
            query = select(assignments).where(assignments.c.from_card == card_id)
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Assignment(
            row.from_card,
            row.to_card,
            row.serial_index,
            self.vault.open(row.serial_sealed),
            row.last_chars,
            row.amount_minor,
            row.expires_on,
            self.vault.open_words(row.note),
            row.closes_old,
            row.written_off_before,
            row.state == "done",
            row.created_at,
        )

    def under_way(self) -> list[int]:
        """The cards whose value was taken and is still to be given."""
        with reading(self.engine) as connection:
            query = select(assignments.c.from_card).where(assignments.c.state == "taking")
            return list(connection.execute(query).scalars())

    def add(self, connection: Connection, new: NewAssignment, now: datetime) -> None:
        """Raises NumberTaken."""
        values = {
            "from_card": new.from_card,
            **self._sealed(new.serial),
            "amount_minor": new.amount_minor,
            "expires_on": new.expires_on,
            "note": self.vault.seal_words(new.note),
            "closes_old": new.closes_old,
            "state": "taking",
            "by": new.by,
            "created_at": now,
            "written_off_before": written_off(connection, new.from_card),
        }
        try:
            connection.execute(insert(assignments).values(values))
        except IntegrityError:
            raise NumberTaken from None

    def choose_another(self, card_id: int, serial: Serial) -> None:
        """Give what was taken to another physical card. Raises NumberTaken."""
        waits = (assignments.c.from_card == card_id, assignments.c.state == "taking")
        try:
            with self.engine.begin() as connection:
                connection.execute(update(assignments).where(*waits).values(self._sealed(serial)))
                # If that one is sold as well, it is told anew.
                connection.execute(
                    update(conflicts)
                    .where(conflicts.c.cause == f"assigned:{card_id}", conflicts.c.resolution == IGNORED)
                    .values(resolution="ignored")
                )
        except IntegrityError:
            raise NumberTaken from None

    def finish(self, connection: Connection, card_id: int, to_card: int | None, now: datetime) -> None:
        """The value was given: the order leads to the physical card, and nothing waits for its number."""
        connection.execute(
            update(assignments)
            .where(assignments.c.from_card == card_id)
            .values(state="done", to_card=to_card, ended_at=now)
        )
        if to_card is not None:
            copy_origin(connection, card_id, to_card)
        connection.execute(
            update(conflicts)
            .where(conflicts.c.cause == f"assigned:{card_id}", conflicts.c.closed_at.is_(None))
            .values(closed_at=now, resolution=CAUSE_GONE)
        )

    def _sealed(self, serial: Serial) -> dict[str, object]:
        return {
            "serial_index": self.vault.index(serial),
            "serial_sealed": self.vault.seal(serial),
            "last_chars": serial.last_chars,
        }


def written_off(connection: Connection, card_id: int) -> int:
    """What had to be written off on the card: spent though it was not there any more. Minor units."""
    query = select(func.coalesce(func.sum(movements.c.amount_minor), 0)).where(
        movements.c.card_id == card_id, movements.c.kind == MovementKind.WRITE_OFF.value
    )
    return int(connection.execute(query).scalar_one())


def explain_overdraft(connection: Connection, assigned: Assignment, now: datetime) -> None:
    """What the owner spent meanwhile is missing from the new card, so the merchant has lost nothing."""
    connection.execute(
        update(conflicts)
        .where(
            conflicts.c.card_id == assigned.from_card,
            conflicts.c.opened_at >= assigned.created_at,
            conflicts.c.kind == ConflictKind.OVERDRAFT.value,
            conflicts.c.closed_at.is_(None),
        )
        .values(closed_at=now, resolution="taken from the value of the assigned card")
    )
