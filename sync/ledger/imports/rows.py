"""Plans of historical imports, and how far each row has come. Everything streams, a page at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from sync.ledger.database.engine import LedgerUnavailable, reading
from sync.ledger.database.tables import (
    cards,
    conflicts,
    import_batches,
    import_rows,
    imports,
    intents,
    presences,
)
from sync.ledger.secrets.vault import Vault

PAGE_SIZE = 2_000
#: How long an `import apply` may be silent before another may take its place.
LEASE_SECONDS = 120.0
#: A planning that is older has died.
PLANNING_MAX = timedelta(days=1)
_UNBEGUN = ("planning", "planned")
#: Of a number that is listed several times.
PLACES_SHOWN = 5

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Import:
    """One plan."""

    id: str
    state: str
    currency: str
    sources: Sequence[Mapping[str, Any]]
    before: Mapping[str, Mapping[str, int]]
    first_row: int
    created_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Row:
    """One row of a plan. Amounts in minor units; None: the card is not on that side."""

    #: The first characters of the keyed hash: the same for a card in every plan, and useless without the key.
    #: It begins with a letter: a spreadsheet would take digits for a number.
    ref: str
    id: int
    action: str
    reason: str
    serial_sealed: bytes | None
    last_chars: str
    online_id: str | None
    pos_minor: int | None
    online_minor: int | None
    amount_minor: int
    status: str
    expires_on: date | None
    brand: str
    store: str
    source: int | None
    line: int | None
    cell: str
    state: str
    outcome: str
    card_id: int | None
    #: Whether it stood in the plan file when that was applied last.
    chosen: bool


@dataclass(frozen=True)
class Total:
    """Rows that share action, reason, brand and store. Amounts in minor units.

    `found_minor` is what the plan found on the cards: in the store, else online.
    """

    action: str
    reason: str
    brand: str
    store: str
    cards: int
    pos_minor: int
    online_minor: int
    amount_minor: int
    found_minor: int


@dataclass(frozen=True)
class Batch:
    """Many creates in one file."""

    id: int
    side: str
    tag: str
    operation: str | None
    lines: int
    called_at: datetime | None


_ROW_COLUMNS = [import_rows.c[name] for name in Row.__dataclass_fields__ if name != "ref"]
_REF_LENGTH = 12


@dataclass(frozen=True)
class Imports:
    """All plans. Every method is one transaction."""

    engine: Engine
    vault: Vault

    # --- planning -------------------------------------------------------------------------------------------

    def begin(self, currency: str, now: datetime) -> Import:
        """A new plan, beside those that are there. What an interrupted planning left long ago is removed."""
        import_id = f"{now:%Y%m%d}-{secrets.token_hex(3)}"
        with self.engine.begin() as connection:
            broken_off = and_(imports.c.state == "planning", imports.c.created_at < now - PLANNING_MAX)
            _delete(connection, broken_off)
            first = connection.execute(select(func.coalesce(func.max(import_rows.c.id), 0))).scalar_one()
            connection.execute(
                insert(imports).values(
                    id=import_id,
                    state="planning",
                    currency=currency,
                    sources=[],
                    before={},
                    first_row=first,
                    created_at=now,
                )
            )
        return self.get(import_id)

    def unbegun(self) -> list[Import]:
        """Plans that are complete and were never applied, the newest first."""
        query = select(imports.c.id).where(imports.c.state == "planned").order_by(imports.c.created_at.desc())
        with reading(self.engine) as connection:
            ids = list(connection.execute(query).scalars())
        return [self.get(one) for one in ids]

    def discard(self, plan: Import) -> None:
        """Remove a plan and its rows. Raises LedgerUnavailable for one that was begun."""
        with self.engine.begin() as connection:
            gone = _delete(connection, and_(imports.c.id == plan.id, imports.c.state.in_(_UNBEGUN)))
        if not gone:
            raise LedgerUnavailable(f"plan {plan.id} was begun, so its report stays")

    def stage(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows; each has every column that `row_values` gives."""
        if rows:
            with self.engine.begin() as connection:
                connection.execute(_INSERT_ROW, rows)

    def planned(
        self,
        import_id: str,
        sources: Sequence[Mapping[str, Any]],
        before: Mapping[str, Mapping[str, int]],
    ) -> None:
        """The plan is complete."""
        with self.engine.begin() as connection:
            connection.execute(
                update(imports)
                .where(imports.c.id == import_id, imports.c.state == "planning")
                .values(state="planned", sources=list(sources), before=dict(before))
            )

    def mark_known(self, plan: Import, pos: str, online: str) -> None:
        """Rows whose card the hub has by serial or native id: nothing is to be done for them."""
        by_serial = and_(
            import_rows.c.serial_index.is_not(None),
            exists().where(presences.c.side == pos, presences.c.serial_index == import_rows.c.serial_index),
        )
        by_native = and_(
            import_rows.c.online_id.is_not(None),
            exists().where(presences.c.side == online, presences.c.native_id == import_rows.c.online_id),
        )
        with self.engine.begin() as connection:
            connection.execute(
                update(import_rows)
                .where(_of(plan), or_(by_serial, by_native))
                .values(action="known", reason="the hub has it already", amount_minor=0)
            )

    def reject_duplicates(self, plan: Import, names: Sequence[str]) -> int:
        """Reject rows whose number another row has: equal ones but for the first, unequal ones all.

        `names` are those of the files. Returns how many rows were rejected.
        """
        listed = and_(_of(plan), import_rows.c.serial_index.is_not(None))
        twice = (
            select(import_rows.c.serial_index, func.min(import_rows.c.id).label("first_id"))
            .where(listed)
            .group_by(import_rows.c.serial_index)
            .having(func.count() > 1)
            .subquery()
        )
        query = (
            select(
                import_rows.c.id,
                import_rows.c.serial_index,
                import_rows.c.pos_minor,
                import_rows.c.status,
                import_rows.c.expires_on,
                import_rows.c.source,
                import_rows.c.line,
            )
            .join(twice, import_rows.c.serial_index == twice.c.serial_index)
            .where(listed)
            .order_by(twice.c.first_id, import_rows.c.id)
        )
        changes: list[dict[str, Any]] = []
        with self.engine.begin() as connection:
            for group in _groups(connection.execute(query).all()):
                changes += _duplicate_changes(group, names)
            if changes:
                connection.execute(_CHANGE_ROW, changes)
        return len(changes)

    def candidates(self, plan: Import, after_id: int, limit: int) -> list[Row]:
        """POS rows that some unknown card online may be, by its last four."""
        online_last = select(import_rows.c.last_chars).where(
            _of(plan), import_rows.c.online_id.is_not(None), import_rows.c.action.not_in(("known",))
        )
        where = and_(
            import_rows.c.serial_index.is_not(None),
            import_rows.c.action.not_in(("known", "reject")),
            import_rows.c.last_chars.in_(online_last),
        )
        return self._page(plan, where, after_id, limit)

    def unlooked(self, plan: Import, actions: Iterable[str], after_id: int, limit: int) -> list[Row]:
        """POS rows of these actions."""
        where = and_(import_rows.c.serial_index.is_not(None), import_rows.c.action.in_(tuple(actions)))
        return self._page(plan, where, after_id, limit)

    def shown(self, plan: Import) -> tuple[int, int, int, int]:
        """Cards and money that the POS showed, then those that the online shop did; each card once."""
        columns = [
            function(import_rows.c[name])
            for name in ("pos_minor", "online_minor")
            for function in (func.count, func.sum)
        ]
        with reading(self.engine) as connection:
            cards_only = or_(import_rows.c.serial_index.is_not(None), import_rows.c.online_id.is_not(None))
            again = or_(*(import_rows.c.reason.startswith(words) for words in (_SAME_CARD, _TWO_BALANCES)))
            row = connection.execute(select(*columns).where(_of(plan), cards_only, ~again)).one()
        return row[0], int(row[1] or 0), row[2], int(row[3] or 0)

    def change(self, changes: Sequence[Values]) -> None:
        """Change rows by `row_id`; each change has every column of `_CHANGE_ROW`."""
        if changes:
            with self.engine.begin() as connection:
                connection.execute(_CHANGE_ROW, [dict(one) for one in changes])

    def drop_paired(self, plan: Import) -> None:
        """Online rows whose card turned out to be a POS row's; that row stands for both."""
        paired = select(import_rows.c.online_id).where(
            _of(plan), import_rows.c.serial_index.is_not(None), import_rows.c.online_id.is_not(None)
        )
        with self.engine.begin() as connection:
            connection.execute(
                delete(import_rows).where(
                    _of(plan), import_rows.c.serial_index.is_(None), import_rows.c.online_id.in_(paired)
                )
            )

    # --- reading --------------------------------------------------------------------------------------------

    def get(self, import_id: str) -> Import:
        """Raises LedgerUnavailable for a plan that this ledger does not have."""
        with reading(self.engine) as connection:
            row = (
                connection.execute(select(imports).where(imports.c.id == import_id)).mappings().one_or_none()
            )
        if row is None:
            raise LedgerUnavailable(
                f"this ledger has no plan {import_id}: it was made with another ledger, or a newer plan "
                "replaced it; plan again"
            )
        return Import(**{name: row[name] for name in Import.__dataclass_fields__})

    def rows(self, plan: Import, *actions: str, unsettled: bool = False) -> Iterator[Row]:
        """The plan's rows by id, of these actions or all."""
        where = import_rows.c.action.in_(actions) if actions else import_rows.c.id > 0
        if unsettled:
            where = and_(where, import_rows.c.outcome != "")
        after = plan.first_row
        while page := self._page(plan, where, after, PAGE_SIZE):
            yield from page
            after = page[-1].id

    def cards_among(self, plan: Import, card_ids: Sequence[int]) -> set[int]:
        """Which of these cards a row of the plan became."""
        with reading(self.engine) as connection:
            found = select(import_rows.c.card_id).where(_of(plan), import_rows.c.card_id.in_(card_ids))
            return set(connection.execute(found).scalars())

    def rows_by_id(self, plan: Import, ids: Sequence[int]) -> dict[int, Row]:
        with reading(self.engine) as connection:
            found = connection.execute(select(*_SELECTED).where(_of(plan), import_rows.c.id.in_(ids)))
            return {row.id: _row(row) for row in found}

    def _page(self, plan: Import, where: ColumnElement[bool], after_id: int, limit: int) -> list[Row]:
        query = (
            select(*_SELECTED)
            .where(_of(plan), where, import_rows.c.id > after_id)
            .order_by(import_rows.c.id)
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return [_row(row) for row in connection.execute(query)]

    def totals(self, plan: Import) -> list[Total]:
        """Cards and money by action, reason, brand and store."""
        keys = [import_rows.c[name] for name in ("action", "reason", "brand", "store")]
        sums = [
            func.coalesce(func.sum(import_rows.c[n]), 0)
            for n in ("pos_minor", "online_minor", "amount_minor")
        ]
        found = func.coalesce(import_rows.c.pos_minor, import_rows.c.online_minor, 0)
        sums.append(func.coalesce(func.sum(found), 0))
        query = select(*keys, func.count(), *sums).where(_of(plan)).group_by(*keys).order_by(*keys)
        with reading(self.engine) as connection:
            return [Total(*row[:5], *map(int, row[5:])) for row in connection.execute(query)]

    def rejected_lines(self, plan: Import, source: int) -> Iterator[tuple[int, str, str]]:
        """Line, cell and reason of a file's rejects, by line."""
        rejected = and_(import_rows.c.action == "reject", import_rows.c.source == source)
        query = (
            select(import_rows.c.line, import_rows.c.cell, import_rows.c.reason)
            .where(_of(plan), rejected)
            .order_by(import_rows.c.line)
        )
        with reading(self.engine) as connection:
            result = connection.execution_options(stream_results=True).execute(query)
            for row in result:
                yield row.line, row.cell, row.reason

    # --- applying -------------------------------------------------------------------------------------------

    def take(self, plan: Import, owner: str, now: datetime, *, alone: bool) -> None:
        """Hold the plan: one `import apply` at a time. `alone`: nobody else can be at work on the ledger.

        Raises LedgerUnavailable while another holds it.
        """
        free = or_(
            imports.c.lease_until.is_(None), imports.c.lease_until < now, imports.c.lease_owner == owner
        )
        with self.engine.begin() as connection:
            taken = connection.execute(
                update(imports)
                .where(imports.c.id == plan.id, imports.c.id == plan.id if alone else free)
                .values(
                    lease_owner=owner,
                    lease_until=now + timedelta(seconds=LEASE_SECONDS),
                    begun_at=func.coalesce(imports.c.begun_at, bindparam("at", now, imports.c.begun_at.type)),
                    state="begun",
                )
            )
        if taken.rowcount != 1:
            raise LedgerUnavailable("another `giftsync import apply` is carrying this plan out; wait for it")

    def leave(self, plan: Import, owner: str, now: datetime, *, done: bool) -> None:
        """Give the plan back; `done` when nothing of it is left."""
        values: dict[str, Any] = {"lease_owner": None, "lease_until": None}
        if done:
            values |= {"state": "done", "ended_at": now}
        with self.engine.begin() as connection:
            connection.execute(
                update(imports).where(imports.c.id == plan.id, imports.c.lease_owner == owner).values(values)
            )

    def unchoose(self, plan: Import) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                update(import_rows).where(_of(plan), import_rows.c.chosen).values(chosen=False)
            )

    def choose(self, plan: Import, ids: Sequence[int]) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                update(import_rows).where(_of(plan), import_rows.c.id.in_(ids)).values(chosen=True)
            )

    def chosen(self, plan: Import, actions: Iterable[str], after_id: int, limit: int) -> list[Row]:
        """The next chosen rows of these actions for which nothing was done yet."""
        where = and_(
            import_rows.c.chosen, import_rows.c.action.in_(tuple(actions)), import_rows.c.state == "planned"
        )
        return self._page(plan, where, after_id, limit)

    def count_left(self, plan: Import) -> dict[str, tuple[int, int]]:
        """Chosen rows that are not done, by state: how many, and what is to be put on new cards."""
        query = (
            select(import_rows.c.state, func.count(), func.coalesce(func.sum(import_rows.c.amount_minor), 0))
            .where(
                _of(plan),
                import_rows.c.chosen,
                import_rows.c.state != "done",
                import_rows.c.action.not_in(("known", "skip", "reject")),
            )
            .group_by(import_rows.c.state)
        )
        with reading(self.engine) as connection:
            return {row[0]: (row[1], int(row[2])) for row in connection.execute(query)}

    def met(self, plan: Import, after_card: int, limit: int, due_by: datetime | None = None) -> list[int]:
        """Cards of the plan, by id, on which work is left; only those due by a moment, if one is given."""
        where = and_(
            import_rows.c.import_id == plan.id,
            import_rows.c.state == "met",
            import_rows.c.batch_id.is_(None) if due_by is None else cards.c.due_at <= due_by,
            cards.c.id > after_card,
        )
        query = select(cards.c.id).join(import_rows, import_rows.c.card_id == cards.c.id).where(where)
        with reading(self.engine) as connection:
            return list(connection.execute(query.order_by(cards.c.id).limit(limit)).scalars())

    def in_flight(self, plan: Import, after_card: int, limit: int) -> list[int]:
        """Cards of the plan, by id, with an intent that was sent outside of a file and not settled."""
        query = (
            select(cards.c.id)
            .join(import_rows, import_rows.c.card_id == cards.c.id)
            .where(
                import_rows.c.import_id == plan.id,
                import_rows.c.state == "met",
                cards.c.id > after_card,
                exists().where(intents.c.card_id == cards.c.id, intents.c.state == "sent"),
            )
        )
        with reading(self.engine) as connection:
            return list(connection.execute(query.order_by(cards.c.id).limit(limit)).scalars())

    def count_creates(self, plan: Import, action: str) -> int:
        """Chosen rows of an action that are not done."""
        with reading(self.engine) as connection:
            return connection.execute(
                select(func.count()).where(
                    _of(plan),
                    import_rows.c.chosen,
                    import_rows.c.action == action,
                    import_rows.c.state != "done",
                )
            ).scalar_one()

    def next_due(self, plan: Import) -> datetime | None:
        """When the next of the plan's cards is due."""
        query = (
            select(func.min(cards.c.due_at))
            .join(import_rows, import_rows.c.card_id == cards.c.id)
            .where(import_rows.c.import_id == plan.id, import_rows.c.state == "met")
        )
        with reading(self.engine) as connection:
            found: datetime | None = connection.execute(query).scalar_one()
        return found

    def finish_rows(self, plan: Import) -> None:
        """Met rows whose card waits for nothing any more, or only for a person, are done.

        A card with an effect that is not carried out waits, whoever has it and whenever it is due.
        """
        asks = exists().where(conflicts.c.card_id == import_rows.c.card_id, conflicts.c.closed_at.is_(None))
        effect = exists().where(
            intents.c.card_id == import_rows.c.card_id, intents.c.state.in_(("planned", "sent", "in_doubt"))
        )
        waits = or_(
            exists().where(
                cards.c.id == import_rows.c.card_id,
                or_(cards.c.due_at.is_not(None), cards.c.lease_owner.is_not(None)),
            ),
            and_(effect, ~asks),
        )
        with self.engine.begin() as connection:
            connection.execute(
                update(import_rows)
                .where(_of(plan), import_rows.c.state == "met", ~waits)
                .values(state="done")
            )

    def settle_rows(self, outcomes: Mapping[int, str]) -> None:
        """Rows that are over without a card, with what is to be said of each."""
        if outcomes:
            with self.engine.begin() as connection:
                connection.execute(
                    _SETTLE_ROW, [{"row_id": row_id, "words": words} for row_id, words in outcomes.items()]
                )

    # --- mass creation --------------------------------------------------------------------------------------

    def open_batches(self, plan: Import) -> list[Batch]:
        """Files of creates whose outcome is not taken in yet."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(import_batches)
                .where(import_batches.c.import_id == plan.id, import_batches.c.ended_at.is_(None))
                .order_by(import_batches.c.id)
            ).mappings()
            return [Batch(**{name: row[name] for name in Batch.__dataclass_fields__}) for row in rows]

    def make_batch(self, plan: Import, side: str, tag: str, lines: int, now: datetime) -> int:
        with self.engine.begin() as connection:
            batch_id: int = connection.execute(
                insert(import_batches)
                .values(import_id=plan.id, side=side, tag=tag, lines=lines, made_at=now)
                .returning(import_batches.c.id)
            ).scalar_one()
        return batch_id

    def change_batch(self, batch_id: int, **values: object) -> None:
        """Set `called_at`, `operation` or `ended_at`."""
        with self.engine.begin() as connection:
            connection.execute(update(import_batches).where(import_batches.c.id == batch_id).values(**values))

    def unsettled_in(self, batch_id: int, after_card: int, limit: int) -> list[int]:
        """Cards of a file, by id, whose row is not done and whose create was sent and never settled."""
        query = (
            select(import_rows.c.card_id)
            .join(intents, intents.c.card_id == import_rows.c.card_id)
            .where(
                import_rows.c.batch_id == batch_id,
                import_rows.c.card_id > after_card,
                intents.c.kind == "create",
                intents.c.state == "sent",
            )
            .order_by(import_rows.c.card_id)
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return list(connection.execute(query).scalars())

    def take_out_of(self, batch_id: int) -> None:
        """The file was never started: its rows belong to none."""
        with self.engine.begin() as connection:
            connection.execute(
                update(import_rows)
                .where(import_rows.c.batch_id == batch_id)
                .values(batch_id=None, batch_line=None)
            )

    def batch_cards(self, batch_id: int, lines: Sequence[int]) -> dict[int, int]:
        """The card of each line."""
        with reading(self.engine) as connection:
            found = connection.execute(
                select(import_rows.c.batch_line, import_rows.c.card_id).where(
                    import_rows.c.batch_id == batch_id, import_rows.c.batch_line.in_(lines)
                )
            )
            return {row.batch_line: row.card_id for row in found}


_SAME_CARD = "the same card as"
_TWO_BALANCES = "one number with different balances or statuses"


def _delete(connection: Connection, which: ColumnElement[bool]) -> int:
    """Remove plans with their rows; how many."""
    connection.execute(
        delete(import_rows).where(import_rows.c.import_id.in_(select(imports.c.id).where(which)))
    )
    return connection.execute(delete(imports).where(which)).rowcount


def _of(plan: Import) -> ColumnElement[bool]:
    return and_(import_rows.c.import_id == plan.id, import_rows.c.id > plan.first_row)


_SELECTED = [*_ROW_COLUMNS, import_rows.c.serial_index]


def _row(row: Any) -> Row:
    *values, index = row
    ref = f"k{index[: _REF_LENGTH - 1]}" if index else "s" + (row.online_id or "").rsplit("/", 1)[-1]
    return Row(ref, *values)


_INSERT_ROW = insert(import_rows)
_CHANGE_ROW = (
    update(import_rows)
    .where(import_rows.c.id == bindparam("row_id"))
    .values(
        {
            name: bindparam(name)
            for name in (
                *("action", "reason", "amount_minor", "pos_minor", "online_minor", "online_id"),
                *("status", "expires_on"),
            )
        }
    )
)
_SETTLE_ROW = (
    update(import_rows)
    .where(import_rows.c.id == bindparam("row_id"))
    .values(state="done", outcome=bindparam("words"))
)


def _groups(rows: Sequence[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    for row in rows:
        if group and group[0].serial_index != row.serial_index:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _duplicate_changes(group: Sequence[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    def place(row: Any) -> str:
        return f"line {row.line}" if len(names) == 1 else f"line {row.line} of {names[row.source]}"

    if len({(row.pos_minor, row.status) for row in group}) == 1:
        return [_rejected(row, f"{_SAME_CARD} on {place(group[0])}") for row in group[1:]]
    places = ", ".join(map(place, group[:PLACES_SHOWN])) + (", …" if len(group) > PLACES_SHOWN else "")
    return [_rejected(row, f"{_TWO_BALANCES}: {places}") for row in group]


def _rejected(row: Any, reason: str) -> dict[str, Any]:
    return {
        "row_id": row.id,
        "status": row.status,
        "expires_on": row.expires_on,
        "action": "reject",
        "reason": reason,
        "amount_minor": 0,
        # A rejected card is still owed.
        "pos_minor": row.pos_minor,
        "online_minor": None,
        "online_id": None,
    }
