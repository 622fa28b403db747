"""Status and expiry: what is taken in, what is owed, and what a person has to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.api.effect import EffectKind
from mappings.lifecycle import CardStatus
from sync.decisions import causes, status_and_expiry
from sync.decisions.draft import Draft
from sync.model import (
    Card,
    Closing,
    Decision,
    Intent,
    IntentState,
    NewIntent,
    SideRules,
)
from tests.unit.decisions.test_decide import (
    ACTIVE,
    CLOSED,
    INACTIVE,
    LATER,
    SOON,
    SUSPENDED,
    A,
    B,
    card,
    observe,
    plans,
    presence,
    rules_for,
    seen,
    to_create,
)

# --- Status and expiry --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "dated", "status_of_card", "expires"),
    [
        (SUSPENDED, True, SUSPENDED, None),
        (SUSPENDED, False, SUSPENDED, SOON),
        (CLOSED, True, CLOSED, None),
        (CLOSED, False, CLOSED, None),
        (ACTIVE, True, ACTIVE, SOON),
        (ACTIVE, False, ACTIVE, SOON),
    ],
)
def test_given_a_status_and_a_date_then_the_date_counts_only_if_it_is_the_cards_own(
    status: CardStatus, dated: bool, status_of_card: CardStatus, expires: object
) -> None:
    decision = observe(
        card(), rules_for(A, suspends_by_date=dated), a=seen(status=status, expires_on=SOON), b=seen()
    )

    assert (decision.card.status, decision.card.expires_on) == (status_of_card, expires)
    assert decision.card.presence(A).shadow_expires_on == expires


def test_given_an_inactive_card_that_was_never_active_then_it_stays_so() -> None:
    c = card(presence(A, shadow_status=INACTIVE), presence(B, shadow_status=INACTIVE), status=INACTIVE)

    assert observe(c, a=seen(status=INACTIVE)) == Decision(c)


@pytest.mark.parametrize(
    ("c", "closing", "tells", "closes"),
    [
        (card(), Closing.PROPAGATE, True, True),
        (card(), Closing.CONFLICT, True, False),
        (card(), Closing.PROPAGATE, False, False),
        # Every other side has closed it, or does not have it.
        (card(presence(A), presence(B, shadow_status=CLOSED)), Closing.CONFLICT, True, True),
        (card(presence(A), to_create(B)), Closing.CONFLICT, True, True),
        (card(status=CLOSED), Closing.CONFLICT, True, True),
        # Another side has suspended it, and there is money on it.
        (card(status=SUSPENDED), Closing.PROPAGATE, True, False),
        (card(status=SUSPENDED, balance_minor=0), Closing.PROPAGATE, True, True),
        (card(status=SUSPENDED, balance_minor=1), Closing.PROPAGATE, True, False),
        (
            card(presence(A, shadow_status=CLOSED), presence(B), status=SUSPENDED),
            Closing.PROPAGATE,
            True,
            True,
        ),
    ],
)
def test_given_a_side_that_closes_a_card_then_it_is_closed_everywhere_or_there_alone(
    c: Card, closing: Closing, tells: bool, closes: bool
) -> None:
    rules = replace(rules_for(A, tells_status=tells), closing=closing)

    assert status_and_expiry.closes_card(c, A, rules) is closes


def test_given_two_statuses_then_what_is_told_has_both_and_the_money_that_ends() -> None:
    c = card(presence(A), presence(B), status=SUSPENDED, balance_minor=0)

    decision = observe(c, a=seen(100, status=CLOSED))

    assert decision.card.status is CLOSED
    assert decision.conflicts == (causes.status(c, A, CLOSED, CLOSED, 0),)


def test_given_a_side_whose_status_does_not_count_then_only_its_shadow_follows() -> None:
    decision = observe(
        card(), rules_for(A, tells_status=False, sets_status=frozenset()), a=seen(status=SUSPENDED)
    )

    assert (decision.card.status, decision.card.presence(A).shadow_status) == (ACTIVE, SUSPENDED)


def test_given_a_side_whose_dates_do_not_count_then_only_its_shadow_follows() -> None:
    decision = observe(card(), rules_for(A, tells_expiry=False, sets_expiry=False), a=seen(expires_on=SOON))

    assert (decision.card.expires_on, decision.card.presence(A).shadow_expires_on) == (None, SOON)


def test_given_a_side_that_takes_no_dates_then_none_there_is_no_news_and_one_there_is() -> None:
    rules = rules_for(A, sets_expiry=False, takes_expiry=False, follows_expiry=False)
    dated = card(presence(A, shadow_expires_on=SOON), presence(B, shadow_expires_on=SOON), expires_on=SOON)

    decision = observe(dated, rules, a=seen(expires_on=None))
    assert (decision.card.expires_on, decision.card.presence(A).shadow_expires_on) == (SOON, None)
    assert (plans(decision), decision.card.is_in_step(), decision.card.is_in_step(rules.own_dates)) == (
        [],
        False,
        True,
    )

    decision = observe(dated, rules, a=seen(expires_on=LATER))
    assert (decision.card.expires_on, plans(decision)) == (LATER, [(B, "set_expiry", 0)])


@pytest.mark.parametrize(
    ("of_card", "there", "rules", "owed"),
    [
        # Lifting comes before money, restricting after.
        ({"expires_on": LATER}, {"shadow_expires_on": SOON}, {}, [("set_expiry", True)]),
        ({"expires_on": None}, {"shadow_expires_on": SOON}, {}, [("set_expiry", True)]),
        ({"expires_on": SOON}, {"shadow_expires_on": LATER}, {}, [("set_expiry", False)]),
        ({"expires_on": SOON}, {"shadow_expires_on": None}, {}, [("set_expiry", False)]),
        ({"expires_on": SOON}, {"shadow_expires_on": SOON}, {}, []),
        ({"expires_on": SOON}, {}, {"sets_expiry": False}, []),
        ({"status": ACTIVE}, {"shadow_status": SUSPENDED}, {}, [("set_status", True)]),
        ({"status": SUSPENDED}, {}, {}, [("set_status", False)]),
        ({"status": CLOSED}, {}, {}, [("set_status", False)]),
        ({"status": SUSPENDED}, {}, {"writes_status": False}, []),
        ({"status": SUSPENDED}, {}, {"sets_status": frozenset({CLOSED})}, []),
        ({"status": SUSPENDED}, {}, {"suspends_as": CLOSED}, [("set_status", False)]),
        ({"status": ACTIVE, "expires_on": SOON}, {"shadow_status": CLOSED}, {}, []),
        ({"status": SUSPENDED, "expires_on": SOON}, {}, {}, [("set_expiry", False), ("set_status", False)]),
    ],
)
def test_given_a_field_that_differs_then_it_is_owed_before_or_after_the_money(
    of_card: dict[str, object],
    there: dict[str, object],
    rules: dict[str, object],
    owed: list[tuple[str, bool]],
) -> None:
    c, p = card(**of_card), presence(B, **there)  # type: ignore[arg-type]

    planned = status_and_expiry.owed(c, p, replace(SideRules(), **rules))  # type: ignore[arg-type]

    assert [(intent.kind.value, relaxes) for intent, relaxes in planned] == owed
    for intent, _ in planned:
        if intent.kind is EffectKind.SET_EXPIRY:
            assert (intent.side, intent.expires_on, intent.expires_before, intent.status) == (
                B,
                c.expires_on,
                p.shadow_expires_on,
                None,
            )
        else:
            assert intent.status is (rules.get("suspends_as") or c.status)
            assert (intent.side, intent.expires_on, intent.status_before) == (
                B,
                c.expires_on,
                p.shadow_status,
            )


@pytest.mark.parametrize("kind", EffectKind)
@pytest.mark.parametrize("allowed", [True, False])
def test_given_what_a_side_allows_then_only_that_is_written(kind: EffectKind, allowed: bool) -> None:
    field = {
        EffectKind.CREATE: "creates",
        EffectKind.CREDIT: "credits",
        EffectKind.DEBIT: "debits",
        EffectKind.SET_STATUS: "writes_status",
        EffectKind.SET_EXPIRY: "sets_expiry",
    }.get(kind)
    rules = SideRules() if field is None else replace(SideRules(), **{field: allowed})  # type: ignore[arg-type]
    intent = Intent("gs-1", B, kind, IntentState.PLANNED, 1, status=SUSPENDED)

    assert status_and_expiry.allows(rules, intent) is (allowed or field is None)


@pytest.mark.parametrize(
    ("writes", "settable", "allowed"),
    [(True, {SUSPENDED}, True), (True, {CLOSED}, False), (False, {SUSPENDED}, False)],
)
def test_given_a_status_then_it_is_written_where_it_can_be_and_may_be(
    writes: bool, settable: set[CardStatus], allowed: bool
) -> None:
    rules = SideRules(writes_status=writes, sets_status=frozenset(settable))
    intent = Intent("gs-1", B, EffectKind.SET_STATUS, IntentState.PLANNED, 1, status=SUSPENDED)

    assert status_and_expiry.allows(rules, intent) is allowed
    assert status_and_expiry.allows_status(rules, SUSPENDED) is allowed


@pytest.mark.parametrize(
    ("of_card", "there", "rules", "told", "gone"),
    [
        ({}, {}, {}, None, {"alone", "not_settable"}),
        ({}, {"shadow_status": CLOSED}, {}, "alone", set()),
        ({"status": CLOSED}, {"shadow_status": CLOSED}, {}, None, {"alone", "not_settable"}),
        ({"status": SUSPENDED}, {}, {}, None, {"alone", "not_settable"}),
        ({"status": SUSPENDED}, {}, {"sets_status": frozenset()}, "not_settable", {"alone"}),
        (
            {"status": SUSPENDED},
            {},
            {"sets_status": frozenset(), "writes_status": False},
            None,
            {"alone", "not_settable"},
        ),
        (
            {"status": SUSPENDED},
            {"shadow_status": SUSPENDED},
            {"sets_status": frozenset()},
            None,
            {"alone", "not_settable"},
        ),
    ],
)
def test_given_a_status_that_only_a_person_can_set_then_they_are_told_until_it_is_set(
    of_card: dict[str, object],
    there: dict[str, Any],
    rules: dict[str, object],
    told: str | None,
    gone: set[str],
) -> None:
    cause = {"alone": causes.alone(B), "not_settable": causes.not_settable(B)}
    p = presence(B, **there)
    draft = Draft(card(presence(A), p, **of_card))  # type: ignore[arg-type]

    status_and_expiry.tell_of_status(draft, p, replace(SideRules(), **rules))  # type: ignore[arg-type]

    assert [conflict.cause for conflict in draft.conflicts] == ([] if told is None else [cause[told]])
    assert set(draft.causes_gone) == {cause[one] for one in gone}


def test_given_an_intent_is_promised_then_the_shadow_has_the_field_that_it_sets() -> None:
    draft = Draft(card())
    status = NewIntent(B, EffectKind.SET_STATUS, status=SUSPENDED, expires_on=SOON)
    expiry = NewIntent(B, EffectKind.SET_EXPIRY, expires_on=LATER)

    status_and_expiry.promise(draft, B, status)
    assert draft.presence(B) == presence(B, shadow_status=SUSPENDED)
    status_and_expiry.promise(draft, B, expiry)

    assert draft.card == card(presence(A), presence(B, shadow_status=SUSPENDED, shadow_expires_on=LATER))
    assert draft.intents == [status, expiry]


@pytest.mark.parametrize(
    ("one", "other", "earlier"),
    [(None, None, None), (SOON, None, SOON), (None, SOON, SOON), (SOON, LATER, SOON), (LATER, SOON, SOON)],
)
def test_given_two_dates_then_the_more_restrictive_counts(
    one: object, other: object, earlier: object
) -> None:
    assert status_and_expiry.earlier(one, other) == earlier  # type: ignore[arg-type]
