"""What each outcome of an intent writes into the ledger: every field of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.api.effect import EffectKind
from connectors.api.errors import Refusal
from mappings.serials import Serial
from sync.decisions import causes, protocol
from sync.decisions.draft import Draft
from sync.decisions.promises import is_untried, withdraw
from sync.model import (
    ConflictKind,
    Decision,
    Intent,
    IntentChange,
    IntentState,
    NewConflict,
    NewIntent,
    Presence,
)
from tests.unit.decisions.test_decide import (
    ACTIVE,
    BUYER,
    CLOSED,
    LATER,
    NOW,
    SOON,
    SUSPENDED,
    A,
    B,
    C,
    card,
    moves,
    presence,
    promised,
    to_create,
)
from tests.unit.decisions.test_decide import TRIED as DEBIT

UNTIL, LOOK = NOW + timedelta(seconds=60), NOW + timedelta(seconds=5)
SENT, PLANNED, IN_DOUBT = IntentState.SENT, IntentState.PLANNED, IntentState.IN_DOUBT
APPLIED, REFUSED, WITHDRAWN = IntentState.APPLIED, IntentState.REFUSED, IntentState.WITHDRAWN


# --- An attempt: the intent's next state, and nothing else --------------------------------------------------

DOUBTED = replace(DEBIT, state=IN_DOUBT, not_before=UNTIL, refusal=Refusal.NOT_ACTIVE)


@pytest.mark.parametrize(
    ("decide", "change"),
    [
        (lambda c: protocol.sent(c, DEBIT), IntentChange("gs-1", SENT)),
        (
            lambda c: protocol.not_sent(c, DEBIT, "no connection", UNTIL),
            IntentChange("gs-1", PLANNED, "no connection", not_before=UNTIL),
        ),
        (
            lambda c: protocol.not_sent(c, DEBIT, "no connection", UNTIL, postponed=3),
            IntentChange("gs-1", PLANNED, "no connection", not_before=UNTIL, postponed=3),
        ),
        (
            lambda c: protocol.doubt(c, DEBIT, "no answer", UNTIL),
            IntentChange("gs-1", IN_DOUBT, "no answer", doubted=True, not_before=UNTIL),
        ),
        (
            lambda c: protocol.doubt(c, DEBIT, "no answer", UNTIL, Refusal.OTHER, look_at=LOOK),
            IntentChange(
                "gs-1",
                IN_DOUBT,
                "no answer",
                doubted=True,
                not_before=UNTIL,
                look_at=LOOK,
                refusal=Refusal.OTHER,
            ),
        ),
        (
            lambda c: protocol.look_again(c, DOUBTED, "not asked", LOOK),
            IntentChange(
                "gs-1", IN_DOUBT, "not asked", not_before=UNTIL, look_at=LOOK, refusal=Refusal.NOT_ACTIVE
            ),
        ),
        (
            lambda c: protocol.ask_again(c, DEBIT, "no answer", UNTIL),
            IntentChange("gs-1", PLANNED, "no answer", doubted=True, not_before=UNTIL, postponed=3),
        ),
        (
            lambda c: protocol.unclear(c, replace(DEBIT, unclear_reads=0), "no notes", UNTIL),
            IntentChange("gs-1", IN_DOUBT, "no notes", not_before=UNTIL, unclear_reads=1),
        ),
        (
            lambda c: protocol.absent(c, DEBIT),
            IntentChange("gs-1", PLANNED, "read back: it did not land"),
        ),
    ],
    ids=["sent", "not sent", "postponed", "doubt", "look", "not asked", "ask again", "unclear", "absent"],
)
def test_given_an_attempt_then_only_the_intent_changes_and_all_of_this_is_kept_of_it(
    decide: object, change: IntentChange
) -> None:
    c = promised(DEBIT)

    assert decide(c) == Decision(c, intent_changes=(change,))  # type: ignore[operator]


def test_given_a_second_look_that_cannot_tell_then_the_third_asks_a_person() -> None:
    c, second, third = promised(DEBIT), replace(DEBIT, unclear_reads=1), replace(DEBIT, unclear_reads=2)

    assert protocol.unclear(c, second, "no notes", UNTIL).conflicts == ()
    asked = protocol.unclear(c, third, "no notes", UNTIL)
    assert asked.conflicts == (causes.in_doubt(third, "no notes"),)
    assert asked.intent_changes[0].unclear_reads == 3


def test_given_a_refusal_then_all_of_it_is_kept_and_the_id_of_the_card_that_is_there() -> None:
    c = promised(DEBIT, native_id=None, refusals=1)

    decision = protocol.refuse(c, DEBIT, Refusal.TAKEN, "in use", "x-7")

    b = presence(B, 100, native_id="x-7", stale=True, refusal=Refusal.TAKEN, refusals=2)
    assert decision == Decision(
        card(presence(A, 80), b, balance_minor=80),
        intent_changes=(IntentChange("gs-1", REFUSED, "in use", refusal=Refusal.TAKEN),),
    )
    known = protocol.refuse(promised(DEBIT), DEBIT, Refusal.TAKEN, "in use", "x-7").card.presence(B)
    assert known.native_id == "x-1"


def test_given_a_refusal_then_what_waits_before_it_stays() -> None:
    before = Intent("gs-0", B, EffectKind.SET_STATUS, PLANNED, 0, status=ACTIVE, status_before=SUSPENDED)

    decision = protocol.refuse(promised(before, DEBIT), DEBIT, Refusal.OTHER, "no")

    assert decision.card.presence(B).open_intents == (before,)
    assert [change.marker for change in decision.intent_changes] == ["gs-1"]


def test_given_a_refusal_then_what_rests_on_it_says_why_it_goes() -> None:
    behind = Intent("gs-2", B, EffectKind.CREDIT, PLANNED, 2, 5)

    changes = protocol.refuse(promised(DEBIT, behind), DEBIT, Refusal.OTHER, "no").intent_changes

    assert changes == (
        IntentChange("gs-2", WITHDRAWN, "an earlier intent was refused"),
        IntentChange("gs-1", REFUSED, "no", refusal=Refusal.OTHER),
    )


def test_given_a_doubted_refusal_that_did_not_land_then_it_is_final_as_it_was() -> None:
    decision = protocol.absent(promised(DOUBTED), DOUBTED)

    why = "refused; an earlier attempt did not land"
    assert decision.intent_changes == (IntentChange("gs-1", REFUSED, why, refusal=Refusal.NOT_ACTIVE),)


def test_given_a_promise_that_the_hub_took_back_then_it_goes_with_what_rests_on_it() -> None:
    before = Intent("gs-0", B, EffectKind.CREDIT, PLANNED, 0, 7)
    taken_back = replace(DOUBTED, refusal=Refusal.TAKEN_BACK)
    makes_up = Intent("gs-2", B, EffectKind.CREDIT, PLANNED, 2, 20)
    tried = Intent("gs-3", B, EffectKind.CREDIT, SENT, 3, 3)
    c = promised(before, taken_back, makes_up, tried, shadow_minor=110)

    decision = protocol.absent(c, taken_back)

    why = "taken back; it did not land"
    assert decision == Decision(
        promised(before, tried, shadow_minor=110, stale=True),
        intent_changes=(IntentChange("gs-2", WITHDRAWN, why), IntentChange("gs-1", WITHDRAWN, why)),
    )


def test_given_a_create_that_landed_then_the_card_has_what_the_side_gave_it_and_its_buyer_is_told() -> None:
    create = Intent("gs-1", B, EffectKind.CREATE, SENT, 1, 80)
    assigned = Serial("87654321")
    c = promised(
        create,
        native_id=None,
        born=False,
        serial=None,
        last_chars="",
        contact=BUYER,
        refusal=Refusal.OTHER,
        refusals=2,
    )

    decision = protocol.land(c, create, 1, "x-9", "order 7", assigned)

    b = presence(B, 80, native_id="x-9", serial=assigned, last_chars="4321", contact=BUYER, book_cursor="")
    assert decision == Decision(
        card(presence(A, 80), b, balance_minor=80),
        intents=(NewIntent(B, EffectKind.NOTIFY),),
        intent_changes=(IntentChange("gs-1", APPLIED, "order 7", landings=1),),
    )


def test_given_a_create_that_landed_where_the_book_was_read_then_the_book_stays_read() -> None:
    create = Intent("gs-1", B, EffectKind.CREATE, SENT, 1, 80)

    assert protocol.land(promised(create, book_cursor="e4"), create, 1, "x-1").card.presence(B) == presence(
        B, 80, book_cursor="e4"
    )


def test_given_a_debit_that_landed_then_a_book_that_was_never_read_stays_unread_and_no_serial_is_taken() -> (
    None
):
    decision = protocol.land(promised(DEBIT, contact=BUYER), DEBIT, 1, "x-1", "tx 7", Serial("99999999"))

    assert decision == Decision(
        promised(contact=BUYER), intent_changes=(IntentChange("gs-1", APPLIED, "tx 7", landings=1),)
    )


def test_given_three_landings_then_two_of_them_are_too_many() -> None:
    decision = protocol.land(promised(DEBIT), DEBIT, 3, "x-1")

    assert moves(decision) == [("echo", B, 0, -40, 80)]
    assert decision.movements[0].evidence == {"marker": "gs-1", "times": 2}
    assert decision.conflicts == (causes.duplicate(B, "gs-1", -40, 2),)


def test_given_a_status_that_landed_twice_then_nobody_is_told() -> None:
    status = Intent("gs-1", B, EffectKind.SET_STATUS, SENT, 1, status=SUSPENDED, status_before=ACTIVE)

    decision = protocol.land(promised(status), status, 2, "x-1")

    assert (decision.movements, decision.conflicts) == ((), ())


@pytest.mark.parametrize("kind", [*causes.OF_REFUSALS, ConflictKind.IN_DOUBT])
def test_given_an_effect_that_landed_then_what_was_open_because_it_did_not_is_over(
    kind: ConflictKind,
) -> None:
    cause = causes.on_side(B, kind)

    assert protocol.land(replace(promised(DEBIT), causes={cause: 20}), DEBIT, 1, "x-1").causes_gone == (
        cause,
    )


# --- What is taken back -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "shadow"),
    [
        (Intent("gs-1", B, EffectKind.DEBIT, PLANNED, 1, -20), (120, SUSPENDED, SOON)),
        (
            Intent("gs-1", B, EffectKind.SET_STATUS, PLANNED, 1, status=SUSPENDED, status_before=ACTIVE),
            (100, ACTIVE, SOON),
        ),
        # Of a release that did not keep it: the shadow stays, and the next look tells.
        (Intent("gs-1", B, EffectKind.SET_STATUS, PLANNED, 1, status=SUSPENDED), (100, SUSPENDED, SOON)),
        (
            Intent("gs-1", B, EffectKind.SET_EXPIRY, PLANNED, 1, expires_on=SOON, expires_before=LATER),
            (100, SUSPENDED, LATER),
        ),
        # What it was before belongs to a status alone.
        (
            Intent("gs-1", B, EffectKind.CREDIT, PLANNED, 1, 5, status_before=ACTIVE, expires_before=LATER),
            (95, SUSPENDED, SOON),
        ),
    ],
    ids=["money", "status", "status without one before", "expiry", "a credit with other fields"],
)
def test_given_a_promise_is_taken_back_then_the_shadow_is_as_before_it(
    intent: Intent, shadow: tuple[object, ...]
) -> None:
    other = Intent("gs-2", B, EffectKind.DEBIT, PLANNED, 2, -1)
    p = presence(B, shadow_status=SUSPENDED, shadow_expires_on=SOON, open_intents=(intent, other))

    back = withdraw(p, intent)

    assert (back.shadow_minor, back.shadow_status, back.shadow_expires_on) == shadow
    assert back.open_intents == (other,)


@pytest.mark.parametrize(
    ("state", "doubted", "untried"),
    [(PLANNED, False, True), (PLANNED, True, False), (SENT, False, False), (IN_DOUBT, True, False)],
)
def test_given_an_intent_then_it_is_untried_only_if_nothing_was_ever_sent(
    state: IntentState, doubted: bool, untried: bool
) -> None:
    assert is_untried(replace(DEBIT, state=state, doubted=doubted)) is untried


def test_given_a_ledger_that_was_put_back_then_what_is_planned_is_given_up() -> None:
    planned = replace(DEBIT, state=PLANNED)
    create = Intent("gs-2", C, EffectKind.CREATE, PLANNED, 2, 80)
    sent = Intent("gs-3", A, EffectKind.DEBIT, SENT, 3, -1)
    unborn = to_create(C)
    c = card(
        presence(A, 79, open_intents=(sent,)),
        presence(B, 80, open_intents=(planned,)),
        replace(unborn, shadow_minor=80, open_intents=(create,)),
        balance_minor=80,
    )

    decision = protocol.given_up(c, "put back")

    assert decision == Decision(
        card(
            presence(A, 79, open_intents=(sent,)),
            presence(B, 100),
            replace(unborn, stale=True),
            balance_minor=80,
        ),
        intent_changes=(
            IntentChange("gs-1", WITHDRAWN, "put back"),
            IntentChange("gs-2", WITHDRAWN, "put back"),
        ),
    )


def test_given_a_create_under_way_or_a_look_already_wanted_then_giving_up_leaves_the_presence() -> None:
    create = Intent("gs-2", B, EffectKind.CREATE, SENT, 2, 80)
    c = card(presence(A), replace(to_create(B), open_intents=(create,)), to_create(C, stale=True))

    assert protocol.given_up(c, "put back") == Decision(c)


# --- A draft ------------------------------------------------------------------------------------------------


def test_given_a_card_to_be_made_anew_then_only_what_it_is_to_look_like_is_kept() -> None:
    old = presence(
        B, 80, brand="gold", note="Shopify 4000", id=9, contact=BUYER, book_cursor="e1", stale=True
    )
    draft = Draft(card(presence(A), old))

    draft.create_anew(B, Serial("87654321"))

    fresh = Presence(B, None, Serial("87654321"), "4321", 0, ACTIVE, None, born=False)
    assert draft.card == card(presence(A), replace(fresh, brand="gold", note="Shopify 4000", id=9))


@pytest.mark.parametrize(
    ("known", "ignored", "news", "told"),
    [
        ({}, False, False, True),
        ({"x": 20}, False, False, False),
        ({"x": 19}, False, False, True),
        ({"x": 19}, True, False, False),
        ({"x": 19}, True, True, True),
        ({"x": 20}, True, True, False),
    ],
)
def test_given_a_conflict_then_it_is_told_only_if_it_is_news(
    known: dict[str, int], ignored: bool, news: bool, told: bool
) -> None:
    draft = Draft(card(causes=known, ignored=frozenset({"x"} if ignored else ())))
    conflict = NewConflict(ConflictKind.REFUSED, "x", "words", amount_minor=20, stake_is_news=news)
    draft.conflicts.append(conflict)
    draft.causes_gone += ["x", "y"]

    decision = draft.decision()

    assert decision.conflicts == ((conflict,) if told else ())
    assert decision.causes_gone == (("x",) if known else ())


def test_given_promises_that_rest_on_each_other_then_the_last_goes_first() -> None:
    first = Intent("gs-1", B, EffectKind.SET_STATUS, PLANNED, 1, status=SUSPENDED, status_before=ACTIVE)
    second = Intent("gs-2", B, EffectKind.SET_STATUS, PLANNED, 2, status=CLOSED, status_before=SUSPENDED)
    draft = Draft(promised(first, second, shadow_status=CLOSED))

    draft.withdraw_all([first, second], "why")

    assert [change.marker for change in draft.intent_changes] == ["gs-2", "gs-1"]
    assert draft.card == promised()
