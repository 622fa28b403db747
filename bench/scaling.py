"""Redemptions a second with one, two and four workers, on one hot link and on many links.

    TEST_BENCH_LINKS=20 TEST_BENCH_PAID=400 python -m bench scaling      # at full scale

Payments come as fast as they can be made, and the clock runs until the store has all of them. Workers are
processes of their own, but the emulators share this one, and all of them the machine: on few cores the ratios
count, and what a redemption takes of the workers' processor time, which shows what sharing costs.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil
from sqlalchemy import func, select

from bench.fleet_house import House, Merchant, house
from bench.processes import processor_seconds
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import intents, presences, runs

LINKS = int(os.environ.get("TEST_BENCH_LINKS", "4"))
#: In all, however many links there are.
PAID = int(os.environ.get("TEST_BENCH_PAID", "40"))
WORKERS = (1, 2, 4)
SPENT_MINOR = 100
SETTLED_SECONDS_MAX = 300.0
STOP_SECONDS_MAX = 60.0
#: Customers who pay at the same time.
SHOPPERS = 16


def main() -> None:
    """A line for one hot link, and one for many."""
    for links in (1, LINKS):
        cards = max(PAID // links, 2) + 2
        with house(links, cards=cards, faults=False, latency_ms=20, threads=16) as fleet:
            found = [_measured(fleet, count) for count in WORKERS]
        told = "; ".join(
            f"{one.workers} workers {one.rate:.1f} a second ({one.rate / found[0].rate:.2f}), "
            f"{one.processor_ms:.0f} ms of their processor time each"
            for one in found
        )
        print(f"{found[0].paid} payments at once on {links} links: {told}", flush=True)


@dataclass(frozen=True)
class Measured:
    """What so many workers made of the payments."""

    workers: int
    paid: int
    seconds: float
    #: Of all workers together, for each payment.
    processor_ms: float

    @property
    def rate(self) -> float:
        return self.paid / self.seconds


def _measured(fleet: House, count: int) -> Measured:
    since = datetime.now(UTC)
    workers = [fleet.start_worker() for _ in range(count)]
    # To start, and to open a link for the first time, takes seconds of processor time.
    fleet.wait_until(lambda one: _times_opened(one, since) >= count, SETTLED_SECONDS_MAX)
    fleet.wait_until(lambda one: one.is_settled(), SETTLED_SECONDS_MAX)
    each = max(PAID // len(fleet.merchants), 1)
    payments = [one for merchant in fleet.merchants for one in _payable(merchant, each)]
    before = sum(map(_debits, fleet.merchants))
    processes = [psutil.Process(worker.pid) for worker in workers]
    used = sum(map(processor_seconds, processes))
    began, pause = time.monotonic(), threading.Event()
    with ThreadPoolExecutor(SHOPPERS) as shoppers:
        list(shoppers.map(lambda one: _pay(*one), payments))
    while sum(map(_debits, fleet.merchants)) - before < len(payments):
        if time.monotonic() - began > SETTLED_SECONDS_MAX:
            raise SystemExit("not every payment reached the store")
        pause.wait(0.1)
    seconds = time.monotonic() - began
    used = sum(map(processor_seconds, processes)) - used
    for worker in workers:
        worker.stop(STOP_SECONDS_MAX)
    return Measured(count, len(payments), seconds, used / len(payments) * 1000)


def _times_opened(merchant: Merchant, since: datetime) -> int:
    """How many workers have opened the link since then."""
    query = select(func.count()).where(runs.c.kind == "worker", runs.c.started_at >= since)
    with reading(merchant.ledger.engine) as connection:
        return int(connection.execute(query).scalar_one())


def _payable(merchant: Merchant, count: int) -> list[tuple[Merchant, str]]:
    """So many payments, each with another card."""
    shopify = next(venue for venue in merchant.venues if venue.side == "shopify")
    with reading(merchant.ledger.engine) as connection:
        online = select(presences.c.native_id).where(presences.c.side == "shopify")
        known = set(connection.execute(online).scalars())
    found = [one for one in shopify.calls.cards() if one.id in known and one.balance_minor >= SPENT_MINOR]
    return [(merchant, one.serial) for one in found[:count]]


def _pay(merchant: Merchant, serial: str) -> None:
    shopify = next(venue for venue in merchant.venues if venue.side == "shopify")
    shopify.calls.move("checkout", SPENT_MINOR, code=serial)


def _debits(merchant: Merchant) -> int:
    query = select(func.count()).where(
        intents.c.side == "flow", intents.c.kind == "debit", intents.c.state == "applied"
    )
    with reading(merchant.ledger.engine) as connection:
        return int(connection.execute(query).scalar_one())


if __name__ == "__main__":
    main()
