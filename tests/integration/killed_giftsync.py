"""giftsync that is killed at a point: `python -m tests.integration.killed_giftsync POINT ARGUMENTS…`.

`POINT:3`: when it gets there for the third time.
"""

from __future__ import annotations

import os
import signal
import sys

from cli import main
from sync import crashpoints


def _die_at(name: str) -> None:
    wanted, _, times = name.partition(":")
    left = int(times or 1)

    def reached(point: str) -> None:
        nonlocal left
        left -= point == wanted
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    crashpoints.install(reached)


if __name__ == "__main__":
    _die_at(sys.argv[1])
    sys.exit(main.run(sys.argv[2:]))
