"""`giftsync import plan|apply|report`: bring years of cards on both sides into step, once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

from cli.build import build_worker, now, open_ledger
from cli.errors import OperatorError
from cli.import_show import (
    PlanLine,
    PlanShown,
    ReportAnswer,
    ReportFiles,
    import_bar,
    plan_bar,
    plan_json,
    plan_line,
    progress_json,
    report_json,
    show_plan,
    show_report,
)
from cli.importing import (
    Importers,
    context_of,
    cvc_source,
    import_sides,
    imports_of,
    lister_of,
    open_files,
    sides_of,
)
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, number, plural, rows, table
from cli.places import Places
from cli.reader import reader_of_settings
from cli.session import check_sides, load_settings, opened_sharing_sides, opened_worker, report_closed
from cli.signals import stop_on_signals
from config.settings import Settings
from connectors.api.capabilities import Usage
from connectors.api.side import Side
from mappings.readers import Reader
from sync.importer.actions import Action
from sync.importer.apply import THREADS, Mode
from sync.importer.files import AUTO, CardFile, Stated, private_file
from sync.importer.layout_file import layout_text
from sync.importer.outcomes import Outcome, RowOutcome
from sync.importer.plan import Planner, Progress, Stopped
from sync.importer.planfile import choose_rows, import_id_of, keep_older, write_plan
from sync.importer.progress import ImportProgress, StopSignal
from sync.importer.report import ImportReport, RowsFile, make_report
from sync.importer.report_html import RowsShown, render_html
from sync.importer.sheets.formats import FORMATS, Role
from sync.ledger.database.engine import only_worker
from sync.ledger.database.running import worker_runs
from sync.ledger.imports.rows import Import, Imports
from sync.worker.worker import Worker

STOPPED = 130
#: Plans that `import list` shows.
LISTED = 30
_LAYOUTS = ", ".join(one.name for one in FORMATS if one.role is Role.POS)

app = typer.Typer(
    help="Bring the cards that exist on two sides into step, once. Customers are never notified.",
    no_args_is_help=True,
)


class LayoutAnswer(TypedDict):
    """A mapping file to start from."""

    #: Null: it was not written.
    file: Path | None
    #: The mapping, as TOML.
    layout: str


class DiscardedAnswer(TypedDict):
    """A plan that was dropped."""

    plan: str


class QueuedPlanAnswer(TypedDict):
    """A plan that workers carry out from now on."""

    plan: PlanLine


class PausedPlanAnswer(TypedDict):
    """A plan that workers leave as it is."""

    plan: PlanLine


class CancelledPlanAnswer(TypedDict):
    """A plan whose untouched rows will not be carried out."""

    plan: PlanLine
    #: How many rows these are.
    taken_out: int


class PlansAnswer(TypedDict):
    """The newest plans."""

    plans: list[PlanLine]


PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id, or its file.")]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="The file that `import plan` wrote.")]
#: What `import plan` reads, and how it is to be understood.
Exports = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="Exports of store cards, as with --pos.", show_default=False),
]
PosExports = Annotated[
    list[Path] | None,
    typer.Option("--pos", metavar="FILE", help="An export of store cards; as often as needed."),
]
PoolFiles = Annotated[
    list[Path] | None,
    typer.Option("--pools", metavar="FILE", help="Pools with IsCvvRequired, for Maestra card files."),
]
OnlineExports = Annotated[
    list[Path] | None,
    typer.Option("--online", metavar="FILE", help="The shop's own export instead of asking the shop."),
]
PosSide = Annotated[
    str | None,
    typer.Option("--pos-side", metavar="SIDE", help="Whose cards --pos has, if several can be meant."),
]
OnlineSide = Annotated[
    str | None,
    typer.Option("--online-side", metavar="SIDE", help="Who lists its cards, if several can."),
]
LayoutName = Annotated[
    str, typer.Option("--format", help=f"For --pos: auto, {_LAYOUTS}, or a mapping file (.toml).")
]
PlanOutput = Annotated[Path, typer.Option("-o", "--output", help="The plan.")]
AskPos = Annotated[
    bool, typer.Option("--ask-pos", help="Ask the store for each card now, not only when applied.")
]
DateForm = Annotated[
    str | None,
    typer.Option(metavar="FORM", help='How dates are written, if that is unclear: DD.MM.YY, "Mon D, YYYY".'),
]
Ignored = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="COLUMN", help="A column that does not matter, whatever its name."),
]
MixedLengths = Annotated[
    bool, typer.Option("--mixed-lengths", help="Shorter numbers are as printed, not without their zeros.")
]


@app.command()
def plan(
    files: Exports = None,
    pos: PosExports = None,
    pools: PoolFiles = None,
    online: OnlineExports = None,
    pos_side: PosSide = None,
    online_side: OnlineSide = None,
    layout: LayoutName = AUTO,
    out: PlanOutput = Path("import-plan.csv"),
    ask_pos: AskPos = False,
    dates: DateForm = None,
    ignored: Ignored = None,
    mixed_lengths: MixedLengths = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Read everything and write a plan: what will happen to each card and why. Nothing is changed."""
    output = Output(as_json)
    settings = load_settings(config)
    with stop_on_signals(output.note) as stop, plan_bar(output) as bar:
        stated = Stated(frozenset(ignored or ()), dates, mixed_lengths)
        exports = [*(files or ()), *(pos or ())]
        read = open_files(exports, pools or [], online or [], layout, bar.reading, stated)
        with opened_worker(settings, stop) as (worker, ledger):
            check_sides(worker)
            sides = import_sides(worker.link.sides, pos_side, online_side)
            context = context_of(settings, worker, sides)
            planner = Planner(worker.link, imports_of(ledger), context, bar.progress, stop)
            try:
                made, sources = planner.plan(read, lister_of(worker, sides), ask_pos=ask_pos)
                shown = _written(planner, made, sources, read, out, ledger.pool.free(sides.pos), bar.progress)
            except Stopped:
                output.note("Stopped; nothing was changed and no plan was written.")
                return STOPPED
    show_plan(shown, output)
    attention = any(total.action in (Action.CONFLICT, Action.REJECT) for total in shown.totals)
    code = ExitCode.CONFLICTS if attention else ExitCode.IN_STEP
    output.emit("import plan", plan_json(shown), code)
    return code


def _written(
    planner: Planner,
    made: Import,
    sources: list[dict[str, Any]],
    read: list[CardFile],
    out: Path,
    free: int,
    told: Progress,
) -> PlanShown:
    """Write the plan and the rejects of its files; what there is to say about it."""
    imports = planner.imports
    kept = keep_older(out, made)
    write_plan(out, imports, made, lambda rows: told("writing the plan", rows, 0))
    rejects = _write_rejects(imports, made, read, out)
    others = [one for one in imports.unbegun() if one.id != made.id]
    return PlanShown(made, sources, imports.totals(made), out, rejects, free, others, kept)


def _write_rejects(
    imports: Imports, made: Import, files: list[CardFile], out: Path
) -> list[tuple[Path, int]]:
    """One file of rejects for each card file that has some, ready to be corrected and planned again."""
    written = []
    for place, file in enumerate(files):
        path = out.with_name(f"{out.stem}.rejects-{file.path.stem}.csv")
        count = file.write_rejects(path, imports.rejected_lines(made, place))
        if count:
            written.append((path, count))
    return written


@app.command("layout")
def write_layout(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of cards that no layout fits.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="TOML", help="Left out: written to the terminal.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a mapping file to start from, for a card file of any other layout. It holds names, no numbers."""
    output = Output(as_json)
    text = layout_text(file)
    if out is None:
        if not as_json:
            sys.stdout.write(text)
        output.emit("import layout", LayoutAnswer(file=None, layout=text))
        return
    if out.exists():
        raise OperatorError(f"{out} is there already", "Name another file, or delete it first.")
    out.write_text(text, encoding="utf-8")
    output.say(f"Wrote {out}. Check it, then plan with: giftsync import plan --pos {file} --format {out}")
    output.emit("import layout", LayoutAnswer(file=out, layout=text))


@app.command()
def apply(
    plan_file: PlanFile,
    limit: Annotated[
        int | None, typer.Option(min=1, help="For a trial: carry out so many rows and stop.")
    ] = None,
    bulk: Annotated[
        bool | None,
        typer.Option("--bulk/--live", help="How cards are made online; left out, the faster way."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Calls at the same time.")] = THREADS,
    cvc: Annotated[
        list[Path] | None,
        typer.Option("--cvc", metavar="FILE", help="Card files with the CVCs that the store asks for."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Read every card back for the report.")
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before cards are made.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Carry a plan out. Can be stopped and run again at any time; what is done stays done."""
    output = Output(as_json)
    settings = load_settings(config)
    mode = Mode.AUTO if bulk is None else Mode.BULK if bulk else Mode.LIVE
    with stop_on_signals(output.note) as stop, open_ledger(settings, create=False) as ledger:
        imports = imports_of(ledger)
        made = imports.get(import_id_of(plan_file))
        cvc_for = cvc_source(cvc or [], ledger.vault, made.currency, settings.link.zone)
        with opened_sharing_sides(settings, stop, cvc_for) as sides, only_worker(ledger.engine):
            worker = build_worker(settings, ledger, sides, report_closed)
            check_sides(worker)
            _choose(plan_file, imports, made, output, yes=yes, limit=limit)
            importer = Importers(settings, worker, ledger).importer_of(made, StopSignal(stop))
            importer.mode, importer.threads, importer.limit = mode, threads, limit
            importer.alone = ledger.engine.dialect.name == "sqlite"
            importer.on_estimate = lambda stated: output.note(f"Estimate: {stated.words}.")
            progress = importer.progress
            progress.rows = _rows_ahead(imports, made, limit)
            with import_bar(output, progress, sides):
                done = importer.apply(made)
            usage = {name: side.usage() for name, side in sides.items()}
            read = sides if check and not stop.is_set() else None
            report, written = _report(
                plan_file, imports, made, worker, read, output, _reader(settings, sides)
            )
    limited = limit is not None
    places = Places.of(sides)
    return _said("import apply", output, report, progress, written, usage, places, done=done, limited=limited)


def _choose(
    plan_file: Path, imports: Imports, made: Import, output: Output, *, yes: bool, limit: int | None
) -> None:
    """Mark the rows of the file, and ask before the first card is made; where nobody can be asked, refuse."""
    choose_rows(plan_file, imports, made)
    cards = _rows_ahead(imports, made, limit)
    if yes or not cards:
        return
    if output.as_json or not sys.stdin.isatty():
        raise OperatorError(
            f"nothing was done: {plural(cards, 'card')} would be brought into step; nobody can be asked here",
            "Add --yes when that is meant.",
        )
    output.note(f"{plural(cards, 'card')} of plan {made.id} will be brought into step.")
    typer.confirm("Go ahead?", abort=True, err=True)


def _rows_ahead(imports: Imports, made: Import, limit: int | None) -> int:
    rows = sum(count for count, _ in imports.count_left(made).values())
    return rows if limit is None else min(rows, limit)


def _report(
    plan_file: Path,
    imports: Imports,
    made: Import,
    worker: Worker,
    sides: Mapping[str, Side] | None,
    output: Output,
    reader: Reader,
) -> tuple[ImportReport, ReportFiles]:
    """Make the report and write it: the page, and every row as CSV. All of it is told of the same rows."""
    fresh = imports.get(made.id)
    if sides is not None:
        output.note("Reading every card back for the report.")
    page, table = plan_file.with_suffix(".report.html"), plan_file.with_suffix(".report.csv")
    shown = RowsShown()
    with private_file(table, "utf-8-sig") as file:
        rows = RowsFile(file, fresh)

        def each(told: RowOutcome) -> None:
            rows.write(told)
            shown.add(told)

        found = make_report(
            imports,
            fresh,
            (sides_of(fresh).pos, sides_of(fresh).online),
            worker.link.clock,
            None if sides is None else dict(sides),
            each=each,
        )
    with private_file(page) as file:
        file.write(render_html(found, shown.rejected, shown.waiting, shown.others, reader))
    return found, ReportFiles(html=str(page), csv=str(table))


def _reader(settings: Settings, sides: Mapping[str, Side]) -> Reader:
    return reader_of_settings(settings, lambda: Places.of(sides).by_side)


def _said(
    command: str,
    output: Output,
    report: ImportReport,
    progress: ImportProgress,
    written: ReportFiles,
    usage: Mapping[str, Usage],
    places: Places,
    *,
    done: bool,
    limited: bool,
) -> int:
    show_report(report, progress, usage, places, output)
    output.say(f"Report: {written['html']} and {written['csv']}")
    for error in progress.errors:
        output.note(f"error: {error}")
    if report.left:
        output.say(f"{plural(report.left, 'row')} left: run the same command again.")
    code = _exit_code(report, progress, limited=limited)
    answer = ReportAnswer(
        **report_json(report),
        progress=progress_json(progress),
        errors=progress.errors,
        usage=usage,
        report=written,
        done=done,
    )
    output.emit(command, answer, code)
    return code


def _exit_code(report: ImportReport, progress: ImportProgress, *, limited: bool) -> ExitCode:
    """By consequence: what a trial leaves undone is no failure, what fell away or differs is one.
    Rejected rows wait for a person as conflicts do, as they did in the plan.
    """
    failed = bool(progress.errors) or not report.adds_up or bool(report.tally.unexpected.cards)
    if failed or (report.left and not limited):
        return ExitCode.FAILED
    by = report.tally.by
    rejected = not limited and by[Outcome.REJECTED].cards
    waiting = by[Outcome.CONFLICT].cards or report.conflicts or rejected
    return ExitCode.CONFLICTS if waiting else ExitCode.IN_STEP


@app.command()
def queue(
    plan_file: PlanFile,
    bulk: Annotated[
        bool | None,
        typer.Option("--bulk/--live", help="How cards are made online; left out, the faster way."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before cards are made.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the link's workers carry a plan out between all else that they do, or go on with one.

    `giftsync worker` does, and `giftsync run`. `import list` shows how far it is.
    """
    output = Output(as_json)
    settings = load_settings(config)
    mode = Mode.AUTO if bulk is None else Mode.BULK if bulk else Mode.LIVE
    with (
        stop_on_signals(output.note) as stop,
        open_ledger(settings, create=False) as ledger,
        opened_sharing_sides(settings, stop) as sides,
    ):
        imports = imports_of(ledger)
        made = imports.get(import_id_of(plan_file))
        worker = build_worker(settings, ledger, sides, report_closed)
        check_sides(worker)
        _choose(plan_file, imports, made, output, yes=yes, limit=None)
        importer = Importers(settings, worker, ledger).importer_of(made, StopSignal(stop))
        importer.mode = mode
        importer.on_estimate = lambda stated: output.note(f"Estimate: {stated.words}.")
        imports.queue(made, now(), in_bulk=importer.chooses_mass(made))
        if not worker_runs(ledger.engine, now()):
            output.note("No worker runs on this link now: `giftsync worker`, or `giftsync run`, begins it.")
        line = plan_line(imports.get(made.id))
    output.say(f"Plan {made.id} is queued: {plural(line['rows_left'] or 0, 'row')} to do.")
    output.emit("import queue", QueuedPlanAnswer(plan=line))


@app.command()
def pause(plan_id: PlanId, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Have workers leave a plan as it is. What is done stays done; `import queue` goes on."""
    output = Output(as_json)
    with _stored(plan_id, config) as (imports, made):
        if not imports.pause(made):
            raise OperatorError(
                f"no worker carries plan {made.id} out", "`giftsync import list` shows every plan."
            )
        line = plan_line(imports.get(made.id))
    output.say(f"Plan {made.id} is paused: {plural(line['rows_left'] or 0, 'row')} left.")
    output.emit("import pause", PausedPlanAnswer(plan=line))


@app.command()
def cancel(plan_id: PlanId, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Take rows for which nothing was done yet out of a plan. Cards that were begun come to their end."""
    output = Output(as_json)
    with _stored(plan_id, config) as (imports, made):
        taken_out = imports.cancel(made)
        line = plan_line(imports.get(made.id))
    output.say(f"{plural(taken_out, 'row')} of plan {made.id} will not be carried out.")
    output.emit("import cancel", CancelledPlanAnswer(plan=line, taken_out=taken_out))


@app.command("list")
def list_plans(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The newest plans, and how far workers are with those that were queued."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger:
        found = [plan_line(one) for one in imports_of(ledger).newest(LISTED)]
    if not found:
        output.say("There is no plan yet; `giftsync import plan` makes one.")
    else:
        heads = ("Plan", "State", "Left", "")
        output.show(
            rows(
                table(*heads, right=("Left",)),
                [
                    (
                        one["plan"],
                        one["state"],
                        "" if one["rows_left"] is None else number(one["rows_left"]),
                        one["trouble"] or "",
                    )
                    for one in found
                ],
            )
        )
    output.emit("import list", PlansAnswer(plans=found))


@contextmanager
def _stored(plan: str, config: Path | None) -> Iterator[tuple[Imports, Import]]:
    """The plans of the ledger, and this one by its id or its file. Asks no side."""
    with open_ledger(load_settings(config), create=False) as ledger:
        imports = imports_of(ledger)
        yield imports, imports.get(import_id_of(Path(plan)) if Path(plan).exists() else plan)


@app.command()
def discard(
    plan_id: PlanId,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Drop a plan that was never begun, with its rows."""
    output = Output(as_json)
    with _stored(plan_id, config) as (imports, made):
        imports.discard(made)
    output.say(f"Plan {made.id} is dropped. Nothing of it was carried out.")
    output.emit("import discard", DiscardedAnswer(plan=made.id))


@app.command()
def report(
    plan_file: PlanFile,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Read every card back from its sides.")
    ] = True,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write the report of an import again, as things stand now."""
    output = Output(as_json)
    settings = load_settings(config)
    with stop_on_signals(output.note) as stop, opened_worker(settings, stop) as (worker, ledger):
        imports = imports_of(ledger)
        made = imports.get(import_id_of(plan_file))
        sides = worker.link.sides if check else None
        reader, places = _reader(settings, worker.link.sides), Places.of(worker.link.sides)
        found, written = _report(plan_file, imports, made, worker, sides, output, reader)
        usage = {name: side.usage() for name, side in worker.link.sides.items()}
    done, progress = not found.left, ImportProgress()
    return _said("import report", output, found, progress, written, usage, places, done=done, limited=False)
