"""First contact: who is the card that a side has and the hub does not know?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from connectors.api.card import Absent, CardRef, Unreadable
from connectors.api.errors import NotSent
from connectors.memory import CAPABILITIES, MemoryFault
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.arrivals.match import Matched
from sync.model import FirstContact, SideRules
from sync.support.explain import advise
from sync.support.settle import case_of
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop, effects, hidden

MakeShop = Callable[..., Shop]
POOLED = Serial("9000000000000001")


@pytest.fixture
def online(make_shop: MakeShop) -> Shop:
    """Shopify sells cards whose code only their owner knows; Flow takes numbers of a pool."""
    shop = make_shop(capabilities={SHOPIFY: hidden()})
    shop.pool.add(FLOW, [POOLED])
    return shop


def match(shop: Shop, side: str, ref: CardRef, **more: object) -> Matched:
    return shop.matcher.match(shop.arrive(side, ref, **more))


def test_given_a_card_sold_in_a_store_then_it_is_made_online_with_the_same_serial(shop: Shop) -> None:
    ref = shop.sell(FLOW, 10_000, expires_on=date(2027, 11, 23))

    assert match(shop, FLOW, ref) is Matched.MET
    card = shop.work(shop.card_id())

    assert card is not None
    assert card.in_step
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
    assert effects(shop.sides[SHOPIFY]) == [("create", 10_000)]
    assert card.presence(SHOPIFY).shadow_expires_on == date(2027, 11, 23)
    assert shop.rows("arrivals") == []


def test_given_a_card_bought_online_then_it_gets_a_number_of_the_pool_and_a_note_for_staff(
    online: Shop,
) -> None:
    ref = online.sell(SHOPIFY, 10_000)
    details = {"shipping_name": "Kari Nordmann", "order": "#1007"}

    assert match(online, SHOPIFY, ref, last_chars="4000", details=details) is Matched.MET
    card = online.work(online.card_id(POOLED.reveal()))

    assert card is not None
    assert card.in_step
    (made,) = online.sides[FLOW].cards.values()
    assert (made.serial, made.balance_minor) == (POOLED, 10_000)
    assert made.note == "Shopify 4000, Kari Nordmann, #1007"
    assert online.row("pool_numbers")["allotted_to"] == card.id
    assert card.presence(SHOPIFY).serial is None


def test_given_an_empty_pool_then_it_waits_and_a_person_is_told_once(make_shop: MakeShop) -> None:
    shop = make_shop(capabilities={SHOPIFY: hidden()})
    arrival = shop.arrive(SHOPIFY, shop.sell(SHOPIFY, 10_000))

    assert shop.matcher.match(arrival) is Matched.WAITS
    assert shop.matcher.match(arrival) is Matched.WAITS

    assert [c["cause"] for c in shop.rows("conflicts")] == ["pool_empty:flow"]
    assert shop.row("arrivals")["due_at"] == shop.clock() + timedelta(seconds=5)
    assert shop.rows("cards") == []


def test_given_an_empty_pool_and_a_prefix_then_the_number_is_made(make_shop: MakeShop) -> None:
    shop = make_shop(capabilities={SHOPIFY: hidden()}, serial_prefix="55")

    assert match(shop, SHOPIFY, shop.sell(SHOPIFY, 10_000)) is Matched.MET
    assert shop.card_id("5577777777777777") == 1


def test_given_a_pooled_number_that_is_in_use_then_another_is_taken(online: Shop) -> None:
    online.sell(FLOW, 100, POOLED.reveal())
    online.pool.add(FLOW, [Serial("9000000000000002")])

    assert match(online, SHOPIFY, online.sell(SHOPIFY, 10_000)) is Matched.MET

    assert online.card_id("9000000000000002") == 1
    assert [n["allotted_to"] for n in online.rows("pool_numbers")] == [None, 1]


def test_given_a_pooled_number_that_waits_on_the_pos_to_be_issued_then_it_is_free(online: Shop) -> None:
    online.sell(FLOW, 0, POOLED.reveal())
    online.sides[FLOW].cards["flow-1"].status = CardStatus.INACTIVE

    assert match(online, SHOPIFY, online.sell(SHOPIFY, 10_000)) is Matched.MET
    assert online.card_id(POOLED.reveal()) == 1


def test_given_nothing_but_numbers_in_use_then_it_waits_after_a_bounded_search(make_shop: MakeShop) -> None:
    shop = make_shop(capabilities={SHOPIFY: hidden()}, serial_prefix="55")
    shop.sell(FLOW, 100, "5577777777777777")

    assert match(shop, SHOPIFY, shop.sell(SHOPIFY, 10_000)) is Matched.WAITS
    assert shop.rows("cards") == []


def test_given_a_card_that_the_hub_knows_then_it_is_due_and_nothing_is_made(shop: Shop) -> None:
    ref = shop.sell(FLOW, 10_000)
    arrival = shop.arrive(FLOW, ref)
    shop.matcher.match(arrival)
    shop.work(shop.card_id())
    before = shop.rows("movements")

    assert shop.matcher.match(arrival) is Matched.KNOWN

    assert shop.row("cards")["due_at"] == shop.clock()
    assert (len(shop.rows("cards")), shop.rows("movements")) == (1, before)


def test_given_another_number_than_the_side_shows_then_the_card_has_the_one_that_the_side_shows(
    shop: Shop,
) -> None:
    ref = shop.sell(FLOW, 10_000)

    match(shop, FLOW, CardRef(ref.native_id, Serial("5000600070008000")))

    card = shop.work(shop.card_id(SERIAL))
    assert card is not None
    assert {p.serial for p in card.presences} == {Serial(SERIAL)}


def test_given_a_card_that_one_of_our_creates_made_then_it_is_known(online: Shop) -> None:
    match(online, SHOPIFY, online.sell(SHOPIFY, 10_000))
    marker = online.row("intents")["marker"]
    ref = CardRef("flow-77")

    # The feed tells of it before the create's answer is stored, with our marker in its note.
    page_arrival = online.intake.card_of(FLOW, ref, marker)

    assert page_arrival == 1


def test_given_a_card_without_serial_while_a_create_of_ours_may_be_making_it_then_it_waits(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(capabilities={SHOPIFY: hidden()})
    shop.meet(FLOW, 10_000)
    stranger = shop.sell(SHOPIFY, 500, "9999999999994000")

    assert match(shop, SHOPIFY, stranger, last_chars="4000") is Matched.WAITS
    assert len(shop.rows("cards")) == 1


def test_given_a_card_that_is_gone_again_then_the_arrival_is_dropped(shop: Shop) -> None:
    ref = shop.sell(FLOW, 10_000)
    shop.sides[FLOW].cards.clear()

    assert match(shop, FLOW, ref) is Matched.GONE
    assert (shop.rows("arrivals"), shop.rows("cards")) == ([], [])


def test_given_a_side_that_cannot_be_asked_then_it_waits_twice_as_long_each_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise NotSent("no connection")

    arrival = shop.arrive(FLOW, shop.sell(FLOW, 10_000))
    monkeypatch.setattr(shop.sides[FLOW], "observe", fails)
    waits = []
    for attempts in (0, 1, 2, 7, 2_000):
        shop.matcher.match(replace(arrival, attempts=attempts))
        waits.append((shop.row("arrivals")["due_at"] - shop.clock()).total_seconds())

    assert waits == [5, 10, 20, 600, 600]


@pytest.mark.parametrize("answer", [Unreadable, Absent])
def test_given_another_side_that_does_not_answer_then_nothing_is_made_there(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, answer: type
) -> None:
    said = answer("no answer", shop.clock()) if answer is Unreadable else answer(shop.clock())
    monkeypatch.setattr(shop.sides[SHOPIFY], "lookup", lambda _: said)

    matched = match(shop, FLOW, shop.sell(FLOW, 10_000))

    assert matched is (Matched.WAITS if answer is Unreadable else Matched.MET)


def test_given_a_card_in_another_currency_then_it_is_left_alone_and_said(shop: Shop) -> None:
    ref = shop.sell(FLOW, 10_000)
    shop.sides[FLOW].currency = "SEK"

    assert match(shop, FLOW, ref) is Matched.WAITS

    (conflict,) = shop.rows("conflicts")
    assert (conflict["kind"], conflict["amount_minor"]) == ("currency", 10_000)
    assert conflict["summary"] == (
        "A card ••••4000 on flow is in SEK, the link in NOK; it is not kept in step."
    )
    assert shop.rows("cards") == []


def test_given_a_serial_that_another_side_cannot_hold_then_it_is_met_alone_and_said(shop: Shop) -> None:
    ref = shop.sell(FLOW, 10_000, "1234567")

    assert match(shop, FLOW, ref) is Matched.MET

    (conflict,) = shop.rows("conflicts")
    assert conflict["summary"] == (
        "The card's serial has 7 characters; at least 8 are needed on shopify, so it cannot be created there."
    )
    assert [p["side"] for p in shop.rows("presences")] == [FLOW]
    assert shop.rows("intents") == []


def test_given_a_link_that_makes_no_cards_there_then_it_is_met_alone(make_shop: MakeShop) -> None:
    shop = make_shop(rules={SHOPIFY: SideRules(creates=False)})

    assert match(shop, FLOW, shop.sell(FLOW, 10_000)) is Matched.MET
    assert [p["side"] for p in shop.rows("presences")] == [FLOW]


def test_given_one_serial_on_both_sides_with_equal_balances_then_they_are_one_card(shop: Shop) -> None:
    shop.sell(SHOPIFY, 10_000)

    assert match(shop, FLOW, shop.sell(FLOW, 10_000)) is Matched.MET

    card = shop.card(shop.card_id())
    assert card.in_step
    assert (card.balance_minor, shop.rows("intents"), shop.rows("conflicts")) == (10_000, [], [])
    kinds = [(m["kind"], m["amount_minor"], m["shadow_delta_minor"]) for m in shop.rows("movements")]
    assert kinds == [("opening", 10_000, 10_000), ("adopted", 0, 10_000)]


def test_given_one_serial_with_two_balances_then_nothing_moves_until_a_person_says(shop: Shop) -> None:
    shop.sell(SHOPIFY, 7_000)

    match(shop, FLOW, shop.sell(FLOW, 10_000))
    card = shop.work(shop.card_id())

    assert card is not None
    assert card.held
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 7_000}
    (conflict,) = shop.rows("conflicts")
    assert (conflict["kind"], conflict["amount_minor"]) == ("first_contact", 3_000)


@pytest.mark.parametrize(
    ("policy", "worth"),
    [
        ({"first_contact": FirstContact.LOWER}, 7_000),
        ({"first_contact": FirstContact.HIGHER}, 10_000),
        ({"first_contact_side": SHOPIFY}, 7_000),
        ({"first_contact_side": FLOW}, 10_000),
    ],
)
def test_given_a_policy_for_two_balances_then_it_says_what_the_card_is_worth(
    make_shop: MakeShop, policy: dict[str, object], worth: int
) -> None:
    shop = make_shop(**policy)
    shop.sell(SHOPIFY, 7_000)

    match(shop, FLOW, shop.sell(FLOW, 10_000))
    card = shop.work(shop.card_id())

    assert card is not None
    assert card.in_step
    assert shop.shown() == {FLOW: worth, SHOPIFY: worth}


def test_given_one_card_here_that_is_two_cards_there_then_a_person_is_told(shop: Shop) -> None:
    shop.in_step()
    # A second card on Flow answers, when Shopify is asked, to the card that belongs to the first.
    other = shop.sell(FLOW, 500, "5000600070008000")
    first = shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)]
    shop.sides[SHOPIFY].lookup = lambda serial: shop.sides[SHOPIFY]._seen(first, False)  # type: ignore[method-assign]

    assert match(shop, FLOW, other) is Matched.WAITS

    (conflict,) = shop.rows("conflicts")
    assert (conflict["kind"], conflict["amount_minor"]) == ("duplicate", 10_000)
    assert conflict["summary"] == "The card ••••8000 of flow is on shopify the card of another."
    assert len(shop.rows("cards")) == 1


def test_given_the_same_arrival_matched_twice_at_once_then_one_card_is_made(shop: Shop) -> None:
    arrival = shop.arrive(FLOW, shop.sell(FLOW, 10_000))

    outcomes = {shop.matcher.match(arrival), shop.matcher.match(arrival)}

    assert outcomes == {Matched.MET, Matched.KNOWN}
    assert len(shop.rows("cards")) == 1


def test_given_sides_that_take_letters_and_digits_then_only_what_they_take_is_made(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(capabilities={FLOW: replace(CAPABILITIES, serial_digits_only=True)})

    assert match(shop, SHOPIFY, shop.sell(SHOPIFY, 10_000, "abcd2345efgh6789")) is Matched.MET

    (conflict,) = shop.rows("conflicts")
    assert "has letters; only digits are allowed on flow" in conflict["summary"]
    assert "6789" not in conflict["summary"]
    assert shop.card_id("abcd2345efgh6789") == 1
    assert SERIAL not in str(shop.rows("presences"))


# --- Cards that may be copies of store cards ----------------------------------------------------------------


def test_given_a_store_card_that_was_entered_online_by_hand_then_it_gets_no_second_number_unasked(
    online: Shop,
) -> None:
    ref = online.sell(SHOPIFY, 10_000)

    assert match(online, SHOPIFY, ref, sold_here=False) is Matched.WAITS
    online.clock.advance(60)
    (arrival,) = online.intake.due_arrivals(online.clock(), 10)
    assert online.matcher.match(arrival) is Matched.WAITS

    conflict = online.row("conflicts")
    assert (conflict["kind"], conflict["amount_minor"]) == ("duplicate", 10_000)
    assert "may be a store card that was entered there by hand" in conflict["summary"]
    assert "deactivate it there" in advise(case_of(online.link, conflict, None)).deed
    assert online.sides[FLOW].cards == {}

    # A person says that it is a card of its own.
    online.by_hand("UPDATE conflicts SET closed_at = opened_at, resolution = 'acknowledge'")
    assert online.matcher.match(arrival) is Matched.MET
    online.work(online.card_id(POOLED.reveal()))
    assert [card.balance_minor for card in online.sides[FLOW].cards.values()] == [10_000]


def test_given_a_copy_that_is_deactivated_then_the_question_is_over_and_nothing_is_made(online: Shop) -> None:
    ref = online.sell(SHOPIFY, 10_000)
    arrival = online.arrive(SHOPIFY, ref, sold_here=False)
    online.matcher.match(arrival)
    online.matcher.match(replace(arrival, attempts=1))
    assert online.row("conflicts")["closed_at"] is None
    online.sides[SHOPIFY].cards[ref.native_id or ""].status = CardStatus.CLOSED

    online.matcher.match(replace(arrival, attempts=2))

    assert online.row("conflicts", kind="duplicate")["closed_at"] is not None
    assert online.sides[FLOW].cards == {}


def test_given_a_payment_that_told_of_a_card_before_its_own_order_then_the_order_settles_it(
    online: Shop,
) -> None:
    ref = online.sell(SHOPIFY, 10_000)
    assert match(online, SHOPIFY, ref, sold_here=False) is Matched.WAITS

    online.clock.advance(60)
    assert online.matcher.match(online.arrive(SHOPIFY, ref, details={"order": "#1"})) is Matched.MET
    assert online.rows("conflicts") == []


class TestSideThatAssignsNumbers:
    """A side that gives the cards it makes numbers of its own choice, of twelve digits."""

    @pytest.fixture
    def assigning(self, make_shop: MakeShop) -> Shop:
        own = replace(
            CAPABILITIES,
            assigns_numbers=True,
            serial_length_min=12,
            serial_length_max=12,
            credits=False,
            lists_entries=False,
            sets_status=frozenset(),
            sets_expiry=False,
        )
        rules = SideRules(
            assigns_numbers=True,
            credits=False,
            sets_status=frozenset(),
            sets_expiry=False,
            serial_prefix=None,
        )
        return make_shop(capabilities={FLOW: own, SHOPIFY: hidden()}, rules={FLOW: rules})

    def own_number(self, shop: Shop) -> Serial:
        (card,) = shop.sides[FLOW].cards.values()
        return card.serial

    def test_given_a_card_bought_online_then_it_has_the_number_that_the_side_gave_it(
        self, assigning: Shop
    ) -> None:
        ref = assigning.sell(SHOPIFY, 10_000)
        assert match(assigning, SHOPIFY, ref, last_chars="4000") is Matched.MET
        assigning.sync()

        number = self.own_number(assigning)
        card = assigning.card(assigning.card_id(number.reveal()))
        assert card.in_step
        assert card.presence(FLOW).serial == number
        assert card.presence(FLOW).last_chars == number.last_chars
        assert assigning.rows("conflicts") == []
        assigning.move(FLOW, -3_000, number.reveal())
        assigning.sync()
        assert assigning.shown() == {SHOPIFY: 7_000}

    def test_given_a_lost_answer_then_the_number_is_read_back_with_the_card(self, assigning: Shop) -> None:
        assigning.fail(FLOW, MemoryFault.ANSWER_LOST)
        ref = assigning.sell(SHOPIFY, 10_000)
        match(assigning, SHOPIFY, ref, last_chars="4000")
        assigning.sync()

        number = self.own_number(assigning)
        assert assigning.card(assigning.card_id(number.reveal())).in_step

    def test_given_a_number_that_it_cannot_have_then_it_gives_another_and_nobody_is_asked(
        self, make_shop: MakeShop
    ) -> None:
        own = replace(CAPABILITIES, assigns_numbers=True, serial_length_min=12, serial_length_max=12)
        shop = make_shop(capabilities={SHOPIFY: own}, rules={SHOPIFY: SideRules(assigns_numbers=True)})
        card_id = shop.meet(FLOW, 10_000)
        card = shop.work_until_quiet(card_id)

        assert card.in_step
        (made,) = shop.sides[SHOPIFY].cards.values()
        assert (made.serial, made.balance_minor) == (card.presence(SHOPIFY).serial, 10_000)
        assert shop.rows("conflicts") == []

    def test_given_a_number_that_it_has_then_that_card_is_met(self, assigning: Shop) -> None:
        assigning.sell(FLOW, 10_000, "123456789012")
        ref = assigning.sell(SHOPIFY, 10_000, "123456789012")
        arrival = assigning.arrive(SHOPIFY, CardRef(ref.native_id, Serial("123456789012")))
        assert assigning.matcher.match(arrival) is Matched.MET
        assert assigning.card(assigning.card_id("123456789012")).in_step
        assert len(assigning.sides[FLOW].cards) == 1
