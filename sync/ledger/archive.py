"""A link's whole data in one file, sealed with its key: what `links export` writes and `links add` reads.

The file is a line that says what it is, a salt, and pieces of AES-GCM ciphertext, each after its length. A
piece is bound to its place and to whether it is the last one, so that a file that was cut, changed or put
together from two is refused. Inside is a stream of msgpack: the head, pages of rows, the sums of all rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from sync.ledger.database.private_files import open_private
from sync.ledger.database.rows import Page, Sums, read_rows
from sync.ledger.database.tables import Day, metadata
from sync.ledger.secrets.vault import Vault

FORMAT = 1
MAGIC = b"giftsync export 1\n"
SALT_BYTES = 16
_PIECE_BYTES = 1 << 20
_TAG_BYTES = 16
_LENGTH_BYTES = 4
_FRAME_BYTES_MAX = 1 << 28
T = TypeVar("T")


class ArchiveError(Exception):
    """The file cannot be written or is not a whole export under this key; the message says which."""


@dataclass(frozen=True)
class Head:
    """What an export is of."""

    format: int
    #: One export.
    id: str
    link: str
    #: The version of the ledger's schema.
    revision: str
    #: UTC, ISO 8601.
    exported_at: str
    #: The settings file, with its secrets.
    settings: str


@dataclass(frozen=True)
class _End:
    """What all pages come to; hashes in hexadecimal."""

    rows: dict[str, int]
    hashes: dict[str, str]


def is_archive(path: Path) -> bool:
    """Whether the file says that it is an export."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def write_archive(path: Path, connection: Connection, vault: Vault, head: Head) -> Sums:
    """Write every row of the ledger as it is in this transaction; the file is there whole or not at all.

    Raises ArchiveError, also for a file that is there already.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    sums = Sums()
    try:
        with os.fdopen(open_private(unfinished, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            out = _Sealing(file, vault)
            out.put(head)
            for page in read_rows(connection):
                sums.add(page)
                out.put(asdict(page))
            out.put(_End(sums.rows, {name: f"{value:064x}" for name, value in sums.hashes.items()}))
            out.end()
            file.flush()
            os.fsync(file.fileno())
        # A link fails where a file is, which a rename would replace.
        os.link(unfinished, path)
    except FileExistsError:
        raise ArchiveError(f"{path} is there already and is left as it is; name a new file") from None
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return sums


class Archive:
    """An export that is being read. Raises ArchiveError for one that is not whole or has another key."""

    def __init__(self, file: BinaryIO, vault: Vault) -> None:
        self._stream = _Opening(file, vault)
        self.head = self._stream.take(Head)
        if self.head.format != FORMAT:
            raise ArchiveError("the export was made by a newer giftsync; upgrade giftsync")

    def pages(self) -> Iterator[Page]:
        """Every page; at the end it is known that none is missing."""
        sums = Sums()
        while True:
            found = self._stream.take(dict[str, Any])
            if "hashes" in found:
                break
            page = _convert(found, Page)
            sums.add(page)
            yield _with_dates(page)
        end = _convert(found, _End)
        told = Sums(end.rows, {name: int(value, 16) for name, value in end.hashes.items()})
        if told != sums:
            raise ArchiveError("the export contradicts itself; make it again")
        self._stream.end()


class _Sealing:
    def __init__(self, file: BinaryIO, vault: Vault) -> None:
        salt = os.urandom(SALT_BYTES)
        self._file, self._cipher = file, AESGCM(vault.archive_key(salt))
        self._kept, self._count = bytearray(), 0
        file.write(MAGIC + salt)

    def put(self, one: object) -> None:
        encoded = msgspec.msgpack.encode(one)
        self._kept += len(encoded).to_bytes(_LENGTH_BYTES) + encoded
        while len(self._kept) > _PIECE_BYTES:
            self._piece(bytes(self._kept[:_PIECE_BYTES]), last=False)
            del self._kept[:_PIECE_BYTES]

    def end(self) -> None:
        self._piece(bytes(self._kept), last=True)

    def _piece(self, piece: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._count, last=last), piece, None)
        self._count += 1
        self._file.write(len(sealed).to_bytes(_LENGTH_BYTES) + sealed)


class _Opening:
    def __init__(self, file: BinaryIO, vault: Vault) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            raise ArchiveError("this is no export of giftsync's")
        self._file, self._cipher = file, AESGCM(vault.archive_key(file.read(SALT_BYTES)))
        self._kept, self._count, self._ended = bytearray(), 0, False

    def take(self, kind: type[T]) -> T:
        length = int.from_bytes(self._bytes(_LENGTH_BYTES))
        if length > _FRAME_BYTES_MAX:
            raise ArchiveError("the export is damaged")
        try:
            return msgspec.msgpack.decode(self._bytes(length), type=kind)
        except msgspec.DecodeError:
            raise ArchiveError("the export is damaged") from None

    def end(self) -> None:
        if not self._ended or self._kept or self._file.read(1):
            raise ArchiveError("the export does not end where it should")

    def _bytes(self, count: int) -> bytes:
        while len(self._kept) < count and not self._ended:
            self._piece()
        if len(self._kept) < count:
            raise ArchiveError("the export is cut short")
        taken = bytes(self._kept[:count])
        del self._kept[:count]
        return taken

    def _piece(self) -> None:
        length = int.from_bytes(self._file.read(_LENGTH_BYTES))
        if not _TAG_BYTES <= length <= _PIECE_BYTES + _TAG_BYTES:
            raise ArchiveError("the export is cut short or damaged")
        sealed = self._file.read(length)
        for last in (False, True):
            try:
                self._kept += self._cipher.decrypt(_nonce(self._count, last=last), sealed, None)
            except InvalidTag:
                continue
            self._count, self._ended = self._count + 1, last
            return
        if self._count:
            raise ArchiveError("the export is cut short or damaged")
        raise ArchiveError("the export does not open with this key; use the key of the link it was made of")


def _with_dates(page: Page) -> Page:
    """The page with the days that msgpack has no type for. Raises ArchiveError for an unknown table."""
    known = metadata.tables.get(page.table)
    if known is None or not set(page.columns) <= set(known.c.keys()):
        raise ArchiveError("the export was made by a newer giftsync; upgrade giftsync")
    days = [at for at, name in enumerate(page.columns) if isinstance(known.c[name].type, Day)]
    rows = [list(row) for row in page.rows]
    for row in rows:
        for at in days:
            row[at] = None if row[at] is None else date.fromisoformat(row[at])
    return Page(page.table, page.columns, rows)


def _nonce(count: int, *, last: bool) -> bytes:
    return count.to_bytes(11) + bytes([last])


def _convert(found: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError:
        raise ArchiveError("the export is damaged") from None
