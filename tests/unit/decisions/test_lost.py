"""What a ledger that was put back has lost: the rule, with hypotheses about what really happened."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.api.card import Entry, Observation, Seen, Unreadable
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import lost, protocol
from sync.model import Card, Decision, LinkRules, MovementKind, Presence, SideRules, Told, Traces

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 1)
A, B = "pos", "web"
RULES = LinkRules({A: SideRules(), B: SideRules()})
SERIAL = Serial("1000200030004000")


def behind(a: int = 100, b: int = 100, hub: int = 100, cursor: str | None = "") -> Card:
    presences = tuple(
        Presence(side, f"{side}-1", SERIAL, "4000", shadow, CardStatus.ACTIVE, None, book_cursor=cursor)
        for side, shadow in ((A, a), (B, b))
    )
    return Card("NOK", hub, CardStatus.ACTIVE, None, presences, behind=True, id=1)


def shows(side: str, balance: int, *entries: tuple[str | None, int], lists: bool = True) -> Seen:
    book = tuple(Entry(f"{side}{n}", amount, NOW, marker) for n, (marker, amount) in enumerate(entries))
    return Seen(
        f"{side}-1", balance, "NOK", CardStatus.ACTIVE, "active", None, "4000", NOW, SERIAL,
        entries=book if lists else None,
    )  # fmt: skip


def decided(card: Card, *shown: Seen, traces: Traces | None = None) -> Decision:
    observations: dict[str, Observation] = dict(zip((A, B), shown, strict=True))
    return protocol.observe(card, observations, RULES, TODAY, {}, traces)


def shadows(card: Card) -> tuple[int, int]:
    return card.presence(A).shadow_minor, card.presence(B).shadow_minor


def test_given_a_redemption_that_was_carried_over_then_it_counts_once() -> None:
    decision = decided(behind(), shows(A, 70, (None, -30)), shows(B, 70, ("gs-x", -30)))

    assert (decision.card.balance_minor, shadows(decision.card)) == (70, (70, 70))
    (effect,) = decision.intents
    assert effect.lost is not None
    assert (effect.side, effect.amount_minor, effect.lost.marker) == (B, -30, "gs-x")
    assert (decision.card.behind, decision.card.held) == (False, False)


def test_given_one_was_carried_over_and_one_was_not_then_the_second_follows() -> None:
    decision = decided(behind(), shows(A, 50, (None, -30), (None, -20)), shows(B, 70, ("gs-x", -30)))

    assert decision.card.balance_minor == 50
    assert [(i.side, i.amount_minor) for i in decision.intents if i.lost is None] == [(B, -20)]


def test_given_an_effect_that_no_customer_explains_then_the_card_is_held_and_nothing_else_changes() -> None:
    card = behind()
    decision = decided(card, shows(A, 60, ("gs-x", -40)), shows(B, 60, ("gs-y", -40)))

    assert (decision.card.held, decision.card.behind) == (True, True)
    assert (decision.movements, decision.intents) == ((), ())
    assert (decision.card.balance_minor, shadows(decision.card)) == (100, (100, 100))


def test_given_effects_whose_sum_is_explained_and_whose_steps_are_not_then_the_card_is_held() -> None:
    # A person took 50 off and gave 20 back; that a customer spent 30 is chance.
    book = (("gs-x", -50), ("gs-y", 20))

    assert decided(behind(), shows(A, 70, (None, -30)), shows(B, 70, *book)).card.held


def test_given_something_was_owed_before_then_carrying_it_over_is_explained() -> None:
    decision = decided(behind(a=70, b=100, hub=70), shows(A, 70), shows(B, 70, ("gs-x", -30)))

    assert (decision.card.balance_minor, shadows(decision.card)) == (70, (70, 70))
    assert not decision.card.held


def test_given_a_side_that_cannot_be_read_then_nothing_is_decided() -> None:
    card = behind()
    seen: dict[str, Observation] = {A: shows(A, 70, (None, -30)), B: Unreadable("no answer", NOW)}

    assert protocol.observe(card, seen, RULES, TODAY, {}, Traces()) == Decision(card)


def test_given_a_balance_that_hides_two_movements_then_the_books_tell() -> None:
    # The customer spent 30 here and loaded 30 there, and the load was carried over.
    decision = decided(behind(), shows(A, 100, (None, -30), ("gs-x", 30)), shows(B, 130, (None, 30)))

    assert decision.card.balance_minor == 100
    assert [(i.side, i.amount_minor) for i in decision.intents if i.lost is None] == [(B, -30)]


def test_given_a_side_without_entries_then_what_its_feed_told_explains_it() -> None:
    traces = Traces({A: [Told(None, -30, "1"), Told("gs-y", -20, "2")]}, frozenset({A}))
    decision = decided(
        behind(),
        shows(A, 50, lists=False),
        shows(B, 50, ("gs-x", -30), (None, -20)),
        traces=traces,
    )

    assert (decision.card.balance_minor, shadows(decision.card)) == (50, (50, 50))
    assert all(i.lost is not None for i in decision.intents)


def test_given_a_side_that_shows_nothing_but_a_balance_then_it_is_believed_only_at_rest() -> None:
    at_rest = decided(behind(), shows(A, 70, lists=False), shows(B, 70, (None, -30)))
    unclear = decided(behind(), shows(A, 60, lists=False), shows(B, 70, (None, -30)))
    alone = decided(behind(), shows(A, 60, lists=False), shows(B, 100))

    assert (at_rest.card.balance_minor, at_rest.card.held) == (70, False)
    assert unclear.card.held
    assert (alone.card.balance_minor, alone.card.held) == (60, False)


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(-9, 9), st.booleans()), max_size=7))
def test_given_any_history_of_customers_and_carrying_over_then_the_hub_is_what_customers_left(
    history: list[tuple[str, int, bool]],
) -> None:
    """Each event: a side, what a customer does there, and whether the lost ledger then carries it over."""
    books: dict[str, list[tuple[str | None, int]]] = {A: [], B: []}
    worth, shown = 100, {A: 100, B: 100}
    for n, (side, amount, carried) in enumerate(history):
        if amount:
            books[side].append((None, amount))
            worth, shown[side] = worth + amount, shown[side] + amount
        for other in (A, B) if carried else ():
            owed = worth - shown[other]
            if owed:
                books[other].append((f"gs-{n}{other}", owed))
                shown[other] += owed

    decision = decided(behind(), shows(A, shown[A], *books[A]), shows(B, shown[B], *books[B]))

    assert not decision.card.held
    assert decision.card.balance_minor == worth
    assert shadows(decision.card) == (worth, worth)
    sent = {A: 0, B: 0}
    for intent in decision.intents:
        sent[intent.side] += intent.amount_minor if intent.lost is None else 0
    assert {side: shown[side] + sent[side] for side in (A, B)} == {A: worth, B: worth}
    assert all(m.kind is MovementKind.OBSERVED for m in decision.movements)


@pytest.mark.parametrize("cursor", ["", None])
def test_given_a_ledger_that_is_not_behind_then_unknown_effects_are_found(cursor: str | None) -> None:
    card = behind(cursor=cursor)

    found = lost.unknown(card, B, shows(B, 70, ("gs-x", -30)), {})

    assert [effect.marker for effect in found] == ["gs-x"]
    assert lost.unknown(card, B, shows(B, 70, (None, -30)), {}) == []


def test_given_marks_older_than_the_first_contact_then_they_are_no_second_ledgers() -> None:
    card = behind(cursor=None)

    assert lost.unknown(card, B, shows(B, 100, ("gs-old", -30), (None, 5)), {}) == []
    assert lost.unknown(card, B, shows(B, 95, ("gs-old", -30), (None, -5)), {}) == []
