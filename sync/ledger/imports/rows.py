"""Plans of historical imports, and how far each row has come. Everything streams, a page at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, cast

from msgspec import Struct
from msgspec.structs import astuple
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)

from sync.ledger.cards.row_proof import RowProof
from sync.ledger.database import prepared
from sync.ledger.database.engine import LedgerUnavailable, asking, reading
from sync.ledger.database.imported import MET_BY_PASS
from sync.ledger.database.marks import read_mark, save_mark, write_mark
from sync.ledger.database.news import IMPORT, tell
from sync.ledger.database.tables import (
    cards,
    conflicts,
    import_batches,
    import_rows,
    imports,
    intents,
    marks,
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

#: What the id of a plan begins with that a pass has made for itself.
PASS_PREFIX = "pass-"

#: Which card a row is, and what is to be done with it. What is on it, its sides say when its turn comes.
IMPORT_ROW_PROOF = RowProof("import row", ("import_id", "action", "serial_sealed", "online_id"))

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
    #: Since when workers carry it out in their turns; None: they do not.
    queued_at: datetime | None = None
    #: How workers make its cards online: many by one file, or one by one.
    in_bulk: bool | None = None
    #: What workers may still move for it, in minor units; None: not reckoned yet.
    money_left_minor: int | None = None
    #: Chosen rows that are not done, as the last turn left them.
    rows_left: int | None = None
    #: What kept the last turn from going on.
    trouble: str | None = None


class Row(NamedTuple):
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
    #: Under which it was planned; None: giftsync did not write it.
    proof: str | None


class NewRow(Struct, gc=False):
    """A row of a plan as it is planned. See `Row`; the fields are columns of the table."""

    import_id: str
    action: str
    reason: str
    amount_minor: int
    last_chars: str = ""
    status: str = ""
    expires_on: date | None = None
    serial_index: str | None = None
    serial_sealed: bytes | None = None
    pos_minor: int | None = None
    brand: str = ""
    store: str = ""
    source: int | None = None
    line: int | None = None
    online_id: str | None = None
    online_minor: int | None = None
    cell: str = ""
    proof: str | None = None


#: What the file of a plan shows of a row, in the order of `_LINE_COLUMNS`; see `Row`. A plain tuple, as the
#: database gives it, so that a date is one or its text.
PlanLine = tuple[
    *tuple[int, str | None, str | None, str, str, str, str, str],
    *tuple[int | None, int | None, int, str, date | str | None, int | None, int | None],
]


class Statement(NamedTuple):
    """What must say in a plan file what it says in the ledger. See `Row`."""

    id: int
    ref: str
    action: str
    pos_minor: int | None
    online_minor: int | None
    amount_minor: int


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


_LINE_COLUMNS = [
    import_rows.c[name]
    for name in (
        *("id", "serial_index", "online_id", "action", "reason", "last_chars", "brand", "store"),
        *("pos_minor", "online_minor", "amount_minor", "status", "expires_on", "source", "line"),
    )
]
_ROW_COLUMNS = [import_rows.c[name] for name in Row._fields if name != "ref"]
_REF_LENGTH = 12
#: What the mark with the hash of a plan's file begins with.
_FILE_MARK = "plan_file:"
#: What the mark begins with that shows that a plan was queued.
_QUEUED_MARK = "plan_queued:"


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

    def count_waiting(self, side: str, now: datetime) -> int:
        """Cards that wait for nothing but to be made on the side."""
        with asking(self.engine) as connection:
            return connection.execute(
                select(func.count()).select_from(_WAITING_TO_BE_MADE).where(_can_be_made(side, now))
            ).scalar_one()

    def begin_for_pass(self, side: str, currency: str, now: datetime) -> Import:
        """A plan that is begun at once: of the cards that wait for nothing but to be made on the side."""
        import_id = f"{PASS_PREFIX}{now:%Y%m%d}-{secrets.token_hex(3)}"
        values = {
            "import_id": literal(import_id),
            "action": literal("create_online"),
            "reason": literal(MET_BY_PASS),
            "serial_index": presences.c.serial_index,
            "serial_sealed": presences.c.serial_sealed,
            "last_chars": presences.c.last_chars,
            "pos_minor": cards.c.balance_minor,
            "amount_minor": intents.c.amount_minor,
            "status": cards.c.status,
            "expires_on": cards.c.expires_on,
            "brand": func.coalesce(presences.c.brand, ""),
            "store": literal(""),
            "cell": literal(""),
            "chosen": literal(True),
            "state": literal("met"),
            "outcome": literal(""),
            "card_id": cards.c.id,
        }
        waiting = select(*values.values()).select_from(_WAITING_TO_BE_MADE).where(_can_be_made(side, now))
        with self.engine.begin() as connection:
            first = connection.execute(select(func.coalesce(func.max(import_rows.c.id), 0))).scalar_one()
            plan = insert(imports).values(
                id=import_id,
                state="begun",
                currency=currency,
                sources=[],
                before={side: {"cards": 0, "minor": 0, "lists": 1}},
                first_row=first,
                created_at=now,
                begun_at=now,
            )
            connection.execute(plan)
            connection.execute(insert(import_rows).from_select(list(values), waiting))
        return self.get(import_id)

    def begun_by_passes(self, side: str) -> list[Import]:
        """Plans that passes have made for the side, and not ended."""
        query = select(imports.c.id).where(imports.c.state == "begun", imports.c.id.startswith(PASS_PREFIX))
        with asking(self.engine) as connection:
            ids = list(connection.execute(query.order_by(imports.c.created_at)).scalars())
        return [plan for plan in map(self.get, ids) if side in plan.before]

    def is_under_way(self) -> bool:
        """Whether a plan is being made or carried out."""
        query = select(imports.c.id).where(imports.c.state.in_(("planning", "begun"))).limit(1)
        with asking(self.engine) as connection:
            return connection.execute(query).first() is not None

    def unbegun(self) -> list[Import]:
        """Plans that are complete and were never applied, the newest first."""
        query = select(imports.c.id).where(imports.c.state == "planned").order_by(imports.c.created_at.desc())
        with asking(self.engine) as connection:
            ids = list(connection.execute(query).scalars())
        return [self.get(one) for one in ids]

    def newest(self, limit: int) -> list[Import]:
        """Plans of people's that are made, begun or done, newest first."""
        of_people = ~imports.c.id.startswith(PASS_PREFIX)
        query = select(imports.c.id).where(imports.c.state != "planning", of_people)
        query = query.order_by(imports.c.created_at.desc(), imports.c.id).limit(limit)
        with asking(self.engine) as connection:
            ids = list(connection.execute(query).scalars())
        return [self.get(one) for one in ids]

    def discard(self, plan: Import) -> None:
        """Remove a plan and its rows. Raises LedgerUnavailable for one that was begun."""
        with self.engine.begin() as connection:
            gone = _delete(connection, and_(imports.c.id == plan.id, imports.c.state.in_(_UNBEGUN)))
        if not gone:
            raise LedgerUnavailable(f"plan {plan.id} was begun, so its report stays")

    def stage(self, rows: Sequence[NewRow]) -> None:
        """Add rows, in this order, and prove them."""
        for row in rows:
            row.proof = self._proof(row.import_id, row.action, row.serial_sealed, row.online_id)
        with self.engine.begin() as connection:
            prepared.add_each(connection, _INSERT_ROW, NewRow.__struct_fields__, list(map(astuple, rows)))

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
        with asking(self.engine) as connection:
            cards_only = or_(import_rows.c.serial_index.is_not(None), import_rows.c.online_id.is_not(None))
            again = or_(*(import_rows.c.reason.startswith(words) for words in (_SAME_CARD, _TWO_BALANCES)))
            row = connection.execute(select(*columns).where(_of(plan), cards_only, ~again)).one()
        return row[0], int(row[1] or 0), row[2], int(row[3] or 0)

    def change(self, plan: Import, changes: Iterable[tuple[Row, Values]]) -> None:
        """Change rows and prove them; each change has every other column of `_CHANGE_ROW`."""
        made = [
            {
                **values,
                "row_id": row.id,
                "proof": self._proof(plan.id, values["action"], row.serial_sealed, values["online_id"]),
            }
            for row, values in changes
        ]
        if made:
            with self.engine.begin() as connection:
                connection.execute(_CHANGE_ROW, made)

    def is_proved(self, plan: Import, row: Row) -> bool:
        """Whether the row is as it was planned."""
        return row.proof == self._proof(plan.id, row.action, row.serial_sealed, row.online_id)

    def _proof(self, import_id: str, action: str, serial_sealed: bytes | None, online_id: str | None) -> str:
        said = {
            "import_id": import_id,
            "action": action,
            "serial_sealed": serial_sealed,
            "online_id": online_id,
        }
        return IMPORT_ROW_PROOF.of(said, self.vault)

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
        with asking(self.engine) as connection:
            row = (
                connection.execute(select(imports).where(imports.c.id == import_id)).mappings().one_or_none()
            )
        if row is None:
            raise LedgerUnavailable(
                "this ledger has no such plan: it was made with another ledger or dropped, or a newer plan "
                "replaced it; plan again"
            )
        return _import(row)

    def rows(self, plan: Import, *actions: str, unsettled: bool = False) -> Iterator[Row]:
        """The plan's rows by id, of these actions or all."""
        where: ColumnElement[bool] = import_rows.c.action.in_(actions) if actions else true()
        if unsettled:
            where = and_(where, import_rows.c.outcome != "")
        after = plan.first_row
        while page := self._page(plan, where, after, PAGE_SIZE):
            yield from page
            after = page[-1].id

    def lines(self, plan: Import) -> Iterator[Sequence[PlanLine]]:
        """Pages of the plan's rows by id, as its file shows them."""
        after = plan.first_row
        while found := self._found(plan, _LINE_COLUMNS, true(), after, PAGE_SIZE):
            page = cast(Sequence[PlanLine], found)
            yield page
            after = page[-1][0]

    def cards_among(self, plan: Import, card_ids: Sequence[int]) -> set[int]:
        """Which of these cards a row of the plan became."""
        with asking(self.engine) as connection:
            found = select(import_rows.c.card_id).where(_of(plan), import_rows.c.card_id.in_(card_ids))
            return set(connection.execute(found).scalars())

    def statements(self, plan: Import, ids: Sequence[int]) -> dict[int, Statement]:
        """By id, what a plan file has to say of these rows."""
        near = import_rows.c.id.between(min(ids), max(ids))
        # Mostly all lines of a plan are still there: to name each id takes longer than to read its row.
        among = near if max(ids) - min(ids) < 2 * len(ids) else import_rows.c.id.in_(ids)
        query = select(*_STATED).where(_of(plan), among)
        with asking(self.engine) as connection:
            found = connection.execute(query).all()
        return {
            row_id: Statement(row_id, ref_of(index, online_id), action, pos_minor, online_minor, amount_minor)
            for row_id, index, online_id, action, pos_minor, online_minor, amount_minor in found
        }

    def _page(self, plan: Import, where: ColumnElement[bool], after_id: int, limit: int) -> list[Row]:
        return list(map(_row, self._found(plan, _SELECTED, where, after_id, limit)))

    def _found(
        self,
        plan: Import,
        columns: Sequence[ColumnElement[Any]],
        where: ColumnElement[bool],
        after_id: int,
        limit: int,
    ) -> Sequence[Sequence[Any]]:
        """The plan's first rows of these behind a row, by id."""
        # One bound only: of two, SQLite begins at the lower one and walks over all rows up to the other.
        behind = and_(import_rows.c.import_id == plan.id, import_rows.c.id > max(after_id, plan.first_row))
        query = select(*columns).where(behind, where).order_by(import_rows.c.id).limit(limit)
        # As the driver gives them: an object around each takes as long as reading it.
        with reading(self.engine) as connection, closing(connection.execute(query)) as result:
            return [] if result.cursor is None else list(result.cursor.fetchall())

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
        with asking(self.engine) as connection:
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

    def take(
        self, plan: Import, owner: str, now: datetime, *, alone: bool, seconds: float = LEASE_SECONDS
    ) -> None:
        """Hold the plan: one `import apply` at a time. `alone`: nobody else can be at work on the ledger.

        Raises LedgerUnavailable while another holds it.
        """
        if not self.takes(plan, owner, now, alone=alone, seconds=seconds):
            raise LedgerUnavailable(
                "another `giftsync import apply`, or a worker, is carrying this plan out; wait for it, or "
                "pause it: `giftsync import pause`"
            )

    def takes(self, plan: Import, owner: str, now: datetime, *, alone: bool, seconds: float) -> bool:
        """Hold the plan for so long; whether it is free for that."""
        free = or_(
            imports.c.lease_until.is_(None), imports.c.lease_until < now, imports.c.lease_owner == owner
        )
        with self.engine.begin() as connection:
            taken = connection.execute(
                update(imports)
                .where(imports.c.id == plan.id, imports.c.id == plan.id if alone else free)
                .values(
                    lease_owner=owner,
                    lease_until=now + timedelta(seconds=seconds),
                    begun_at=func.coalesce(imports.c.begun_at, bindparam("at", now, imports.c.begun_at.type)),
                    state="begun",
                )
            )
        return taken.rowcount == 1

    def hold_on(self, plan: Import, owner: str, now: datetime) -> None:
        """Hold the plan a while longer."""
        with self.engine.begin() as connection:
            connection.execute(
                update(imports)
                .where(imports.c.id == plan.id, imports.c.lease_owner == owner)
                .values(lease_until=now + timedelta(seconds=LEASE_SECONDS))
            )

    def leave(self, plan: Import, owner: str, now: datetime, *, done: bool, **left: object) -> None:
        """Give the plan back; `done` when nothing of it is left. `left` has what a worker's turn leaves."""
        values: dict[str, Any] = {"lease_owner": None, "lease_until": None, **left}
        if done:
            values |= {"state": "done", "ended_at": now, "queued_at": None}
        with self.engine.begin() as connection:
            if done:
                connection.execute(delete(marks).where(marks.c.name == _QUEUED_MARK + plan.id))
            connection.execute(
                update(imports).where(imports.c.id == plan.id, imports.c.lease_owner == owner).values(values)
            )

    def queue(self, plan: Import, now: datetime, *, in_bulk: bool) -> None:
        """Have workers carry the plan's chosen rows out, and tell them so."""
        left = sum(count for count, _ in self.count_left(plan).values())
        with self.engine.begin() as connection:
            connection.execute(
                update(imports)
                .where(imports.c.id == plan.id)
                .values(
                    queued_at=func.coalesce(
                        imports.c.queued_at, bindparam("at", now, imports.c.queued_at.type)
                    ),
                    in_bulk=in_bulk,
                    money_left_minor=None,
                    rows_left=left,
                    trouble=None,
                )
            )
            write_mark(connection, _QUEUED_MARK + plan.id, self._approval(plan), now)
            tell(connection, IMPORT)

    def is_queued_by_giftsync(self, plan: Import) -> bool:
        """Whether somebody has queued it with giftsync, and not in the database."""
        return read_mark(self.engine, _QUEUED_MARK + plan.id) == self._approval(plan)

    def approve(self, plan: Import, now: datetime) -> None:
        """Count a queued plan as queued with giftsync."""
        save_mark(self.engine, _QUEUED_MARK + plan.id, self._approval(plan), now)

    def refuse(self, plan: Import, why: str) -> None:
        """Take a plan from the workers, and keep why."""
        with self.engine.begin() as connection:
            connection.execute(
                update(imports).where(imports.c.id == plan.id).values(queued_at=None, trouble=why)
            )

    def _approval(self, plan: Import) -> str:
        return self.vault.digest(b"queued import\0" + plan.id.encode())

    def pause(self, plan: Import) -> bool:
        """Have workers leave the plan as it is; whether they had it."""
        with self.engine.begin() as connection:
            connection.execute(delete(marks).where(marks.c.name == _QUEUED_MARK + plan.id))
            paused = connection.execute(
                update(imports)
                .where(imports.c.id == plan.id, imports.c.queued_at.is_not(None))
                .values(queued_at=None)
            )
        return paused.rowcount == 1

    def cancel(self, plan: Import) -> int:
        """Take rows for which nothing was done yet out of the plan; how many."""
        with self.engine.begin() as connection:
            untouched = and_(_of(plan), import_rows.c.chosen, import_rows.c.state == "planned")
            taken_out = connection.execute(update(import_rows).where(untouched).values(chosen=False)).rowcount
            connection.execute(
                update(imports)
                .where(imports.c.id == plan.id)
                .values(rows_left=func.coalesce(imports.c.rows_left, taken_out) - taken_out)
            )
            tell(connection, IMPORT)
        return taken_out

    def unchoose(self, plan: Import) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                update(import_rows).where(_of(plan), import_rows.c.chosen).values(chosen=False)
            )

    def remember_file(self, plan: Import, digest: str) -> None:
        """Keep the hash of the plan's file as it was written, by which an unchanged one is known again."""
        save_mark(self.engine, f"{_FILE_MARK}{plan.id}", digest, plan.created_at)

    def remembered_file(self, plan: Import) -> str | None:
        return read_mark(self.engine, f"{_FILE_MARK}{plan.id}")

    def choose_all(self, plan: Import, actions: Sequence[str]) -> int:
        """Mark every row of these actions; how many."""
        with self.engine.begin() as connection:
            which = and_(_of(plan), import_rows.c.action.in_(actions))
            return connection.execute(update(import_rows).where(which).values(chosen=True)).rowcount

    def choose(self, plan: Import, ids: Sequence[int]) -> None:
        """Mark these rows; each is named once."""
        in_a_row = max(ids) - min(ids) == len(ids) - 1
        which = import_rows.c.id.between(min(ids), max(ids)) if in_a_row else import_rows.c.id.in_(ids)
        with self.engine.begin() as connection:
            connection.execute(update(import_rows).where(_of(plan), which).values(chosen=True))

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
        with asking(self.engine) as connection:
            return {row[0]: (row[1], int(row[2])) for row in connection.execute(query)}

    def met(self, plan: Import, after_card: int, limit: int, due_by: datetime) -> list[int]:
        """Cards of the plan, by id, on which work is left that is due by then."""
        where = and_(
            import_rows.c.import_id == plan.id,
            import_rows.c.state == "met",
            cards.c.due_at <= due_by,
            cards.c.id > after_card,
        )
        query = select(cards.c.id).join(import_rows, import_rows.c.card_id == cards.c.id).where(where)
        with asking(self.engine) as connection:
            return list(connection.execute(query.order_by(cards.c.id).limit(limit)).scalars())

    def never_sent(self, plan: Import, after_card: int, limit: int) -> list[int]:
        """Cards of the plan, by id, whose create no side was asked for yet."""
        unsent = and_(intents.c.kind == "create", intents.c.state == "planned")
        return self._met_outside_files(plan, unsent, after_card, limit)

    def in_flight(self, plan: Import, after_card: int, limit: int) -> list[int]:
        """Cards of the plan, by id, with an intent that was sent outside of a file and not settled."""
        return self._met_outside_files(plan, intents.c.state == "sent", after_card, limit)

    def _met_outside_files(
        self, plan: Import, intent: ColumnElement[bool], after_card: int, limit: int
    ) -> list[int]:
        """Cards of the plan, by id, that are in no file and have such an intent."""
        query = (
            select(cards.c.id)
            .join(import_rows, import_rows.c.card_id == cards.c.id)
            .where(
                import_rows.c.import_id == plan.id,
                import_rows.c.state == "met",
                import_rows.c.batch_id.is_(None),
                cards.c.id > after_card,
                exists().where(intents.c.card_id == cards.c.id, intent),
            )
        )
        with asking(self.engine) as connection:
            return list(connection.execute(query.order_by(cards.c.id).limit(limit)).scalars())

    def count_creates(self, plan: Import, action: str) -> int:
        """Chosen rows of an action that are not done."""
        with asking(self.engine) as connection:
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
        with asking(self.engine) as connection:
            found: datetime | None = connection.execute(query).scalar_one()
        return found

    def finish_rows(self, plan: Import) -> None:
        """Met rows whose card waits for nothing any more, or only for a person, are done.

        A card with an effect that is not carried out waits, whoever has it and whenever it is due.
        """
        at_work = exists().where(
            cards.c.id == import_rows.c.card_id,
            or_(cards.c.due_at.is_not(None), cards.c.lease_owner.is_not(None)),
        )
        self._finish(plan, ~or_(at_work, _has_open() & ~_ASKS_A_PERSON))

    def finish_made(self, plan: Import) -> None:
        """Met rows whose card is made, or waits only for a person, are done; what else it needs is no matter
        of the plan.
        """
        self._finish(plan, ~(_has_open("create") & ~_ASKS_A_PERSON))

    def _finish(self, plan: Import, over: ColumnElement[bool]) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                update(import_rows).where(_of(plan), import_rows.c.state == "met", over).values(state="done")
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
        with asking(self.engine) as connection:
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
        with asking(self.engine) as connection:
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
        with asking(self.engine) as connection:
            found = connection.execute(
                select(import_rows.c.batch_line, import_rows.c.card_id).where(
                    import_rows.c.batch_id == batch_id, import_rows.c.batch_line.in_(lines)
                )
            )
            return {row.batch_line: row.card_id for row in found}


def queued_imports(engine: Engine) -> list[Import]:
    """Plans that workers carry out, the one that was queued first before the others."""
    query = select(imports).where(imports.c.queued_at.is_not(None))
    with asking(engine) as connection:
        found = connection.execute(query.order_by(imports.c.queued_at, imports.c.id)).mappings().all()
    return [_import(row) for row in found]


def _import(row: Any) -> Import:
    return Import(**{name: row[name] for name in Import.__dataclass_fields__})


_ASKS_A_PERSON = exists().where(conflicts.c.card_id == import_rows.c.card_id, conflicts.c.closed_at.is_(None))


def _has_open(*kinds: str) -> ColumnElement[bool]:
    """Of a row: its card has an effect that is not carried out, of these kinds or any."""
    of_kind = intents.c.kind.in_(kinds) if kinds else intents.c.kind.is_not(None)
    return exists().where(
        intents.c.card_id == import_rows.c.card_id,
        intents.c.state.in_(("planned", "sent", "in_doubt")),
        of_kind,
    )


_WAITING_TO_BE_MADE = intents.join(cards, cards.c.id == intents.c.card_id).join(
    presences, and_(presences.c.card_id == intents.c.card_id, presences.c.side == intents.c.side)
)


def _can_be_made(side: str, now: datetime) -> ColumnElement[bool]:
    """Of intents: a create that may be sent now, and is all that its card waits for. No plan has the card."""
    other = intents.alias("other")
    return and_(
        intents.c.side == side,
        intents.c.kind == "create",
        intents.c.state == "planned",
        ~intents.c.doubted,
        or_(intents.c.not_before.is_(None), intents.c.not_before <= now),
        cards.c.due_at <= now,
        or_(cards.c.lease_until.is_(None), cards.c.lease_until < now),
        ~cards.c.held,
        ~cards.c.behind,
        ~exists().where(
            other.c.card_id == intents.c.card_id,
            other.c.marker != intents.c.marker,
            other.c.state.in_(("planned", "sent", "in_doubt")),
        ),
        ~exists().where(import_rows.c.card_id == intents.c.card_id),
    )


_SAME_CARD = "the same card as"
_TWO_BALANCES = "one number with different balances or statuses"


def _delete(connection: Connection, which: ColumnElement[bool]) -> int:
    """Remove plans with their rows; how many."""
    connection.execute(
        delete(import_rows).where(import_rows.c.import_id.in_(select(imports.c.id).where(which)))
    )
    for begins in (_FILE_MARK, _QUEUED_MARK):
        names = select(begins + imports.c.id).where(which)
        connection.execute(delete(marks).where(marks.c.name.in_(names)))
    return connection.execute(delete(imports).where(which)).rowcount


def _of(plan: Import) -> ColumnElement[bool]:
    return and_(import_rows.c.import_id == plan.id, import_rows.c.id > plan.first_row)


_SELECTED = [*_ROW_COLUMNS, import_rows.c.serial_index]


_STATED = [
    import_rows.c[name]
    for name in ("id", "serial_index", "online_id", "action", "pos_minor", "online_minor", "amount_minor")
]


_EXPIRES, _CHOSEN, _ONLINE_ID = map(Row._fields.index, ("expires_on", "chosen", "online_id"))


def _row(row: Sequence[Any]) -> Row:
    """From what the driver gives: SQLite has no dates and no booleans."""
    values = ["", *row[:-1]]
    values[0] = ref_of(row[-1], values[_ONLINE_ID])
    if isinstance(values[_EXPIRES], str):
        values[_EXPIRES] = date.fromisoformat(values[_EXPIRES])
    values[_CHOSEN] = bool(values[_CHOSEN])
    return Row._make(values)


def ref_of(index: str | None, online_id: str | None) -> str:
    """The reference of a row: see `Row`."""
    return f"k{index[: _REF_LENGTH - 1]}" if index else "s" + (online_id or "").rsplit("/", 1)[-1]


_INSERT_ROW = insert(import_rows).values(
    chosen=false(), state=literal_column("'planned'"), outcome=literal_column("''")
)
_CHANGE_ROW = (
    update(import_rows)
    .where(import_rows.c.id == bindparam("row_id"))
    .values(
        {
            name: bindparam(name)
            for name in (
                *("action", "reason", "amount_minor", "pos_minor", "online_minor", "online_id"),
                *("status", "expires_on", "proof"),
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
        "proof": None,
    }
