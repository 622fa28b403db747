"""The sweep of a big shop by its own list: how fast, in how much memory, and for how many points.

    TEST_BENCH_SWEPT=1000000 python -m bench sweep      # at full scale: some minutes, most of them to set up

The emulator, the filling of the ledger and the sweep are processes of their own, so that the sweep's peak
memory is its own. A thousandth of the shadows is altered first, and the sweep has to find exactly these. For
comparison the same process then reads some cards by their ids, as the sweep of a small shop does.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, insert, text

from bench.importing import vdirsyncer_pass
from connectors.api.bulk import Listed, ListedCards
from connectors.shopify import ShopifySide
from sync.feeds.list_sweep import ListSweep
from sync.feeds.reader import sweep as sweep_slice
from sync.ledger.cards.store import Store
from sync.ledger.database.engine import open_engine
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.tables import cards, presences
from sync.ledger.incoming.intake import Intake
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.model import LinkRules, SideRules
from sync.reconcile.work import Link

CARDS = int(os.environ.get("TEST_BENCH_SWEPT", "50000"))
ALTERED_EACH = 1_000
BY_ID = 10_000
ROWS_BATCH = 5_000
MEMORY_MB_MAX = 200
COMPARED_MIN = 100_000
#: How many times as fast as a pass of vdirsyncer over as many items, up to so many.
RATIO_MIN = 10
VDIRSYNCER_MAX = 100_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, _emulator(CARDS) as ready:
        database = Path(folder) / "ledger.db"
        _in_process("fill", str(database), ready)
        found = _in_process("sweep", str(database), ready)
    rate = found["cards"] / found["seconds"]
    print(
        f"{found['cards']:,} cards by the shop's list: {rate:,.0f} cards/s from the first byte to the last "
        f"comparison, {found['found']} of {found['altered']} altered cards found, peak memory "
        f"{found['peak_kib'] * 1024 / 1e6:.0f} MB (bound {MEMORY_MB_MAX} MB), {found['points']} points"
    )
    parsing, comparing = (found["cards"] / found[part] for part in ("parse_seconds", "compare_seconds"))
    print(
        f"of this, download and JSON to values {parsing:,.0f} cards/s, and values compared with the ledger's "
        f"shadows {comparing:,.0f} cards/s: {comparing / COMPARED_MIN:.2f} of the bound of {COMPARED_MIN:,} "
        f"({found['cards'] / found['compare_cpu_seconds']:,.0f} a second of processor time)"
    )
    _beside_vdirsyncer(found)
    by_id, points = found["by_id"] / found["by_id_seconds"], found["by_id_points"] / found["by_id"]
    print(
        f"by id: {by_id:,.0f} cards/s for {points * 1000:.0f} points per 1,000 cards; "
        f"the list is {rate / by_id:.1f} times as fast"
    )


def _beside_vdirsyncer(found: dict[str, Any]) -> None:
    try:
        theirs = vdirsyncer_pass(min(found["cards"], VDIRSYNCER_MAX))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"vdirsyncer could not be installed or run here: {type(error).__name__}")
        return
    ours_each = found["seconds"] / found["cards"], found["cpu_seconds"] / found["cards"]
    theirs_each = theirs["seconds"] / theirs["items"], theirs["cpu_seconds"] / theirs["items"]
    print(
        f"a plain vdirsyncer pass over {theirs['items']:,} items in memory: {1 / theirs_each[0]:,.0f} "
        f"items/s; the sweep runs at {theirs_each[0] / ours_each[0]:.1f} times its rate by the clock and at "
        f"{theirs_each[1] / ours_each[1]:.1f} times by processor time (bound {RATIO_MIN})"
    )


@dataclass(frozen=True)
class _Timed(ListSweep):
    """A sweep that notes how long each batch took to compare."""

    compare_seconds: list[float] = field(default_factory=list)
    compare_cpu_seconds: list[float] = field(default_factory=list)

    def _compare(self, batch: ListedCards, seen: Any) -> int:
        began, cpu_began = time.perf_counter(), time.thread_time()
        try:
            return super()._compare(batch, seen)
        finally:
            self.compare_seconds.append(time.perf_counter() - began)
            self.compare_cpu_seconds.append(time.thread_time() - cpu_began)


def _fill(database: Path, side: ShopifySide) -> dict[str, Any]:
    """A ledger whose shadows are what the shop shows, but for the altered ones."""
    engine = open_engine(f"sqlite:///{database}")
    upgrade(engine)
    listed = side.bulk.list_cards(lambda _: None)
    number = 0
    while batch := list(islice(listed, ROWS_BATCH)):
        _insert(engine, number, batch)
        number += len(batch)
    return {"cards": number}


def _insert(engine: Engine, first: int, batch: Sequence[Listed]) -> None:
    now = datetime.now(UTC)
    rows = [(first + n + 1, one.seen) for n, one in enumerate(batch)]
    made = [
        {
            "id": number,
            "currency": seen.currency,
            "balance_minor": seen.balance_minor,
            "status": seen.status,
            "created_at": now,
        }
        for number, seen in rows
    ]
    there = [
        {
            "card_id": number,
            "side": "shopify",
            "native_id": seen.native_id,
            "last_chars": seen.last_chars,
            "shadow_minor": seen.balance_minor + (number % ALTERED_EACH == 0),
            "shadow_status": seen.status,
            "shadow_expires_on": seen.expires_on,
            "born": True,
        }
        for number, seen in rows
    ]
    with engine.begin() as connection:
        connection.execute(insert(cards), made)
        connection.execute(insert(presences), there)


def _sweep(database: Path, side: ShopifySide) -> dict[str, Any]:
    engine = open_engine(f"sqlite:///{database}")
    store = Store(engine, Vault(bytes(range(KEY_BYTES))))
    rules = LinkRules({"shopify": SideRules()})
    zone = ZoneInfo("Europe/Oslo")
    link = Link(store, {"shopify": side}, rules, _now, zone, "bench", "NOK")
    intake = Intake(engine, store.vault)
    sweep = _Timed(link, intake, "shopify", side.bulk, from_cards=1)
    waiting = threading.Event()
    points = side.usage().points
    while True:
        began, cpu_began = time.perf_counter(), time.process_time()
        swept = sweep.step(lambda: False)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
        if swept.finished:
            break
        waiting.wait(0.5)
    compared = sum(sweep.compare_seconds)
    listed_points = side.usage().points - points
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with engine.connect() as connection:
        due = connection.execute(text("SELECT count(*) FROM cards WHERE due_at IS NOT NULL")).scalar_one()
    points, by_id_began = side.usage().points, time.perf_counter()
    by_id = sweep_slice(link, intake, side, min(BY_ID, swept.looked_at)).looked_at
    return {
        "cards": swept.looked_at,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "compare_seconds": compared,
        "compare_cpu_seconds": sum(sweep.compare_cpu_seconds),
        "parse_seconds": seconds - compared,
        "found": due,
        "altered": swept.looked_at // ALTERED_EACH,
        "peak_kib": peak_kib,
        "points": listed_points,
        "by_id": by_id,
        "by_id_seconds": time.perf_counter() - by_id_began,
        "by_id_points": side.usage().points - points,
    }


@contextmanager
def _emulator(count: int) -> Iterator[str]:
    """The sandbox in a process of its own; gives what opens its shop, as JSON."""
    command = [sys.executable, "-c", "import sys; from cli.main import run; sys.exit(run(sys.argv[1:]))"]
    command += ["sandbox", "serve", "--plan", "plus", "--cards", str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise SystemExit("the emulator has no output")
        yield json.dumps(json.loads(process.stdout.readline())["shopify"])
    finally:
        process.terminate()
        process.communicate()


def _in_process(what: str, database: str, ready: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.sweep", what, database, ready]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _now() -> datetime:
    return datetime.now(UTC)


def _run(what: str, database: str, ready: str) -> None:
    opened = json.loads(ready)
    stop = threading.Event()
    side = ShopifySide(
        shop=opened["shop"],
        token=opened["token"],
        base_url=opened["url"],
        pause=lambda seconds: _ignore(stop.wait(seconds)),
    )
    print(json.dumps({"fill": _fill, "sweep": _sweep}[what](Path(database), side)))
    side.close()


def _ignore(_: object) -> None:
    return


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run(*sys.argv[1:])
    else:
        main()
