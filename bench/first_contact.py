"""A first pass over two sides that share no card, and one in which nothing has changed: what each asks for.

    TEST_BENCH_MET=10000 python -m bench first_contact     # at full scale, for the pass with nothing changed

Half of the cards were sold in a store and half online. The emulators count the calls and Shopify's points;
each card made in Shopify has to cost little more than its create, and a pass over cards in step little more
than the lists of the sides.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.processes import emulators
from cli.demo.control import Control
from cli.sandbox_config import Pace, parse_ready_line, sandbox_values
from cli.session import opened_worker
from config.load import load
from config.logging import configure_logging
from config.template import render_toml
from sync.worker.worker import Worker

#: Cards at first, half on each side; afterwards each side has them all.
CARDS = int(os.environ.get("TEST_BENCH_MET", "3000"))
THREADS = 8
CARD_MINOR = 25_000
CREATE_POINTS = 10
POINTS_MAX = 10.5


def main() -> None:
    """Two lines: the first pass, the pass with nothing changed, each with its calls by operation."""
    with tempfile.TemporaryDirectory() as text, emulators("--plan", "plus") as ready:
        folder, address = Path(text), parse_ready_line(ready)
        flow, shopify = Control(address.flow_url, "NOK"), Control(address.shopify_url, "NOK")
        half = CARDS // 2
        with ThreadPoolExecutor(16) as people:
            list(people.map(lambda _: flow.move("sell", CARD_MINOR), range(half)))
            buy = {"name": "Kari Nordmann", "email": "kari@example.com"}
            list(people.map(lambda _: shopify.move("purchase", CARD_MINOR, **buy), range(half)))
        values = {
            **sandbox_values(address, Pace(quiet_seconds=5, threads=THREADS)),
            ("database",): f"sqlite:///{folder / 'ledger.db'}",
        }
        (folder / "giftsync.toml").write_text(render_toml(values, head="For the benchmark."), "utf-8")
        configure_logging(level="WARNING")
        with opened_worker(load(folder / "giftsync.toml"), threading.Event()) as (worker, _):
            first = _passed(worker, flow, shopify)
            quiet = _passed(worker, flow, shopify)
        if len(shopify.cards()) != half * 2 or len(flow.cards()) != half * 2:
            raise SystemExit("the first pass did not make every card")
    points = first["shopify"]["points"] / half
    print(
        f"first contact of {half:,} store and {half:,} online cards: {first['seconds']:.1f} s, {points:.2f} "
        f"of Shopify's points for each card made there (bound {POINTS_MAX}; the create alone costs "
        f"{CREATE_POINTS}); calls: Shopify {_told(first['shopify'])}; Flow {_told(first['flow'])}"
    )
    print(
        f"a pass over {half * 2:,} cards in step on both sides: {quiet['seconds']:.1f} s; calls: Shopify "
        f"{_told(quiet['shopify'])}, {quiet['shopify']['points']:,.0f} points; Flow {_told(quiet['flow'])}"
    )


def _passed(worker: Worker, flow: Control, shopify: Control) -> dict[str, Any]:
    before = {"flow": flow.stats(), "shopify": shopify.stats()}
    began = time.perf_counter()
    report = worker.sync_once()
    seconds = time.perf_counter() - began
    if report.errors or report.unfinished:
        raise SystemExit(f"the cards did not come in step: {report}")
    after = {"flow": flow.stats(), "shopify": shopify.stats()}
    return {"seconds": seconds} | {side: _between(before[side], after[side]) for side in after}


def _between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for between two readings of an emulator's counters."""
    was = before["operations"]
    nothing = {"calls": 0, "points": 0}
    made = {
        name: tuple(row[what] - was.get(name, nothing)[what] for what in nothing)
        for name, row in after["operations"].items()
    }
    return {
        "calls": {name: count for name, count in made.items() if count[0]},
        "points": after["points"] - before["points"],
    }


def _told(counted: Mapping[str, Any]) -> str:
    calls = counted["calls"]
    names = [
        f"{count:,} {name}" + (f" for {points:,} points" if points else "")
        for name, (count, points) in sorted(calls.items(), key=lambda one: -one[1][0])
    ]
    return f"{sum(count for count, _ in calls.values()):,} ({', '.join(names)})"
