"""How long other merchants wait while one imports very many cards: the lag of their redemptions.

    TEST_BENCH_SELLING=19 TEST_BENCH_NEW=100000 TEST_BENCH_SECONDS=120 python -m bench fairness

One PostgreSQL, workers of a fleet in processes of their own, and merchants with emulators of their own in
this one. First all but one sell; then the last one queues its import, which the same workers carry out.
Orders are read every second; the ledger tells when each debit was confirmed in the store.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from sqlalchemy import func, select

from bench.fleet_house import Merchant, house
from bench.pace import p99
from bench.processes import GIFTSYNC
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import cards, intent_states, intents, presences
from sync.worker.until import TURN_SECONDS

SELLING = int(os.environ.get("TEST_BENCH_SELLING", "3"))
NEW = int(os.environ.get("TEST_BENCH_NEW", "300"))
SECONDS = float(os.environ.get("TEST_BENCH_SECONDS", "25"))
#: The one who imports has its feeds read this seldom, so that none of them tells of its cards.
SELDOM_SECONDS = 86_400
WORKERS = 2
#: Between two payments at one merchant.
PAUSE_SECONDS = 1.0
CARDS_EACH, SPENT_MINOR = 20, 100
SETTLED_SECONDS_MAX = 300.0


def main() -> None:
    """The lag of those who sell, without and with the other's import, which may add no more than a turn."""
    with house(SELLING + 1, cards=CARDS_EACH, faults=False, latency_ms=20) as fleet:
        *selling, busy = fleet.merchants
        for _ in range(WORKERS):
            fleet.start_worker()
        fleet.wait_until(lambda merchant: merchant.is_settled(), SETTLED_SECONDS_MAX)
        _read_seldom(busy)
        alone = _lags(selling)
        _show("nobody else has anything to do", alone)
        plan = _plan(busy, fleet.folder)
        before = _created(busy)
        _giftsync("import", "queue", str(plan), "--yes", "--config", str(busy.link.config))
        began = time.monotonic()
        lags = _lags(selling)
        done = _created(busy) - before
        rate = done / (time.monotonic() - began)
        _show(f"another imports {done:,} of {NEW:,} cards, {rate:.0f} a second", lags)
    added = p99(lags) - p99(alone)
    print(f"the import adds {added:.1f} s at p99, and may add {TURN_SECONDS:.0f} s", flush=True)
    if added > TURN_SECONDS:
        raise SystemExit("the others wait for the import for longer than for a turn")


def _show(what: str, lags: list[float]) -> None:
    print(
        f"{SELLING} merchants sell, {WORKERS} workers, {what}: {len(lags)} redemptions, "
        f"p50 {median(lags):.1f} s, p99 {p99(lags):.1f} s, at worst {max(lags):.1f} s",
        flush=True,
    )


def _read_seldom(busy: Merchant) -> None:
    """Change its settings, which the workers notice while the others sell."""
    text = busy.link.config.read_text(encoding="utf-8")
    seldom = re.sub(r"(?m)^poll_seconds = .*$", f"poll_seconds = {SELDOM_SECONDS}", text)
    busy.link.config.write_text(seldom, encoding="utf-8")


def _plan(busy: Merchant, folder: Path) -> Path:
    """Cards that giftsync does not know yet, and the plan of bringing them online."""
    flow = next(venue for venue in busy.venues if venue.side == "flow")
    with ThreadPoolExecutor(8) as tills:
        sold = list(tills.map(lambda _: flow.calls.move("sell", SPENT_MINOR)["number"], range(NEW)))
    cards_file, plan = folder / "cards.csv", folder / "plan.csv"
    rows = [f"{number},{SPENT_MINOR / 100:.2f}" for number in sold]
    cards_file.write_text("\n".join(["Gift card number,Balance", *rows]) + "\n", encoding="utf-8")
    _giftsync("import", "plan", str(cards_file), "-o", str(plan), "--config", str(busy.link.config))
    return plan


def _giftsync(*arguments: str) -> None:
    done = subprocess.run([*GIFTSYNC, *arguments], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"giftsync {arguments[0]} {arguments[1]}: {done.stderr[-1_000:]}")


def _created(merchant: Merchant) -> int:
    with reading(merchant.ledger.engine) as connection:
        online = select(func.count()).where(presences.c.side == "shopify")
        return int(connection.execute(online).scalar_one())


def _lags(selling: list[Merchant]) -> list[float]:
    with ThreadPoolExecutor(len(selling)) as shops:
        return [lag for lags in shops.map(_sell, selling) for lag in lags]


def _sell(merchant: Merchant) -> list[float]:
    """Pay again and again for SECONDS, each time with another card; the seconds until the store had it."""
    shopify = next(venue for venue in merchant.venues if venue.side == "shopify")
    with reading(merchant.ledger.engine) as connection:
        online = select(presences.c.native_id, presences.c.card_id).where(presences.c.side == "shopify")
        ids = {row.native_id: row.card_id for row in connection.execute(online)}
    payable = [card for card in shopify.calls.cards() if card.id in ids and card.balance_minor > 1_000]
    paid: list[tuple[int, datetime]] = []
    pause, ends_at = threading.Event(), time.monotonic() + SECONDS
    while time.monotonic() < ends_at:
        card = payable[len(paid) % len(payable)]
        shopify.calls.move("checkout", SPENT_MINOR, code=card.serial)
        paid.append((ids[card.id], datetime.now(UTC)))
        pause.wait(PAUSE_SECONDS)
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while time.monotonic() < deadline:
        lags = [lag for card_id, at in paid if (lag := _lag(merchant, card_id, at)) is not None]
        if len(lags) == len(paid):
            return lags
        pause.wait(1.0)
    raise SystemExit(f"{merchant.link.name}: {len(paid) - len(lags)} payments never reached the store")


def _lag(merchant: Merchant, card_id: int, paid_at: datetime) -> float | None:
    landed = (
        select(func.min(intent_states.c.at))
        .join(intents, intents.c.marker == intent_states.c.marker)
        .join(cards, cards.c.id == intents.c.card_id)
        .where(
            cards.c.id == card_id,
            intents.c.side == "flow",
            intents.c.kind == "debit",
            intent_states.c.state == "applied",
            intent_states.c.at >= paid_at,
        )
    )
    with reading(merchant.ledger.engine) as connection:
        at = connection.execute(landed).scalar_one_or_none()
    return None if at is None else float((at - paid_at).total_seconds())


if __name__ == "__main__":
    main()
