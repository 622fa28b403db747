"""What commands on a configured link have in common: settings, logging with their secrets, the open parts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog

from cli.build import Ledger, build_worker, open_ledger, open_sides
from cli.errors import naming
from config.load import load
from config.logging import configure_logging
from config.settings import Settings
from connectors.base import Side
from connectors.errors import SideClosed
from sync.identity import check_identity
from sync.worker import Worker

log = structlog.get_logger(__name__)


def load_settings(config: Path | None, *, level: str = "WARNING") -> Settings:
    """The settings; from here on their secrets are cut out of every log line."""
    settings = load(config)
    configure_logging(level=level, secrets=settings.secrets())
    return settings


@contextmanager
def opened_sides(settings: Settings, stop: threading.Event | None = None) -> Iterator[Mapping[str, Side]]:
    sides = open_sides(settings, stop)
    try:
        yield sides
    finally:
        for side in sides.values():
            side.close()


@contextmanager
def opened_worker(settings: Settings, stop: threading.Event) -> Iterator[tuple[Worker, Ledger]]:
    """A worker on the ledger and sides of the settings."""
    with opened_sides(settings, stop) as sides, open_ledger(settings) as ledger:
        yield build_worker(settings, ledger, sides, report_closed), ledger


def check_sides(worker: Worker) -> None:
    """Ask both sides who they are. Raises OperatorError that names the side that cannot be used."""
    link = worker.link
    for name, side in link.sides.items():
        with naming(name):
            check_identity(worker.engine, side, link.currency, link.clock())


def report_closed(side: str, error: SideClosed) -> None:
    log.error(
        "a side needs a person", action="side.closed", side=side, reason=str(error), remedy=error.remedy
    )
