"""Numbers generated in advance: uploaded once, allotted once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from structlog.testing import capture_logs

from connectors.api.card import Seen
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import protocol
from sync.ledger.cards.store import AlreadyThere
from tests.integration.shop import FLOW, SHOPIFY, Shop, hidden

NUMBERS = [Serial(f"900000000000000{n}") for n in range(5)]


def test_given_numbers_that_are_there_then_only_the_new_ones_are_added(shop: Shop) -> None:
    assert shop.pool.add(FLOW, NUMBERS[:3]) == 3
    assert shop.pool.add(FLOW, NUMBERS) == 2
    assert shop.pool.add(SHOPIFY, NUMBERS) == 5
    assert (shop.pool.free(FLOW), shop.pool.free(SHOPIFY)) == (5, 5)


def test_given_a_pool_then_numbers_come_by_side_and_brand(shop: Shop) -> None:
    shop.pool.add(FLOW, NUMBERS[:2])
    shop.pool.add(FLOW, NUMBERS[2:3], brand="gold")

    first = shop.pool.next_free(FLOW, None)
    gold = shop.pool.next_free(FLOW, "gold")

    assert first is not None
    assert gold is not None
    assert (first.serial in NUMBERS[:2], gold.serial) == (True, NUMBERS[2])
    # A number of no brand will do for any.
    silver = shop.pool.next_free(FLOW, "silver")
    assert silver is not None
    assert silver.serial in NUMBERS[:2]
    assert shop.pool.next_free(SHOPIFY, None) is None


def test_given_a_number_that_is_retired_then_the_next_one_comes(shop: Shop) -> None:
    shop.pool.add(FLOW, NUMBERS[:2])
    first = shop.pool.next_free(FLOW, None)
    assert first is not None

    shop.pool.retire(first, shop.clock())

    second = shop.pool.next_free(FLOW, None)
    assert second is not None
    assert {first.serial, second.serial} == set(NUMBERS[:2])
    assert shop.pool.free(FLOW) == 1


def test_given_a_pool_then_no_number_stands_in_the_database(shop: Shop) -> None:
    shop.pool.add(FLOW, NUMBERS[:1])

    assert NUMBERS[0].reveal() not in str(shop.row("pool_numbers"))


def test_given_many_threads_that_want_the_same_number_then_one_gets_it(shop: Shop) -> None:
    shop.pool.add(FLOW, NUMBERS[:1])
    number = shop.pool.next_free(FLOW, None)
    assert number is not None
    start = threading.Barrier(8)

    def allot(n: int) -> int | None:
        seen = Seen(f"s-{n}", 100, "NOK", CardStatus.ACTIVE, "active", None, "", shop.clock())
        decision = protocol.meet({SHOPIFY: seen}, (), shop.link.rules, shop.clock().date())
        start.wait()
        try:
            return shop.store.create(decision, shop.clock(), pool_number_ids=[number.id])
        except AlreadyThere:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [card_id for card_id in pool.map(allot, range(8)) if card_id is not None]

    assert len(made) == 1
    assert [card["id"] for card in shop.rows("cards")] == made
    assert shop.row("pool_numbers")["allotted_to"] == made[0]
    assert shop.pool.free(FLOW) == 0


def test_given_numbers_of_several_brands_then_each_is_counted(shop: Shop) -> None:
    shop.pool.add(FLOW, NUMBERS[:2])
    shop.pool.add(FLOW, NUMBERS[2:3], brand="gold")

    assert shop.pool.free_by_brand(FLOW) == {None: 2, "gold": 1}
    assert shop.pool.free_by_brand(SHOPIFY) == {}


def test_given_a_number_of_a_small_pool_then_taking_it_is_a_warning(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(capabilities={SHOPIFY: hidden()})
    shop.pool.add(FLOW, NUMBERS)
    ref = shop.sell(SHOPIFY, 50_00)

    with capture_logs() as logs:
        shop.matcher.match(shop.arrive(SHOPIFY, ref))

    low = [one for one in logs if one["action"] == "pool.low"]
    assert [(one["log_level"], one["free"]) for one in low] == [("warning", 4)]
