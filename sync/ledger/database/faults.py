"""Faults of the ledger's database that time or a person mends: told in words, at a bounded rate."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeGuard

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from connectors.bugs import where
from sync.ledger.database.engine import LedgerUnavailable

log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0
#: Longer than a worker goes without a write.
QUIET_SECONDS = 30.0
#: With less than this free, SQLite's "disk I/O error" is a full disk.
ROOM_BYTES_MIN = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_POSTGRES_DISK_FULL = "53100"


#: What was to be unique is another row's by now.
AlreadyTaken = IntegrityError


def is_fault(error: BaseException | None) -> TypeGuard[BaseException]:
    """Whether the database or its disk failed, and no code of ours."""
    return isinstance(error, SQLAlchemyError | OSError)


class LedgerFull(LedgerUnavailable):
    """There is no room for the ledger; the message says on which disk. Nothing was lost."""


def is_full(engine: Engine, error: BaseException | None) -> bool:
    """Whether the error comes of a disk without room, or of a quota that is used up."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, OSError):
        return cause.errno in _NO_ROOM
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)
        full = code == sqlite3.SQLITE_FULL or "disk is full" in str(cause)
        return full or ("disk I/O error" in str(cause) and _free_bytes(engine) < ROOM_BYTES_MIN)
    return getattr(cause, "sqlstate", None) == _POSTGRES_DISK_FULL


def full_words(engine: Engine) -> str:
    """Which disk has no room, and how much is free on it."""
    folder = _folder(engine)
    if folder is None:
        return "the disk of the database server is full"
    used = shutil.disk_usage(folder)
    return (
        f"there is no room for the ledger on the disk of {folder}: {_size(used.free)} of {_size(used.total)} "
        "are free (or a quota is used up)"
    )


def _folder(engine: Engine) -> Path | None:
    database = engine.url.database
    return Path(database).absolute().parent if engine.dialect.name == "sqlite" and database else None


def _free_bytes(engine: Engine) -> int:
    folder = _folder(engine)
    return ROOM_BYTES_MIN if folder is None else shutil.disk_usage(folder).free


def _size(count: int) -> str:
    power = next((power for power in (1, 2) if count < 1024 ** (power + 1)), 3)
    return f"{count / 1024**power:.1f} {('KiB', 'MiB', 'GiB')[power - 1]}"


class FaultLog:
    """Tells of faults at once and then once a minute, and when the database works again. Thread-safe."""

    def __init__(self, engine: Engine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._told_at: float | None = None
        self._failed_at: float | None = None
        self._since_told = 0

    def note(self, job: str, error: BaseException) -> None:
        """Tell of an error that ended a job; the job is repeated."""
        if not isinstance(error, SQLAlchemyError | OSError):
            log.error(
                "a job failed", action="job.failed", job=job, error=type(error).__name__, where=where(error)
            )
            return
        with self._lock:
            now = self._failed_at = self._monotonic()
            if self._told_at is not None and now - self._told_at < EVERY_SECONDS:
                self._since_told += 1
                return
            self._told_at, more, self._since_told = now, self._since_told, 0
        words = full_words(self._engine) if is_full(self._engine, error) else _cause(error)
        fields = {"more": more} if more else {}
        log.error(f"the database fails: {words}; trying again", action="database.fault", job=job, **fields)

    def look_back(self) -> None:
        """Tell once that the database works again, when nothing has failed for a while."""
        with self._lock:
            if self._failed_at is None or self._monotonic() - self._failed_at < QUIET_SECONDS:
                return
            self._failed_at = self._told_at = None
            self._since_told = 0
        log.info("the database works again", action="database.works")


def _cause(error: BaseException) -> str:
    # All that follows the first line may hold what the ledger seals.
    return str(getattr(error, "orig", None) or type(error).__name__).partition("\n")[0]
