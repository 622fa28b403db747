"""The newest movements, and when the other sides had them; what each side shows."""

from __future__ import annotations

from collections.abc import Mapping

from mappings.brands import Brands
from sync.ledger.journeys import busiest_card, newest_journeys
from sync.ledger.totals import read_totals
from tests.integration.shop import FLOW, SHOPIFY, Shop


def totals_shown(shop: Shop) -> Mapping[str, int]:
    return read_totals(shop.engine, shop.clock(), (), Brands()).shown_minor


def test_given_a_movement_that_was_carried_then_its_journey_ends_when_the_other_side_has_it(
    shop: Shop,
) -> None:
    card_id = shop.in_step(10_000)
    shop.move(SHOPIFY, -2_500)
    shop.work(card_id)

    spent, opening = newest_journeys(shop.engine, 10)

    assert (spent.side, spent.amount_minor, spent.currency, spent.card_id) == (
        SHOPIFY,
        -2_500,
        "NOK",
        card_id,
    )
    assert [one.side for one in spent.carried] == [FLOW]
    assert spent.seconds is not None
    assert spent.seconds >= 0
    assert (opening.side, opening.amount_minor) == (FLOW, 10_000)
    assert [one.side for one in opening.carried] == [SHOPIFY]
    assert totals_shown(shop) == {FLOW: 7_500, SHOPIFY: 7_500}
    assert busiest_card(shop.engine) == card_id


def test_given_an_effect_that_is_planned_only_then_the_journey_is_under_way_and_the_side_shows_it_not_yet(
    shop: Shop,
) -> None:
    shop.meet(FLOW, 10_000)

    (opening,) = newest_journeys(shop.engine, 10)

    assert [(one.side, one.ended_at) for one in opening.carried] == [(SHOPIFY, None)]
    assert opening.seconds is None
    assert totals_shown(shop) == {FLOW: 10_000, SHOPIFY: 0}


def test_given_both_sides_moved_alike_then_each_is_its_own_journey(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.move(SHOPIFY, -2_500)
    shop.move(FLOW, -1_000)
    shop.work(card_id)

    newest = newest_journeys(shop.engine, 2)

    assert {(one.side, one.amount_minor, one.carried[0].side) for one in newest} == {
        (SHOPIFY, -2_500, FLOW),
        (FLOW, -1_000, SHOPIFY),
    }
    assert totals_shown(shop) == {FLOW: 6_500, SHOPIFY: 6_500}


def test_given_an_empty_ledger_then_there_is_nothing(shop: Shop) -> None:
    assert newest_journeys(shop.engine, 10) == []
    assert totals_shown(shop) == {}
    assert busiest_card(shop.engine) is None
