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
from connectors.kit.http import (
    CONNECT_SECONDS,
    READ_ATTEMPTS_MAX,
    READ_SECONDS,
    WIRE_BYTES_MAX,
    classify_transport_error,
    retried,
    send_once,
)
from connectors.wire import Budget, WireAdapter, limited

#: A result line is a few hundred bytes.
LINE_BYTES_MAX: Final = 1_000_000
_CHUNK_BYTES: Final = 65_536
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
        """The file's lines, without their ends. A broken connection is taken up where it broke.

        Raises SideError when the file cannot be had.
        """
        self._check(url)
        done = attempts = 0
        while True:
            try:
                for position, line in enumerate(self._read(url)):
                    if position >= done:
                        done, attempts = position + 1, 0
                        yield line
                return
            except (NotSent, InDoubt):
                attempts += 1
                if attempts >= READ_ATTEMPTS_MAX:
                    raise
                self._pause(min(0.2 * 2**attempts, 5.0))

    def _read(self, url: str) -> Iterator[bytes]:
        with _session() as session:
            yield from _lines_of(self._pieces(session, url))

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


def _lines_of(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > LINE_BYTES_MAX:
            raise SideError("a line of the side's file is longer than any card's")
    if rest:
        yield rest
