"""Redemptions of the hub on both databases: what is answered, what the sides show, and crashes in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from connectors.api.errors import NotSent
from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from sync.authority.cards import Cards
from sync.authority.redemptions import Wish
from sync.authority.work import CardBusy
from sync.decisions.authority import Denied, Mode, Reason
from sync.decisions.resolutions import Action
from sync.ledger.hub.guesses import Guesses
from sync.ledger.hub.redemptions import find_redemption
from sync.ledger.proof.pages import read_pages
from sync.ledger.proof.verify import check_card
from sync.model import LinkStopped, RedemptionState, Unconfirmed
from sync.support.settle import Resolution, resolve
from tests.integration.authority.till import Till
from tests.integration.shop import FLOW, SHOPIFY, Shop, effects
from tests.support import Crashed


@pytest.fixture
def till(shop: Shop) -> Till:
    return Till(shop)


@pytest.fixture(autouse=True)
def audited(shop: Shop) -> Iterator[None]:
    """Whatever a test does, the ledger's proof holds afterwards."""
    yield
    findings = [
        f.summary for page in read_pages(shop.engine) for rows in page for f in check_card(rows, shop.vault)
    ]
    assert findings == []


def _down(*_: object, **__: object) -> NoReturn:
    raise NotSent("no connection could be made")


def test_given_a_payment_then_it_is_answered_when_both_sides_were_debited(shop: Shop, till: Till) -> None:
    card_id = shop.in_step(10_000)

    paid = till.pay(card_id, 3_000)

    assert (paid.state, paid.confirmed) == (RedemptionState.COMPLETED, True)
    assert (paid.amount_minor, paid.balance_after_minor) == (3_000, 7_000)
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert shop.work_until_quiet(card_id).in_step


def test_given_the_same_request_again_then_it_pays_once(shop: Shop, till: Till) -> None:
    card_id = shop.in_step(10_000)

    assert till.pay(card_id, 3_000) == till.pay(card_id, 3_000)

    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_the_money_was_spent_before_the_look_then_it_is_denied(shop: Shop, till: Till) -> None:
    card_id = shop.in_step(10_000)
    shop.move(SHOPIFY, -8_000)

    with pytest.raises(Denied) as denied:
        till.pay(card_id, 3_000)

    assert denied.value.reason is Reason.INSUFFICIENT_FUNDS
    assert shop.work_until_quiet(card_id).balance_minor == 2_000


def test_given_the_money_is_spent_between_two_debits_then_it_is_undone_and_refused(
    shop: Shop, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    card_id = shop.in_step(10_000)
    real = shop.sides[FLOW].apply

    def apply(effect: object, save: object) -> object:
        applied = real(effect, save)  # type: ignore[arg-type]
        monkeypatch.undo()
        shop.move(SHOPIFY, -9_000)
        return applied

    monkeypatch.setattr(shop.sides[FLOW], "apply", apply)
    paid = till.pay(card_id, 3_000)

    assert paid.state is RedemptionState.REFUSED
    assert "spent elsewhere" in paid.reason
    card = shop.work_until_quiet(card_id)
    assert (card.balance_minor, shop.shown()) == (1_000, {FLOW: 1_000, SHOPIFY: 1_000})
    assert shop.rows("conflicts", kind="overdraft") == []


@pytest.mark.parametrize("fault", [MemoryFault.ANSWER_LOST, MemoryFault.DROPPED])
def test_given_a_debit_in_doubt_then_it_is_pending_and_ends_certain(
    shop: Shop, till: Till, fault: MemoryFault
) -> None:
    card_id = shop.in_step(10_000)
    shop.fail(SHOPIFY, fault)

    paid = till.pay(card_id, 3_000)
    assert paid.state is RedemptionState.PENDING

    began = shop.clock()
    card = shop.work_until_quiet(card_id)
    ended = find_redemption(shop.engine, paid.id)
    assert ended is not None
    assert ended.state is RedemptionState.COMPLETED
    assert (shop.clock() - began).total_seconds() <= till.hands.terms.pending_seconds
    assert (card.balance_minor, shop.shown()) == (7_000, {FLOW: 7_000, SHOPIFY: 7_000})
    assert till.pay(card_id, 3_000).id == paid.id


def test_given_a_debit_in_doubt_until_the_end_then_it_is_refused_and_made_up_for(shop: Shop) -> None:
    till = Till(shop, terms=lambda terms: replace(terms, pending_seconds=10.0))
    card_id = shop.in_step(10_000)
    shop.fail(SHOPIFY, MemoryFault.LATE)

    paid = till.pay(card_id, 3_000)
    shop.clock.advance(10.0)
    shop.work(card_id)

    ended = find_redemption(shop.engine, paid.id)
    assert ended is not None
    assert (ended.state, ended.amount_minor) == (RedemptionState.REFUSED, 0)
    shop.sides[SHOPIFY].land_late()
    card = shop.work_until_quiet(card_id)
    assert (card.balance_minor, shop.shown()) == (10_000, {FLOW: 10_000, SHOPIFY: 10_000})


def test_given_a_refused_debit_in_doubt_that_never_landed_then_it_is_not_sent_again(shop: Shop) -> None:
    till = Till(shop, terms=lambda terms: replace(terms, pending_seconds=10.0))
    card_id = shop.in_step(10_000)
    shop.fail(SHOPIFY, MemoryFault.DROPPED)

    till.pay(card_id, 3_000)
    shop.clock.advance(10.0)
    shop.work(card_id)
    card = shop.work_until_quiet(card_id)

    assert (card.balance_minor, shop.shown()) == (10_000, {FLOW: 10_000, SHOPIFY: 10_000})
    assert ("debit", 3_000) not in effects(shop.sides[SHOPIFY])


def test_given_a_side_that_is_down_then_the_answer_says_so_and_nothing_is_taken(
    shop: Shop, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    card_id = shop.in_step(10_000)
    monkeypatch.setattr(shop.sides[SHOPIFY], "observe", _down)

    with pytest.raises(Denied) as denied:
        till.pay(card_id, 3_000)

    assert (denied.value.reason, denied.value.sides) == (Reason.SIDE_UNAVAILABLE, (SHOPIFY,))
    assert shop.card(card_id).balance_minor == 10_000
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_a_side_that_goes_down_after_the_look_then_what_the_other_confirmed_is_given_back(
    shop: Shop, till: Till
) -> None:
    card_id = shop.in_step(10_000)
    shop.fail(SHOPIFY, MemoryFault.NOT_SENT)

    paid = till.pay(card_id, 3_000)

    assert paid.state is RedemptionState.REFUSED
    assert shop.work_until_quiet(card_id).balance_minor == 10_000
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_a_side_that_is_down_and_the_setting_says_record_then_it_stands_unconfirmed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = Till(shop, unconfirmed=Unconfirmed.RECORD)
    card_id = shop.in_step(10_000)
    with monkeypatch.context() as patch:
        patch.setattr(shop.sides[SHOPIFY], "observe", _down)
        paid = till.pay(card_id, 3_000)

    assert (paid.state, paid.confirmed) == (RedemptionState.COMPLETED, False)
    assert shop.work_until_quiet(card_id).balance_minor == 7_000
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_mode_record_then_it_is_answered_before_any_call_and_debited_behind(shop: Shop) -> None:
    till = Till(shop, mode=Mode.RECORD)
    card_id = shop.in_step(10_000)
    calls = {name: side.usage().calls for name, side in shop.sides.items()}

    paid = till.pay(card_id, 3_000)

    assert paid.state is RedemptionState.COMPLETED
    assert {name: side.usage().calls for name, side in shop.sides.items()} == calls
    assert shop.work_until_quiet(card_id).in_step
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_mode_record_and_money_spent_elsewhere_then_the_overdraft_is_exact(shop: Shop) -> None:
    till = Till(shop, mode=Mode.RECORD)
    card_id = shop.in_step(10_000)
    shop.move(SHOPIFY, -9_000)

    till.pay(card_id, 3_000)

    assert shop.work_until_quiet(card_id).balance_minor == 0
    assert [c["amount_minor"] for c in shop.rows("conflicts", kind="overdraft")] == [2_000]


def test_given_mode_record_while_a_worker_has_the_card_then_it_is_answered_at_once(shop: Shop) -> None:
    till = Till(shop, mode=Mode.RECORD)
    card_id = shop.in_step(10_000)
    lease = shop.claim(card_id)

    paid = till.pay(card_id, 3_000)
    again = till.pay(card_id, 3_000)

    assert paid == again
    assert (paid.state, paid.confirmed, paid.balance_after_minor) == (RedemptionState.COMPLETED, False, 7_000)
    assert shop.card(card_id).balance_minor == 10_000, "the worker's card is as it was"
    shop.link.store.release(lease, None)
    assert shop.row("cards", id=card_id)["due_at"] is not None, "whoever is next enters it"
    assert shop.work_until_quiet(card_id).balance_minor == 7_000
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert find_redemption(shop.engine, paid.id) == paid


def test_given_mode_record_then_what_is_recorded_already_cannot_be_paid_with_again(shop: Shop) -> None:
    till = Till(shop, mode=Mode.RECORD)
    card_id = shop.in_step(10_000)
    till.pay(card_id, 7_000)

    with pytest.raises(Denied) as denied:
        till.pay(card_id, 4_000, key="k2")

    assert denied.value.reason is Reason.INSUFFICIENT_FUNDS
    assert till.pay(card_id, 3_000, key="k3").balance_after_minor == 0
    with pytest.raises(Denied, match="Nothing is left"):
        till.pay(card_id, 1, key="k4")
    assert shop.work_until_quiet(card_id).balance_minor == 0
    assert shop.shown() == {FLOW: 0, SHOPIFY: 0}
    assert shop.rows("conflicts", kind="overdraft") == []


def test_given_mode_record_and_a_worker_that_learns_of_less_then_the_overdraft_is_exact(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = Till(shop, mode=Mode.RECORD)
    card_id = shop.in_step(10_000)
    shop.move(FLOW, -6_000)
    observe = shop.sides[SHOPIFY].observe

    def pay_meanwhile(*given: Any, **more: Any) -> Any:
        till.pay(card_id, 7_000)  # The same request, however often the worker looks.
        return observe(*given, **more)

    monkeypatch.setattr(shop.sides[SHOPIFY], "observe", pay_meanwhile)

    assert shop.work_until_quiet(card_id).balance_minor == 0

    assert [c["amount_minor"] for c in shop.rows("conflicts", kind="overdraft")] == [3_000]
    assert shop.shown() == {FLOW: 0, SHOPIFY: 0}


def test_given_mode_record_then_it_is_given_back_before_it_was_entered(shop: Shop) -> None:
    till = Till(shop, mode=Mode.RECORD)
    card_id = shop.in_step(10_000)
    paid = till.pay(card_id, 3_000)

    assert till.give_back(paid, 1_000).amount_minor == 2_000
    assert till.give_back(paid, None, key="b2").state is RedemptionState.REVERSED

    assert shop.work_until_quiet(card_id).balance_minor == 10_000
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_mode_record_and_many_at_once_then_each_is_paid_or_denied_and_nothing_is_lost(
    shop: Shop,
) -> None:
    card_id = shop.in_step(10_000)
    tills = [Till(shop, f"till {n}", mode=Mode.RECORD) for n in range(4)]

    def pay(turn: int) -> int:
        try:
            return tills[turn % 4].pay(card_id, 700, f"k{turn}").amount_minor
        except (Denied, CardBusy):
            return 0

    def work() -> None:
        for _ in range(4):
            shop.work(card_id)

    with ThreadPoolExecutor(5) as pool:
        paying = [pool.submit(pay, turn) for turn in range(24)]
        working = pool.submit(work)
        paid = sum(future.result() for future in paying)
        working.result()

    card = shop.work_until_quiet(card_id)
    assert (paid, card.balance_minor) == (9_800, 200)
    assert shop.shown() == {FLOW: 200, SHOPIFY: 200}


def test_given_a_recorded_redemption_that_somebody_changed_then_nothing_is_taken_for_it(shop: Shop) -> None:
    till = Till(shop, mode=Mode.RECORD)
    card_id = shop.in_step(10_000)
    paid = till.pay(card_id, 3_000)
    shop.by_hand("UPDATE redemptions SET amount_minor = 1")

    assert shop.work(card_id) is None
    assert shop.work(card_id) is None

    (conflict,) = shop.rows("conflicts", kind="tampered")
    assert conflict["seen"] == 2
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
    said = Resolution(Action.VALUE, "kari", "it was forged", value_minor=10_000)
    resolve(shop.link, conflict["id"], said)
    assert shop.work_until_quiet(card_id).balance_minor == 10_000
    ended = find_redemption(shop.engine, paid.id)
    assert ended is not None
    assert ended.state is RedemptionState.REFUSED


def test_given_a_reversal_of_a_part_then_the_sides_follow_and_the_rest_can_be_reversed(
    shop: Shop, till: Till
) -> None:
    card_id = shop.in_step(10_000)
    paid = till.pay(card_id, 3_000)

    assert till.give_back(paid, 1_000).amount_minor == 2_000
    assert till.give_back(paid, 1_000).amount_minor == 2_000, "the same request"
    with pytest.raises(Denied):
        till.give_back(paid, 2_001, key="b2")
    assert till.give_back(paid, None, key="b3").state is RedemptionState.REVERSED

    assert shop.work_until_quiet(card_id).balance_minor == 10_000
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
    with pytest.raises(Denied):
        till.give_back(paid, 1, key="b4")


@pytest.mark.parametrize("lands", [True, False])
def test_given_a_reversal_while_the_debit_is_in_doubt_then_money_is_exact_either_way(
    shop: Shop, till: Till, lands: bool
) -> None:
    card_id = shop.in_step(10_000)
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST if lands else MemoryFault.DROPPED)
    paid = till.pay(card_id, 3_000)
    assert paid.state is RedemptionState.PENDING

    assert till.give_back(paid).state is RedemptionState.REVERSED

    assert shop.work_until_quiet(card_id).balance_minor == 10_000
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_an_authorization_then_it_is_captured_for_less_and_the_rest_goes_back(
    shop: Shop, till: Till
) -> None:
    card_id = shop.in_step(10_000)

    held = till.pay(card_id, 3_000, capture_seconds=600.0)
    assert (held.state, shop.shown()) == (RedemptionState.AUTHORIZED, {FLOW: 7_000, SHOPIFY: 7_000})
    captured = till.redemptions.capture(held, 2_000, till.caller("c1"))

    assert (captured.state, captured.amount_minor) == (RedemptionState.COMPLETED, 2_000)
    assert shop.work_until_quiet(card_id).balance_minor == 8_000
    with pytest.raises(Denied):
        till.redemptions.capture(held, 1_000, till.caller("c2"))


def test_given_an_authorization_that_nobody_captures_then_it_expires_and_goes_back(
    shop: Shop, till: Till
) -> None:
    card_id = shop.in_step(10_000)
    held = till.pay(card_id, 3_000, capture_seconds=600.0)

    card = shop.work_until_quiet(card_id)

    ended = find_redemption(shop.engine, held.id)
    assert ended is not None
    assert (ended.state, card.balance_minor) == (RedemptionState.EXPIRED, 10_000)
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_an_authorization_that_has_expired_then_it_is_not_captured_before_it_went_back_either(
    shop: Shop, till: Till
) -> None:
    card_id = shop.in_step(10_000)
    held = till.pay(card_id, 6_000, capture_seconds=600.0)
    shop.clock.advance(600.0)

    with pytest.raises(Denied) as denied:
        till.redemptions.capture(held, None, till.caller("c1"))

    assert denied.value.reason is Reason.NOT_AUTHORIZED
    assert shop.work_until_quiet(card_id).balance_minor == 10_000
    ended = find_redemption(shop.engine, held.id)
    assert ended is not None
    assert (ended.state, shop.shown()) == (RedemptionState.EXPIRED, {FLOW: 10_000, SHOPIFY: 10_000})


def test_given_a_card_that_is_closed_while_an_amount_is_held_then_the_rest_of_it_ends_with_the_card(
    shop: Shop, till: Till
) -> None:
    card_id = shop.in_step(10_000)
    held = till.pay(card_id, 3_000, capture_seconds=600.0)
    cards = Cards(till.hands, shop.pool, Guesses(shop.engine))
    cards.change(card_id, till.caller("c1"), status=CardStatus.CLOSED, expires_on=None, sets_expiry=False)
    shop.work(card_id)

    captured = till.redemptions.capture(held, 2_000, till.caller("c2"))

    assert (captured.state, captured.amount_minor) == (RedemptionState.COMPLETED, 2_000)
    card = shop.work_until_quiet(card_id)
    assert (card.status, card.balance_minor, card.in_step) == (CardStatus.CLOSED, 0, True)
    with pytest.raises(Denied) as denied:
        till.give_back(captured)
    assert denied.value.reason is Reason.CLOSED


def test_given_a_card_that_has_expired_since_then_what_is_given_back_is_owed_and_a_person_is_told(
    shop: Shop, till: Till
) -> None:
    card_id = shop.in_step(10_000)
    paid = till.pay(card_id, 3_000)
    cards = Cards(till.hands, shop.pool, Guesses(shop.engine))
    today = till.hands.link().today
    cards.change(card_id, till.caller("c1"), status=None, expires_on=today, sets_expiry=True)
    shop.clock.advance(2 * 86_400.0)

    given = till.give_back(paid)

    assert (given.state, given.balance_after_minor) == (RedemptionState.REVERSED, 10_000)
    assert shop.work_until_quiet(card_id).balance_minor == 10_000
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert [c["kind"] for c in shop.rows("conflicts")] == ["not_writable", "not_writable"]
    cards.change(card_id, till.caller("c2"), status=None, expires_on=None, sets_expiry=True)
    shop.work_until_quiet(card_id)
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_two_parts_that_are_given_back_at_once_then_no_more_goes_back_than_was_paid(
    shop: Shop,
) -> None:
    card_id = shop.in_step(10_000)
    till = Till(shop, terms=lambda terms: replace(terms, claim_seconds=600.0))
    paid = till.pay(card_id, 3_000)

    def give_back(key: str) -> str:
        try:
            return till.give_back(paid, 2_000, key=key).state.value
        except Denied as denied:
            return denied.reason.value

    with ThreadPoolExecutor(3) as pool:
        told = sorted(pool.map(give_back, ("b1", "b2", "b3")))

    assert told == ["completed", "over_amount", "over_amount"]
    assert shop.work_until_quiet(card_id).balance_minor == 9_000
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000}


def test_given_an_authorization_that_is_voided_then_it_goes_back_at_once(shop: Shop, till: Till) -> None:
    card_id = shop.in_step(10_000)
    held = till.pay(card_id, 3_000, capture_seconds=600.0)

    assert till.redemptions.void(held, till.caller("v1")).state is RedemptionState.VOIDED

    assert shop.work_until_quiet(card_id).balance_minor == 10_000


def test_given_a_card_that_a_worker_has_then_the_caller_is_told_to_come_again(shop: Shop, till: Till) -> None:
    card_id = shop.in_step(10_000)
    shop.claim(card_id)

    with pytest.raises(CardBusy):
        till.pay(card_id, 3_000)


def test_given_a_stopped_link_then_nothing_is_taken(shop: Shop) -> None:
    till = Till(shop)
    card_id = shop.in_step(10_000)
    stopped = replace(till.hands, stopped=lambda: ["A brake stopped the link."])

    with pytest.raises(LinkStopped, match="A brake"):
        replace(till.redemptions, hands=stopped).redeem(card_id, Wish(3_000, "NOK"), till.caller("k1"))
    assert shop.card(card_id).balance_minor == 10_000


CRASHES = (
    *(("authority.claimed", 0), ("authority.taken", 0), ("authority.answers", 0)),
    *(("commit.before", n) for n in range(8)),
    *(("commit.inside", n) for n in range(7)),
    *(("commit.after", n) for n in range(7)),
    *(("execute.sent", n) for n in range(2)),
    *(("execute.called", n) for n in range(2)),
)


@pytest.mark.parametrize(("point", "skip"), CRASHES)
def test_given_a_process_that_dies_at_any_point_then_the_repeated_request_pays_once(
    shop: Shop, till: Till, crash_after: Callable[[str, int], None], point: str, skip: int
) -> None:
    card_id = shop.in_step(10_000)
    crash_after(point, skip)
    try:
        till.pay(card_id, 3_000)
    except Crashed:
        shop.clock.advance(121.0)  # Its lease is over.
    shop.work_until_quiet(card_id)

    paid = till.pay(card_id, 3_000)
    card = shop.work_until_quiet(card_id)

    ended = find_redemption(shop.engine, paid.id)
    assert ended is not None
    taken = {RedemptionState.COMPLETED: 3_000, RedemptionState.REFUSED: 0}[ended.state]
    assert card.balance_minor == 10_000 - taken
    assert shop.shown() == {FLOW: 10_000 - taken, SHOPIFY: 10_000 - taken}
    assert len(shop.rows("redemptions")) == 1


def test_given_tills_and_a_shopper_at_once_then_nothing_is_spent_twice(shop: Shop) -> None:
    """Threads of their own, on one card: what was confirmed and what the sides' customers spent fits."""
    card_id = shop.in_step(10_000)
    tills = [Till(shop, f"till {n}") for n in range(3)]
    spent: list[int] = []

    def pay(turn: int) -> int:
        try:
            return tills[turn % 3].pay(card_id, 700, f"k{turn}").amount_minor
        except (Denied, CardBusy):
            return 0

    def shopper(_: int) -> None:
        if shop.move(SHOPIFY, -400):
            spent.append(400)

    with ThreadPoolExecutor(4) as pool:
        paying = [pool.submit(pay, turn) for turn in range(18)]
        shopping = [pool.submit(shopper, turn) for turn in range(8)]
        for paid in paying:
            paid.result()
        for shopped in shopping:
            shopped.result()

    card = shop.work_until_quiet(card_id)
    redeemed = sum(row["amount_minor"] for row in shop.rows("redemptions"))
    assert redeemed + sum(spent) + card.balance_minor == 10_000
    assert shop.shown() == {FLOW: card.balance_minor, SHOPIFY: card.balance_minor}
    assert shop.rows("conflicts", kind="overdraft") == []


def test_given_a_card_whose_rows_somebody_changed_then_nothing_is_paid_with_it_and_the_shop_is_told(
    shop: Shop, till: Till
) -> None:
    card_id = shop.in_step(10_000)
    shop.by_hand("UPDATE cards SET balance_minor = 90000 WHERE id = 1")

    with pytest.raises(Denied) as denied:
        till.pay(card_id, 3_000)

    assert denied.value.reason is Reason.NEEDS_ATTENTION
    assert [c["kind"] for c in shop.rows("conflicts")] == ["tampered"]
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
    shop.by_hand("UPDATE cards SET balance_minor = 10000 WHERE id = 1")
    assert till.pay(card_id, 3_000).amount_minor == 3_000
