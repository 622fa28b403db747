"""The report of an import: what became of each row, what the sides show, and whether the money agrees.

Nothing in it is taken from the plan but what was planned: what was made is what a side confirmed, and what a
side shows is what it was read to show.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TextIO

from connectors.api.side import Side
from mappings.money import decimal_from_minor
from mappings.serials import mask
from sync.importer.files import private_file
from sync.importer.outcomes import Outcome, RowOutcome, Sum, Tally, tell
from sync.importer.planfile import harmless, money_cell, plan_source
from sync.ledger.imports.card_facts import card_facts
from sync.ledger.imports.rows import Import, Imports, Total
from sync.ledger.imports.sums import (
    HubSums,
    Liability,
    SideSums,
    count_conflicts,
    hub_sums,
    liability,
    side_sums,
)
from sync.support.audit import FindingKind, SideTotals, audit

__all__ = [
    "Checked",
    "ImportReport",
    "ImportVerdict",
    "RowOutcome",
    "RowsFile",
    "make_report",
    "told_rows",
    "write_rows",
]

_PAGE = 500
COLUMNS = (
    *("plan", "row", "ref", "card", "planned", "outcome", "why", "planned_money", "made_money", "brand"),
    *("store", "currency", "pos_balance", "online_balance", "file", "line", "column", "card_id"),
)


class ImportVerdict(StrEnum):
    """What an import came to, the gravest first. The values stand in JSON."""

    #: The sums of the ledger, the rows or the sides do not agree.
    WRONG = "wrong"
    #: Cards are left that are not made, or not confirmed.
    UNFINISHED = "unfinished"
    #: Cards that were to be made fell away, and a person should know why.
    FELL_AWAY = "fell_away"
    CONFLICTS = "conflicts"
    #: All is done; whether the sides show it was not read.
    NOT_READ = "not_read"
    IN_STEP = "in_step"


@dataclass(frozen=True)
class Checked:
    """The whole ledger recomputed, and the import's cards read back. Amounts in minor units."""

    discrepancies: int
    unread: int
    #: Presences that show something else than the ledger expects, and by how much together.
    moved: int
    moved_minor: int
    absent: int
    #: Presences that were being worked on while they were read.
    busy: int
    #: By side: cards read, and what they show together.
    shown: dict[str, tuple[int, int]]
    #: What differs, in words, by card.
    differing: dict[int, str]

    @property
    def agrees(self) -> bool:
        return not (self.discrepancies or self.unread or self.moved or self.absent)


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
    tally: Tally = field(default_factory=Tally)
    checked: Checked | None = None

    @property
    def planned(self) -> Sum:
        """What the plan holds, added up by the ledger and not row by row."""
        cards = sum(one.cards for one in self.totals)
        return Sum(cards, sum(one.found_minor for one in self.totals))

    @property
    def left(self) -> int:
        """Rows that are not done."""
        return self.tally.by[Outcome.NOT_YET].cards

    @property
    def adds_up(self) -> bool:
        """Money in is money out: in the hub, on each side, row by row, and as the sides were read."""
        books = self.hub.adds_up and all(side.adds_up for side in self.sides)
        total = self.tally.total
        rows = (total.cards, total.planned_minor) == (self.planned.cards, self.planned.planned_minor)
        return books and rows and (self.checked is None or self.checked.agrees)

    @property
    def verdict(self) -> ImportVerdict:
        if not self.adds_up:
            return ImportVerdict.WRONG
        if self.left:
            return ImportVerdict.UNFINISHED
        if self.tally.unexpected.cards:
            return ImportVerdict.FELL_AWAY
        if self.tally.by[Outcome.CONFLICT].cards:
            return ImportVerdict.CONFLICTS
        return ImportVerdict.NOT_READ if self.checked is None else ImportVerdict.IN_STEP


def make_report(
    imports: Imports,
    plan: Import,
    names: Sequence[str],
    clock: Callable[[], datetime],
    sides: Mapping[str, Side] | None = None,
    told: Callable[[int], None] = lambda cards: None,
    each: Callable[[RowOutcome], None] = lambda row: None,
) -> ImportReport:
    """Add everything up, and tell `each` of every row; with `sides`, read the import's cards back."""
    engine = imports.engine
    checked = None if sides is None else _check(imports, plan, clock, sides, told)
    tally = Tally()
    for row in told_rows(imports, plan):
        tally.add(row)
        each(row)
    return ImportReport(
        plan,
        clock(),
        hub_sums(engine, plan),
        tuple(side_sums(engine, plan, name) for name in names),
        tuple(imports.totals(plan)),
        tuple(liability(engine, plan, "brand")),
        tuple(liability(engine, plan, "store")),
        count_conflicts(engine, plan),
        tally,
        checked,
    )


def _check(
    imports: Imports,
    plan: Import,
    clock: Callable[[], datetime],
    sides: Mapping[str, Side],
    told: Callable[[int], None],
) -> Checked:
    differing: dict[int, str] = {}
    done = audit(
        imports.engine, imports.vault, clock, sides, told, lambda ids: imports.cards_among(plan, ids)
    )
    for finding in done:
        if finding.card_id is not None and finding.kind in (FindingKind.MOVED_SINCE, FindingKind.ABSENT):
            differing[finding.card_id] = finding.summary
    totals = done.totals.get(plan.currency)
    by_side: dict[str, SideTotals] = {} if totals is None else totals.sides
    return Checked(
        done.discrepancies,
        done.unread,
        sum(one.moved for one in by_side.values()),
        sum(one.moved_minor for one in by_side.values()),
        sum(one.absent for one in by_side.values()),
        sum(one.busy for one in by_side.values()),
        {name: (one.read, one.shown_minor) for name, one in by_side.items()},
        differing,
    )


# --- Rows ---------------------------------------------------------------------------------------------------


def told_rows(imports: Imports, plan: Import, *actions: str) -> Iterator[RowOutcome]:
    """The plan's rows with their outcome, by id."""
    rows = imports.rows(plan, *actions)
    while page := list(islice(rows, _PAGE)):
        facts = card_facts(imports.engine, [row.card_id for row in page if row.card_id is not None])
        for row in page:
            yield tell(row, facts.get(row.card_id or 0), plan.currency, begun=plan.begun_at is not None)


class RowsFile:
    """The rows as CSV, written one at a time."""

    def __init__(self, file: TextIO, plan: Import) -> None:
        self._writer = csv.writer(file)
        self._writer.writerow(COLUMNS)
        self._plan = plan
        self.written = 0

    def write(self, told: RowOutcome) -> None:
        self._writer.writerow(_cells(self._plan, told))
        self.written += 1


def write_rows(path: Path, imports: Imports, plan: Import) -> int:
    """Every row of the plan with its outcome, as CSV; returns how many."""
    with private_file(path, "utf-8-sig") as file:
        rows = RowsFile(file, plan)
        for told in told_rows(imports, plan):
            rows.write(told)
    return rows.written


def _cells(plan: Import, told: RowOutcome) -> list[str]:
    row = told.row
    return [
        plan.id,
        str(row.id),
        row.ref,
        mask(row.last_chars) if row.last_chars else "",
        row.action,
        told.kind.value,
        harmless(told.why),
        decimal_from_minor(told.planned_minor, plan.currency),
        decimal_from_minor(told.made_minor, plan.currency) if told.made_minor else "",
        harmless(row.brand),
        harmless(row.store),
        plan.currency,
        money_cell(row.pos_minor, plan.currency),
        money_cell(row.online_minor, plan.currency),
        harmless("" if row.source is None else plan_source(plan, row.source)),
        "" if row.line is None else str(row.line),
        harmless(row.cell),
        "" if row.card_id is None else str(row.card_id),
    ]
