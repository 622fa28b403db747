"""The work on one card: claim it, load it, commit a decision, release it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    select,
    update,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError, OperationalError

from connectors.api.errors import Refusal
from mappings.lifecycle import CardStatus
from sync.crashpoints import crashpoint
from sync.ledger.cards import statements
from sync.ledger.cards.append import Appender, write_conflicts
from sync.ledger.cards.rows import card_after, intent_of, presence_columns
from sync.ledger.database.engine import reading, writing_lazily
from sync.ledger.database.tables import arrivals, cards, origins, pool_numbers
from sync.ledger.database.upsert import upsert
from sync.ledger.incoming.traces import forget_traces
from sync.ledger.secrets.vault import Vault
from sync.model import (
    Card,
    Decision,
    Hold,
    Intent,
    IntentState,
    InvariantBroken,
    KnownMarker,
    LeaseLost,
    Presence,
)

#: PostgreSQL's word for a deadlock that it ended by refusing one of the two.
DEADLOCK = "40P01"


@dataclass(frozen=True)
class Lease:
    """The right to work on a card until a moment. Its fencing number makes a stale worker's commit fail."""

    card_id: int
    owner: str
    fencing: int
    until: datetime
    #: The one side that is to be looked at; None: all.
    due_for: str | None = None


class AlreadyThere(Exception):
    """The card, serial or pool number was taken in the meantime by another worker."""


def random_marker() -> str:
    """A marker with 80 random bits, in the letters that every side's reference fields allow."""
    return "gs-" + base64.b32encode(secrets.token_bytes(10)).decode().lower()


@dataclass(frozen=True)
class Store:
    """The ledger's cards. Every method is one transaction; none makes a network call."""

    engine: Engine
    vault: Vault
    new_marker: Callable[[], str] = random_marker

    # --- leases ---------------------------------------------------------------------------------------------

    def claim(self, card_id: int, owner: str, now: datetime, lease_seconds: float) -> Lease | None:
        """Take the card, unless another worker has it."""
        which = {"card": card_id, "now": now, "limit": 1}
        return next(iter(self._claim(owner, now, lease_seconds, statements.CLAIM_CARD, which)), None)

    def claim_due(self, owner: str, now: datetime, lease_seconds: float, limit: int) -> list[Lease]:
        """Take up to `limit` cards that are due, or whose worker is gone, the longest waiting first."""
        return self._claim(owner, now, lease_seconds, statements.CLAIM_DUE, {"now": now, "limit": limit})

    def _claim(
        self,
        owner: str,
        now: datetime,
        lease_seconds: float,
        claimable: Select[Any],
        which: Mapping[str, object],
    ) -> list[Lease]:
        until = now + timedelta(seconds=lease_seconds)
        with writing_lazily(self.engine) as connection:
            due = connection.execute(claimable, which).all()
            if not due:
                return []
            take = {"cards": [row.id for row in due], "owner": owner, "until": until}
            taken = connection.execute(statements.TAKE_CARDS, take).all()
        fencing = {row.id: row.fencing for row in taken}
        # A worker that is gone took the hint that it was woken by with it: every side is looked at.
        due_for = {row.id: row.due_for if row.lease_until is None else None for row in due}
        return [Lease(row.id, owner, fencing[row.id], until, due_for[row.id]) for row in due]

    def free_all(self, now: datetime) -> int:
        """Take back every lease. Only for a worker that knows it is alone, at its start."""
        with self.engine.begin() as connection:
            return connection.execute(
                update(cards)
                .where(cards.c.lease_until.is_not(None))
                .values(lease_owner=None, lease_until=None, due_at=now, due_for=None)
            ).rowcount

    def renew(self, lease: Lease, now: datetime, lease_seconds: float) -> Lease:
        """Hold the card longer. Raises LeaseLost when it is not ours any more."""
        until = now + timedelta(seconds=lease_seconds)
        with writing_lazily(self.engine) as connection:
            result = connection.execute(statements.RENEW_LEASE, {**_lease_params(lease), "until": until})
            if result.rowcount != 1:
                raise LeaseLost
        return replace(lease, until=until)

    def release(self, lease: Lease, due_at: datetime | None, *, awaits_side: bool = False) -> None:
        """Give the card back, due again at `due_at` or when a hint said so meanwhile, whichever is first.

        With `awaits_side` it is due only because a side gave no answer, for which no single pass waits.
        """
        held = _lease_params(lease)
        with writing_lazily(self.engine) as connection:
            if due_at is None:
                connection.execute(statements.RELEASE_CARD, held)
            else:
                connection.execute(
                    statements.RELEASE_CARD_DUE, {**held, "again_at": due_at, "for_side": awaits_side}
                )

    # --- reading --------------------------------------------------------------------------------------------

    def load(self, card_id: int) -> Card:
        """The card with its presences and open intents. Raises InvariantBroken when there is none."""
        with reading(self.engine) as connection:
            return self._load(connection, card_id)

    def _load(self, connection: Connection, card_id: int) -> Card:
        which = {"card": card_id}
        row = connection.execute(statements.SELECT_CARD, which).mappings().one_or_none()
        if row is None:
            raise InvariantBroken(f"card {card_id} is gone from the ledger")
        by_side: dict[str, list[Intent]] = {}
        for intent_row in connection.execute(statements.SELECT_OPEN_INTENTS, which).mappings():
            by_side.setdefault(intent_row["side"], []).append(intent_of(intent_row))
        presence_rows = connection.execute(statements.SELECT_PRESENCES, which).mappings()
        found = tuple(self._presence(p, tuple(by_side.get(p["side"], ()))) for p in presence_rows)
        told = connection.execute(statements.SELECT_CAUSES, which).all()
        return Card(
            currency=row["currency"],
            balance_minor=row["balance_minor"],
            status=CardStatus(row["status"]),
            expires_on=row["expires_on"],
            presences=found,
            held=row["held"],
            behind=row["behind"],
            causes={c.cause: c.amount_minor for c in told},
            ignored=frozenset(c.cause for c in told if c.closed_at is not None),
            version=row["version"],
            id=row["id"],
        )

    def _presence(self, row: RowMapping, open_intents: tuple[Intent, ...]) -> Presence:
        sealed = row["serial_sealed"]
        return Presence(
            side=row["side"],
            native_id=row["native_id"],
            serial=None if sealed is None else self.vault.open(sealed),
            last_chars=row["last_chars"],
            shadow_minor=row["shadow_minor"],
            shadow_status=CardStatus(row["shadow_status"]),
            shadow_expires_on=row["shadow_expires_on"],
            born=row["born"],
            stale=row["stale"],
            hold=None if row["hold"] is None else Hold(row["hold"]),
            refusal=None if row["refusal"] is None else Refusal(row["refusal"]),
            refusals=row["refusals"],
            unreadable=row["unreadable"],
            open_intents=open_intents,
            book_cursor=row["book_cursor"],
            brand=row["brand"],
            note=row["note"],
            contact=self.vault.open_contact(row["contact_sealed"]),
            id=row["id"],
        )

    def marked(self, card_id: int, markers: Sequence[str]) -> dict[str, KnownMarker]:
        """What the ledger knows of each of these markers that the card shows; unknown ones are left out."""
        if not markers:
            return {}
        with reading(self.engine) as connection:
            rows = connection.execute(statements.SELECT_MARKED, {"markers": list(markers)})
            return {r.marker: KnownMarker(r.amount_minor, r.landings, r.card_id != card_id) for r in rows}

    def doubted_sides(self, card_id: int) -> frozenset[str]:
        """The sides on which some request for the card was ever in doubt."""
        with reading(self.engine) as connection:
            return frozenset(connection.execute(statements.SELECT_DOUBTED_SIDES, {"card": card_id}).scalars())

    # --- committing -----------------------------------------------------------------------------------------

    def commit(
        self, lease: Lease, before: Card, decision: Decision, now: datetime, run_id: int | None = None
    ) -> Card:
        """Commit a decision about the leased card, whole or not at all, and load what it made.

        Raises LeaseLost when the lease or the card's version is not what the decision was made with.
        """
        crashpoint("commit.before")
        if decision == Decision(before):
            return before
        write = self.engine.begin if must_survive(decision) else partial(writing_lazily, self.engine)
        with write() as connection:
            after = self.write(connection, lease, before, decision, now, run_id)
            crashpoint("commit.inside")
        crashpoint("commit.after")
        return after

    def write(
        self,
        connection: Connection,
        lease: Lease,
        before: Card,
        decision: Decision,
        now: datetime,
        run_id: int | None,
    ) -> Card:
        """Write a decision in a transaction of the caller's. Raises LeaseLost before anything was written.

        Presences that the card did not have before stand at its end. Raises IntegrityError for one that
        belongs to another card.
        """
        after = decision.card
        # First, so that everything below is under the row's lock and a stale worker stops here.
        row = connection.execute(
            statements.UPDATE_CARD,
            {
                **_lease_params(lease),
                "card_version": before.version,
                "balance_minor": after.balance_minor,
                "status": after.status.value,
                "expires_on": after.expires_on,
                "held": after.held,
                "behind": after.behind,
                "version": before.version + 1,
            },
        ).one_or_none()
        if row is None:
            raise LeaseLost
        known = len(before.presences)
        for old, new in zip(before.presences, after.presences[:known], strict=True):
            changes = presence_columns(new)
            if presence_columns(old) != changes:
                connection.execute(statements.UPDATE_PRESENCE, {"presence_id": new.id, **changes})
            if old.contact is not None and new.contact is None:
                connection.execute(statements.FORGET_CONTACT, {"presence_id": new.id})
            if old.serial != new.serial:
                sealed = self._serial_columns(new)
                connection.execute(statements.UPDATE_SERIAL, {"presence_id": new.id, **sealed})
        added = tuple(self._insert_presence(connection, lease.card_id, p) for p in after.presences[known:])
        if added:
            presences = after.presences[:known] + added
            decision = replace(decision, card=replace(after, presences=presences))
        append = Appender(
            connection, self.vault, lease.card_id, lease.fencing, now, run_id, row.chain_seq, row.chain_head
        )
        append.movements(decision)
        for change in decision.intent_changes:
            append.intent_change(change)
        made = append.intents(decision.intents, self.new_marker, decision.card)
        append.close()
        if before.behind and not after.behind:
            forget_traces(connection, lease.card_id)
        write_conflicts(connection, lease.card_id, after, decision, now, made)
        return card_after(decision, made, before.version + 1)

    def save_progress(self, lease: Lease, marker: str, progress: Mapping[str, str]) -> None:
        """Remember what the next call of a multi-call effect depends on. Raises LeaseLost."""
        crashpoint("progress.before")
        with self.engine.begin() as connection:
            of = {"of_marker": marker}
            row = connection.execute(statements.SELECT_PROGRESS, {**_lease_params(lease), **of}).first()
            if row is None:
                raise LeaseLost
            connection.execute(statements.UPDATE_PROGRESS, {**of, "progress": {**row.progress, **progress}})
        crashpoint("progress.after")

    def save_look(self, lease: Lease, marker: str, look_at: datetime) -> None:
        """Remember when what is in doubt is looked for next: no step of the intent. Raises LeaseLost."""
        with self.engine.begin() as connection:
            of = {"of_marker": marker}
            if (
                connection.execute(statements.SELECT_OF_LEASED, {**_lease_params(lease), **of}).first()
                is None
            ):
                raise LeaseLost
            connection.execute(statements.UPDATE_LOOK, {**of, "look_at": look_at})
        crashpoint("look.after")

    def create(
        self,
        decision: Decision,
        now: datetime,
        *,
        run_id: int | None = None,
        arrival_id: int | None = None,
        pool_number_id: int | None = None,
    ) -> int:
        """Insert a card that was met for the first time; returns its id.

        Raises AlreadyThere when a presence of it, or the pool number, belongs to a card by now.
        """
        crashpoint("create.before")
        try:
            with self.engine.begin() as connection:
                card_id = self.insert(connection, decision, now, run_id).id or 0
                consume(connection, card_id, arrival_id, pool_number_id, now)
                crashpoint("create.inside")
        except IntegrityError as error:
            raise AlreadyThere(str(error.orig).split("\n")[0]) from None
        except OperationalError as error:
            # Two workers that insert the same card, each from another side, wait for each other.
            if getattr(error.orig, "sqlstate", None) != DEADLOCK:
                raise
            raise AlreadyThere("another worker inserts the card at the same time") from None
        crashpoint("create.after")
        return card_id

    def insert(
        self,
        connection: Connection,
        decision: Decision,
        now: datetime,
        run_id: int | None,
        held_by: tuple[str, datetime] | None = None,
    ) -> Card:
        """Insert one met card in a transaction of the caller's, claimed for `held_by` (owner, until) if any.

        Raises IntegrityError when a presence of it belongs to a card by now.
        """
        card = decision.card
        owner, until = held_by or (None, None)
        card_id: int = connection.execute(
            statements.INSERT_CARD,
            {
                "currency": card.currency,
                "balance_minor": card.balance_minor,
                "status": card.status.value,
                "expires_on": card.expires_on,
                "held": card.held,
                "fencing": 0 if held_by is None else 1,
                "lease_owner": owner,
                "lease_until": until,
                "due_at": now if decision.intents and held_by is None else None,
                "created_at": now,
            },
        ).scalar_one()
        stored = tuple(self._insert_presence(connection, card_id, p) for p in card.presences)
        fencing = 0 if held_by is None else 1
        append = Appender(connection, self.vault, card_id, fencing, now, run_id, 0, "")
        append.movements(decision)
        made = append.intents(decision.intents, self.new_marker, replace(card, presences=stored))
        append.close()
        write_conflicts(connection, card_id, card, decision, now)
        return card_after(replace(decision, card=replace(card, id=card_id, presences=stored)), made, 0)

    def _insert_presence(self, connection: Connection, card_id: int, p: Presence) -> Presence:
        values = {
            "card_id": card_id,
            "side": p.side,
            **presence_columns(p),
            **self._serial_columns(p),
            "contact_sealed": self.vault.seal_contact(p.contact),
        }
        return replace(p, id=connection.execute(statements.INSERT_PRESENCE, values).scalar_one())

    def _serial_columns(self, p: Presence) -> dict[str, object]:
        return {
            "serial_index": None if p.serial is None else self.vault.index(p.serial),
            "serial_sealed": None if p.serial is None else self.vault.seal(p.serial),
        }


def must_survive(decision: Decision) -> bool:
    """Whether a call or a person's belief rests on it, so that not even a power cut may undo it.

    An outcome that is lost leaves its intent `sent`, which is read back.
    """
    is_sent = any(change.state is IntentState.SENT for change in decision.intent_changes)
    return is_sent or decision.resolution is not None


def _lease_params(lease: Lease) -> dict[str, object]:
    return {"lease_card": lease.card_id, "lease_fencing": lease.fencing, "lease_of": lease.owner}


def _keep_origin(connection: Connection, card_id: int, arrival_id: int) -> None:
    """The order that the card was bought with stays known when its arrival is gone."""
    found = connection.execute(select(arrivals.c.details).where(arrivals.c.id == arrival_id)).scalar()
    keep_origin(connection, card_id, found or {})


def keep_origin(connection: Connection, card_id: int, found: Mapping[str, str]) -> None:
    """Keep what a side told of the order that a card was bought with, if it told the order."""
    if found.get("order"):
        values = {
            "card_id": card_id,
            "order_id": found.get("order_id", ""),
            "order_name": found["order"],
            "holder": found.get("shipping_name", ""),
        }
        connection.execute(upsert(connection, origins, values).on_conflict_do_nothing())


def consume(
    connection: Connection, card_id: int, arrival_id: int | None, pool_number_id: int | None, now: datetime
) -> None:
    if arrival_id is not None:
        _keep_origin(connection, card_id, arrival_id)
        connection.execute(arrivals.delete().where(arrivals.c.id == arrival_id))
    if pool_number_id is not None:
        result = connection.execute(
            update(pool_numbers)
            .where(pool_numbers.c.id == pool_number_id, pool_numbers.c.allotted_at.is_(None))
            .values(allotted_to=card_id, allotted_at=now)
        )
        if result.rowcount != 1:
            raise AlreadyThere("the pool number was allotted to another card")
