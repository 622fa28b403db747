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
    _waiting: list[tuple[float, str]] = field(default_factory=list, init=False)
    _lags: deque[float] = field(default_factory=lambda: deque(maxlen=LAGS_KEPT), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def acted(self, serial: str) -> None:
        """Somebody has just moved money on the card with this number or code."""
        with self._lock:
            self._waiting.append((self.monotonic(), serial))

    def look(self) -> Truth:
        """Read the truth; actions from before, whose card agrees by now, have their lag."""
        began = self.monotonic()
        truth = read_truth(self.flow, self.shopify, links_of(list_cards(self.engine)))
        ended = self.monotonic()
        agreeing = {one.serial for pair in truth.pairs if pair.agrees for one in pair.cards}
        with self._lock:
            still = []
            for at, serial in self._waiting:
                if at < began and serial in agreeing:
                    self._lags.append(ended - at)
                else:
                    still.append((at, serial))
            self._waiting = still
        for pair in truth.pairs:
            self._tell_owner(pair)
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

    def lags(self) -> Lags:
        with self._lock:
            lags, waiting = sorted(self._lags), len(self._waiting)
        if not lags:
            return Lags(waiting=waiting)
        # The inclusive method needs two values.
        cuts = quantiles(lags if len(lags) > 1 else lags * 2, n=20, method="inclusive")
        return Lags(len(lags), cuts[9], cuts[18], lags[-1], waiting)
