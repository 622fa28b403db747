"""The right to serve the console of a ledger: one process has it at a time.

Drafts of settings, imports under way and passkeys that are being used are in the memory of that process; a
second one would answer that there is no such draft.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from sync.ledger.database.advisory import advisory_lock
from sync.ledger.database.engine import database_file
from sync.ledger.database.private_files import locked_file

AGAIN_SECONDS = 0.5


@dataclass
class _Held:
    """What this process holds of one ledger."""

    give_back: Callable[[], object]
    times: int = 1


_held: dict[str, _Held] = {}
_lock = threading.Lock()


@contextmanager
def only_console(
    engine: Engine, ledger: str, stop: threading.Event | None = None, seconds: float = 0.0
) -> Iterator[bool]:
    """Hold the right while the block runs; whether it is this process's, which may hold it several times.

    It is tried for so many seconds, unless `stop` is set. A process that dies leaves none behind.
    """
    key, ends_at = f"{engine.url!r} {ledger}", time.monotonic() + seconds
    is_held = _take(engine, key)
    while not is_held and time.monotonic() < ends_at and not (stop or threading.Event()).wait(AGAIN_SECONDS):
        is_held = _take(engine, key)
    try:
        yield is_held
    finally:
        if is_held:
            _give_back(key)


def _take(engine: Engine, key: str) -> bool:
    with _lock:
        known = _held.get(key)
        if known is not None:
            known.times += 1
            return True
        give_back = (
            _locked_file(engine)
            if engine.dialect.name == "sqlite"
            else advisory_lock(engine, "giftsync console", blocking=False)
        )
        if give_back is not None:
            _held[key] = _Held(give_back)
        return give_back is not None


def _give_back(key: str) -> None:
    with _lock:
        known = _held[key]
        known.times -= 1
        if known.times:
            return
        del _held[key]
        known.give_back()


def console_file(database: str) -> str:
    """The file beside a SQLite ledger that is locked."""
    return f"{database}.console"


def _locked_file(engine: Engine) -> Callable[[], object] | None:
    file = database_file(engine)
    if file is None:
        return lambda: None
    held = ExitStack()
    if held.enter_context(locked_file(console_file(str(file)))):
        return held.close
    held.close()
    return None
