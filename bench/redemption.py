"""How soon a payment in the online shop reaches the store: from the checkout to the debit, by webhook.

    TEST_BENCH_SECONDS=60 python -m bench redemption      # at full scale, two minutes in all

Three processes, as in life: both emulators with 100 ms before every answer, `giftsync run`, and the shoppers.
First some redemptions are carried over one by one, without worker and webhook: that counts the calls that one
needs. Then so many a second are paid. The ledger tells when each debit was confirmed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from sqlalchemy import Engine, Row, select

from bench.pace import p99, wait_until
from cli.demo.control import Control
from cli.sandbox_config import Pace, parse_ready_line, sandbox_values
from cli.session import opened_worker
from config.load import load
from config.template import render_toml
from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.tables import cards, feed_cursors, intent_states, intents, presences
from sync.reconcile.card import reconcile

SECONDS = float(os.environ.get("TEST_BENCH_SECONDS", "15"))
PER_SECOND = float(os.environ.get("TEST_BENCH_PER_SECOND", "20"))
ALONE = 10
LATENCY_MS = 100
RATIO_MAX = 1.5
THREADS = 32
CARD_MINOR, SPENT_MINOR = 50_000, 5_000
DONE_SECONDS_MAX = 60.0
GIFTSYNC = (sys.executable, "-c", "import sys; from cli.main import run; sys.exit(run(sys.argv[1:]))")


def main() -> None:
    """One line: how much longer it takes than the calls alone."""
    count = round(PER_SECOND * SECONDS)
    with tempfile.TemporaryDirectory() as text, _emulators() as ready:
        folder, address = Path(text), parse_ready_line(ready)
        flow, shopify = Control(address.flow_url, "NOK"), Control(address.shopify_url, "NOK")
        port = _free_port()
        values = {
            **sandbox_values(address, Pace(quiet_seconds=5, poll_seconds=5, threads=THREADS)),
            ("database",): f"sqlite:///{folder / 'ledger.db'}",
            ("console", "port"): port,
            ("console", "public_url"): f"http://127.0.0.1:{port}",
        }
        (folder / "giftsync.toml").write_text(render_toml(values, head="For the benchmark."), "utf-8")
        with ThreadPoolExecutor(16) as tills:
            codes = list(tills.map(lambda _: flow.move("sell", CARD_MINOR)["number"], range(count + ALONE)))
        calls, alone = _alone(folder, shopify, codes[:ALONE])
        began_at = datetime.now(UTC)
        with _worker(folder) as worker:
            # It has read what was there before it started.
            _until(lambda: _is_idle(folder, began_at), DONE_SECONDS_MAX)
            started, cpu_began = time.monotonic(), _cpu_seconds(worker)
            with ThreadPoolExecutor(64) as shoppers:
                paid = [
                    shoppers.submit(_pay_at, shopify, code, started + number / PER_SECOND)
                    for number, code in enumerate(codes[ALONE:])
                ]
                paid_at = [one.result() for one in paid]
            _until(lambda: _debits(folder) == count + ALONE, DONE_SECONDS_MAX)
            cpu = (_cpu_seconds(worker) - cpu_began) / count
        took = _took(folder, dict(zip(codes[ALONE:], paid_at, strict=True)), shopify)
    needed = calls * LATENCY_MS / 1000
    slowest = p99(took)
    print(
        f"{count} redemptions, {PER_SECOND:g} a second, {LATENCY_MS} ms before every answer: p50 "
        f"{median(took) * 1000:.0f} ms, p99 {slowest * 1000:.0f} ms. Each needs {calls:.0f} calls, "
        f"{needed * 1000:.0f} ms: p99 is {slowest / needed:.2f} of that (bound {RATIO_MAX}), p50 "
        f"{median(took) / needed:.2f}; by hand, alone, it takes {alone / needed:.2f}. The worker "
        f"spends {cpu * 1000:.0f} ms of processor time on each"
    )


def _alone(folder: Path, shopify: Control, codes: Sequence[str]) -> tuple[float, float]:
    """Bring all cards in step, then redemptions one by one: calls of one, and the seconds that it takes."""
    settings = load(folder / "giftsync.toml")
    with opened_worker(settings, threading.Event()) as (worker, _):
        report = worker.sync_once()
        if report.errors or report.unfinished:
            raise SystemExit(f"the cards did not come in step: {report}")
        ids = {p.native_id: p.card_id for p in _presences(folder)}
        native = {card.serial: card.id for card in shopify.cards()}
        sides, link = worker.link.sides.values(), worker.link
        calls, seconds = [], []
        for code in codes:
            _pay(shopify, code)
            worker.intake.make_due([ids[native[code]]], link.clock(), "shopify")
            (lease,) = worker.store.claim_due("bench", link.clock(), link.lease_seconds, 1)
            before, began = sum(side.usage().calls for side in sides), time.perf_counter()
            reconcile(link, lease)
            seconds.append(time.perf_counter() - began)
            calls.append(sum(side.usage().calls for side in sides) - before)
    return median(calls), median(seconds)


def _presences(folder: Path) -> Sequence[Row[Any]]:
    query = select(presences.c.native_id, presences.c.card_id).where(presences.c.side == "shopify")
    with reading(_engine(folder)) as connection:
        return connection.execute(query).all()


def _pay(shopify: Control, code: str) -> datetime:
    shopify.move("checkout", SPENT_MINOR, code=code)
    return datetime.now(UTC)


def _pay_at(shopify: Control, code: str, moment: float) -> datetime:
    wait_until(moment)
    return _pay(shopify, code)


def _took(folder: Path, paid_at: Mapping[str, datetime], shopify: Control) -> list[float]:
    """Seconds from each payment to the debit that the ledger has as confirmed, in the order of the codes."""
    native = {card.serial: card.id for card in shopify.cards()}
    with reading(_engine(folder)) as connection:
        rows = connection.execute(
            select(presences.c.native_id, intent_states.c.at)
            .join(intents, intents.c.card_id == presences.c.card_id)
            .join(intent_states, intent_states.c.marker == intents.c.marker)
            .where(
                presences.c.side == "shopify",
                intents.c.kind == "debit",
                intent_states.c.state == "applied",
            )
        ).all()
    landed = {row.native_id: row.at for row in rows}
    return [(landed[native[code]] - at).total_seconds() for code, at in paid_at.items()]


def _debits(folder: Path) -> int:
    with reading(_engine(folder)) as connection:
        query = select(intents.c.marker).where(intents.c.kind == "debit", intents.c.state == "applied")
        return len(connection.execute(query).all())


def _is_idle(folder: Path, since: datetime) -> bool:
    """Whether every feed was read since then, and no card is due."""
    busy = select(cards.c.id).where(cards.c.due_at.is_not(None) | cards.c.lease_until.is_not(None))
    unread = select(feed_cursors.c.feed).where(
        feed_cursors.c.read_at < since, feed_cursors.c.feed.in_(("new_cards", "updated_cards", "receipts"))
    )
    with reading(_engine(folder)) as connection:
        return all(connection.execute(query.limit(1)).first() is None for query in (busy, unread))


@cache
def _engine(folder: Path) -> Engine:
    return open_engine(f"sqlite:///{folder / 'ledger.db'}")


def _until(holds: Callable[[], bool], seconds: float) -> None:
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("it never came to that")
        pause.wait(0.5)


@contextmanager
def _emulators() -> Iterator[str]:
    command = [*GIFTSYNC, "sandbox", "serve", "--plan", "plus", "--latency-ms", str(LATENCY_MS)]
    with subprocess.Popen([*command, "--local-webhooks"], stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise SystemExit("the emulators have no output")
        try:
            yield process.stdout.readline()
        finally:
            process.terminate()


def _cpu_seconds(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


@contextmanager
def _worker(folder: Path) -> Iterator[psutil.Process]:
    command = [*GIFTSYNC, "run", "--yes", "--config", str(folder / "giftsync.toml")]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            pause = threading.Event()
            while "Working; Ctrl-C stops." not in (folder / "log").read_text():
                if process.poll() is not None:
                    raise SystemExit((folder / "log").read_text())
                pause.wait(0.1)
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
