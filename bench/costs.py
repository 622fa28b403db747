"""What a card and a redemption cost: calls, points, round trips to the database, rows, bytes, processor time.

    TEST_BENCH_COSTED=500 python -m bench costs

A link on PostgreSQL and both emulators in another process. All but the processor time is counted, so that it
does not depend on the machine or its load. `docs/reference/capacity.md` stands on these figures.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from bench.fleet_house import Postgres
from bench.postgres import logged_statements
from bench.processes import emulators
from cli.demo.control import Control
from cli.sandbox_config import Pace, parse_ready_line, sandbox_values
from cli.session import opened_worker
from config.load import load
from config.logging import configure_logging
from config.template import render_toml
from sync.ledger.database.tables import metadata
from sync.reconcile.card import reconcile
from sync.worker.worker import Worker

COUNT = int(os.environ.get("TEST_BENCH_COSTED", "60"))
CARD_MINOR, SPENT_MINOR = 50_000, 5_000


def main() -> None:
    """A table: what each step costs for each card."""
    configure_logging(level="WARNING", secrets=[])
    folder = Path(tempfile.mkdtemp(prefix="giftsync-costs-"))
    postgres = Postgres(folder)
    try:
        with emulators("--cards", "0", "--plan", "plus") as ready:
            address = parse_ready_line(ready)
            values = {
                **sandbox_values(address, Pace(quiet_seconds=5, threads=8)),
                ("database",): postgres.url,
                ("key_file",): "giftsync.key",
                ("api", "enabled"): False,
            }
            (folder / "giftsync.toml").write_text(render_toml(values), encoding="utf-8")
            flow, shopify = Control(address.flow_url, "NOK"), Control(address.shopify_url, "NOK")
            settings = load(folder / "giftsync.toml")
            dsn = make_url(postgres.url).set(drivername="postgresql").render_as_string(hide_password=False)
            with (
                psycopg.connect(dsn, autocommit=True) as connection,
                opened_worker(settings, threading.Event()) as (worker, _),
            ):
                _measure(Meter(worker, connection, folder / "data" / "log"), flow, shopify)
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Meter:
    """Counts what a step asks of the sides and the database."""

    worker: Worker
    connection: psycopg.Connection
    log: Path

    def of(self, step: Callable[[], object]) -> dict[str, float]:
        before, sides = self._totals(), self._asked()
        with logged_statements(self.connection, self.log) as logged:
            used = time.process_time()
            step()
            processor = time.process_time() - used
        after, asked = self._totals(), self._asked()
        return {
            **{name: asked[name] - sides[name] for name in sides},
            "round trips": logged.count,
            **{name: after[name] - before[name] for name in before},
            "ms": processor * 1000,
        }

    def _asked(self) -> dict[str, float]:
        usages = {name: side.usage() for name, side in self.worker.link.sides.items()}
        calls = {f"{name} calls": float(one.calls) for name, one in usages.items()}
        return {**calls, "points": float(sum(one.points for one in usages.values()))}

    def _totals(self) -> dict[str, float]:
        rows = [f"(SELECT count(*) FROM {name})" for name in sorted(metadata.tables)]
        sizes = [f"pg_total_relation_size('{name}')" for name in sorted(metadata.tables)]
        query = f"SELECT {' + '.join(rows)}, {' + '.join(sizes)}, pg_current_wal_lsn() - '0/0'::pg_lsn"
        found = self.connection.execute(query.encode()).fetchone()
        if found is None:
            raise SystemExit("the database tells nothing")
        return dict(zip(("rows", "bytes", "WAL bytes"), map(float, found), strict=True))


def _measure(meter: Meter, flow: Control, shopify: Control) -> None:
    worker = meter.worker
    _pass(worker)
    with ThreadPoolExecutor(8) as tills:
        codes = [one["number"] for one in tills.map(lambda _: flow.move("sell", CARD_MINOR), range(COUNT))]
    _show("a card that is met and created", meter.of(lambda: _pass(worker)))
    _show("a card that is looked at on all sides", meter.of(lambda: _pass(worker, sweep=True)))
    native = {card.serial: card.id for card in shopify.cards()}
    ids: dict[str, int] = dict(
        meter.connection.execute(
            b"SELECT native_id, card_id FROM presences WHERE side = 'shopify'"
        ).fetchall()
    )

    def redeem() -> None:
        for code in codes:
            worker.intake.make_due([ids[native[code]]], worker.link.clock(), "shopify")
            (lease,) = worker.store.claim_due("bench", worker.link.clock(), worker.link.lease_seconds, 1)
            reconcile(worker.link, lease)

    for code in codes:
        shopify.move("checkout", SPENT_MINOR, code=code)
    _show("a redemption", meter.of(redeem))


def _pass(worker: Worker, *, sweep: bool = False) -> None:
    report = worker.sync_once(sweep=sweep)
    if report.errors or report.unfinished:
        raise SystemExit(f"the cards did not come in step: {report}")


def _show(what: str, cost: Mapping[str, float]) -> None:
    each = ", ".join(f"{value / COUNT:,.1f} {name}" for name, value in cost.items())
    print(f"{what}, each of {COUNT}: {each}", flush=True)


if __name__ == "__main__":
    main()
