"""The ledger read for people and sweeps. Lists stream by id; nothing loads every card."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Row,
    Table,
    and_,
    exists,
    func,
    not_,
    or_,
    select,
    text,
    type_coerce,
    union,
)

from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import (
    NO_NUMBER,
    Whole,
    arrivals,
    cards,
    conflicts,
    feed_cursors,
    imports,
    intents,
    movements,
    outages,
    pool_numbers,
    presences,
    runs,
    sides,
)
from sync.ledger.secrets.vault import Vault, VaultError
from sync.ledger.sides.own_dates import dates_differ, own_date_sides, read_own_dates
from sync.model import IGNORED, ConflictKind

PAGE_SIZE = 500

_open_intent = exists().where(
    intents.c.card_id == cards.c.id, intents.c.state.in_(("planned", "sent", "in_doubt"))
)
_has_ended = and_(
    presences.c.shadow_status == CardStatus.CLOSED.value,
    cards.c.status.in_((CardStatus.CLOSED.value, CardStatus.SUSPENDED.value)),
)
# A card with nothing on it needs no presence that does not exist yet.
_differs_here = or_(
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
                    and_(dates_differ, presences.c.side.not_in(own_date_sides)),
                ),
            ),
        ),
    ),
)
_differs = exists().where(presences.c.card_id == cards.c.id, _differs_here)
_CURRENCY = select(sides.c.currency).limit(1)
#: The ids of cards whose rows somebody changed: what these say may not be so until somebody has settled it.
unverified_ids = select(conflicts.c.card_id).where(
    conflicts.c.kind == ConflictKind.TAMPERED.value,
    conflicts.c.card_id.is_not(None),
    or_(conflicts.c.closed_at.is_(None), conflicts.c.resolution == IGNORED),
)
not_verified = cards.c.id.in_(unverified_ids)
#: The same sentence as `Card.in_step`, in SQL; a card that is not verified cannot be loaded.
in_step = and_(not_(cards.c.held), not_(_open_intent), not_(_differs), not_(not_verified))
#: The ids of all other cards, by way of what is the matter with them: most cards are in step.
_out_of_step_ids = union(
    select(cards.c.id).where(cards.c.held),
    select(intents.c.card_id).where(text("state IN ('planned','sent','in_doubt')")),
    select(presences.c.card_id).join(cards, cards.c.id == presences.c.card_id).where(_differs_here),
    unverified_ids,
)


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
    needs_cvc: bool = False


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
    """A row of `select_swept`, with its serial opened.

    One that holds what giftsync never writes counts as one to look at; whoever loads its card tells of it.
    """
    serial, status, unreadable = None, CardStatus.SUSPENDED, row.unreadable
    try:
        serial = None if row.serial_sealed is None else vault.open(row.serial_sealed)
        status = CardStatus(row.shadow_status)
    except (VaultError, ValueError):
        unreadable = max(unreadable, 1)
    return SweptPresence(
        row.id,
        row.card_id,
        row.native_id,
        serial,
        row.shadow_minor,
        status,
        row.shadow_expires_on,
        bool(row.in_flight),
        row.hold,
        unreadable,
        row.needs_cvc,
    )


def presences_after(
    engine: Engine, vault: Vault, side: str, after_id: int, limit: int
) -> list[SweptPresence]:
    """The next presences of a side by id that exist there."""
    with asking(engine) as connection:
        rows = connection.execute(
            select_swept.where(presences.c.side == side, presences.c.id > after_id, presences.c.born)
            .order_by(presences.c.id)
            .limit(limit)
        )
        return [swept_presence(row, vault) for row in rows]


@dataclass(frozen=True)
class Status:
    """Counts of the whole ledger. Amounts in minor units by currency."""

    #: What the sides said on first contact; None before it.
    currency: str | None
    cards: int
    in_step: int
    due: int
    arrivals: int
    #: Cards of excluded brands, by brand.
    left_out: Mapping[str, int]
    #: Of the cards that are verified.
    balance_minor: Mapping[str, int]
    #: Cards whose rows somebody changed, and what these rows say, which nobody owes before it is proved.
    unverified: int
    unverified_minor: Mapping[str, int]
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


@dataclass(frozen=True)
class CardCounts:
    """What takes a look at every card: seconds with a million. The fields are those of `Status`."""

    cards: int
    in_step: int
    balance_minor: Mapping[str, int]
    unverified: int
    unverified_minor: Mapping[str, int]
    #: The first cards that are out of step, by id.
    out_of_step: tuple[int, ...]


def count_cards(connection: Connection, listed: int = 0) -> CardCounts:
    """Count them; `listed` is how many ids of cards that are out of step are wanted."""

    def by_currency(*where: ColumnElement[bool]) -> dict[str, tuple[int, int]]:
        summed = select(cards.c.currency, func.count(), func.sum(cards.c.balance_minor)).where(*where)
        found = connection.execute(summed.group_by(cards.c.currency))
        return {currency: (count, int(minor)) for currency, count, minor in found}

    every, unverified = by_currency(), by_currency(not_verified)
    out = _out_of_step_ids.subquery()
    found = connection.execute(
        select(out.c.id, func.count().over()).order_by(out.c.id).limit(max(listed, 1))
    ).all()
    count = sum(each for each, _ in every.values())
    balances = {
        currency: (count - unverified.get(currency, (0, 0))[0], minor - unverified.get(currency, (0, 0))[1])
        for currency, (count, minor) in every.items()
    }
    return CardCounts(
        cards=count,
        in_step=count - (found[0][1] if found else 0),
        balance_minor={currency: minor for currency, (verified, minor) in balances.items() if verified},
        unverified=sum(each for each, _ in unverified.values()),
        unverified_minor={currency: minor for currency, (_, minor) in unverified.items()},
        out_of_step=tuple(row[0] for row in found[:listed]),
    )


def count_own_dates(connection: Connection) -> dict[str, int]:
    """By side on which giftsync sets no expiry date: the cards that have another date there, or none."""
    if not read_own_dates(connection):
        return {}
    found = connection.execute(
        select(presences.c.side, func.count())
        .join(cards, cards.c.id == presences.c.card_id)
        .where(presences.c.side.in_(own_date_sides), presences.c.born, dates_differ, not_(_has_ended))
        .group_by(presences.c.side)
        .order_by(presences.c.side)
    )
    return {row.side: row[1] for row in found}


def status(engine: Engine, now: datetime, counted: CardCounts | None = None) -> Status:
    """Count everything, in one state of the ledger; `counted` are the cards as they were a moment ago."""
    with reading(engine) as connection:

        def count(of: Table, *where: ColumnElement[bool]) -> int:
            return connection.execute(select(func.count()).select_from(of).where(*where)).scalar_one()

        def count_by(column: Column[Any], where: ColumnElement[bool]) -> dict[str, int]:
            found = connection.execute(select(column, func.count()).where(where).group_by(column))
            return {row[0]: row[1] for row in found}

        counted = counted or count_cards(connection)
        by_kind = connection.execute(
            select(conflicts.c.kind, func.count(), func.sum(conflicts.c.amount_minor))
            .where(conflicts.c.closed_at.is_(None))
            .group_by(conflicts.c.kind)
        ).all()
        last_run = connection.execute(select(runs).order_by(runs.c.id.desc()).limit(1)).one_or_none()
        return Status(
            currency=connection.execute(_CURRENCY).scalar_one_or_none(),
            cards=counted.cards,
            in_step=counted.in_step,
            # Apart, as each has an index of its own.
            due=count(cards, cards.c.lease_until.is_not(None))
            + count(cards, cards.c.lease_until.is_(None), cards.c.due_at <= now),
            arrivals=count(arrivals, arrivals.c.left_out.is_(None)),
            left_out=count_by(arrivals.c.left_out, arrivals.c.left_out.is_not(None)),
            balance_minor=counted.balance_minor,
            unverified=counted.unverified,
            unverified_minor=counted.unverified_minor,
            intents=count_by(intents.c.state, intents.c.state.in_(("planned", "sent", "in_doubt"))),
            conflicts={row[0]: row[1] for row in by_kind},
            at_stake_minor=sum(int(row[2]) for row in by_kind),
            pool_free=count_by(pool_numbers.c.side, pool_numbers.c.allotted_at.is_(None)),
            feeds={(row.side, row.feed): row.read_at for row in connection.execute(select(feed_cursors))},
            last_run_at=None if last_run is None else last_run.started_at,
            last_run_outcome=None if last_run is None else last_run.outcome,
        )


@dataclass(frozen=True)
class BriefCounts:
    """A few numbers of a ledger."""

    cards: int
    #: Open ones.
    conflicts: int
    #: Tasks that a side does not answer to.
    outages: int
    #: Imports that workers carry out.
    queued_imports: int


def brief(engine: Engine) -> BriefCounts:
    """Count them in one query."""
    query = select(
        select(func.count()).select_from(cards).scalar_subquery(),
        select(func.count()).select_from(conflicts).where(conflicts.c.closed_at.is_(None)).scalar_subquery(),
        select(func.count()).select_from(outages).scalar_subquery(),
        select(func.count()).select_from(imports).where(imports.c.queued_at.is_not(None)).scalar_subquery(),
    )
    with asking(engine) as connection:
        return BriefCounts(*connection.execute(query).one())


def currency_of(engine: Engine) -> str | None:
    """The currency that the sides said on first contact."""
    with asking(engine) as connection:
        return connection.execute(_CURRENCY).scalar_one_or_none()


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
    #: False: giftsync sets no expiry date there, so that another one than the card's is no difference.
    follows_expiry: bool


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
    #: False: somebody changed its rows, so what they say may not be so.
    verified: bool


def has_own_date(card: CardRow, p: PresenceRow) -> bool:
    """Whether the side shows another expiry date than the card's, which giftsync leaves so."""
    return p.born and not p.follows_expiry and p.expires_on != card.expires_on


def list_cards(
    engine: Engine,
    *,
    last_chars: str | None = None,
    out_of_step: bool = False,
    card_id: int | None = None,
    ids: Collection[int] | None = None,
    after_id: int = 0,
    page_size: int = PAGE_SIZE,
) -> Iterator[CardRow]:
    """Cards by id, streamed a page at a time."""
    balance = _as_read(cards.c.balance_minor).label("balance")
    query = select(cards, balance, in_step.label("in_step"), not_verified.label("not_verified"))
    query = query.order_by(cards.c.id).limit(page_size)
    if card_id is not None:
        query = query.where(cards.c.id == card_id)
    if ids is not None:
        query = query.where(cards.c.id.in_(ids))
    if out_of_step:
        query = query.where(not_(in_step))
    if last_chars is not None:
        ends_so = (presences.c.card_id == cards.c.id, presences.c.last_chars == last_chars.lower())
        query = query.where(exists().where(*ends_so))
    while True:
        with reading(engine) as connection:
            page = connection.execute(query.where(cards.c.id > after_id)).all()
            by_card = _presences_of(connection, [row.id for row in page])
        for row in page:
            there = tuple(by_card.get(row.id, ()))
            unwritten = any(n is NO_NUMBER for n in (row.balance, *(p.shadow_minor for p in there)))
            yield CardRow(
                row.id,
                row.currency,
                row.balance,
                row.status,
                row.expires_on,
                row.held,
                bool(row.in_step),
                row.created_at,
                there,
                not (row.not_verified or unwritten),
            )
        if len(page) < page_size:
            return
        after_id = page[-1].id


def _presences_of(connection: Connection, card_ids: Sequence[int]) -> dict[int, list[PresenceRow]]:
    shadow = _as_read(presences.c.shadow_minor).label("shadow")
    query = select(presences, shadow).where(presences.c.card_id.in_(card_ids)).order_by(presences.c.id)
    by_card: dict[int, list[PresenceRow]] = {}
    own_dates = read_own_dates(connection)
    for p in connection.execute(query):
        row = PresenceRow(
            p.side,
            p.native_id,
            p.last_chars,
            p.shadow,
            p.shadow_status,
            p.shadow_expires_on,
            p.born,
            p.stale,
            p.hold,
            p.side not in own_dates,
        )
        by_card.setdefault(p.card_id, []).append(row)
    return by_card


def _columns(table: Table, row: type[Any]) -> list[ColumnElement[Any]]:
    """The table's columns that have the names of the row's fields, in their order, as people read them."""
    return [_as_read(table.c[one.name]) for one in fields(row)]


def _as_read(column: Column[Any]) -> ColumnElement[Any]:
    return type_coerce(column, Whole) if isinstance(column.type, Integer) else column


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
    columns = _columns(movements, MovementRow)
    query = select(*columns).where(movements.c.card_id == card_id).order_by(movements.c.chain_seq)
    with asking(engine) as connection:
        return [MovementRow(*row) for row in connection.execute(query)]


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
    query = select(*_columns(intents, IntentRow)).where(intents.c.card_id == card_id)
    with asking(engine) as connection:
        return [IntentRow(*row) for row in connection.execute(query.order_by(intents.c.sequence))]


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
    with asking(engine) as connection:
        return connection.execute(select(func.max(conflicts.c.id))).scalar_one() or 0


def decided_of(engine: Engine, conflict_id: int) -> Mapping[str, object]:
    """What was said with the action that settled the conflict, and the markers of what that planned."""
    query = select(conflicts.c.decided).where(conflicts.c.id == conflict_id)
    with asking(engine) as connection:
        return connection.execute(query).scalar_one_or_none() or {}


def list_conflicts(
    engine: Engine,
    *,
    include_closed: bool = False,
    conflict_id: int | None = None,
    card_id: int | None = None,
) -> Iterator[ConflictRow]:
    """Conflicts by id, streamed a page at a time."""
    after_id = 0
    while True:
        columns = _columns(conflicts, ConflictRow)
        query = select(*columns).where(conflicts.c.id > after_id).order_by(conflicts.c.id).limit(PAGE_SIZE)
        if not include_closed and conflict_id is None:
            query = query.where(conflicts.c.closed_at.is_(None))
        if conflict_id is not None:
            query = query.where(conflicts.c.id == conflict_id)
        if card_id is not None:
            query = query.where(conflicts.c.card_id == card_id)
        with asking(engine) as connection:
            page = [ConflictRow(*row) for row in connection.execute(query)]
        yield from page
        if len(page) < PAGE_SIZE:
            return
        after_id = page[-1].id


class ConflictOrder(StrEnum):
    """How a worklist is sorted."""

    MONEY = "money"
    AGE = "age"
    #: Newest first.
    NEWEST = "newest"


_ORDERS: Mapping[ConflictOrder, Sequence[ColumnElement[Any]]] = {
    ConflictOrder.MONEY: (conflicts.c.amount_minor.desc(), conflicts.c.opened_at, conflicts.c.id),
    ConflictOrder.AGE: (conflicts.c.opened_at, conflicts.c.id),
    ConflictOrder.NEWEST: (conflicts.c.id.desc(),),
}


def open_conflicts(
    engine: Engine,
    limit: int,
    offset: int = 0,
    *,
    closed: bool = False,
    kind: str | None = None,
    ids: Collection[int] | None = None,
    order: ConflictOrder = ConflictOrder.MONEY,
) -> list[ConflictRow]:
    """A page of the worklist, or of the `closed` ones instead."""
    # The ids alone first: an index has all that sorting takes, and none has the evidence.
    query = select(conflicts.c.id).where(_ended(closed)).order_by(*_ORDERS[order]).limit(limit).offset(offset)
    if kind is not None:
        query = query.where(conflicts.c.kind == kind)
    if ids is not None:
        query = query.where(conflicts.c.id.in_(ids))
    with reading(engine) as connection:
        page = connection.execute(query).scalars().all()
        found = select(*_columns(conflicts, ConflictRow)).where(conflicts.c.id.in_(page))
        rows = {one.id: one for one in (ConflictRow(*row) for row in connection.execute(found))}
    return [rows[one] for one in page]


def conflict_kinds(engine: Engine, *, closed: bool = False) -> dict[str, int]:
    """How many conflicts of each kind are open, or closed, by the kind's name."""
    query = select(conflicts.c.kind, func.count()).where(_ended(closed)).group_by(conflicts.c.kind)
    with asking(engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query.order_by(conflicts.c.kind))}


def _ended(closed: bool) -> ColumnElement[bool]:
    return conflicts.c.closed_at.is_not(None) if closed else conflicts.c.closed_at.is_(None)


@dataclass(frozen=True)
class RunRow:
    """One run of the worker, or one pass."""

    id: int
    kind: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    counts: Mapping[str, int]


def newest_runs(engine: Engine, limit: int) -> list[RunRow]:
    """Newest first."""
    query = select(runs).order_by(runs.c.id.desc()).limit(limit)
    with asking(engine) as connection:
        return [RunRow(**row) for row in connection.execute(query).mappings()]
