"""A side that does not do what it was asked, or loses it again: a person decides, and no money moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import event

from connectors.api.effect import Effect, EffectKind
from connectors.memory import MemoryFault
from sync.decisions.resolutions import Action
from sync.model import FirstContact
from sync.support import cases
from sync.support.settle import Resolution, resolve
from tests.integration.shop import FLOW, SHOPIFY, Shop

#: What is decided here is pure; its one statement of its own is run by every test.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def misreads(shop: Shop, kind: EffectKind, factor: int = 10) -> None:
    """The online shop takes amounts of this kind of request for so many times as much."""
    side = shop.sides[SHOPIFY]
    carry_out = side._carry_out

    def misread(effect: Effect) -> object:
        times = factor if effect.kind is kind else 1
        return carry_out(replace(effect, amount_minor=effect.amount_minor * times))

    side._carry_out = misread  # type: ignore[method-assign,assignment]


def told(shop: Shop) -> list[tuple[str, int]]:
    return [(str(one.conflict.summary), one.conflict.amount_minor) for one in cases.list_cases(shop.link)]


def test_given_a_create_with_another_balance_then_nothing_moves_whatever_the_policy(
    make_shop: Callable[..., Shop],
) -> None:
    shop = make_shop(first_contact=FirstContact.HIGHER)
    misreads(shop, EffectKind.CREATE)
    card_id = shop.meet(FLOW, 10_000)

    shop.sync()
    shop.sync()

    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 100_000}
    assert (shop.card(card_id).held, shop.card(card_id).balance_minor) == (True, 10_000)
    words = "giftsync asked shopify for 100.00 NOK on the card, and shopify did 1 000.00 NOK; nothing moves."
    assert told(shop) == [(words, 90_000)]


def test_given_a_create_with_another_balance_whose_answer_is_lost_then_it_is_told_at_the_first_look(
    shop: Shop,
) -> None:
    misreads(shop, EffectKind.CREATE)
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST)
    card_id = shop.meet(FLOW, 10_000)

    shop.sync()

    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 100_000}
    assert (shop.card(card_id).held, shop.card(card_id).balance_minor) == (True, 10_000)
    assert [amount for _, amount in told(shop)] == [90_000]


def test_given_a_debit_of_another_amount_then_what_customers_did_beside_it_counts(shop: Shop) -> None:
    card_id = shop.in_step()
    misreads(shop, EffectKind.DEBIT, 5)
    shop.move(FLOW, -1_000)
    shop.work(card_id)
    shop.move(SHOPIFY, -300)

    shop.work(card_id)
    shop.work(card_id)

    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 4_700}
    assert (shop.card(card_id).held, shop.card(card_id).balance_minor) == (True, 8_700)
    words = "giftsync asked shopify for -10.00 NOK on the card, and shopify did -50.00 NOK; nothing moves."
    assert told(shop) == [(words, 4_000)]


@pytest.mark.parametrize("spent_minor", [0, -1_000], ids=["alone", "hidden"])
def test_given_a_side_that_loses_our_debit_then_it_is_no_customers_load(shop: Shop, spent_minor: int) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -1_000)
    shop.work(card_id)
    put_back(shop)
    if spent_minor:
        shop.move(SHOPIFY, spent_minor)

    shop.intake.make_due([card_id], shop.clock(), SHOPIFY)
    shop.sync()

    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 10_000 + spent_minor}
    assert (shop.card(card_id).held, shop.card(card_id).balance_minor) == (True, 9_000 + spent_minor)
    assert [amount for _, amount in told(shop)] == [1_000]


def test_given_a_person_says_what_it_is_worth_then_the_sides_follow_and_it_is_over(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -1_000)
    shop.work(card_id)
    put_back(shop)
    shop.move(SHOPIFY, -400)
    shop.work(card_id)
    (one,) = cases.list_cases(shop.link)

    said = Resolution(Action.VALUE, "Kari", "looked at receipts", value_minor=8_600)
    resolve(shop.link, one.conflict.id, said)
    shop.move(SHOPIFY, -100)
    shop.sync()

    assert shop.shown() == {FLOW: 8_500, SHOPIFY: 8_500}
    assert told(shop) == []
    assert not shop.card(card_id).held


def test_given_a_payment_that_the_shop_does_not_list_then_it_costs_no_statement_more(shop: Shop) -> None:
    card_id = shop.in_step()
    card = shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)]

    def statements(pay: Callable[[], object]) -> int:
        pay()
        made: list[object] = []

        def count(*executed: object) -> None:
            made.append(executed[2])

        event.listen(shop.engine, "before_cursor_execute", count)
        shop.work(card_id)
        event.remove(shop.engine, "before_cursor_execute", count)
        return len(made)

    def unlisted() -> None:
        card.balance_minor -= 200

    for _ in range(2):  # First the payments before were taken off in the store, then one of the store's here.
        assert statements(unlisted) == statements(lambda: shop.move(SHOPIFY, -200))
        shop.move(FLOW, -100)
        shop.work(card_id)
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000}


def put_back(shop: Shop) -> None:
    """The online shop goes back to where it was before its newest entry."""
    card = shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)]
    card.balance_minor -= card.entries.pop().amount_minor
