"""Serve the console and the receiver from a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from console.guard import connections_max, guarded_protocol, raise_descriptor_limit
from console.refusals import RefusalLog
from console.unavailable import ConsoleUnavailable

BACKLOG = 128
STOP_SECONDS = 1.0


@contextmanager
def serve(
    app: ASGIApp, host: str, port: int, refusals: RefusalLog | None = None, *, shares_port: bool = False
) -> Iterator[int]:
    """Serve the application until the block ends; gives the port, which is chosen when it was 0.

    Processes of one user that all say `shares_port` may serve at the same port: the system hands each new
    connection to one of them.
    """
    refusals = refusals or RefusalLog()
    listening = _listen(host, port, shares_port=shares_port)
    config = uvicorn.Config(
        app,
        log_config=None,
        # Its start and end are told by the worker, in our words.
        # Whoever sends nonsense must not fill the log.
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=int(STOP_SECONDS),
        http=guarded_protocol(connections_max(raise_descriptor_limit()), refusals),
        # Accepted in one go before they are counted.
        backlog=BACKLOG,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="console", daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS + 0.5)
        listening.close()


def _listen(host: str, port: int, *, shares_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or the event loop leaves Nagle's algorithm on, which costs an answer 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares_port:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConsoleUnavailable(
            f"the console cannot listen on {host} port {port}: {error.strerror}; choose another port",
            error.errno,
        ) from None
    return listening
