"""What `giftsync serve` serves of one link: which parts, and what stands for the worker elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cli.build import Ledger, build_worker, ledger_exists, ledger_name, now, open_ledger, open_sides
from cli.errors import OperatorError
from cli.served import parts_on
from cli.session import opened_sharing_sides, report_closed
from config.load import load
from config.settings import Settings
from console.guard import Memory
from console.part import Part
from console.receiver import Receiver, create_receiver
from sync.ledger import views
from sync.ledger.database.clock import check_clock
from sync.ledger.database.engine import LedgerUnavailable, check_file
from sync.ledger.database.frozen import frozen
from sync.ledger.database.generation import generation_of
from sync.ledger.database.migrations import check_release
from sync.ledger.database.news import tell_queue
from sync.ledger.database.wake_ups import WakeUps
from sync.ledger.incoming.deliveries import Inbox
from sync.worker.elsewhere import ServiceElsewhere, wake_for

#: How often to look whether the ledger is there by now, and whether it still is the one that was opened.
LOOK_SECONDS = 1.0
#: How often to look whether it was moved, put back, or belongs to a release that this one cannot be beside.
WATCH_SECONDS = 10.0

ONLY_WEBHOOKS = frozenset({Part.WEBHOOKS})


def load_served(
    config: Path | None, wanted: frozenset[Part], port: int | None = None
) -> tuple[Settings, frozenset[Part]]:
    """The settings, and which parts are served; a process that only receives webhooks is not given the
    secrets that let it into the sides. Raises ConfigError and OperatorError.
    """
    settings = load(config, only_receives=wanted == ONLY_WEBHOOKS)
    if port is not None:
        settings = _at_port(settings, port)
    parts = parts_of(settings, wanted)
    if parts == ONLY_WEBHOOKS != wanted:
        return load_served(config, ONLY_WEBHOOKS, port)
    return settings, parts


def _at_port(settings: Settings, port: int) -> Settings:
    console = settings.console.model_copy(update={"port": port})
    return settings.model_copy(update={"console": console})


def parts_of(settings: Settings, wanted: frozenset[Part]) -> frozenset[Part]:
    """The wanted parts; without any, all that the settings switch on. Raises OperatorError for one that they
    do not.
    """
    on = parts_on(settings)
    lacking = [part for part in Part if part in wanted - on]
    if lacking:
        raise OperatorError(
            f"the settings do not switch on what is to be served: {', '.join(lacking)}",
            " ".join(_SWITCHES[part] for part in lacking),
        )
    if not on:
        raise OperatorError("the settings switch on nothing that is served", " ".join(_SWITCHES.values()))
    return wanted or on


_SWITCHES: Mapping[Part, str] = {
    Part.WEBHOOKS: "Webhooks need `port` in [console].",
    Part.CONSOLE: "The console needs `pages = true` in [console].",
    Part.API: "The API needs `enabled = true` in [api].",
}


@contextmanager
def opened_service(settings: Settings) -> Iterator[tuple[ServiceElsewhere, Ledger]]:
    """What serves a link beside its worker. The sides are asked nothing. Raises LedgerUnavailable."""
    with opened_sharing_sides(settings) as sides, open_ledger(settings, create=False) as ledger:
        check_clock(ledger.engine)
        if settings.link.currency is None and views.currency_of(ledger.engine) is None:
            raise LedgerUnavailable("the ledger has no currency yet, which its worker asks the sides for")
        worker = build_worker(settings, ledger, sides, report_closed)
        yield ServiceElsewhere(worker, WakeUps(ledger.engine, ledger_name(settings))), ledger


@contextmanager
def opened_receiver(settings: Settings, memory: Memory | None = None) -> Iterator[tuple[Receiver, Ledger]]:
    """The receiver alone, which asks the sides nothing ever; `memory` is shared by several. Raises
    LedgerUnavailable.
    """
    sides = open_sides(settings)
    try:
        can = {name: side.abilities.listener for name, side in sides.items()}
        listeners = {name: one for name, one in can.items() if one is not None}
        with open_ledger(settings, create=False) as ledger:
            wake_ups = WakeUps(ledger.engine, ledger_name(settings))
            inbox = Inbox(ledger.intake)
            receiver = create_receiver(
                listeners, inbox, now, lambda side, kept: wake_for(wake_ups, side, kept), memory=memory
            )
            yield receiver, ledger
    finally:
        for side in sides.values():
            side.close()


def await_ledger(
    settings: Settings, stop: threading.Event, say: Callable[[str], None], *, only_receives: bool
) -> None:
    """Return once the worker has made the ledger, or `stop` is set.

    Whoever shows cards needs their currency as well, which the worker asks the sides for.
    """
    was_told = False
    while not stop.is_set():
        why = "there is no ledger yet"
        if ledger_exists(settings):
            with open_ledger(settings, create=False) as ledger:
                if only_receives or settings.link.currency or views.currency_of(ledger.engine):
                    return
            why = "the ledger has no currency yet, which the worker asks the sides for"
        if not was_told:
            say(f"Waiting for the worker of this link: {why}.")
            was_told = True
        stop.wait(LOOK_SECONDS)


class LedgerWatch:
    """Tells when an open ledger is one that this process must not serve any more."""

    def __init__(self, engine: Engine, ledger: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._ledger, self._monotonic = engine, ledger, monotonic
        self._generation, self._looked_at = generation_of(engine), monotonic()

    def look(self) -> None:
        """Raises LedgerUnavailable when the ledger was deleted, replaced, moved, put back or upgraded beyond
        this release.
        """
        check_file(self._engine)
        if self._monotonic() - self._looked_at < WATCH_SECONDS:
            return
        self._looked_at = self._monotonic()
        moved = frozen(self._engine)
        if moved is not None:
            raise LedgerUnavailable(moved.words)
        check_release(self._engine)
        # The first worker of a fleet may have made the queue since.
        tell_queue(self._engine, self._ledger)
        before, self._generation = self._generation, generation_of(self._engine)
        if self._generation < before:
            raise LedgerUnavailable("the ledger was put back to an earlier state while it was served")

    def end_when_gone(self, ends: threading.Event) -> LedgerUnavailable | None:
        """Wait until `ends` is set; returns why the ledger cannot be served any more, if that comes first.

        A database that does not answer is waited for: whoever asks meanwhile is told to come again.
        """
        while not ends.wait(LOOK_SECONDS):
            try:
                self.look()
            except LedgerUnavailable as error:
                return error
            except SQLAlchemyError:
                continue
        return None
