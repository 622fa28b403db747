"""What is served over HTTP of one link, and what it needs of the link's worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from cli.signals import StopEvent
from config.settings import Settings
from console.part import Part
from sync.ledger.incoming.deliveries import StoreResult
from sync.worker.worker import Worker

#: Where the pages are when the settings name no port.
PORT = 8600


def parts_on(settings: Settings) -> frozenset[Part]:
    """What the settings switch on. Webhooks are received at a port that is known only."""
    section = settings.console
    on = {
        Part.WEBHOOKS: section.port is not None,
        Part.CONSOLE: section.pages or settings.handover.balance_page,
        Part.API: settings.api.enabled,
    }
    return frozenset(part for part, is_on in on.items() if is_on)


class Served(Protocol):
    """The service of a worker, in this process or in another one."""

    @property
    def worker(self) -> Worker: ...

    def wake(self, side: str, kept: StoreResult) -> None:
        """A delivery was stored: have the worker go on with it."""
        ...

    def wake_due(self) -> None:
        """A card is due now: have the worker go on with it."""
        ...

    def why_stopped(self) -> list[str]:
        """Why nobody else may write now, in words; empty while the worker works."""
        ...


@dataclass
class Restart:
    """The worker begins anew, with settings that were changed in the console."""

    #: Ends the round that is under way.
    ends: threading.Event = field(default_factory=threading.Event)
    wanted: bool = False
    #: Where the console is served: a page that is open goes on after a restart.
    port: int | None = None

    def begin(self) -> None:
        self.wanted = True
        self.ends.set()

    @contextmanager
    def round(self, stop: StopEvent) -> Iterator[threading.Event]:
        """One round: the event is set when `stop` is, or when the worker is to begin anew."""
        with stop.followed() as ends:
            self.ends, self.wanted = ends, False
            try:
                yield ends
            finally:
                ends.set()
