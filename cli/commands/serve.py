"""`giftsync serve`: receivers of webhooks, consoles and APIs in processes of their own."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import structlog
import typer
from starlette.types import ASGIApp

from cli.build import ledger_name
from cli.errors import OperatorError
from cli.fleet import Fleet
from cli.fleet_serving import fleet_app
from cli.options import ConfigOption, JsonOption, MetricsPortOption
from cli.output import ExitCode, Output
from cli.served import PORT, Restart
from cli.serving import (
    ONLY_WEBHOOKS,
    LedgerWatch,
    await_ledger,
    load_served,
    opened_receiver,
    opened_service,
)
from cli.signals import StopEvent, stop_on_signals
from config.load import FILE_DEFAULT
from config.logging import configure_logging
from config.settings import Settings
from console.guard import raise_descriptor_limit
from console.part import Part
from console.server import serve as serve_app
from sync.ledger.database.engine import LedgerUnavailable, sharing_connections
from sync.ledger.database.faults import LedgerFull

if TYPE_CHECKING:
    from console.request_metrics import RequestMetrics

log = structlog.get_logger(__name__)

#: Between two looks whether a full disk has room again.
ROOM_SECONDS = 10.0


class ServeAnswer(TypedDict):
    """What was served until it was stopped."""

    #: Which of `webhooks`, `console` and `api`.
    parts: list[str]


def serve(
    config: ConfigOption = None,
    part: Annotated[
        list[Part] | None,
        typer.Option(help="Serve only this; repeat it for more. Left out, all that the settings switch on."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The port, instead of that of [console]; 0 takes any free one."),
    ] = None,
    fleet: Annotated[
        Path | None,
        typer.Option(help="Serve every link of this folder, instead of the one of the settings."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="With --fleet: the address of this machine to listen on.")
    ] = None,
    metrics_port: MetricsPortOption = None,
    as_json: JsonOption = False,
) -> int:
    """Receive webhooks, and serve console and API, beside a worker in another process (`giftsync run
    --no-console`, or `giftsync worker`). Several may share one port.
    """
    output, wanted = Output(as_json), frozenset(part or ())
    raise_descriptor_limit()
    with stop_on_signals(output.note) as stop, _counting(metrics_port, output) as metrics:
        if fleet is not None:
            parts = _serve_fleet(Fleet(fleet), wanted, host, port, config, output, stop, metrics)
        elif host is not None:
            raise OperatorError("--host is for a fleet", "A link's settings have it: `host` in [console].")
        else:
            parts = _serve_link(config, wanted, port, output, stop, metrics)
    output.note("Stopped.")
    output.emit("serve", ServeAnswer(parts=sorted(parts)))
    return ExitCode.IN_STEP


@contextmanager
def _counting(port: int | None, output: Output) -> Iterator[RequestMetrics | None]:
    """Serve metrics of the requests that are answered while the block runs, if there is a port for them."""
    if port is None:
        yield None
        return
    # Only whoever serves them pays for what counts and draws them.
    from cli.metrics_port import metrics_served
    from console.request_metrics import RequestMetrics

    metrics = RequestMetrics()
    with metrics_served(port, metrics.registry, output):
        yield metrics


def _serve_link(
    config: Path | None,
    wanted: frozenset[Part],
    port: int | None,
    output: Output,
    stop: StopEvent,
    metrics: RequestMetrics | None,
) -> frozenset[Part]:
    restart = Restart()
    while True:
        settings, parts = load_served(config, wanted, port)
        configure_logging(level="INFO", secrets=settings.secrets())
        try:
            await_ledger(settings, stop, output.note, only_receives=parts == ONLY_WEBHOOKS)
            with restart.round(stop) as ends:
                if not ends.is_set():
                    _serve_until(settings, parts, config or FILE_DEFAULT, restart, ends, output, metrics)
            if stop.is_set() or not restart.wanted:
                return parts
            output.note("The settings were changed in the console; beginning anew with them.")
        except LedgerFull as error:
            if stop.is_set():
                raise
            log.error(f"{error}; waiting for room, which goes on by itself", action="database.full")
            stop.wait(ROOM_SECONDS)


def _serve_until(
    settings: Settings,
    parts: frozenset[Part],
    file: Path,
    restart: Restart,
    ends: threading.Event,
    output: Output,
    metrics: RequestMetrics | None,
) -> None:
    """Serve until `ends` is set. Raises LedgerUnavailable when the ledger must not be served any more."""
    ledger_is = ledger_name(settings)
    gone: LedgerUnavailable | None
    if parts == ONLY_WEBHOOKS:
        with opened_receiver(settings) as (receiver, ledger):
            watch = LedgerWatch(ledger.engine, ledger_is)
            section = settings.console
            app: ASGIApp = receiver if metrics is None else metrics.counted(receiver)
            with serve_app(app, section.host, section.port or 0, shares_port=True) as port:
                names = ",".join(receiver.listeners)
                output.note(f"Webhooks are received at http://{section.host}:{port}/webhooks/{{{names}}}.")
                with _settled(output):
                    gone = watch.end_when_gone(ends)
    else:
        # A receiver alone does not pay for the import.
        from cli.console import served_console

        with opened_service(settings) as (service, ledger):
            watch = LedgerWatch(ledger.engine, ledger_is)
            with (
                served_console(
                    settings,
                    service,
                    ledger,
                    output,
                    file,
                    restart,
                    parts=parts,
                    shares_port=True,
                    metrics=metrics,
                ),
                _settled(output),
            ):
                gone = watch.end_when_gone(ends)
    if gone is not None:
        raise gone


@contextmanager
def _settled(output: Output) -> Iterator[None]:
    """What was loaded by now stays, and to search it for garbage would stop every thread at once."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    output.note("Serving; Ctrl-C stops.")
    yield


def _serve_fleet(
    fleet: Fleet,
    wanted: frozenset[Part],
    host: str | None,
    port: int | None,
    config: Path | None,
    output: Output,
    stop: StopEvent,
    metrics: RequestMetrics | None,
) -> frozenset[Part]:
    if config is not None:
        raise OperatorError("--config and --fleet exclude each other", "Each link of a fleet has its own.")
    secrets: list[str] = []
    configure_logging(level="INFO", secrets=secrets)

    def hide(settings: Settings) -> None:
        new = [one for one in settings.secrets() if one not in secrets]
        if new:
            secrets.extend(new)
            configure_logging(level="INFO", secrets=secrets)

    with sharing_connections(), fleet_app(fleet, wanted, output.note, hide, metrics) as app:
        place, wants = host or "127.0.0.1", PORT if port is None else port
        with serve_app(app, place, wants, shares_port=True) as at:
            shown = f"[{place}]" if ":" in place else place
            output.note(f"Links are served at http://{shown}:{at}/links/NAME, and at the host of each.")
            with _settled(output):
                stop.wait()
    return wanted or frozenset(Part)
