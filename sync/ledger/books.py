"""The ledger's rows for the books, streamed; and the statements of closed months.

A row is *booked* up to a moment when its own time is before it and its id is not above a watermark: the
highest id that the ledger had when the month was closed. A row that is written later with an earlier time (a
machine whose clock is behind, a commit that took long) has a higher id, so it never changes a month that is
closed; the next one books it. Rows are only added, so what is booked up to a moment is the same for ever.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import chain, islice
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    String,
    Subquery,
    Table,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    exists,
    false,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    text,
    type_coerce,
    union,
    union_all,
)
from sqlalchemy.exc import IntegrityError

from sync.books.ageing import band_limits
from sync.books.classify import CLOCKS_DIFFER, Context
from sync.books.entries import API, STORE_NOT_KNOWN, Facts, Movement, Receipt
from sync.books.expiry import Expiry, ExpiryDates
from sync.books.periods import Period
from sync.books.rollforward import BooksBroken, CardBook, Key, Summed
from sync.books.seal import Sealed
from sync.books.statement import SideInfo
from sync.ledger.database.engine import Engine, asking, reading
from sync.ledger.database.imported import is_imported
from sync.ledger.database.tables import (
    assignments,
    card_changes,
    cards,
    closes,
    expiries,
    feed_cursors,
    hub_entries,
    intents,
    movements,
    origins,
    presences,
    receipt_lines,
    redemptions,
    sides,
)
from sync.ledger.proof.findings import CardRows, FindingKind
from sync.ledger.proof.pages import read_card
from sync.ledger.proof.verify import check_card
from sync.ledger.read_ahead import read_ahead
from sync.ledger.secrets.vault import Vault
from sync.model import MovementKind

T = TypeVar("T")

ROWS_BATCH = 5_000
#: Active cards whose rows are read together.
CARDS_BATCH = 5_000
HASHES_BATCH = 16_384
BROKEN_SHOWN_MAX = 5
#: A page cache of this size, in KiB, keeps the inner pages of the indexes at hand; SQLite's own has 2 MB.
CACHE_KIB = 16_384
OBJECTS_BETWEEN_COLLECTIONS = 100_000
USUAL_THRESHOLDS = gc.get_threshold()
#: For one transaction; PostgreSQL's own are made for little memory and turning disks.
POSTGRES_SETTINGS = (
    "SET LOCAL work_mem = '64MB'",
    # So that each batch of cards is looked up, never searched for in all receipts.
    "SET LOCAL random_page_cost = 1.1",
    # Compiling a statement that is run for each batch takes longer than running it.
    "SET LOCAL jit = off",
)
#: For sums over a whole table: PostgreSQL lets several processes add up what is not streamed.
AT_ONCE = {"yield_per": None}
#: A movement that is dated before giftsync was written, or far ahead of the clock, was not written by it.
DATED_AFTER = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK_AHEAD_MAX = timedelta(days=1)
#: Cards with such movements whose chains are followed; of more a person is told.
ODD_CARDS_MAX = 10_000
#: Receipts that come a little before the period may explain its first movements.
RECEIPTS_BEFORE = timedelta(days=7)

_CUSTOMERS = (
    MovementKind.OPENING.value,
    MovementKind.OBSERVED.value,
    MovementKind.REDEMPTION.value,
    MovementKind.LOAD.value,
)
_PUTS_ON = (*_CUSTOMERS, MovementKind.RESOLUTION.value, MovementKind.LOAD.value)
_BY_CALLERS = (MovementKind.REDEMPTION.value, MovementKind.REVERSAL.value, MovementKind.LOAD.value)
_KINDS = tuple(kind.value for kind in MovementKind)


@dataclass(frozen=True)
class Cut:
    """A moment in the ledger: what is booked up to it."""

    at: datetime
    #: Rows with higher ids came later.
    last_movement: int
    #: Changes of expiry dates with higher ids came later; 0: a draft, which keeps nothing.
    last_change: int = 0

    @property
    def booked(self) -> ColumnElement[bool]:
        # Plus nothing: SQLite would search by the id and read every row, where an index has all of it.
        return and_(movements.c.at < self.at, movements.c.id + 0 <= self.last_movement)


@dataclass(frozen=True)
class Span:
    """A period between two cuts. What is booked up to `opening` is booked up to `closing` as well."""

    period: Period
    opening: Cut
    closing: Cut
    expiry: ExpiryDates

    @property
    def within(self) -> ColumnElement[bool]:
        return and_(self.closing.booked, not_(self.opening.booked))


@dataclass(frozen=True)
class Closed:
    """A closed month, as the ledger keeps it."""

    number: int
    period: str
    from_at: datetime
    until_at: datetime
    last_movement: int
    content: bytes
    sha256: str
    signature: bytes


def watermark(engine: Engine) -> int:
    """The highest id of all movements; every movement that is written later has a higher one.

    On PostgreSQL ids are given before rows are committed, so writers are waited for, for a moment.
    """
    return _watermark(engine, movements)


def change_watermark(engine: Engine) -> int:
    """As `watermark`, of the changes of cards."""
    return _watermark(engine, card_changes)


def _watermark(engine: Engine, table: Table) -> int:
    highest = select(func.coalesce(func.max(table.c.id), 0))
    if engine.dialect.name != "postgresql":
        with asking(engine) as connection:
            return int(connection.execute(highest).scalar_one())
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        connection.execute(text(f"LOCK TABLE {table.name} IN SHARE MODE"))
        return int(connection.execute(highest).scalar_one())


@contextmanager
def streaming(engine: Engine) -> Iterator[Connection]:
    """One state of the ledger, read in batches."""
    with reading(engine) as connection, _collected_seldom():
        is_sqlite = connection.dialect.name == "sqlite"
        _set(connection, (f"PRAGMA cache_size = -{CACHE_KIB}",) if is_sqlite else POSTGRES_SETTINGS)
        try:
            yield connection.execution_options(yield_per=ROWS_BATCH)
        finally:
            if is_sqlite:
                _set(connection, ("PRAGMA cache_size = -2000",))


def _set(connection: Connection, settings: Iterable[str]) -> None:
    for setting in settings:
        connection.execute(text(setting))


#: Asks a query that takes long; the answer comes beside whatever else is read.
Ask = Callable[[Callable[[Connection], T]], Future[T]]


@contextmanager
def asking_beside(engine: Engine, connection: Connection) -> Iterator[Ask[Any]]:
    """Ask long queries beside what `connection` streams: in another one that sees the same state.

    SQLite answers at once, in the same one. When the caller fails, what such a query found wrong is raised
    instead: it names every card whose rows contradict each other.
    """
    if connection.dialect.name == "sqlite":
        yield lambda query: _answered(query(connection))
        return
    snapshot = connection.execute(select(func.pg_export_snapshot())).scalar_one()
    with reading(engine) as own, ThreadPoolExecutor(1, "books-beside") as thread:
        _set(own, (f"SET TRANSACTION SNAPSHOT '{snapshot}'", *POSTGRES_SETTINGS))
        asked: list[Future[Any]] = []

        def ask(query: Callable[[Connection], T]) -> Future[T]:
            asked.append(thread.submit(query, own))
            return asked[-1]

        try:
            yield ask
        except Exception:
            for one in asked:
                one.result()
            raise


def _answered(answer: T) -> Future[T]:
    made: Future[T] = Future()
    made.set_result(answer)
    return made


def once_answered(answer: Future[list[T]]) -> Iterator[T]:
    """The rows of an answer; who takes the first one waits for it."""
    yield from answer.result()


@contextmanager
def _collected_seldom() -> Iterator[None]:
    """Millions of rows come and go without cycles: a third of the time would go into looking for some."""
    # `giftsync run` has frozen what it began with, for good.
    freezes = gc.get_freeze_count() == 0
    if freezes:
        gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 50, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*USUAL_THRESHOLDS)
        if freezes:
            gc.unfreeze()


# --- Sums ---------------------------------------------------------------------------------------------------


def summed(
    connection: Connection,
    span: Span,
    breakage_limit: datetime,
    now: datetime,
    ends_at: datetime,
    vault: Vault,
) -> Iterator[Summed]:
    """Balances of all cards, added up by kind and age. Raises BooksBroken where the ledger is no sum.

    `breakage_limit`: cards that were issued before it teach how much is never used. Cards age until
    `ends_at`.
    """
    per_card = _per_card(span)
    with_cards = per_card.outerjoin(cards, cards.c.id == per_card.c.card_id)
    channel, brand, joined = _channel_and_brand(with_cards, per_card.c.met_on, per_card.c.loaded_by)
    is_old = case((per_card.c.issued_at < breakage_limit, 1), else_=0)
    ages = _band(per_card.c.used_at, ends_at), _band(per_card.c.issued_at, ends_at)
    keys = (cards.c.currency, brand, channel, *ages, is_old)
    wrong = _wrong(per_card, now)

    carried, days = _carried(span), _LastDays(span)
    before, after = _expired(span, per_card, carried, days)
    opening, owed = per_card.c.opening - before, per_card.c.closing - after
    past = and_(days.closing <= span.expiry.closing, per_card.c.closing > 0)

    def of(condition: ColumnElement[bool], amount: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.sum(case((condition, amount), else_=0))

    query = (
        select(
            *keys,
            func.sum(case((wrong, 1), else_=0)),
            func.count(),
            func.sum(per_card.c.booked),
            func.sum(case((owed > 0, 1), else_=0)),
            func.sum(opening),
            func.sum(owed),
            func.sum(per_card.c.put_on),
            func.sum(per_card.c.closing),
            of(past, per_card.c.closing),
            of(cards.c.held, owed),
        )
        .select_from(days.joined(joined.outerjoin(carried, carried.c.card_id == cards.c.id)))
        .group_by(*keys)
    )
    found = connection.execute(query, execution_options=AT_ONCE).all()
    there = connection.execute(select(func.count()).select_from(cards)).scalar_one()
    if sum(row[7] for row in found) != there:
        raise BooksBroken(_broken_words(connection, per_card, wrong))
    if any(row[6] for row in found):
        _check_odd(connection, per_card, wrong, vault)
    for row in found:
        if row[8]:
            numbers = [int(number or 0) for number in row[9:]]
            yield Summed(Key(row[0], row[1], row[2]), row[3], row[4], bool(row[5]), *numbers)


def _per_card(span: Span) -> Subquery:
    """One row a card: the sums of its movements."""
    m, booked = movements.c, span.closing.booked
    customers = and_(booked, m.kind.in_(_CUSTOMERS), m.amount_minor != 0)
    puts_on = and_(booked, m.kind.in_(_PUTS_ON), m.amount_minor > 0)
    return (
        select(
            m.card_id,
            func.sum(m.amount_minor).label("all"),
            func.sum(case((span.opening.booked, m.amount_minor), else_=0)).label("opening"),
            func.sum(case((booked, m.amount_minor), else_=0)).label("closing"),
            func.sum(case((puts_on, m.amount_minor), else_=0)).label("put_on"),
            func.max(case((booked, 1), else_=0)).label("booked"),
            func.min(m.at).label("issued_at"),
            func.max(m.at).label("newest_at"),
            func.coalesce(func.max(case((customers, m.at))), func.min(m.at)).label("used_at"),
            func.max(case((m.kind == MovementKind.OPENING.value, m.side))).label("met_on"),
            func.max(case((m.kind == MovementKind.LOAD.value, API))).label("loaded_by"),
            func.sum(case((m.kind.in_(_KINDS), 0), else_=1)).label("unknown"),
        )
        .group_by(m.card_id)
        .subquery("per_card")
    )


def _carried(span: Span) -> Subquery:
    """What closed statements took as expired, by card; nothing for a draft, or before the first."""
    e = expiries.c
    amount = cast(func.sum(e.amount_minor), BigInteger)
    return (
        select(e.card_id, amount.label("amount"), func.max(e.last_day).label("last_day"))
        .where(e.number <= (span.expiry.since or 0))
        .group_by(e.card_id)
        .having(amount != 0)
        .subquery("carried")
    )


class _LastDays:
    """Which last day each card had at the beginning and at the end of a period, as the ledger had it then.

    So a month says the same whenever it is closed. What a statement continues, it takes from there instead.
    """

    def __init__(self, span: Span) -> None:
        self._changed: list[Subquery] = []
        self.closing = self._at(span.closing.at, "closing_day")
        self.opening: ColumnElement[Any] = cards.c.expires_on
        if not span.expiry.is_carried:
            self.opening = self._at(span.opening.at, "opening_day")

    def _at(self, moment: datetime, name: str) -> ColumnElement[Any]:
        """The date before the first change that came later; without one, that of today."""
        c = card_changes.c
        first = (
            select(func.min(c.id).label("id"))
            .where(c.at >= moment, c.expires_before.is_distinct_from(c.expires_on))
            .group_by(c.card_id)
            .subquery(f"{name}_first")
        )
        then = (
            select(c.card_id, c.expires_before)
            .join_from(card_changes, first, first.c.id == c.id)
            .subquery(name)
        )
        self._changed.append(then)
        return case((then.c.card_id.is_not(None), then.c.expires_before), else_=cards.c.expires_on)

    def joined(self, source: Any) -> Any:
        """The tables that tell; `source` has cards."""
        for then in self._changed:
            source = source.outerjoin(then, then.c.card_id == cards.c.id)
        return source


def _expired(
    span: Span, per_card: Subquery, carried: Subquery, days: _LastDays
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """What of a card's opening and closing balance is owed no longer, as `expiry_entries` has it."""
    dates = span.expiry

    def by(day: date, last_day: ColumnElement[Any], balance: ColumnElement[Any]) -> ColumnElement[Any]:
        if not dates.ends_debt:
            return literal(0)
        return case((and_(last_day <= day, balance > 0), balance), else_=0)

    before = by(dates.opening, days.opening, per_card.c.opening)
    if dates.is_carried:
        before = func.coalesce(carried.c.amount, 0)
    return before, by(dates.closing, days.closing, per_card.c.closing)


def _wrong(per_card: Subquery, now: datetime) -> ColumnElement[bool]:
    """A card whose movements cannot be what giftsync wrote."""
    return or_(
        cards.c.id.is_(None),
        per_card.c.all != cards.c.balance_minor,
        per_card.c.unknown > 0,
        per_card.c.issued_at < DATED_AFTER,
        per_card.c.newest_at > now + CLOCK_AHEAD_MAX,
    )


def _check_odd(connection: Connection, per_card: Subquery, wrong: ColumnElement[bool], vault: Vault) -> None:
    """Raises BooksBroken, unless a machine whose clock was wrong for a while is all that is odd.

    Such rows are booked by the time that they carry; the chain proves that giftsync wrote it.
    """
    query = select(per_card.c.card_id).select_from(
        per_card.outerjoin(cards, cards.c.id == per_card.c.card_id)
    )
    odd = list(connection.execute(query.where(wrong).limit(ODD_CARDS_MAX + 1)).scalars())
    if len(odd) > ODD_CARDS_MAX or not all(_is_whole(read_card(connection, one), vault) for one in odd):
        raise BooksBroken(_broken_words(connection, per_card, wrong))


def _is_whole(rows: CardRows, vault: Vault) -> bool:
    found = [one for one in check_card(rows, vault) if one.kind is not FindingKind.OUT_OF_STEP]
    return rows.card is not None and not found


def _broken_words(connection: Connection, per_card: Subquery, wrong: ColumnElement[bool]) -> str:
    query = (
        select(per_card.c.card_id)
        .select_from(per_card.outerjoin(cards, cards.c.id == per_card.c.card_id))
        .where(wrong)
        .order_by(per_card.c.card_id)
        .limit(BROKEN_SHOWN_MAX)
    )
    broken = [str(row.card_id) for row in connection.execute(query)]
    without = select(cards.c.id).where(not_(exists().where(movements.c.card_id == cards.c.id)))
    broken += [str(row.id) for row in connection.execute(without.limit(BROKEN_SHOWN_MAX))]
    if len(broken) >= BROKEN_SHOWN_MAX:
        broken.append("…")
    named = ", ".join(broken)
    return f"the movements of card {named} do not come to its balance, or are not what giftsync writes"


def _band(moment: ColumnElement[datetime], at: datetime) -> ColumnElement[int]:
    whens = [(moment >= limit, number) for number, limit in enumerate(band_limits(at))]
    return case(*whens, else_=len(whens))


def _channel_and_brand(
    source: Any, met_on: ColumnElement[Any], loaded_by: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ColumnElement[str], Any]:
    """The side on which a card was met first, its brand there, and the tables that tell; `source` has cards.

    A card that was assigned in place of another one is of that one's channel; one that a caller of the API
    issued was met nowhere.
    """
    replaced = movements.alias("replaced")
    channel = func.coalesce(met_on, replaced.c.side, case((assignments.c.id.is_(None), loaded_by)), "")
    joined = (
        source.outerjoin(assignments, assignments.c.to_card == cards.c.id)
        .outerjoin(
            replaced,
            (replaced.c.card_id == assignments.c.from_card) & (replaced.c.kind == MovementKind.OPENING.value),
        )
        .outerjoin(presences, (presences.c.card_id == cards.c.id) & (presences.c.side == channel))
    )
    any_side = presences.alias("any_side")
    theirs = select(func.min(any_side.c.brand)).where(any_side.c.card_id == cards.c.id).scalar_subquery()
    return channel, func.coalesce(presences.c.brand, case((channel == API, theirs)), ""), joined


# --- Cards that moved ---------------------------------------------------------------------------------------


def active_cards(connection: Connection, span: Span) -> Iterator[CardBook]:
    """Every card with a movement in the period, by id, with all its movements up to the end.

    So is every card that expires in it, and every one that another was assigned in place of: its value went
    on to that one. On PostgreSQL the next batch is read while the caller works on this one. SQLite's driver
    gives the interpreter up for every row, and two threads would wait for each other.
    """
    batches = _active_batches(connection, span)
    if connection.dialect.name == "sqlite":
        yield from chain.from_iterable(batches)
        return
    with read_ahead(batches) as ahead:
        yield from chain.from_iterable(ahead)


def _active_batches(connection: Connection, span: Span) -> Iterator[list[CardBook]]:
    moved = select(movements.c.card_id).where(span.within, movements.c.amount_minor != 0)
    replaced = select(assignments.c.from_card).where(assignments.c.to_card.is_not(None))
    active = union(moved, replaced, _expiring(span)).subquery("active")
    ids = connection.execute(select(active.c.card_id).order_by(active.c.card_id)).scalars()
    while ids_batch := list(islice(ids, CARDS_BATCH)):
        batch = _Batch(connection.dialect.name == "sqlite", ids_batch)
        moved_by = _grouped(_movements(connection, span, batch))
        told_by = _grouped(chain(_receipts(connection, span, batch), _callers(connection, batch)))
        found = [
            CardBook(facts, moved_by.pop(facts.id, []), told_by.get(facts.id, ()))
            for facts in _facts(connection, span, batch)
        ]
        if moved_by:
            raise BooksBroken(f"card {min(moved_by)} has movements, but no row of its own")
        yield found


def _expiring(span: Span) -> Select[Any]:
    """Cards on which more or less has expired at the end than at the beginning, though nobody used them."""
    c, dates, carried, days = cards.c, span.expiry, _carried(span), _LastDays(span)
    later = movements.alias("later")
    came_later = or_(later.c.at >= span.closing.at, later.c.id + 0 > span.closing.last_movement)
    # Empty now, it may have had a balance then.
    has_value = or_(c.balance_minor != 0, exists().where(later.c.card_id == c.id, came_later))

    def is_past(last_day: ColumnElement[Any], day: date) -> ColumnElement[bool]:
        return func.coalesce(last_day <= day, false()) if dates.ends_debt else false()

    is_over = is_past(days.closing, dates.closing)
    if dates.is_carried:
        taken = carried.c.amount
        changed = or_(and_(taken.is_(None), is_over, has_value), and_(taken.is_not(None), not_(is_over)))
    else:
        changed = and_(is_over != is_past(days.opening, dates.opening), has_value)
    joined = days.joined(cards.outerjoin(carried, carried.c.card_id == c.id))
    return select(c.id).select_from(joined).where(changed)


@dataclass(frozen=True)
class _Batch:
    """Ids of cards as one value: thousands of values take a query longer to write than to run."""

    is_sqlite: bool
    ids: list[int]

    def has(self, card_id: ColumnElement[int]) -> ColumnElement[bool]:
        """Whether it is one of them.

        As an array, not as its rows: only so PostgreSQL finds them in order in the index of the books, from
        which it reads no row.
        """
        if self.is_sqlite:
            return card_id.in_(select(column("value")).select_from(func.json_each(json.dumps(self.ids))))
        return card_id == any_(literal(self.ids, ARRAY(BigInteger)))


def _grouped(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.card_id].append(row)
    return found


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """The rows of a long query, taken from the driver in batches."""
    return chain.from_iterable(connection.execute(query).partitions(ROWS_BATCH))


def _raw(moment: ColumnElement[datetime]) -> ColumnElement[Any]:
    """An instant as the driver gives it: converted by `_instant`, which takes a fifth of the time."""
    return type_coerce(moment, String)


def _text_of(evidence: ColumnElement[Any]) -> ColumnElement[Any]:
    """Evidence unread: PostgreSQL's driver would read it with the slowest of readers."""
    return cast(evidence, String)


def _told(raw: Any) -> Any:
    """Evidence as the driver gives it: most rows have none, and SQLAlchemy looks into each."""
    return msgspec.json.decode(raw) if isinstance(raw, str) else raw


def _instant(raw: Any) -> datetime:
    if isinstance(raw, datetime):
        return raw
    return datetime.fromisoformat(f"{raw}+00:00")


def _movements(connection: Connection, span: Span, batch: _Batch) -> Iterator[Movement]:
    m = movements.c
    # Looked up for rows of the period and of the API: all else comes from the index, without reading a row.
    row = movements.alias("row")
    looked_up = select(row.c.evidence).where(row.c.id == m.id).correlate(movements).scalar_subquery()
    evidence = case((or_(span.within, m.kind.in_(_BY_CALLERS)), looked_up))
    within = case((span.within, 1), else_=0)
    query = (
        select(
            m.id,
            m.card_id,
            m.chain_seq,
            m.side,
            m.kind,
            m.amount_minor,
            _raw(m.at),
            within,
            _text_of(evidence),
        )
        .where(span.closing.booked, batch.has(m.card_id), m.amount_minor != 0)
        .order_by(m.card_id, m.chain_seq)
    )
    for row_id, card_id, seq, side, kind, amount, at, is_within, told in _rows(connection, query):
        if not isinstance(amount, int):
            raise BooksBroken(f"the amount of movement {row_id} of card {card_id} is not a whole number")
        yield Movement(row_id, card_id, seq, side, kind, amount, _instant(at), is_within == 1, _told(told))


def _facts(connection: Connection, span: Span, batch: _Batch) -> Iterator[Facts]:
    met = movements.alias("met")
    with_opening = cards.outerjoin(
        met, (met.c.card_id == cards.c.id) & (met.c.kind == MovementKind.OPENING.value)
    )
    load = movements.alias("load")
    is_load = (load.c.card_id == cards.c.id) & (load.c.kind == MovementKind.LOAD.value)
    loaded_by = case((exists().where(is_load), API))
    channel, brand, joined = _channel_and_brand(with_opening, met.c.side, loaded_by)
    away, carried, days = assignments.alias("away"), _carried(span), _LastDays(span)
    imported = is_imported()
    query = (
        select(
            cards.c.id,
            cards.c.currency,
            brand,
            channel,
            type_coerce(days.closing, cards.c.expires_on.type),
            origins.c.bought_at,
            imported,
            assignments.c.from_card,
            away.c.created_at,
            func.coalesce(presences.c.last_chars, ""),
            func.coalesce(carried.c.amount, 0),
            carried.c.last_day,
            type_coerce(days.opening, cards.c.expires_on.type),
        )
        .select_from(
            days.joined(
                joined.outerjoin(origins, origins.c.card_id == cards.c.id)
                .outerjoin(away, away.c.from_card == cards.c.id)
                .outerjoin(carried, carried.c.card_id == cards.c.id)
            )
        )
        .where(batch.has(cards.c.id), or_(presences.c.card_id.is_(None), batch.has(presences.c.card_id)))
        .order_by(cards.c.id)
    )
    for row in _rows(connection, query):
        yield Facts(*row)


def _receipts(connection: Connection, span: Span, batch: _Batch) -> Iterator[Receipt]:
    """What receipts say: of sales and refunds at any time, since they tell where value came from."""
    r, p = receipt_lines.c, presences.c
    since = span.opening.at - RECEIPTS_BEFORE
    wanted = and_(
        r.amount_minor.is_not(None),
        r.at < span.closing.at + CLOCKS_DIFFER,
        or_(r.at >= since, r.amount_minor > 0),
        batch.has(p.card_id),
    )

    def by(same: ColumnElement[bool]) -> Select[Any]:
        columns = (p.card_id, r.side, r.kind, r.at, r.amount_minor, r.store, r.till, r.receipt, r.order_name)
        joined = receipt_lines.join(presences, (p.side == r.side) & same)
        return select(*columns, r.key).select_from(joined).where(wanted)

    # A line that names the card in both ways is told once.
    other = or_(r.native_id.is_(None), p.native_id.is_(None), p.native_id != r.native_id)
    both = union_all(
        by(p.native_id == r.native_id), by(and_(p.serial_index == r.serial_index, other))
    ).subquery("told")
    c = both.c
    query = select(
        c.card_id, c.side, c.kind, _raw(c.at), c.amount_minor, c.store, c.till, c.receipt, c.order_name
    ).order_by(c.card_id, c.at, c.key)
    for card_id, side, kind, at, *told in _rows(connection, query):
        yield Receipt(card_id, side, kind, _instant(at), *told)


def _callers(connection: Connection, batch: _Batch) -> Iterator[Receipt]:
    """What callers of the API did with the cards, and where."""
    for table, kind, at in ((redemptions, "state", "made_at"), (hub_entries, "kind", "at")):
        c = table.c
        query = select(c.card_id, c[kind], c[at], c.location, c.reference, c.id).where(batch.has(c.card_id))
        for card_id, what, when, location, reference, its_id in connection.execute(query):
            yield Receipt(card_id, API, what, when, None, location, "", reference, its_id)


@dataclass(frozen=True)
class CardBalance:
    """What was on one card at the beginning and at the end of a period, in minor units."""

    card_id: int
    last_chars: str
    currency: str
    brand: str
    channel: str
    status: str
    opening_minor: int
    closing_minor: int
    issued_at: datetime
    used_at: datetime


def balances(connection: Connection, span: Span, now: datetime, vault: Vault) -> Iterator[CardBalance]:
    """Every card on which something was owed at the beginning or the end of the period, by id.

    Those with movements that are dated oddly come first. Raises BooksBroken where the ledger is no sum,
    before the first one.
    """
    per_card, carried, days = _per_card(span), _carried(span), _LastDays(span)
    before, after = _expired(span, per_card, carried, days)
    opening, closing = per_card.c.opening - before, per_card.c.closing - after
    with_cards = per_card.outerjoin(cards, cards.c.id == per_card.c.card_id)
    channel, brand, joined = _channel_and_brand(with_cards, per_card.c.met_on, per_card.c.loaded_by)
    wrong = _wrong(per_card, now)
    is_wrong = case((wrong, 1), else_=0)
    query = (
        select(
            cards.c.id,
            func.coalesce(presences.c.last_chars, ""),
            cards.c.currency,
            brand,
            channel,
            cards.c.status,
            opening,
            closing,
            per_card.c.issued_at,
            per_card.c.used_at,
            is_wrong,
        )
        .select_from(days.joined(joined.outerjoin(carried, carried.c.card_id == cards.c.id)))
        .where(or_(opening != 0, closing != 0, is_wrong != 0))
        .order_by(is_wrong.desc(), cards.c.id)
    )
    checked = False
    for *row, row_is_wrong in connection.execute(query):
        if row_is_wrong and not checked:
            _check_odd(connection, per_card, wrong, vault)
            checked = True
        card_id, ends, currency, brand_name, side, status, opening, closing, issued, used = row
        if not opening and not closing:
            continue
        yield CardBalance(
            card_id, ends, currency, brand_name, side, status, int(opening), int(closing), issued, used
        )


def holders(connection: Connection, vault: Vault) -> dict[int, str]:
    """Names of buyers by card, as far as they are known and not erased: personal data."""
    found = connection.execute(select(origins.c.card_id, origins.c.holder).where(origins.c.holder != ""))
    return {card_id: vault.open_words(holder) for card_id, holder in found}


# --- What else a statement says -----------------------------------------------------------------------------


def chain_digest(connection: Connection, cut: Cut) -> tuple[str, int]:
    """SHA-256 over the chain hashes of all booked movements in the order of their ids, and their number."""
    m = movements.c
    booked = (
        select(m.id, m.chain_hash)
        .where(m.id > bindparam("after"), m.id <= bindparam("until"), cut.booked)
        .order_by(m.id)
        .subquery("booked")
    )
    joined = "group_concat(booked.chain_hash, '')"
    if connection.dialect.name == "postgresql":
        joined = "string_agg(booked.chain_hash, '' ORDER BY booked.id)"
    query = select(text(joined), func.count()).select_from(booked)
    digest, count = hashlib.sha256(), 0
    for after in range(0, cut.last_movement, HASHES_BATCH):
        batch = {"after": after, "until": after + HASHES_BATCH}
        hashes, number = connection.execute(query, batch).one()
        if number:
            digest.update(str(hashes).encode())
            count += number
    return digest.hexdigest(), count


_moves_day = card_changes.c.expires_before.is_distinct_from(card_changes.c.expires_on)


def day_changes(connection: Connection, last_change: int) -> Iterator[RowMapping]:
    """Changes of expiry dates up to a watermark, by id: they tell which last day a card had at a moment."""
    c = card_changes.c
    query = select(card_changes).where(c.id <= last_change, _moves_day).order_by(c.id)
    yield from connection.execute(query).mappings()


def unproved_changes(engine: Engine) -> list[int]:
    """Cards with a change of their expiry date that has no proof, by id."""
    c = card_changes.c
    query = select(c.card_id).where(c.proof.is_(None), _moves_day).distinct().order_by(c.card_id)
    with asking(engine) as connection:
        return list(connection.execute(query).scalars())


def in_transit(connection: Connection, cut: Cut) -> dict[str, int]:
    """Taken from cards and not given yet, by currency."""
    a = assignments.c
    query = (
        select(cards.c.currency, func.sum(a.amount_minor))
        .join(assignments, a.from_card == cards.c.id)
        .where(a.created_at < cut.at, or_(a.ended_at.is_(None), a.ended_at >= cut.at))
        .group_by(cards.c.currency)
    )
    return {currency: int(amount) for currency, amount in connection.execute(query)}


def context(connection: Connection, zone: tzinfo) -> Context:
    """What holds for all cards of the link."""
    began = {row.name: row.first_seen_at for row in connection.execute(select(sides))}
    return Context(zone, began, _stores(connection))


def _stores(connection: Connection) -> dict[str, str]:
    """For each side whose receipts name stores: the only one, or that it is not known which one."""
    store = receipt_lines.c.store
    query = select(receipt_lines.c.side, func.min(store), func.max(store)).where(store != "")
    found = connection.execute(query.group_by(receipt_lines.c.side), execution_options=AT_ONCE).all()
    return {side: first if first == last else STORE_NOT_KNOWN for side, first, last in found}


def side_infos(connection: Connection) -> tuple[SideInfo, ...]:
    found = connection.execute(select(sides).order_by(sides.c.name))
    return tuple(SideInfo(row.name, row.identity, row.currency) for row in found)


def read_until(engine: Engine) -> dict[str, datetime]:
    """Up to when each side's news were read, by its feed that is furthest."""
    query = select(feed_cursors.c.side, func.max(feed_cursors.c.read_at)).group_by(feed_cursors.c.side)
    with asking(engine) as connection:
        return {side: at for side, at in connection.execute(query)}  # noqa: C416


def sums_by_kind(connection: Connection, cut: Cut) -> dict[tuple[str, str], int]:
    """Amounts of all booked movements by currency and kind."""
    query = (
        select(cards.c.currency, movements.c.kind, func.sum(movements.c.amount_minor))
        .join(cards, cards.c.id == movements.c.card_id)
        .where(cut.booked)
        .group_by(cards.c.currency, movements.c.kind)
    )
    return {(currency, kind): int(amount) for currency, kind, amount in connection.execute(query)}


def expiries_of(connection: Connection, number: int) -> Iterator[Expiry]:
    """What the close of this number took as expired and gave back, by card."""
    e = expiries.c
    query = select(e.card_id, e.amount_minor, e.last_day).where(e.number == number).order_by(e.card_id)
    for row in connection.execute(query):
        yield Expiry(*row)


def expired_sums(connection: Connection, number: int) -> dict[str, int]:
    """What all closes up to this number took as expired, by currency."""
    query = (
        select(cards.c.currency, func.sum(expiries.c.amount_minor))
        .join(cards, cards.c.id == expiries.c.card_id)
        .where(expiries.c.number <= number)
        .group_by(cards.c.currency)
    )
    return {currency: int(amount) for currency, amount in connection.execute(query)}


# --- Beside the sides ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Apart:
    """A card whose balance a side may not show now, with what the ledger knows of why. In minor units."""

    card_id: int
    currency: str
    hub_minor: int
    is_there: bool
    shadow_minor: int
    on_the_way_minor: int
    hold: str | None


def hub_totals(connection: Connection) -> dict[str, int]:
    """The hub's balances by currency."""
    query = select(cards.c.currency, func.sum(cards.c.balance_minor)).group_by(cards.c.currency)
    return {currency: int(amount) for currency, amount in connection.execute(query)}


def cards_apart(connection: Connection, side: str, also: Collection[int]) -> Iterator[Apart]:
    """Cards that the side is not known to show as the hub has them, and those of `also`, by id."""
    open_ = (
        select(intents.c.card_id, func.sum(intents.c.amount_minor).label("on_the_way"))
        .where(intents.c.side == side, text("state IN ('planned','sent','in_doubt')"))
        .group_by(intents.c.card_id)
        .subquery("open")
    )
    p = presences.c
    on_the_way = func.coalesce(open_.c.on_the_way, 0)
    differs = or_(p.id.is_(None), not_(p.born), p.shadow_minor != cards.c.balance_minor, on_the_way != 0)
    query = (
        select(
            cards.c.id,
            cards.c.currency,
            cards.c.balance_minor,
            func.coalesce(p.born, false()),
            func.coalesce(p.shadow_minor, 0),
            on_the_way,
            p.hold,
        )
        .select_from(
            cards.outerjoin(presences, (p.card_id == cards.c.id) & (p.side == side)).outerjoin(
                open_, open_.c.card_id == cards.c.id
            )
        )
        .where(or_(differs, cards.c.id.in_(also)))
        .order_by(cards.c.id)
    )
    for row in connection.execute(query):
        yield Apart(row[0], row[1], row[2], bool(row[3]), row[4], int(row[5]), row[6])


# --- Closed months ------------------------------------------------------------------------------------------


def closed_months(engine: Engine) -> list[Closed]:
    """All closed months, the first one first."""
    with asking(engine) as connection:
        found = connection.execute(select(closes).order_by(closes.c.number))
        return [
            Closed(
                row.number,
                row.period,
                row.from_at,
                row.until_at,
                row.last_movement,
                row.content.encode(),
                row.sha256,
                bytes.fromhex(row.signature),
            )
            for row in found
        ]


def keep_close(engine: Engine, sealed: Sealed, changes: Sequence[Expiry], now: datetime) -> bool:
    """Keep a signed statement with what it takes as expired; False when the month or its number is taken."""
    statement = sealed.statement
    values = {
        "number": statement.number,
        "period": statement.period,
        "from_at": statement.from_at,
        "until_at": statement.until_at,
        "last_movement": statement.ledger.last_movement,
        "closed_at": now,
        "content": sealed.content.decode(),
        "sha256": sealed.sha256,
        "signature": sealed.signature.hex(),
    }
    try:
        with engine.begin() as connection:
            connection.execute(insert(closes).values(**values))
            for start in range(0, len(changes), ROWS_BATCH):
                some = changes[start : start + ROWS_BATCH]
                rows = [{"number": statement.number, **one._asdict()} for one in some]
                connection.execute(insert(expiries), rows)
    except IntegrityError:
        return False
    return True
