"""Ctrl-C and SIGTERM: the first finishes what is under way, in bounded time; the second stops at once."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Final, NoReturn

STOPPED_AT_ONCE: Final = 130
#: As `ExitCode.FAILED`: some work is left, and the next start takes it up.
LEFT_UNFINISHED: Final = 2
#: From the first signal to the end of the process, whatever hangs. Under the ten seconds after which service
#: managers kill, less what it takes to end a process on a busy machine.
STOP_SECONDS: Final = 6.5
_LAST_WORDS_SECONDS: Final = 0.3
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopEvent(threading.Event):
    """Set once somebody stops giftsync; the events that follow it are set with it."""

    def __init__(self) -> None:
        super().__init__()
        self._followers: list[threading.Event] = []
        self._mutex = threading.Lock()

    def set(self) -> None:
        super().set()
        with self._mutex:
            followers = tuple(self._followers)
        for one in followers:
            one.set()

    @contextmanager
    def followed(self) -> Iterator[threading.Event]:
        """An event that follows this one while the block runs, and that can be set by itself."""
        follower = threading.Event()
        with self._mutex:
            self._followers.append(follower)
        try:
            if self.is_set():
                follower.set()
            yield follower
        finally:
            with self._mutex:
                self._followers.remove(follower)


@contextmanager
def stop_on_signals(note: Callable[[str], None], seconds: float | None = STOP_SECONDS) -> Iterator[StopEvent]:
    """An event that the first signal sets. Only for the main thread.

    Where the block has not ended `seconds` after that, the process ends: the ledger survives it. A thread of
    its own hears the signals. A Python handler runs in the main thread alone, between two of its
    instructions: never while that waits and another thread was given the signal, and inside of
    `Event.wait`, whose lock `Event.set` then waits for.
    """
    stop = StopEvent()
    ended = threading.Event()
    heard, told = socket.socketpair()
    told.setblocking(False)

    def listen() -> None:
        while numbers := heard.recv(16):
            for number in numbers:
                if number in _SIGNALS:
                    _on_signal(stop, ended, note, seconds)

    before_fd = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    # The interpreter writes to the socket only for signals that have a handler.
    before = {number: signal.signal(number, lambda _, __: None) for number in _SIGNALS}
    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        ended.set()
        told.close()
        # One last line may be on its way to a pipe that nobody reads.
        listener.join(_LAST_WORDS_SECONDS)
        heard.close()


def _on_signal(
    stop: threading.Event, ended: threading.Event, note: Callable[[str], None], seconds: float | None
) -> None:
    if stop.is_set():
        # Threads that wait for a side would hold up an ordinary exit; the ledger survives this one.
        os._exit(STOPPED_AT_ONCE)
    stop.set()
    if seconds is not None:
        threading.Thread(
            target=_end_in_time, args=(seconds, ended, note), name="stopping", daemon=True
        ).start()
    limit = "" if seconds is None else f", {ceil(seconds)} s at most"
    _tell(note, f"Stopping: finishing what is under way{limit}. Once more stops at once.")


def _end_in_time(seconds: float, ended: threading.Event, note: Callable[[str], None]) -> None:
    if not ended.wait(seconds):
        words = "Stopped with something still under way; the next start finds out what became of it."
        _tell(note, words, _LAST_WORDS_SECONDS)
        os._exit(LEFT_UNFINISHED)


def _tell(note: Callable[[str], None], words: str, seconds: float | None = None) -> None:
    """Say it; where nobody reads, go on after `seconds`."""

    def say() -> None:
        # The terminal may be gone, or the disk of the log full.
        with suppress(OSError, ValueError):
            note(words)

    teller = threading.Thread(target=say, name="last words", daemon=True)
    teller.start()
    teller.join(seconds)


def leave(code: int) -> NoReturn:
    """End the process with this code, without waiting for threads whose call hangs.

    The interpreter would wait for every thread of a pool, and for what daemons hold.
    """
    if threading.active_count() > 1:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
