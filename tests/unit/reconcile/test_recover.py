"""What is in doubt: each answer to a look, before and after the end of the quiet period, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from connectors.api.effect import CannotTell, EffectKind, Found, NotFound
from connectors.api.errors import InDoubt, NotSent, Refusal, SideClosed, Throttled
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import notification, protocol
from sync.model import Card, Decision, Intent, IntentState
from sync.reconcile.execute import CLOSED_WAIT_SECONDS, effect_of
from sync.reconcile.recover import recover
from tests.unit.reconcile.hands import NOW, QUIET_SECONDS, B, Hands, Side, after, card, intent

IN_DOUBT, SENT = IntentState.IN_DOUBT, IntentState.SENT
STOPPED = "the worker stopped during the call"
#: A quarter of the quiet period has passed, and all of it.
EARLY, OVER = after(QUIET_SECONDS * 0.75), NOW
#: The wait is as long as all that went before it.
NEXT_EARLY, NEXT_OVER = after(15.0), after(0.3)
ONCE: Mapping[str, Any] = {"applies_marker_once": True}
LANDS_ONCE = {"lands_once": frozenset({EffectKind.DEBIT})}


def doubted(until: datetime = EARLY, **more: object) -> Intent:
    return replace(intent(), state=IN_DOUBT, doubted=True, not_before=until, look_at=NOW, **more)  # type: ignore[arg-type]


def answered(reason: str) -> InDoubt:
    error = InDoubt(reason)
    error.answered = True
    return error


FOUND = Found(2, "b-7", "tx 9", Serial("87654321"))

Expected = Callable[[Card, Intent], Decision]


def landed(c: Card, i: Intent) -> Decision:
    return protocol.land(c, i, 2, "b-7", "tx 9", Serial("87654321"))


def not_asked(reason: str, look_at: datetime) -> Expected:
    return lambda c, i: protocol.look_again(c, i, reason, look_at)


def unclear(reason: str) -> Expected:
    return lambda c, i: protocol.unclear(c, i, reason, after(QUIET_SECONDS))


@pytest.mark.parametrize(
    ("answer", "until", "expected"),
    [
        (FOUND, EARLY, landed),
        (FOUND, OVER, landed),
        (NotFound(), OVER, protocol.absent),
        (CannotTell("no notes"), OVER, unclear("no notes")),
        (Throttled("too fast", 40.0), EARLY, not_asked("too fast", after(40.0))),
        (Throttled("too fast", 1.0), EARLY, not_asked("too fast", NEXT_EARLY)),
        (Throttled("too fast", 40.0), OVER, not_asked("too fast", after(40.0))),
        (answered("no JSON"), OVER, unclear("no JSON")),
        (answered("no JSON"), EARLY, not_asked("no JSON", NEXT_EARLY)),
        (InDoubt("no answer"), OVER, not_asked("no answer", NEXT_OVER)),
        (InDoubt("no answer"), EARLY, not_asked("no answer", NEXT_EARLY)),
        (NotSent("no connection"), EARLY, not_asked("no connection", NEXT_EARLY)),
        (NotSent("no connection"), OVER, not_asked("no connection", NEXT_OVER)),
        (SideClosed("no token", "log in"), EARLY, not_asked("no token", after(CLOSED_WAIT_SECONDS))),
        (SideClosed("no token", "log in"), OVER, not_asked("no token", after(CLOSED_WAIT_SECONDS))),
    ],
    ids=lambda one: None if callable(one) else str(one),
)
def test_given_an_answer_to_a_look_then_this_is_committed(
    answer: object, until: datetime, expected: Expected
) -> None:
    hands, i = Hands(Side(B, [answer])), doubted(until)
    c = card(i)

    after_it = recover(c, hands.work)

    decision = expected(c, i)
    assert hands.decided == [decision]
    assert hands.side.asked == [("find", effect_of(c, i))]
    assert hands.ledger.times == [(NOW, 5)]
    assert {p.side: p.shadow_minor for p in after_it.presences} == {
        p.side: p.shadow_minor for p in decision.card.presences
    }


@pytest.mark.parametrize("answer", [NotFound(), CannotTell("no notes")], ids=str)
def test_given_nothing_to_be_seen_before_the_quiet_period_is_over_then_only_the_next_look_is_kept(
    answer: object,
) -> None:
    hands, i = Hands(Side(B, [answer])), doubted()

    after_it = recover(card(i), hands.work)

    assert hands.decided == []
    assert hands.ledger.saved == [("look", 3, "gs-1", NEXT_EARLY)]
    assert after_it == card(replace(i, look_at=NEXT_EARLY))


def test_given_a_side_that_needs_a_person_then_they_are_told_and_it_is_left_alone() -> None:
    error = SideClosed("no token", "log in")
    hands = Hands(Side(B, [error]))

    recover(card(doubted()), hands.work)

    assert hands.noted == [("closed", B, error)]
    assert hands.work.closed == {B}


def test_given_a_look_then_the_process_may_die_before_and_after_it(passed: list[str]) -> None:
    hands = Hands(Side(B, [NotFound()]))

    recover(card(doubted()), hands.work)
    assert passed == ["recover.before", "recover.found"]

    passed.clear()
    recover(card(doubted()), Hands(Side(B, [NotSent("no")])).work)
    assert passed == ["recover.before"]


@pytest.mark.parametrize(
    ("look_at", "not_before", "looks"),
    [
        (NOW, EARLY, True),
        (after(-1), EARLY, True),
        (after(0.1), EARLY, False),
        (None, NOW, True),
        (None, after(0.1), False),
        (None, None, True),
    ],
)
def test_given_a_look_that_is_due_then_it_is_made_and_no_other(
    look_at: datetime | None, not_before: datetime | None, looks: bool
) -> None:
    hands = Hands(Side(B, [FOUND]))

    recover(card(replace(doubted(), look_at=look_at, not_before=not_before)), hands.work)

    assert (hands.side.asked != []) is looks


def test_given_an_intent_that_is_planned_then_nothing_is_looked_for() -> None:
    hands = Hands()

    assert recover(card(intent()), hands.work) == card(intent())
    assert (hands.decided, hands.side.asked) == ([], [])


def test_given_two_in_doubt_then_both_are_looked_for() -> None:
    second = replace(doubted(), marker="gs-2", sequence=2)
    hands = Hands(Side(B, [FOUND, FOUND]))

    recover(card(doubted(), second), hands.work)

    assert [asked[1].marker for asked in hands.side.asked] == ["gs-1", "gs-2"]


# --- What needs no look -------------------------------------------------------------------------------------

STATUS = intent(EffectKind.SET_STATUS, 0, status=CardStatus.SUSPENDED, status_before=CardStatus.ACTIVE)
EXPIRY = intent(EffectKind.SET_EXPIRY, 0)


@pytest.mark.parametrize("i", [STATUS, EXPIRY], ids=["status", "expiry"])
def test_given_what_is_simply_written_again_then_that_is_done_when_the_quiet_period_is_over(
    i: Intent,
) -> None:
    i = replace(i, state=IN_DOUBT, not_before=NOW)
    hands, early = Hands(), Hands()

    recover(card(i), hands.work)
    recover(card(replace(i, not_before=EARLY, look_at=NOW)), early.work)

    assert hands.decided == [protocol.absent(card(i), i)]
    assert (hands.side.asked, early.side.asked, early.decided) == ([], [], [])


def test_given_a_side_that_applies_a_marker_once_then_it_is_asked_again() -> None:
    hands, i = Hands(Side(B, **ONCE)), doubted()

    recover(card(i), hands.work)

    assert hands.decided == [protocol.ask_again(card(i), i, "asked again", NOW)]
    assert hands.side.asked == []


@pytest.mark.parametrize("capabilities", [ONCE, LANDS_ONCE], ids=["marker", "money"])
def test_given_a_refusal_of_what_was_asked_again_then_it_is_looked_for(
    capabilities: dict[str, object],
) -> None:
    hands = Hands(Side(B, [NotFound()], **capabilities))

    recover(card(doubted(refusal=Refusal.OTHER)), hands.work)

    assert [asked[0] for asked in hands.side.asked] == ["find"]
    assert hands.ledger.saved == [("look", 3, "gs-1", NEXT_EARLY)]


@pytest.mark.parametrize(
    ("answer", "until", "expected"),
    [
        (NotFound(), EARLY, lambda c, i: [protocol.ask_again(c, i, "not found; asked again", NOW)]),
        (NotFound(), OVER, lambda c, i: [protocol.absent(c, i)]),
        (CannotTell("no notes"), EARLY, lambda c, i: []),
        (FOUND, EARLY, lambda c, i: [landed(c, i)]),
    ],
    ids=lambda one: None if callable(one) else str(one),
)
def test_given_money_that_lands_once_then_what_is_not_found_is_asked_again_at_once(
    answer: object, until: datetime, expected: Callable[[Card, Intent], list[Decision]]
) -> None:
    hands, i = Hands(Side(B, [answer], **LANDS_ONCE)), doubted(until)

    recover(card(i), hands.work)

    assert hands.decided == expected(card(i), i)


# --- What a dead worker left sent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("i", "look_at"),
    [(intent(), NOW), (STATUS, after(QUIET_SECONDS)), (EXPIRY, after(QUIET_SECONDS))],
    ids=["debit", "status", "expiry"],
)
def test_given_what_a_dead_worker_left_sent_then_it_is_in_doubt_from_now_on(
    i: Intent, look_at: datetime
) -> None:
    i = replace(i, state=SENT)
    hands, c = Hands(Side(B, [NotFound()])), card(i)

    recover(c, hands.work)

    assert hands.decided == [protocol.doubt(c, i, STOPPED, after(QUIET_SECONDS), look_at=look_at)]
    # Money is looked for at once, and then a little later.
    looked = [("look", 3, "gs-1", after(0.3))] if i.kind is EffectKind.DEBIT else []
    assert hands.ledger.saved == looked


def test_given_it_was_sent_where_a_marker_applies_once_then_it_is_asked_again() -> None:
    i = replace(intent(), state=SENT)
    hands, c = Hands(Side(B, **ONCE)), card(i)

    recover(c, hands.work)

    assert hands.decided == [protocol.ask_again(c, i, STOPPED, NOW)]


@pytest.mark.parametrize("state", [SENT, IN_DOUBT])
def test_given_a_message_that_may_have_gone_out_then_it_is_not_sent_again(state: IntentState) -> None:
    i = intent(EffectKind.NOTIFY, 0, state=state)
    hands, c = Hands(), card(i)

    recover(c, hands.work)

    assert hands.decided == [notification.in_doubt(c, i, STOPPED)]
    assert hands.side.asked == []


def test_given_a_message_that_is_planned_then_it_waits_for_its_turn() -> None:
    hands = Hands()

    recover(card(intent(EffectKind.NOTIFY, 0)), hands.work)

    assert hands.decided == []


def test_given_a_message_before_what_is_in_doubt_then_the_rest_is_looked_for_too() -> None:
    message = intent(EffectKind.NOTIFY, 0, state=SENT, marker="gs-0", sequence=0)
    hands = Hands(Side(B, [FOUND]))

    recover(card(message, doubted()), hands.work)

    assert len(hands.decided) == 2
