"""Sending one intent: which is next, each answer of the side, and what is committed for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from connectors.api.card import CardRef
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, Found, NotFound
from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, SideClosed, SideError, Throttled
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import crashpoints
from sync.decisions import notification, protocol
from sync.decisions.looks import FIRST_LOOK_SECONDS
from sync.ledger.sides.outages import WRITING
from sync.model import Card, Decision, Intent, IntentState, InvariantBroken, LeaseLost
from sync.reconcile.execute import (
    CLOSED_WAIT_SECONDS,
    NOT_SENT_WAIT_SECONDS,
    POSTPONED_MAX,
    WAIT_SECONDS_MAX,
    debit_waits,
    effect_of,
    execute,
    next_intent,
    pause_seconds,
)
from tests.unit.reconcile.hands import NOW, QUIET_SECONDS, A, B, Hands, Side, after, card, intent, presence

IN_DOUBT, PLANNED, SENT = IntentState.IN_DOUBT, IntentState.PLANNED, IntentState.SENT
CREDIT, DEBIT = EffectKind.CREDIT, EffectKind.DEBIT
APPLIED = Applied("b-7", 999, "tx 9", Serial("87654321"))
ONCE = {"applies_marker_once": True}
UNTIL = after(QUIET_SECONDS)
Expected = Callable[[Card, Intent], Decision]


def sent(i: Intent, *answers: object, **capabilities: object) -> tuple[Hands, Card]:
    """The intent was sent to a side that answers like this."""
    hands = Hands(Side(B, answers, **capabilities))
    return hands, execute(card(i), i, hands.work)


# --- Each answer --------------------------------------------------------------------------------------------


def again(reason: str, seconds: float, postponed: int = 1) -> Expected:
    return lambda c, i: protocol.not_sent(c, i, reason, after(seconds), postponed=postponed)


def doubt(reason: str, refusal: Refusal | None = None, look_at: float = FIRST_LOOK_SECONDS) -> Expected:
    return lambda c, i: protocol.doubt(c, i, reason, UNTIL, refusal, look_at=after(look_at))


def landed(landings: int) -> Expected:
    return lambda c, i: protocol.land(c, i, landings, "b-7", "tx 9", Serial("87654321"))


ASKED_TWICE = intent(doubted=True, postponed=2)
MESSAGE = intent(EffectKind.NOTIFY, 0)
STATUS = intent(EffectKind.SET_STATUS, 0, status=CardStatus.SUSPENDED)
NO, TAKEN = Refused("no", Refusal.OVER_LIMIT), Refused("in use", Refusal.TAKEN, "b-9")


@pytest.mark.parametrize(
    ("i", "answer", "capabilities", "expected"),
    [
        (intent(), APPLIED, {}, landed(1)),
        (intent(), NotSent("no connection"), {}, again("no connection", NOT_SENT_WAIT_SECONDS)),
        (intent(postponed=1), NotSent("no connection"), {}, again("no connection", 4.0, 2)),
        (intent(), Throttled("too fast", 7.0), {}, again("too fast", 7.0)),
        (intent(postponed=1), Throttled("too fast", 7.0), {}, again("too fast", 7.0, 2)),
        (intent(), Throttled("too fast", 9_999.0), {}, again("too fast", WAIT_SECONDS_MAX)),
        (
            intent(),
            SideClosed("no token", "log in"),
            {},
            again("no token", CLOSED_WAIT_SECONDS, POSTPONED_MAX),
        ),
        (
            intent(postponed=6),
            SideClosed("no token", "log in"),
            {},
            again("no token", CLOSED_WAIT_SECONDS, 7),
        ),
        (intent(), NO, {}, lambda c, i: protocol.refuse(c, i, Refusal.OVER_LIMIT, "no")),
        (intent(), TAKEN, {}, lambda c, i: protocol.refuse(c, i, Refusal.TAKEN, "in use", "b-9")),
        # The refusal may be the work of our own earlier attempt.
        (intent(doubted=True), NO, {}, doubt("no", Refusal.OVER_LIMIT)),
        (ASKED_TWICE, NO, {}, doubt("no", Refusal.OVER_LIMIT, 4.0)),
        (intent(), InDoubt("no answer"), {}, doubt("no answer")),
        (STATUS, InDoubt("no answer"), {}, doubt("no answer", None, QUIET_SECONDS)),
        # It is asked again soon at first, then like a side that is out of reach.
        (
            intent(),
            InDoubt("no answer"),
            ONCE,
            lambda c, i: protocol.ask_again(c, i, "no answer", after(FIRST_LOOK_SECONDS)),
        ),
        (
            intent(postponed=2),
            InDoubt("no answer"),
            ONCE,
            lambda c, i: protocol.ask_again(c, i, "no answer", after(FIRST_LOOK_SECONDS)),
        ),
        (
            ASKED_TWICE,
            InDoubt("no answer"),
            ONCE,
            lambda c, i: protocol.ask_again(c, i, "no answer", after(4.0)),
        ),
        (MESSAGE, APPLIED, {}, lambda c, i: notification.record_notified(c, i, "tx 9")),
        (MESSAGE, Applied("b-7"), {}, lambda c, i: notification.record_notified(c, i, "")),
        (MESSAGE, NO, {}, lambda c, i: notification.not_told(c, i, "no")),
        (MESSAGE, InDoubt("no answer"), {}, lambda c, i: notification.in_doubt(c, i, "no answer")),
        (MESSAGE, InDoubt("no answer"), ONCE, lambda c, i: notification.in_doubt(c, i, "no answer")),
    ],
)
def test_given_an_answer_then_sent_is_committed_before_it_and_this_after_it(
    i: Intent, answer: object, capabilities: dict[str, object], expected: Expected
) -> None:
    hands, card_after = sent(i, answer, **capabilities)

    under_way = card(replace(i, state=SENT, not_before=None))
    first, second = hands.decided
    assert first == protocol.sent(card(i), i)
    decision = expected(under_way, i)
    assert second == decision
    assert card_after.presence(B).shadow_minor == decision.card.presence(B).shadow_minor
    assert hands.side.asked == [("apply", effect_of(card(i), i))]
    assert hands.ledger.times == [(NOW, 5), (NOW, 5)]


ANSWERED, FAILED = "answered", "failed"


@pytest.mark.parametrize(
    ("answer", "noted", "closed"),
    [
        (APPLIED, (ANSWERED, B, WRITING, NOW), False),
        (NO, (ANSWERED, B, WRITING, NOW), False),
        (InDoubt("no answer"), None, False),
        (Throttled("too fast", 7.0), None, False),
        (NotSent("no connection"), (FAILED, B, WRITING), False),
        (SideClosed("no token", "log in"), (FAILED, B, WRITING), True),
    ],
    ids=str,
)
def test_given_an_answer_then_this_is_known_of_the_side(
    answer: object, noted: tuple[object, ...] | None, closed: bool
) -> None:
    hands, _ = sent(intent(), answer)

    brake, *of_side = hands.noted
    assert brake == ("brake", 7, "gs-1", 20, NOW)
    if noted is None:
        assert of_side == []
    else:
        (told,) = of_side
        expected = noted if noted[0] == ANSWERED else (*noted, answer, NOW)
        assert told == expected
    assert hands.work.closed == ({B} if closed else set())


@pytest.mark.parametrize(
    ("found", "landings"),
    [
        (Found(2, "b-7"), 2),
        (Found(1, "b-7"), 1),
        (Found(0, "b-7"), 1),
        (NotFound(), 1),
        (CannotTell("no notes"), 1),
        (NotSent("no"), 1),
        (Throttled("too fast", 1.0), 1),
        (InDoubt("no"), 1),
        (SideClosed("no", "log in"), 1),
    ],
    ids=str,
)
def test_given_it_was_in_doubt_before_then_its_landings_are_counted(found: object, landings: int) -> None:
    hands, _ = sent(intent(doubted=True), APPLIED, found)

    assert [asked[0] for asked in hands.side.asked] == ["apply", "find"]
    assert hands.side.asked[1][1].marker == "gs-1"
    (change,) = hands.decided[1].intent_changes
    assert change.landings == landings


def test_given_a_side_that_applies_a_marker_once_then_nothing_is_counted() -> None:
    hands, _ = sent(intent(doubted=True), APPLIED, **ONCE)

    assert [asked[0] for asked in hands.side.asked] == ["apply"]


def test_given_a_side_that_tells_no_reference_then_none_is_kept() -> None:
    hands, _ = sent(intent(), Applied("b-7"))

    assert hands.decided[1].intent_changes[0].reason == ""


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        (APPLIED, ["execute.sent", "execute.called"]),
        (NO, ["execute.sent", "execute.called"]),
        (InDoubt("no answer"), ["execute.sent", "execute.called"]),
        (NotSent("no"), ["execute.sent"]),
    ],
    ids=str,
)
def test_given_a_call_then_the_process_may_die_before_and_after_it(
    answer: object, points: list[str], passed: list[str]
) -> None:
    sent(intent(), answer)

    assert passed == points


def test_given_what_the_side_wants_remembered_then_it_is_saved_and_stays_with_the_intent() -> None:
    hands = Hands(Side(B, [NotSent("no")]))
    hands.side.saves = {"order": "17"}

    after_it = execute(card(intent()), intent(), hands.work)

    assert hands.ledger.saved == [("progress", 3, "gs-1", {"order": "17"})]
    assert after_it.open_intents[0].progress == {"order": "17"}


@pytest.mark.parametrize("state", [SENT, IN_DOUBT])
def test_given_an_intent_that_is_not_planned_then_it_is_never_sent(state: IntentState) -> None:
    i = intent(state=state)
    hands = Hands()

    with pytest.raises(InvariantBroken, match=f"intent gs-1 is {state}; only planned ones are sent"):
        execute(card(i), i, hands.work)
    assert (hands.side.asked, hands.noted) == ([], [])


@pytest.mark.parametrize(("until", "lost"), [(after(120), False), (NOW, True), (after(-1), True)])
def test_given_a_lease_that_ran_out_during_a_pause_then_the_call_is_not_made(
    until: datetime, lost: bool
) -> None:
    hands = Hands(Side(B, [APPLIED]))
    i = intent()

    def pause(point: str) -> None:
        if point == "execute.sent":
            hands.now = NOW + (after(120) - until)

    crashpoints.install(pause)
    try:
        if lost:
            with pytest.raises(LeaseLost):
                execute(card(i), i, hands.work)
        else:
            execute(card(i), i, hands.work)
    finally:
        crashpoints.install(None)
    assert (hands.side.asked == []) is lost


@pytest.mark.parametrize(("left", "renewed"), [(120.0, False), (60.0, False), (59.9, True), (0.1, True)])
def test_given_a_lease_that_is_half_over_then_it_is_renewed_before_the_call(
    left: float, renewed: bool
) -> None:
    hands = Hands(Side(B, [APPLIED]), until=after(left))

    execute(card(intent()), intent(), hands.work)

    assert hands.ledger.saved == ([("renew", 3, NOW, 120.0)] if renewed else [])
    assert hands.work.lease.until == after(120.0 if renewed else left)


def test_given_an_intent_then_the_effect_has_everything_of_it_and_of_its_card() -> None:
    buyer = Contact("kari@example.com")
    i = intent(
        EffectKind.CREATE,
        100,
        status=CardStatus.ACTIVE,
        expires_on=date(2027, 1, 31),
        note="Shopify 4000",
        brand="gold",
        progress={"order": "17"},
    )
    c = card(i)
    c = replace(c, presences=(c.presences[0], replace(c.presences[1], contact=buyer)))

    effect = Effect(
        "gs-1",
        EffectKind.CREATE,
        CardRef("b-1", Serial("12345678")),
        "NOK",
        100,
        CardStatus.ACTIVE,
        date(2027, 1, 31),
        "Shopify 4000",
        "gold",
        {"order": "17"},
    )
    assert effect_of(c, i) == effect
    told = replace(i, kind=EffectKind.NOTIFY)
    assert effect_of(c, told) == replace(effect, kind=EffectKind.NOTIFY, contact=buyer)
    assert effect_of(c, replace(i, amount_minor=-5)).amount_minor == 5


# --- Which is next ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("postponed", "seconds"), [(0, 2.0), (1, 4.0), (2, 8.0), (3, 16.0), (4, 32.0), (5, 60.0), (100_000, 60.0)]
)
def test_given_attempts_that_were_not_sent_then_the_wait_doubles_up_to_a_minute(
    postponed: int, seconds: float
) -> None:
    assert pause_seconds(postponed) == seconds


def two(a: Intent, b: Intent) -> Card:
    a = replace(a, side=A, marker="gs-a")
    b = replace(b, side=B, marker="gs-b")
    return Card(
        "NOK",
        80,
        CardStatus.ACTIVE,
        None,
        (presence(A, 80, open_intents=(a,)), presence(B, 80, open_intents=(b,))),
    )


@pytest.mark.parametrize(
    ("a", "b", "first"),
    [
        (intent(sequence=1), intent(sequence=2), "gs-a"),
        (intent(sequence=2), intent(sequence=1), "gs-b"),
        # Debits before all else, whatever was planned first.
        (intent(EffectKind.SET_EXPIRY, 0, sequence=1), intent(sequence=2), "gs-b"),
        (intent(CREDIT, 5, sequence=1), intent(sequence=2), "gs-b"),
        (intent(CREDIT, 5, sequence=2), intent(CREDIT, 5, sequence=1), "gs-b"),
        (intent(state=SENT), intent(EffectKind.SET_EXPIRY, 0), "gs-b"),
        (intent(state=IN_DOUBT), intent(CREDIT, 5), None),
        (intent(state=SENT), intent(state=IN_DOUBT), None),
        # A debit that waits for a person holds nothing up.
        (intent(state=IN_DOUBT, unclear_reads=3), intent(CREDIT, 5), "gs-b"),
        (intent(state=IN_DOUBT, unclear_reads=2), intent(CREDIT, 5), None),
        (intent(not_before=after(0.1)), intent(state=SENT), None),
        (intent(not_before=NOW), intent(state=SENT), "gs-a"),
    ],
)
def test_given_two_queues_then_this_one_is_sent_next(a: Intent, b: Intent, first: str | None) -> None:
    chosen = next_intent(two(a, b), Hands().work)

    assert (chosen and chosen.marker) == first


def test_given_nothing_open_then_nothing_is_next() -> None:
    assert next_intent(card(), Hands().work) is None


@pytest.mark.parametrize(
    ("queue", "waits"),
    [
        ([], False),
        ([intent()], True),
        ([intent(EffectKind.SET_STATUS, 0), intent()], True),
        ([intent(CREDIT, 5), intent()], False),  # It comes after the credit.
        ([intent(unclear_reads=2)], True),
        ([intent(unclear_reads=3)], False),
        ([intent(EffectKind.SET_STATUS, 0)], False),
    ],
)
def test_given_a_queue_then_a_debit_holds_credits_back_only_if_it_can_go_first(
    queue: list[Intent], waits: bool
) -> None:
    assert debit_waits(card(*queue)) is waits


@pytest.mark.parametrize(
    ("ended_at", "postponed", "ready"),
    [
        (None, 1, False),
        (after(8.0), 1, True),  # It answered after the attempt, which was two seconds before.
        (after(8.1), 1, True),
        (after(7.9), 1, False),
        (after(9.0), 0, False),
        (after(2.0), 3, True),
    ],
)
def test_given_a_side_that_answers_again_then_what_waits_for_it_goes_at_once(
    ended_at: datetime | None, postponed: int, ready: bool
) -> None:
    hands = Hands(ended_at=ended_at)
    i = intent(not_before=after(10.0), postponed=postponed)

    assert (next_intent(card(i), hands.work) is not None) is ready


def test_given_a_side_that_was_never_out_then_a_time_to_wait_is_waited() -> None:
    hands = Hands(ended_at=NOW - timedelta(hours=1))

    assert next_intent(card(intent(not_before=after(5), postponed=1)), hands.work) is None


def test_given_a_side_that_the_link_does_not_have_then_the_ledger_contradicts_itself() -> None:
    with pytest.raises(InvariantBroken, match="the ledger names a side 'c' that the link does not have"):
        Hands().work.side("c")


def test_given_an_error_then_it_is_kept_as_the_side_says_it() -> None:
    errors: list[SideError] = [NotSent("no connection"), Throttled("too fast", 1.0)]
    for error in errors:
        hands, _ = sent(intent(), error)
        assert hands.decided[1].intent_changes[0].reason == str(error)
