"""What one client may cost the receiver: time for a request, bytes of headers, connections, memory in all.

The receiver shares its process with the worker, whose database and calls need descriptors and memory.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from console.refusals import RefusalLog

#: A side sends a delivery in one go; only an attack needs longer.
HEAD_SECONDS = 5.0
BODY_SECONDS = 15.0
HEAD_BYTES_MAX = 32 * 1024
#: Far more than sides and a proxy open at once.
CONNECTIONS_MAX = 256
#: Of the descriptors of the process; the rest is the worker's.
CONNECTIONS_SHARE = 4
#: The worker's calls, database and files, with a full house at the receiver.
DESCRIPTORS_WANTED = 8_192
#: Bodies that are being received, together.
BODIES_BYTES_MAX = 64 * 1024 * 1024

_TOO_LARGE = "Request header fields are too large."


def raise_descriptor_limit() -> int:
    """Let this process open as many files as it may, up to what it can use; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = DESCRIPTORS_WANTED if hard == unlimited else min(DESCRIPTORS_WANTED, hard)
    if soft != unlimited and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # Some systems bound it below the limit that they tell.
            return soft
        return wanted
    return DESCRIPTORS_WANTED if soft == unlimited else soft


def connections_max(descriptors: int) -> int:
    """How many connections leave the worker what it needs."""
    return max(1, min(CONNECTIONS_MAX, descriptors // CONNECTIONS_SHARE))


@dataclass
class Memory:
    """How many bytes of bodies are held. Only for the event loop."""

    limit_bytes: int = BODIES_BYTES_MAX
    held_bytes: int = 0

    def take(self, count: int) -> bool:
        """Whether so many more may be held."""
        if self.held_bytes + count > self.limit_bytes:
            return False
        self.held_bytes += count
        return True

    def give_back(self, count: int) -> None:
        self.held_bytes -= count


class Guarded(HttpToolsProtocol):
    """HTTP of one connection, cut off when it takes too long or sends too much.

    Each server has a class of its own: its connections share these three.
    """

    connections_max: ClassVar[int]
    refusals: ClassVar[RefusalLog]
    #: Those that wait for a request, the one that waits longest first.
    waiting: ClassVar[dict[Guarded, None]]

    _deadline: asyncio.TimerHandle | None = None
    _in_head = True
    #: Of the headers under way, as received.
    _head_bytes = 0
    #: Of the headers that were kept; some may follow a body.
    _kept_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._allow(HEAD_SECONDS)
        self.waiting[self] = None
        if len(self.connections) > self.connections_max:
            self.refusals.note("webhook.crowded", "there are too many connections")
            next(iter(self.waiting))._cut()

    def connection_lost(self, exc: Exception | None) -> None:
        self._allow(None)
        self.waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._head_bytes == 0:
                self._allow(HEAD_SECONDS)
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self.send_400_response(_TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or too much of it."""
        if not self.transport.is_closing():
            self.refusals.note("webhook.refused", "it is malformed, or its headers are too large")
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        self._kept_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._keep(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._keep(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self.waiting.pop(self, None)
        self._allow(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._allow(None)
        self._in_head, self._head_bytes = True, 0
        self.waiting[self] = None

    def shutdown(self) -> None:
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self._cut()
        super().shutdown()

    def _keep(self, count: int) -> None:
        self._kept_bytes += count
        if self._kept_bytes > HEAD_BYTES_MAX:
            # The parser stops, and the request is answered as malformed.
            raise ValueError(_TOO_LARGE)

    def _allow(self, seconds: float | None) -> None:
        """So long until the connection is cut; None: as long as it takes to answer."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        self.refusals.note("webhook.refused", "it took too long to arrive")
        self._cut()

    def _cut(self) -> None:
        self._allow(None)
        self.waiting.pop(self, None)
        self.connections.discard(self)
        self.transport.abort()


def guarded_protocol(connections: int, refused: RefusalLog) -> type[HttpToolsProtocol]:
    """uvicorn's protocol for one server, with at most so many connections at a time."""

    class OfServer(Guarded):
        connections_max = connections
        refusals = refused
        waiting: ClassVar[dict[Guarded, None]] = {}

    return OfServer
