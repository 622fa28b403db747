"""What a look takes in, and what is owed then: every field of the decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.api.card import Absent, Entry, Seen, Unreadable
from connectors.api.effect import EffectKind
from connectors.api.errors import Refusal
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import causes, evidence, lost, protocol
from sync.decisions.draft import Draft
from sync.decisions.shadow import matches_shadow
from sync.model import (
    Closing,
    ConflictKind,
    Decision,
    Hold,
    Intent,
    IntentChange,
    IntentState,
    KnownMarker,
    LinkRules,
    LostEffect,
    NewIntent,
    Overdraft,
    Traces,
)
from tests.unit.decisions.test_decide import (
    ACTIVE,
    BUYER,
    CLOSED,
    INACTIVE,
    LATER,
    NOW,
    RULES,
    SOON,
    SUSPENDED,
    TODAY,
    A,
    B,
    C,
    card,
    meet,
    moves,
    observe,
    plans,
    presence,
    promised,
    rules_for,
    seen,
    shadows,
    to_create,
)
from tests.unit.decisions.test_decide import TRIED as DEBIT

SENT, PLANNED = IntentState.SENT, IntentState.PLANNED
APPLIED, WITHDRAWN = IntentState.APPLIED, IntentState.WITHDRAWN


# --- What a look takes in -----------------------------------------------------------------------------------


def test_given_a_card_of_another_number_then_it_is_held_with_its_worth() -> None:
    decision = observe(card(), a=seen(50, last_chars="9999"), b=seen())

    held = presence(A, hold=Hold.OTHER_CARD)
    told = causes.other_card(presence(A), seen(50, last_chars="9999"), 100)
    assert decision == Decision(card(held, presence(B)), conflicts=(told,))


@pytest.mark.parametrize(
    ("shown", "hold", "told"),
    [
        (
            seen(50, currency="SEK"),
            Hold.CURRENCY,
            lambda p, s: causes.currency(card(), p, s),
        ),
        (
            seen(50, status=None, status_text="FROZEN"),
            Hold.STATUS,
            lambda p, s: causes.status_unknown(p, "FROZEN", 100),
        ),
        (Absent(NOW), Hold.MISSING, lambda p, s: causes.missing(p, 100)),
    ],
    ids=["currency", "status", "missing"],
)
def test_given_a_card_that_cannot_be_taken_in_then_it_is_held_and_told_once(
    shown: Seen | Absent, hold: Hold, told: object
) -> None:
    decision = observe(card(), a=shown)

    conflict = told(presence(A), shown)  # type: ignore[operator]
    assert decision == Decision(card(presence(A, hold=hold), presence(B)), conflicts=(conflict,))
    known = replace(decision.card, causes={conflict.cause: conflict.amount_minor})
    assert observe(known, a=shown) == Decision(known)


def test_given_nothing_readable_for_the_third_time_then_it_is_held_and_told_with_the_cards_worth() -> None:
    answer = Unreadable("a negative balance", NOW)

    decision = observe(card(presence(A, unreadable=2), presence(B)), a=answer)

    held = presence(A, unreadable=3, hold=Hold.UNREADABLE)
    assert decision == Decision(
        card(held, presence(B)), conflicts=(causes.unreadable(held, "a negative balance", 100),)
    )
    assert observe(decision.card, a=answer) == Decision(decision.card)


@pytest.mark.parametrize("before", [{"unreadable": 1}, {"hold": Hold.UNREADABLE}])
def test_given_it_can_be_read_again_then_what_it_refused_meanwhile_is_tried_again(
    before: dict[str, Any],
) -> None:
    c = card(presence(A, refusal=Refusal.OTHER, refusals=2, **before), presence(B))
    c = replace(c, causes={"unreadable:a": 1})

    decision = observe(c, a=seen())

    assert decision == Decision(
        replace(c, presences=(presence(A), presence(B))), causes_gone=("unreadable:a",)
    )


def test_given_it_can_be_read_again_then_another_hold_stays() -> None:
    held = card(presence(A, unreadable=1, hold=Hold.REFUSED), presence(B))

    assert observe(held, a=seen()).card.presence(A) == presence(A, hold=Hold.REFUSED)


@pytest.mark.parametrize("refusal", [Refusal.NOT_ACTIVE, Refusal.EXPIRED])
def test_given_a_refusal_that_the_status_explains_then_no_person_is_asked(refusal: Refusal) -> None:
    b = presence(B, 100, stale=True, refusal=refusal, refusals=1, shadow_status=SUSPENDED)
    c = card(presence(A, 80, shadow_status=SUSPENDED), b, balance_minor=80, status=SUSPENDED)

    decision = observe(c, b=seen(100, status=SUSPENDED))

    assert decision.card.presence(B) == presence(B, 100, shadow_status=SUSPENDED)
    assert ConflictKind.REFUSED not in {one.kind for one in decision.conflicts}


@pytest.mark.parametrize("refusal", [Refusal.INSUFFICIENT_FUNDS, Refusal.TAKEN, Refusal.UNREADABLE])
@pytest.mark.parametrize(("refusals", "asked"), [(2, False), (3, True), (4, True)])
def test_given_a_race_that_nothing_explains_then_the_third_refusal_asks_a_person(
    refusal: Refusal, refusals: int, asked: bool
) -> None:
    b = presence(B, 100, stale=True, refusal=refusal, refusals=refusals)
    c = card(presence(A, 80), b, balance_minor=80)

    decision = observe(c, b=seen(100))

    assert (decision.card.presence(B).hold is Hold.REFUSED) is asked
    assert [one.cause for one in decision.conflicts] == ([causes.refused(c, b).cause] if asked else [])


def test_given_a_refusal_that_was_a_persons_and_is_explained_now_then_it_goes_on() -> None:
    b = presence(B, 100, hold=Hold.REFUSED, refusal=Refusal.OTHER, refusals=1)
    c = card(presence(A, 80), b, balance_minor=80, causes={"refused:b": 20, "serial:b": 20})

    decision = observe(c, b=seen(90))

    p = decision.card.presence(B)
    assert (p.hold, p.refusal, p.refusals) == (None, None, 0)
    assert set(decision.causes_gone) == {"refused:b", "serial:b"}


@pytest.mark.parametrize(
    "changed", [{"balance_minor": 90}, {"status": SUSPENDED}, {"expires_on": SOON}], ids=str
)
def test_given_any_change_there_then_it_explains_a_refusal(changed: dict[str, object]) -> None:
    b = presence(B, 100, stale=True, refusal=Refusal.OTHER, refusals=1)

    decision = observe(card(presence(A, 80), b, balance_minor=80), b=replace(seen(100), **changed))  # type: ignore[arg-type]

    p = decision.card.presence(B)
    assert (p.stale, p.refusal, p.refusals, p.hold) == (False, None, 0, None)


def test_given_a_marker_that_is_copied_from_another_card_then_it_is_told_and_is_nobodys_effect() -> None:
    entries = (Entry("e1", -20, NOW, "gs-8"), Entry("e2", -5, NOW, "gs-9"))
    known = {"gs-8": KnownMarker(-20, 0, copied=True), "gs-7": KnownMarker(50, 0, copied=True)}
    shown = {A: seen(75, entries=entries, created_by="gs-7")}

    decision = protocol.observe(card(), shown, RULES, TODAY, known)

    assert moves(decision) == [("observed", A, -25, -25, 75)]
    assert decision.conflicts == (causes.copied(A, "gs-7"), causes.copied(A, "gs-8"))
    read = card(presence(A, book_cursor="e2"), presence(B))
    assert protocol.observe(read, {A: seen(entries=entries)}, RULES, TODAY, known) == Decision(read)


def test_given_a_create_that_was_taken_back_and_landed_then_the_card_there_is_ours() -> None:
    there = seen(
        90, native_id="x-7", expires_on=SOON, created_by="gs-7", entries=(Entry("e1", -10, NOW, None),)
    )
    c = card(presence(A, shadow_expires_on=SOON), to_create(B, contact=BUYER), expires_on=SOON)

    decision = protocol.observe(c, {B: there}, RULES, TODAY, {"gs-7": KnownMarker(100, 0)})

    assert moves(decision) == [("echo", B, 0, 100, 100), ("observed", B, -10, -10, 90)]
    assert decision.movements[0].evidence == {"marker": "gs-7", "times": 1}
    assert decision.card.presence(B) == presence(
        B, 90, native_id="x-7", shadow_expires_on=SOON, contact=BUYER, book_cursor="e1"
    )
    assert decision.intent_changes == (IntentChange("gs-7", APPLIED, "landed after all", landings=1),)
    assert decision.intents == (NewIntent(B, EffectKind.NOTIFY), NewIntent(A, EffectKind.DEBIT, -10))


@pytest.mark.parametrize("known", [0, 1])
def test_given_a_marker_that_is_listed_more_often_then_each_time_too_many_is_undone(known: int) -> None:
    entries = tuple(Entry(f"e{n}", -20, NOW, "gs-1") for n in range(3))
    c = card(presence(A, 80), presence(B, 80), balance_minor=80)
    missing = (3 - known) * -20

    decision = protocol.observe(
        c, {B: seen(80 + missing, entries=entries)}, RULES, TODAY, {"gs-1": KnownMarker(-20, known)}
    )

    assert moves(decision) == [("echo", B, 0, missing, 80)]
    assert decision.intent_changes == (IntentChange("gs-1", APPLIED, "landed after all", landings=3),)
    assert decision.conflicts == (causes.duplicate(B, "gs-1", missing, 3 - known),)


@pytest.mark.parametrize(
    ("closing", "shadow", "ended"),
    [
        (Closing.PROPAGATE, ACTIVE, 100),  # It closes the card: its money ends.
        (Closing.CONFLICT, ACTIVE, 0),  # It is closed there alone, and the money stays.
        (Closing.PROPAGATE, CLOSED, 0),  # It was closed before.
    ],
)
def test_given_a_side_that_empties_a_card_as_it_closes_it_then_the_money_ends_once(
    closing: Closing, shadow: CardStatus, ended: int
) -> None:
    c = card(presence(A, shadow_status=shadow), presence(B))

    decision = observe(c, LinkRules(RULES.sides, closing=closing), a=seen(0, status=CLOSED), b=seen())

    assert moves(decision)[0] == ("closed", A, -ended, -100, 100 - ended)


def test_given_a_side_that_emptied_more_than_the_hub_has_then_no_more_than_that_ends() -> None:
    c = card(presence(A, 100), presence(B, 30), balance_minor=30)

    decision = observe(c, a=seen(0, status=CLOSED))

    assert moves(decision) == [("closed", A, -30, -100, 0)]
    assert decision.movements[0].evidence == {"shown_minor": 0, "shadow_minor": 100}


def test_given_a_closed_side_that_shows_less_but_not_nothing_then_somebody_spent_it() -> None:
    decision = observe(card(), a=seen(40, status=CLOSED))

    assert moves(decision) == [("observed", A, -60, -60, 40), ("closed", A, -40, 0, 0)]


# --- Shortfalls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "settled"), [(Overdraft.ASK, None), (Overdraft.WRITE_OFF, "write_off")])
def test_given_a_shortfall_then_the_policy_says_whether_a_person_is_asked(
    policy: Overdraft, settled: str | None
) -> None:
    decision = observe(card(), LinkRules(RULES.sides, overdraft=policy), a=seen(30), b=seen(10))

    (conflict,) = decision.conflicts
    assert (conflict.settled, conflict.amount_minor) == (settled, 60)
    assert decision.movements[-1].evidence == {"shortfall_minor": 60}


# --- A ledger that is behind --------------------------------------------------------------------------------


def test_given_a_card_that_a_newer_ledger_made_then_it_is_this_ones_and_is_looked_at_next() -> None:
    effect = LostEffect("gs-9", 100, "order 7")
    traces = Traces(made={B: effect})
    c = card(presence(A), to_create(B, stale=True, contact=BUYER), behind=True)

    decision = protocol.observe(
        c, {B: seen(70, native_id="x-7", expires_on=SOON, status=SUSPENDED)}, RULES, TODAY, {}, traces
    )

    b = presence(B, 100, native_id="x-7", shadow_expires_on=SOON, book_cursor="")
    assert decision == Decision(
        card(presence(A), b, behind=True),
        intents=(NewIntent(B, EffectKind.CREATE, 100, lost=effect),),
    )


def test_given_a_card_of_the_same_number_that_nobody_of_ours_made_then_it_is_first_contact() -> None:
    c = card(presence(A), to_create(B), behind=True)

    decision = protocol.observe(c, {B: seen(100)}, RULES, TODAY, {}, Traces(made={B: None}))

    assert moves(decision) == [("adopted", B, 0, 100, 100)]
    assert decision.card.presence(B).born
    absent = protocol.observe(c, {B: Absent(NOW)}, RULES, TODAY, {}, Traces(made={B: None}))
    assert absent == Decision(c)


# --- Whether a side shows the shadow ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "shown", "by_date", "same"),
    [
        ({}, {}, False, True),
        ({}, {"currency": "SEK"}, False, False),
        ({}, {"balance_minor": 99}, False, False),
        ({}, {"status": SUSPENDED}, False, False),
        ({}, {"expires_on": SOON}, False, False),
        ({}, {"expires_on": SOON}, True, False),
        ({"shadow_status": SUSPENDED}, {"status": SUSPENDED, "expires_on": SOON}, True, True),
        ({"shadow_status": SUSPENDED}, {"status": SUSPENDED, "expires_on": SOON}, False, False),
        ({"shadow_status": SUSPENDED}, {"status": SUSPENDED, "balance_minor": 9}, True, False),
        # What a closed card still shows is nothing to bring in step.
        ({"shadow_status": CLOSED}, {"status": CLOSED, "balance_minor": 9, "expires_on": SOON}, False, True),
        ({"shadow_status": CLOSED}, {}, False, False),
        ({}, {"status": CLOSED}, False, False),
    ],
)
def test_given_what_a_side_shows_then_it_is_compared_with_the_shadow_field_by_field(
    there: dict[str, object], shown: dict[str, object], by_date: bool, same: bool
) -> None:
    assert matches_shadow(presence(A, **there), replace(seen(), **shown), "NOK", by_date) is same  # type: ignore[arg-type]


# --- The second book ----------------------------------------------------------------------------------------


def test_given_many_entries_then_the_last_twenty_are_shown_and_all_are_counted() -> None:
    entries = tuple(Entry(f"e{n}", -1, NOW, None, f"order {n}") for n in range(25))

    facts = evidence.explain(presence(A, 100), seen(70, entries=entries), -30, {})

    assert facts == {
        "shown_minor": 70,
        "shadow_minor": 100,
        "entries": [{"id": f"e{n}", "amount_minor": -1, "label": f"order {n}"} for n in range(5, 25)],
        "explained_minor": -25,
        "unexplained_minor": -5,
    }


def test_given_a_reader_of_plans_then_shadows_and_sums_agree() -> None:
    decision = observe(card(presence(A), presence(B), presence(C)), a=seen(70), b=seen(), c=seen())

    assert (plans(decision), shadows(decision)) == (
        [(B, "debit", -30), (C, "debit", -30)],
        {A: 70, B: 70, C: 70},
    )


# --- The edges of what is owed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owed", "rules", "planned"),
    [
        (1, {}, [(B, "credit", 1)]),
        (-1, {}, [(B, "debit", -1)]),
        (1, {"debits": False}, [(B, "credit", 1)]),
        (1, {"credits": False}, []),
        (-1, {"credits": False}, [(B, "debit", -1)]),
        (-1, {"debits": False}, []),
        (1, {"card_limit_minor": 100}, []),
        (0, {"card_limit_minor": 99}, []),
    ],
)
def test_given_the_smallest_amount_then_it_is_owed_too(
    owed: int, rules: dict[str, object], planned: list[tuple[str, str, int]]
) -> None:
    decision = observe(card(), rules_for(B, **rules), a=seen(100 + owed), b=seen())

    assert plans(decision) == planned
    told = {} if planned or not owed else {"not_writable:b", "over_limit:b"}
    assert {one.cause for one in decision.conflicts} <= set(told)
    assert (decision.conflicts == ()) is (bool(planned) or owed == 0)


@pytest.mark.parametrize(("owed", "allowed"), [(20, True), (20, False), (-20, True), (-20, False)])
def test_given_money_that_cannot_be_written_then_it_is_told_whether_the_link_or_the_card_forbids_it(
    owed: int, allowed: bool
) -> None:
    b = presence(B, shadow_status=SUSPENDED)
    rules = rules_for(
        B, credits=allowed, debits=allowed, sets_status=frozenset(), writes_status=False, tells_status=False
    )
    c = card(presence(A), b)

    decision = observe(c, rules, a=seen(100 + owed))

    after = replace(c, balance_minor=100 + owed, presences=(presence(A, 100 + owed), b))
    assert decision.conflicts == (causes.not_writable(after, b, owed, allowed=allowed),)


def test_given_a_shortfall_of_one_then_it_is_written_off() -> None:
    decision = observe(card(), a=seen(49), b=seen(50))

    assert moves(decision)[-1] == ("write_off", None, 1, 0, 0)


@pytest.mark.parametrize(
    ("balance_minor", "expires_on", "creates"),
    [(1, None, True), (0, None, False), (100, TODAY, True), (100, TODAY - timedelta(days=1), False)],
)
def test_given_a_card_that_is_just_worth_creating_then_it_is_made_with_all_that_it_is(
    balance_minor: int, expires_on: object, creates: bool
) -> None:
    shown = replace(seen(balance_minor), expires_on=expires_on)  # type: ignore[arg-type]

    decision = meet({A: shown}, to_create(B, brand="gold", note="Shopify 4000", shadow_status=INACTIVE))

    if not creates:
        assert decision.intents == ()
        return
    create = NewIntent(
        B, EffectKind.CREATE, balance_minor, expires_on=shown.expires_on, note="Shopify 4000", brand="gold"
    )
    assert decision.intents == (create,)
    b = decision.card.presence(B)
    assert (b.shadow_minor, b.shadow_status, b.shadow_expires_on) == (balance_minor, ACTIVE, shown.expires_on)


@pytest.mark.parametrize(("serial", "assigns", "creates"), [(None, True, True), (None, False, False)])
def test_given_no_number_then_only_a_side_that_assigns_one_is_asked_for_the_card(
    serial: None, assigns: bool, creates: bool
) -> None:
    rules = rules_for(B, assigns_numbers=assigns)

    assert (plans(meet({A: seen()}, to_create(B, serial=serial), rules=rules)) != []) is creates


def test_given_sides_that_may_not_be_written_then_those_behind_them_are() -> None:
    c = card(
        presence(A, stale=True),
        presence(B, hold=Hold.MISSING),
        presence("x"),
        presence(C),
    )

    assert plans(protocol.settle(replace(c, balance_minor=90), RULES, TODAY)) == [(C, "debit", -10)]


@pytest.mark.parametrize(
    ("by_date", "status", "shadow", "planned"),
    [
        # Lifting the suspension brings the date along.
        (True, SUSPENDED, SUSPENDED, []),
        (True, ACTIVE, SUSPENDED, ["set_status"]),
        (True, ACTIVE, ACTIVE, ["set_expiry"]),
        (False, SUSPENDED, SUSPENDED, ["set_expiry"]),
    ],
)
def test_given_a_side_that_suspends_by_date_then_a_suspended_card_is_given_no_date(
    by_date: bool, status: CardStatus, shadow: CardStatus, planned: list[str]
) -> None:
    a = presence(A, shadow_status=status, shadow_expires_on=SOON)
    c = card(a, presence(B, shadow_status=shadow, shadow_expires_on=LATER), status=status, expires_on=SOON)

    decision = protocol.settle(c, rules_for(B, suspends_by_date=by_date), TODAY)

    assert [intent.kind.value for intent in decision.intents] == planned
    assert decision.card.presence(B).shadow_expires_on == SOON


def test_given_a_day_then_settling_knows_what_has_expired() -> None:
    c = card(presence(A, 80, shadow_expires_on=SOON), presence(B, shadow_expires_on=SOON), expires_on=SOON)
    c = replace(c, balance_minor=80)

    assert plans(protocol.settle(c, RULES, SOON)) == [(B, "debit", -20)]
    assert plans(protocol.settle(c, RULES, SOON + timedelta(days=1))) == []


@pytest.mark.parametrize(("closed", "by"), [((A,), A), ((B,), B), ((), None)])
def test_given_a_closed_card_with_money_then_it_ends_where_it_was_closed(
    closed: tuple[str, ...], by: str | None
) -> None:
    both = tuple(presence(side, shadow_status=CLOSED if side in closed else ACTIVE) for side in (A, B))

    decision = protocol.settle(card(*both, status=CLOSED), RULES, TODAY)

    assert moves(decision)[0] == ("closed", by, -100, 0, 0)


@pytest.mark.parametrize("settable", [True, False])
def test_given_a_closed_card_then_its_money_is_taken_off_a_side_only_if_it_cannot_be_closed_there(
    settable: bool,
) -> None:
    c = card(presence(A, 0, shadow_status=CLOSED), presence(B, shadow_status=SUSPENDED), status=CLOSED)
    rules = rules_for(B, sets_status=frozenset(CardStatus) if settable else frozenset({SUSPENDED}))

    decision = protocol.settle(replace(c, balance_minor=0), rules, TODAY)

    told = [one.kind for one in decision.conflicts]
    assert (ConflictKind.NOT_WRITABLE in told) is not settable
    known = replace(c, balance_minor=0, causes={"not_writable:b": 100})
    assert ("not_writable:b" in protocol.settle(known, rules, TODAY).causes_gone) is settable


def test_given_what_the_settings_forbid_now_then_it_says_why_it_goes() -> None:
    planned = replace(DEBIT, state=PLANNED)

    decision = protocol.withdrawn(promised(planned), rules_for(B, debits=False))

    why = "the settings do not allow it any more"
    assert decision.intent_changes == (IntentChange("gs-1", WITHDRAWN, why),)


def test_given_a_card_that_is_born_then_what_stands_behind_a_forbidden_create_stays() -> None:
    create = Intent("gs-1", B, EffectKind.CREATE, PLANNED, 1, 80)
    credit = Intent("gs-2", B, EffectKind.CREDIT, PLANNED, 2, 5)

    decision = protocol.withdrawn(promised(create, credit), rules_for(B, creates=False))

    assert [change.marker for change in decision.intent_changes] == ["gs-1"]


def test_given_a_card_that_one_side_closed_then_what_the_others_spent_counts_before_it_ends() -> None:
    decision = observe(card(), a=seen(0, status=CLOSED), b=seen(70))

    assert moves(decision) == [("observed", B, -30, -30, 70), ("closed", A, -70, -100, 0)]


def test_given_a_create_that_the_side_does_not_have_then_it_may_be_planned_again() -> None:
    b = to_create(B, stale=True, unreadable=1, refusal=Refusal.TAKEN, refusals=1)
    c = replace(card(presence(A), b), causes={"unreadable:b": 1})

    decision = observe(c, b=Absent(NOW))

    assert plans(decision) == [(B, "create", 100)]
    assert decision.card.presence(B) == replace(to_create(B), shadow_minor=100)
    assert decision.causes_gone == ("unreadable:b",)


@pytest.mark.parametrize(
    ("shown", "born"),
    [
        (seen(0, status=INACTIVE), False),  # A number of the pool.
        (seen(0), True),
        (seen(5, status=INACTIVE), True),
    ],
    ids=["pool", "empty", "loaded"],
)
def test_given_a_number_that_is_there_then_it_is_free_only_if_it_waits_to_be_issued(
    shown: Seen, born: bool
) -> None:
    c = card(presence(A, 100), to_create(B, stale=True, refusal=Refusal.TAKEN, refusals=1))

    assert observe(c, b=shown).card.presence(B).born is born


@pytest.mark.parametrize(("marker", "owned"), [("gs-7", True), ("gs-6", False), (None, False)])
def test_given_a_card_where_one_was_to_be_made_then_it_is_ours_only_by_a_marker_of_this_card(
    marker: str | None, owned: bool
) -> None:
    c = card(presence(A), to_create(B))
    shown = {B: seen(100, created_by=marker)}

    decision = protocol.observe(c, shown, RULES, TODAY, {"gs-7": KnownMarker(100, 0)})

    assert moves(decision) == [("echo" if owned else "adopted", B, 0, 100, 100)]


def test_given_our_create_stands_among_its_entries_then_it_is_counted_once() -> None:
    c = card(presence(A), to_create(B))
    shown = {B: seen(100, created_by="gs-7", entries=(Entry("e1", 100, NOW, "gs-7"),))}

    decision = protocol.observe(c, shown, RULES, TODAY, {"gs-7": KnownMarker(100, 0)})

    assert moves(decision) == [("echo", B, 0, 100, 100)]


def test_given_a_card_of_another_number_there_then_it_is_told_with_its_worth() -> None:
    b = to_create(B, serial=Serial("99999999"), stale=True)
    c = card(presence(A), b)

    decision = observe(c, b=seen(500))

    held = replace(b, hold=Hold.REFUSED)
    assert decision == Decision(card(presence(A), held), conflicts=(causes.number_of_another(b, 100),))


@pytest.mark.parametrize(("balance_minor", "cursor"), [(90, "e2"), (100, "e1")])
def test_given_a_look_then_the_book_is_read_up_to_what_explains_a_change(
    balance_minor: int, cursor: str
) -> None:
    entries = (Entry("e1", -5, NOW, None), Entry("e2", -10, NOW, None, "order 7"))
    c = card(presence(A, book_cursor="e1"), presence(B))

    decision = observe(c, a=seen(balance_minor, native_id="x-8", entries=entries))

    p = decision.card.presence(A)
    assert (p.native_id, p.book_cursor) == ("x-8", cursor)
    if decision.movements:
        assert decision.movements[0].evidence == {
            "shown_minor": 90,
            "shadow_minor": 100,
            "entries": [{"id": "e2", "amount_minor": -10, "label": "order 7"}],
            "explained_minor": -10,
            "unexplained_minor": 0,
        }


@pytest.mark.parametrize("ours", [True, False])
def test_given_a_closed_side_that_lists_what_emptied_it_then_that_is_kept(ours: bool) -> None:
    entries = (Entry("e1", -100, NOW, "gs-3" if ours else None),)

    decision = protocol.observe(
        card(),
        {A: seen(0, status=CLOSED, entries=entries)},
        RULES,
        TODAY,
        {"gs-3": KnownMarker(-100, 1)},
    )

    assert decision.movements[0].evidence["unexplained_minor"] == (-100 if ours else 0)


@pytest.mark.parametrize("hold", [Hold.CURRENCY, Hold.STATUS, Hold.MISSING, Hold.OTHER_CARD])
def test_given_a_hold_that_the_look_ends_then_its_conflict_goes_and_it_is_written_again(hold: Hold) -> None:
    cause = causes.of_hold(B, hold)
    assert cause is not None
    c = card(presence(A, 80), presence(B, hold=hold), balance_minor=80, causes={cause: 1})

    decision = observe(c, b=seen(100))

    assert (decision.causes_gone, plans(decision)) == ((cause,), [(B, "debit", -20)])


# --- What a newer ledger did --------------------------------------------------------------------------------


def test_given_effects_of_a_newer_ledger_then_they_move_the_shadows_and_each_repetition_is_an_echo() -> None:
    lost_debit, lost_credit = LostEffect("gs-8", -20, "tx 8"), LostEffect("gs-9", 5, "tx 9")
    smallest = LostEffect("gs-7", 1)
    draft = Draft(card(presence(A), presence(B), behind=True))
    books = [
        lost.Book(A, ours=(lost_debit, lost_debit, lost_debit, lost_credit), hidden_minor=-3),
        lost.Book(B, ours=(smallest,)),
    ]

    marked = protocol.adopt_lost(draft, books)

    assert marked == {"gs-8": KnownMarker(-20, 3), "gs-9": KnownMarker(5, 1), "gs-7": KnownMarker(1, 1)}
    assert draft.intents == [
        NewIntent(A, EffectKind.DEBIT, -20, lost=lost_debit),
        NewIntent(A, EffectKind.CREDIT, 5, lost=lost_credit),
        NewIntent(B, EffectKind.CREDIT, 1, lost=smallest),
    ]
    decision = draft.decision()
    assert moves(decision) == [("echo", A, 0, -20, 100), ("echo", A, 0, -20, 100), ("adopted", A, 0, -3, 100)]
    assert [one.evidence for one in decision.movements] == [
        {"marker": "gs-8"},
        {"marker": "gs-8"},
        {"hidden": "all sides show the same, so a newer ledger had carried this over"},
    ]
    assert decision.card == card(presence(A, 42), presence(B, 101))


def test_given_a_card_that_was_behind_then_every_book_is_read_to_its_end() -> None:
    draft = Draft(card(presence(A, book_cursor="e0"), presence(B, book_cursor="f0")))

    protocol.read_to_the_end(
        draft, {A: Absent(NOW), B: seen(entries=(Entry("f1", 5, NOW, None), Entry("f2", -5, NOW, None)))}
    )

    assert draft.card == card(presence(A, book_cursor="e0"), presence(B, book_cursor="f2"))


def test_given_several_cards_that_a_newer_ledger_made_then_one_that_cannot_be_seen_keeps_none_back() -> None:
    effect = LostEffect("gs-9", 100)
    made = {A: effect, B: None, C: effect}
    c = card(to_create(A), to_create(B), to_create(C), behind=True, balance_minor=100)

    first = protocol.observe(c, {B: seen(), C: seen()}, RULES, TODAY, {}, Traces(made=made))

    assert [first.card.presence(side).born for side in (A, B, C)] == [False, True, True]
