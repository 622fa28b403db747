"""One card's work: which sides are asked, how, what may be told from it, and when it is worked on again."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.api.card import Absent, CardRef, Entry, Observation, Seen, Unreadable
from connectors.api.effect import EffectKind
from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import crashpoints
from sync.decisions.poll_order import ReadBy
from sync.ledger.cards.store import Lease
from sync.model import (
    Card,
    ChainEnd,
    Hold,
    Intent,
    IntentState,
    IntentSums,
    LeaseLost,
    LinkStopped,
    Presence,
    Redemption,
    RedemptionState,
    Tampered,
)
from sync.reconcile import card as reconcile
from sync.reconcile.card import AGAIN_SECONDS, due_at, markers_of, observe_all
from tests.unit.reconcile.hands import NOW, A, B, Hands, Side, after, intent, presence

IN_DOUBT, PLANNED, SENT = IntentState.IN_DOUBT, IntentState.PLANNED, IntentState.SENT
BOOK: Mapping[str, Any] = {"lists_entries": True}
ENTRIES = (Entry("e1", -20, NOW, "gs-4"), Entry("e2", -5, NOW, None))


def seen(balance_minor: int = 100, **more: object) -> Seen:
    base = Seen("b-1", balance_minor, "NOK", CardStatus.ACTIVE, "active", None, "5678", NOW)
    return replace(base, **more)  # type: ignore[arg-type]


def card(p: Presence, **more: object) -> Card:
    """A card whose one presence matters."""
    return replace(Card("NOK", 100, CardStatus.ACTIVE, None, (p,)), **more)  # type: ignore[arg-type]


DOUBTED = ChainEnd(asked=IntentSums(doubted=1))


# --- Looking ------------------------------------------------------------------------------------------------


def looked(
    p: Presence, *answers: object, hands: Hands | None = None, **more: object
) -> tuple[Hands, dict[str, Observation]]:
    capabilities = {k: more.pop(k) for k in list(more) if k == "lists_entries"}
    hands = hands or Hands()
    side = Side(B, answers, **capabilities)
    hands.side.answers, hands.side.capabilities = side.answers, side.capabilities
    return hands, observe_all(card(p, **more), hands.work)


REF = (CardRef("b-1", Serial("12345678")),)


def test_given_a_side_that_lists_no_entries_then_its_card_is_read_once() -> None:
    hands, found = looked(presence(B), seen(80))

    assert found == {B: seen(80)}
    assert hands.side.asked == [("observe", REF, False)]


@pytest.mark.parametrize(
    ("balance_minor", "doubted", "asked", "reads"),
    [
        (100, frozenset(), ChainEnd(), [False]),
        (80, frozenset(), ChainEnd(), [False, True]),  # It moved: its entries say why.
        (120, frozenset(), ChainEnd(), [False, True]),
        (100, frozenset({B}), DOUBTED, [False, True]),  # What was in doubt may hide a movement.
        (100, frozenset({A}), DOUBTED, [False]),
        (100, frozenset({B}), ChainEnd(), [False]),  # Nothing of the card was ever in doubt.
    ],
)
def test_given_a_side_that_lists_entries_then_they_are_read_when_it_moved_or_was_in_doubt(
    balance_minor: int, doubted: frozenset[str], asked: ChainEnd, reads: list[bool]
) -> None:
    hands = Hands()
    hands.ledger.doubted = doubted

    _, found = looked(
        presence(B),
        seen(balance_minor),
        seen(balance_minor, entries=ENTRIES),
        hands=hands,
        chain=asked,
        **BOOK,
    )

    assert hands.side.asked == [("observe", REF, entries) for entries in reads]
    assert found[B] == seen(balance_minor, entries=ENTRIES if reads[-1] else None)
    assert hands.ledger.saved == ([("doubted", 7)] if asked is DOUBTED else [])


def test_given_an_answer_with_its_entries_then_it_is_not_asked_again() -> None:
    hands, _ = looked(presence(B), seen(80, entries=ENTRIES), **BOOK)

    assert len(hands.side.asked) == 1


@pytest.mark.parametrize("answer", [Absent(NOW), Unreadable("no", NOW)], ids=str)
def test_given_no_card_to_be_seen_then_its_entries_are_not_asked_for(answer: Observation) -> None:
    hands, found = looked(presence(B), answer, **BOOK)

    assert (found, len(hands.side.asked)) == ({B: answer}, 1)


@pytest.mark.parametrize(
    ("due_for", "behind", "entries"), [(B, False, True), (None, False, False), (None, True, True)]
)
def test_given_a_hint_of_the_side_then_one_read_brings_card_and_entries(
    due_for: str | None, behind: bool, entries: bool
) -> None:
    hands = Hands(due_for=due_for)

    looked(presence(B), seen(), hands=hands, behind=behind, **BOOK)

    assert hands.side.asked == [("observe", REF, entries)]


def test_given_a_card_that_is_not_born_then_its_serial_is_looked_up_and_no_entries() -> None:
    unborn = presence(B, 0, native_id=None, born=False, stale=True)

    hands, found = looked(unborn, seen(100), **BOOK)

    assert hands.side.asked == [("lookup", Serial("12345678"))]
    assert found == {B: seen(100)}


def test_given_neither_id_nor_serial_then_the_side_is_asked_as_it_is() -> None:
    hands, _ = looked(presence(B, native_id=None, serial=None, stale=True), seen())

    assert hands.side.asked == [("observe", (CardRef(None, None),), False)]


def test_given_a_look_that_was_made_for_many_cards_then_the_side_is_not_asked_again() -> None:
    hands = Hands()

    assert observe_all(card(presence(B)), hands.work, {B: seen()}) == {B: seen()}
    assert hands.side.asked == []
    hands.side.answers = [seen(60)]
    behind = observe_all(card(presence(B), behind=True), hands.work, {B: seen()})
    assert behind == {B: seen(60)}


@pytest.mark.parametrize(
    ("p", "more", "closed", "due_for", "wanted"),
    [
        (presence(B), {}, set(), None, True),
        (presence(B), {}, set(), B, True),
        (presence(B), {}, set(), A, False),  # A hint was of another side.
        (presence(B, stale=True), {}, set(), A, True),
        (presence(B), {"behind": True}, set(), A, True),
        (presence(B), {}, {B}, None, False),
        (presence(B), {}, {A}, None, True),
        (presence(B, open_intents=(intent(),)), {}, set(), None, False),
        (presence(B, born=False), {}, set(), None, False),
        (presence(B, born=False, stale=True), {}, set(), None, True),
        (presence(B, born=False, stale=True), {"held": True}, set(), None, False),
        (presence(B), {"held": True}, set(), None, True),
        (presence(B), {"held": True, "behind": True}, set(), None, False),
    ],
)
def test_given_a_presence_then_it_is_looked_at_only_if_the_answer_can_be_told_from_what_is_under_way(
    p: Presence, more: dict[str, object], closed: set[str], due_for: str | None, wanted: bool
) -> None:
    hands = Hands(Side(B, [seen()]), due_for=due_for)
    hands.work.closed |= closed

    assert (observe_all(card(p, **more), hands.work) != {}) is wanted


def answered(reason: str) -> InDoubt:
    error = InDoubt(reason)
    error.answered = True
    return error


@pytest.mark.parametrize(
    ("error", "is_answer"),
    [
        (answered("no JSON"), True),
        (InDoubt("no answer"), False),
        (NotSent("no connection"), False),
        (Throttled("too fast", 3.0), False),
        (SideClosed("no token", "log in"), False),
    ],
    ids=str,
)
def test_given_a_side_that_cannot_be_read_then_it_is_no_zero_and_it_is_known_whether_it_answered(
    error: Exception, is_answer: bool
) -> None:
    hands, found = looked(presence(B), error)

    assert found == {B: Unreadable(str(error), NOW, is_answer)}
    closed = isinstance(error, SideClosed)
    assert hands.noted == ([("closed", B, error)] if closed else [])
    assert hands.work.closed == ({B} if closed else set())


@pytest.mark.parametrize(("due_for", "by"), [(B, ReadBy.HINT), (None, ReadBy.OVERDUE)])
def test_given_a_look_then_whoever_plans_looks_is_told_what_came_of_it(
    due_for: str | None, by: ReadBy
) -> None:
    hands = Hands(due_for=due_for)

    looked(presence(B, 100, id=9), seen(80), hands=hands)

    ((name, record),) = hands.seen
    assert (name, record.presence_id, record.by, record.balance_minor, record.moved) == (B, 9, by, 80, True)
    looked(presence(B, id=None), seen(80), hands=hands)
    assert len(hands.seen) == 1


def test_given_a_caller_who_waits_then_all_sides_are_asked_at_the_same_time_and_none_twice() -> None:
    hands = Hands(Side(B, [seen(80)]), Side(A, [seen(100)]))
    both = replace(card(presence(B)), presences=(presence(A), presence(B)))
    with ThreadPoolExecutor(2) as pool:
        found = reconcile._ask_together(both, hands.work, pool)

    assert found == {A: seen(100), B: seen(80)}
    assert observe_all(both, hands.work, found) == found


# --- Markers that the ledger may know -----------------------------------------------------------------------


def test_given_what_the_sides_show_then_the_markers_of_entries_and_of_unborn_cards_are_looked_up() -> None:
    unborn = presence(A, born=False)
    c = replace(card(presence(B)), presences=(unborn, presence(B)))
    shown: dict[str, Observation] = {
        A: seen(created_by="gs-9"),
        B: seen(entries=ENTRIES, created_by="gs-8"),
    }

    assert markers_of(c, shown) == ["gs-4", "gs-9"]
    assert markers_of(c, {A: Absent(NOW), B: seen()}) == []


# --- When it is worked on again -----------------------------------------------------------------------------

SOON = after(AGAIN_SECONDS)


def heads(*intents: Intent, **more: Any) -> Card:
    return card(presence(B, open_intents=intents, **more))


@pytest.mark.parametrize(
    ("c", "unread", "due"),
    [
        (card(presence(B)), False, None),
        (card(presence(B)), True, SOON),
        (card(presence(B, stale=True)), False, SOON),
        (card(presence(B, stale=True, hold=Hold.UNREADABLE)), False, None),
        (card(presence(B, stale=True, hold=Hold.REFUSED)), False, SOON),
        (heads(intent(not_before=after(9))), False, after(9)),
        (heads(intent(not_before=after(9))), True, SOON),
        (heads(intent()), False, SOON),
        (heads(intent(state=IN_DOUBT, not_before=after(60), look_at=after(1))), False, after(1)),
        (heads(intent(state=IN_DOUBT, not_before=after(60))), False, after(60)),
        (heads(intent(state=IN_DOUBT, not_before=after(60), unclear_reads=2)), False, after(60)),
        # A person is asked: nothing is waited for.
        (heads(intent(state=IN_DOUBT, not_before=after(60), unclear_reads=3)), False, None),
        (heads(intent(state=PLANNED, not_before=after(60), unclear_reads=3)), False, after(60)),
        # The second waits for the first.
        (heads(intent(not_before=after(9)), intent(not_before=after(1), sequence=2)), False, after(9)),
    ],
)
def test_given_a_card_then_it_is_due_when_time_alone_can_bring_it_further(
    c: Card, unread: bool, due: datetime | None
) -> None:
    assert due_at(c, unread, NOW) == due


@pytest.mark.parametrize(("hours", "due"), [(0.5, 0.5), (1.0, 1.0), (48.0, 1.0)])
def test_given_a_redemption_that_is_open_then_the_card_is_due_when_it_ends_and_in_an_hour_at_the_latest(
    hours: float, due: float
) -> None:
    paid = Redemption("r-1", 20, RedemptionState.PENDING, after(hours * 3_600))

    assert due_at(card(presence(B), redemptions=(paid,)), False, NOW) == after(due * 3_600)
    assert reconcile._awaits_side(card(presence(B), redemptions=(paid,))) is False


@pytest.mark.parametrize(
    ("shadow", "shown", "over"),
    [("closed", "closed", True), ("active", "closed", False), ("closed", "active", False)],
)
def test_given_a_card_that_is_closed_there_and_in_the_hub_then_it_needs_no_looks(
    shadow: str, shown: str, over: bool
) -> None:
    hands, _ = looked(presence(B, id=9, shadow_status=CardStatus(shadow)), seen(status=CardStatus(shown)))

    assert [record.closed for _, record in hands.seen] == [over]


@pytest.mark.parametrize(
    ("credit", "due"),
    [
        (intent(EffectKind.CREDIT, 5, not_before=after(1)), after(9)),  # Woken with the debit.
        (intent(EffectKind.CREDIT, 5, not_before=after(1), state=IN_DOUBT), after(1)),
        (intent(EffectKind.SET_STATUS, 0, not_before=after(1)), after(1)),
        (intent(EffectKind.DEBIT, -5, not_before=after(1)), after(1)),
    ],
)
def test_given_a_credit_that_waits_for_a_debit_then_it_is_woken_with_it(
    credit: Intent, due: datetime
) -> None:
    debit = replace(intent(not_before=after(9)), side=A)
    c = replace(
        card(presence(B)), presences=(presence(A, open_intents=(debit,)), presence(B, open_intents=(credit,)))
    )

    assert due_at(c, False, NOW) == due


@pytest.mark.parametrize(
    ("c", "awaits"),
    [
        (card(presence(B)), True),
        (heads(intent(postponed=3)), False),
        (heads(intent(postponed=4)), True),
        (heads(intent(postponed=4, state=IN_DOUBT)), False),
        (card(presence(B, unreadable=1)), False),
        (card(presence(B, unreadable=2)), False),
        (card(presence(B, unreadable=3)), True),
        (card(presence(B), behind=True), False),
    ],
)
def test_given_a_card_then_it_awaits_its_side_only_if_no_time_brings_it_further(
    c: Card, awaits: bool
) -> None:
    assert reconcile._awaits_side(c) is awaits


@pytest.mark.parametrize(
    ("p", "unseen", "closed", "wants"),
    [
        (presence(B), set(), set(), False),
        (presence(B), {B}, set(), True),
        (presence(B), {A}, set(), False),
        (presence(B, stale=True), set(), set(), True),
        (presence(B, stale=True), set(), {B}, False),
        (presence(B, stale=True), set(), {A}, True),
        (presence(B, stale=True, open_intents=(intent(),)), {B}, set(), False),
        (presence(B, stale=True, hold=Hold.UNREADABLE), {B}, set(), False),
        (presence(B, stale=True, hold=Hold.REFUSED), set(), set(), True),
    ],
)
def test_given_a_look_that_was_missed_or_a_refusal_then_it_is_made_up_for(
    p: Presence, unseen: set[str], closed: set[str], wants: bool
) -> None:
    hands = Hands()
    hands.work.closed |= closed

    assert reconcile._wants_another_look(card(p), unseen, hands.work) is wants


# --- Points where the process may die -----------------------------------------------------------------------


def test_given_no_test_that_listens_then_a_crash_point_does_nothing(passed: list[str]) -> None:
    crashpoints.crashpoint("anywhere")
    crashpoints.install(None)
    crashpoints.crashpoint("anywhere else")

    assert passed == ["anywhere"]


def test_given_a_merchant_at_home_then_the_date_is_that_of_their_day() -> None:
    hands = Hands(now=NOW.replace(hour=23, minute=30))

    assert hands.work.link.today == (NOW + timedelta(days=1)).date()


# --- Many cards at once, and the ends of a piece of work ----------------------------------------------------


def lease(card_id: int, due_for: str | None = None) -> Lease:
    return Lease(card_id, "worker 1", 3, after(120), due_for)


def prefetched(
    answer: object, leases: list[Lease], batch: int = 10, **cards: Card | Exception
) -> tuple[Hands, object]:
    hands = Hands(Side(B, [answer], read_batch_max=batch))
    plain = card(presence(B))
    hands.ledger.cards.update(dict.fromkeys(range(1, 9), plain))
    hands.ledger.cards.update({int(k[1:]): c for k, c in cards.items()})
    return hands, reconcile.prefetch(hands.work.link, leases)


TWO_LEASES = [lease(1), lease(2)]
SEEN = seen()


def test_given_many_cards_then_a_side_that_reads_in_batches_is_asked_once_for_all() -> None:
    hands, found = prefetched([SEEN, seen(90)], TWO_LEASES)

    assert found == {1: {B: SEEN}, 2: {B: seen(90)}}
    assert hands.side.asked == [("observe", REF * 2, False)]


@pytest.mark.parametrize(
    "error", [NotSent("no"), Throttled("no", 1.0), InDoubt("no"), SideClosed("no", "log in")]
)
def test_given_a_side_that_cannot_be_read_for_many_then_each_card_asks_it_by_itself(error: Exception) -> None:
    assert prefetched(error, TWO_LEASES)[1] == {1: {}, 2: {}}


def test_given_one_card_or_a_side_without_batches_then_nothing_is_read_ahead() -> None:
    assert prefetched([SEEN], [lease(1)])[1] == {1: {}}
    assert prefetched([SEEN, SEEN], TWO_LEASES, batch=1)[1] == {1: {}, 2: {}}


@pytest.mark.parametrize(
    "third",
    [
        Tampered(3),
        card(presence(B), held=True),
        card(presence(B, born=False)),
        card(presence(B, stale=True)),
        card(presence(B, open_intents=(intent(),))),
        card(presence(B, native_id=None)),
        card(presence("gone")),
    ],
    ids=["changed by others", "held", "not born", "stale", "under way", "no id", "no such side"],
)
def test_given_a_card_that_cannot_be_looked_at_then_the_others_are(third: Card | Exception) -> None:
    hands, found = prefetched([SEEN, SEEN], [lease(3), *TWO_LEASES], c3=third)

    assert found == {3: {}, 1: {B: SEEN}, 2: {B: SEEN}}
    assert len(hands.side.asked) == 1


def test_given_a_hint_of_another_side_then_the_card_is_not_read_ahead() -> None:
    hands, found = prefetched([SEEN, SEEN], [lease(3, A), lease(1), lease(2, B)])

    assert found == {3: {}, 1: {B: SEEN}, 2: {B: SEEN}}
    assert hands.side.asked == [("observe", REF * 2, False)]


@pytest.mark.parametrize(
    ("error", "released", "raised"),
    [(LeaseLost(), [], False), (LinkStopped("stopped"), [("release", 3, NOW, False)], True)],
    ids=["lease", "stopped"],
)
def test_given_the_work_ends_early_then_the_card_is_given_back_only_if_it_is_still_ours(
    error: Exception, released: list[object], raised: bool
) -> None:
    hands = Hands()
    hands.ledger.cards = {7: error}

    if raised:
        with pytest.raises(type(error)):
            reconcile.reconcile(hands.work.link, hands.work.lease)
    else:
        assert reconcile.reconcile(hands.work.link, hands.work.lease) is None
    assert hands.ledger.saved == released
