"""The work on one card: claim it, load it, commit a decision, release it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Engine,
    Integer,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from connectors.base import EffectKind
from connectors.errors import Refusal
from mappings.lifecycle import CardStatus
from sync.crashpoints import crashpoint
from sync.ledger import chain
from sync.ledger.engine import reading
from sync.ledger.tables import (
    arrivals,
    cards,
    conflicts,
    intent_states,
    intents,
    movements,
    pool_numbers,
    presences,
)
from sync.ledger.vault import Vault
from sync.model import (
    Card,
    Decision,
    Hold,
    Intent,
    IntentChange,
    IntentState,
    InvariantBroken,
    LeaseLost,
    Marked,
    NewIntent,
    Presence,
)


@dataclass(frozen=True)
class Lease:
    """The right to work on a card until a moment. Its fencing number makes a stale worker's commit fail."""

    card_id: int
    owner: str
    fencing: int
    until: datetime


# Statements are made once: building them costs more than running them.
_SELECT_CARD = select(cards).where(cards.c.id == bindparam("card"))
_SELECT_PRESENCES = select(presences).where(presences.c.card_id == bindparam("card")).order_by(presences.c.id)
_SELECT_OPEN_INTENTS = (
    select(intents)
    .where(intents.c.card_id == bindparam("card"), text("state IN ('planned','sent','in_doubt')"))
    .order_by(intents.c.sequence)
)
_SELECT_CAUSES = select(conflicts.c.cause, conflicts.c.amount_minor).where(
    conflicts.c.card_id == bindparam("card"), conflicts.c.closed_at.is_(None)
)
_LEASED = and_(
    cards.c.id == bindparam("lease_card"),
    cards.c.fencing == bindparam("lease_fencing"),
    cards.c.lease_owner == bindparam("lease_of"),
)
_UPDATE_CARD = (
    update(cards)
    .where(_LEASED, cards.c.version == bindparam("card_version"))
    .values({name: bindparam(name) for name in ("balance_minor", "status", "expires_on", "held", "version")})
    .returning(cards.c.chain_seq, cards.c.chain_head)
)
_UPDATE_CHAIN = (
    update(cards)
    .where(cards.c.id == bindparam("card"))
    .values(chain_seq=bindparam("chain_seq"), chain_head=bindparam("chain_head"))
)
_PRESENCE_COLUMNS = (
    *("native_id", "last_chars", "shadow_minor", "shadow_status", "shadow_expires_on", "born", "stale"),
    *("hold", "refusal", "refusals", "book_cursor", "brand", "note"),
)
_UPDATE_PRESENCE = (
    update(presences)
    .where(presences.c.id == bindparam("presence_id"))
    .values({name: bindparam(name) for name in _PRESENCE_COLUMNS})
)
_LAST_SEQUENCE = select(func.coalesce(func.max(intents.c.sequence), 0)).where(
    intents.c.card_id == bindparam("card")
)
_INSERT_INTENT = insert(intents)
_UPDATE_INTENT = (
    update(intents)
    .where(intents.c.marker == bindparam("intent_marker"), intents.c.card_id == bindparam("card"))
    .values(
        state=bindparam("state"),
        not_before=bindparam("not_before"),
        refusal=bindparam("refusal"),
        ended_at=bindparam("ended_at"),
        doubted=func.coalesce(bindparam("new_doubted", type_=Boolean), intents.c.doubted),
        landings=func.coalesce(bindparam("new_landings", type_=Integer), intents.c.landings),
        unclear_reads=func.coalesce(bindparam("new_unclear_reads", type_=Integer), intents.c.unclear_reads),
    )
    .returning(intents.c.side, intents.c.kind, intents.c.amount_minor)
)
_INSERT = {table: insert(table) for table in (movements, intent_states, conflicts)}
_OPEN_CONFLICT = and_(
    conflicts.c.card_id == bindparam("card"),
    conflicts.c.cause == bindparam("which"),
    conflicts.c.closed_at.is_(None),
)
_CLOSE_CONFLICT = (
    update(conflicts).where(_OPEN_CONFLICT).values(closed_at=bindparam("closed_at"), resolution="cause gone")
)
_RESOLVE_CONFLICT = (
    update(conflicts)
    .where(conflicts.c.id == bindparam("conflict"), conflicts.c.closed_at.is_(None))
    .values(
        closed_at=bindparam("closed_at"),
        resolution=bindparam("how"),
        resolved_by=bindparam("who"),
        resolved_why=bindparam("why"),
    )
)
_SEE_CONFLICT = (
    update(conflicts)
    .where(_OPEN_CONFLICT)
    .values(
        seen=conflicts.c.seen + 1,
        **{
            name: bindparam(name)
            for name in ("summary", "amount_minor", "proposal", "evidence", "last_seen_at")
        },
    )
)


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
        return next(iter(self._claim(owner, now, lease_seconds, cards.c.id == card_id, 1)), None)

    def claim_due(self, owner: str, now: datetime, lease_seconds: float, limit: int) -> list[Lease]:
        """Take up to `limit` cards that are due, or whose worker is gone, the longest waiting first."""
        due = or_(cards.c.due_at <= now, cards.c.lease_until < now)
        return self._claim(owner, now, lease_seconds, due, limit)

    def _claim(self, owner: str, now: datetime, lease_seconds: float, which: Any, limit: int) -> list[Lease]:
        free = or_(cards.c.lease_until.is_(None), cards.c.lease_until < now)
        until = now + timedelta(seconds=lease_seconds)
        with self.engine.begin() as connection:
            ids = (
                connection.execute(
                    select(cards.c.id)
                    .where(which, free)
                    .order_by(cards.c.due_at, cards.c.id)
                    .limit(limit)
                    .with_for_update(skip_locked=True)
                )
                .scalars()
                .all()
            )
            if not ids:
                return []
            # due_at is emptied now, so that a hint that comes while we work is not lost at release.
            taken = connection.execute(
                update(cards)
                .where(cards.c.id.in_(ids))
                .values(lease_owner=owner, lease_until=until, fencing=cards.c.fencing + 1, due_at=None)
                .returning(cards.c.id, cards.c.fencing)
            ).all()
        order = {card_id: position for position, card_id in enumerate(ids)}
        return [Lease(row.id, owner, row.fencing, until) for row in sorted(taken, key=lambda r: order[r.id])]

    def renew(self, lease: Lease, now: datetime, lease_seconds: float) -> Lease:
        """Hold the card longer. Raises LeaseLost when it is not ours any more."""
        until = now + timedelta(seconds=lease_seconds)
        with self.engine.begin() as connection:
            _one_row(connection.execute(update(cards).where(_held_by(lease)).values(lease_until=until)))
        return replace(lease, until=until)

    def release(self, lease: Lease, due_at: datetime | None) -> None:
        """Give the card back, due again at `due_at` or when a hint said so meanwhile, whichever is first."""
        sooner: Any = cards.c.due_at
        if due_at is not None:
            at = literal(due_at, cards.c.due_at.type)
            sooner = case((cards.c.due_at < at, cards.c.due_at), else_=at)
        with self.engine.begin() as connection:
            connection.execute(
                update(cards).where(_held_by(lease)).values(lease_owner=None, lease_until=None, due_at=sooner)
            )

    # --- reading --------------------------------------------------------------------------------------------

    def load(self, card_id: int) -> Card:
        """The card with its presences and open intents. Raises InvariantBroken when there is none."""
        with reading(self.engine) as connection:
            return self._load(connection, card_id)

    def _load(self, connection: Connection, card_id: int) -> Card:
        which = {"card": card_id}
        row = connection.execute(_SELECT_CARD, which).mappings().one_or_none()
        if row is None:
            raise InvariantBroken(f"card {card_id} is gone from the ledger")
        by_side: dict[str, list[Intent]] = {}
        for intent_row in connection.execute(_SELECT_OPEN_INTENTS, which).mappings():
            by_side.setdefault(intent_row["side"], []).append(_intent(intent_row))
        presence_rows = connection.execute(_SELECT_PRESENCES, which).mappings()
        found = tuple(self._presence(p, tuple(by_side.get(p["side"], ()))) for p in presence_rows)
        causes = {c.cause: c.amount_minor for c in connection.execute(_SELECT_CAUSES, which)}
        return Card(
            currency=row["currency"],
            balance_minor=row["balance_minor"],
            status=CardStatus(row["status"]),
            expires_on=row["expires_on"],
            presences=found,
            held=row["held"],
            causes=causes,
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
            open_intents=open_intents,
            book_cursor=row["book_cursor"],
            brand=row["brand"],
            note=row["note"],
            id=row["id"],
        )

    def marked(self, markers: Sequence[str]) -> dict[str, Marked]:
        """What the ledger knows of each of these markers; unknown ones are left out."""
        if not markers:
            return {}
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(intents.c.marker, intents.c.amount_minor, intents.c.landings).where(
                    intents.c.marker.in_(markers)
                )
            )
            return {row.marker: Marked(row.amount_minor, row.landings) for row in rows}

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
        with self.engine.begin() as connection:
            made = self._write(connection, lease, before, decision, now, run_id)
            crashpoint("commit.inside")
        crashpoint("commit.after")
        return _after(decision, made, before.version + 1)

    def _write(
        self,
        connection: Connection,
        lease: Lease,
        before: Card,
        decision: Decision,
        now: datetime,
        run_id: int | None,
    ) -> list[Intent]:
        after = decision.card
        # First, so that everything below is under the row's lock and a stale worker stops here.
        row = connection.execute(
            _UPDATE_CARD,
            {
                **_lease_params(lease),
                "card_version": before.version,
                "balance_minor": after.balance_minor,
                "status": after.status.value,
                "expires_on": after.expires_on,
                "held": after.held,
                "version": before.version + 1,
            },
        ).one_or_none()
        if row is None:
            raise LeaseLost
        for old, new in zip(before.presences, after.presences, strict=True):
            changes = _columns(new)
            if _columns(old) != changes:
                connection.execute(_UPDATE_PRESENCE, {"presence_id": new.id, **changes})
        append = _Appender(
            connection, self.vault, lease.card_id, lease.fencing, now, run_id, row.chain_seq, row.chain_head
        )
        append.movements(decision)
        for change in decision.intent_changes:
            append.intent_change(change)
        made = append.intents(decision.intents, self.new_marker)
        append.close()
        _write_conflicts(connection, lease.card_id, after, decision, now)
        return made

    def save_progress(self, lease: Lease, marker: str, progress: Mapping[str, str]) -> None:
        """Remember what the next call of a multi-call effect depends on. Raises LeaseLost."""
        crashpoint("progress.before")
        with self.engine.begin() as connection:
            held = select(cards.c.id).where(_held_by(lease)).with_for_update()
            if connection.execute(held).first() is None:
                raise LeaseLost
            row = connection.execute(
                select(intents.c.progress).where(intents.c.marker == marker)
            ).scalar_one()
            connection.execute(
                update(intents).where(intents.c.marker == marker).values(progress={**row, **progress})
            )
        crashpoint("progress.after")

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
        card = decision.card
        try:
            with self.engine.begin() as connection:
                card_id: int = connection.execute(
                    insert(cards)
                    .values(
                        currency=card.currency,
                        balance_minor=card.balance_minor,
                        status=card.status.value,
                        expires_on=card.expires_on,
                        held=card.held,
                        due_at=now if decision.intents else None,
                        created_at=now,
                    )
                    .returning(cards.c.id)
                ).scalar_one()
                for p in card.presences:
                    connection.execute(
                        insert(presences).values(
                            card_id=card_id, side=p.side, **_columns(p), **self._serial_columns(p)
                        )
                    )
                append = _Appender(connection, self.vault, card_id, 0, now, run_id, 0, "")
                append.movements(decision)
                append.intents(decision.intents, self.new_marker)
                append.close()
                _write_conflicts(connection, card_id, card, decision, now)
                _use_up(connection, card_id, arrival_id, pool_number_id, now)
                crashpoint("create.inside")
        except IntegrityError as error:
            raise AlreadyThere(str(error.orig).split("\n")[0]) from None
        crashpoint("create.after")
        return card_id

    def _serial_columns(self, p: Presence) -> dict[str, object]:
        if p.serial is None:
            return {}
        return {"serial_index": self.vault.index(p.serial), "serial_sealed": self.vault.seal(p.serial)}


class _Appender:
    """Adds rows to the append-only tables of one card, each chained to the one before it."""

    def __init__(
        self,
        connection: Connection,
        vault: Vault,
        card_id: int,
        fencing: int,
        now: datetime,
        run_id: int | None,
        chain_seq: int,
        chain_head: str,
    ) -> None:
        self._connection, self._vault = connection, vault
        self._card_id, self._fencing, self._now, self._run_id = card_id, fencing, now, run_id
        self._start = self._seq = chain_seq
        self._head = chain_head

    def movements(self, decision: Decision) -> None:
        for m in decision.movements:
            self._append(
                movements,
                chain.MOVEMENT_FIELDS,
                {
                    "side": m.side,
                    "kind": m.kind.value,
                    "amount_minor": m.amount_minor,
                    "shadow_delta_minor": m.shadow_delta_minor,
                    "balance_after_minor": m.balance_after_minor,
                    "evidence": dict(m.evidence),
                    "run_id": self._run_id,
                },
            )

    def intents(self, planned: Sequence[NewIntent], new_marker: Callable[[], str]) -> list[Intent]:
        made: list[Intent] = []
        if not planned:
            return made
        sequence = self._connection.execute(_LAST_SEQUENCE, {"card": self._card_id}).scalar_one()
        for i in planned:
            sequence += 1
            marker = new_marker()
            self._connection.execute(
                _INSERT_INTENT,
                {
                    "marker": marker,
                    "card_id": self._card_id,
                    "side": i.side,
                    "sequence": sequence,
                    "kind": i.kind.value,
                    "amount_minor": i.amount_minor,
                    "status": _value(i.status),
                    "expires_on": i.expires_on,
                    "status_before": _value(i.status_before),
                    "expires_before": i.expires_before,
                    "note": i.note,
                    "brand": i.brand,
                    "state": IntentState.PLANNED.value,
                    "progress": {},
                    "created_at": self._now,
                },
            )
            self._append_state(marker, IntentState.PLANNED, "", i.side, i.kind.value, i.amount_minor)
            made.append(_planned(i, marker, sequence))
        return made

    def intent_change(self, change: IntentChange) -> None:
        row = self._connection.execute(
            _UPDATE_INTENT,
            {
                "intent_marker": change.marker,
                "card": self._card_id,
                "state": change.state.value,
                "not_before": change.not_before,
                "refusal": _value(change.refusal),
                "new_doubted": change.doubted,
                "new_landings": change.landings,
                "new_unclear_reads": change.unclear_reads,
                "ended_at": None if change.state.is_open else self._now,
            },
        ).one()
        self._append_state(change.marker, change.state, change.reason, row.side, row.kind, row.amount_minor)

    def _append_state(
        self, marker: str, state: IntentState, reason: str, side: str, kind: str, amount_minor: int
    ) -> None:
        self._append(
            intent_states,
            chain.STATE_FIELDS,
            {"marker": marker, "state": state.value, "reason": reason, "fencing": self._fencing},
            {"intent_side": side, "intent_kind": kind, "intent_amount_minor": amount_minor},
        )

    def _append(
        self,
        table: Any,
        fields: tuple[str, ...],
        values: dict[str, Any],
        covered: Mapping[str, object] | None = None,
    ) -> None:
        self._seq += 1
        row = {**values, "card_id": self._card_id, "chain_seq": self._seq, "at": self._now}
        self._head = self._vault.chain(self._head, chain.canonical({**row, **(covered or {})}, fields))
        self._connection.execute(_INSERT[table], {**row, "chain_hash": self._head})

    def close(self) -> None:
        if self._seq != self._start:
            self._connection.execute(
                _UPDATE_CHAIN, {"card": self._card_id, "chain_seq": self._seq, "chain_head": self._head}
            )


def _lease_params(lease: Lease) -> dict[str, object]:
    return {"lease_card": lease.card_id, "lease_fencing": lease.fencing, "lease_of": lease.owner}


def _held_by(lease: Lease) -> Any:
    return and_(
        cards.c.id == lease.card_id,
        cards.c.fencing == lease.fencing,
        cards.c.lease_owner == lease.owner,
    )


def _one_row(result: Any) -> None:
    if result.rowcount != 1:
        raise LeaseLost


def _columns(p: Presence) -> dict[str, object]:
    """The columns of a presence that change; its serial never does."""
    return {
        "native_id": p.native_id,
        "last_chars": p.last_chars,
        "shadow_minor": p.shadow_minor,
        "shadow_status": p.shadow_status.value,
        "shadow_expires_on": p.shadow_expires_on,
        "born": p.born,
        "stale": p.stale,
        "hold": _value(p.hold),
        "refusal": _value(p.refusal),
        "refusals": p.refusals,
        "book_cursor": p.book_cursor,
        "brand": p.brand,
        "note": p.note,
    }


def _value(member: StrEnum | None) -> str | None:
    return None if member is None else member.value


def _intent(row: RowMapping) -> Intent:
    return Intent(
        marker=row["marker"],
        kind=EffectKind(row["kind"]),
        state=IntentState(row["state"]),
        sequence=row["sequence"],
        amount_minor=row["amount_minor"],
        status=None if row["status"] is None else CardStatus(row["status"]),
        expires_on=row["expires_on"],
        status_before=None if row["status_before"] is None else CardStatus(row["status_before"]),
        expires_before=row["expires_before"],
        note=row["note"],
        brand=row["brand"],
        progress=row["progress"],
        doubted=row["doubted"],
        landings=row["landings"],
        not_before=row["not_before"],
        refusal=None if row["refusal"] is None else Refusal(row["refusal"]),
        unclear_reads=row["unclear_reads"],
    )


def _planned(i: NewIntent, marker: str, sequence: int) -> Intent:
    return Intent(
        marker=marker,
        kind=i.kind,
        state=IntentState.PLANNED,
        sequence=sequence,
        amount_minor=i.amount_minor,
        status=i.status,
        expires_on=i.expires_on,
        status_before=i.status_before,
        expires_before=i.expires_before,
        note=i.note,
        brand=i.brand,
    )


def _after(decision: Decision, made: Sequence[Intent], version: int) -> Card:
    """The card as the commit left it, without reading it again."""
    changes = {change.marker: change for change in decision.intent_changes}
    new_of = {
        side: [m for m, i in zip(made, decision.intents, strict=True) if i.side == side]
        for side in {i.side for i in decision.intents}
    }
    presences_after = tuple(
        replace(
            p,
            open_intents=(
                *(_changed(i, changes[i.marker]) if i.marker in changes else i for i in p.open_intents),
                *new_of.get(p.side, ()),
            ),
        )
        for p in decision.card.presences
    )
    causes = {c: amount for c, amount in decision.card.causes.items() if c not in decision.causes_gone}
    causes |= {c.cause: c.amount_minor for c in decision.conflicts}
    return replace(decision.card, presences=presences_after, causes=causes, version=version)


def _changed(intent: Intent, change: IntentChange) -> Intent:
    return replace(
        intent,
        state=change.state,
        not_before=change.not_before,
        refusal=change.refusal,
        doubted=intent.doubted if change.doubted is None else change.doubted,
        landings=intent.landings if change.landings is None else change.landings,
        unclear_reads=intent.unclear_reads if change.unclear_reads is None else change.unclear_reads,
    )


def _write_conflicts(
    connection: Connection, card_id: int, card: Card, decision: Decision, now: datetime
) -> None:
    if decision.resolution is not None:
        said = decision.resolution
        connection.execute(
            _RESOLVE_CONFLICT,
            {
                "conflict": said.conflict_id,
                "closed_at": now,
                "how": said.action,
                "who": said.by,
                "why": said.why,
            },
        )
    raised = {c.cause: c for c in decision.conflicts}
    for cause in set(decision.causes_gone) - set(raised):
        connection.execute(_CLOSE_CONFLICT, {"card": card_id, "which": cause, "closed_at": now})
    for c in raised.values():
        words = {
            "summary": c.summary,
            "amount_minor": c.amount_minor,
            "proposal": c.proposal,
            "evidence": dict(c.evidence),
            "last_seen_at": now,
        }
        seen_before = connection.execute(_SEE_CONFLICT, {"card": card_id, "which": c.cause, **words}).rowcount
        if not seen_before:
            connection.execute(
                _INSERT[conflicts],
                {
                    "card_id": card_id,
                    "side": c.side,
                    "kind": c.kind.value,
                    "cause": c.cause,
                    "currency": card.currency,
                    "opened_at": now,
                    "seen": 1,
                    **words,
                },
            )


def _use_up(
    connection: Connection, card_id: int, arrival_id: int | None, pool_number_id: int | None, now: datetime
) -> None:
    if arrival_id is not None:
        connection.execute(arrivals.delete().where(arrivals.c.id == arrival_id))
    if pool_number_id is not None:
        result = connection.execute(
            update(pool_numbers)
            .where(pool_numbers.c.id == pool_number_id, pool_numbers.c.allotted_at.is_(None))
            .values(allotted_to=card_id, allotted_at=now)
        )
        if result.rowcount != 1:
            raise AlreadyThere("the pool number was allotted to another card")
