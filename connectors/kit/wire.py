"""Connections that keep to a budget: one deadline and one limit on bytes for a whole call.

The timeouts of requests hold for each wait on the socket, so a server that sends a byte every two seconds
would hold a call for as long as it likes. Here every wait is cut to what is left of the call's time: looking
up the host, connecting, sending, the head of the answer and its body.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

#: Sent at once, so that the deadline is looked at between the parts of a large body.
_SEND_BYTES: Final = 65_536


class Budget:
    """What is left of one call: time, by the monotonic clock, and bytes that may still come."""

    def __init__(self, seconds: float, bytes_max: int) -> None:
        self.until = time.monotonic() + seconds
        self.bytes_left = bytes_max

    def seconds_left(self) -> float:
        """More than zero. Raises TimeoutError at the deadline."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is over")
        return left

    def took(self, count: int) -> None:
        """Count bytes that came. Raises OSError for more than the call may bring."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise OSError("the answer has more bytes than any answer may have")


_of_thread = threading.local()


@contextmanager
def limited(budget: Budget) -> Iterator[Budget]:
    """Have every connection that this thread uses keep to the budget."""
    before = getattr(_of_thread, "budget", None)
    _of_thread.budget = budget
    try:
        yield budget
    finally:
        _of_thread.budget = before


def _budget() -> Budget | None:
    return getattr(_of_thread, "budget", None)


class _Incoming(socket.SocketIO):
    """Reads from a socket within the budget."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, "r")
        self._reads_from = sock

    def readinto(self, buffer: Any) -> int | None:
        budget = _budget()
        if budget is not None:
            self._reads_from.settimeout(budget.seconds_left())
        count = super().readinto(buffer)
        if budget is not None and count:
            budget.took(count)
        return count


class _Socket:
    """A connected socket, plain or TLS, that keeps to the budget of the call it is used for."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Any = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: Any) -> None:
        budget = _budget()
        if budget is None:
            self._sock.sendall(data)
            return
        rest = memoryview(data).cast("B")
        while rest:
            self._sock.settimeout(budget.seconds_left())
            rest = rest[self._sock.send(rest[:_SEND_BYTES]) :]

    def makefile(self, mode: str = "r", *_: object, **__: object) -> io.BufferedReader:
        if mode != "rb":
            raise ValueError("an answer is read as bytes")
        # As socket.makefile does: the socket stays open until its reader is closed, too.
        self._sock._io_refs += 1
        return io.BufferedReader(_Incoming(self._sock))


def open_socket(host: str, port: int, seconds: float, **options: Any) -> socket.socket:
    """Connect within so many seconds, whatever the number of the host's addresses. Raises OSError."""
    until = time.monotonic() + seconds
    failure: OSError = OSError("the host has no address")
    for address in _addresses(host, port, seconds):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            return create_connection((address, port), left, **options)
        except OSError as error:
            failure = error
    raise failure


def _connect(connection: HTTPConnection) -> socket.socket:
    """Connect a connection of urllib3 within the budget."""
    budget, timeout = _budget(), connection.timeout
    seconds = timeout if isinstance(timeout, int | float) else 60.0
    try:
        if budget is not None:
            seconds = min(seconds, budget.seconds_left())
        return open_socket(
            connection._dns_host,
            connection.port,
            seconds,
            source_address=connection.source_address,
            socket_options=connection.socket_options,
        )
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, "the host did not accept a connection in time") from error
    except OSError as error:
        raise NewConnectionError(connection, "no connection could be made") from error


def _addresses(host: str, port: int | None, seconds: float) -> list[str]:
    """The host's addresses. The look-up has no timeout of its own, so a thread makes it."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        pass
    else:
        return [host]
    found: list[str] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append(str(one[4][0]))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=look_up, name="look up host", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if failed:
        raise failed[0]
    return list(dict.fromkeys(found))


class _Http(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)

    def connect(self) -> None:
        super().connect()
        self.sock = _Socket(self.sock)


class _Https(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)

    def connect(self) -> None:
        super().connect()
        self.sock = _Socket(self.sock)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class WireAdapter(HTTPAdapter):
    """The adapter of requests, over connections that keep to a budget."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
