"""Hinted cards are looked at together first; what shows nothing new is passed over, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from connectors.api.card import CardRef, Observation
from connectors.api.feed import Feed, Hint, HintPage
from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from sync.feeds.reader import read_feed
from sync.feeds.unchanged import unchanged
from sync.ledger.incoming.intake import LOOKS_PER_EVENT
from tests.integration.shop import FLOW, SHOPIFY, Shop

FEED = Feed("cards", 60)


def glance(shop: Shop, *hints: Hint) -> set[int]:
    return unchanged(shop.link, shop.intake, shop.sides[SHOPIFY], hints)


def hint_of(shop: Shop) -> Hint:
    return Hint(CardRef(shop.native(SHOPIFY)), "cards", at=shop.clock())


def test_given_a_card_as_its_shadow_says_then_it_is_passed_over(shop: Shop) -> None:
    card_id = shop.in_step()

    assert glance(shop, hint_of(shop)) == {card_id}


@pytest.mark.parametrize(
    "change",
    [
        lambda card: setattr(card, "balance_minor", 1),
        lambda card: setattr(card, "status", CardStatus.SUSPENDED),
    ],
    ids=["balance", "status"],
)
def test_given_a_card_that_differs_then_it_needs_work(shop: Shop, change: Callable[[object], None]) -> None:
    shop.in_step()
    change(shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)])

    assert glance(shop, hint_of(shop)) == set()


def test_given_an_open_intent_then_what_shows_proves_nothing(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.NOT_SENT)
    shop.work(card_id)
    shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)].balance_minor = 7_000

    assert glance(shop, hint_of(shop)) == set()


def test_given_a_request_that_was_once_in_doubt_then_its_book_must_be_read(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST)
    shop.work_until_quiet(card_id)

    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert glance(shop, hint_of(shop)) == set()


def test_given_a_conflict_then_a_look_may_find_its_cause_gone(shop: Shop) -> None:
    card_id = shop.in_step()
    side = shop.sides[SHOPIFY]
    side.odd_statuses[shop.native(SHOPIFY)] = "PARKED"
    shop.work(card_id)
    assert shop.row("conflicts")["kind"] == "status"
    side.odd_statuses.clear()

    assert glance(shop, hint_of(shop)) == set()


def test_given_a_movement_of_ours_during_the_look_then_it_is_not_taken_for_the_customers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The shadow was 100; ours adds 30, the customer takes 30: what shows is the old shadow, and no proof.
    card_id = shop.in_step(10_000)
    side = shop.sides[SHOPIFY]
    observe = side.observe

    def meanwhile(*refs: object, **how: object) -> Iterator[Observation]:
        monkeypatch.setattr(side, "observe", observe)
        shop.move(FLOW, 3_000)
        shop.work_until_quiet(card_id)
        side.cards[shop.native(SHOPIFY)].balance_minor -= 3_000
        return observe(*refs, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(side, "observe", meanwhile)

    assert glance(shop, hint_of(shop)) == set()


def test_given_a_side_that_is_read_one_card_at_a_time_then_nobody_is_asked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.in_step()
    side = shop.sides[SHOPIFY]
    monkeypatch.setattr(side, "capabilities", replace(side.capabilities, read_batch_max=1))
    reads = side.usage().calls

    assert glance(shop, hint_of(shop)) == set()
    assert side.usage().calls == reads


def test_given_a_feed_then_only_its_cards_that_differ_become_due_and_each_event_is_looked_at_so_often(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    same, other = shop.in_step(), shop.in_step(serial="5000600070008000")
    side = shop.sides[SHOPIFY]
    natives = [shop.native(SHOPIFY), shop.native(SHOPIFY, "5000600070008000")]
    told = [Hint(CardRef(native), "cards", at=shop.clock()) for native in natives]
    side.cards[natives[1]].balance_minor -= 1_000
    monkeypatch.setattr(side, "hints", lambda feed, cursor: iter([HintPage(told, "1")]))
    asked: list[int] = []
    observe = side.observe

    def counted(refs: list[CardRef], **how: object) -> Iterator[Observation]:
        asked.append(len(refs))
        return observe(refs, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(side, "observe", counted)

    for _ in range(LOOKS_PER_EVENT + 1):
        assert read_feed(shop.link, shop.intake, side, FEED).hints == 2

    assert [shop.row("cards", id=card)["due_at"] for card in (same, other)] == [None, shop.clock()]
    assert asked == [2] * LOOKS_PER_EVENT
