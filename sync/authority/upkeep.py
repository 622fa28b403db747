"""What a worker does for the API of its link: tells receivers of events, and forgets what is old."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sync.authority.webhooks import Teller
from sync.ledger.hub.events import Events
from sync.ledger.hub.requests import Requests

#: How soon receivers are told.
EVENTS_SECONDS = 2.0
#: After a round in which a receiver did not answer, which may have taken long.
UNREACHABLE_SECONDS = 15.0


@dataclass(frozen=True)
class ApiUpkeep:
    """Done again and again by the worker of a link whose API is on."""

    events: Events
    requests: Requests
    clock: Callable[[], datetime]
    teller: Teller

    def tell(self, stop: threading.Event) -> float | None:
        """Tell receivers of events until `stop` is set; seconds until there may be more, None while nobody is
        told anything.
        """
        came = self.teller.step(stop)
        if not came.has_receivers:
            return None
        if came.met_unreachable:
            return UNREACHABLE_SECONDS
        return 0.0 if came.is_cut else EVENTS_SECONDS

    def forget(self) -> None:
        """Drop events and answers that nobody can ask for any more."""
        self.events.forget_old(self.clock())
        self.requests.forget_old(self.clock())
