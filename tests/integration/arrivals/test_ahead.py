"""Many cards met at once: what the sides' lists show already is not asked for card by card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.api.card import CardRef, Observation
from connectors.api.errors import NotSent
from mappings.serials import Serial, lengthened
from sync.arrivals.ahead import Ahead, look_ahead
from sync.arrivals.match import Matched
from tests.integration.shop import FLOW, SHOPIFY, Shop, effects, hidden

MakeShop = Callable[..., Shop]
STORE_CARD, OTHER_STORE_CARD, ONLINE_CARD = "1000200030004000", "1000200030005000", "abcd20003000400x"


@pytest.fixture
def counted(make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch) -> tuple[Shop, list[str]]:
    """A merchant, and what the online shop is asked: look-ups by their last four, reads by their number."""
    shop = make_shop(capabilities={SHOPIFY: hidden()}, serial_prefix="99")
    asked: list[str] = []
    side = shop.sides[SHOPIFY]
    lookup, observe = side.lookup, side.observe

    def counted_lookup(serial: Serial) -> Observation:
        asked.append(f"lookup {serial.last_chars}")
        return lookup(serial)

    def counted_observe(cards: Any, **how: Any) -> Any:
        asked.append(f"read {len(cards)}")
        return observe(cards, **how)

    monkeypatch.setattr(side, "lookup", counted_lookup)
    monkeypatch.setattr(side, "observe", counted_observe)
    return shop, asked


def ahead_of(shop: Shop, *listed: str) -> Ahead:
    return look_ahead(shop.link, shop.intake, shop.intake.due_arrivals(shop.clock(), 100), listed)


def test_given_a_list_without_its_ending_then_a_store_card_is_made_without_a_search(
    counted: tuple[Shop, list[str]],
) -> None:
    shop, asked = counted
    arrival = shop.arrive(FLOW, shop.sell(FLOW, 10_000, STORE_CARD))

    assert shop.matcher.match(arrival, ahead=ahead_of(shop, SHOPIFY)) is Matched.MET
    assert asked == []
    card = shop.work(shop.card_id(STORE_CARD))

    assert card is not None
    assert card.in_step
    assert effects(shop.sides[SHOPIFY]) == [("create", 10_000)]


def test_given_a_list_that_was_not_read_to_its_end_then_each_card_is_searched(
    counted: tuple[Shop, list[str]],
) -> None:
    shop, asked = counted
    arrival = shop.arrive(FLOW, shop.sell(FLOW, 10_000, STORE_CARD))

    assert shop.matcher.match(arrival, ahead=ahead_of(shop)) is Matched.MET
    assert asked == ["lookup 4000"]


@pytest.mark.parametrize("met", [False, True])
def test_given_a_card_with_its_ending_in_the_list_then_it_is_searched_and_adopted(
    counted: tuple[Shop, list[str]], met: bool
) -> None:
    """A physical card that was assigned to an online order has one serial for both."""
    shop, asked = counted
    online = shop.sell(SHOPIFY, 10_000, STORE_CARD)
    told = shop.arrive(SHOPIFY, online, last_chars="4000")
    if met:
        # The other one of the two is known to the hub already, with a number of its own in the store.
        assert shop.matcher.match(told) is Matched.MET
        asked.clear()
    arrival = shop.arrive(FLOW, shop.sell(FLOW, 10_000, STORE_CARD))

    shop.matcher.match(arrival, ahead=ahead_of(shop, SHOPIFY))

    assert "lookup 4000" in asked
    assert len(shop.sides[SHOPIFY].cards) == 1


def test_given_a_card_about_to_be_made_with_its_ending_then_the_next_one_is_not_searched(
    counted: tuple[Shop, list[str]],
) -> None:
    """The whole number of a card that giftsync makes is known, and it is another one."""
    shop, asked = counted
    first, second = "1000200030004000", "9000800070004000"
    shop.matcher.match(
        shop.arrive(FLOW, shop.sell(FLOW, 10_000, first)),
        ahead=ahead_of(shop, SHOPIFY),
    )
    arrival = shop.arrive(FLOW, shop.sell(FLOW, 5_000, second))

    assert shop.matcher.match(arrival, ahead=ahead_of(shop, SHOPIFY)) is Matched.MET

    assert asked == []
    shop.work_until_quiet(shop.card_id(first))
    shop.work_until_quiet(shop.card_id(second))
    assert effects(shop.sides[SHOPIFY]) == [("create", 10_000), ("create", 5_000)]


@pytest.mark.parametrize("serial", ["1234567", STORE_CARD])
def test_given_a_card_there_with_the_same_number_then_it_is_searched_lengthened_or_not(
    counted: tuple[Shop, list[str]], serial: str
) -> None:
    shop, _ = counted
    longer = lengthened(Serial(serial))
    shop.arrive(SHOPIFY, CardRef("online-1", longer))
    shop.arrive(FLOW, shop.sell(FLOW, 10_000, serial))

    assert not ahead_of(shop, SHOPIFY).lacks(SHOPIFY, longer)


def test_given_a_card_made_there_since_the_list_was_read_then_it_is_not_made_twice(
    counted: tuple[Shop, list[str]],
) -> None:
    shop, asked = counted
    arrival = shop.arrive(FLOW, shop.sell(FLOW, 10_000, STORE_CARD))
    ahead = ahead_of(shop, SHOPIFY)
    shop.sell(SHOPIFY, 10_000, STORE_CARD)

    assert shop.matcher.match(arrival, ahead=ahead) is Matched.MET
    assert asked == []
    card = shop.work_until_quiet(shop.card_id(STORE_CARD))

    assert card.in_step
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
    assert len(shop.sides[SHOPIFY].cards) == 1


def test_given_many_online_cards_then_they_are_read_together(counted: tuple[Shop, list[str]]) -> None:
    shop, asked = counted
    serials = [f"abcd20003000400{n}" for n in range(5)]
    arrivals = [
        shop.arrive(SHOPIFY, shop.sell(SHOPIFY, 1_000 * n, serial), last_chars=serial[-4:])
        for n, serial in enumerate(serials, 1)
    ]
    ahead = ahead_of(shop, SHOPIFY)
    assert asked == ["read 5"]

    matcher = replace(shop.matcher, make_digits=None)
    assert [matcher.match(a, ahead=ahead) for a in arrivals] == [Matched.MET] * 5

    assert asked == ["read 5"]
    assert sorted(c["balance_minor"] for c in shop.rows("cards")) == [1_000, 2_000, 3_000, 4_000, 5_000]


def test_given_a_side_that_does_not_answer_then_each_card_asks_it_again(
    counted: tuple[Shop, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = counted
    for serial in (ONLINE_CARD, ONLINE_CARD[:-1] + "y"):
        shop.arrive(SHOPIFY, shop.sell(SHOPIFY, 1_000, serial), last_chars=serial[-4:])

    def out_of_reach(*_: object, **__: object) -> object:
        raise NotSent("no connection")

    monkeypatch.setattr(shop.sides[SHOPIFY], "observe", out_of_reach)

    assert ahead_of(shop, SHOPIFY).seen == {}


def test_nothing_is_concluded_for_an_ending_that_was_not_looked_for() -> None:
    ahead = Ahead({}, frozenset({"4000"}), {SHOPIFY: frozenset()})

    assert ahead.lacks(SHOPIFY, Serial(STORE_CARD))
    assert not ahead.lacks(SHOPIFY, Serial(OTHER_STORE_CARD))
    assert not ahead.lacks(FLOW, Serial(STORE_CARD))
