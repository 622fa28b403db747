"""The ledger read for people and sweeps. Lists stream by id; nothing loads every card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, exists, func, not_, or_, select, text

from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import (
    arrivals,
    cards,
    conflicts,
    feed_cursors,
    intents,
    movements,
    pool_numbers,
    presences,
    runs,
    sides,
)
from sync.ledger.secrets.vault import Vault

PAGE_SIZE = 500

_open_intent = exists().where(
    intents.c.card_id == cards.c.id, intents.c.state.in_(("planned", "sent", "in_doubt"))
)
_has_ended = and_(
    presences.c.shadow_status == CardStatus.CLOSED.value,
    cards.c.status.in_((CardStatus.CLOSED.value, CardStatus.SUSPENDED.value)),
)
# A card with nothing on it needs no presence that does not exist yet.
_differs = exists().where(
    presences.c.card_id == cards.c.id,
    or_(
        presences.c.stale,
        presences.c.hold.is_not(None),
        and_(
            not_(_has_ended),
            or_(
                presences.c.shadow_minor != cards.c.balance_minor,
                and_(
                    presences.c.born,
                    or_(
                        presences.c.shadow_status != cards.c.status,
                        presences.c.shadow_expires_on.is_distinct_from(cards.c.expires_on),
                    ),
                ),
            ),
        ),
    ),
)
#: The same sentence as `Card.in_step`, in SQL.
in_step = and_(not_(cards.c.held), not_(_open_intent), not_(_differs))


@dataclass(frozen=True)
class SweptPresence:
    """What a sweep compares with the side's answer."""

    id: int
    card_id: int
    native_id: str | None
    serial: Serial | None
    shadow_minor: int
    shadow_status: CardStatus
    shadow_expires_on: date | None
    #: An intent is open there, so what the side shows is nobody's movement yet.
    in_flight: bool
    #: Why nothing is written there, if so.
    hold: str | None = None
    #: How many answers for it in a row could not be believed.
    unreadable: int = 0


select_swept = select(
    presences,
    exists()
    .where(
        intents.c.card_id == presences.c.card_id,
        intents.c.side == presences.c.side,
        text("state IN ('planned','sent','in_doubt')"),
    )
    .label("in_flight"),
)


def swept_presence(row: Row[Any], vault: Vault) -> SweptPresence:
    """A row of `select_swept`, with its serial opened."""
    return SweptPresence(
        row.id,
        row.card_id,
        row.native_id,
        None if row.serial_sealed is None else vault.open(row.serial_sealed),
        row.shadow_minor,
        CardStatus(row.shadow_status),
        row.shadow_expires_on,
        bool(row.in_flight),
        row.hold,
        row.unreadable,
    )


def presences_after(
    engine: Engine, vault: Vault, side: str, after_id: int, limit: int
) -> list[SweptPresence]:
    """The next presences of a side by id that exist there."""
    with reading(engine) as connection:
        rows = connection.execute(
            select_swept.where(presences.c.side == side, presences.c.id > after_id, presences.c.born)
            .order_by(presences.c.id)
            .limit(limit)
        )
        return [swept_presence(row, vault) for row in rows]


@dataclass(frozen=True)
class Status:
    """The ledger at a glance. Amounts in minor units by currency."""

    cards: int
    in_step: int
    due: int
    arrivals: int
    #: Cards of excluded brands, by brand.
    left_out: Mapping[str, int]
    balance_minor: Mapping[str, int]
    #: Open intents by state.
    intents: Mapping[str, int]
    #: Open conflicts by kind, and the money at stake in them.
    conflicts: Mapping[str, int]
    at_stake_minor: int
    pool_free: Mapping[str, int]
    #: When each feed was last read, by (side, feed).
    feeds: Mapping[tuple[str, str], datetime]
    last_run_at: datetime | None
    last_run_outcome: str | None


def status(engine: Engine, now: datetime) -> Status:
    """Count everything, in one state of the ledger."""
    with reading(engine) as connection:

        def count(*where: ColumnElement[bool]) -> int:
            return connection.execute(select(func.count()).select_from(cards).where(*where)).scalar_one()

        by_currency = connection.execute(
            select(cards.c.currency, func.sum(cards.c.balance_minor)).group_by(cards.c.currency)
        )
        by_state = connection.execute(
            select(intents.c.state, func.count())
            .where(intents.c.state.in_(("planned", "sent", "in_doubt")))
            .group_by(intents.c.state)
        )
        by_kind = connection.execute(
            select(conflicts.c.kind, func.count(), func.sum(conflicts.c.amount_minor))
            .where(conflicts.c.closed_at.is_(None))
            .group_by(conflicts.c.kind)
        ).all()
        free = connection.execute(
            select(pool_numbers.c.side, func.count())
            .where(pool_numbers.c.allotted_at.is_(None))
            .group_by(pool_numbers.c.side)
        )
        left_out = connection.execute(
            select(arrivals.c.left_out, func.count())
            .where(arrivals.c.left_out.is_not(None))
            .group_by(arrivals.c.left_out)
        )
        last_run = connection.execute(select(runs).order_by(runs.c.id.desc()).limit(1)).one_or_none()
        return Status(
            cards=count(),
            in_step=count(in_step),
            due=count(or_(cards.c.due_at <= now, cards.c.lease_until.is_not(None))),
            arrivals=connection.execute(
                select(func.count()).where(arrivals.c.left_out.is_(None))
            ).scalar_one(),
            left_out={row[0]: row[1] for row in left_out},
            balance_minor={row[0]: int(row[1]) for row in by_currency},
            intents={row[0]: row[1] for row in by_state},
            conflicts={row[0]: row[1] for row in by_kind},
            at_stake_minor=sum(int(row[2]) for row in by_kind),
            pool_free={row[0]: row[1] for row in free},
            feeds={(row.side, row.feed): row.read_at for row in connection.execute(select(feed_cursors))},
            last_run_at=None if last_run is None else last_run.started_at,
            last_run_outcome=None if last_run is None else last_run.outcome,
        )


def currency_of(engine: Engine) -> str | None:
    """The currency that the sides said on first contact."""
    with reading(engine) as connection:
        return connection.execute(select(sides.c.currency).limit(1)).scalar_one_or_none()


@dataclass(frozen=True)
class PresenceRow:
    """A presence for people: last four only."""

    side: str
    native_id: str | None
    last_chars: str
    shadow_minor: int
    status: str
    expires_on: date | None
    born: bool
    stale: bool
    hold: str | None


@dataclass(frozen=True)
class CardRow:
    """A card for people."""

    id: int
    currency: str
    balance_minor: int
    status: str
    expires_on: date | None
    held: bool
    in_step: bool
    created_at: datetime
    presences: tuple[PresenceRow, ...]


def list_cards(
    engine: Engine,
    *,
    last_chars: str | None = None,
    out_of_step: bool = False,
    card_id: int | None = None,
    after_id: int = 0,
) -> Iterator[CardRow]:
    """Cards by id, streamed a page at a time."""
    while True:
        query = (
            select(cards, in_step.label("in_step"))
            .where(cards.c.id > after_id)
            .order_by(cards.c.id)
            .limit(PAGE_SIZE)
        )
        if card_id is not None:
            query = query.where(cards.c.id == card_id)
        if out_of_step:
            query = query.where(not_(in_step))
        if last_chars is not None:
            query = query.where(
                exists().where(
                    presences.c.card_id == cards.c.id, presences.c.last_chars == last_chars.lower()
                )
            )
        with reading(engine) as connection:
            page = connection.execute(query).all()
            ids = [row.id for row in page]
            by_card: dict[int, list[PresenceRow]] = {}
            for p in connection.execute(
                select(presences).where(presences.c.card_id.in_(ids)).order_by(presences.c.id)
            ):
                by_card.setdefault(p.card_id, []).append(
                    PresenceRow(
                        p.side,
                        p.native_id,
                        p.last_chars,
                        p.shadow_minor,
                        p.shadow_status,
                        p.shadow_expires_on,
                        p.born,
                        p.stale,
                        p.hold,
                    )
                )
        for row in page:
            yield CardRow(
                row.id,
                row.currency,
                row.balance_minor,
                row.status,
                row.expires_on,
                row.held,
                bool(row.in_step),
                row.created_at,
                tuple(by_card.get(row.id, ())),
            )
        if len(page) < PAGE_SIZE:
            return
        after_id = page[-1].id


@dataclass(frozen=True)
class MovementRow:
    """A movement for people."""

    id: int
    side: str | None
    kind: str
    amount_minor: int
    shadow_delta_minor: int
    balance_after_minor: int
    evidence: Mapping[str, object]
    at: datetime


def list_movements(engine: Engine, card_id: int) -> list[MovementRow]:
    """A card's movements, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(
            select(movements).where(movements.c.card_id == card_id).order_by(movements.c.chain_seq)
        )
        return [
            MovementRow(
                row.id,
                row.side,
                row.kind,
                row.amount_minor,
                row.shadow_delta_minor,
                row.balance_after_minor,
                row.evidence,
                row.at,
            )
            for row in rows
        ]


@dataclass(frozen=True)
class IntentRow:
    """An intent for people."""

    marker: str
    side: str
    kind: str
    amount_minor: int
    state: str
    created_at: datetime
    ended_at: datetime | None
    status: str | None = None
    expires_on: date | None = None
    refusal: str | None = None


def list_intents(engine: Engine, card_id: int) -> list[IntentRow]:
    """A card's intents, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(
            select(intents).where(intents.c.card_id == card_id).order_by(intents.c.sequence)
        )
        return [
            IntentRow(
                row.marker,
                row.side,
                row.kind,
                row.amount_minor,
                row.state,
                row.created_at,
                row.ended_at,
                row.status,
                row.expires_on,
                row.refusal,
            )
            for row in rows
        ]


@dataclass(frozen=True)
class ConflictRow:
    """A conflict for people. `amount_minor` is the money at stake when it was last seen."""

    id: int
    card_id: int | None
    side: str | None
    kind: str
    cause: str
    summary: str
    amount_minor: int
    currency: str | None
    proposal: str
    evidence: Mapping[str, object]
    seen: int
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    resolution: str | None
    resolved_by: str | None
    resolved_why: str | None


def newest_conflict(engine: Engine) -> int:
    """The highest id of a conflict, open or closed; 0 when there is none."""
    with reading(engine) as connection:
        return connection.execute(select(func.max(conflicts.c.id))).scalar_one() or 0


def decided_of(engine: Engine, conflict_id: int) -> Mapping[str, object]:
    """What was said with the action that settled the conflict, and the markers of what that planned."""
    query = select(conflicts.c.decided).where(conflicts.c.id == conflict_id)
    with reading(engine) as connection:
        return connection.execute(query).scalar_one_or_none() or {}


def list_conflicts(
    engine: Engine, *, include_closed: bool = False, conflict_id: int | None = None
) -> Iterator[ConflictRow]:
    """Conflicts by id, streamed a page at a time."""
    after_id = 0
    while True:
        columns = [c for c in conflicts.c if c.name != "decided"]
        query = select(*columns).where(conflicts.c.id > after_id).order_by(conflicts.c.id).limit(PAGE_SIZE)
        if not include_closed and conflict_id is None:
            query = query.where(conflicts.c.closed_at.is_(None))
        if conflict_id is not None:
            query = query.where(conflicts.c.id == conflict_id)
        with reading(engine) as connection:
            page = connection.execute(query).mappings().all()
        for row in page:
            yield ConflictRow(**row)
        if len(page) < PAGE_SIZE:
            return
        after_id = page[-1]["id"]
