"""An import on the terminal: bars while it runs, tables when it is planned and done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

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

from cli.output import Output, number, plural, rows, table
from cli.places import Places
from connectors.api.capabilities import Usage
from connectors.api.side import Side
from mappings.money import decimal_from_minor, format_money
from sync.importer.actions import Action, is_left_out
from sync.importer.outcomes import Sum
from sync.importer.progress import ImportProgress
from sync.importer.report import ImportReport, ImportVerdict
from sync.importer.report_html import explanation, headline
from sync.ledger.imports.rows import Import, Total
from sync.ledger.imports.sums import SideSums

TOP = 10
#: Of plans that nobody has begun, so many are named.
OTHERS_NAMED_MAX = 2
#: Columns of a terminal that has room for what was used beside the bar.
WIDE = 110
_WORDS = {
    Action.ADOPT: "adopt: the same on both sides",
    Action.CREATE_ONLINE: "create online",
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
    points = sum(side.usage().points for side in sides.values())
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
    _show_sources(shown, output)
    actions = _by(shown.totals, "action")
    _show_actions(actions, currency, output)
    _show_reasons(shown.totals, output)
    for what in ("brand", "store"):
        _show_top(shown.totals, what, currency, output)
    _show_before(plan, output)
    output.say(f"Plan {plan.id}: {shown.path}")
    if shown.kept is not None:
        output.say(f"The plan that stood in that file is now {shown.kept}")
    _show_others(shown.others, output)
    for path, rejected_rows in shown.rejects:
        output.say(
            f"Rejects: {path} ({plural(rejected_rows, 'row')}; it holds whole numbers, delete it when done)"
        )
    needed = actions.get(Action.CREATE_POS, (0, 0, 0))[0]
    if needed > shown.pool_free:
        output.say(
            f"Cards for the store need {plural(needed, 'number')}, the pool has {number(shown.pool_free)}: "
            "the rest are made with serial_prefix, or add some with `giftsync pool add FILE` first."
        )
    output.say(f"Nothing was changed. Carry it out with: giftsync import apply {shown.path}")


def _show_sources(shown: PlanShown, output: Output) -> None:
    for source in shown.sources:
        words = f"{source['layout']}, {source['encoding'].removesuffix('-sig')}"
        count = plural(source["rows"], "row")
        rejected = f", {source['rejects']} unreadable" if source["rejects"] else ""
        output.say(f"{source['file']}: {words}, {count}{rejected}")
        if source.get("unused"):
            output.say(f"  not read: {', '.join(source['unused'])}")
        for total in source.get("totals", ()):
            output.say(f"  line {total['line']} {_total_words(total, shown.plan.currency)}")


def _show_actions(actions: Mapping[str, tuple[int, int, int]], currency: str, output: Output) -> None:
    money = ("Cards", "Money on them", "To create")
    content = (
        (
            _WORDS[Action(name)],
            number(cards),
            format_money(minor, currency),
            format_money(create, currency) if create else "",
        )
        for name, (cards, minor, create) in sorted(actions.items(), key=_place)
    )
    output.show(rows(table("Action", *money, title="Plan", right=money), content))


def _show_reasons(totals: Sequence[Total], output: Output) -> None:
    """Why cards are left out."""
    reasons = _by_reason([one for one in totals if is_left_out(one.action, one.found_minor)])
    if not reasons:
        return
    why = table("Why not", "Cards", title="Left out, and why", right=["Cards"])
    output.show(rows(why, ((f"{a}: {r}", number(n)) for a, r, n in reasons[:TOP])))
    if len(reasons) > TOP:
        output.say(f"{len(reasons) - TOP} more reasons are in the plan.")


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


class PlanLine(TypedDict):
    """One plan in a list."""

    plan: str
    #: `planned`, `queued` (workers carry it out), `begun` (it was stopped or paused) or `done`.
    state: str
    created_at: str
    #: Rows that the workers' last turn left; null: no worker had it.
    rows_left: int | None
    #: Whether workers make its cards online many by one file; null: no worker had it.
    in_bulk: bool | None
    #: What keeps workers from going on with it.
    trouble: str | None


def plan_line(plan: Import) -> PlanLine:
    """The plan as `import list` shows it."""
    return PlanLine(
        plan=plan.id,
        state=plan.state if plan.queued_at is None else "queued",
        created_at=plan.created_at.isoformat(),
        rows_left=plan.rows_left,
        in_bulk=plan.in_bulk,
        trouble=plan.trouble,
    )


def _show_others(others: Sequence[Import], output: Output) -> None:
    """Plans that nobody has begun; an importer who tries a file in several ways leaves many."""
    if len(others) == 1:
        made = f"{others[0].created_at:%Y-%m-%d}"
        output.say(
            f"Plan {others[0].id} of {made} is not begun and stays: apply it, or drop it: "
            f"`giftsync import discard {others[0].id}`"
        )
    elif others:
        named = ", ".join(other.id for other in others[:OTHERS_NAMED_MAX])
        more = f" and {len(others) - OTHERS_NAMED_MAX} more" if len(others) > OTHERS_NAMED_MAX else ""
        output.say(
            f"{len(others)} other plans are not begun and stay: {named}{more}. Apply one, or drop it: "
            f"`giftsync import discard {others[0].id}`"
        )


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


class SumAnswer(TypedDict):
    """Cards of one kind. Amounts are decimal strings."""

    cards: int
    #: What is on them.
    money: str
    #: What will be put on new cards.
    to_create: str


class ReasonAnswer(TypedDict):
    """Why cards are treated as they are."""

    action: str
    reason: str
    cards: int


class FoundThereAnswer(TypedDict):
    """What was on a side when the plan was made."""

    cards: int
    #: A decimal string.
    money: str


class TotalAnswer(TypedDict):
    """A line of a file that adds the others up. Amounts in minor units."""

    line: int
    #: Null: it says no amount.
    minor: int | None
    #: What the lines above it come to.
    read_minor: int
    #: Null: it says no amount.
    agrees: bool | None


class SourceAnswer(TypedDict):
    """A file that was read."""

    file: str
    layout: str
    encoding: str
    #: Columns that were not used.
    unused: list[str]
    rows: int
    rejects: int
    #: Lines of the file that add the others up.
    totals: list[TotalAnswer]


class RejectsAnswer(TypedDict):
    """A file of lines to correct."""

    file: str
    rows: int


class PlanAnswer(TypedDict):
    """A plan: what will happen to each card. Amounts are decimal strings."""

    plan: str
    file: Path
    currency: str
    sources: list[SourceAnswer]
    #: By what will be done.
    actions: dict[str, SumAnswer]
    brands: dict[str, SumAnswer]
    stores: dict[str, SumAnswer]
    reasons: list[ReasonAnswer]
    #: By side.
    before: dict[str, FoundThereAnswer]
    rejects: list[RejectsAnswer]


def plan_json(shown: PlanShown) -> PlanAnswer:
    """Amounts as decimal strings."""
    currency = shown.plan.currency

    def sums(found: Mapping[str, tuple[int, int, int]]) -> dict[str, SumAnswer]:
        return {
            name: SumAnswer(
                cards=cards,
                money=decimal_from_minor(minor, currency),
                to_create=decimal_from_minor(create, currency),
            )
            for name, (cards, minor, create) in found.items()
        }

    return PlanAnswer(
        plan=shown.plan.id,
        file=shown.path,
        currency=currency,
        sources=[
            SourceAnswer(
                file=one["file"],
                layout=one["layout"],
                encoding=one["encoding"],
                unused=one["unused"],
                rows=one["rows"],
                rejects=one["rejects"],
                totals=one["totals"],
            )
            for one in shown.sources
        ],
        actions=sums(_by(shown.totals, "action")),
        brands=sums(_by(shown.totals, "brand")),
        stores=sums(_by(shown.totals, "store")),
        reasons=[
            ReasonAnswer(action=action, reason=reason, cards=count)
            for action, reason, count in _by_reason(shown.totals)
        ],
        before=_before_json(shown.plan),
        rejects=[RejectsAnswer(file=str(path), rows=count) for path, count in shown.rejects],
    )


def _before_json(plan: Import) -> dict[str, FoundThereAnswer]:
    return {
        name: FoundThereAnswer(cards=sums["cards"], money=decimal_from_minor(sums["minor"], plan.currency))
        for name, sums in plan.before.items()
    }


# --- The report ---------------------------------------------------------------------------------------------


def show_report(
    report: ImportReport,
    progress: ImportProgress,
    usage: Mapping[str, Usage],
    places: Places,
    output: Output,
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
    output.show(rows(sides, (_side_cells(side, report, places) for side in report.sides)))
    output.say("")
    output.say(places.said(explanation(report)))
    for kind, (count, minor) in report.conflicts.items():
        words = (
            f"{plural(count, 'conflict')} {kind.replace('_', ' ')}, {format_money(minor, currency)} at stake"
        )
        output.say(f"{words}: giftsync conflicts list")
    used = (
        f"{places.system(name)} {number(u.calls)} calls, {number(u.points)} points"
        for name, u in usage.items()
    )
    output.note(f"Used: {', '.join(used)}")


def _planned(report: ImportReport) -> Sum:
    """The plan's own sum, beside what was put on new cards."""
    planned = report.planned
    return Sum(planned.cards, planned.planned_minor, report.tally.total.made_minor)


def _sum_cells(one: Sum, currency: str) -> tuple[str, str, str]:
    made = format_money(one.made_minor, currency) if one.made_minor else ""
    return number(one.cards), format_money(one.planned_minor, currency), made


def _side_cells(side: SideSums, report: ImportReport, places: Places) -> tuple[str, ...]:
    currency = report.plan.currency
    shown = None if report.checked is None else report.checked.shown.get(side.side, (0, 0))
    read = ("not read", "not read") if shown is None else (number(shown[0]), format_money(shown[1], currency))
    made = number(side.made_cards), format_money(side.made_minor, currency)
    return places.system(side.side), *made, *read


class PlannedAnswer(TypedDict):
    """Cards, and what is on them."""

    cards: int
    #: A decimal string.
    money: str


class OutcomeAnswer(TypedDict):
    """Rows that ended alike. Amounts are decimal strings."""

    cards: int
    planned: str
    #: What was put on new cards.
    made: str


class HubAnswer(TypedDict):
    """The import's cards in the ledger. Amounts are decimal strings."""

    cards: int
    opening: str
    changes: str
    balance: str
    #: Customers that were told; an import tells none.
    notifications: int


class SideSumsAnswer(TypedDict):
    """The import's cards on one side. Amounts are decimal strings."""

    cards: int
    #: Cards that the import made there.
    made: int
    #: What was on cards that were there before.
    imported: str
    #: What was put on new cards.
    created: str
    #: What customers moved since.
    moved: str
    on_the_way: str
    #: What the side must show.
    expected: str
    #: What the side was read to show; null: it was not read.
    shows: str | None
    adds_up: bool


class CheckedAnswer(TypedDict):
    """What reading every card back came to."""

    #: Places where the ledger contradicts itself.
    discrepancies: int
    unread: int
    #: Cards that show something else than expected, and by how much together.
    moved: int
    moved_money: str
    absent: int
    busy: int
    #: By side.
    shown: dict[str, PlannedAnswer]


class ProgressAnswer(TypedDict):
    """What this command did."""

    rows: int
    done: int
    made: int
    #: Rows whose balance was another than planned.
    moved: int
    #: Rows that could not be decided, because a side did not answer.
    unread: int
    #: Cards that wait for a quiet period or a person.
    waiting: int


class ReportSums(TypedDict):
    """What an import came to. Amounts are decimal strings."""

    plan: str
    currency: str
    verdict: ImportVerdict
    headline: str
    #: Whether ledger, rows and sides agree.
    adds_up: bool
    planned: PlannedAnswer
    #: By outcome: these add up to `planned`.
    outcomes: dict[str, OutcomeAnswer]
    hub: HubAnswer
    before: dict[str, FoundThereAnswer]
    sides: dict[str, SideSumsAnswer]
    #: Null: the sides were not read back.
    checked: CheckedAnswer | None
    #: Open conflicts of the import's cards, by kind.
    conflicts: dict[str, int]
    #: Rows that are not done.
    left: int


class ReportFiles(TypedDict):
    """Files of the report."""

    html: str
    csv: str


class ReportAnswer(ReportSums):
    """What an import came to, and what this command did: of `import apply` and `import report` alike."""

    progress: ProgressAnswer
    errors: list[str]
    #: What each side was asked for.
    usage: Mapping[str, Usage]
    report: ReportFiles
    done: bool


def progress_json(progress: ImportProgress) -> ProgressAnswer:
    return ProgressAnswer(
        rows=progress.rows,
        done=progress.done,
        made=progress.made,
        moved=progress.moved,
        unread=progress.unread,
        waiting=progress.waiting,
    )


def report_json(report: ImportReport) -> ReportSums:
    """Amounts as decimal strings."""
    currency = report.plan.currency

    def text(minor: int) -> str:
        return decimal_from_minor(minor, currency)

    return ReportSums(
        plan=report.plan.id,
        currency=currency,
        verdict=report.verdict,
        headline=headline(report),
        adds_up=report.adds_up,
        planned=PlannedAnswer(cards=report.planned.cards, money=text(report.planned.planned_minor)),
        outcomes={
            kind.value: OutcomeAnswer(
                cards=one.cards, planned=text(one.planned_minor), made=text(one.made_minor)
            )
            for kind, one in report.tally.by.items()
        },
        hub=HubAnswer(
            cards=report.hub.cards,
            opening=text(report.hub.opening_minor),
            changes=text(report.hub.changes_minor),
            balance=text(report.hub.balance_minor),
            notifications=report.hub.notices,
        ),
        before=_before_json(report.plan),
        sides={side.side: _side_json(report, side) for side in report.sides},
        checked=_checked_json(report),
        conflicts={kind: count for kind, (count, _) in report.conflicts.items()},
        left=report.left,
    )


def _side_json(report: ImportReport, side: SideSums) -> SideSumsAnswer:
    currency = report.plan.currency
    return SideSumsAnswer(
        cards=side.cards,
        made=side.made_cards,
        imported=decimal_from_minor(side.had_minor, currency),
        created=decimal_from_minor(side.made_minor, currency),
        moved=decimal_from_minor(side.moved_minor, currency),
        on_the_way=decimal_from_minor(side.on_the_way_minor, currency),
        expected=decimal_from_minor(side.shows_minor, currency),
        shows=_shown_json(report, side.side),
        adds_up=side.adds_up,
    )


def _checked_json(report: ImportReport) -> CheckedAnswer | None:
    """What was read back; None: nothing was."""
    checked, currency = report.checked, report.plan.currency
    if checked is None:
        return None
    return CheckedAnswer(
        discrepancies=checked.discrepancies,
        unread=checked.unread,
        moved=checked.moved,
        moved_money=decimal_from_minor(checked.moved_minor, currency),
        absent=checked.absent,
        busy=checked.busy,
        shown={
            name: PlannedAnswer(cards=cards, money=decimal_from_minor(minor, currency))
            for name, (cards, minor) in checked.shown.items()
        },
    )


def _shown_json(report: ImportReport, side: str) -> str | None:
    """What the side was read to show; None when it was not read."""
    if report.checked is None:
        return None
    return decimal_from_minor(report.checked.shown.get(side, (0, 0))[1], report.plan.currency)
