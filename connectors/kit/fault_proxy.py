"""An HTTP proxy on this machine that loses, delays and breaks what a connector and its system say to each
other.

A connector's tests point it at the proxy, which passes everything on to the system or to its stand-in. So
every connector can be shown each accident that a network and a busy server have, whatever the stand-in can do
itself.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

#: Those that change something on the other side.
WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "content-length"})
_SECONDS: Final = 30.0


class ProxyFault(StrEnum):
    """What happens to one request."""

    #: The connection breaks, and nothing has reached the system.
    LOST_REQUEST = "lost_request"
    #: The system carries it out; the connection breaks before the answer.
    LOST_ANSWER = "lost_answer"
    #: The connection breaks at once; the system carries it out when `land_late` is called.
    LATE = "late"
    #: 500, and nothing has reached the system.
    BROKEN = "broken"
    #: The system carries it out, and the answer is a 502.
    BROKEN_AFTER = "broken_after"
    #: 429 with Retry-After, and nothing has reached the system.
    THROTTLED = "throttled"
    #: The answer waits until `let_go` is called.
    SLOW = "slow"


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FaultProxy:
    """Passes requests on to `target`. Thread-safe."""

    target: str
    _faults: list[tuple[ProxyFault, Callable[[str, str], bool]]] = field(default_factory=list, init=False)
    _late: list[_Request] = field(default_factory=list, init=False)
    _go: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    #: Method and path of every request that came.
    seen: list[tuple[str, str]] = field(default_factory=list, init=False)
    url: str = field(default="", init=False)

    def fail_next(self, fault: ProxyFault, matches: Callable[[str, str], bool] | None = None) -> None:
        """Let the next request that matches, by its method and path, meet the fault; by default the next
        write."""
        with self._lock:
            self._go.clear()
            self._faults.append((fault, matches or (lambda method, path: method in WRITES)))

    def land_late(self) -> int:
        """Pass on what was held up; returns how many requests these were."""
        with self._lock:
            held_up, self._late = self._late, []
        for request in held_up:
            self._pass_on(request)
        return len(held_up)

    def let_go(self) -> None:
        """Give the answers that wait."""
        self._go.set()

    @contextmanager
    def served(self) -> Iterator[FaultProxy]:
        """Serve on a free port of this machine until the block ends; `url` is where."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            self._go.set()
            server.shutdown()
            server.server_close()
            thread.join(_SECONDS)

    def _fault_for(self, method: str, path: str) -> ProxyFault | None:
        with self._lock:
            self.seen.append((method, path))
            for position, (fault, matches) in enumerate(self._faults):
                if matches(method, path):
                    del self._faults[position]
                    return fault
        return None

    def _pass_on(self, request: _Request) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(self.target)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
        try:
            path = f"{parts.path.rstrip('/')}{request.path}"
            connection.request(request.method, path, request.body or None, request.headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """A path can hold a serial, so nothing is logged."""

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
                request = _Request(self.command, self.path, headers, self.rfile.read(length))
                fault = proxy._fault_for(self.command, urlsplit(self.path).path)
                match fault:
                    case ProxyFault.LOST_REQUEST:
                        return self._cut()
                    case ProxyFault.LATE:
                        with proxy._lock:
                            proxy._late.append(request)
                        return self._cut()
                    case ProxyFault.BROKEN:
                        return self._answer(500, {}, b"{}")
                    case ProxyFault.THROTTLED:
                        return self._answer(429, {"Retry-After": "1"}, b"{}")
                status, headers, body = proxy._pass_on(request)
                if fault is ProxyFault.LOST_ANSWER:
                    return self._cut()
                if fault is ProxyFault.BROKEN_AFTER:
                    return self._answer(502, {}, b"{}")
                if fault is ProxyFault.SLOW:
                    proxy._go.wait(_SECONDS)
                return self._answer(status, headers, body)

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _cut(self) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        return Handler
