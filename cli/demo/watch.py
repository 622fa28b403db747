"""Watches the truth on every side, and measures how long each action takes to be seen on the others.

An action's lag ends when all sides show the same balance for its card. So it is never too short: actions
that follow each other on one card all end with the last, and the pause between two looks counts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import quantiles

from sqlalchemy import Engine

from cli.demo.truth import Group, Truth, links_of, read_truth
from cli.demo.venue import Calls
from cli.demo.wallet import Wallet
from sync.ledger.views import list_cards

LAGS_KEPT = 20_000
APART_KEPT = 200
#: Looking takes up to a fifth of the time.
LOOK_PAUSE_SECONDS = 0.4
LOOK_PAUSE_FACTOR = 4.0


@dataclass(frozen=True)
class Lags:
    """How long actions took to be seen on the other sides, in seconds."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    worst: float | None = None
    #: Actions that are not seen yet.
    waiting: int = 0


@dataclass(frozen=True)
class Act:
    """Somebody moved money on a card."""

    #: By the watch's monotonic clock.
    at: float
    #: The number or the code that was used.
    serial: str = field(repr=False)
    #: Signed, in minor units.
    amount_minor: int
    #: The side where it happened.
    origin: str


@dataclass
class Watch:
    """Looks at every side again and again. Thread-safe."""

    #: By side.
    calls: Mapping[str, Calls]
    engine: Engine
    wallet: Wallet
    #: Seconds that only grow.
    monotonic: Callable[[], float]
    truth: Truth = field(default_factory=Truth, init=False)
    #: How far the sides' totals were apart at each look, oldest first.
    apart_minor: deque[int] = field(default_factory=lambda: deque(maxlen=APART_KEPT), init=False)
    _waiting: list[Act] = field(default_factory=list, init=False)
    #: Acts that are seen on all sides, with their lags in seconds.
    _seen: deque[tuple[Act, float]] = field(default_factory=lambda: deque(maxlen=LAGS_KEPT), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def acted(self, serial: str, amount_minor: int, origin: str) -> None:
        """Somebody has just moved so much money on the card with this number or code, on that side."""
        with self._lock:
            self._waiting.append(Act(self.monotonic(), serial, amount_minor, origin))

    def look(self) -> Truth:
        """Read the truth; actions from before, whose card agrees by now, have their lag."""
        began = self.monotonic()
        cards = list(list_cards(self.engine))
        truth = read_truth(self.calls, links_of(cards))
        ended = self.monotonic()
        agreeing = {one.serial for group in truth.groups if group.agrees for one in group.cards.values()}
        with self._lock:
            still = []
            for act in self._waiting:
                if act.at < began and act.serial in agreeing:
                    self._seen.append((act, ended - act.at))
                else:
                    still.append(act)
            self._waiting = still
        for group in truth.groups:
            self._tell_owner(group)
        totals = truth.totals_minor.values()
        self.apart_minor.append(max(totals) - min(totals))
        self.truth = truth
        return truth

    def _tell_owner(self, group: Group) -> None:
        """Whoever holds the card now knows where it works and what is on it."""
        self.wallet.hold(
            {side: card.serial for side, card in group.cards.items()},
            min(card.balance_minor for card in group.cards.values()),
        )

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        pause = 0.0
        while not stop.wait(pause):
            began = self.monotonic()
            self.look()
            pause = max(LOOK_PAUSE_SECONDS, LOOK_PAUSE_FACTOR * (self.monotonic() - began))

    def newest(self, limit: int) -> list[tuple[Act, float | None]]:
        """The newest acts, newest first, with their lags; None: not seen on the other side yet.

        At most half of them are on their way, so that there are always some that have arrived.
        """
        with self._lock:
            waiting: list[tuple[Act, float | None]] = [(act, None) for act in self._waiting]
            seen: list[tuple[Act, float | None]] = list(self._seen)
        on_their_way = waiting[-max(limit // 2, limit - len(seen)) :]
        acts = [*on_their_way, *seen[-(limit - len(on_their_way)) :]]
        return sorted(acts, key=lambda one: one[0].at, reverse=True)

    def newest_lags(self, limit: int) -> list[float]:
        """The lags of the acts that were seen last, oldest first."""
        with self._lock:
            return [lag for _, lag in list(self._seen)[-limit:]]

    def lags(self) -> Lags:
        with self._lock:
            lags, waiting = sorted(lag for _, lag in self._seen), len(self._waiting)
        if not lags:
            return Lags(waiting=waiting)
        # The inclusive method needs two values.
        cuts = quantiles(lags if len(lags) > 1 else lags * 2, n=20, method="inclusive")
        return Lags(len(lags), cuts[9], cuts[18], lags[-1], waiting)
