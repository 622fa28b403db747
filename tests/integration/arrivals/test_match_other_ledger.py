"""A card that another ledger made must not be made a second time."""

from __future__ import annotations

from tests.integration.shop import FLOW, SHOPIFY, Shop


def test_given_a_card_with_a_marker_of_another_ledger_then_it_is_left_alone_and_a_person_is_told(
    shop: Shop,
) -> None:
    ref = shop.sell(FLOW, 10_000)
    arrival = shop.arrive(FLOW, ref, created_by="gs-anotherledger")

    outcome = shop.matcher.match(arrival)

    assert outcome == "waits"
    assert shop.rows("cards") == []
    assert shop.sides[SHOPIFY].cards == {}
    (conflict,) = shop.rows("conflicts")
    assert (conflict["kind"], conflict["amount_minor"]) == ("duplicate", 10_000)
    assert "another ledger" in conflict["summary"]
