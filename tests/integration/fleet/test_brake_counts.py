"""Brakes of several workers on one link: their bounds hold for all of them together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sync.ledger.conflicts.brake_counts import LedgerCounts
from sync.reconcile.brakes import Brake, BrakeLimits, BrakeTripped
from sync.support.pausing import resume
from tests.integration.shop import FLOW, SHOPIFY, Shop

OTHER = "5000600070008000"


def brake(shop: Shop, limits: BrakeLimits) -> Brake:
    """That of one more worker on the link."""
    return Brake(limits, "NOK", LedgerCounts(shop.engine))


def spends(shop: Shop, one: Brake, card_id: int, amount_minor: int, marker: str = "gs-x") -> bool:
    try:
        one.spend(shop.engine, card_id, marker, amount_minor, shop.clock())
    except BrakeTripped:
        return False
    return True


def test_given_two_workers_then_they_move_no_more_money_than_one_may(shop: Shop) -> None:
    card_id = shop.in_step()
    one, two = (brake(shop, BrakeLimits(money_minor=10_000)) for _ in range(2))

    assert spends(shop, one, card_id, 6_000)
    assert not spends(shop, two, card_id, 6_000)
    assert spends(shop, two, card_id, 4_000)
    assert not spends(shop, one, card_id, 1)
    # A worker that is started anew knows it, too.
    assert not spends(shop, brake(shop, BrakeLimits(money_minor=10_000)), card_id, 1)


def test_given_two_workers_then_they_change_no_more_cards_than_one_may(shop: Shop) -> None:
    first, second = shop.in_step(), shop.in_step(5_000, OTHER)
    one, two = (brake(shop, BrakeLimits(cards=1)) for _ in range(2))

    assert spends(shop, one, first, 1)
    assert spends(shop, two, first, 1)
    assert not spends(shop, two, second, 1)


def test_given_the_end_of_the_window_then_the_workers_count_afresh(shop: Shop) -> None:
    card_id = shop.in_step()
    one, two = (brake(shop, BrakeLimits(money_minor=100, window_seconds=60)) for _ in range(2))
    assert spends(shop, one, card_id, 100)
    assert not spends(shop, two, card_id, 1)

    shop.clock.advance(61)

    assert spends(shop, two, card_id, 100)
    assert not spends(shop, one, card_id, 1)


def test_given_many_threads_then_exactly_so_much_is_let_through(shop: Shop) -> None:
    card_id = shop.in_step()
    workers = [brake(shop, BrakeLimits(money_minor=500)) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        passed = list(pool.map(lambda n: spends(shop, workers[n % 4], card_id, 100), range(24)))

    assert passed.count(True) == 5


def test_given_a_brake_that_stops_the_link_then_both_go_on_when_a_person_says_so(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    limits = BrakeLimits(money_minor=2_000)
    one, two = (brake(shop, limits) for _ in range(2))
    shop.link = replace(shop.link, brake=one)
    shop.worker.link = shop.link
    assert spends(shop, two, card_id, 1_500)
    shop.move(FLOW, -1_000)
    shop.intake.make_due([card_id], shop.clock())
    shop.sync()
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 10_000}
    shop.clock.advance(1)

    assert resume(shop.link, "ola", "a campaign") == 1
    shop.sync()

    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000}
    assert spends(shop, two, card_id, 1_000)
    assert not spends(shop, two, card_id, 1)
