"""`giftsync import plan|apply|report`: bring years of cards on both sides into step, once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.build import FLOW, SHOPIFY, build_worker, open_ledger
from cli.errors import OperatorError
from cli.import_show import (
    PlanShown,
    import_bar,
    plan_bar,
    plan_json,
    report_json,
    show_plan,
    show_report,
)
from cli.importing import (
    creator_of,
    cvc_source,
    ground_of,
    import_link,
    imports_of,
    lister_of,
    numbers_of,
    open_files,
)
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, plural
from cli.session import check_sides, load_settings, opened_sides, opened_worker, report_closed
from cli.signals import stop_on_signals
from connectors.api.side import Side
from sync.importer.actions import Action
from sync.importer.apply import Importer, Mode
from sync.importer.files import AUTO, CardFile, Stated, private_file
from sync.importer.layout_file import layout_text
from sync.importer.outcomes import Outcome, Told
from sync.importer.plan import Planner, Stopped
from sync.importer.planfile import choose_rows, import_id_of, keep_older, write_plan
from sync.importer.progress import ImportProgress, StopSignal
from sync.importer.report import ImportReport, RowsFile, make_report
from sync.importer.report_html import RowsShown, render_html
from sync.ledger.database.engine import only_worker
from sync.ledger.imports.rows import Import, Imports
from sync.worker.worker import Worker

STOPPED = 130

app = typer.Typer(
    help="Bring the cards that exist on both sides into step, once. Customers are never notified.",
    no_args_is_help=True,
)

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="The file that `import plan` wrote.")]


@app.command()
def plan(
    pos: Annotated[
        list[Path] | None,
        typer.Option("--pos", metavar="FILE", help="An export of store cards; as often as needed."),
    ] = None,
    pools: Annotated[
        list[Path] | None,
        typer.Option("--pools", metavar="FILE", help="Pools with IsCvvRequired, for Maestra card files."),
    ] = None,
    shopify: Annotated[
        list[Path] | None,
        typer.Option("--shopify", metavar="FILE", help="Shopify's own export instead of asking Shopify."),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            "--format",
            help="For --pos: auto, flow, maestra-cards, lightspeed-r or -x, or a mapping file (.toml).",
        ),
    ] = AUTO,
    out: Annotated[Path, typer.Option("-o", "--output", help="The plan.")] = Path("import-plan.csv"),
    ask_pos: Annotated[
        bool, typer.Option("--ask-pos", help="Ask the store for each card now, not only when applied.")
    ] = False,
    dates: Annotated[
        str | None,
        typer.Option(
            metavar="FORM", help='How dates are written, if that is unclear: DD.MM.YY, "Mon D, YYYY".'
        ),
    ] = None,
    ignored: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="COLUMN", help="A column that does not matter, whatever its name."),
    ] = None,
    mixed_lengths: Annotated[
        bool, typer.Option("--mixed-lengths", help="Shorter numbers are as printed, not without their zeros.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Read everything and write a plan: what will happen to each card and why. Nothing is changed."""
    output = Output(as_json)
    settings = load_settings(config)
    with stop_on_signals(output.note) as stop, plan_bar(output) as bar:
        stated = Stated(frozenset(ignored or ()), dates, mixed_lengths)
        files = open_files(pos or [], pools or [], shopify or [], layout, bar.reading, stated)
        with opened_worker(settings, stop) as (worker, ledger):
            check_sides(worker)
            imports = imports_of(ledger)
            planner = Planner(worker.link, imports, ground_of(settings, worker), bar.progress, stop)
            try:
                made, sources = planner.plan(files, lister_of(worker), ask_pos=ask_pos)
                kept = keep_older(out, made)
                write_plan(out, imports, made, lambda rows: bar.progress("writing the plan", rows, 0))
            except Stopped:
                output.note("Stopped; nothing was changed and no plan was written.")
                return STOPPED
            rejects = _write_rejects(imports, made, files, out)
            others = [one for one in imports.unbegun() if one.id != made.id]
            free = ledger.pool.free(FLOW)
            shown = PlanShown(made, sources, imports.totals(made), out, rejects, free, others, kept)
    show_plan(shown, output)
    attention = any(total.action in (Action.CONFLICT, Action.REJECT) for total in shown.totals)
    code = ExitCode.CONFLICTS if attention else ExitCode.IN_STEP
    output.emit("import plan", plan_json(shown), code)
    return code


def _write_rejects(
    imports: Imports, made: Import, files: list[CardFile], out: Path
) -> list[tuple[Path, int]]:
    """One file of rejects for each card file that has some, ready to be corrected and planned again."""
    written = []
    for number, file in enumerate(files):
        path = out.with_name(f"{out.stem}.rejects-{file.path.stem}.csv")
        count = file.write_rejects(path, imports.rejected_lines(made, number))
        if count:
            written.append((path, count))
    return written


@app.command("layout")
def write_layout(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of cards that no layout fits.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="TOML", help="Left out: written to the terminal.")
    ] = None,
) -> None:
    """Write a mapping file to start from, for a card file of any other layout. It holds names, no numbers."""
    text = layout_text(file)
    if out is None:
        sys.stdout.write(text)
        return
    if out.exists():
        raise OperatorError(f"{out} is there already", "Name another file, or delete it first.")
    out.write_text(text, encoding="utf-8")
    Output().say(f"Wrote {out}. Check it, then plan with: giftsync import plan --pos {file} --format {out}")


@app.command()
def apply(
    plan_file: PlanFile,
    limit: Annotated[
        int | None, typer.Option(min=1, help="For a trial: carry out so many rows and stop.")
    ] = None,
    bulk: Annotated[
        bool | None,
        typer.Option("--bulk/--live", help="How cards are made in Shopify; left out, the faster way."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Calls at the same time.")] = 32,
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
        zone = settings.link.zone
        cvc_for = cvc_source(cvc or [], ledger.vault, made.currency, zone)
        with opened_sides(settings, stop, cvc_for) as sides, only_worker(ledger.engine):
            worker = build_worker(settings, ledger, sides, report_closed)
            check_sides(worker)
            _choose(plan_file, imports, made, output, yes=yes, limit=limit)
            progress = ImportProgress()
            importer = Importer(
                import_link(settings, worker, imports, made),
                imports,
                ledger.intake,
                ground_of(settings, worker),
                numbers_of(settings, worker, ledger),
                lister_of(worker),
                creator_of(worker),
                mode=mode,
                threads=threads,
                limit=limit,
                alone=ledger.engine.dialect.name == "sqlite",
                progress=progress,
                halt=StopSignal(stop),
                on_estimate=lambda stated: output.note(f"Estimate: {stated.words}."),
            )
            progress.rows = _rows_ahead(imports, made, limit)
            with import_bar(output, progress, sides):
                done = importer.apply(made)
            usage = {name: side.usage() for name, side in sides.items()}
            read = sides if check and not stop.is_set() else None
            report, written = _report(plan_file, imports, made, worker, read, output)
    return _said(output, report, progress, written, usage, done=done, limited=limit is not None)


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
) -> tuple[ImportReport, dict[str, str]]:
    """Make the report and write it: the page, and every row as CSV. All of it is told of the same rows."""
    fresh = imports.get(made.id)
    if sides is not None:
        output.note("Reading every card back for the report.")
    page, table = plan_file.with_suffix(".report.html"), plan_file.with_suffix(".report.csv")
    shown = RowsShown()
    with private_file(table, "utf-8-sig") as file:
        rows = RowsFile(file, fresh)

        def each(told: Told) -> None:
            rows.write(told)
            shown.add(told)

        found = make_report(
            imports,
            fresh,
            (FLOW, SHOPIFY),
            worker.link.clock,
            None if sides is None else dict(sides),
            each=each,
        )
    with private_file(page) as file:
        file.write(render_html(found, shown.rejected, shown.waiting, shown.others))
    return found, {"html": str(page), "csv": str(table)}


def _said(
    output: Output,
    report: ImportReport,
    progress: ImportProgress,
    written: Mapping[str, str],
    usage: Mapping[str, Any],
    *,
    done: bool,
    limited: bool,
) -> int:
    show_report(report, progress, usage, output)
    output.say(f"Report: {written['html']} and {written['csv']}")
    for error in progress.errors:
        output.note(f"error: {error}")
    if report.left:
        output.say(f"{plural(report.left, 'row')} left: run the same command again.")
    code = _exit_code(report, progress, limited=limited)
    output.emit(
        "import report",
        {
            **report_json(report),
            "progress": {name: v for name, v in vars(progress).items() if isinstance(v, int)},
            "errors": progress.errors,
            "usage": usage,
            "report": written,
            "done": done,
        },
        code,
    )
    return code


def _exit_code(report: ImportReport, progress: ImportProgress, *, limited: bool) -> ExitCode:
    """By consequence: what a trial leaves undone is no failure, what fell away or differs is one."""
    failed = bool(progress.errors) or not report.adds_up or bool(report.tally.unexpected.cards)
    if failed or (report.left and not limited):
        return ExitCode.FAILED
    conflicts = report.tally.by[Outcome.CONFLICT].cards
    return ExitCode.CONFLICTS if conflicts or report.conflicts else ExitCode.IN_STEP


@app.command()
def discard(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id, or its file.")],
    config: ConfigOption = None,
) -> None:
    """Drop a plan that was never begun, with its rows."""
    with open_ledger(load_settings(config), create=False) as ledger:
        imports = imports_of(ledger)
        made = imports.get(import_id_of(Path(plan_id)) if Path(plan_id).exists() else plan_id)
        imports.discard(made)
    Output().say(f"Plan {made.id} is dropped. Nothing of it was carried out.")


@app.command()
def report(
    plan_file: PlanFile,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Read every card back from both sides.")
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
        found, written = _report(plan_file, imports, made, worker, sides, output)
        usage = {name: side.usage() for name, side in worker.link.sides.items()}
    return _said(output, found, ImportProgress(), written, usage, done=not found.left, limited=False)
