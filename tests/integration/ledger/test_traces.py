"""What feeds tell of a card, in the order in which it happened."""

from __future__ import annotations

from datetime import timedelta

from connectors.api.card import CardRef
from connectors.api.feed import Traced
from mappings.serials import Serial
from sync.ledger.incoming import traces
from tests.integration.shop import SERIAL, SHOPIFY, Shop


def test_given_lines_of_one_second_read_newest_first_then_the_sides_numbers_tell_their_order(
    shop: Shop,
) -> None:
    card_id = shop.in_step()
    card = CardRef(serial=Serial(SERIAL))
    second = shop.clock() + timedelta(seconds=5)
    told = [
        Traced(card, None, -1_000, "line/1002", second),
        Traced(card, None, -5_000, "line/999", second),
        Traced(card, None, -3_000, "line/1003", second - timedelta(seconds=2)),
        Traced(card, None, -7_000, "line/1", None),
    ]
    with shop.engine.begin() as connection:
        traces.keep(connection, shop.vault, SHOPIFY, told, second + timedelta(seconds=1))

    found = traces.told_of(shop.engine, card_id)

    assert [one.amount_minor for one in found[SHOPIFY]] == [-7_000, -3_000, -5_000, -1_000]
