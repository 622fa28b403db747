"""What a Prometheus server reads of a process that serves: its requests by part and status, and itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What the paths of a part begin with; the rest are pages. Senders choose paths, so they are no labels.
_PARTS = {"/webhooks/": "webhooks", "/api/": "api", "/providers/": "api"}
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
                self._note(scope["path"], link, status, self.monotonic() - began)

        return send_on

    def _note(self, path: str, link: str, status: int, seconds: float) -> None:
        start, part = next(((s, p) for s, p in _PARTS.items() if path.startswith(s)), ("", "pages"))
        # A side that there is not is a word of the sender's.
        side = path.removeprefix(start) if part == "webhooks" and status != _NOT_FOUND else ""
        self.count.labels(link, part, side, str(status)).inc()
        self.seconds.labels(link, part).observe(seconds)
