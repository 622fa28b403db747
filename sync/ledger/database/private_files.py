"""Files and folders of ours that only their owner can read, whatever the umask."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from sync.crashpoints import crashpoint

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def open_private(path: str | Path, flags: int) -> int:
    """Open a file, made with mode 0600 if it is not there; the descriptor. Raises OSError.

    With O_TRUNC a file that is there becomes private too: what it held before is gone.
    """
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        # O_EXCL takes a link to a file that is not there yet for a file.
        descriptor = os.open(path, flags | os.O_CREAT, FILE_MODE)
        if not flags & os.O_TRUNC:
            return descriptor
    try:
        # A umask may have taken away what the owner needs.
        os.fchmod(descriptor, FILE_MODE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def locked_file(path: str | Path, *, blocking: bool = False) -> Iterator[bool]:
    """Lock a file while the block runs; whether the lock was had. Raises OSError.

    Each use opens it anew, so it also holds between threads. A process that dies leaves no lock behind.
    """
    descriptor = open_private(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def make_private_folder(path: Path) -> None:
    """Make a folder with mode 0700; one that is there keeps its mode. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=FOLDER_MODE)
        path.chmod(FOLDER_MODE)
    if not path.is_dir():
        raise NotADirectoryError(20, "there is a file of that name", str(path))


def write_private(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: whoever looks finds the old one or the new one. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = open_private(fresh, os.O_WRONLY | os.O_TRUNC)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        crashpoint("file.written")
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Whether another process holds the lock of a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two that look do not take each other for one that holds it.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
