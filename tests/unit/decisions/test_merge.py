"""Two cards that are one, pure: when it can be, what follows for both, and that the sums stay sums."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.api.card import Entry, Seen
from connectors.api.effect import EffectKind
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions.merge import MERGED_FROM, MERGED_INTO, Merge, merge, why_not
from sync.model import Card, Decision, FirstContact, Hold, Intent, IntentState, LinkRules, Presence, SideRules

A, B = "flow", "shopify"
TODAY, NOW = date(2026, 11, 23), datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ACTIVE, SUSPENDED, CLOSED = CardStatus.ACTIVE, CardStatus.SUSPENDED, CardStatus.CLOSED
CODE = Serial("5000600070008000")
OPEN = Intent("gs-1", A, EffectKind.SET_STATUS, IntentState.PLANNED, 1)
POLICIES = st.sampled_from(FirstContact)


def presence(side: str, shadow_minor: int, **more: object) -> Presence:
    base = Presence(side, f"{side}-1", CODE, "8000", shadow_minor, ACTIVE, None)
    return replace(base, **more)  # type: ignore[arg-type]


def card(card_id: int, side: str, balance_minor: int = 100, **more: object) -> Card:
    made = Card("NOK", balance_minor, ACTIVE, None, (presence(side, balance_minor),), id=card_id)
    return replace(made, **more)  # type: ignore[arg-type]


def to_create() -> Presence:
    return presence(B, 0, native_id=None, serial=Serial("12345678"), born=False, hold=Hold.REFUSED)


def merged(kept: Card, ended: Card, first_contact: FirstContact = FirstContact.ASK) -> Merge:
    p = ended.presence(B)
    entries = (Entry("e1", p.shadow_minor, NOW, None),)
    seen = Seen("shopify-1", p.shadow_minor, "NOK", p.shadow_status, "", None, "8000", NOW, entries=entries)
    rules = LinkRules({A: SideRules(), B: SideRules()}, first_contact)
    return merge(kept, ended, B, seen, None, rules, TODAY, "kari: I looked")


def adds_up(before: Card, decision: Decision) -> bool:
    """H and every S are what they were, and what the movements and the new promises come to."""
    after = decision.card
    shadows = {p.side: 0 for p in after.presences} | {p.side: p.shadow_minor for p in before.presences}
    for m in decision.movements:
        if m.side is not None:
            shadows[m.side] += m.shadow_delta_minor
    for i in decision.intents:
        shadows[i.side] += i.amount_minor
    moved = sum(m.amount_minor for m in decision.movements)
    return after.balance_minor == before.balance_minor + moved and shadows == {
        p.side: p.shadow_minor for p in after.presences
    }


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    POLICIES,
    st.booleans(),
    st.sampled_from([ACTIVE, SUSPENDED]),
)
def test_given_any_two_cards_then_one_has_both_presences_and_the_other_nothing_and_the_sums_hold(
    in_store: int, online: int, policy: FirstContact, planned_there: bool, status: CardStatus
) -> None:
    kept = card(1, A, in_store)
    if planned_there:
        kept = replace(kept, presences=(*kept.presences, to_create()))
    ended = card(2, B, online, status=status, presences=(presence(B, online, shadow_status=status),))

    both = merged(kept, ended, policy)

    assert why_not(kept, ended, B, ()) is None
    assert adds_up(kept, both.kept)
    assert adds_up(ended, both.ended)
    assert (both.ended.card.balance_minor, both.ended.card.status) == (0, CLOSED)
    assert [(p.native_id, p.serial, p.shadow_minor) for p in both.ended.card.presences] == [(None, None, 0)]
    taken = both.kept.card.presence(B)
    assert (taken.native_id, taken.serial, taken.book_cursor, taken.hold) == ("shopify-1", CODE, "e1", None)
    chosen = {FirstContact.LOWER: min(in_store, online), FirstContact.HIGHER: max(in_store, online)}
    assert both.kept.card.balance_minor == chosen.get(policy, in_store)
    assert both.kept.card.held is (policy is FirstContact.ASK and in_store != online)
    assert {p.shadow_minor for p in both.kept.card.presences} >= {both.kept.card.balance_minor}


def test_given_a_merge_then_each_card_names_the_other_in_its_chain() -> None:
    both = merged(card(1, A), card(2, B))

    assert [m.evidence.get(MERGED_FROM) for m in both.kept.movements] == [2]
    assert [m.evidence.get(MERGED_INTO) for m in both.ended.movements] == [1, 1]


def test_given_conflicts_of_the_card_that_ends_then_they_end_with_it() -> None:
    both = merged(card(1, A, causes={"serial:shopify": 0}), card(2, B, causes={"serial:flow": 100}))

    assert both.ended.causes_gone == ("serial:flow",)
    assert both.kept.causes_gone == ("serial:shopify",)


def test_given_a_number_under_which_it_was_only_to_be_made_then_nothing_is_looked_for_there_any_more() -> (
    None
):
    planned = presence(A, 0, native_id=None, born=False, stale=True, hold=Hold.REFUSED)

    both = merged(card(1, A), card(2, B, presences=(presence(B, 100), planned)))

    assert {(p.serial, p.stale, p.hold) for p in both.ended.card.presences} == {(None, False, None)}
    assert both.ended.card.in_step


@pytest.mark.parametrize(
    ("kept", "ended", "doubted", "words"),
    [
        (card(1, A, presences=(presence(A, 100, open_intents=(OPEN,)),)), card(2, B), (), "under way"),
        (card(1, A), card(2, B, presences=(presence(B, 100, open_intents=(OPEN,)),)), (), "under way"),
        (card(1, A, held=True), card(2, B), (), "first_contact"),
        (card(1, A), card(2, B, held=True), (), "first_contact"),
        (card(1, A), card(2, B, presences=(presence(A, 100), presence(B, 100))), (), "cards on flow"),
        (card(1, B), card(2, B), (), "cards on shopify"),
        (card(1, B), card(2, A), (), "cards on flow"),
        (card(1, A), card(2, B, 0, presences=(to_create(),)), (), "not on shopify yet"),
        (card(1, A), card(2, B, presences=(presence(B, 100, stale=True),)), (), "still to be done"),
        (card(1, A), card(2, B, presences=(presence(B, 100, hold=Hold.MISSING),)), (), "still to be done"),
        (card(1, A), card(2, B, presences=(presence(B, 90),)), (), "still to be done"),
        (card(1, A), card(2, B, status=SUSPENDED), (), "still to be done"),
        (card(1, A), card(2, B), (B,), "once in doubt"),
    ],
)
def test_given_what_could_be_lost_or_counted_twice_then_it_says_why_not(
    kept: Card, ended: Card, doubted: tuple[str, ...], words: str
) -> None:
    assert words in str(why_not(kept, ended, B, doubted))
