"""Takes a shop's webhooks during a check. It answers the first delivery with 503, to see it come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

BODY_BYTES_MAX: Final = 65_536
_SECONDS_MAX: Final = 10.0


@dataclass(frozen=True)
class Received:
    """One delivery as it came. Headers have lower-case names."""

    headers: dict[str, str]
    body: bytes
    #: What it was answered.
    status: int


@dataclass
class Receiver:
    """Listens at an address of this machine. Thread-safe."""

    key: bytes = field(repr=False)
    url: str = ""
    came: list[Received] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def served(self, host: str, port: int) -> Iterator[Receiver]:
        """Listen until the block ends. Raises OSError for a port that cannot be had."""
        server = ThreadingHTTPServer((host, port), self._handler())
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self.url = f"http://{host}:{server.server_address[1]}/"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(_SECONDS_MAX)

    def wait(self, count: int, seconds: float) -> list[Received]:
        """The deliveries, once there are so many or the time is over."""
        until = time.monotonic() + seconds
        with self._news:
            self._news.wait_for(lambda: len(self.came) >= count, max(until - time.monotonic(), 0.0))
            return list(self.came)

    def _take(self, headers: dict[str, str], body: bytes) -> int:
        with self._news:
            status = 503 if not self.came else 202
            self.came.append(Received(headers, body, status))
            self._news.notify_all()
            return status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _SECONDS_MAX

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is logged: what comes here is told by the rules."""

            def do_POST(self) -> None:
                told = self.headers.get("Content-Length", "")
                if not told.isdigit() or int(told[:12]) > BODY_BYTES_MAX:
                    return self.send_error(413)
                body = self.rfile.read(int(told))
                status = receiver._take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                return self.end_headers()

        return Handler
