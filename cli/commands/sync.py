"""`giftsync sync` and `giftsync run`."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypedDict

import structlog
import typer
from rich.status import Status as Spinner

from cli.agree import agree_to_creates
from cli.background import Background
from cli.build import Ledger, ledger_name, now
from cli.console import served_console
from cli.dry_run import dry_run
from cli.errors import OperatorError
from cli.follow_up import left_words
from cli.importing import queued_imports
from cli.options import ConfigOption, JsonOption, MetricsPortOption
from cli.output import ExitCode, Output, facts
from cli.served import Restart
from cli.session import StoppedEarly, check_sides, check_sides_patiently, load_settings, opened_worker
from cli.show import exit_code_of
from cli.signals import stop_on_signals
from cli.status_report import StatusAnswer, read_report, report_json
from config.errors import ConfigError
from config.load import FILE_DEFAULT, load
from config.logging import configure_logging
from config.settings import Settings
from console.guard import raise_descriptor_limit
from sync.ledger.database.engine import only_worker
from sync.ledger.database.faults import LedgerFull
from sync.ledger.database.wake_ups import heard
from sync.worker.passes import PassReport, Progress
from sync.worker.service import Service
from sync.worker.worker import Worker

log = structlog.get_logger(__name__)

#: Between two looks whether a full disk has room again.
ROOM_SECONDS = 10.0
#: How often to look whether the settings were changed by another process.
SETTINGS_SECONDS = 1.0
#: Between two lines of progress where there is no terminal.
LINE_SECONDS = 10.0

Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask when the settings let many cards be created at once.")
]


class SyncAnswer(TypedDict):
    """What one pass did, and the link after it."""

    seconds: float
    report: PassReport
    status: StatusAnswer


class RunAnswer(TypedDict):
    """A worker that was stopped."""

    #: Whether all that was under way came to its end.
    drained: bool
    #: Null when it was stopped before it began.
    status: StatusAnswer | None


def sync(
    config: ConfigOption = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, write nothing, print what would follow.")
    ] = False,
    yes: Yes = False,
    as_json: JsonOption = False,
) -> int:
    """Make one pass: read every side, bring every card in step, and say what is left."""
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
            try:
                check_sides(worker)
            except OperatorError:
                worker.could_not_begin("sync")
                raise
            agree_to_creates(worker.link, output, yes=yes)
            report = worker.sync_once(progress, stop=stop)
        status = read_report(settings, ledger.engine, worker.link.sides, now())
    seconds = time.monotonic() - began
    # A pass that was told to stop has left something undone.
    failed = bool(report.errors or report.unfinished or stop.is_set())
    code = exit_code_of(status.counts, failed=failed)
    _show_report(report, seconds, output)
    for outage in status.outages:
        output.paragraph(outage.words)
    output.say(status.summary)
    if stop.is_set():
        output.note(f"Stopped. {left_words(status.counts)}")
    for error in report.errors:
        output.note(f"error: {error}")
    output.emit(
        "sync",
        SyncAnswer(seconds=round(seconds, 3), report=report, status=report_json(status, settings)),
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
    """A moving line on a terminal, and elsewhere a line every few seconds."""
    if not output.err.is_terminal:
        lines, ended = ProgressLines(output.note, time.monotonic), threading.Event()
        teller = threading.Thread(target=_tell_until, args=(ended, lines), name="progress", daemon=True)
        teller.start()
        try:
            yield lines
        finally:
            ended.set()
            teller.join()
        return
    with Spinner("Asking every side who it is", console=output.err) as spinner:
        yield _progress(spinner)


def _tell_until(ended: threading.Event, lines: ProgressLines) -> None:
    while not ended.wait(1.0):
        lines.tell()


def _progress(spinner: Spinner) -> Progress:
    return lambda doing, report: spinner.update(_how_far(doing, report))


class ProgressLines:
    """How far a pass is, a line every LINE_SECONDS, so that a log of a long pass shows that it goes on.

    Called by the pass; `tell` is for another thread, since one step of a pass may take minutes.
    """

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float]) -> None:
        self._say, self._monotonic = say, monotonic
        self._said_at = monotonic()
        self._doing, self._report = "asking every side who it is", PassReport()
        self._lock = threading.Lock()

    def __call__(self, doing: str, report: PassReport) -> None:
        self._doing, self._report = doing, report
        self.tell()

    def tell(self) -> None:
        """Say what is being done, unless the last line is younger than LINE_SECONDS."""
        with self._lock:
            if self._monotonic() - self._said_at < LINE_SECONDS:
                return
            self._said_at = self._monotonic()
            self._say(_how_far(self._doing, self._report))


def _how_far(doing: str, report: PassReport) -> str:
    counts = f"{report.hints} hints, {report.met} new, {report.swept} looked at, {report.worked} worked on"
    return f"{doing[:1].upper()}{doing[1:]} ({counts})"


def run(
    config: ConfigOption = None,
    yes: Yes = False,
    log_only: Annotated[
        bool, typer.Option("--log", help="Log lines on a terminal, too, instead of the live view.")
    ] = False,
    no_console: Annotated[
        bool,
        typer.Option("--no-console", help="Serve nothing: `giftsync serve` does, in processes of its own."),
    ] = False,
    metrics_port: MetricsPortOption = None,
    as_json: JsonOption = False,
) -> int:
    """Keep all sides in step until stopped: a live view on a terminal; else one JSON log line for each thing
    that happens, on standard error.
    """
    output = Output(as_json)
    settings, file = load_settings(config, level="INFO"), config or FILE_DEFAULT
    raise_descriptor_limit()
    restart = Restart()
    # What ends late is ended by it: all that may hang is inside.
    with stop_on_signals(output.note) as stop:
        while not stop.is_set():
            try:
                with restart.round(stop) as ends:
                    code = _run(
                        settings,
                        ends,
                        output,
                        file,
                        restart,
                        yes=yes,
                        log_only=log_only,
                        serves=not no_console,
                        metrics_port=metrics_port,
                    )
                if not restart.wanted:
                    return code
                if stop.is_set():
                    break
                output.note("The settings were changed; beginning anew with them.")
                settings = load_settings(config, level="INFO")
            except StoppedEarly:
                break
            except LedgerFull as error:
                if stop.is_set():
                    raise
                words = f"{error}; waiting for room, which goes on by itself"
                log.error(words, action="database.full")
                stop.wait(ROOM_SECONDS)
        output.note("Stopped before it began to work; nothing was begun.")
        output.emit("run", RunAnswer(drained=True, status=None))
        return ExitCode.IN_STEP


def _run(
    settings: Settings,
    stop: threading.Event,
    output: Output,
    file: Path,
    restart: Restart,
    *,
    yes: bool,
    log_only: bool,
    serves: bool,
    metrics_port: int | None,
) -> int:
    with opened_worker(settings, threading.Event(), until=stop) as (worker, ledger):
        with only_worker(ledger.engine):
            check_sides_patiently(worker, stop)
            if not stop.is_set():
                agree_to_creates(worker.link, output, yes=yes)
            worker.carry_imports = queued_imports(settings, worker, ledger)
            service = Service(worker)
            beside = (
                served_console(settings, service, ledger, output, file, restart)
                if serves
                else _served_elsewhere(settings, service, ledger, file, restart)
            )
            with beside, _metrics(metrics_port, settings, worker, output):
                # What was loaded by now stays, and to search it for garbage would stop every thread at once.
                gc.unfreeze()
                gc.collect()
                gc.freeze()
                output.note("Working; Ctrl-C stops.")
                with _shown_live(settings, worker, output, log_only=log_only):
                    drained = service.run(stop)
        if restart.wanted:
            return ExitCode.IN_STEP
        status = read_report(settings, ledger.engine, worker.link.sides, now())
    code = ExitCode.IN_STEP if drained else ExitCode.FAILED
    for outage in status.outages:
        output.paragraph(outage.words)
    output.say(status.summary)
    output.note(f"Stopped. {left_words(status.counts)}")
    if not drained:
        output.note("A call was still under way; the next start finds out what it did.")
    output.emit("run", RunAnswer(drained=drained, status=report_json(status, settings)), code)
    return code


@contextmanager
def _metrics(port: int | None, settings: Settings, worker: Worker, output: Output) -> Iterator[None]:
    """Serve the link's metrics at the port, if there is one, while the block runs."""
    if port is None:
        yield
        return
    # Only whoever serves them pays for what counts and draws them.
    from cli.metrics_port import link_metrics_served

    with link_metrics_served(port, settings, worker, output):
        yield


@contextmanager
def _served_elsewhere(
    settings: Settings, service: Service, ledger: Ledger, file: Path, restart: Restart
) -> Iterator[None]:
    """Hear what `giftsync serve` stores and changes in other processes, while the block runs."""
    with (
        heard(ledger.engine, ledger_name(settings), service.wake_turn),
        Background("settings", lambda stop: _follow_settings(file, settings, stop, restart.begin)),
    ):
        yield


def _follow_settings(
    file: Path, settings: Settings, stop: threading.Event, begin_anew: Callable[[], None]
) -> None:
    """Begin anew when the file has other settings; those that cannot be used are told of and passed over."""
    before = _changed_at(file)
    while not stop.wait(SETTINGS_SECONDS):
        now_at = _changed_at(file)
        if now_at == before:
            continue
        before = now_at
        try:
            if load(file) != settings:
                begin_anew()
                return
        except ConfigError as error:
            words = "the settings were changed and cannot be used; the worker goes on with those before"
            log.warning(words, action="settings.unusable", why=" ".join(error.problems))


def _changed_at(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


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
