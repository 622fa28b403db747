"""Hints are stored and the cursor moved together; known cards become due, unknown ones wait, each once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.api.card import CardRef
from connectors.api.feed import Hint, HintPage
from mappings.serials import Serial
from sync.ledger.incoming.intake import Taken
from sync.model import ConflictKind, NewConflict
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop, later
from tests.support import Crashed

NEW = "5000600070008000"


def hint(native_id: str | None = None, serial: str | None = None, **more: object) -> Hint:
    ref = CardRef(native_id, None if serial is None else Serial(serial))
    return Hint(ref, "cards", (serial or "")[-4:], **more)  # type: ignore[arg-type]


def take_in(shop: Shop, side: str, *hints: Hint, cursor: str = "7", tells_changes: bool = True) -> Taken:
    page = HintPage(hints, cursor)
    return shop.intake.take_in(side, "cards", page, shop.clock(), tells_changes=tells_changes)


def test_given_a_page_then_its_hints_and_its_cursor_are_stored(shop: Shop) -> None:
    card_id = shop.in_step()

    taken = take_in(shop, FLOW, hint(shop.native(FLOW)), hint("flow-9", NEW))

    assert taken == Taken(known=1, arrived=1)
    assert shop.intake.cursor(FLOW, "cards") == "7"
    assert shop.row("cards", id=card_id)["due_at"] == shop.clock()
    (arrival,) = shop.intake.due_arrivals(shop.clock(), 10)
    assert (arrival.side, arrival.card) == (FLOW, CardRef("flow-9", Serial(NEW)))


def test_given_a_crash_inside_then_neither_hints_nor_cursor_are_stored(
    shop: Shop, crash_at: Callable[..., None]
) -> None:
    card_id = shop.in_step()
    take_in(shop, FLOW, cursor="6")
    crash_at("intake.inside")

    with pytest.raises(Crashed):
        take_in(shop, FLOW, hint(shop.native(FLOW)), hint("flow-9", NEW))

    assert shop.intake.cursor(FLOW, "cards") == "6"
    assert shop.row("cards", id=card_id)["due_at"] is None
    assert shop.rows("arrivals") == []


@pytest.mark.parametrize("by", ["native id", "serial", "marker"])
def test_given_a_hint_of_a_known_card_then_it_is_due_and_nothing_arrives(shop: Shop, by: str) -> None:
    # By its marker a card is known while the answer to its create is not stored yet.
    card_id = shop.meet(FLOW, 10_000) if by == "marker" else shop.in_step()
    told = {
        "native id": lambda: hint(shop.native(SHOPIFY)),
        "serial": lambda: hint(serial=SERIAL),
        "marker": lambda: hint("shopify-99", created_by=shop.row("intents")["marker"]),
    }[by]()

    assert take_in(shop, SHOPIFY, told) == Taken(known=1, arrived=0)
    assert shop.row("cards", id=card_id)["due_at"] == shop.clock()


def test_given_a_known_id_on_another_side_then_it_is_another_card(shop: Shop) -> None:
    shop.in_step()

    assert take_in(shop, SHOPIFY, hint(shop.native(FLOW))) == Taken(known=0, arrived=1)


def test_given_a_feed_of_new_cards_only_then_a_known_card_is_left_in_peace(shop: Shop) -> None:
    card_id = shop.in_step()

    assert take_in(shop, FLOW, hint(shop.native(FLOW)), tells_changes=False) == Taken(known=1, arrived=0)
    assert shop.row("cards", id=card_id)["due_at"] is None


def test_given_a_card_that_is_due_sooner_then_a_hint_does_not_put_it_off(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.intake.make_due([card_id], shop.clock())
    first = shop.clock()
    shop.clock.advance(10)

    take_in(shop, FLOW, hint(shop.native(FLOW)))

    assert shop.row("cards", id=card_id)["due_at"] == first


def test_given_the_same_card_told_twice_then_it_arrives_once(shop: Shop) -> None:
    told = [hint("flow-9", NEW), hint("flow-9", NEW), hint("flow-9"), hint(serial=NEW)]

    assert take_in(shop, FLOW, *told) == Taken(known=0, arrived=1)
    assert take_in(shop, FLOW, *told) == Taken(known=0, arrived=0)
    assert len(shop.rows("arrivals")) == 1


def test_given_the_same_serial_on_two_sides_then_both_arrive(shop: Shop) -> None:
    take_in(shop, FLOW, hint("flow-9", NEW))

    assert take_in(shop, SHOPIFY, hint("shopify-9", NEW)) == Taken(known=0, arrived=1)


def test_given_arrivals_then_those_with_a_serial_come_first_and_the_later_ones_wait(shop: Shop) -> None:
    take_in(shop, SHOPIFY, hint("shopify-1"))
    shop.clock.advance(1)
    take_in(shop, SHOPIFY, hint("shopify-2", NEW), hint("shopify-3", SERIAL))
    last = shop.intake.due_arrivals(shop.clock(), 10)[1]

    shop.intake.postpone(last, later(shop.clock, 5))

    assert [a.card.native_id for a in shop.intake.due_arrivals(shop.clock(), 10)] == [
        "shopify-2",
        "shopify-1",
    ]
    shop.clock.advance(5)
    assert [a.attempts for a in shop.intake.due_arrivals(shop.clock(), 10)] == [0, 1, 0]


def test_given_a_serial_in_an_arrival_then_it_is_sealed_in_the_database(shop: Shop) -> None:
    take_in(shop, FLOW, hint("flow-9", NEW))

    row = shop.row("arrivals")
    assert NEW not in str(row)
    assert NEW.encode() not in bytes(row["serial_sealed"])
    assert (row["last_chars"], row["serial_index"]) == ("8000", shop.vault.index(Serial(NEW)))


def test_given_a_conflict_of_a_side_then_it_is_open_once_until_its_cause_is_gone(shop: Shop) -> None:
    empty = NewConflict(ConflictKind.POOL_EMPTY, "pool_empty:flow", "The pool is empty.", FLOW)
    shop.intake.report(empty, shop.clock())
    shop.intake.report(empty, shop.clock())
    assert [c["closed_at"] for c in shop.rows("conflicts")] == [None]

    shop.intake.cause_gone("pool_empty:flow", shop.clock())
    shop.intake.report(empty, shop.clock())

    assert [c["resolution"] for c in shop.rows("conflicts")] == ["cause gone", None]


def test_given_a_create_under_way_then_its_last_characters_are_known(shop: Shop) -> None:
    shop.meet(FLOW, 10_000)

    assert shop.intake.create_is_open(SHOPIFY, "4000")
    assert not shop.intake.create_is_open(SHOPIFY, "4001")
    assert not shop.intake.create_is_open(FLOW, "4000")

    shop.work(shop.card_id())
    assert not shop.intake.create_is_open(SHOPIFY, "4000")


def test_given_a_card_that_a_payment_told_of_first_then_its_own_order_is_kept_once_it_is_told(
    shop: Shop,
) -> None:
    card_id, native = shop.in_step(), shop.native(SHOPIFY)
    take_in(shop, SHOPIFY, hint(native, details={"order": "#1009"}))
    assert shop.rows("origins") == []
    own = {"order": "#1007", "order_id": "gid://shopify/Order/7", "bought_at": "2026-11-22T10:00:00+00:00"}

    take_in(shop, SHOPIFY, hint(native, sold_here=True, details=own))
    take_in(shop, SHOPIFY, hint(native, sold_here=True, details={**own, "order": "#1010"}))

    (origin,) = shop.rows("origins")
    assert (origin["card_id"], origin["order_name"]) == (card_id, "#1007")
    assert origin["order_id"] == own["order_id"]
    assert origin["bought_at"] is not None
