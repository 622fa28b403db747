"""Somebody copies giftsync's mark by hand onto another card: a conflict, never a wrong movement."""

from __future__ import annotations

from connectors.api.card import CardRef
from connectors.memory import MemoryCard
from mappings.serials import Serial
from sync.arrivals.match import Matched
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop

OTHER = "5000600070008000"


def told(shop: Shop) -> list[tuple[str, str]]:
    return [(c["kind"], c["summary"]) for c in shop.rows("conflicts") if c["closed_at"] is None]


def test_given_a_transaction_with_another_cards_mark_then_its_money_is_a_customers_and_it_is_told(
    shop: Shop,
) -> None:
    shop.in_step(10_000)
    other = shop.in_step(5_000, OTHER)
    shop.move(FLOW, -2_000)
    shop.sync()
    marker = shop.row("intents", kind="debit")["marker"]
    copy = shop.sides[SHOPIFY].cards[shop.native(SHOPIFY, OTHER)]
    shop.sides[SHOPIFY]._enter(copy, -1_000, marker, "by hand")

    shop.sync()

    assert shop.shown(OTHER) == {FLOW: 4_000, SHOPIFY: 4_000}
    assert shop.shown() == {FLOW: 8_000, SHOPIFY: 8_000}
    (movement,) = shop.rows("movements", card_id=other, kind="observed")
    assert movement["evidence"]["explained_minor"] == -1_000
    ((kind, words),) = told(shop)
    assert (kind, "mark of another card" in words) == ("duplicate", True)

    before = shop.rows("movements"), shop.rows("conflicts")
    shop.sync()
    assert (shop.rows("movements"), shop.rows("conflicts")) == before


def test_given_a_new_card_with_another_cards_note_then_it_is_left_alone_until_the_note_is_mended(
    shop: Shop,
) -> None:
    shop.in_step(10_000)
    side = shop.sides[SHOPIFY]
    marker = side.cards[shop.native(SHOPIFY)].created_by
    side.cards["copy"] = MemoryCard("copy", Serial(OTHER), 3_000, created_by=marker)
    ref = CardRef("copy", Serial(OTHER))

    assert shop.matcher.match(shop.arrive(SHOPIFY, ref, created_by=marker)) is Matched.WAITS

    ((kind, words),) = told(shop)
    assert (kind, "mark of another card" in words) == ("duplicate", True)
    assert shop.shown(OTHER) == {SHOPIFY: 3_000}

    side.cards["copy"].created_by = None
    shop.clock.advance(600)
    shop.sync()

    assert shop.shown(OTHER) == {FLOW: 3_000, SHOPIFY: 3_000}
    assert told(shop) == []


def test_given_the_number_of_an_unmade_card_is_in_use_by_a_copy_then_it_is_first_contact(shop: Shop) -> None:
    made = shop.in_step(10_000, OTHER)
    marker = shop.sides[SHOPIFY].cards[shop.native(SHOPIFY, OTHER)].created_by
    card_id = shop.meet(FLOW, 4_000)
    side = shop.sides[SHOPIFY]
    side.cards["copy"] = MemoryCard("copy", Serial(SERIAL), 4_000, created_by=marker)

    card = shop.work_until_quiet(card_id)

    assert card.in_step
    assert shop.card(made).in_step
    assert [kind for kind, _ in told(shop)] == ["duplicate"]
