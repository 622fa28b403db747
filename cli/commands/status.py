"""`giftsync status`, `giftsync pause` and `giftsync resume`."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from cli.build import now, open_ledger
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, facts
from cli.pausing import PauseAnswer, ResumeAnswer, pause_link, resume_link
from cli.session import load_settings, opened_sides
from cli.show import exit_code_of
from cli.status_report import StatusReport, read_report, report_json, report_lines

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
            for outage in found.outages:
                output.paragraph(outage.words)
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
                    stopped = (f"STOPPED: {words}" for words in found.stopped_by)
                    output.say(" ".join((*stopped, *(one.words for one in found.outages), found.summary)))
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
        [(one.side, one.since, one.reason) for one in report.outages],
        counts.intents,
        counts.due,
        counts.balance_minor,
        counts.unverified,
        report.worker_runs,
    )


def _code(report: StatusReport) -> ExitCode:
    return exit_code_of(
        report.counts, failed=bool(report.outages) or report.counts.last_run_outcome == "failed"
    )


def pause(
    why: Annotated[str, typer.Option(help="Shown to whoever asks for the link's standing.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write nothing more to any side until `giftsync resume`. What happens there is still read and kept."""
    output = Output(as_json)
    stopped = pause_link(load_settings(config), why, output, "`giftsync resume`")
    output.emit("pause", PauseAnswer(stopped_by=stopped))


def resume(
    why: Annotated[str, typer.Option(help="What you found; it is kept with the conflict.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a link go on that a brake has stopped or a person has paused."""
    output = Output(as_json)
    released = resume_link(load_settings(config), why, output)
    output.emit("resume", ResumeAnswer(released=released))
