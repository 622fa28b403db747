"""A loopback server whose answers do not end, are too large, or come a byte at a time."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat

#: Between two bytes of a dripped answer: far shorter than any timeout, so that no single wait is too long.
DRIP_SECONDS = 0.02

Answer = Callable[[], Iterable[bytes]]


@dataclass
class FaultyServer:
    """Answers every request with the pieces of `answer`, as long as the other end listens."""

    url: str
    port: int
    stopped: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    #: The bodies of the requests.
    bodies: list[bytes] = field(default_factory=list)


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer of one piece, as it is on the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
#: More than any call may bring.
FLOOD = b" " * 1_000_000


def _bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(FLOOD) for _ in range(400)), packer.flush()])


#: 400 MB of nothing in 389 KB.
BOMB = _bomb()


def drip_body() -> Iterator[bytes]:
    return chain([HEAD], repeat(b" "))


def drip_head() -> Iterator[bytes]:
    return chain([b"HTTP/1.1 200 OK\r\nX-Slow: "], repeat(b"x"))


def never_begin() -> Iterator[bytes]:
    return chain([b"HTTP/1.1 100 Continue\r\n\r\n"], repeat(b"HTTP/1.1 100 Continue\r\n\r\n"))


def flood() -> Iterator[bytes]:
    return chain([HEAD], repeat(FLOOD))


def flood_of_a_chunk_size() -> Iterator[bytes]:
    return chain([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], repeat(b"0" * 1_000_000))


def bomb() -> Iterator[bytes]:
    return iter([whole(BOMB, "Content-Encoding: gzip")])


def bomb_in_chunks() -> Iterator[bytes]:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return iter([head, f"{len(BOMB):x}\r\n".encode(), BOMB, b"\r\n0\r\n\r\n"])


@contextmanager
def faulty_server(answer: Answer, greets: bool = False) -> Iterator[FaultyServer]:
    """Serve on a free loopback port. With `greets` it speaks first, as a mail server does."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    server = FaultyServer(f"http://127.0.0.1:{port}", port)

    def talk(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            peer.settimeout(20.0)
            while not server.stopped.is_set():
                if not greets:
                    body = _request(peer)
                    if body is None:
                        return
                    server.bodies.append(body)
                for piece in answer():
                    peer.sendall(piece)
                    if server.stopped.wait(DRIP_SECONDS if len(piece) < 64 else 0):
                        return

    def accept() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                server.connections += 1
                threading.Thread(target=talk, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        # A blocked accept does not hear that its socket is closed.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5.0)


def _request(peer: socket.socket) -> bytes | None:
    """The body of the next request; None when the other end has gone."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        more = peer.recv(65_536)
        if not more:
            return None
        seen += more
    head, _, rest = seen.partition(b"\r\n\r\n")
    lines = [line.split(b":") for line in head.lower().split(b"\r\n")]
    length = next((int(line[1]) for line in lines if line[0] == b"content-length"), 0)
    while len(rest) < length:
        more = peer.recv(65_536)
        if not more:
            return None
        rest += more
    return rest
