"""One HTTP request and its answer over a pooled connection, within a budget of time and bytes.

A call spends a twentieth of the processor time here that it would spend in requests, urllib3 and http.client:
httptools, which the console's server stands on, parses the answer in C, and head and body go out together.
requests stays the vocabulary (its request and response), so that a session can carry calls elsewhere.

Sockets do not block, and only the answer is waited for. One with a timeout is told it anew for every wait,
and waits before it sends. Each of these gives the interpreter's lock away, and a busy worker waits for it.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
import weakref
import zlib
from functools import cache, cached_property, lru_cache
from math import ceil
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import httptools
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_encoding_from_headers

from connectors.api.errors import InDoubt, NotSent
from connectors.kit.wire import Budget, open_socket

#: The largest answer, as it comes over the wire and as it is once it is decompressed. A page of 250 cards has
#: some 200 KB.
WIRE_BYTES_MAX: Final = 16_000_000
BODY_BYTES_MAX: Final = 16_000_000
#: Connections that wait for their next call; more than this are closed after theirs.
POOL_SIZE: Final = 32
_CHUNK_BYTES: Final = 65_536
_GZIP: Final = 31
#: Whatever could end a line early would let a value add headers of its own.
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
_VALUE: Final = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
#: How many addresses of hosts are taken apart once only.
_HOSTS_KEPT: Final = 256
#: Of a URL without a fragment, in which nothing has to be cleaned: up to its path.
_HOST: Final = re.compile(r"https?://[^/?#\s\x00-\x20\x7f-\U0010ffff]+(?=/[\x21-\x22\x24-\x7e]*\Z)")
_CHARACTERS: Final = "the address or a header holds characters that none may hold"
#: What a socket that does not block, plain or TLS, says when it has to be waited for.
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_IN_TIME: Final = "the host did not answer in time"
_BROKEN: Final = "the connection broke before the answer was whole"


class ExchangeAdapter(HTTPAdapter):
    """The transport of a session whose calls are few KB each and are never repeated. Thread-safe."""

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[socket.socket]] = {}
        # For a session that nobody closes.
        weakref.finalize(self, _close_all, self._idle)

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, *, timeout: tuple[float, float], **_: object
    ) -> requests.Response:
        """The whole answer, within the sum of both timeouts.

        Raises NotSent when no connection could be made, and InDoubt for every other failure.
        """
        budget = Budget(sum(timeout), WIRE_BYTES_MAX)
        url = _split(str(request.url))
        message = _message(request, url)
        key = (url.scheme, url.netloc)
        connection = self._pooled(key) or self._connected(url, budget, timeout[0])
        try:
            _send(connection, message, budget)
            answer = _receive(connection, budget)
        except BaseException:
            # What is still on its way would be taken for the answer to the next call.
            connection.close()
            raise
        if answer.keeps_alive:
            self._give_back(key, connection)
        else:
            connection.close()
        return _Response(request, answer)

    def close(self) -> None:
        with self._lock:
            _close_all(self._idle)
        super().close()

    def _pooled(self, key: tuple[str, str]) -> socket.socket | None:
        """A connection from an earlier call that the host has not closed meanwhile."""
        while True:
            with self._lock:
                pool = self._idle.get(key)
                if not pool:
                    return None
                connection = pool.pop()
            # Nothing is awaited on it: what can be read is its end.
            if not _has_ended(connection):
                return connection
            connection.close()

    def _give_back(self, key: tuple[str, str], connection: socket.socket) -> None:
        with self._lock:
            pool = self._idle.setdefault(key, [])
            if len(pool) < POOL_SIZE:
                pool.append(connection)
                return
        connection.close()

    def _connected(self, url: SplitResult, budget: Budget, seconds: float) -> socket.socket:
        try:
            host, port = url.hostname, url.port or {"http": 80, "https": 443}[url.scheme]
            if not host:
                raise KeyError
        except (KeyError, ValueError):
            raise NotSent("the address is not a URL") from None
        try:
            plain = open_socket(host, port, min(seconds, budget.seconds_left()))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            raise NotSent("the host did not accept a connection in time") from None
        except OSError:
            raise NotSent("no connection to the host could be made") from None
        if url.scheme == "http":
            plain.setblocking(False)
            return plain
        try:
            plain.settimeout(min(seconds, budget.seconds_left()))
            secured = _trusting(DEFAULT_CA_BUNDLE_PATH).wrap_socket(plain, server_hostname=host)
            secured.setblocking(False)
            return secured
        except ssl.SSLCertVerificationError:
            plain.close()
            raise NotSent(
                "no secure connection could be made: the host's certificate was not accepted"
            ) from None
        except OSError:
            plain.close()
            # Nothing of the request goes out before the handshake is done.
            raise NotSent("no secure connection could be made") from None


def _has_ended(connection: socket.socket) -> bool:
    return _is_ready(connection, select.POLLIN, 0.0)


def _awaited(error: OSError, event: int) -> int:
    """What to wait for: the event itself, unless TLS has something of its own to do first."""
    if isinstance(error, ssl.SSLWantReadError):
        return select.POLLIN
    return select.POLLOUT if isinstance(error, ssl.SSLWantWriteError) else event


def _wait(connection: socket.socket, event: int, budget: Budget) -> None:
    """Wait until the connection is ready. Raises TimeoutError at the deadline."""
    while not _is_ready(connection, event, budget.seconds_left()):
        pass


def _is_ready(connection: socket.socket, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(connection, event)
    # Rounded up: a wait of no millisecond would be none.
    return bool(poll.poll(ceil(seconds * 1000)))


@cache
def _trusting(bundle: str) -> ssl.SSLContext:
    """One for the process: it takes 1 MB and 50 ms to make, and a fleet's worker opens thousands of sides."""
    context = ssl.create_default_context(cafile=bundle)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _close_all(idle: dict[tuple[str, str], list[socket.socket]]) -> None:
    while idle:
        for connection in idle.popitem()[1]:
            connection.close()


class _Answer:
    """Collects what httptools tells of one answer."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body: list[bytes] = []
        self.status = 0
        self.is_whole = self.keeps_alive = False
        self._head_is_whole = False
        self._size = 0
        self._inflater: Any = None
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        if self.is_whole:
            # Bytes after the answer belong to no call.
            self.keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_whole:
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self.is_whole:
            return
        self._head_is_whole, self.status = True, self.parser.get_status_code()
        coding = self.header("content-encoding").strip().lower()
        if coding in ("gzip", "x-gzip"):
            self._inflater = zlib.decompressobj(_GZIP)
        elif coding not in ("", "identity"):
            raise InDoubt("the answer is compressed in a way that was not asked for")

    def on_body(self, piece: bytes) -> None:
        if self.is_whole:
            return
        if self._inflater is None:
            self._take(piece)
            return
        while piece:
            # Piece by piece: a limit on compressed bytes alone would let a bomb through.
            self._take(self._inflater.decompress(piece, _CHUNK_BYTES))
            piece = self._inflater.unconsumed_tail
            if self._inflater.eof:
                piece = self._inflater.unused_data
                self._inflater = zlib.decompressobj(_GZIP)

    def on_message_complete(self) -> None:
        if self.is_whole:
            return
        if 100 <= self.status < 200:
            # The answer itself is still to come.
            self.headers, self.body, self._head_is_whole, self._inflater = [], [], False, None
            return
        self.is_whole, self.keeps_alive = True, self.parser.should_keep_alive()

    def end(self) -> None:
        """The connection has ended, which ends an answer that told no length. Raises InDoubt for others."""
        has_length = bool(self.header("content-length") or self.header("transfer-encoding"))
        if not self._head_is_whole or has_length:
            raise InDoubt(_BROKEN)
        self.is_whole = True

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > BODY_BYTES_MAX:
            raise InDoubt("the answer is larger than any answer may be")
        self.body.append(piece)


class Headers(CaseInsensitiveDict[str]):
    """Headers that many requests have alike, and that nobody alters."""

    @classmethod
    def of(cls, headers: CaseInsensitiveDict[str]) -> Headers:
        return headers if isinstance(headers, cls) else cls(headers)

    @cached_property
    def lines(self) -> str:
        """As they go out. Raises NotSent for a value that no header may hold."""
        return "".join(_line(name, str(value)) for name, value in self.items())


def _split(url: str) -> SplitResult:
    """`urlsplit`, which takes an address apart for the first time only: no two calls have one URL."""
    host = _HOST.match(url)
    if host is None:
        return urlsplit(url)
    path, _, query = url[host.end() :].partition("?")
    return _split_host(host.group())._replace(path=path, query=query)


@lru_cache(_HOSTS_KEPT)
def _split_host(url: str) -> SplitResult:
    return urlsplit(url)


def _line(name: str, value: str) -> str:
    """One line of the head. Raises NotSent for a value that no header may hold."""
    if not _VALUE.fullmatch(value):
        raise NotSent(_CHARACTERS)
    return f"{name}: {value}\r\n"


def _message(request: requests.PreparedRequest, url: SplitResult) -> bytes:
    """Head and body as they go out. Raises NotSent for what no request may hold."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if not _TARGET.fullmatch(target):
        raise NotSent(_CHARACTERS)
    head = _line("Host", url.netloc.rpartition("@")[2]) + Headers.of(request.headers).lines
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else bytes(body)
    return f"{request.method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def _send(connection: socket.socket, message: bytes, budget: Budget) -> None:
    try:
        rest = memoryview(message)
        while rest:
            budget.seconds_left()
            try:
                rest = rest[connection.send(rest[:_CHUNK_BYTES]) :]
            except _NOT_NOW as error:
                _wait(connection, _awaited(error, select.POLLOUT), budget)
    except TimeoutError:
        raise InDoubt(_IN_TIME) from None
    except OSError:
        raise InDoubt("the connection broke before an answer came") from None


def _receive(connection: socket.socket, budget: Budget) -> _Answer:
    answer = _Answer()
    try:
        # Nothing can be there yet.
        _wait(connection, select.POLLIN, budget)
        while not answer.is_whole:
            budget.seconds_left()
            try:
                piece = connection.recv(_CHUNK_BYTES)
            except _NOT_NOW as error:
                _wait(connection, _awaited(error, select.POLLIN), budget)
                continue
            if not piece:
                answer.end()
                break
            budget.took(len(piece))
            answer.parser.feed_data(piece)
    except TimeoutError:
        raise InDoubt("the host did not finish its answer in time" if answer.status else _IN_TIME) from None
    except httptools.HttpParserCallbackError as error:
        raise InDoubt(_told(error)) from None
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        raise InDoubt("the answer is not HTTP") from None
    except OSError:
        raise InDoubt(_BROKEN if answer.status else "the connection broke before an answer came") from None
    return answer


def _told(error: httptools.HttpParserCallbackError) -> str:
    """What a callback has raised: words of ours, or that the body does not decompress."""
    cause = error.__context__
    return str(cause) if isinstance(cause, InDoubt) else "the answer's body is not readable"


class _Response(requests.Response):
    """The answer as callers of requests know it, made without the cookie jar that nobody here looks into."""

    def __init__(self, request: requests.PreparedRequest, answer: _Answer) -> None:
        self.request, self.url, self.status_code = request, str(request.url), answer.status
        self._content = b"".join(answer.body)
        self._content_consumed = True
        self._lines = answer.headers
        self.history = []
        self.reason = ""

    @cached_property
    def encoding(self) -> str | None:  # type: ignore[override]
        return get_encoding_from_headers(self.headers)

    @cached_property
    def headers(self) -> CaseInsensitiveDict[str]:  # type: ignore[override]
        """Few callers look at them."""
        return CaseInsensitiveDict(self._lines)
