"""Files that a side hands out and takes by signed addresses: posted as forms, read line by line.

The addresses belong to a file store, not to the side, so no token ever goes there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import requests
import urllib3.exceptions as urllib3_errors

from connectors.api.errors import InDoubt, NotSent, SideError
from connectors.kit.exchange import WIRE_BYTES_MAX
from connectors.kit.http import (
    CONNECT_SECONDS,
    READ_ATTEMPTS_MAX,
    READ_SECONDS,
    classify_transport_error,
    retried,
    send_once,
)
from connectors.kit.wire import Budget, WireAdapter, limited

#: A result line is a few hundred bytes.
LINE_BYTES_MAX: Final = 1_000_000
_CHUNK_BYTES: Final = 65_536
#: Whole lines are handed on so many bytes at a time.
_BLOCK_BYTES: Final = 1_048_576
#: A file of a million lines has some 500 MB.
FILE_BYTES_MAX: Final = 4_000_000_000
#: What one read of a file may wait for the store, all its pieces together, without what the reader does with
#: the lines meanwhile.
FILE_SECONDS_MAX: Final = 900.0
_SAFE: Final = re.compile(r"https://.+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?/.*")


class FileStore:
    """Uploads and downloads. Thread-safe in so far as each call has its own connection."""

    def __init__(
        self,
        pause: Callable[[float], None],
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._pause = pause
        self._timeout = (connect_seconds, read_seconds)

    def post_form(self, url: str, fields: Sequence[tuple[str, str]], filename: str, content: bytes) -> None:
        """Post the fields, then the file as the last part. The same upload again changes nothing."""
        self._check(url)
        retried(lambda: self._post(url, fields, filename, content), self._pause)

    def _post(self, url: str, fields: Sequence[tuple[str, str]], filename: str, content: bytes) -> None:
        parts: list[tuple[str, tuple[str | None, str | bytes]]] = [
            (name, (None, value)) for name, value in fields
        ]
        parts.append(("file", (filename, content)))
        with _session() as session:
            request = session.prepare_request(requests.Request("POST", url, files=parts))
            response = send_once(session, request, self._timeout)
        if not 200 <= response.status_code < 300:
            raise InDoubt(f"the file store answered the upload with HTTP {response.status_code}")

    def lines(self, url: str) -> Iterator[bytes]:
        """The file's lines, without their ends. See `blocks`."""
        for block in self.blocks(url):
            yield from block.removesuffix(b"\n").split(b"\n")

    def blocks(self, url: str) -> Iterator[bytes]:
        """The file, about a megabyte of whole lines at a time; only its last line may lack its end.

        A broken connection is taken up where it broke. Raises SideError when the file cannot be had.
        """
        self._check(url)
        done = attempts = 0
        while True:
            try:
                position = 0
                for block in self._read(url):
                    position += len(block)
                    # Another reading may come in other pieces.
                    fresh = block[max(0, len(block) - max(0, position - done)) :]
                    if fresh:
                        done, attempts = position, 0
                        yield fresh
                return
            except (NotSent, InDoubt):
                attempts += 1
                if attempts >= READ_ATTEMPTS_MAX:
                    raise
                self._pause(min(0.2 * 2**attempts, 5.0))

    def _read(self, url: str) -> Iterator[bytes]:
        with _session() as session:
            yield from _whole_lines(self._pieces(session, url))

    def _pieces(self, session: requests.Session, url: str) -> Iterator[bytes]:
        """The file piece by piece: each within the time of a call, all within FILE_SECONDS_MAX."""
        waited, size = 0.0, 0
        pieces: Iterator[bytes] = iter(())
        response: requests.Response | None = None
        try:
            while True:
                began = time.monotonic()
                with limited(Budget(sum(self._timeout), WIRE_BYTES_MAX)):
                    if response is None:
                        response = session.get(url, stream=True, timeout=self._timeout, allow_redirects=False)
                        if response.status_code != 200:
                            raise InDoubt(f"the file store answered with HTTP {response.status_code}")
                        pieces = response.iter_content(_CHUNK_BYTES)
                    piece = next(pieces, None)
                waited, size = waited + time.monotonic() - began, size + len(piece or b"")
                if piece is None:
                    return
                if size > FILE_BYTES_MAX:
                    raise SideError("the side's file is larger than any list of cards")
                if waited > FILE_SECONDS_MAX:
                    raise SideError("the file store sends the side's file too slowly")
                yield piece
        except requests.RequestException as error:
            raise classify_transport_error(error) from None
        except (urllib3_errors.HTTPError, OSError):
            raise InDoubt("the connection to the file store broke") from None
        finally:
            if response is not None:
                response.close()

    def _check(self, url: str) -> None:
        if not _SAFE.fullmatch(url):
            raise SideError("the side names a file address over which codes would travel readably")


def _session() -> requests.Session:
    session = requests.Session()
    # Proxies and .netrc of the machine must not see the signed address.
    session.trust_env = False
    session.mount("http://", WireAdapter())
    session.mount("https://", WireAdapter())
    return session


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= _BLOCK_BYTES:
            text = b"".join(parts)
            end = text.rfind(b"\n") + 1
            if end:
                yield text[:end]
            parts, size = [text[end:]], len(text) - end
            if size > LINE_BYTES_MAX:
                raise SideError("a line of the side's file is longer than any card's")
    if size:
        yield b"".join(parts)
