"""giftsync's commands in processes of their own, beside a bench."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

#: As the console script does, which waits for no thread at its end.
GIFTSYNC = (sys.executable, "-c", "from cli.main import main; main()")


def end_on_signals() -> None:
    """Have SIGTERM end a bench as Ctrl-C does, so that it leaves no process behind."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


@contextmanager
def emulators(*arguments: str) -> Iterator[str]:
    """Both emulators; the line that they print when they are ready."""
    command = [*GIFTSYNC, "sandbox", "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise SystemExit("the emulators have no output")
        try:
            yield process.stdout.readline()
        finally:
            process.terminate()


def processor_seconds(process: psutil.Process) -> float:
    """The processor time that the process has used."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)
