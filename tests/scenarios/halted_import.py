"""giftsync that stands still at its next step once so many rows of an import have begun, to be killed there.

`python -m tests.scenarios.halted_import DATABASE ROWS ARGUMENTS…`. Until it is killed, calls that are under
way end and no new step begins, so it can never have ended before the kill, however fast it is.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from cli import main
from sync import crashpoints
from tests.scenarios.importing import rows_begun

#: Once for each batch of cards or file, so that looking does not take long.
POINTS = ("batch.", "mass.")


def _halt_at(database: Path, rows: int) -> None:
    def reached(point: str) -> None:
        if point.startswith(POINTS) and rows_begun(database) >= rows:
            threading.Event().wait()

    crashpoints.install(reached)


if __name__ == "__main__":
    _halt_at(Path(sys.argv[1]), int(sys.argv[2]))
    sys.exit(main.run(sys.argv[3:]))
