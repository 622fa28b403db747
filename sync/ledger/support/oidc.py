"""Who an OIDC provider's people are in the console, as the ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from sync.ledger.database.engine import reading
from sync.ledger.database.tables import oidc_identities, people, sessions
from sync.ledger.database.upsert import upsert
from sync.ledger.support.people import NameTaken, Person, add, person_of


@dataclass(frozen=True)
class Bound:
    """A person with the way they came in."""

    person: Person
    #: They came by a group's role, which the provider goes on deciding.
    follows_role: bool


@dataclass(frozen=True)
class IdentityBook:
    """All of it on one ledger. An identity is an issuer with a subject."""

    engine: Engine

    def find(self, issuer: str, subject: str) -> Bound | None:
        query = (
            select(people, oidc_identities.c.follows_role)
            .join(oidc_identities, oidc_identities.c.person_id == people.c.id)
            .where(oidc_identities.c.issuer == issuer, oidc_identities.c.subject == subject)
        )
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else Bound(person_of(row), row.follows_role)

    def bind(self, issuer: str, subject: str, person_id: int, now: datetime) -> None:
        """The identity is this person, whose role stays the console's."""
        values = {"person_id": person_id, "follows_role": False, "bound_at": now}
        with self.engine.begin() as connection:
            connection.execute(
                upsert(
                    connection, oidc_identities, {"issuer": issuer, "subject": subject, **values}
                ).on_conflict_do_update(index_elements=["issuer", "subject"], set_=values)
            )

    def add(self, issuer: str, subject: str, name: str, role: str, now: datetime) -> Person:
        """Somebody new, who has no password. Raises NameTaken; also when they came in twice at once."""
        try:
            with self.engine.begin() as connection:
                person = add(connection, name, role, None, now)
                connection.execute(
                    insert(oidc_identities).values(
                        issuer=issuer, subject=subject, person_id=person.id, follows_role=True, bound_at=now
                    )
                )
        except IntegrityError:
            raise NameTaken(name) from None
        return person

    def set_role(self, person_id: int, role: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(people).where(people.c.id == person_id).values(role=role))

    def end_sessions(self, person_id: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.person_id == person_id))
