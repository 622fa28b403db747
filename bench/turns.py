"""What the queue of a fleet costs by itself: turns that do nothing, and the way from news to a turn.

    python -m bench turns

One worker with eight turns at a time, on a PostgreSQL of its own; procrastinate alone, measured on an idle
machine of two cores, carries 359 jobs a second.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median

from bench.fleet_house import Postgres
from sync.fleet.crew import Crew
from sync.fleet.queue import Timed, TurnQueue
from sync.ledger.database.news import DUE
from sync.worker.worker import Worker

LINKS, NEWS = 500, 60
HOUR = 3600.0
TURNS_AT_ONCE = 8


class Idle(Crew):
    """Takes turns and does nothing in them."""

    def __init__(self, queue: TurnQueue, links: list[str]) -> None:
        super().__init__(queue, _nothing, lambda: dict.fromkeys(links, 1), TURNS_AT_ONCE)
        self.seen: defaultdict[str, list[float]] = defaultdict(list)

    def take(self, ledger: str, turn: str, behind: bool) -> None:
        self.seen[ledger].append(time.monotonic())


def _nothing(_: str) -> AbstractContextManager[Worker]:
    raise NotImplementedError


def main() -> None:
    """Two lines: turns a second and what each takes of a core; the milliseconds from news to its turn."""
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="giftsync-turns-"))
    postgres = Postgres(folder)
    queue = TurnQueue(postgres.url)
    try:
        queue.open()
        _measure(queue)
    finally:
        queue.close()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _measure(queue: TurnQueue) -> None:
    links = [f"link_{number}" for number in range(LINKS)]
    for link in links:
        queue.keep(link, [Timed(DUE, HOUR, DUE, urgent=True)])
    crew, stop, pause = Idle(queue, links), threading.Event(), threading.Event()
    worker = threading.Thread(target=crew.run, args=(stop,))
    processor = time.process_time()
    worker.start()
    while len(crew.seen) < LINKS:
        pause.wait(0.02)
    processor = time.process_time() - processor
    began, ended = (choose(seen[0] for seen in crew.seen.values()) for choose in (min, max))
    print(f"turns a second: {LINKS / (ended - began):.0f}, {1_000 * processor / LINKS:.1f} ms of a core each")
    waits = []
    for link in links[:NEWS]:
        told_at = time.monotonic()
        queue.tell(link, DUE)
        while len(crew.seen[link]) < 2:
            pause.wait(0.0005)
        waits.append(1_000 * (crew.seen[link][1] - told_at))
    print(f"milliseconds from news to its turn: {median(waits):.0f}, {max(waits):.0f} at worst")
    stop.set()
    worker.join()
