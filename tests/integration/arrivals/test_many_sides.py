"""A link of more than two sides: a card bought online gets a number on each side that needs one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mappings.serials import Serial
from sync.arrivals.match import Matched
from sync.arrivals.missing import add_missing, look_for_missing, newly_created_on
from sync.model import LinkRules, SideRules
from tests.integration.shop import Shop, hidden

OSLO, BERGEN, WEB = "oslo", "bergen", "web"
IN_OSLO, IN_BERGEN = Serial("9000000000000001"), Serial("9100000000000001")

MakeShop = Callable[..., Shop]


@pytest.fixture
def three(make_shop: MakeShop) -> Shop:
    """Two stores whose cards have numbers, and a shop that shows none."""
    return make_shop(names=(OSLO, BERGEN, WEB), capabilities={WEB: hidden()})


def bought(shop: Shop, amount_minor: int = 10_000, code: str = "abcd2345efgh6789") -> Matched:
    return shop.matcher.match(shop.arrive(WEB, shop.sides[WEB].sell(code, amount_minor), sold_here=True))


def numbers(shop: Shop, card_id: int) -> dict[str, str]:
    card = shop.store.load(card_id)
    return {p.side: p.serial.reveal() for p in card.presences if p.serial is not None and p.side != WEB}


def test_given_a_pool_for_each_store_then_a_card_bought_online_uses_one_number_of_each(three: Shop) -> None:
    three.pool.add(OSLO, [IN_OSLO])
    three.pool.add(BERGEN, [IN_BERGEN])

    assert bought(three) is Matched.MET
    three.sync()

    assert numbers(three, 1) == {OSLO: IN_OSLO.reveal(), BERGEN: IN_BERGEN.reveal()}
    assert (three.pool.free(OSLO), three.pool.free(BERGEN)) == (0, 0)
    assert {row["allotted_to"] for row in three.rows("pool_numbers")} == {1}
    shown = [[card.balance_minor for card in side.cards.values()] for side in three.sides.values()]
    assert shown == [[10_000], [10_000], [10_000]]


def test_given_a_pool_and_a_prefix_then_each_store_has_its_own_way(make_shop: MakeShop) -> None:
    rules = {BERGEN: SideRules(serial_prefix="9902")}
    shop = make_shop(names=(OSLO, BERGEN, WEB), capabilities={WEB: hidden()}, rules=rules)
    shop.pool.add(OSLO, [IN_OSLO])

    assert bought(shop) is Matched.MET

    assert numbers(shop, 1) == {OSLO: IN_OSLO.reveal(), BERGEN: "9902777777777777"}


def test_given_a_store_without_numbers_then_the_card_waits_and_no_other_number_is_used(three: Shop) -> None:
    three.pool.add(OSLO, [IN_OSLO])

    assert bought(three) is Matched.WAITS

    assert three.pool.free(OSLO) == 1
    (conflict,) = three.rows("conflicts")
    assert (conflict["kind"], conflict["side"]) == ("pool_empty", BERGEN)


def test_given_another_worker_took_a_number_then_the_next_one_is_used_and_none_is_lost(three: Shop) -> None:
    three.pool.add(OSLO, [IN_OSLO])
    three.pool.add(BERGEN, [IN_BERGEN, Serial("9100000000000002")])
    first = three.pool.next_free(BERGEN, None)
    assert first is not None
    three.pool.retire(first, three.clock())

    assert bought(three) is Matched.MET

    assert numbers(three, 1)[BERGEN] != first.serial.reveal()
    assert (three.pool.free(OSLO), three.pool.free(BERGEN)) == (0, 0)


def test_given_two_cards_then_no_number_is_used_twice(three: Shop) -> None:
    for side, begins in ((OSLO, "90"), (BERGEN, "91")):
        three.pool.add(side, [Serial(f"{begins}{n:014d}") for n in range(2)])

    assert bought(three) is Matched.MET
    assert bought(three, code="abcd2345efgh6780") is Matched.MET

    used = [*numbers(three, 1).values(), *numbers(three, 2).values()]
    assert len(set(used)) == len(used) == 4


def test_given_a_side_that_keeps_its_cards_then_they_are_made_nowhere_and_others_are(
    make_shop: MakeShop,
) -> None:
    rules = {WEB: SideRules(shares=False)}
    shop = make_shop(names=(OSLO, BERGEN, WEB), capabilities={WEB: hidden()}, rules=rules)
    shop.pool.add(OSLO, [IN_OSLO])
    shop.pool.add(BERGEN, [IN_BERGEN])
    bought(shop)
    shop.sell(OSLO, 5_000, "1000200030004000")
    shop.sync()

    assert numbers(shop, 1) == {}
    assert set(numbers(shop, 2)) == {OSLO, BERGEN}
    assert (shop.pool.free(OSLO), shop.pool.free(BERGEN)) == (1, 1)

    assert newly_created_on(shop.link) == []
    share(shop)
    assert newly_created_on(shop.link) == [BERGEN, OSLO]
    add_missing(shop.matcher)

    assert numbers(shop, 1) == {OSLO: IN_OSLO.reveal(), BERGEN: IN_BERGEN.reveal()}
    assert (shop.pool.free(OSLO), shop.pool.free(BERGEN)) == (0, 0)


def test_given_cards_that_were_imported_to_two_of_three_sides_then_the_next_pass_makes_them_on_the_third(
    three: Shop,
) -> None:
    three.sync()
    two = {name: three.link.sides[name] for name in (OSLO, WEB)}
    rules = LinkRules({name: three.link.rules.sides[name] for name in two})
    narrow = replace(three.matcher, link=replace(three.link, sides=two, rules=rules))
    narrow.match(three.arrive(OSLO, three.sell(OSLO, 5_000)))
    three.sync()
    assert set(three.shown()) == {OSLO, WEB}

    look_for_missing(three.link)
    three.sync()

    assert three.shown() == {OSLO: 5_000, BERGEN: 5_000, WEB: 5_000}
    assert [mark["value"] for mark in three.rows("marks", name="imported_to_two_of_several")] == [""]


def share(shop: Shop) -> None:
    sides = {name: replace(rules, shares=True) for name, rules in shop.link.rules.sides.items()}
    shop.link = replace(shop.link, rules=LinkRules(sides))
    shop.matcher = replace(shop.matcher, link=shop.link)


def test_given_money_is_spent_on_two_of_three_sides_then_all_three_show_what_is_left(three: Shop) -> None:
    three.sell(OSLO, 10_000, "1000200030004000")
    three.sync()
    three.move(OSLO, -2_000)
    three.move(BERGEN, -3_000)

    three.sync()

    assert three.shown() == {OSLO: 5_000, BERGEN: 5_000, WEB: 5_000}
