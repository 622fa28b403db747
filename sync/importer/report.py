"""The report of an import: what each side held before and holds now, and the proof that the money agrees."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from connectors.base import Side
from mappings.money import decimal_from_minor
from mappings.serials import mask
from sync.audit import SideTotals, audit
from sync.importer.actions import Action
from sync.importer.files import private_file
from sync.importer.planfile import harmless, money_cell, plan_source
from sync.ledger.import_sums import (
    HubSums,
    Liability,
    SideSums,
    count_conflicts,
    hub_sums,
    liability,
    open_conflicts,
    side_sums,
)
from sync.ledger.imports import Import, Imports, Row, Total

_PAGE = 500
COLUMNS = (
    *("plan", "row", "ref", "card", "planned", "outcome", "brand", "store", "currency"),
    *("pos_balance", "shopify_balance", "created", "file", "line", "column", "card_id"),
)


@dataclass(frozen=True)
class Checked:
    """The whole ledger, recomputed and read back from the sides."""

    discrepancies: int
    unread: int
    moved: int
    absent: int
    #: By side: cards read, and what they show together.
    shown: dict[str, tuple[int, int]]
    shadows: dict[str, int]


@dataclass(frozen=True)
class ImportReport:
    """Everything that the report shows. Amounts in minor units of `plan.currency`."""

    plan: Import
    made_at: datetime
    hub: HubSums
    sides: tuple[SideSums, ...]
    totals: tuple[Total, ...]
    brands: tuple[Liability, ...]
    stores: tuple[Liability, ...]
    conflicts: dict[str, tuple[int, int]]
    left: int
    checked: Checked | None = None
    by_action: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Money in is money out: in the hub, on each side, and as the sides were read."""
        books = self.hub.adds_up and all(side.adds_up for side in self.sides)
        checked = self.checked
        return books and (checked is None or not (checked.discrepancies or checked.unread or checked.moved))


def make_report(
    imports: Imports,
    plan: Import,
    names: Sequence[str],
    clock: Callable[[], datetime],
    sides: dict[str, Side] | None = None,
    told: Callable[[int], None] = lambda cards: None,
) -> ImportReport:
    """Add everything up; with `sides`, read every card back from them, too."""
    engine = imports.engine
    totals = tuple(imports.totals(plan))
    by_action: dict[str, tuple[int, int]] = {}
    for one in totals:
        cards, minor = by_action.get(one.action, (0, 0))
        by_action[one.action] = (cards + one.cards, minor + (one.pos_minor or one.online_minor))
    return ImportReport(
        plan,
        clock(),
        hub_sums(engine, plan),
        tuple(side_sums(engine, plan, name) for name in names),
        totals,
        tuple(liability(engine, plan, "brand")),
        tuple(liability(engine, plan, "store")),
        count_conflicts(engine, plan),
        sum(count for count, _ in imports.count_left(plan).values()),
        None if sides is None else _check(imports, plan, clock, sides, told),
        by_action,
    )


def _check(
    imports: Imports,
    plan: Import,
    clock: Callable[[], datetime],
    sides: dict[str, Side],
    told: Callable[[int], None],
) -> Checked:
    done = audit(imports.engine, imports.vault, clock, sides, told)
    for _ in done:
        pass  # Counted as they come.
    totals = done.totals.get(plan.currency)
    by_side: dict[str, SideTotals] = {} if totals is None else totals.sides
    return Checked(
        done.discrepancies,
        done.unread,
        sum(one.moved for one in by_side.values()),
        sum(one.absent for one in by_side.values()),
        {name: (one.read, one.shown_minor) for name, one in by_side.items()},
        {name: one.shadow_minor for name, one in by_side.items()},
    )


# --- Rows ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A row and what became of it, in words."""

    row: Row
    outcome: str


def told_rows(imports: Imports, plan: Import, *actions: str) -> Iterator[Told]:
    """The plan's rows with their outcome, by id."""
    rows = imports.rows(plan, *actions)
    while page := list(islice(rows, _PAGE)):
        waiting = open_conflicts(imports.engine, [row.card_id for row in page if row.card_id is not None])
        for row in page:
            yield Told(row, _outcome(row, waiting.get(row.card_id or 0, [])))


_DONE_WORDS = {
    Action.ADOPT: "adopted",
    Action.CONFLICT: "met",
    Action.WATCH: "watched",
    Action.CREATE_ONLINE: "created",
    Action.CREATE_POS: "created",
}


def _outcome(row: Row, conflicts: Sequence[str]) -> str:
    action = Action(row.action)
    if not action.does_something:
        return row.reason
    if row.state == "planned":
        return "not done yet"
    if row.card_id is None:
        return row.outcome
    words = "under way" if row.state == "met" else _DONE_WORDS[action]
    if action in (Action.CREATE_ONLINE, Action.CREATE_POS) and "nothing to create" in row.outcome:
        words = "watched"
    if conflicts:
        words = f"waits for a person ({', '.join(conflicts)})"
    return f"{words}; {row.outcome}" if row.outcome and not conflicts else words


def write_rows(path: Path, imports: Imports, plan: Import) -> int:
    """Every row of the plan with its outcome, as CSV; returns how many."""
    written = 0
    with private_file(path, "utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for told in told_rows(imports, plan):
            writer.writerow(_cells(plan, told))
            written += 1
    return written


def _cells(plan: Import, told: Told) -> list[str]:
    row = told.row
    return [
        plan.id,
        str(row.id),
        row.ref,
        mask(row.last_chars) if row.last_chars else "",
        row.action,
        told.outcome,
        harmless(row.brand),
        harmless(row.store),
        plan.currency,
        money_cell(row.pos_minor, plan.currency),
        money_cell(row.online_minor, plan.currency),
        decimal_from_minor(row.amount_minor, plan.currency) if told.outcome.startswith("created") else "",
        harmless("" if row.source is None else plan_source(plan, row.source)),
        "" if row.line is None else str(row.line),
        harmless(row.cell),
        "" if row.card_id is None else str(row.card_id),
    ]
