"""Who an OIDC provider's people are in the console, as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from sync.ledger.cards.row_proof import RowProof
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import oidc_identities, people, sessions
from sync.ledger.database.upsert import upsert
from sync.ledger.secrets.vault import Vault
from sync.ledger.support.people import NameTaken, Person, add, change_person, person_of

IDENTITY_PROOF = RowProof("oidc identity", ("issuer", "subject", "person_id", "follows_role", "bound_at"))


@dataclass(frozen=True)
class Bound:
    """A person with the way they came in."""

    person: Person
    #: They came by a group's role, which the provider goes on deciding.
    follows_role: bool


@dataclass(frozen=True)
class IdentityBook:
    """All of it on one ledger. An identity is an issuer with a subject.

    One whose row is not as giftsync wrote it is nobody's.
    """

    engine: Engine
    vault: Vault

    def find(self, issuer: str, subject: str) -> Bound | None:
        query = select(oidc_identities).where(
            oidc_identities.c.issuer == issuer, oidc_identities.c.subject == subject
        )
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
            if row is None or not IDENTITY_PROOF.holds(row._mapping, self.vault):
                return None
            person = connection.execute(select(people).where(people.c.id == row.person_id)).one()
        return Bound(person_of(person, self.vault), row.follows_role)

    def bind(self, issuer: str, subject: str, person_id: int, now: datetime) -> None:
        """The identity is this person, whose role stays the console's."""
        values = {"person_id": person_id, "follows_role": False, "bound_at": now}
        row = self._proved({"issuer": issuer, "subject": subject, **values})
        with self.engine.begin() as connection:
            connection.execute(
                upsert(connection, oidc_identities, row).on_conflict_do_update(
                    index_elements=["issuer", "subject"], set_={**values, "proof": row["proof"]}
                )
            )

    def add(self, issuer: str, subject: str, name: str, role: str, now: datetime) -> Person:
        """Somebody new, who has no password. Raises NameTaken; also when they came in twice at once."""
        try:
            with self.engine.begin() as connection:
                person = add(connection, self.vault, name, role, None, now)
                row = {"person_id": person.id, "follows_role": True, "bound_at": now}
                row = self._proved({"issuer": issuer, "subject": subject, **row})
                connection.execute(insert(oidc_identities).values(row))
        except IntegrityError:
            raise NameTaken(name) from None
        return person

    def set_role(self, person_id: int, role: str) -> None:
        with self.engine.begin() as connection:
            change_person(connection, self.vault, person_id, role=role)

    def _proved(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, "proof": IDENTITY_PROOF.of(row, self.vault)}

    def end_sessions(self, person_id: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.person_id == person_id))
