"""`giftsync status` and `giftsync resume`."""

from __future__ import annotations

import getpass
import threading
from typing import Annotated

import typer

from cli.build import build_worker, now, open_ledger
from cli.errors import OperatorError
from cli.follow_up import carried_out_by
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, facts, plural
from cli.session import load_settings, opened_sides, report_closed
from cli.show import exit_code_of
from cli.status_report import StatusReport, read_report, report_json, report_lines
from sync.decisions.resolutions import Action
from sync.ledger import views
from sync.reconcile.brakes import STOPPING
from sync.support import settle

#: Between two looks without a terminal.
WATCH_SECONDS = 1.0


def status(
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Go on until Ctrl-C: a live view on a terminal, else a line for each change."
        ),
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """The ledger at a glance. Asks neither side anything."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:

        def report() -> StatusReport:
            return read_report(settings, ledger.engine, sides, now())

        if not watch:
            found = report()
            for words in found.stopped_by:
                output.say(f"STOPPED: {words}")
            output.say(found.summary)
            output.show(facts(report_lines(found, settings, now())))
            output.emit("status", report_json(found, settings), _code(found))
            return _code(found)
        try:
            if output.out.is_terminal and not as_json:
                from cli.live.link_view import LinkView

                LinkView(settings, ledger.engine, sides, now).show(output.out, threading.Event())
            last: object = None
            while True:
                found = report()
                shown = report_json(found, settings)
                if _news(found) != last:
                    last = _news(found)
                    output.say(
                        "; ".join((*(f"STOPPED: {words}" for words in found.stopped_by), found.summary))
                    )
                    output.emit("status", shown, _code(found))
                threading.Event().wait(WATCH_SECONDS)
        except KeyboardInterrupt:
            return _code(report())


def _news(report: StatusReport) -> object:
    """What is worth another line: not that a feed was read again."""
    counts = report.counts
    return (
        report.summary,
        report.stopped_by,
        counts.intents,
        counts.due,
        counts.balance_minor,
        report.worker_runs,
    )


def _code(report: StatusReport) -> ExitCode:
    return exit_code_of(report.counts, failed=report.counts.last_run_outcome == "failed")


def resume(
    why: Annotated[str, typer.Option(help="What you found; it is kept with the conflict.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Let a link that a brake has stopped go on."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
        brakes = [
            one for one in views.list_conflicts(ledger.engine) if one.kind in STOPPING and one.card_id is None
        ]
        if brakes:
            link = build_worker(settings, ledger, sides, report_closed).link
            said = settle.Resolution(Action.RESUME, getpass.getuser(), why)
            try:
                for one in brakes:
                    settle.resolve(link, one.id, said)
            except settle.NotResolved as error:
                raise OperatorError(str(error)) from None
        goes_on = carried_out_by(ledger.engine, now(), "the work")
    if brakes:
        output.say(f"Resumed: {plural(len(brakes), 'brake')} released. {goes_on}")
    else:
        output.say("The link was not stopped.")
    output.emit("resume", {"released": len(brakes)})
    return ExitCode.IN_STEP
