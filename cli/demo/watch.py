"""Watches the truth on both sides, and measures how long each action takes to be seen on the other one.

An action's lag ends when both sides show the same balance for its card. So it is never too short: actions
that follow each other on one card all end with the last, and the pause between two looks counts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles

from sqlalchemy import Engine

from cli.demo.control import Control
from cli.demo.truth import Pair, Truth, links_of, read_truth
from cli.demo.wallet import Wallet
from sync.ledger.views import list_cards

LAGS_KEPT = 20_000
APART_KEPT = 200
#: Looking takes up to a fifth of the time.
LOOK_PAUSE_SECONDS = 0.4
LOOK_PAUSE_FACTOR = 4.0


@dataclass(frozen=True)
class Lags:
    """How long actions took to be seen on the other side, in seconds."""

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
    """Looks at both sandboxes again and again. Thread-safe."""

    flow: Control
    shopify: Control
    engine: Engine
    wallet: Wallet
    #: Seconds that only grow.
    monotonic: Callable[[], float]
    truth: Truth = field(default_factory=Truth, init=False)
    #: How far both sides' totals were apart at each look, oldest first.
    apart_minor: deque[int] = field(default_factory=lambda: deque(maxlen=APART_KEPT), init=False)
    _waiting: list[Act] = field(default_factory=list, init=False)
    #: Acts that are seen on both sides, with their lags in seconds.
    _seen: deque[tuple[Act, float]] = field(default_factory=lambda: deque(maxlen=LAGS_KEPT), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def acted(self, serial: str, amount_minor: int, origin: str) -> None:
        """Somebody has just moved so much money on the card with this number or code, on that side."""
        with self._lock:
            self._waiting.append(Act(self.monotonic(), serial, amount_minor, origin))

    def look(self) -> Truth:
        """Read the truth; actions from before, whose card agrees by now, have their lag."""
        began = self.monotonic()
        truth = read_truth(self.flow, self.shopify, links_of(list_cards(self.engine)))
        ended = self.monotonic()
        agreeing = {one.serial for pair in truth.pairs if pair.agrees for one in pair.cards}
        with self._lock:
            still = []
            for act in self._waiting:
                if act.at < began and act.serial in agreeing:
                    self._seen.append((act, ended - act.at))
                else:
                    still.append(act)
            self._waiting = still
        for pair in truth.pairs:
            self._tell_owner(pair)
        self.apart_minor.append(abs(truth.flow_minor - truth.shopify_minor))
        self.truth = truth
        return truth

    def _tell_owner(self, pair: Pair) -> None:
        """Whoever holds the card now knows where it works and what is on it."""
        self.wallet.hold(
            number=pair.flow.serial if pair.flow else None,
            code=pair.shopify.serial if pair.shopify else None,
            balance_minor=min(one.balance_minor for one in pair.cards),
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
