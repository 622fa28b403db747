"""An import on the terminal: bars while it runs, tables when it is planned and done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.build import SHOPIFY
from cli.output import Output, number, plural, rows, table
from connectors.api.side import Side, Usage
from mappings.money import decimal_from_minor, format_money
from sync.importer.actions import Action
from sync.importer.outcomes import Sum
from sync.importer.progress import ImportProgress
from sync.importer.report import ImportReport
from sync.importer.report_html import explanation, headline
from sync.ledger.imports.rows import Import, Total
from sync.ledger.imports.sums import SideSums

TOP = 10
#: Columns of a terminal that has room for what was used beside the bar.
WIDE = 110
_WORDS = {
    Action.ADOPT: "adopt: the same on both sides",
    Action.CREATE_ONLINE: "create in Shopify",
    Action.CREATE_POS: "create in the store",
    Action.CONFLICT: "two balances: a person decides",
    Action.WATCH: "watch: nothing to create now",
    Action.KNOWN: "in the hub already",
    Action.SKIP: "skip: nothing to keep in step",
    Action.REJECT: "reject",
}


# --- While it runs ------------------------------------------------------------------------------------------


class PlanBar:
    """What the planner says, on one moving line; nothing where there is no terminal."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task("Starting", total=None)

    def reading(self, name: str, rows_seen: int) -> None:
        self.progress(f"looking through {name}", rows_seen, 0)

    def progress(self, doing: str, done: int, total: int) -> None:
        if self._bar is not None and self._task is not None:
            words = doing[:1].upper() + doing[1:]
            self._bar.update(self._task, description=words, completed=done, total=total or None)


@contextmanager
def plan_bar(output: Output) -> Iterator[PlanBar]:
    if not output.err.is_terminal:
        yield PlanBar(None)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=output.err, transient=True) as bar:
        yield PlanBar(bar)


class _Rate(TextColumn):
    """Rows a second, over the last while."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


@contextmanager
def import_bar(output: Output, progress: ImportProgress, sides: Mapping[str, Side]) -> Iterator[None]:
    """Rows done, their rate, the time that remains, and the points and calls used so far."""
    if not output.err.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate())
    used = (TextColumn("{task.fields[used]}"),) if output.err.width >= WIDE else ()
    last = (TimeRemainingColumn(), *used)
    with Progress(*columns, *last, console=output.err, transient=True, speed_estimate_period=30.0) as bar:
        task = bar.add_task("Starting", total=progress.rows, used="")

        def told(now: ImportProgress) -> None:
            bar.update(
                task,
                description=(now.doing[:1].upper() + now.doing[1:]) or "Starting",
                completed=now.done,
                used=used_words(sides),
            )

        progress.told = told
        yield


def used_words(sides: Mapping[str, Side]) -> str:
    points = sides[SHOPIFY].usage().points
    calls = sum(side.usage().calls for side in sides.values())
    return f"{number(points)} points, {number(calls)} calls"


# --- The plan -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlanShown:
    """A plan and what there is to say of it."""

    plan: Import
    sources: Sequence[Mapping[str, Any]]
    totals: Sequence[Total]
    path: Path
    rejects: Sequence[tuple[Path, int]]
    pool_free: int
    #: Older plans that were never begun.
    others: Sequence[Import] = ()
    #: Where the plan went that stood in the file before.
    kept: Path | None = None


def show_plan(shown: PlanShown, output: Output) -> None:
    """The plan in a few tables."""
    plan, currency = shown.plan, shown.plan.currency
    for source in shown.sources:
        words = f"{source['layout']}, {source['encoding'].removesuffix('-sig')}"
        count = plural(source["rows"], "row")
        rejected = f", {source['rejects']} unreadable" if source["rejects"] else ""
        output.say(f"{source['file']}: {words}, {count}{rejected}")
        if source.get("unused"):
            output.say(f"  not read: {', '.join(source['unused'])}")
        for total in source.get("totals", ()):
            output.say(f"  line {total['line']} {_total_words(total, currency)}")
    actions = _by(shown.totals, "action")
    made = table(
        "Action",
        "Cards",
        "Money on them",
        "To create",
        title="Plan",
        right=["Cards", "Money on them", "To create"],
    )
    output.show(
        rows(
            made,
            (
                (
                    _WORDS[Action(name)],
                    number(cards),
                    format_money(minor, currency),
                    format_money(create, currency) if create else "",
                )
                for name, (cards, minor, create) in sorted(actions.items(), key=_place)
            ),
        )
    )
    reasons = [t for t in _by_reason(shown.totals) if t[0] in (Action.REJECT, Action.CONFLICT, Action.SKIP)]
    if reasons:
        why = table("Why not", "Cards", title="Left out, and why", right=["Cards"])
        output.show(rows(why, ((f"{a}: {r}", number(n)) for a, r, n in reasons[:TOP])))
        if len(reasons) > TOP:
            output.say(f"{len(reasons) - TOP} more reasons are in the plan.")
    for what in ("brand", "store"):
        _show_top(shown.totals, what, currency, output)
    _show_before(plan, output)
    output.say(f"Plan {plan.id}: {shown.path}")
    if shown.kept is not None:
        output.say(f"The plan that stood in that file is now {shown.kept}")
    for other in shown.others:
        output.say(
            f"Plan {other.id} of {other.created_at:%Y-%m-%d} is not begun and stays: apply it, or drop it: "
            f"`giftsync import discard {other.id}`"
        )
    for path, rejected_rows in shown.rejects:
        output.say(
            f"Rejects: {path} ({plural(rejected_rows, 'row')}; it holds whole numbers, delete it when done)"
        )
    needed = actions.get(Action.CREATE_POS, (0, 0, 0))[0]
    if needed > shown.pool_free:
        output.say(
            f"Cards for the store need {plural(needed, 'number')}, the pool has {number(shown.pool_free)}: "
            "the rest are made with shopify_serial_prefix, or add some with `giftsync pool add FILE` first."
        )
    output.say(f"Nothing was changed. Carry it out with: giftsync import apply {shown.path}")


def _total_words(total: Mapping[str, Any], currency: str) -> str:
    if total["agrees"] is None:
        return "adds the others up; it is no card"
    stated, read = format_money(total["minor"], currency), format_money(total["read_minor"], currency)
    if total["agrees"]:
        return f"is the file's own total, {stated}: the rows above it come to that"
    return (
        f"is the file's own total, {stated}, but the rows above it come to {read}: look why before you go on"
    )


def _show_top(totals: Sequence[Total], what: str, currency: str, output: Output) -> None:
    found = {name: sums for name, sums in _by(totals, what).items() if name}
    if not found:
        return
    made = table(
        what.capitalize(), "Cards", "Money on them", title=f"By {what}", right=["Cards", "Money on them"]
    )
    top = sorted(found.items(), key=lambda one: -one[1][1])
    output.show(rows(made, ((n, number(c), format_money(m, currency)) for n, (c, m, _) in top[:TOP])))
    if len(top) > TOP:
        output.say(f"and {len(top) - TOP} more")


def _show_before(plan: Import, output: Output) -> None:
    lines = [
        (name, f"{plural(sums['cards'], 'card')}, {format_money(sums['minor'], plan.currency)}")
        for name, sums in plan.before.items()
    ]
    found = table("Side", "Found there", title="Before")
    output.show(rows(found, lines))
    output.say("")


def _place(one: tuple[str, Any]) -> int:
    return list(Action).index(Action(one[0]))


def _by(totals: Sequence[Total], what: str) -> dict[str, tuple[int, int, int]]:
    """Cards, money on them and money to create, by one column."""
    found: dict[str, tuple[int, int, int]] = {}
    for one in totals:
        if what != "action" and not Action(one.action).does_something:
            continue
        key = getattr(one, what)
        cards, minor, create = found.get(key, (0, 0, 0))
        found[key] = (
            cards + one.cards,
            minor + one.found_minor,
            create + one.amount_minor,
        )
    return found


def _by_reason(totals: Sequence[Total]) -> list[tuple[str, str, int]]:
    found: dict[tuple[str, str], int] = {}
    for one in totals:
        found[one.action, one.reason] = found.get((one.action, one.reason), 0) + one.cards
    return [(*key, count) for key, count in sorted(found.items(), key=lambda item: -item[1])]


def plan_json(shown: PlanShown) -> dict[str, object]:
    """Amounts as decimal strings."""
    currency = shown.plan.currency

    def sums(found: Mapping[str, tuple[int, int, int]]) -> dict[str, object]:
        return {
            name: {
                "cards": cards,
                "money": decimal_from_minor(minor, currency),
                "to_create": decimal_from_minor(create, currency),
            }
            for name, (cards, minor, create) in found.items()
        }

    return {
        "plan": shown.plan.id,
        "file": shown.path,
        "currency": currency,
        "sources": list(shown.sources),
        "actions": sums(_by(shown.totals, "action")),
        "brands": sums(_by(shown.totals, "brand")),
        "stores": sums(_by(shown.totals, "store")),
        "reasons": [
            {"action": action, "reason": reason, "cards": count}
            for action, reason, count in _by_reason(shown.totals)
        ],
        "before": _before_json(shown.plan),
        "rejects": [{"file": str(path), "rows": count} for path, count in shown.rejects],
    }


def _before_json(plan: Import) -> dict[str, object]:
    return {
        name: {"cards": sums["cards"], "money": decimal_from_minor(sums["minor"], plan.currency)}
        for name, sums in plan.before.items()
    }


# --- The report ---------------------------------------------------------------------------------------------


def show_report(
    report: ImportReport, progress: ImportProgress, usage: Mapping[str, Usage], output: Output
) -> None:
    """What the import came to."""
    currency = report.plan.currency
    output.say(headline(report))
    right = ["Cards", "Planned", "Put on new cards"]
    outcomes = table("Outcome", *right, title=f"Import {report.plan.id}", right=right)
    content = [(kind.label, *_sum_cells(one, currency)) for kind, one in report.tally.by.items()]
    output.show(rows(outcomes, [*content, ("planned", *_sum_cells(_planned(report), currency))]))
    right = ["Made", "Money made", "Read back", "Shows"]
    sides = table("Side", *right, title="Both sides", right=right)
    output.show(rows(sides, (_side_cells(side, report) for side in report.sides)))
    output.say("")
    output.say(explanation(report))
    for kind, (count, minor) in report.conflicts.items():
        words = (
            f"{plural(count, 'conflict')} {kind.replace('_', ' ')}, {format_money(minor, currency)} at stake"
        )
        output.say(f"{words}: giftsync conflicts list")
    used = (f"{name} {number(u.calls)} calls, {number(u.points)} points" for name, u in usage.items())
    output.note(f"Used: {', '.join(used)}")


def _planned(report: ImportReport) -> Sum:
    """The plan's own sum, beside what was put on new cards."""
    planned = report.planned
    return Sum(planned.cards, planned.planned_minor, report.tally.total.made_minor)


def _sum_cells(one: Sum, currency: str) -> tuple[str, str, str]:
    made = format_money(one.made_minor, currency) if one.made_minor else ""
    return number(one.cards), format_money(one.planned_minor, currency), made


def _side_cells(side: SideSums, report: ImportReport) -> tuple[str, ...]:
    currency = report.plan.currency
    shown = None if report.checked is None else report.checked.shown.get(side.side, (0, 0))
    read = ("not read", "not read") if shown is None else (number(shown[0]), format_money(shown[1], currency))
    return side.side, number(side.made_cards), format_money(side.made_minor, currency), *read


def report_json(report: ImportReport) -> dict[str, object]:
    """Amounts as decimal strings."""
    currency = report.plan.currency

    def text(minor: int) -> str:
        return decimal_from_minor(minor, currency)

    checked = report.checked
    return {
        "plan": report.plan.id,
        "currency": currency,
        "verdict": report.verdict.value,
        "headline": headline(report),
        "adds_up": report.adds_up,
        "planned": {"cards": report.planned.cards, "money": text(report.planned.planned_minor)},
        "outcomes": {
            kind.value: {
                "cards": one.cards,
                "planned": text(one.planned_minor),
                "made": text(one.made_minor),
            }
            for kind, one in report.tally.by.items()
        },
        "hub": {
            "cards": report.hub.cards,
            "opening": text(report.hub.opening_minor),
            "changes": text(report.hub.changes_minor),
            "balance": text(report.hub.balance_minor),
            "notifications": report.hub.notices,
        },
        "before": _before_json(report.plan),
        "sides": {
            side.side: {
                "cards": side.cards,
                "made": side.made_cards,
                "imported": text(side.had_minor),
                "created": text(side.made_minor),
                "moved": text(side.moved_minor),
                "on_the_way": text(side.on_the_way_minor),
                "expected": text(side.shows_minor),
                "shows": _shown_json(report, side.side),
                "adds_up": side.adds_up,
            }
            for side in report.sides
        },
        "checked": None
        if checked is None
        else {
            "discrepancies": checked.discrepancies,
            "unread": checked.unread,
            "moved": checked.moved,
            "moved_money": text(checked.moved_minor),
            "absent": checked.absent,
            "busy": checked.busy,
            "shown": {n: {"cards": c, "money": text(m)} for n, (c, m) in checked.shown.items()},
        },
        "conflicts": {kind: count for kind, (count, _) in report.conflicts.items()},
        "left": report.left,
    }


def _shown_json(report: ImportReport, side: str) -> str | None:
    """What the side was read to show; None when it was not read."""
    if report.checked is None:
        return None
    return decimal_from_minor(report.checked.shown.get(side, (0, 0))[1], report.plan.currency)
