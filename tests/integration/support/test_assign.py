"""A physical card for an online order: previewed, carried out, given twice, interrupted and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.arrivals.match import Matched
from sync.ledger.cards.store import Lease, Store
from sync.support import claiming
from sync.support.assign import NotAssigned, assign, cards_of_order, go_on
from tests.integration.shop import FLOW, SHOPIFY, Shop, hidden
from tests.support import Crashed

ONLINE, POOLED = "abcd1234efgh5678", "9900000000000001"
PHYSICAL, OTHER = "7000000000000042", "7000000000000043"
SERIAL = Serial(PHYSICAL)


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """A card of 500.00 was bought online with order #1007 and has a pool number in the store."""
    shop = make_shop(capabilities={SHOPIFY: hidden()})
    shop.pool.add(FLOW, [Serial(POOLED)])
    ref = shop.sell(SHOPIFY, 50_000, ONLINE)
    details = {"order": "#1007", "order_id": "gid://shopify/Order/7", "shipping_name": "Kari Nordmann"}
    arrival = shop.arrive(SHOPIFY, ref, last_chars="5678", details=details)
    assert shop.matcher.match(arrival) is Matched.MET
    shop.work_until_quiet(1)
    return shop


def worth(shop: Shop) -> dict[str, dict[str, int]]:
    return {
        side.name: {c.serial.reveal(): c.balance_minor for c in side.cards.values()}
        for side in shop.sides.values()
    }


MOVED = {
    FLOW: {POOLED: 0, PHYSICAL: 50_000},
    SHOPIFY: {ONLINE: 0, PHYSICAL: 50_000},
}
BEFORE = {FLOW: {POOLED: 50_000}, SHOPIFY: {ONLINE: 50_000}}


def total(shop: Shop) -> int:
    return sum(row["balance_minor"] for row in shop.rows("cards"))


def test_staff_find_the_card_by_its_order_with_or_without_the_hash(shop: Shop) -> None:
    (choice,) = cards_of_order(shop.link, "1007")

    assert cards_of_order(shop.link, "#1007") == [choice]
    assert (choice.card_id, choice.last_chars, choice.holder) == (1, "5678", "Kari Nordmann")
    assert cards_of_order(shop.link, "100") == []


def test_a_preview_tells_and_does_nothing(shop: Shop) -> None:
    before = shop.everything()["movements"]

    told = assign(shop.link, 1, SERIAL, "kari", preview=True)

    assert sorted((i.side, i.amount_minor) for i in told.planned) == [(FLOW, -50_000), (SHOPIFY, -50_000)]
    assert (worth(shop), shop.everything()["movements"], shop.rows("assignments")) == (BEFORE, before, [])


def test_the_value_moves_and_one_serial_works_on_both_sides(shop: Shop) -> None:
    done = assign(shop.link, 1, SERIAL, "kari")

    assert (done.finished, done.amount_minor, worth(shop)) == (True, 50_000, MOVED)
    assert total(shop) == 50_000
    assert {c.status for c in shop.sides[SHOPIFY].cards.values()} == {CardStatus.ACTIVE}
    # and it is spent on either side from then on
    shop.move(SHOPIFY, -10_000, PHYSICAL)
    shop.work_until_quiet(done.to_card or 0)
    assert shop.shown(PHYSICAL) == {FLOW: 40_000, SHOPIFY: 40_000}


def test_given_a_card_that_the_worker_has_then_it_is_taken_once_that_is_given_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, claim, refused = shop.claim(1), Store.claim, list[int]()

    def gives_back(store: Store, card_id: int, *more: Any) -> Lease | None:
        found = claim(store, card_id, *more)
        if found is None:
            refused.append(card_id)
            store.release(lease, None)
        return found

    monkeypatch.setattr(Store, "claim", gives_back)

    assert (assign(shop.link, 1, SERIAL, "kari").finished, refused, worth(shop)) == (True, [1], MOVED)


def test_given_a_card_that_the_worker_keeps_then_it_is_said(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CLAIM_SECONDS", 0.0)
    shop.claim(1)

    with pytest.raises(NotAssigned, match="the worker has this card right now"):
        assign(shop.link, 1, SERIAL, "kari")


def test_given_twice_nothing_changes(shop: Shop) -> None:
    first = assign(shop.link, 1, SERIAL, "kari")
    again = assign(shop.link, 1, SERIAL, "kari")

    assert (again.again, again.to_card, again.finished, worth(shop)) == (True, first.to_card, True, MOVED)
    with pytest.raises(NotAssigned, match="assigned ••••0042 already"):
        assign(shop.link, 1, Serial(OTHER), "kari")


def test_the_old_card_is_closed_only_when_that_is_said(shop: Shop) -> None:
    assign(shop.link, 1, SERIAL, "kari", close_old=True)

    assert {c.serial.reveal(): c.status for c in shop.sides[SHOPIFY].cards.values()} == {
        ONLINE: CardStatus.CLOSED,
        PHYSICAL: CardStatus.ACTIVE,
    }
    assert total(shop) == 50_000


POINTS = ("assign.taking", "assign.taken", "execute.sent", "execute.called", "assign.giving", "assign.given")


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_anywhere_leaves_the_value_in_one_place(
    shop: Shop, crash_at: Callable[..., None], point: str
) -> None:
    crash_at(point)
    with pytest.raises(Crashed):
        assign(shop.link, 1, SERIAL, "kari")
    assert sum(c.balance_minor for c in shop.sides[SHOPIFY].cards.values()) <= 50_000

    shop.store.free_all(shop.clock())
    shop.sync()
    done = assign(shop.link, 1, SERIAL, "kari")
    shop.sync()

    assert (worth(shop), total(shop)) == (MOVED, 50_000)
    assert done.to_card is not None
    assert [row["kind"] for row in shop.rows("conflicts") if row["closed_at"] is None] == []


def test_what_the_owner_spends_meanwhile_is_missing_from_what_is_given(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = shop.sides[SHOPIFY].apply

    def spent_first(effect: object, save: object) -> object:
        monkeypatch.setattr(shop.sides[SHOPIFY], "apply", apply)
        shop.move(SHOPIFY, -20_000, ONLINE)
        return apply(effect, save)  # type: ignore[arg-type]

    monkeypatch.setattr(shop.sides[SHOPIFY], "apply", spent_first)

    assign(shop.link, 1, SERIAL, "kari")
    shop.sync()

    assert worth(shop)[SHOPIFY] == {ONLINE: 0, PHYSICAL: 30_000}
    assert worth(shop)[FLOW] == {POOLED: 0, PHYSICAL: 30_000}
    (overdraft,) = shop.rows("conflicts", kind="overdraft")
    assert (overdraft["amount_minor"], overdraft["resolution"]) == (
        20_000,
        "taken from the value of the assigned card",
    )


def test_a_lost_answer_is_found_out_before_anything_is_given(shop: Shop) -> None:
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST)

    done = assign(shop.link, 1, SERIAL, "kari")
    assert (done.finished, done.to_card) == (False, None)
    assert PHYSICAL not in worth(shop)[SHOPIFY]
    assert go_on(shop.link) == 1

    shop.sync()
    shop.sync()

    assert worth(shop) == MOVED
    assert go_on(shop.link) == 0


def test_a_number_that_is_in_use_is_refused(shop: Shop) -> None:
    shop.sell(FLOW, 100, PHYSICAL)

    with pytest.raises(NotAssigned, match="flow has a card ••••0042 in use"):
        assign(shop.link, 1, SERIAL, "kari")
    assert worth(shop)[SHOPIFY] == {ONLINE: 50_000}


def test_a_number_that_was_generated_in_advance_is_free(shop: Shop) -> None:
    ref = shop.sell(FLOW, 0, PHYSICAL)
    shop.sides[FLOW].cards[ref.native_id or ""].status = CardStatus.INACTIVE

    told = assign(shop.link, 1, SERIAL, "kari", preview=True)

    assert told.amount_minor == 50_000


@pytest.mark.parametrize(
    ("serial", "words"), [("1234567", "at least 8 are needed"), ("1" * 21, "at most 20 are allowed")]
)
def test_a_number_that_a_side_cannot_hold_is_refused_before_anything_is_written(
    shop: Shop, serial: str, words: str
) -> None:
    with pytest.raises(NotAssigned, match=words):
        assign(shop.link, 1, Serial(serial), "kari")
    assert worth(shop) == BEFORE


def test_a_card_that_has_just_been_spent_is_not_taken_before_that_is_known(shop: Shop) -> None:
    shop.move(FLOW, -1_000, POOLED)

    with pytest.raises(NotAssigned, match="has just changed on flow"):
        assign(shop.link, 1, SERIAL, "kari")

    shop.sync()
    assert assign(shop.link, 1, SERIAL, "kari").amount_minor == 49_000


def test_an_empty_or_suspended_card_is_refused(shop: Shop) -> None:
    shop.sides[FLOW].set(shop.native(FLOW, POOLED), status=CardStatus.SUSPENDED)
    shop.sync()

    with pytest.raises(NotAssigned, match="the card is suspended"):
        assign(shop.link, 1, SERIAL, "kari")


def test_the_number_is_sold_at_the_till_meanwhile_then_another_one_is_taken(
    shop: Shop, crash_at: Callable[..., None]
) -> None:
    crash_at("assign.taken")
    with pytest.raises(Crashed):
        assign(shop.link, 1, SERIAL, "kari")
    shop.store.free_all(shop.clock())
    stranger = shop.sell(FLOW, 700, PHYSICAL)
    shop.matcher.match(shop.arrive(FLOW, stranger))

    assert assign(shop.link, 1, SERIAL, "kari").to_card is None
    (told,) = shop.rows("conflicts", kind="duplicate")
    words = "The card ••••0042 was sold to somebody else while it was being assigned; "
    assert told["summary"].startswith(words)
    done = assign(shop.link, 1, Serial(OTHER), "kari")

    assert (done.finished, shop.shown(OTHER)) == (True, {FLOW: 50_000, SHOPIFY: 50_000})
    assert shop.row("conflicts", id=told["id"])["resolution"] == "cause gone"


#: What somebody may write into the row of an assignment: worth more, to a number of theirs, or away.
CHANGES = (
    "UPDATE assignments SET amount_minor = 90000",
    "UPDATE assignments SET written_off_before = 40000",
    (
        "UPDATE assignments SET serial_sealed = (SELECT serial_sealed FROM pool_numbers),"
        " serial_index = (SELECT serial_index FROM pool_numbers)"
    ),
    "UPDATE assignments SET note = '', proof = NULL",
)


@pytest.mark.parametrize("statement", CHANGES)
def test_given_an_assignment_that_somebody_changed_then_nothing_is_given_until_it_is_made_anew(
    shop: Shop, crash_at: Callable[..., None], statement: str
) -> None:
    crash_at("assign.taken")
    with pytest.raises(Crashed):
        assign(shop.link, 1, SERIAL, "kari")
    shop.store.free_all(shop.clock())
    shop.by_hand(statement)

    shop.sync()
    shop.sync()

    assert worth(shop) == {FLOW: {POOLED: 0}, SHOPIFY: {ONLINE: 0}}
    (told,) = shop.rows("conflicts", cause="assignment_changed:1")
    assert (told["kind"], told["closed_at"]) == ("history_changed", None)
    # and given again it goes by what the card's history says was taken
    with pytest.raises(NotAssigned, match="without --preview it is made anew"):
        assign(shop.link, 1, SERIAL, "kari", preview=True)
    done = assign(shop.link, 1, SERIAL, "kari")
    shop.sync()
    assert (done.finished, worth(shop), total(shop)) == (True, MOVED, 50_000)
    assert shop.rows("conflicts", closed_at=None) == []


def test_given_an_assignment_that_giftsync_never_made_then_no_money_is_made_from_nothing(shop: Shop) -> None:
    shop.by_hand(
        "INSERT INTO assignments (id, from_card, serial_index, serial_sealed, last_chars, amount_minor, note,"
        " closes_old, written_off_before, state, by, created_at)"
        " SELECT 1, 1, 'their own', serial_sealed, '0001', 90000, '', false, 0, 'taking', 'mallory',"
        " created_at FROM pool_numbers, cards"
    )

    shop.sync()

    assert (worth(shop), total(shop)) == (BEFORE, 50_000)
    assert len(shop.rows("conflicts", cause="assignment_changed:1")) == 1
    # and the card can be assigned as if nothing had been written there
    assert assign(shop.link, 1, SERIAL, "kari").finished
    assert (worth(shop), total(shop)) == (MOVED, 50_000)


def test_given_an_assignment_that_is_put_back_to_before_its_end_then_the_value_is_not_given_twice(
    shop: Shop,
) -> None:
    done = assign(shop.link, 1, SERIAL, "kari")
    shop.by_hand("UPDATE assignments SET state = 'taking', to_card = NULL")

    shop.sync()
    with pytest.raises(NotAssigned, match="assigned ••••0042 already"):
        assign(shop.link, 1, Serial(OTHER), "kari")

    assert (done.to_card, worth(shop), total(shop)) == (2, MOVED, 50_000)
