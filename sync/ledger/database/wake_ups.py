"""Wake-ups of the worker of a ledger by other processes that store news for it.

On PostgreSQL a notification (NOTIFY) in the transaction that stores the news; on SQLite a line in a named
pipe beside the file, once the transaction has ended. A wake-up holds no fact: the worker looks by itself a
second later at most, so one that is lost costs that second.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import structlog

from sync.ledger.database.engine import Engine, database_file
from sync.ledger.database.news import notify_on
from sync.ledger.database.private_files import FILE_MODE

log = structlog.get_logger(__name__)

#: Ends the name of the pipe beside a SQLite file.
PIPE: str = ".wake"
#: Between two attempts to listen on a database that does not answer.
AGAIN_SECONDS = 1.0
#: How often a listener on PostgreSQL looks whether to stop.
LOOK_SECONDS = 0.5
CONNECT_SECONDS = 5
_PIPE_BYTES = 4096
#: Of a name in PostgreSQL.
_NAME_BYTES = 63

#: A turn that has something to do, by its name (`news`).
Wake = Callable[[str], None]


def channel_of(ledger: str) -> str:
    """The channel of a ledger in its database. Two with one channel wake each other for nothing."""
    return f"giftsync_{ledger}"[:_NAME_BYTES]


class WakeUps:
    """Wakes the worker of one ledger. Thread-safe."""

    def __init__(self, engine: Engine, ledger: str) -> None:
        """From now on news that the engine stores on PostgreSQL wakes the worker by itself."""
        file = database_file(engine)
        self._pipe = None if file is None else f"{file}{PIPE}"
        if engine.dialect.name == "postgresql":
            notify_on(engine, channel_of(ledger))

    def stored(self, turns: Iterable[str]) -> None:
        """News for these turns is in the ledger; whoever is to know of it by now is told."""
        if self._pipe is not None:
            _write(self._pipe, turns)


def _write(pipe: str, turns: Iterable[str]) -> None:
    # Nobody listens, or the pipe is full and so the worker is awake: it looks by itself.
    with suppress(OSError):
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                for turn in turns:
                    os.write(descriptor, f"{turn}\n".encode())
        finally:
            os.close(descriptor)


@contextmanager
def heard(engine: Engine, ledger: str, wake: Wake) -> Iterator[None]:
    """Call `wake` for each wake-up that comes while the block runs, from a thread of its own."""
    file = database_file(engine)
    if file is not None:
        with _heard_from_pipe(f"{file}{PIPE}", wake):
            yield
    elif engine.dialect.name == "postgresql":
        with _heard_from_channel(engine, channel_of(ledger), wake):
            yield
    else:
        yield


@contextmanager
def _heard_from_pipe(pipe: str, wake: Wake) -> Iterator[None]:
    try:
        descriptor = _open_pipe(pipe)
    except OSError as error:
        words = "other processes cannot wake the worker, which looks for their news once a second"
        log.warning(words, action="wake_ups.unavailable", file=pipe, why=error.strerror)
        yield
        return
    stopped, stop = os.pipe()
    thread = threading.Thread(
        target=_read_pipe, args=(descriptor, stopped, wake), name="wake-ups", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        os.close(stop)
        thread.join()
        os.close(stopped)
        # While nobody listens it would only be in the way of whoever copies the folder.
        with suppress(OSError):
            os.unlink(pipe)
        os.close(descriptor)


def _open_pipe(pipe: str) -> int:
    """The pipe's end to read from, made if it is not there. Raises OSError."""
    with suppress(FileExistsError):
        os.mkfifo(pipe, FILE_MODE)
    # To write as well: else each writer that closes it would be an end of the file.
    descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "there is a file of that name")
    return descriptor


def _read_pipe(descriptor: int, stopped: int, wake: Wake) -> None:
    rest = b""
    while True:
        ready, _, _ = select.select([descriptor, stopped], [], [])
        if stopped in ready:
            return
        with suppress(BlockingIOError):
            *lines, rest = (rest + os.read(descriptor, _PIPE_BYTES)).split(b"\n")
            for line in dict.fromkeys(lines):
                wake(line.decode(errors="replace"))


@contextmanager
def _heard_from_channel(engine: Engine, channel: str, wake: Wake) -> Iterator[None]:
    stop = threading.Event()
    # The connection that listens is none of the pool's: it would wait there for its turn.
    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    thread = threading.Thread(
        target=_listen_always, args=(address, channel, wake, stop), name="wake-ups", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LOOK_SECONDS * 2)


def _listen_always(address: str, channel: str, wake: Wake, stop: threading.Event) -> None:
    was_told = False
    while not stop.is_set():
        try:
            _listen(address, channel, wake, stop)
        except psycopg.Error as error:
            if not was_told:
                words = "wake-ups are not heard; the worker looks for news once a second"
                log.warning(words, action="wake_ups.unavailable", error=type(error).__name__)
            was_told = True
        else:
            was_told = False
        stop.wait(AGAIN_SECONDS)


def _listen(address: str, channel: str, wake: Wake, stop: threading.Event) -> None:
    with psycopg.connect(address, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
        connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
        while not stop.is_set():
            for told in connection.notifies(timeout=LOOK_SECONDS):
                wake(told.payload)
                if stop.is_set():
                    return
