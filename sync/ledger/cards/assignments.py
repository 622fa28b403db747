"""Physical cards that were given, or are being given, to people who bought one online."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mappings.serials import Serial
from sync.decisions.causes import assignment_changed
from sync.ledger.cards.row_proof import RowProof
from sync.ledger.conflicts.of_link import CAUSE_GONE
from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import assignments, conflicts, movements
from sync.ledger.incoming.origins import copy_origin
from sync.ledger.secrets.vault import Vault
from sync.model import IGNORED, ConflictKind, MovementKind

#: Why a card is empty whose value goes to a physical one, in its movement.
TAKEN_WHY = "the value goes to a physical card"
#: What was taken from which card, and what it is given to.
ASSIGNMENT_PROOF = RowProof(
    "assignment",
    (
        *("from_card", "to_card", "serial_index", "serial_sealed", "amount_minor", "expires_on", "note"),
        *("closes_old", "written_off_before", "state", "created_at"),
    ),
)


class NumberTaken(Exception):
    """The physical card's number is being assigned to another card."""


class AssignmentChanged(Exception):
    """The row of an assignment is not as giftsync wrote it: nothing is given for it.

    `amount_minor` is what it says now.
    """

    def __init__(self, amount_minor: int) -> None:
        super().__init__("what the ledger keeps of an assignment is not as giftsync wrote it")
        self.amount_minor = amount_minor


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
        """The assignment of the card's value, if there is one. Raises AssignmentChanged."""
        with asking(self.engine) as connection:
            query = select(assignments).where(assignments.c.from_card == card_id)
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if not ASSIGNMENT_PROOF.holds(row._mapping, self.vault):
            raise AssignmentChanged(row.amount_minor if isinstance(row.amount_minor, int) else 0)
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
        with asking(self.engine) as connection:
            query = select(assignments.c.from_card).where(assignments.c.state == "taking")
            return list(connection.execute(query).scalars())

    def add(self, connection: Connection, new: NewAssignment, now: datetime) -> None:
        """Raises NumberTaken."""
        values = {
            "from_card": new.from_card,
            "to_card": None,
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
            connection.execute(
                insert(assignments).values({**values, "proof": ASSIGNMENT_PROOF.of(values, self.vault)})
            )
        except IntegrityError:
            raise NumberTaken from None

    def choose_another(self, card_id: int, serial: Serial) -> None:
        """Give what was taken to another physical card. Raises NumberTaken."""
        try:
            with self.engine.begin() as connection:
                self._change(connection, card_id, **self._sealed(serial))
                # If that one is sold as well, it is told anew.
                connection.execute(
                    update(conflicts)
                    .where(conflicts.c.cause == f"assigned:{card_id}", conflicts.c.resolution == IGNORED)
                    .values(resolution="ignored")
                )
        except IntegrityError:
            raise NumberTaken from None

    def renew(
        self, connection: Connection, card_id: int, taken: Taken | None, new: NewAssignment, now: datetime
    ) -> None:
        """Write the row of an assignment anew that somebody changed, from what the history of the card says.

        `taken`: None: nothing was taken from the card, and the row goes. Raises NumberTaken.
        """
        connection.execute(delete(assignments).where(assignments.c.from_card == card_id))
        if taken is not None:
            self.add(connection, new, now)
            self._change(
                connection,
                card_id,
                written_off_before=taken.written_off_before,
                **({} if taken.to_card is None else {"state": "done", "to_card": taken.to_card}),
            )
        _close(connection, assignment_changed(card_id), now)

    def finish(self, connection: Connection, card_id: int, to_card: int | None, now: datetime) -> None:
        """The value was given: the order leads to the physical card, and nothing waits for its number."""
        self._change(connection, card_id, state="done", to_card=to_card, ended_at=now)
        if to_card is not None:
            copy_origin(connection, card_id, to_card)
        _close(connection, f"assigned:{card_id}", now)
        _close(connection, assignment_changed(card_id), now)

    def _change(self, connection: Connection, card_id: int, **values: object) -> None:
        """Change the row of a card, and prove it again if it was proved."""
        which = assignments.c.from_card == card_id
        row = connection.execute(select(assignments).where(which).with_for_update()).mappings().first()
        if row is None:
            return
        # What somebody changed is not proved by being changed again.
        holds = ASSIGNMENT_PROOF.holds(row, self.vault)
        proof = ASSIGNMENT_PROOF.of({**row, **values}, self.vault) if holds else row["proof"]
        connection.execute(update(assignments).where(which).values(**values, proof=proof))

    def _sealed(self, serial: Serial) -> dict[str, object]:
        return {
            "serial_index": self.vault.index(serial),
            "serial_sealed": self.vault.seal(serial),
            "last_chars": serial.last_chars,
        }


@dataclass(frozen=True)
class Taken:
    """What the history of cards says of an assignment. Amounts in minor units."""

    amount_minor: int
    written_off_before: int
    #: The card that it was given to; None: it was not given yet.
    to_card: int | None


def taken_from(connection: Connection, card_id: int) -> Taken | None:
    """What was last taken from the card for a physical one, by its movements; None where nothing was."""
    ours = (movements.c.card_id == card_id, movements.c.kind == MovementKind.RESOLUTION.value)
    found = select(movements).where(*ours).order_by(movements.c.id.desc())
    taken = next((one for one in connection.execute(found) if _why(one.evidence) == TAKEN_WHY), None)
    if taken is None:
        return None
    later = select(movements.c.card_id, movements.c.evidence).where(
        movements.c.id > taken.id, movements.c.kind == MovementKind.RESOLUTION.value
    )
    given = (row.card_id for row in connection.execute(later) if _why(row.evidence) == given_why(card_id))
    before = select(func.coalesce(func.sum(movements.c.amount_minor), 0)).where(
        movements.c.card_id == card_id,
        movements.c.kind == MovementKind.WRITE_OFF.value,
        movements.c.id < taken.id,
    )
    return Taken(-taken.amount_minor, int(connection.execute(before).scalar_one()), next(given, None))


def _why(evidence: object) -> object:
    return evidence.get("why") if isinstance(evidence, dict) else None


def given_why(card_id: int) -> str:
    """Why a physical card has its value, in its movement."""
    return f"assigned; from card {card_id}"


def _close(connection: Connection, cause: str, now: datetime) -> None:
    connection.execute(
        update(conflicts)
        .where(conflicts.c.cause == cause, conflicts.c.closed_at.is_(None))
        .values(closed_at=now, resolution=CAUSE_GONE)
    )


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
