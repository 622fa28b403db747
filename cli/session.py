"""What commands on a configured link have in common: settings, logging with their secrets, the open parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Engine

from cli.build import Ledger, build_worker, now, open_ledger, open_sides
from cli.errors import OperatorError, naming
from config.load import load
from config.logging import configure_logging
from config.settings import Settings
from connectors.api.errors import InDoubt, NotSent, SideClosed, SideError, Stopping, Throttled
from connectors.api.side import Side
from mappings.serials import Serial
from sync.ledger.database.clock import check_clock
from sync.ledger.database.engine import open_engine
from sync.ledger.sides.budgets import SharedBudget
from sync.ledger.sides.outages import STARTING, Outages
from sync.reconcile.cvcs import LentCvcs

if TYPE_CHECKING:
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
def opened_sharing_sides(
    settings: Settings,
    stop: threading.Event | None = None,
    cvc_for: Callable[[Serial], str | None] | None = None,
) -> Iterator[Mapping[str, Side]]:
    """The sides for a worker. On PostgreSQL others may work on the link: what the sides allow is shared.

    The ledger must be there by the first call.
    """
    engine = open_engine(settings.database)
    shared = engine.dialect.name == "postgresql"
    try:
        sides = open_sides(
            settings, stop, cvc_for, lambda name: SharedBudget(engine, name) if shared else None
        )
        try:
            yield sides
        finally:
            for side in sides.values():
                side.close()
    finally:
        engine.dispose()


@contextmanager
def opened_worker(
    settings: Settings, stop: threading.Event, *, until: threading.Event | None = None
) -> Iterator[tuple[Worker, Ledger]]:
    """A worker on the ledger and sides of the settings.

    With `until`, a side that is out of reach is waited for, as an unwatched worker must; raises StoppedEarly
    once that is set.
    """
    cvcs = LentCvcs()
    with opened_sharing_sides(settings, stop, cvcs.of) as sides, open_ledger(settings) as ledger:
        check_clock(ledger.engine)
        if until is not None:
            await_sides(sides, until, ledger.engine)
            if until.is_set():
                raise StoppedEarly
        yield build_worker(settings, ledger, sides, report_closed, cvcs=cvcs), ledger


def check_sides(worker: Worker) -> None:
    """Ask every side who it is. Raises OperatorError that names the side that cannot be used.

    `giftsync status` tells of a side that did not answer until it answers.
    """
    from sync.worker.identity import check_identity

    link, outages = worker.link, Outages()
    for name, side in link.sides.items():
        try:
            with naming(name):
                check_identity(worker.engine, side, link.currency, link.clock(), link.sides)
        except OperatorError as error:
            if isinstance(error.__cause__, SideError) and not isinstance(error.__cause__, Stopping):
                outages.failed(worker.engine, name, STARTING, error.__cause__, now())
            raise
        outages.answered(worker.engine, name, STARTING, now())


def check_sides_patiently(worker: Worker, until: threading.Event) -> None:
    """The same, but a side that is out of reach is waited for."""
    from sync.worker.identity import check_identity

    link = worker.link
    for name, side in link.sides.items():
        question = partial(check_identity, worker.engine, side, link.currency, link.clock(), link.sides)
        ask_until_answered(name, question, until, worker.engine)


def await_sides(sides: Mapping[str, Side], until: threading.Event, engine: Engine) -> None:
    """Return once every side has answered, or `until` is set. Raises SideClosed: that is for a person."""
    for name, side in sides.items():
        ask_until_answered(name, side.identify, until, engine)


def ask_until_answered(
    name: str, question: Callable[[], object], until: threading.Event, engine: Engine
) -> None:
    """Ask a side until it answers or `until` is set; `giftsync status` tells of it meanwhile."""
    wait_seconds, outages = AGAIN_SECONDS, Outages()
    while not until.is_set():
        try:
            with naming(name):
                question()
            outages.answered(engine, name, STARTING, now())
            return
        except OperatorError as error:
            cause = error.__cause__
            if not isinstance(cause, NotSent | Throttled | InDoubt):
                raise
            if not isinstance(cause, Stopping):
                outages.failed(engine, name, STARTING, cause, now())
            words = f"a side is out of reach; it is asked again in {wait_seconds:.0f} s, until it answers"
            log.warning(words, action="side.awaited", side=name, reason=str(error), wait_seconds=wait_seconds)
            until.wait(wait_seconds)
            wait_seconds = min(wait_seconds * 2, AGAIN_SECONDS_MAX)


def report_closed(side: str, error: SideClosed) -> None:
    log.error(
        "a side needs a person", action="side.closed", side=side, reason=str(error), remedy=error.remedy
    )
