"""What one slice of looks costs the ledger, with few cards and with many: time and memory must stay flat.

No side is asked. Cards are put into a SQLite file as they stand after a match; then slices are taken and
recorded, one after another. The first ones, in which the cards join, are not counted.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, insert

from mappings.serials import Serial
from sync.decisions.poll_order import PollBudget
from sync.ledger.database.engine import open_engine
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.tables import cards, presences
from sync.ledger.incoming.polls import JOIN_MAX, Polls, ReadRecord
from sync.ledger.secrets.vault import Vault, make_key
from sync.worker.turns import POLL_INTERVAL_SECONDS

SIZES = (1_000, 100_000)
SLICES = 200
READS_PER_SECOND = 5.0
STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
ROWS_AT_ONCE = 10_000


def main(sizes: tuple[int, ...] = SIZES, slices: int = SLICES) -> None:
    print(f"{slices} slices of {READS_PER_SECOND * POLL_INTERVAL_SECONDS:.0f} looks each")
    print(f"{'cards':>9}{'median ms':>11}{'slowest ms':>12}{'peak MB':>9}")
    medians = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            took, peak_bytes = _measure(Path(folder) / "ledger.db", size, slices)
        medians.append(statistics.median(took))
        print(f"{size:>9,}{medians[-1] * 1e3:>11.1f}{max(took) * 1e3:>12.1f}{peak_bytes / 1e6:>9.1f}")
    print(f"ratio of the medians, most cards to fewest: {medians[-1] / medians[0]:.2f}")


def _measure(path: Path, size: int, slices: int) -> tuple[list[float], int]:
    engine, vault = open_engine(f"sqlite:///{path}"), Vault(make_key())
    upgrade(engine)
    _fill(engine, vault, size)
    polls = Polls(engine, vault, "flow", PollBudget(READS_PER_SECOND))
    now = STARTED_AT
    for _ in range(size // JOIN_MAX + 1):
        polls.record([], (), now)
    took = []
    tracemalloc.start()
    for _ in range(slices):
        now += timedelta(seconds=POLL_INTERVAL_SECONDS)
        began = time.perf_counter()
        turns = polls.take(now)
        looks = [ReadRecord(turn.presence.id, now, turn.by, 10_000) for turn in turns]
        polls.record(looks, (), now, ends_slice=True)
        took.append(time.perf_counter() - began)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    engine.dispose()
    return took, peak_bytes


def _fill(engine: Engine, vault: Vault, size: int) -> None:
    for first in range(0, size, ROWS_AT_ONCE):
        ids = range(first + 1, min(first + ROWS_AT_ONCE, size) + 1)
        serials = {n: Serial(f"{n:016d}") for n in ids}
        with engine.begin() as connection:
            connection.execute(
                insert(cards),
                [
                    {
                        "id": n,
                        "currency": "NOK",
                        "balance_minor": 10_000,
                        "status": "active",
                        "created_at": STARTED_AT,
                    }
                    for n in ids
                ],
            )
            connection.execute(
                insert(presences),
                [
                    {
                        "card_id": n,
                        "side": "flow",
                        "native_id": str(n),
                        "serial_index": vault.index(serials[n]),
                        "serial_sealed": vault.seal(serials[n]),
                        "shadow_minor": 10_000,
                        "shadow_status": "active",
                        "born": True,
                    }
                    for n in ids
                ],
            )
