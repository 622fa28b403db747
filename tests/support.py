"""What tests share that is not a fixture."""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from config.settings import Settings
from config.sides import settings_type
from connectors.flow.section import FlowSection
from connectors.shopify.section import ShopifySection

STARTED_AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

#: What `responses` takes the place of in tests.
TRANSPORT = "connectors.kit.exchange.ExchangeAdapter.send"

#: Runs a command: its exit code, stdout and stderr.
Giftsync = Callable[..., tuple[int, str, str]]


class Clock:
    """A zone-aware clock that stands still until a test moves it. Thread-safe."""

    def __init__(self, now: datetime = STARTED_AT) -> None:
        self.now = now
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        with self._lock:
            self.now += timedelta(seconds=seconds)
            return self.now


@dataclass
class Time:
    """One clock for a side's emulator and its connector; only waiting moves it on."""

    now: datetime = STARTED_AT
    pauses: list[float] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)


class MovesClock(threading.Event):
    """A stop signal: whoever waits for it for a while finds that ten times as much has passed."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            self._clock.advance(10 * timeout)
        return self.is_set()


def seen_in_time(holds: Callable[[], bool], seconds_max: float = 60.0, pause_seconds: float = 0.01) -> bool:
    """Look again and again until it holds, for a bounded time; whether it came to hold."""
    pause = threading.Event()
    return any(holds() or pause.wait(pause_seconds) for _ in range(round(seconds_max / pause_seconds)))


@contextmanager
def kept_port() -> Iterator[int]:
    """A loopback port for a server that the test starts, which the system gives to nobody else meanwhile.

    A port that is bound and not listened at can be bound again by whoever says SO_REUSEADDR, as servers do.
    Only Linux has that rule; elsewhere the port is let go and may be gone.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
        if sys.platform != "linux":
            held.close()
        yield port


def without_addresses(shown: str) -> str:
    """What `repr` shows without addresses in memory, in which any few digits stand by chance."""
    return re.sub(r" at 0x[0-9a-f]+", "", shown)


class Crashed(BaseException):
    """The process dies here, as far as the code under test can tell."""


def link_settings(
    *, flow: Mapping[str, Any] | None = None, shopify: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of a link of one store and one shop, which nothing answers for."""
    store = {"connector": "flow", "tenant": "7", "store": "70", "token": "a-token-of-flow"}
    shop = {"connector": "shopify", "shop": "example.myshopify.com", "token": "a-token-of-shopify"}
    made = settings_type({"flow": FlowSection, "shopify": ShopifySection})
    return made.model_validate(
        {
            "link": {"timezone": "Europe/Oslo"},
            "sides": {"flow": {**store, **(flow or {})}, "shopify": {**shop, **(shopify or {})}},
        }
    )
