"""How soon a payment in the online shop reaches the store: from the checkout to the debit, by webhook.

    TEST_BENCH_SECONDS=60 python -m bench redemption      # at full scale, two minutes in all
    TEST_BENCH_DATABASES="sqlite postgresql" python -m bench redemption
    TEST_BENCH_APART=1 python -m bench redemption         # webhooks are received by `giftsync serve`

Four processes: an emulator of each side with 100 ms before every answer, `giftsync run`, and the shoppers. In
one process a page of Shopify's cards, which takes it 100 ms to make, would hold up every answer of Flow's.
First some redemptions are carried over one by one, without worker and webhook: that counts the calls that one
needs. Then so many a second are paid, once the worker has read every feed: it begins with cards after
that. The ledger tells when each debit was confirmed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from sqlalchemy import Engine, Row, select

from bench.pace import p99, wait_until
from bench.postgres import postgres
from bench.processes import GIFTSYNC, emulators, processor_seconds
from cli.demo.control import Control
from cli.emulators import Address
from cli.sandbox_config import Pace, parse_ready_line, sandbox_values
from cli.session import opened_worker
from config.load import load
from config.logging import configure_logging
from config.template import render_toml
from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.tables import cards, intent_states, intents, presences
from sync.reconcile.card import reconcile

SECONDS = float(os.environ.get("TEST_BENCH_SECONDS", "15"))
PER_SECOND = float(os.environ.get("TEST_BENCH_PER_SECOND", "20"))
DATABASES = os.environ.get("TEST_BENCH_DATABASES", "sqlite").split()
#: Whether the receiver is a process of its own.
APART = os.environ.get("TEST_BENCH_APART", "") == "1"
ALONE = 10
LATENCY_MS = 100
RATIO_MAX = 1.5
THREADS = 64
CARD_MINOR, SPENT_MINOR = 50_000, 5_000
DONE_SECONDS_MAX = 60.0
#: What `sandbox serve` is started with.
EMULATED = ("--plan", "plus", "--latency-ms", str(LATENCY_MS), "--local-webhooks")


def main() -> None:
    """One line for each database: how much longer it takes than the calls alone."""
    # As `giftsync run` does, whose output is in a file.
    configure_logging(level="WARNING")
    for database in DATABASES:
        if database == "sqlite":
            _measure(database, None)
            continue
        with postgres() as url:
            if url is not None:
                _measure(database, url)


def _measure(database: str, url: str | None) -> None:
    count = round(PER_SECOND * SECONDS)
    with (
        tempfile.TemporaryDirectory() as text,
        emulators("--sides", "flow", *EMULATED) as flow_line,
        emulators("--sides", "shopify", *EMULATED) as shopify_line,
    ):
        folder = Path(text)
        lines = (parse_ready_line(line) for line in (flow_line, shopify_line))
        address = Address({kind: access for line in lines for kind, access in line.sides.items()})
        flow, shopify = Control(address.flow_url, "NOK"), Control(address.shopify_url, "NOK")
        port = _free_port()
        values = {
            **sandbox_values(address, Pace(quiet_seconds=5, poll_seconds=5, threads=THREADS)),
            ("database",): url or f"sqlite:///{folder / 'ledger.db'}",
            ("key_file",): str(folder / "ledger.key"),
            ("console", "port"): port,
            ("console", "public_url"): f"http://127.0.0.1:{port}",
        }
        (folder / "giftsync.toml").write_text(render_toml(values, head="For the benchmark."), "utf-8")
        with ThreadPoolExecutor(16) as tills:
            codes = list(tills.map(lambda _: flow.move("sell", CARD_MINOR)["number"], range(count + ALONE)))
        calls, alone, spent = _alone(folder, shopify, codes[:ALONE])
        engine = open_engine(str(values["database",]))
        with _worker(folder) as (worker, receiver):
            # It has read what was there before it started: until then it decides nothing.
            _until(lambda: '"run.ready"' in (folder / "run.log").read_text(), DONE_SECONDS_MAX)
            _until(lambda: _is_idle(engine), DONE_SECONDS_MAX)
            started, cpu_began = time.monotonic(), processor_seconds(worker)
            received_began = 0.0 if receiver is None else processor_seconds(receiver)
            with ThreadPoolExecutor(64) as shoppers:
                paid = [
                    shoppers.submit(_pay_at, shopify, code, started + number / PER_SECOND)
                    for number, code in enumerate(codes[ALONE:])
                ]
                paid_at = [one.result() for one in paid]
            _until(lambda: _debits(engine) == count + ALONE, DONE_SECONDS_MAX)
            cpu = (processor_seconds(worker) - cpu_began) / count
            received = 0.0 if receiver is None else (processor_seconds(receiver) - received_began) / count
        took = _took(engine, dict(zip(codes[ALONE:], paid_at, strict=True)), shopify)
        engine.dispose()
    needed = calls * LATENCY_MS / 1000
    slowest = p99(took)
    print(
        f"{database}: {count} redemptions, {PER_SECOND:g} a second, {LATENCY_MS} ms before every answer: p50 "
        f"{median(took) * 1000:.0f} ms, p99 {slowest * 1000:.0f} ms. Each needs {calls:.0f} calls, "
        f"{needed * 1000:.0f} ms: p99 is {slowest / needed:.2f} of that (bound {RATIO_MAX}), p50 "
        f"{median(took) / needed:.2f}; by hand, alone, it takes {alone / needed:.2f}. The worker "
        f"spends {cpu * 1000:.1f} ms of processor time on each, {spent * 1000:.1f} ms of it on the card"
        + (f"; the receiver, apart, {received * 1000:.1f} ms" if APART else "")
    )


def _alone(folder: Path, shopify: Control, codes: Sequence[str]) -> tuple[float, float, float]:
    """Bring all cards in step, then redemptions one by one: calls of one, the seconds that it takes, and the
    processor's seconds of its thread.
    """
    settings = load(folder / "giftsync.toml")
    with opened_worker(settings, threading.Event()) as (worker, _):
        report = worker.sync_once()
        if report.errors or report.unfinished:
            raise SystemExit(f"the cards did not come in step: {report}")
        ids = {p.native_id: p.card_id for p in _presences(worker.engine)}
        native = {card.serial: card.id for card in shopify.cards()}
        sides, link = worker.link.sides.values(), worker.link
        calls, seconds, processor = [], [], []
        for code in codes:
            _pay(shopify, code)
            worker.intake.make_due([ids[native[code]]], link.clock(), "shopify")
            before, spent = sum(side.usage().calls for side in sides), time.thread_time()
            (lease,) = worker.store.claim_due("bench", link.clock(), link.lease_seconds, 1)
            began = time.perf_counter()
            reconcile(link, lease)
            seconds.append(time.perf_counter() - began)
            processor.append(time.thread_time() - spent)
            calls.append(sum(side.usage().calls for side in sides) - before)
    return median(calls), median(seconds), median(processor)


def _presences(engine: Engine) -> Sequence[Row[Any, Any]]:
    query = select(presences.c.native_id, presences.c.card_id).where(presences.c.side == "shopify")
    with reading(engine) as connection:
        return connection.execute(query).all()


def _pay(shopify: Control, code: str) -> datetime:
    shopify.move("checkout", SPENT_MINOR, code=code)
    return datetime.now(UTC)


def _pay_at(shopify: Control, code: str, moment: float) -> datetime:
    wait_until(moment)
    return _pay(shopify, code)


def _took(engine: Engine, paid_at: Mapping[str, datetime], shopify: Control) -> list[float]:
    """Seconds from each payment to the debit that the ledger has as confirmed, in the order of the codes."""
    native = {card.serial: card.id for card in shopify.cards()}
    with reading(engine) as connection:
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


def _debits(engine: Engine) -> int:
    with reading(engine) as connection:
        query = select(intents.c.marker).where(intents.c.kind == "debit", intents.c.state == "applied")
        return len(connection.execute(query).all())


def _is_idle(engine: Engine) -> bool:
    """Whether no card is due."""
    busy = select(cards.c.id).where(cards.c.due_at.is_not(None) | cards.c.lease_until.is_not(None))
    with reading(engine) as connection:
        return connection.execute(busy.limit(1)).first() is None


def _until(holds: Callable[[], bool], seconds: float) -> None:
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("it never came to that")
        pause.wait(0.5)


@contextmanager
def _worker(folder: Path) -> Iterator[tuple[psutil.Process, psutil.Process | None]]:
    """The worker, and the receiver where that is apart."""
    with ExitStack() as stack:
        arguments = ["run", "--yes", *(["--no-console"] if APART else [])]
        worker = stack.enter_context(_started(folder, "Working; Ctrl-C stops.", *arguments))
        receiver = None
        if APART:
            serve = ("serve", "--part", "webhooks")
            receiver = stack.enter_context(_started(folder, "Serving; Ctrl-C stops.", *serve))
        yield worker, receiver


@contextmanager
def _started(folder: Path, words: str, *arguments: str) -> Iterator[psutil.Process]:
    """A process of giftsync that has said these words."""
    command = [*GIFTSYNC, *arguments, "--config", str(folder / "giftsync.toml")]
    path = folder / f"{arguments[0]}.log"
    with path.open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            pause = threading.Event()
            while words not in path.read_text():
                if process.poll() is not None:
                    raise SystemExit(path.read_text())
                pause.wait(0.1)
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
