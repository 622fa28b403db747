"""Who may use the console, their sessions and invitations, and what they did, as the ledger keeps it.

Each row that lets somebody in has a keyed proof. Who writes into the database without the key can keep
somebody out, and cannot give a person another role or password, nor begin a session or invite anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from sync.ledger.cards.row_proof import RowProof
from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import (
    activity,
    browsers,
    invitations,
    oidc_identities,
    passkeys,
    people,
    sessions,
)
from sync.ledger.secrets.vault import Vault

log = structlog.get_logger(__name__)

PERSON_PROOF = RowProof("person", ("id", "name", "name_key", "role", "password_hash", "created_at"))
INVITATION_PROOF = RowProof("invitation", ("token_hash", "role", "person_id", "expires_at", "used_at"))
SESSION_PROOF = RowProof("session", ("token_hash", "person_id", "began_at", "expires_at"))

#: A session's last use is written down at most so often.
SEEN_EVERY = timedelta(minutes=1)


class NameTaken(Exception):
    """Somebody has the name already."""


class LastMerchant(Exception):
    """Without this person nobody could let others in."""


@dataclass(frozen=True)
class Person:
    """Somebody who may use the console."""

    id: int
    name: str
    role: str
    password_hash: str | None
    language: str | None
    created_at: datetime
    #: When a session of theirs was last used; None: no session is open.
    seen_at: datetime | None = None
    #: Whether their row is not as giftsync wrote it; then nothing lets them in but a new one-time link.
    altered: bool = False


@dataclass(frozen=True)
class Invitation:
    """A one-time link that was not used yet."""

    role: str
    person: Person | None


@dataclass(frozen=True)
class Deed:
    """What somebody did."""

    id: int
    at: datetime
    by: str
    action: str
    about: str


@dataclass(frozen=True)
class Session:
    """Where somebody is signed in."""

    began_at: datetime
    seen_at: datetime
    #: Browser and system; empty when the browser did not say.
    device: str
    #: The one that asks.
    is_this: bool


@dataclass(frozen=True)
class NewBrowser:
    """A browser on which somebody signed in for the first time, and has not said yet that it is theirs."""

    id: int
    name: str
    #: Browser and system; empty when the browser did not say.
    device: str
    met_at: datetime


@dataclass(frozen=True)
class PeopleBook:
    """All of it on one ledger. Tokens come as their hashes."""

    engine: Engine
    vault: Vault

    def is_empty(self) -> bool:
        with asking(self.engine) as connection:
            return connection.execute(select(people.c.id).limit(1)).first() is None

    def list(self) -> list[Person]:
        """By name."""
        seen = select(func.max(sessions.c.seen_at)).where(sessions.c.person_id == people.c.id)
        query = select(people, seen.scalar_subquery().label("seen_at")).order_by(people.c.name_key)
        with asking(self.engine) as connection:
            return [person_of(row, self.vault, row.seen_at) for row in connection.execute(query)]

    def by_name(self, name: str) -> Person | None:
        with asking(self.engine) as connection:
            row = connection.execute(select(people).where(people.c.name_key == _key(name))).first()
        return None if row is None else person_of(row, self.vault)

    def remove(self, person_id: int) -> bool:
        """Whether there was such a person; their sessions and links end. Raises LastMerchant."""
        with self.engine.begin() as connection:
            # Two who remove each other at the same time wait for each other here.
            connection.execute(update(people).values(name=people.c.name))
            found = {row.id: person_of(row, self.vault) for row in connection.execute(select(people))}
            if person_id not in found:
                return False
            # One whose row somebody changed lets nobody in.
            if [p.id for p in found.values() if p.role == "merchant" and not p.altered] == [person_id]:
                raise LastMerchant
            for table in (sessions, invitations, passkeys, oidc_identities, browsers):
                connection.execute(delete(table).where(table.c.person_id == person_id))
            connection.execute(delete(people).where(people.c.id == person_id))
        return True

    def set_language(self, person_id: int, language: str | None) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(people).where(people.c.id == person_id).values(language=language))

    def set_password_hash(self, person_id: int, password_hash: str) -> None:
        """A person whose row somebody changed does not get one."""
        with self.engine.begin() as connection:
            change_person(connection, self.vault, person_id, password_hash=password_hash)

    # --- invitations ----------------------------------------------------------------------------------------

    def invite(
        self,
        token_hash: str,
        role: str,
        by: str,
        now: datetime,
        until: datetime,
        person_id: int | None = None,
    ) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(invitations).where(invitations.c.expires_at <= now))
            row = {
                "token_hash": token_hash,
                "role": role,
                "person_id": person_id,
                "made_by": by,
                "made_at": now,
                "expires_at": until,
                "used_at": None,
            }
            proof = INVITATION_PROOF.of(row, self.vault)
            connection.execute(insert(invitations).values({**row, "proof": proof}))

    def withdraw_invitations(self, by: str) -> None:
        """Links of that maker that were not used yet."""
        with self.engine.begin() as connection:
            connection.execute(
                delete(invitations).where(invitations.c.made_by == by, invitations.c.used_at.is_(None))
            )

    def invitation(self, token_hash: str, now: datetime) -> Invitation | None:
        with reading(self.engine) as connection:
            row = connection.execute(
                select(invitations).where(
                    invitations.c.token_hash == token_hash,
                    invitations.c.used_at.is_(None),
                    invitations.c.expires_at > now,
                )
            ).first()
            if row is None or not self._proved(INVITATION_PROOF, row):
                return None
            person = None
            if row.person_id is not None:
                found = connection.execute(select(people).where(people.c.id == row.person_id)).one()
                person = person_of(found, self.vault)
        return Invitation(row.role, person)

    def accept(self, token_hash: str, name: str, password_hash: str | None, now: datetime) -> Person | None:
        """Use an invitation once: somebody new comes in, or a known person gets the password.

        None: it was used or is too old. Raises NameTaken.
        """
        try:
            with self.engine.begin() as connection:
                which = invitations.c.token_hash == token_hash
                row = connection.execute(
                    select(invitations)
                    .where(which, invitations.c.used_at.is_(None), invitations.c.expires_at > now)
                    .with_for_update()
                ).first()
                if row is None or not self._proved(INVITATION_PROOF, row):
                    return None
                proof = INVITATION_PROOF.of({**row._mapping, "used_at": now}, self.vault)
                connection.execute(update(invitations).where(which).values(used_at=now, proof=proof))
                if row.person_id is None:
                    return add(connection, self.vault, name, row.role, password_hash, now)
                # Whoever holds the link is the person now, and nobody else.
                for table in (sessions, passkeys):
                    connection.execute(delete(table).where(table.c.person_id == row.person_id))
                given = {} if password_hash is None else {"password_hash": password_hash}
                return self._renewed(connection, row.person_id, role=row.role, **given)
        except IntegrityError:
            raise NameTaken(name) from None

    # --- sessions -------------------------------------------------------------------------------------------

    def begin_session(self, token_hash: str, person_id: int, now: datetime, until: datetime) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
            row = {
                "token_hash": token_hash,
                "person_id": person_id,
                "began_at": now,
                "seen_at": now,
                "expires_at": until,
            }
            connection.execute(insert(sessions).values({**row, "proof": SESSION_PROOF.of(row, self.vault)}))

    def session(
        self, token_hash: str, now: datetime, idle: timedelta, device: str | None = None
    ) -> Person | None:
        """Whose session it is; None when it has ended, was not used for so long, or is not giftsync's own.

        `device` is what its browser says to be now; None: not known here.
        """
        query = select(sessions).where(
            sessions.c.token_hash == token_hash,
            sessions.c.expires_at > now,
            sessions.c.seen_at > now - idle,
        )
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
            if row is None or not self._proved(SESSION_PROOF, row):
                return None
            found = connection.execute(select(people).where(people.c.id == row.person_id)).one()
        person = person_of(found, self.vault, row.seen_at)
        if person.altered:
            _told_of("a person's", person_id=person.id)
            return None
        device = row.device if device is None else device
        if now - row.seen_at >= SEEN_EVERY or device != row.device:
            with self.engine.begin() as connection:
                connection.execute(
                    update(sessions)
                    .where(sessions.c.token_hash == token_hash)
                    .values(seen_at=now, device=device)
                )
        return person

    def end_session(self, token_hash: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.token_hash == token_hash))

    def sessions_of(
        self, person_id: int, token_hash: str, now: datetime, idle: timedelta
    ) -> Sequence[Session]:
        """A person's sessions that are not over, the one that was used last first."""
        query = select(sessions).where(
            sessions.c.person_id == person_id, sessions.c.expires_at > now, sessions.c.seen_at > now - idle
        )
        with asking(self.engine) as connection:
            return [
                Session(row.began_at, row.seen_at, row.device, row.token_hash == token_hash)
                for row in connection.execute(query.order_by(sessions.c.seen_at.desc()))
            ]

    def end_other_sessions(self, person_id: int, token_hash: str, browser_hash: str) -> None:
        """Browsers that nobody said to know are forgotten: a sign-in there is told of anew."""
        others = (sessions.c.person_id == person_id, sessions.c.token_hash != token_hash)
        with self.engine.begin() as connection:
            connection.execute(delete(sessions).where(*others))
            connection.execute(delete(browsers).where(*_new_elsewhere(person_id, browser_hash)))

    # --- browsers -------------------------------------------------------------------------------------------

    def meet_browser(self, person_id: int, browser_hash: str, device: str, now: datetime) -> bool:
        """Remember where the person signs in; whether it is new to somebody who has signed in elsewhere."""
        mine = browsers.c.person_id == person_id
        try:
            with self.engine.begin() as connection:
                known = set(connection.execute(select(browsers.c.token_hash).where(mine)).scalars())
                if browser_hash in known:
                    return False
                connection.execute(
                    insert(browsers).values(
                        person_id=person_id,
                        token_hash=browser_hash,
                        device=device,
                        met_at=now,
                        known_at=None if known else now,
                    )
                )
        except IntegrityError:
            # The same browser signed in twice at the same time: the other one tells.
            return False
        return bool(known)

    def new_browsers(self, person_id: int, browser_hash: str) -> Sequence[NewBrowser]:
        """Those besides the one that asks that the person has not said to be theirs, the newest first."""
        query = _browsers().where(*_new_elsewhere(person_id, browser_hash)).order_by(browsers.c.id.desc())
        with asking(self.engine) as connection:
            return [NewBrowser(r.id, r.name, r.device, r.met_at) for r in connection.execute(query)]

    def know_browsers(self, person_id: int, browser_hash: str, now: datetime) -> None:
        """The person says that the new ones are theirs, on another one."""
        with self.engine.begin() as connection:
            connection.execute(
                update(browsers).where(*_new_elsewhere(person_id, browser_hash)).values(known_at=now)
            )

    # --- proofs ---------------------------------------------------------------------------------------------

    def _proved(self, proof: RowProof, row: Row[Any]) -> bool:
        if proof.holds(row._mapping, self.vault):
            return True
        _told_of(f"a {proof.kind}'s", person_id=row.person_id)
        return False

    def _renewed(self, connection: Connection, person_id: int, **values: object) -> Person:
        """The person as these values say, proved whatever somebody has made of their row."""
        which = people.c.id == person_id
        row = connection.execute(select(people).where(which).with_for_update()).one()
        proof = PERSON_PROOF.of({**row._mapping, **values}, self.vault)
        changed = connection.execute(
            update(people).where(which).values(**values, proof=proof).returning(people)
        )
        return person_of(changed.one(), self.vault)

    # --- activity -------------------------------------------------------------------------------------------

    def record(self, by: str, action: str, about: str, now: datetime) -> None:
        with self.engine.begin() as connection:
            connection.execute(insert(activity).values(at=now, by=by, action=action, about=about))

    def newest_deeds(self, limit: int, before_id: int | None = None) -> Sequence[Deed]:
        """Newest first."""
        query = select(activity).order_by(activity.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(activity.c.id < before_id)
        with asking(self.engine) as connection:
            return [Deed(*row) for row in connection.execute(query)]


def browsers_met(engine: Engine, after_id: int) -> Sequence[NewBrowser]:
    """Everybody's new browsers since the one with that id that are not known to be theirs, oldest first."""
    query = _browsers().where(browsers.c.id > after_id, browsers.c.known_at.is_(None)).order_by(browsers.c.id)
    with asking(engine) as connection:
        return [NewBrowser(r.id, r.name, r.device, r.met_at) for r in connection.execute(query)]


def _browsers() -> Select[tuple[int, str, str, datetime]]:
    return select(browsers.c.id, people.c.name, browsers.c.device, browsers.c.met_at).join(
        people, people.c.id == browsers.c.person_id
    )


def _new_elsewhere(person_id: int, browser_hash: str) -> tuple[ColumnElement[bool], ...]:
    return (
        browsers.c.person_id == person_id,
        browsers.c.known_at.is_(None),
        browsers.c.token_hash != browser_hash,
    )


def add(
    connection: Connection, vault: Vault, name: str, role: str, password_hash: str | None, now: datetime
) -> Person:
    """Raises IntegrityError when somebody has the name."""
    row = connection.execute(
        insert(people)
        .values(name=name, name_key=_key(name), role=role, password_hash=password_hash, created_at=now)
        .returning(people)
    ).one()
    # The proof covers the id, which the database gives.
    proof = PERSON_PROOF.of(row._mapping, vault)
    proved = update(people).where(people.c.id == row.id).values(proof=proof).returning(people)
    return person_of(connection.execute(proved).one(), vault)


def change_person(connection: Connection, vault: Vault, person_id: int, **values: object) -> None:
    """Change a person's row and prove it again, unless somebody else has changed it."""
    which = people.c.id == person_id
    row = connection.execute(select(people).where(which).with_for_update()).mappings().first()
    if row is not None and PERSON_PROOF.holds(row, vault):
        proof = PERSON_PROOF.of({**row, **values}, vault)
        connection.execute(update(people).where(which).values(**values, proof=proof))


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def person_of(row: Row[Any], vault: Vault, seen_at: datetime | None = None) -> Person:
    """A row of the table `people`."""
    altered = not PERSON_PROOF.holds(row._mapping, vault)
    return Person(
        row.id, row.name, row.role, row.password_hash, row.language, row.created_at, seen_at, altered
    )


def _told_of(whose: str, person_id: int | None) -> None:
    words = f"{whose} row in the ledger is not as giftsync wrote it; it lets nobody in"
    log.warning(words, action="people.row_altered", person=person_id)
