"""Runs an emulator on a loopback port, in a thread of its own, for as long as a test needs it."""

from __future__ import annotations

import asyncio
import atexit
import socket
import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, TypeVar

from aiohttp import web

from sandbox.emulator import Emulator
from sandbox.faults import Fault, FaultPlan

T = TypeVar("T")

ANSWER_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Loopback:
    """A served application and the event loop that it lives in."""

    url: str
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine inside the emulator's own loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(ANSWER_SECONDS_MAX)


class LateGate:
    """Holds what an emulator carries out late until the test lets it land: no test races with a delay."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    async def __call__(self, _: float) -> None:
        await self._open.wait()

    async def let_land(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        self._open.set()
        await asyncio.gather(*tasks)
        self._open.clear()


def settle(loopback: Loopback, emulator: Emulator) -> None:
    """Let every request that the emulator carries out late land now."""

    async def gather() -> None:
        assert isinstance(emulator.wait_late, LateGate)
        await emulator.wait_late.let_land(tuple(emulator._background))

    loopback.run(gather())


@dataclass
class FailOnce(FaultPlan):
    """A fault for the next operation whose `kind name` contains `match`; all others are well."""

    match: str = ""
    fault: Fault | None = None

    def draw(self, operation: str) -> Fault | None:
        if self.fault is None or self.match.lower() not in operation.lower():
            return None
        fault, self.fault = self.fault, None
        return fault


@contextmanager
def serve(application: web.Application) -> Iterator[Loopback]:
    """Serve the application on a free loopback port; on exit it is stopped and its loop closed."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(application, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, name="emulator", daemon=True)
    thread.start()
    try:
        yield Loopback(f"http://127.0.0.1:{port}", loop)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(ANSWER_SECONDS_MAX)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(ANSWER_SECONDS_MAX)
        loop.close()


class Inbox:
    """A web server on loopback that keeps every webhook delivery and says that it was taken."""

    def __init__(self, path: str) -> None:
        #: Headers by lower-case name, and the raw body.
        self.came: list[tuple[dict[str, str], bytes]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(202)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}"

    @contextmanager
    def served(self) -> Iterator[Inbox]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(ANSWER_SECONDS_MAX)


@cache
def closed_port() -> int:
    """A loopback port that nobody listens on: it is ours until this process ends, so nobody else can."""
    held = socket.socket()
    atexit.register(held.close)
    held.bind(("127.0.0.1", 0))
    return int(held.getsockname()[1])
