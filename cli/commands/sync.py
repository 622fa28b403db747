"""`giftsync sync` and `giftsync run`."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.status import Status as Spinner

from cli.agree import agree_to_creates
from cli.background import Background
from cli.build import now
from cli.dry_run import dry_run
from cli.follow_up import left_words
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, facts
from cli.session import StoppedEarly, check_sides, check_sides_patiently, load_settings, opened_worker
from cli.show import exit_code_of
from cli.signals import stop_on_signals
from cli.status_report import read_report, report_json
from config.logging import configure_logging
from config.settings import Settings
from console.guard import raise_descriptor_limit
from console.receiver import create_receiver
from console.server import serve
from sync.ledger.database.engine import only_worker
from sync.ledger.database.faults import LedgerFull
from sync.worker.passes import PassReport, Progress
from sync.worker.worker import Worker

log = structlog.get_logger(__name__)

#: Between two looks whether a full disk has room again.
ROOM_SECONDS = 10.0

Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask when the settings let many cards be created at once.")
]


def sync(
    config: ConfigOption = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, write nothing, print what would follow.")
    ] = False,
    yes: Yes = False,
    as_json: JsonOption = False,
) -> int:
    """Make one pass: read both sides, bring every card in step, and say what is left."""
    output = Output(as_json)
    if dry:
        with stop_on_signals(output.note) as stop:
            return dry_run(load_settings(config), output, stop)
    return _sync(config, output, yes=yes)


def _sync(config: Path | None, output: Output, *, yes: bool) -> int:
    settings = load_settings(config)
    began = time.monotonic()
    with stop_on_signals(output.note) as stop, opened_worker(settings, stop) as (worker, ledger):
        with only_worker(ledger.engine), _shown_progress(output) as progress:
            check_sides(worker)
            agree_to_creates(worker.link, output, yes=yes)
            report = worker.sync_once(progress, stop=stop)
        status = read_report(settings, ledger.engine, worker.link.sides, now())
    seconds = time.monotonic() - began
    # A pass that was told to stop has left something undone.
    failed = bool(report.errors or report.unfinished or stop.is_set())
    code = exit_code_of(status.counts, failed=failed)
    _show_report(report, seconds, output)
    output.say(status.summary)
    if stop.is_set():
        output.note(f"Stopped. {left_words(status.counts)}")
    for error in report.errors:
        output.note(f"error: {error}")
    output.emit(
        "sync",
        {"seconds": round(seconds, 3), "report": report, "status": report_json(status, settings)},
        code,
    )
    return code


def _show_report(report: PassReport, seconds: float, output: Output) -> None:
    lines = [
        ("Hints read", report.hints),
        ("Cards looked at", report.swept),
        ("New cards met", report.met),
        ("Cards worked on", report.worked),
        ("Cards left unfinished", report.unfinished),
        ("Seconds", f"{seconds:.1f}"),
    ]
    output.show(facts(lines))


@contextmanager
def _shown_progress(output: Output) -> Iterator[Progress]:
    """A moving line on a terminal; nothing anywhere else."""
    if not output.err.is_terminal:
        yield lambda doing, report: None
        return
    with Spinner("Asking both sides who they are", console=output.err) as spinner:
        yield _progress(spinner)


def _progress(spinner: Spinner) -> Progress:
    def progress(doing: str, report: PassReport) -> None:
        counts = (
            f"{report.hints} hints, {report.met} new, {report.swept} looked at, {report.worked} worked on"
        )
        spinner.update(f"{doing[:1].upper()}{doing[1:]} ({counts})")

    return progress


def run(
    config: ConfigOption = None,
    yes: Yes = False,
    log_only: Annotated[
        bool, typer.Option("--log", help="Log lines on a terminal, too, instead of the live view.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Keep both sides in step until stopped: a live view on a terminal; else one JSON log line for each thing
    that happens, on standard error.
    """
    output = Output(as_json)
    settings = load_settings(config, level="INFO")
    raise_descriptor_limit()
    # What ends late is ended by it: all that may hang is inside.
    with stop_on_signals(output.note) as stop:
        while not stop.is_set():
            try:
                return _run(settings, stop, output, yes=yes, log_only=log_only)
            except StoppedEarly:
                break
            except LedgerFull as error:
                if stop.is_set():
                    raise
                words = f"{error}; waiting for room, which goes on by itself"
                log.error(words, action="database.full")
                stop.wait(ROOM_SECONDS)
        output.note("Stopped before it began to work; nothing was begun.")
        output.emit("run", {"drained": True, "status": None})
        return ExitCode.IN_STEP


def _run(settings: Settings, stop: threading.Event, output: Output, *, yes: bool, log_only: bool) -> int:
    with opened_worker(settings, threading.Event(), until=stop) as (worker, ledger):
        with only_worker(ledger.engine):
            check_sides_patiently(worker, stop)
            if not stop.is_set():
                agree_to_creates(worker.link, output, yes=yes)
            with _console(settings, worker, output):
                # What was loaded by now stays, and to search it for garbage would stop every thread at once.
                gc.collect()
                gc.freeze()
                output.note("Working; Ctrl-C stops.")
                with _shown_live(settings, worker, output, log_only=log_only):
                    drained = worker.run(stop)
        status = read_report(settings, ledger.engine, worker.link.sides, now())
    code = ExitCode.IN_STEP if drained else ExitCode.FAILED
    output.say(status.summary)
    output.note(f"Stopped. {left_words(status.counts)}")
    if not drained:
        output.note("A call was still under way; the next start finds out what it did.")
    output.emit("run", {"drained": drained, "status": report_json(status, settings)}, code)
    return code


@contextmanager
def _shown_live(settings: Settings, worker: Worker, output: Output, *, log_only: bool) -> Iterator[None]:
    """The live view while the worker runs, on a terminal. Warnings stand above it."""
    if log_only or not output.err.is_terminal:
        yield
        return
    # Only a terminal pays for what draws.
    from cli.live.link_view import LinesAbove, LinkView

    configure_logging(level="WARNING", secrets=settings.secrets(), stream=LinesAbove(output.err))
    view = LinkView(settings, worker.engine, worker.link.sides, now)
    with Background("view", lambda stop: view.show(output.err, stop)):
        yield


@contextmanager
def _console(settings: Settings, worker: Worker, output: Output) -> Iterator[None]:
    """Receive webhooks while the worker runs, if the settings name a port."""
    section = settings.console
    if section.port is None:
        yield
        return
    receiver = create_receiver(worker.listeners, worker.inbox, worker.link.clock, worker.wake)
    with serve(receiver, section.host, section.port) as port:
        output.note(f"Webhooks are received at http://{section.host}:{port}/webhooks/{{shopify,flow}}.")
        yield
