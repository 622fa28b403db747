"""Many threads, many cards, customers all the while: everything ends in step and no money is made or lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from connectors.memory import MemoryFault
from sync import crashpoints
from sync.decisions.protocol import UNEXPLAINED_RACES_MAX
from sync.ledger.cards.store import Lease
from sync.reconcile.card import reconcile
from sync.support.audit import audit
from tests.integration.shop import FLOW, LEASE_SECONDS, SHOPIFY, Shop
from tests.support import Crashed

CARDS = 24
THREADS = 8
OPENING_MINOR = 10_000
SERIALS = [f"10002000300040{n:02}" for n in range(CARDS)]
FAULTS = CARDS // 2


def faults(chance: random.Random) -> list[MemoryFault]:
    """Faults of one side that the worker must wait out, whichever cards they fall on.

    One refusal more could fall on one card with the others, and that card waits for a person.
    """
    refusals = [MemoryFault.REFUSED] * (UNEXPLAINED_RACES_MAX - 1)
    others = [fault for fault in MemoryFault if fault not in (MemoryFault.LATE, MemoryFault.REFUSED)]
    drawn = refusals + chance.choices(others, k=FAULTS - len(refusals))
    chance.shuffle(drawn)
    return drawn


def total_moved(shop: Shop) -> int:
    """What customers moved, by the sides' own books: every entry without a marker."""
    cards = [card for side in shop.sides.values() for card in side.cards.values()]
    return sum(e.amount_minor for card in cards for e in card.entries if e.marker is None)


@pytest.mark.parametrize("faulty", [False, True], ids=["calm", "faults"])
def test_given_eight_threads_and_customers_then_all_ends_in_step_and_conserved(
    shop: Shop, faulty: bool
) -> None:
    ids = [shop.meet(FLOW, OPENING_MINOR, serial) for serial in SERIALS]
    chance = random.Random(7)
    if faulty:
        for name in shop.sides:
            shop.fail(name, *faults(chance))
    customers = [
        (chance.choice([FLOW, SHOPIFY]), chance.choice(SERIALS), -chance.randint(1, 900)) for _ in range(80)
    ]
    lock = threading.Lock()

    def customer() -> None:
        with lock:
            if not customers:
                return
            side, serial, amount = customers.pop()
        if serial in {c.serial.reveal() for c in list(shop.sides[side].cards.values())}:
            shop.move(side, amount, serial)

    def work(owner: str) -> int:
        done = 0
        while leases := shop.store.claim_due(owner, shop.clock(), LEASE_SECONDS, 2):
            for lease in leases:
                customer()
                reconcile(shop.link, lease)
                done += 1
        return done

    def work_all() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(work, [f"thread {n}" for n in range(THREADS)]))

    while customers:
        shop.intake.make_due(ids, shop.clock())
        work_all()
    shop.intake.make_due(ids, shop.clock())
    # The customers have gone home; what waits is waited for. All faults may have fallen on one card.
    for _ in range(1 + len(shop.sides) * FAULTS):
        work_all()
        shop.clock.advance(LEASE_SECONDS + 1)

    cards = {serial: shop.card(shop.card_id(serial)) for serial in SERIALS}
    assert all(card.in_step for card in cards.values())
    for serial, card in cards.items():
        assert shop.shown(serial) == {FLOW: card.balance_minor, SHOPIFY: card.balance_minor}
    written_off = sum(m["amount_minor"] for m in shop.rows("movements", kind="write_off"))
    assert (
        sum(c.balance_minor for c in cards.values())
        == CARDS * OPENING_MINOR + total_moved(shop) + written_off
    )
    report = audit(shop.engine, shop.vault, shop.clock, shop.sides)
    assert (list(report), report.exit_code) == ([], 0)


def test_given_every_worker_stalls_past_its_lease_then_each_effect_still_lands_once(
    shop: Shop,
) -> None:
    """A worker is paused right before it calls; another takes the card; the first must not call any more."""
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    stale = shop.claim(card_id, "worker 1")
    overtaken: list[Lease] = []

    def overtake(point: str) -> None:
        if point == "execute.sent" and not overtaken:
            shop.clock.advance(LEASE_SECONDS + 1)
            overtaken.append(shop.claim(card_id, "worker 2"))
            reconcile(shop.link, overtaken[0])

    crashpoints.install(overtake)
    try:
        assert reconcile(shop.link, stale) is None
    finally:
        crashpoints.install(None)
    shop.work_until_quiet(card_id)

    debits = [e for e in shop.sides[SHOPIFY].writes if e.kind == "debit"]
    assert [e.amount_minor for e in debits] == [3_000]
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


POINTS = [
    "commit.before",
    "commit.inside",
    "commit.after",
    "execute.sent",
    "execute.called",
    "reconcile.observed",
    "recover.before",
    "recover.found",
]


@pytest.mark.parametrize("point", POINTS)
def test_given_a_process_that_dies_at_any_point_then_the_next_runs_converge(
    shop: Shop, crash_at: Callable[..., None], point: str
) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST)
    for _ in range(3):
        crash_at(point)
        lease = shop.store.claim(card_id, "worker 1", shop.clock(), LEASE_SECONDS)
        assert lease is not None
        with suppress(Crashed):
            reconcile(shop.link, lease)
        shop.clock.advance(LEASE_SECONDS + 1)
    crash_at("nowhere")

    card = shop.work_until_quiet(card_id)

    assert (card.in_step, card.balance_minor) == (True, 7_000)
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert [e.amount_minor for e in shop.sides[SHOPIFY].writes if e.kind == "debit"] == [3_000]
    assert list(audit(shop.engine, shop.vault, shop.clock, shop.sides)) == []
