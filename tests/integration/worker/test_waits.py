"""Waits that a clock of the future wrote end at the start of the next run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import update

from connectors.memory import CAPABILITIES, MemoryFault
from sync.ledger.cards.waits import WAIT_MAX, bring_near
from sync.ledger.database.tables import arrivals, cards, polls
from tests.integration.shop import FLOW, SHOPIFY, Shop

DAY = timedelta(days=1)


def ahead(shop: Shop) -> datetime:
    return shop.clock() + DAY


def test_given_a_clock_that_was_a_day_ahead_then_everything_is_due_at_the_next_start(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.arrive(FLOW, shop.sell(FLOW, 5_000, "1234567812345678"))
    future = ahead(shop)
    with shop.engine.begin() as connection:
        connection.execute(update(cards).values(due_at=future))
        connection.execute(update(arrivals).values(due_at=future))

    assert bring_near(shop.store, shop.clock(), 60.0) >= 2

    assert [lease.card_id for lease in shop.store.claim_due("w", shop.clock(), 60.0, 5)] == [card_id]
    assert len(shop.intake.due_arrivals(shop.clock(), 5)) == 1


def test_given_looks_of_the_future_then_the_card_counts_as_looked_at_now(
    make_shop: Callable[..., Shop],
) -> None:
    one_by_one = replace(CAPABILITIES, read_batch_max=1, lists_entries=False)
    shop = make_shop(capabilities={FLOW: one_by_one})
    shop.in_step(10_000)
    shop.worker.look(shop.sides[FLOW])
    future = ahead(shop)
    with shop.engine.begin() as connection:
        connection.execute(update(polls).values(asked_at=future, polled_at=future, changed_at=future))

    assert bring_near(shop.store, shop.clock(), 60.0) == 3

    (row,) = shop.rows("polls")
    assert {row["asked_at"], row["polled_at"], row["changed_at"]} == {shop.clock()}


def test_given_a_lease_of_the_future_then_the_card_is_free_and_the_old_worker_commits_nothing(
    shop: Shop,
) -> None:
    card_id = shop.in_step(10_000)
    lease = shop.store.claim(card_id, "ahead", shop.clock() + DAY, 60.0)
    assert lease is not None

    bring_near(shop.store, shop.clock(), 60.0)

    mine = shop.store.claim(card_id, "mine", shop.clock(), 60.0)
    assert mine is not None
    assert mine.fencing > lease.fencing


def test_given_waits_as_giftsync_makes_them_then_none_is_touched(shop: Shop) -> None:
    shop.in_step(10_000)
    with shop.engine.begin() as connection:
        connection.execute(update(cards).values(due_at=shop.clock() + WAIT_MAX))

    assert bring_near(shop.store, shop.clock(), 60.0) == 0


def test_given_a_quiet_period_of_the_future_then_it_begins_anew(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.move(FLOW, -1_000)
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST)
    now = shop.clock()
    shop.clock.advance(DAY.total_seconds())
    shop.work(card_id)

    assert bring_near(shop.store, now, 60.0) >= 1

    (found,) = shop.rows("intents", state="in_doubt")
    assert found["not_before"] - now == timedelta(seconds=60)
    assert shop.card(card_id).open_intents[0].not_before == found["not_before"]
