"""The passkeys of people, as the ledger keeps them: public keys only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from sync.ledger.cards.row_proof import RowProof
from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import passkeys, people
from sync.ledger.secrets.vault import Vault
from sync.ledger.support.people import Person, person_of

PASSKEY_PROOF = RowProof("passkey", ("person_id", "credential_id", "public_key", "created_at"))


@dataclass(frozen=True)
class Passkey:
    """A key that a person's device holds."""

    id: int
    person_id: int
    #: What the person calls it.
    name: str
    #: As the device calls it, in base64url.
    credential_id: str
    public_key: bytes
    #: How often the device has signed, where it counts; a copy of it would count otherwise.
    sign_count: int
    created_at: datetime
    used_at: datetime | None


class PasskeyKnown(Exception):
    """The key was added before."""


@dataclass(frozen=True)
class PasskeyBook:
    """All of them on one ledger. One whose row is not as giftsync wrote it lets nobody in."""

    engine: Engine
    vault: Vault

    def of(self, person_id: int) -> Sequence[Passkey]:
        """In the order in which they were added."""
        query = select(passkeys).where(passkeys.c.person_id == person_id).order_by(passkeys.c.id)
        with asking(self.engine) as connection:
            return [_passkey(row) for row in connection.execute(query)]

    def find(self, credential_id: str) -> tuple[Passkey, Person] | None:
        """The key with its person; None where there is none, or one that giftsync did not write."""
        with reading(self.engine) as connection:
            row = connection.execute(
                select(passkeys).where(passkeys.c.credential_id == credential_id)
            ).first()
            if row is None or not PASSKEY_PROOF.holds(row._mapping, self.vault):
                return None
            person = connection.execute(select(people).where(people.c.id == row.person_id)).one()
        return _passkey(row), person_of(person, self.vault)

    def add(
        self, person_id: int, name: str, credential_id: str, public_key: bytes, count: int, now: datetime
    ) -> None:
        """Raises PasskeyKnown."""
        row = {
            "person_id": person_id,
            "name": name,
            "credential_id": credential_id,
            "public_key": public_key,
            "sign_count": count,
            "created_at": now,
        }
        try:
            with self.engine.begin() as connection:
                connection.execute(
                    insert(passkeys).values({**row, "proof": PASSKEY_PROOF.of(row, self.vault)})
                )
        except IntegrityError:
            raise PasskeyKnown from None

    def used(self, passkey_id: int, before: int, count: int, now: datetime) -> bool:
        """Note a use; False when another use came between, or the key was taken out."""
        with self.engine.begin() as connection:
            done = connection.execute(
                update(passkeys)
                .where(passkeys.c.id == passkey_id, passkeys.c.sign_count == before)
                .values(sign_count=count, used_at=now)
            )
        return done.rowcount == 1

    def remove(self, person_id: int, passkey_id: int) -> str | None:
        """Take out one of the person's own; its name."""
        with self.engine.begin() as connection:
            return connection.execute(
                delete(passkeys)
                .where(passkeys.c.id == passkey_id, passkeys.c.person_id == person_id)
                .returning(passkeys.c.name)
            ).scalar_one_or_none()


def _passkey(row: Row[Any]) -> Passkey:
    return Passkey(*(getattr(row, name) for name in Passkey.__dataclass_fields__))
