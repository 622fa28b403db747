"""What a Prometheus server reads of a process that serves: its requests by part and status, and itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.part import Part, part_of, side_of

#: What the label says where it is no part's name. Senders choose paths, so they are no labels.
_LABELS = {Part.CONSOLE: "pages"}
#: Those that ask whether a process is up would hide the rest.
_HEALTH = frozenset({"/health", "/healthz", "/readyz"})
_NOT_FOUND = 404


@dataclass(frozen=True)
class RequestMetrics:
    """Counts the requests of one process. Thread-safe."""

    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=False))
    monotonic: Callable[[], float] = time.monotonic
    count: Counter = field(init=False)
    seconds: Histogram = field(init=False)

    def __post_init__(self) -> None:
        ProcessCollector(registry=self.registry)
        words = "Requests that were answered."
        count = Counter(
            "giftsync_requests", words, ("link", "part", "side", "status"), registry=self.registry
        )
        words = "How long answers took, from the first byte to the last."
        seconds = Histogram("giftsync_request_seconds", words, ("link", "part"), registry=self.registry)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "seconds", seconds)

    def counted(self, app: ASGIApp, link: str = "") -> ASGIApp:
        """The application with its requests counted; `link` is empty where a process serves one."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, self.counting(scope, send, link))

        return serve

    def counting(self, scope: Scope, send: Send, link: str) -> Send:
        """`send` that counts the answer to one request once it is whole."""
        if scope["type"] != "http" or scope["path"] in _HEALTH:
            return send
        began, status = self.monotonic(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._note(scope, link, status, self.monotonic() - began)

        return send_on

    def _note(self, scope: Scope, link: str, status: int, seconds: float) -> None:
        part = part_of(scope["method"], scope["path"])
        label = _LABELS.get(part, part)
        # A side that there is not is a word of the sender's.
        side = None if status == _NOT_FOUND else side_of(scope["method"], scope["path"])
        self.count.labels(link, label, side or "", str(status)).inc()
        self.seconds.labels(link, label).observe(seconds)
