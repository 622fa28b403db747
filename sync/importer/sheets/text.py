"""What a file's bytes are: its encoding, and what to say of a file that is no text. Pure."""

from __future__ import annotations

import codecs
from typing import Final

from mappings.sentences import say

UTF_8: Final = "utf-8-sig"
CP1252: Final = "cp1252"

#: First bytes of files that people send instead of a CSV, and what to say of them.
_MAGIC: Final = (
    (b"PK\x03\x04", say("it is an archive and no workbook, not a CSV. Unpack it first.")),
    (b"\x1f\x8b", say("it is an archive in an archive, not a CSV. Unpack it first.")),
    (b"%PDF", say("it is a PDF, not a CSV. Export the cards as CSV instead.")),
    (b"SQLite format 3", say("it is a database, not a CSV. Export the cards as CSV instead.")),
)
_ZEROS_MIN: Final = 16
_BOMS: Final = ((codecs.BOM_UTF8, UTF_8), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class NotText(ValueError):
    """The bytes are not a text file; the message says what they look like and what to do."""


class EncodingFinder:
    """Fed with a whole file in chunks, it says how the file is encoded. Holds one decoder, not the file.

    A byte order mark decides; so do the zero bytes of UTF-16 without one. Else the file is UTF-8 if all of it
    is valid UTF-8, and Windows-1252 if it is not: what spreadsheets in western Europe write.
    """

    def __init__(self) -> None:
        self._decided: str | None = None
        self._utf_8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self._cp1252_bad = False
        self._started = False
        self._bytes = self._zeros = 0

    def feed(self, chunk: bytes) -> None:
        """Raises NotText for what is certainly no text."""
        if not self._started:
            self._started = True
            self._begin(chunk)
        if self._decided is not None:
            return
        self._bytes += len(chunk)
        self._zeros += chunk.count(0)
        if self._utf_8 is not None:
            try:
                self._utf_8.decode(chunk)
            except UnicodeDecodeError:
                self._utf_8 = None
        # Five bytes mean nothing in Windows-1252.
        self._cp1252_bad |= any(byte in chunk for byte in b"\x81\x8d\x8f\x90\x9d")

    def _begin(self, head: bytes) -> None:
        for magic, words in _MAGIC:
            if head.startswith(magic):
                raise NotText(words)
        for mark, encoding in _BOMS:
            if head.startswith(mark):
                self._decided = encoding
                return
        even, odd = head[0:200:2], head[1:200:2]
        if odd and odd.count(0) > len(odd) // 2 and even.count(0) == 0:
            self._decided = "utf-16-le"
        elif odd and even.count(0) > len(even) // 2 and odd.count(0) == 0:
            self._decided = "utf-16-be"

    def encoding(self) -> str:
        """The name for `open`. Raises NotText when nothing fits."""
        if self._decided is not None:
            return self._decided
        # A few of them spoil their rows; more say that it is something else.
        if self._zeros > max(_ZEROS_MIN, self._bytes // 100):
            raise NotText(say("it holds many zero bytes, so it is no text. Save it as CSV UTF-8."))
        if self._utf_8 is not None:
            try:
                self._utf_8.decode(b"", final=True)
            except UnicodeDecodeError:
                pass
            else:
                return UTF_8
        if self._cp1252_bad:
            raise NotText(say("it is neither UTF-8, UTF-16 nor Windows-1252. Save it as CSV UTF-8."))
        return CP1252
