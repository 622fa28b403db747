"""What commands on a configured link have in common: settings, logging with their secrets, the open parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog

from cli.build import Ledger, build_worker, open_ledger, open_sides
from cli.errors import OperatorError, naming
from config.load import load
from config.logging import configure_logging
from config.settings import Settings
from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled
from connectors.api.side import Side
from mappings.serials import Serial
from sync.worker.identity import check_identity
from sync.worker.worker import Worker

log = structlog.get_logger(__name__)

#: Between two looks at a side that is out of reach; doubled up to the maximum.
AGAIN_SECONDS = 1.0
AGAIN_SECONDS_MAX = 60.0


class StoppedEarly(Exception):
    """Told to stop before a side had answered: nothing was begun."""


def load_settings(config: Path | None, *, level: str = "WARNING") -> Settings:
    """The settings; from here on their secrets are cut out of every log line."""
    settings = load(config)
    configure_logging(level=level, secrets=settings.secrets())
    return settings


@contextmanager
def opened_sides(
    settings: Settings,
    stop: threading.Event | None = None,
    cvc_for: Callable[[Serial], str | None] | None = None,
) -> Iterator[Mapping[str, Side]]:
    sides = open_sides(settings, stop, cvc_for)
    try:
        yield sides
    finally:
        for side in sides.values():
            side.close()


@contextmanager
def opened_worker(
    settings: Settings, stop: threading.Event, *, until: threading.Event | None = None
) -> Iterator[tuple[Worker, Ledger]]:
    """A worker on the ledger and sides of the settings.

    With `until`, a side that is out of reach is waited for, as an unwatched worker must; raises StoppedEarly
    once that is set.
    """
    with opened_sides(settings, stop) as sides, open_ledger(settings) as ledger:
        if until is not None:
            await_sides(sides, until)
            if until.is_set():
                raise StoppedEarly
        yield build_worker(settings, ledger, sides, report_closed), ledger


def check_sides(worker: Worker) -> None:
    """Ask both sides who they are. Raises OperatorError that names the side that cannot be used."""
    link = worker.link
    for name, side in link.sides.items():
        with naming(name):
            check_identity(worker.engine, side, link.currency, link.clock())


def check_sides_patiently(worker: Worker, until: threading.Event) -> None:
    """The same, but a side that is out of reach is waited for."""
    link = worker.link
    for name, side in link.sides.items():
        patiently(name, lambda s=side: check_identity(worker.engine, s, link.currency, link.clock()), until)  # type: ignore[misc]


def await_sides(sides: Mapping[str, Side], until: threading.Event) -> None:
    """Return once every side has answered, or `until` is set. Raises SideClosed: that is for a person."""
    for name, side in sides.items():
        patiently(name, side.identify, until)


def patiently(name: str, question: Callable[[], object], until: threading.Event) -> None:
    """Ask a side until it answers or `until` is set."""
    wait_seconds = AGAIN_SECONDS
    while not until.is_set():
        try:
            with naming(name):
                question()
            return
        except OperatorError as error:
            if not isinstance(error.__cause__, NotSent | Throttled | InDoubt):
                raise
            log.warning("a side is out of reach", action="side.awaited", side=name, reason=str(error))
            until.wait(wait_seconds)
            wait_seconds = min(wait_seconds * 2, AGAIN_SECONDS_MAX)


def report_closed(side: str, error: SideClosed) -> None:
    log.error(
        "a side needs a person", action="side.closed", side=side, reason=str(error), remedy=error.remedy
    )
