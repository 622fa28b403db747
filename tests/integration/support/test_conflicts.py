"""A person settles a conflict: each action, once and twice, and nothing when it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.api.effect import CannotTell
from connectors.api.errors import NotSent
from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from sync.decisions.resolutions import Action
from sync.ledger.cards.store import Lease, Store
from sync.model import ConflictKind, Hold, NewConflict
from sync.support import claiming
from sync.support.settle import NotResolved, Resolution, Resolved, resolve
from tests.integration.shop import FLOW, LEASE_SECONDS, SHOPIFY, Shop, effects

Row = dict[str, object]


def say(action: Action, **more: object) -> Resolution:
    return Resolution(action, "kari", "I looked", **more)  # type: ignore[arg-type]


def the_conflict(shop: Shop, kind: ConflictKind) -> Row:
    return shop.row("conflicts", kind=kind.value)


def resolve_twice(shop: Shop, kind: ConflictKind, resolution: Resolution) -> Resolved:
    """Settle the conflict; saying it again changes nothing."""
    conflict_id = int(str(the_conflict(shop, kind)["id"]))
    first = resolve(shop.link, conflict_id, resolution)
    after = shop.everything()
    again = resolve(shop.link, conflict_id, resolution)
    assert again == Resolved(already_closed=True)
    assert shop.everything() == after
    closed = shop.row("conflicts", id=conflict_id)
    assert (closed["resolution"], closed["resolved_by"], closed["resolved_why"]) == (
        resolution.action.value,
        "kari",
        "I looked",
    )
    assert closed["closed_at"] == shop.clock()
    return first


# --- First contact ------------------------------------------------------------------------------------------


@pytest.fixture
def two_balances(shop: Shop) -> Shop:
    """One serial: 10,000 on Flow, 7,000 on Shopify."""
    shop.sell(SHOPIFY, 7_000)
    shop.meet(FLOW, 10_000)
    return shop


@pytest.mark.parametrize(
    ("said", "worth"),
    [
        (say(Action.ACCEPT, side=FLOW), 10_000),
        (say(Action.ACCEPT, side=SHOPIFY), 7_000),
        (say(Action.VALUE, value_minor=8_500), 8_500),
        (say(Action.VALUE, value_minor=0), 0),
    ],
)
def test_given_two_balances_then_a_person_says_which_and_the_sides_follow(
    two_balances: Shop, said: Resolution, worth: int
) -> None:
    resolved = resolve_twice(two_balances, ConflictKind.FIRST_CONTACT, said)

    assert resolved == Resolved(False, 10_000, worth)
    card = two_balances.work_until_quiet(1)
    assert card.in_step
    assert two_balances.shown() == {FLOW: worth, SHOPIFY: worth}
    resolutions = [m["amount_minor"] for m in two_balances.rows("movements", kind="resolution")]
    assert resolutions == ([worth - 10_000] if worth != 10_000 else [])


def test_given_a_side_that_moved_while_a_person_thought_then_what_it_shows_now_is_accepted(
    two_balances: Shop,
) -> None:
    two_balances.move(SHOPIFY, -2_000)

    resolved = resolve_twice(two_balances, ConflictKind.FIRST_CONTACT, say(Action.ACCEPT, side=SHOPIFY))

    assert resolved.after_minor == 5_000
    two_balances.work_until_quiet(1)
    assert two_balances.shown() == {FLOW: 5_000, SHOPIFY: 5_000}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (say(Action.ACCEPT), "say which side's balance is right: flow, shopify"),
        (say(Action.ACCEPT, side="other"), "say which side's balance is right: flow, shopify"),
        (say(Action.VALUE), "say the amount, zero or more"),
        (say(Action.VALUE, value_minor=-1), "say the amount, zero or more"),
        (say(Action.ACKNOWLEDGE), "acknowledge does not fit a first_contact conflict; say one of: acc"),
    ],
)
def test_given_words_that_do_not_fit_then_nothing_has_moved(
    two_balances: Shop, said: Resolution, words: str
) -> None:
    conflict_id = two_balances.row("conflicts")["id"]
    before = two_balances.everything()

    with pytest.raises(NotResolved, match=words):
        resolve(two_balances.link, conflict_id, said)

    after = two_balances.everything()
    for card in (*before["cards"], *after["cards"]):
        # That the card was held for a moment shows in these alone.
        del card["due_at"], card["fencing"]
    assert after == before
    assert two_balances.shown() == {FLOW: 10_000, SHOPIFY: 7_000}


def test_given_two_people_at_once_then_the_second_finds_it_settled(
    two_balances: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both read the open conflict; the first settles it before the second has the card."""
    conflict_id = two_balances.row("conflicts")["id"]
    real = two_balances.store.claim.__func__  # type: ignore[attr-defined]

    def claim(*args: object) -> object:
        monkeypatch.undo()
        resolve(two_balances.link, conflict_id, say(Action.VALUE, value_minor=9_000))
        two_balances.work_until_quiet(1)
        two_balances.move(FLOW, -1_000)
        return real(*args)

    monkeypatch.setattr(type(two_balances.store), "claim", claim)

    with pytest.raises(NotResolved, match=r"was settled by kari at .*: value 90.00 NOK, because"):
        resolve(two_balances.link, conflict_id, say(Action.VALUE, value_minor=8_000))

    card = two_balances.work_until_quiet(1)
    assert (card.balance_minor, two_balances.shown()) == (8_000, {FLOW: 8_000, SHOPIFY: 8_000})
    assert [m["amount_minor"] for m in two_balances.rows("movements", kind="resolution")] == [-1_000]


# --- In doubt -----------------------------------------------------------------------------------------------


@pytest.fixture
def doubted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[[MemoryFault], Shop]:
    """Shopify had a debit of 3,000 and cannot tell whether it landed."""

    def make(fault: MemoryFault) -> Shop:
        card_id = shop.in_step()
        shop.move(FLOW, -3_000)
        shop.fail(SHOPIFY, fault)
        monkeypatch.setattr(shop.sides[SHOPIFY], "find", lambda _: CannotTell("it keeps no notes"))
        card = shop.work_until_quiet(card_id)
        assert len(card.open_intents) == 1
        return shop

    return make


def test_given_a_request_in_doubt_that_landed_then_saying_so_settles_it(
    doubted: Callable[[MemoryFault], Shop],
) -> None:
    shop = doubted(MemoryFault.ANSWER_LOST)

    assert resolve_twice(shop, ConflictKind.IN_DOUBT, say(Action.LANDED)) == Resolved(False, 7_000, 7_000)

    card = shop.work_until_quiet(1)
    assert card.in_step
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_a_request_in_doubt_that_did_not_land_then_saying_so_sends_it_again(
    doubted: Callable[[MemoryFault], Shop],
) -> None:
    shop = doubted(MemoryFault.DROPPED)

    resolve_twice(shop, ConflictKind.IN_DOUBT, say(Action.NOT_LANDED))

    card = shop.work_until_quiet(1)
    assert card.in_step
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert effects(shop.sides[SHOPIFY]).count(("debit", 3_000)) == 1


def test_given_a_wrong_word_about_a_request_then_the_next_look_takes_in_the_difference(
    doubted: Callable[[MemoryFault], Shop],
) -> None:
    shop = doubted(MemoryFault.ANSWER_LOST)

    resolve_twice(shop, ConflictKind.IN_DOUBT, say(Action.NOT_LANDED))
    card = shop.work_until_quiet(1)

    # It was sent twice; the marker in Shopify's book shows that both were ours.
    assert card.in_step
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


# --- Try again, acknowledge ---------------------------------------------------------------------------------


def test_given_a_refusal_whose_cause_is_mended_then_retry_carries_it_out(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, *[MemoryFault.REFUSED] * 3)
    card = shop.work_until_quiet(card_id)
    assert card.presence(SHOPIFY).hold is Hold.REFUSED

    assert resolve_twice(shop, ConflictKind.REFUSED, say(Action.RETRY)) == Resolved(False, 7_000, 7_000)

    assert shop.work_until_quiet(card_id).in_step
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_a_refusal_that_is_ignored_then_nothing_is_written_there_any_more(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, *[MemoryFault.REFUSED] * 3)
    shop.work_until_quiet(card_id)

    resolve_twice(shop, ConflictKind.REFUSED, say(Action.IGNORE))
    shop.work_until_quiet(card_id)

    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 10_000}
    assert [c["closed_at"] for c in shop.rows("conflicts")] != [None]


def test_given_an_overdraft_then_acknowledging_it_closes_it_and_moves_nothing(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -6_000)
    shop.move(SHOPIFY, -6_000)
    shop.work_until_quiet(card_id)
    assert the_conflict(shop, ConflictKind.OVERDRAFT)["amount_minor"] == 2_000
    movements = shop.rows("movements")

    assert resolve_twice(shop, ConflictKind.OVERDRAFT, say(Action.ACKNOWLEDGE)) == Resolved(False, 0, 0)

    shop.work_until_quiet(card_id)
    assert shop.rows("movements") == movements
    assert [c["kind"] for c in shop.rows("conflicts") if c["closed_at"] is None] == []


def test_given_a_card_that_is_back_on_its_side_then_retry_ends_the_hold(shop: Shop) -> None:
    card_id = shop.in_step()
    lost = shop.sides[SHOPIFY].cards.pop(shop.native(SHOPIFY))
    assert shop.work_until_quiet(card_id).presence(SHOPIFY).hold is Hold.MISSING
    shop.sides[SHOPIFY].cards[lost.native_id] = lost

    resolve_twice(shop, ConflictKind.MISSING, say(Action.RETRY))

    assert shop.work_until_quiet(card_id).in_step


def test_given_a_suspension_against_a_closing_then_the_person_says_which(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.sides[FLOW].set(shop.native(FLOW), status=CardStatus.SUSPENDED)
    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), status=CardStatus.CLOSED)
    assert shop.work_until_quiet(card_id).status is CardStatus.SUSPENDED
    assert the_conflict(shop, ConflictKind.STATUS)["amount_minor"] == 10_000

    resolve_twice(shop, ConflictKind.STATUS, say(Action.ACCEPT, side=SHOPIFY))

    shop.work_until_quiet(card_id)
    assert shop.card(card_id).status is CardStatus.CLOSED
    assert shop.sides[FLOW].cards[shop.native(FLOW)].status is CardStatus.CLOSED


def test_given_a_conflict_of_a_whole_side_then_acknowledging_closes_it(shop: Shop) -> None:
    brake = NewConflict(ConflictKind.BRAKE, "brake:money", "Too much.", amount_minor=5)
    shop.intake.report(brake, shop.clock())

    assert resolve_twice(shop, ConflictKind.BRAKE, say(Action.RESUME)) == Resolved(False)


# --- What cannot be -----------------------------------------------------------------------------------------


def test_given_a_conflict_that_is_not_there_then_it_is_said(shop: Shop) -> None:
    with pytest.raises(NotResolved, match="there is no conflict 7; `giftsync conflicts list` shows"):
        resolve(shop.link, 7, say(Action.ACKNOWLEDGE))


def test_given_a_side_that_never_got_the_card_then_nothing_can_be_tried_again_there(shop: Shop) -> None:
    shop.meet(FLOW, 10_000, "1234567")  # Too short for Shopify.

    with pytest.raises(NotResolved, match="retry does not fit a serial conflict; say one of: link, ignore"):
        resolve(shop.link, 1, say(Action.RETRY))

    resolve_twice(shop, ConflictKind.SERIAL, say(Action.IGNORE))


def test_given_a_card_at_work_then_it_is_said_and_nothing_changes(
    two_balances: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CLAIM_SECONDS", 0.0)
    two_balances.claim(1)
    before = two_balances.everything()

    with pytest.raises(NotResolved, match="the worker has this card right now"):
        resolve(two_balances.link, 1, say(Action.VALUE, value_minor=1))

    assert two_balances.everything() == before


def test_given_a_card_that_the_worker_gives_back_then_the_decision_waits_for_it(
    two_balances: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, claim = two_balances.claim(1), two_balances.store.claim

    def gives_back(*args: Any) -> Lease | None:
        found = claim(*args)
        two_balances.store.release(lease, None)
        return found

    monkeypatch.setattr(Store, "claim", lambda _, *args: gives_back(*args))

    resolve(two_balances.link, 1, say(Action.VALUE, value_minor=1))

    assert two_balances.card(1).balance_minor == 1


def test_given_a_card_that_is_taken_while_the_sides_are_asked_then_it_is_said(
    two_balances: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = two_balances.sides[FLOW].observe

    def slow(*args: object, **more: object) -> object:
        two_balances.clock.advance(LEASE_SECONDS + 1)
        two_balances.claim(1, "worker 2")
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(two_balances.sides[FLOW], "observe", slow)

    with pytest.raises(NotResolved, match="the worker has this card right now"):
        resolve(two_balances.link, 1, say(Action.VALUE, value_minor=1))

    assert two_balances.card(1).balance_minor == 10_000


def test_given_a_side_that_cannot_be_asked_then_the_chosen_balance_still_counts(
    two_balances: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> object:
        raise NotSent("no connection")

    with monkeypatch.context() as patch:
        patch.setattr(two_balances.sides[FLOW], "observe", fails)
        resolve(two_balances.link, 1, say(Action.VALUE, value_minor=8_000))

    two_balances.work_until_quiet(1)
    assert two_balances.shown() == {FLOW: 8_000, SHOPIFY: 8_000}
