"""Files that a side hands out and takes by signed addresses: posted as forms, read line by line.

The addresses belong to a file store, not to the side, so no token ever goes there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import requests

from connectors.errors import InDoubt, NotSent, SideError
from connectors.http import (
    CONNECT_SECONDS,
    READ_ATTEMPTS_MAX,
    READ_SECONDS,
    classify_transport_error,
    retried,
)

#: A result line is a few hundred bytes.
LINE_BYTES_MAX: Final = 1_000_000
_CHUNK_BYTES: Final = 65_536
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
            try:
                response = session.post(url, files=parts, timeout=self._timeout, allow_redirects=False)
            except requests.RequestException as error:
                raise classify_transport_error(error) from None
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
            try:
                with session.get(url, stream=True, timeout=self._timeout, allow_redirects=False) as response:
                    if response.status_code != 200:
                        raise InDoubt(f"the file store answered with HTTP {response.status_code}")
                    yield from _lines_of(response.iter_content(_CHUNK_BYTES))
            except requests.RequestException as error:
                raise classify_transport_error(error) from None

    def _check(self, url: str) -> None:
        if not _SAFE.fullmatch(url):
            raise SideError("the side names a file address over which codes would travel readably")


def _session() -> requests.Session:
    session = requests.Session()
    # Proxies and .netrc of the machine must not see the signed address.
    session.trust_env = False
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
