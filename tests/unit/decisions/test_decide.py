"""The protocol's rules, one at a time: what was shown, and what follows to the minor unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from connectors.api.card import Absent, Entry, Observation, Seen, Unreadable
from connectors.api.effect import EffectKind
from connectors.api.errors import Refusal
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import protocol, resolutions
from sync.decisions.promises import withdraw
from sync.decisions.protocol import UNCLEAR_READS_MAX, UNEXPLAINED_RACES_MAX, UNREADABLE_MAX
from sync.model import (
    Card,
    ConflictKind,
    Decision,
    FirstContact,
    Hold,
    Intent,
    IntentState,
    KnownMarker,
    LinkRules,
    MovementKind,
    Presence,
    SideRules,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 23)
SOON, LATER = date(2027, 1, 31), date(2028, 1, 31)
A, B, C = "a", "b", "c"
RULES = LinkRules({A: SideRules(), B: SideRules(), C: SideRules()})
ACTIVE, SUSPENDED, CLOSED, INACTIVE = (
    CardStatus.ACTIVE,
    CardStatus.SUSPENDED,
    CardStatus.CLOSED,
    CardStatus.INACTIVE,
)
BUYER = Contact("kari@example.com")


def presence(side: str, shadow_minor: int = 100, **more: object) -> Presence:
    base = Presence(side, "x-1", Serial("12345678"), "5678", shadow_minor, ACTIVE, None)
    return replace(base, **more)  # type: ignore[arg-type]


def card(*presences: Presence, balance_minor: int = 100, **more: object) -> Card:
    made = Card("NOK", balance_minor, ACTIVE, None, presences or (presence(A), presence(B)))
    return replace(made, **more)  # type: ignore[arg-type]


def seen(balance_minor: int = 100, **more: object) -> Seen:
    base = Seen("x-1", balance_minor, "NOK", ACTIVE, "active", None, "5678", NOW)
    return replace(base, **more)  # type: ignore[arg-type]


def to_create(side: str, **more: object) -> Presence:
    return presence(side, 0, native_id=None, born=False, **more)


def observe(which: Card, rules: LinkRules = RULES, **shown: Observation) -> Decision:
    return protocol.observe(which, shown, rules, TODAY, {})


def moves(decision: Decision) -> list[tuple[str, str | None, int, int, int]]:
    return [
        (m.kind.value, m.side, m.amount_minor, m.shadow_delta_minor, m.balance_after_minor)
        for m in decision.movements
    ]


def plans(decision: Decision) -> list[tuple[str, str, int]]:
    return [(i.side, i.kind.value, i.amount_minor) for i in decision.intents]


def shadows(decision: Decision) -> dict[str, int]:
    return {p.side: p.shadow_minor for p in decision.card.presences}


def causes(decision: Decision) -> list[str]:
    return [c.cause for c in decision.conflicts]


def rules_for(side: str, **more: object) -> LinkRules:
    return LinkRules({**RULES.sides, side: SideRules(**more)})  # type: ignore[arg-type]


# --- A side that holds no more than so much on one card -----------------------------------------------------

LIMITED = rules_for(B, card_limit_minor=120)


def test_given_a_card_worth_more_than_a_side_allows_then_nothing_is_sent_and_the_limit_is_told() -> None:
    for b, owed in ((presence(B), 30), (to_create(B), 130)):
        decision = observe(card(presence(A), b), LIMITED, a=seen(130))

        assert (plans(decision), decision.card.balance_minor) == ([], 130)
        (conflict,) = decision.conflicts
        assert (conflict.kind, conflict.amount_minor) == (ConflictKind.OVER_LIMIT, owed)
        assert conflict.summary == (
            "b allows 1.20 NOK on one card, and this one is worth 1.30 NOK; nothing is written there."
        )


def test_given_exactly_the_limit_then_it_is_written() -> None:
    assert plans(observe(card(), LIMITED, a=seen(120))) == [(B, "credit", 20)]
    assert plans(observe(card(presence(A), to_create(B)), LIMITED, a=seen(120))) == [(B, "create", 120)]


def test_given_a_card_over_the_limit_then_its_debits_are_sent_all_the_same() -> None:
    rich = card(presence(A, 200), presence(B, 200), balance_minor=200)
    assert plans(observe(rich, LIMITED, a=seen(150))) == [(B, "debit", -50)]


@pytest.mark.parametrize(
    ("b", "left", "rules"),
    [
        (presence(B), 110, LIMITED),  # Somebody spent: the rest fits.
        (presence(B), 100, LIMITED),  # It fits as it is.
        (presence(B), 90, LIMITED),
        (to_create(B), 110, LIMITED),
        (to_create(B), 0, LIMITED),  # There is nothing to create any more.
        (presence(B), 130, RULES),  # The limit is gone.
    ],
)
def test_given_a_card_that_fits_again_then_the_conflict_ends_by_itself(
    b: Presence, left: int, rules: LinkRules
) -> None:
    over = card(presence(A, 130), b, balance_minor=130, causes={"over_limit:b": 30})

    assert observe(over, rules, a=seen(left)).causes_gone == ("over_limit:b",)


# --- Observe and settle: money ------------------------------------------------------------------------------


def test_given_nothing_moved_then_nothing_is_decided() -> None:
    c = card()

    assert observe(c, a=seen(), b=seen()) == Decision(c)


def test_given_one_side_spent_then_the_other_owes_the_same() -> None:
    decision = observe(card(), a=seen(80), b=seen())

    assert moves(decision) == [("observed", A, -20, -20, 80)]
    assert plans(decision) == [(B, "debit", -20)]
    assert (decision.card.balance_minor, shadows(decision)) == (80, {A: 80, B: 80})


def test_given_one_side_loaded_then_the_other_is_credited() -> None:
    decision = observe(card(), a=seen(130), b=seen())

    assert (moves(decision), plans(decision)) == ([("observed", A, 30, 30, 130)], [(B, "credit", 30)])


def test_given_both_sides_show_the_same_lower_balance_then_two_customers_spent() -> None:
    decision = observe(card(), a=seen(80), b=seen(80))

    assert moves(decision) == [("observed", A, -20, -20, 80), ("observed", B, -20, -20, 60)]
    assert plans(decision) == [(A, "debit", -20), (B, "debit", -20)]
    assert (decision.card.balance_minor, shadows(decision)) == (60, {A: 60, B: 60})


def test_given_three_sides_then_each_is_owed_what_the_others_moved() -> None:
    c = card(presence(A), presence(B), presence(C))

    decision = observe(c, a=seen(90), b=seen(70), c=seen())

    assert plans(decision) == [(A, "debit", -30), (B, "debit", -10), (C, "debit", -40)]
    assert decision.card.balance_minor == 60


def test_given_more_was_spent_than_there_was_then_the_shortfall_is_written_off_and_reported() -> None:
    decision = observe(card(), a=seen(30), b=seen(10))

    assert moves(decision) == [
        ("observed", A, -70, -70, 30),
        ("observed", B, -90, -90, -60),
        ("write_off", None, 60, 0, 0),
    ]
    assert plans(decision) == [(A, "debit", -30), (B, "debit", -10)]
    (conflict,) = decision.conflicts
    assert (conflict.kind, conflict.amount_minor) == (ConflictKind.OVERDRAFT, 60)
    assert conflict.evidence == {"shortfall_minor": 60, "moved_minor": {A: -70, B: -90}}


def test_given_two_overdrafts_then_each_is_a_conflict_of_its_own() -> None:
    first = observe(card(version=1), a=seen(0), b=seen(90))
    second = observe(card(version=2), a=seen(0), b=seen(90))

    assert causes(first) != causes(second)


def test_given_a_promise_under_way_then_what_its_side_shows_is_not_a_movement() -> None:
    promised = Intent("gs-1", B, EffectKind.DEBIT, IntentState.SENT, 1, -20)
    c = card(presence(A, 80), presence(B, 80, open_intents=(promised,)), balance_minor=80)

    assert observe(c, b=seen(100)) == Decision(c)


def test_given_a_promise_under_way_then_more_is_planned_behind_it() -> None:
    promised = Intent("gs-1", B, EffectKind.DEBIT, IntentState.PLANNED, 1, -20)
    c = card(presence(A, 80), presence(B, 80, open_intents=(promised,)), balance_minor=80)

    decision = observe(c, a=seen(70))

    assert plans(decision) == [(B, "debit", -10)]
    assert shadows(decision)[B] == 70


def test_given_no_believable_answer_then_it_is_not_a_zero() -> None:
    c = card()

    assert observe(c, a=Unreadable("no answer", NOW, answered=False), b=seen()) == Decision(c)


def test_given_an_answer_that_cannot_be_believed_then_it_is_counted_and_moves_nothing() -> None:
    c = card()

    decision = observe(c, a=Unreadable("a negative balance", NOW), b=seen())

    assert decision == Decision(with_unreadable(c, 1))


def test_given_too_many_of_them_then_the_presence_is_held_and_a_person_is_asked() -> None:
    decision = observe(with_unreadable(card(), UNREADABLE_MAX - 1), a=Unreadable("a negative balance", NOW))

    assert [(c.kind, c.side) for c in decision.conflicts] == [(ConflictKind.UNREADABLE, A)]
    assert "a negative balance" in decision.conflicts[0].summary
    assert decision.card.presence(A).hold is Hold.UNREADABLE
    assert not decision.card.in_step
    assert (decision.movements, decision.intents) == ((), ())


def test_given_a_card_that_can_be_read_again_then_nothing_of_it_is_left() -> None:
    held = observe(with_unreadable(card(), UNREADABLE_MAX - 1), a=Unreadable("a negative balance", NOW)).card
    held = replace(held, causes={f"unreadable:{A}": 100})

    decision = observe(held, a=seen())

    assert decision.card == replace(card(), causes=held.causes)
    assert f"unreadable:{A}" in decision.causes_gone


def with_unreadable(c: Card, times: int) -> Card:
    presences = tuple(replace(p, unreadable=times) if p.side == A else p for p in c.presences)
    return replace(c, presences=presences)


def test_given_a_card_that_a_side_lost_then_it_is_held_and_not_a_zero() -> None:
    decision = observe(card(), a=Absent(NOW), b=seen(90))

    assert decision.card.presence(A).hold is Hold.MISSING
    assert (decision.card.balance_minor, plans(decision)) == (90, [])
    assert [(c.kind, c.amount_minor) for c in decision.conflicts] == [(ConflictKind.MISSING, 100)]


def test_given_a_lost_card_that_is_back_then_the_hold_ends_and_its_conflict_closes() -> None:
    c = card(presence(A, hold=Hold.MISSING), presence(B), causes={"missing:a": 100})

    decision = observe(c, a=seen(90))

    assert decision.card.presence(A).hold is None
    assert decision.causes_gone == ("missing:a",)
    assert plans(decision) == [(B, "debit", -10)]


def test_given_another_currency_then_nothing_is_converted_or_moved() -> None:
    decision = observe(card(), a=seen(50, currency="SEK"))

    assert (moves(decision), plans(decision)) == ([], [])
    assert decision.card.presence(A).hold is Hold.CURRENCY
    assert decision.conflicts[0].summary == ("a holds the card in SEK, the hub in NOK; nothing is converted.")


def test_given_a_status_that_is_not_known_then_nothing_moves() -> None:
    decision = observe(card(), a=seen(50, status=None, status_text="FROZEN"))

    assert (moves(decision), decision.card.presence(A).hold) == ([], Hold.STATUS)
    assert "'FROZEN'" in decision.conflicts[0].summary


def test_given_a_held_card_then_what_its_sides_show_is_what_is_asked_about_and_nothing_is_decided() -> None:
    c = card(presence(A, 100), presence(B, 80), held=True, causes={"first_contact": 20})

    decision = observe(c, a=seen(70), b=seen(80))

    assert moves(decision) == [("adopted", A, 0, -30, 100)]
    assert [(c.cause, c.amount_minor) for c in decision.conflicts] == [("first_contact", 10)]
    assert (decision.card.held, decision.card.balance_minor, plans(decision)) == (True, 100, [])
    assert observe(decision.card, a=seen(70), b=seen(80)) == Decision(decision.card)
    assert protocol.settle(c, RULES, TODAY) == Decision(c)


def test_given_a_side_that_is_not_in_the_link_then_nothing_is_planned_for_it() -> None:
    only_a = LinkRules({A: SideRules()})

    assert plans(observe(card(), only_a, a=seen(80))) == []


@pytest.mark.parametrize(
    ("shown", "rules", "b"),
    [
        (80, rules_for(B, debits=False), {}),
        (120, rules_for(B, credits=False), {}),
        (80, RULES, {"shadow_status": SUSPENDED}),
        (80, RULES, {"shadow_expires_on": TODAY - timedelta(days=1)}),
    ],
    ids=["no debits", "no credits", "suspended", "expired"],
)
def test_given_money_that_cannot_be_written_there_then_it_is_said_and_the_promise_is_not_made(
    shown: int, rules: LinkRules, b: dict[str, Any]
) -> None:
    b_rules = replace(rules.sides[B], sets_expiry=False, sets_status=frozenset())
    rules = LinkRules({A: SideRules(), B: b_rules})

    decision = observe(card(presence(A), presence(B, **b)), rules, a=seen(shown))

    assert (plans(decision), shadows(decision)[B]) == ([], 100)
    assert (ConflictKind.NOT_WRITABLE, 20) in {(c.kind, c.amount_minor) for c in decision.conflicts}


def test_given_a_side_that_moves_suspended_cards_then_it_is_written() -> None:
    rules = LinkRules({A: SideRules(), B: SideRules(moves_when_suspended=True, sets_status=frozenset())})

    decision = observe(card(presence(A), presence(B, shadow_status=SUSPENDED)), rules, a=seen(80))

    assert plans(decision) == [(B, "debit", -20)]


def test_given_the_debt_is_settled_then_its_conflict_closes_by_itself() -> None:
    c = card(presence(A), presence(B, 80), causes={"not_writable:b": 20})

    decision = protocol.settle(c, RULES, TODAY)

    assert (plans(decision), decision.causes_gone) == ([(B, "credit", 20)], ("not_writable:b",))


def test_given_a_card_that_expires_today_then_it_can_still_be_written() -> None:
    c = card(presence(A, shadow_expires_on=TODAY), presence(B, shadow_expires_on=TODAY), expires_on=TODAY)

    assert plans(observe(c, a=seen(80, expires_on=TODAY))) == [(B, "debit", -20)]


def test_given_a_card_that_ran_out_earlier_today_then_it_is_expired_until_its_date_changes() -> None:
    refused = presence(B, stale=True, refusal=Refusal.EXPIRED, refusals=1, shadow_expires_on=TODAY)
    ends_today = card(presence(A, 80, shadow_expires_on=TODAY), refused, balance_minor=80, expires_on=TODAY)

    looked = observe(ends_today, b=seen(100, expires_on=TODAY))
    again = observe(looked.card, a=seen(80, expires_on=TODAY), b=seen(100, expires_on=TODAY))
    extended = observe(looked.card, b=seen(100, expires_on=LATER))

    assert (plans(looked), causes(looked), looked.card.presence(B).hold) == ([], ["not_writable:b"], None)
    assert plans(again) == []
    assert (B, "debit", -20) in plans(extended)


# --- The second book ----------------------------------------------------------------------------------------


def test_given_a_marker_that_stands_more_often_than_counted_then_it_is_an_echo_and_is_undone() -> None:
    entries = (Entry("e1", -20, NOW, "gs-1"), Entry("e2", -20, NOW, "gs-1"))
    c = card(presence(A, 80), presence(B, 80), balance_minor=80)

    decision = protocol.observe(
        c, {B: seen(60, entries=entries)}, RULES, TODAY, {"gs-1": KnownMarker(-20, 1)}
    )

    assert moves(decision) == [("echo", B, 0, -20, 80)]
    assert plans(decision) == [(B, "credit", 20)]
    assert [(i.marker, i.state, i.landings) for i in decision.intent_changes] == [
        ("gs-1", IntentState.APPLIED, 2)
    ]
    assert [(c.kind, c.amount_minor) for c in decision.conflicts] == [(ConflictKind.DUPLICATE, 20)]


def test_given_an_echo_and_a_customer_at_once_then_each_is_told_from_the_other() -> None:
    entries = (Entry("e1", -20, NOW, "gs-1"), Entry("e2", -20, NOW, "gs-1"), Entry("e3", -5, NOW, None))
    c = card(presence(A, 80), presence(B, 80, book_cursor="e1"), balance_minor=80)

    decision = protocol.observe(
        c, {B: seen(55, entries=entries)}, RULES, TODAY, {"gs-1": KnownMarker(-20, 1)}
    )

    assert moves(decision) == [("echo", B, 0, -20, 80), ("observed", B, -5, -5, 75)]
    assert decision.movements[1].evidence["unexplained_minor"] == 0
    assert decision.card.presence(B).book_cursor == "e3"


# --- Status and expiry --------------------------------------------------------------------------------------


def test_given_one_side_suspended_the_card_then_the_others_follow() -> None:
    decision = observe(card(), a=seen(status=SUSPENDED), b=seen())

    assert decision.card.status is SUSPENDED
    (intent,) = decision.intents
    assert (intent.side, intent.kind, intent.status, intent.status_before) == (
        B,
        EffectKind.SET_STATUS,
        SUSPENDED,
        ACTIVE,
    )
    assert decision.conflicts == ()


def test_given_two_sides_changed_it_differently_then_the_more_restrictive_wins_and_is_said() -> None:
    empty = card(presence(A, 0), presence(B, 0), balance_minor=0)

    decision = observe(empty, a=seen(0, status=SUSPENDED), b=seen(0, status=CLOSED))

    assert decision.card.status is CLOSED
    assert ConflictKind.STATUS in {c.kind for c in decision.conflicts}


@pytest.mark.parametrize("left_minor", [0, 100], ids=["emptied", "with its balance"])
def test_given_a_suspension_against_a_closing_with_money_then_a_person_is_asked_first(
    left_minor: int,
) -> None:
    decision = observe(card(), a=seen(status=SUSPENDED), b=seen(left_minor, status=CLOSED))

    assert (decision.card.status, decision.card.balance_minor) == (SUSPENDED, 100)
    assert [(c.cause, c.amount_minor) for c in decision.conflicts] == [("closed_alone:b", 100)]
    assert decision.intents == ()


@pytest.mark.parametrize("left_minor", [0, 100], ids=["emptied", "with its balance"])
def test_given_the_last_side_closes_a_suspended_card_then_the_money_that_ends_is_said(
    left_minor: int,
) -> None:
    suspended = card(presence(A), presence(B, 0, shadow_status=CLOSED), status=SUSPENDED)

    decision = observe(suspended, a=seen(left_minor, status=CLOSED))

    assert decision.card.status is CLOSED
    told = [(c.cause, c.amount_minor) for c in decision.conflicts if c.kind is ConflictKind.STATUS]
    assert told == [("status:a:0", 100)]


def test_given_two_sides_changed_it_alike_then_nothing_is_said() -> None:
    decision = observe(card(), a=seen(status=SUSPENDED), b=seen(status=SUSPENDED))

    assert (decision.card.status, decision.intents, decision.conflicts) == (SUSPENDED, (), ())


def test_given_a_closed_card_then_nothing_re_enables_it() -> None:
    c = card(
        presence(A, 0, shadow_status=CLOSED),
        presence(B, 0, shadow_status=CLOSED),
        balance_minor=0,
        status=CLOSED,
    )

    decision = observe(c, a=seen(0))

    assert decision.card.status is CLOSED
    assert [(i.side, i.status) for i in decision.intents] == [(A, CLOSED)]


def test_given_an_active_card_that_shows_inactive_then_it_is_suspended() -> None:
    assert observe(card(), a=seen(status=INACTIVE)).card.status is SUSPENDED


def test_given_a_card_closed_with_money_on_it_then_the_money_ends_with_it() -> None:
    decision = observe(card(), a=seen(100, status=CLOSED), b=seen())

    assert moves(decision) == [("closed", A, -100, 0, 0)]
    assert [(i.side, i.kind.value, i.amount_minor) for i in decision.intents] == [
        (B, "debit", -100),
        (B, "set_status", 0),
    ]


def test_given_a_closed_card_that_still_shows_money_then_it_ended_once() -> None:
    c = card(
        presence(A, 100, shadow_status=CLOSED),
        presence(B, 0, shadow_status=CLOSED),
        balance_minor=0,
        status=CLOSED,
    )

    assert observe(c, a=seen(100, status=CLOSED), b=seen(0, status=CLOSED)) == Decision(c)


def test_given_money_and_status_at_once_then_relaxing_comes_before_money_and_restricting_after() -> None:
    suspended = card(
        presence(A, shadow_status=SUSPENDED), presence(B, shadow_status=SUSPENDED), status=SUSPENDED
    )

    relaxed = observe(suspended, a=seen(120))
    restricted = observe(card(), a=seen(80, status=SUSPENDED))

    assert plans(relaxed) == [(B, "set_status", 0), (B, "credit", 20)]
    assert plans(restricted) == [(B, "debit", -20), (B, "set_status", 0)]


def test_given_one_side_changed_the_expiry_then_the_others_follow() -> None:
    decision = observe(card(), a=seen(expires_on=SOON), b=seen())

    (intent,) = decision.intents
    assert (intent.side, intent.kind, intent.expires_on, intent.expires_before) == (
        B,
        EffectKind.SET_EXPIRY,
        SOON,
        None,
    )
    assert decision.card.expires_on == SOON
    assert decision.conflicts == ()


def test_given_both_sides_changed_the_expiry_alike_then_nothing_is_said() -> None:
    decision = observe(card(), a=seen(expires_on=SOON), b=seen(expires_on=SOON))

    assert (decision.card.expires_on, decision.intents, decision.conflicts) == (SOON, (), ())


@pytest.mark.parametrize("later", [A, B])
def test_given_two_expiries_then_the_earlier_wins_and_is_said(later: str) -> None:
    days = {side: LATER if side == later else SOON for side in (A, B)}

    decision = observe(card(), a=seen(expires_on=days[A]), b=seen(expires_on=days[B]))

    assert decision.card.expires_on == SOON
    (conflict,) = decision.conflicts
    assert conflict.kind is ConflictKind.EXPIRY
    assert conflict.evidence == {
        "chosen": SOON.isoformat(),
        "shown": {side: day.isoformat() for side, day in days.items()},
    }
    assert [(i.side, i.expires_on) for i in decision.intents] == [(later, SOON)]


def test_given_two_statuses_that_close_nothing_then_no_money_ends_with_them() -> None:
    sold = presence(A, shadow_status=CardStatus.INACTIVE)
    suspended = card(sold, presence(B, shadow_status=SUSPENDED), status=SUSPENDED)

    decision = observe(suspended, a=seen(status=ACTIVE), b=seen(status=SUSPENDED))

    told = [(c.cause, c.amount_minor) for c in decision.conflicts if c.kind is ConflictKind.STATUS]
    assert told == [("status:a:0", 0)]


def test_given_a_side_that_cannot_set_expiry_then_none_is_planned() -> None:
    assert plans(observe(card(), rules_for(B, sets_expiry=False), a=seen(expires_on=SOON))) == []


# --- Refused, landed, in doubt ------------------------------------------------------------------------------

DEBIT = Intent("gs-1", B, EffectKind.DEBIT, IntentState.SENT, 1, -20)
#: One that was tried before.
TRIED = replace(DEBIT, postponed=2, unclear_reads=1)
CREDIT = Intent("gs-2", B, EffectKind.CREDIT, IntentState.PLANNED, 2, 5)


def promised(*intents: Intent, shadow_minor: int = 80, **more: object) -> Card:
    return card(presence(A, 80), presence(B, shadow_minor, open_intents=intents, **more), balance_minor=80)


def test_given_a_refusal_then_the_promise_is_withdrawn_and_the_presence_is_stale() -> None:
    decision = protocol.refuse(promised(DEBIT), DEBIT, Refusal.INSUFFICIENT_FUNDS, "not enough")

    p = decision.card.presence(B)
    assert (p.shadow_minor, p.stale, p.refusal, p.refusals) == (100, True, Refusal.INSUFFICIENT_FUNDS, 1)
    assert (p.open_intents, decision.card.balance_minor) == ((), 80)
    assert [(i.marker, i.state) for i in decision.intent_changes] == [("gs-1", IntentState.REFUSED)]


def test_given_a_refusal_then_what_waits_untried_behind_it_is_withdrawn_too() -> None:
    decision = protocol.refuse(promised(DEBIT, CREDIT, shadow_minor=85), DEBIT, Refusal.OTHER, "no")

    assert decision.card.presence(B).shadow_minor == 100
    assert [(i.marker, i.state) for i in decision.intent_changes] == [
        ("gs-2", IntentState.WITHDRAWN),
        ("gs-1", IntentState.REFUSED),
    ]


def test_given_a_refusal_then_what_was_doubted_behind_it_stays() -> None:
    doubted = replace(CREDIT, doubted=True)

    decision = protocol.refuse(promised(DEBIT, doubted, shadow_minor=85), DEBIT, Refusal.OTHER, "no")

    assert decision.card.presence(B).open_intents == (doubted,)
    assert decision.card.presence(B).shadow_minor == 105


def test_given_a_refused_status_and_expiry_then_the_shadow_returns_to_what_it_was() -> None:
    status = Intent(
        "gs-3", B, EffectKind.SET_STATUS, IntentState.SENT, 1, status=CLOSED, status_before=SUSPENDED
    )
    later = {"expires_on": SOON, "expires_before": LATER}
    expiry = Intent("gs-4", B, EffectKind.SET_EXPIRY, IntentState.PLANNED, 2, **later)  # type: ignore[arg-type]
    c = promised(status, expiry, shadow_status=CLOSED, shadow_expires_on=SOON)

    p = protocol.refuse(c, status, Refusal.OTHER, "no").card.presence(B)

    assert (p.shadow_status, p.shadow_expires_on) == (SUSPENDED, LATER)


def test_given_a_stale_presence_then_nothing_is_planned_for_it_until_it_is_seen() -> None:
    stale = card(presence(A), presence(B, 100, stale=True, refusal=Refusal.INSUFFICIENT_FUNDS, refusals=1))

    waiting = observe(stale, a=seen(80))
    explained = observe(waiting.card, b=seen(90))

    assert (plans(waiting), waiting.card.balance_minor) == ([], 80)
    assert moves(explained) == [("observed", B, -10, -10, 70)]
    assert plans(explained) == [(A, "debit", -10), (B, "debit", -20)]
    p = explained.card.presence(B)
    assert (p.stale, p.refusal, p.refusals) == (False, None, 0)


@pytest.mark.parametrize(
    ("refusal", "refusals", "kind"),
    [
        (Refusal.OTHER, 1, ConflictKind.REFUSED),
        (Refusal.OVER_LIMIT, 1, ConflictKind.OVER_LIMIT),
        (Refusal.BAD_SERIAL, 1, ConflictKind.SERIAL),
        (Refusal.CURRENCY, 1, ConflictKind.CURRENCY),
        (Refusal.INSUFFICIENT_FUNDS, UNEXPLAINED_RACES_MAX, ConflictKind.REFUSED),
        (Refusal.INSUFFICIENT_FUNDS, 1, None),
    ],
)
def test_given_a_refusal_that_a_look_does_not_explain_then_a_person_is_asked_at_last(
    refusal: Refusal, refusals: int, kind: ConflictKind | None
) -> None:
    c = card(presence(A, 80), presence(B, stale=True, refusal=refusal, refusals=refusals), balance_minor=80)

    decision = observe(c, b=seen(100))

    p = decision.card.presence(B)
    if kind is None:
        assert (p.hold, plans(decision)) == (None, [(B, "debit", -20)])
    else:
        assert (p.hold, plans(decision)) == (Hold.REFUSED, [])
        assert [(x.kind, x.amount_minor) for x in decision.conflicts] == [(kind, 20)]


def test_given_an_effect_that_landed_then_the_shadow_has_it_already() -> None:
    c = replace(promised(DEBIT), causes={"in_doubt:b": 20})

    decision = protocol.land(c, DEBIT, 1, "x-9", "tx 7")

    p = decision.card.presence(B)
    assert (p.shadow_minor, p.native_id, p.born, p.open_intents) == (80, "x-9", True, ())
    assert (moves(decision), decision.causes_gone) == ([], ("in_doubt:b",))


def test_given_an_effect_that_landed_twice_then_the_second_moves_the_shadow_alone() -> None:
    decision = protocol.land(promised(DEBIT), DEBIT, 2, "b-1")

    assert moves(decision) == [("echo", B, 0, -20, 80)]
    assert decision.card.presence(B).shadow_minor == 60
    assert [x.kind for x in decision.conflicts] == [ConflictKind.DUPLICATE]


def test_given_a_marker_that_is_surely_absent_then_it_is_planned_again() -> None:
    decision = protocol.absent(promised(DEBIT), DEBIT)

    assert [(i.marker, i.state) for i in decision.intent_changes] == [("gs-1", IntentState.PLANNED)]
    assert decision.card == promised(DEBIT)


def test_given_a_refusal_that_waited_for_a_read_back_then_absence_makes_it_final() -> None:
    doubted = replace(DEBIT, state=IntentState.IN_DOUBT, doubted=True, refusal=Refusal.NOT_ACTIVE)

    decision = protocol.absent(promised(doubted), doubted)

    assert decision.card.presence(B).shadow_minor == 100
    assert decision.card.presence(B).refusal is Refusal.NOT_ACTIVE


def test_given_a_side_that_cannot_tell_then_a_person_is_asked_after_a_while() -> None:
    asked: list[Decision] = []
    intent = replace(DEBIT, state=IntentState.IN_DOUBT)
    for reads in range(UNCLEAR_READS_MAX):
        so_far = replace(intent, unclear_reads=reads)
        asked.append(protocol.unclear(promised(so_far), so_far, "no notes", NOW))

    assert [len(d.conflicts) for d in asked] == [0] * (UNCLEAR_READS_MAX - 1) + [1]
    (conflict,) = asked[-1].conflicts
    assert (conflict.kind, conflict.amount_minor) == (ConflictKind.IN_DOUBT, 20)
    assert conflict.evidence == {"marker": "gs-1", "kind": "debit"}


def test_given_the_steps_of_an_attempt_then_only_the_intent_changes() -> None:
    c = promised(DEBIT)
    steps = {
        IntentState.SENT: protocol.sent(c, DEBIT),
        IntentState.PLANNED: protocol.not_sent(c, DEBIT, "no connection", NOW),
        IntentState.IN_DOUBT: protocol.doubt(c, DEBIT, "no answer", NOW),
    }

    for state, decision in steps.items():
        assert (decision.card, moves(decision)) == (c, [])
        assert [i.state for i in decision.intent_changes] == [state]
    assert steps[IntentState.IN_DOUBT].intent_changes[0].doubted is True


# --- First contact and creation -----------------------------------------------------------------------------


def meet(shown: Mapping[str, Seen], *others: Presence, rules: LinkRules = RULES) -> Decision:
    return protocol.meet(shown, others, rules, TODAY)


def test_given_a_card_on_one_side_then_it_is_created_on_the_others() -> None:
    decision = meet({A: seen(expires_on=SOON)}, to_create(B, brand="gold", note="Shopify 4000"))

    assert moves(decision) == [("opening", A, 100, 100, 100)]
    (create,) = decision.intents
    assert (create.kind, create.amount_minor, create.expires_on) == (EffectKind.CREATE, 100, SOON)
    assert (create.brand, create.note) == ("gold", "Shopify 4000")
    assert shadows(decision) == {A: 100, B: 100}


@pytest.mark.parametrize(
    "shown",
    [
        seen(0),
        seen(status=SUSPENDED),
        seen(status=CLOSED),
        seen(expires_on=TODAY - timedelta(days=1)),
    ],
    ids=["empty", "suspended", "closed", "expired"],
)
def test_given_a_card_not_worth_creating_then_none_is_planned(shown: Seen) -> None:
    assert plans(meet({A: shown}, to_create(B))) == []


@pytest.mark.parametrize(
    ("there", "rules"), [({"serial": None}, RULES), ({}, rules_for(B, creates=False))], ids=["serial", "link"]
)
def test_given_a_side_that_cannot_be_given_the_card_then_none_is_planned(
    there: dict[str, object], rules: LinkRules
) -> None:
    assert plans(meet({A: seen()}, to_create(B, **there), rules=rules)) == []


def test_given_equal_balances_then_they_are_adopted() -> None:
    decision = meet({A: seen(), B: seen()})

    assert moves(decision) == [("opening", A, 100, 100, 100), ("adopted", B, 0, 100, 100)]
    assert (decision.card.in_step, decision.conflicts) == (True, ())


def test_given_unequal_balances_then_the_card_is_held() -> None:
    decision = meet({A: seen(100), B: seen(70)})

    assert decision.card.held
    assert plans(decision) == []
    (conflict,) = decision.conflicts
    assert (conflict.kind, conflict.amount_minor) == (ConflictKind.FIRST_CONTACT, 30)
    assert conflict.summary == "One number, two balances: a shows 1.00 NOK, b shows 0.70 NOK."


@pytest.mark.parametrize(
    ("policy", "worth"),
    [
        ({"first_contact": FirstContact.LOWER}, 70),
        ({"first_contact": FirstContact.HIGHER}, 100),
        ({"first_contact_side": B}, 70),
        ({"first_contact_side": C}, None),
    ],
)
def test_given_a_policy_then_it_says_who_wins(policy: dict[str, object], worth: int | None) -> None:
    rules = LinkRules(RULES.sides, **policy)  # type: ignore[arg-type]

    decision = meet({A: seen(100), B: seen(70)}, rules=rules)

    assert decision.card.held is (worth is None)
    if worth is not None:
        assert decision.card.balance_minor == worth
        assert set(shadows(decision).values()) == {worth}


def test_given_first_contact_then_the_more_restrictive_status_and_the_earlier_date_are_taken() -> None:
    decision = meet({A: seen(status=SUSPENDED, expires_on=LATER), B: seen(expires_on=SOON)})

    assert (decision.card.status, decision.card.expires_on) == (SUSPENDED, SOON)


def test_given_a_create_that_finds_the_serial_in_use_then_it_is_first_contact_for_that_side() -> None:
    c = card(presence(A), to_create(B, stale=True, refusal=Refusal.TAKEN, refusals=1))

    decision = observe(c, b=seen(100))

    p = decision.card.presence(B)
    assert (p.born, p.native_id, p.stale, p.refusal) == (True, "x-1", False, None)
    assert moves(decision) == [("adopted", B, 0, 100, 100)]


def test_given_a_create_that_finds_another_balance_then_the_card_is_held_and_nothing_is_planned() -> None:
    c = card(presence(A), to_create(B, stale=True, refusal=Refusal.TAKEN, refusals=1))

    decision = observe(c, b=seen(40))

    assert (decision.card.held, plans(decision)) == (True, [])
    assert [x.kind for x in decision.conflicts] == [ConflictKind.FIRST_CONTACT]


def test_given_a_pool_number_that_waits_to_be_issued_then_the_create_is_planned_again() -> None:
    c = card(presence(A), to_create(B, stale=True, refusal=Refusal.TAKEN, refusals=1))

    decision = observe(c, b=seen(0, status=INACTIVE))

    assert plans(decision) == [(B, "create", 100)]


def test_given_a_pool_number_that_is_somebodys_card_then_it_is_held() -> None:
    c = card(
        presence(A, serial=None),
        to_create(B, serial=Serial("99999999"), stale=True, refusal=Refusal.TAKEN, refusals=1),
    )

    decision = observe(c, b=seen(500))

    assert (moves(decision), decision.card.presence(B).hold) == ([], Hold.REFUSED)
    assert [x.kind for x in decision.conflicts] == [ConflictKind.SERIAL]


def test_given_a_person_who_said_what_a_held_card_is_worth_then_the_sides_follow() -> None:
    held = meet({A: seen(100), B: seen(70)}).card

    adopted = resolutions.adopt_shown(held, {A: seen(90), B: seen(70)}, RULES)
    decision = resolutions.resolve_first_contact(adopted, 80, None, RULES, TODAY, "kari: I looked")

    assert moves(adopted) == [("adopted", A, 0, -10, 100)]
    assert moves(decision)[1:] == [("resolution", None, -20, 0, 80)]
    assert plans(decision) == [(A, "debit", -10), (B, "credit", 10)]
    assert decision.card.held is False
    assert MovementKind.RESOLUTION in {m.kind for m in decision.movements}


@pytest.mark.parametrize(
    ("worth", "of", "ends_as"),
    [(100, A, ACTIVE), (0, A, ACTIVE), (80, None, ACTIVE), (0, B, CLOSED), (0, None, CLOSED)],
)
def test_given_one_side_had_closed_the_card_then_the_persons_word_says_whether_it_is_closed(
    worth: int, of: str | None, ends_as: CardStatus
) -> None:
    held = meet({B: seen(70, status=CLOSED, expires_on=SOON), A: seen(100, expires_on=LATER)}).card

    adopted = resolutions.adopt_shown(held, {}, RULES)
    decision = resolutions.resolve_first_contact(adopted, worth, of, RULES, TODAY, "kari: I looked")

    assert held.held
    assert (decision.card.status, decision.card.balance_minor) == (ends_as, worth)
    assert [p for p in plans(decision) if p[0] == B] == []
    assert ((A, "set_status", 0) in plans(decision)) is (ends_as is CLOSED)
    assert (decision.card.expires_on, decision.card.presence(A).shadow_expires_on) == (LATER, LATER)
    assert {c.settled for c in decision.conflicts} <= {"ignore"}


# --- Conflicts are said once --------------------------------------------------------------------------------


def test_given_a_conflict_that_is_open_with_the_same_amount_then_it_is_not_said_again() -> None:
    rules = rules_for(B, debits=False)
    first = observe(card(), rules, a=seen(80))
    known = replace(first.card, causes={c.cause: c.amount_minor for c in first.conflicts})

    again = observe(known, rules, a=seen(80))
    more = observe(known, rules, a=seen(70))

    assert again == Decision(known)
    assert [(c.cause, c.amount_minor) for c in more.conflicts] == [("not_writable:b", 30)]


# --- What one field of a side says of another ---------------------------------------------------------------


@pytest.mark.parametrize(("status", "expires"), [(ACTIVE, SOON), (SUSPENDED, None), (CLOSED, None)])
def test_given_a_side_that_suspends_by_date_then_its_date_says_nothing_of_a_card_that_is_not_active(
    status: CardStatus, expires: date | None
) -> None:
    decision = observe(
        card(), rules_for(A, suspends_by_date=True), a=seen(status=status, expires_on=SOON), b=seen()
    )

    assert decision.card.expires_on == expires


def test_given_a_status_that_is_taken_back_then_the_side_is_expected_to_show_the_one_before() -> None:
    intent = Intent(
        "gs-1", B, EffectKind.SET_STATUS, IntentState.PLANNED, 1, status=SUSPENDED, status_before=ACTIVE
    )
    p = presence(B, shadow_status=SUSPENDED, open_intents=(intent,))

    back = withdraw(p, intent)

    assert (back.shadow_status, back.shadow_minor, back.open_intents) == (ACTIVE, 100, ())
