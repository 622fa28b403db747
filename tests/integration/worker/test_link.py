"""Support says which card on a side it really is: what follows, and which card it cannot be."""

from __future__ import annotations

import pytest

from connectors.api.card import CardRef
from connectors.memory import MemoryCard
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions.resolutions import Action
from sync.support.audit import audit
from sync.support.settle import NotResolved, Resolution, resolve
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop

OTHER = Serial("5000600070008000")


def gone_online(shop: Shop) -> int:
    """The card is gone online while 20.00 were spent in the store."""
    card_id = shop.in_step(10_000)
    del shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)]
    shop.move(FLOW, -2_000)
    shop.sync()
    return card_id


def put(shop: Shop, amount_minor: int, **more: object) -> None:
    """A card that support made online by hand."""
    shop.sides[SHOPIFY].cards["new"] = MemoryCard("new", OTHER, amount_minor, **more)  # type: ignore[arg-type]


def link(shop: Shop, ref: CardRef | None, *, preview: bool = False) -> tuple[str, ...]:
    conflict = next(c["id"] for c in shop.rows("conflicts") if c["closed_at"] is None)
    said = Resolution(Action.LINK, "kari", "made anew for the customer", card=ref)
    return resolve(shop.link, conflict, said, preview=preview).opened


def waiting(shop: Shop) -> list[str]:
    return [c["kind"] for c in shop.rows("conflicts") if c["closed_at"] is None]


@pytest.mark.parametrize("ref", [CardRef("new"), CardRef(None, OTHER)], ids=["by id", "by number"])
def test_given_a_card_in_place_of_one_that_is_gone_then_what_is_owed_follows(
    shop: Shop, ref: CardRef
) -> None:
    card_id = gone_online(shop)
    put(shop, 10_000)

    link(shop, ref)
    shop.sync()

    assert (shop.shown(), shop.shown(OTHER.reveal())) == ({FLOW: 8_000}, {SHOPIFY: 8_000})
    assert shop.card(card_id).in_step
    assert waiting(shop) == []
    assert list(audit(shop.engine, shop.vault, shop.clock)) == []
    shop.sides[SHOPIFY].move("new", -1_000)
    shop.sync()
    assert shop.shown() == {FLOW: 7_000}


def test_given_the_number_that_it_had_before_then_it_is_forgotten(shop: Shop) -> None:
    card_id = gone_online(shop)
    put(shop, 10_000)

    link(shop, CardRef("new"))

    online = shop.card(card_id).presence(SHOPIFY)
    assert (online.native_id, online.serial, online.last_chars) == ("new", OTHER, "8000")
    assert shop.row("presences", side=SHOPIFY)["serial_index"] == shop.vault.index(OTHER)


def test_given_it_was_never_there_and_holds_the_same_then_both_are_one_card(shop: Shop) -> None:
    shop.sell(FLOW, 10_000, "1234567")
    shop.sync()
    put(shop, 10_000)

    link(shop, CardRef("new"))
    shop.move(FLOW, -2_500, "1234567")
    shop.sync()

    assert (shop.shown("1234567"), shop.shown(OTHER.reveal())) == ({FLOW: 7_500}, {SHOPIFY: 7_500})
    assert waiting(shop) == []


def test_given_it_was_never_there_and_holds_another_amount_then_nothing_moves_and_it_is_asked_for(
    shop: Shop,
) -> None:
    shop.sell(FLOW, 10_000, "1234567")
    shop.sync()
    put(shop, 4_000)

    assert "One number, two balances" in link(shop, CardRef("new"), preview=True)[0]
    assert waiting(shop) == ["serial"]
    link(shop, CardRef("new"))
    shop.sync()

    assert (shop.shown("1234567"), shop.shown(OTHER.reveal())) == ({FLOW: 10_000}, {SHOPIFY: 4_000})
    assert waiting(shop) == ["first_contact"]


def test_given_the_new_card_was_told_of_meanwhile_then_its_arrival_ends_with_it(shop: Shop) -> None:
    card_id = gone_online(shop)
    put(shop, 10_000)
    arrival = shop.arrive(SHOPIFY, CardRef("new", OTHER))

    link(shop, CardRef("new"))

    assert shop.matcher.match(arrival) == "known"
    shop.sync()
    assert [c["id"] for c in shop.rows("cards")] == [card_id]


def test_given_a_number_that_nobody_has_then_the_card_is_made_with_it(shop: Shop) -> None:
    shop.sell(FLOW, 10_000, "1234567")
    shop.sync()

    link(shop, CardRef(None, OTHER))
    shop.sync()
    shop.move(FLOW, -2_500, "1234567")
    shop.sync()

    assert (shop.shown("1234567"), shop.shown(OTHER.reveal())) == ({FLOW: 7_500}, {SHOPIFY: 7_500})
    assert waiting(shop) == []


def test_given_a_new_number_for_a_card_that_is_gone_then_it_is_made_with_what_it_is_worth(shop: Shop) -> None:
    card_id = gone_online(shop)

    link(shop, CardRef(None, OTHER))
    shop.sync()

    assert (shop.shown(), shop.shown(OTHER.reveal())) == ({FLOW: 8_000}, {SHOPIFY: 8_000})
    assert shop.card(card_id).in_step
    assert list(audit(shop.engine, shop.vault, shop.clock)) == []


@pytest.mark.parametrize(
    ("ref", "card", "words"),
    [
        (None, {}, "say which card on shopify it is"),
        (CardRef("nothing"), {}, "shopify has no such card"),
        (CardRef(None, Serial("123")), {}, "none can be made there: the number has 3 characters"),
        (CardRef("new"), {"status": CardStatus.CLOSED}, "that card is closed on shopify"),
    ],
    ids=["none named", "not there", "no number for it", "closed"],
)
def test_given_a_card_that_cannot_be_it_then_it_says_why_and_nothing_changes(
    shop: Shop, ref: CardRef | None, card: dict[str, object], words: str
) -> None:
    gone_online(shop)
    put(shop, 10_000, **card)

    with pytest.raises(NotResolved, match=words):
        link(shop, ref)

    assert waiting(shop) == ["missing"]


def test_given_another_card_that_is_on_both_sides_then_it_is_refused(shop: Shop) -> None:
    other = shop.in_step(5_000, OTHER.reveal())
    gone_online(shop)

    with pytest.raises(NotResolved, match=f"card {other} already .*: the two are different cards on flow"):
        link(shop, CardRef(shop.native(SHOPIFY, OTHER.reveal())))


def test_given_it_is_there_again_then_the_same_card_is_no_answer(shop: Shop) -> None:
    shop.in_step(10_000)
    native = shop.native(SHOPIFY)
    lost = shop.sides[SHOPIFY].cards.pop(native)
    shop.sync()
    shop.sides[SHOPIFY].cards[native] = lost

    with pytest.raises(NotResolved, match="say retry"):
        link(shop, CardRef(None, Serial(SERIAL)))
