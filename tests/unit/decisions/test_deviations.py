"""What a side's book has otherwise than giftsync asked for, and what of it is a customer's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.api.card import Entry
from sync.decisions import deviations, protocol
from sync.decisions.deviations import Deviation
from sync.model import KnownMarker
from tests.unit.decisions.test_decide import NOW, RULES, TODAY, A, B, card, moves, presence, seen

OURS, MADE = "gs-1", "gs-2"
DEBIT, CREATE = KnownMarker(-20, 1, side=B), KnownMarker(100, 1, side=B, creates=True)


def book(*amounts: tuple[int, str | None]) -> tuple[Entry, ...]:
    return tuple(Entry(f"e{n}", amount, NOW, marker) for n, (amount, marker) in enumerate(amounts, 1))


@pytest.mark.parametrize(
    ("shadow", "cursor", "shown", "entries", "found"),
    [
        (80, "", 80, book((-20, OURS)), []),
        (80, "", 70, book((-20, OURS), (-10, None)), []),
        (80, "", 50, book((-50, OURS)), [Deviation(OURS, -20, -50)]),
        # A payment hides it.
        (80, "", 80, book((-50, OURS), (30, None)), [Deviation(OURS, -20, -50)]),
        # It was taken in before.
        (50, "e1", 50, book((-50, OURS)), []),
        (80, "", 100, (), [Deviation(OURS, -20, 0)]),
        (80, "", 80, book((-20, None)), [Deviation(OURS, -20, 0)]),
        (80, "", 980, book((-20, OURS)), [Deviation(MADE, 100, 1000)]),
        # Of less, a payment that shows in the balance alone cannot be told from it.
        (80, "", 70, book((-20, OURS)), []),
        # A book that was read: what is not in it now is somebody's correction.
        (80, "e1", 90, book((-20, OURS)), []),
        (80, "", 980, None, []),
        # A refund of a payment, neither listed, beside a status that was set.
        (60, "", 70, book((-20, OURS)), []),
    ],
)
def test_given_a_book_then_only_what_is_not_as_asked_is_found(
    shadow: int, cursor: str, shown: int, entries: tuple[Entry, ...] | None, found: list[Deviation]
) -> None:
    made = replace(CREATE, doubted=True)
    known = {OURS: DEBIT, MADE: made, "gs-3": KnownMarker(5, 1, side=A), "gs-4": KnownMarker(0, 1, side=B)}

    assert deviations.found(presence(B, shadow, book_cursor=cursor), seen(shown, entries=entries), known) == (
        found
    )


def test_given_a_create_that_was_answered_then_more_than_it_made_is_a_load_that_is_not_listed() -> None:
    c = card(presence(A, 100), presence(B, 100, book_cursor=""), balance_minor=100)

    decision = protocol.observe(c, {B: seen(130, entries=())}, RULES, TODAY, {MADE: CREATE})

    assert moves(decision) == [("observed", B, 30, 30, 130)]
    assert not decision.card.held


def test_given_a_status_that_was_set_and_a_refund_that_is_not_listed_then_the_refund_counts() -> None:
    c = card(presence(A, 60), presence(B, 60, book_cursor=""), balance_minor=60)
    known = {MADE: CREATE, OURS: DEBIT, "gs-4": KnownMarker(0, 1, side=B)}

    decision = protocol.observe(c, {B: seen(70, entries=book((-20, OURS)))}, RULES, TODAY, known)

    assert moves(decision) == [("observed", B, 10, 10, 70)]
    assert not decision.card.held


def test_given_more_is_gone_than_ours_then_nothing_of_it_is_a_customers() -> None:
    c = card(presence(A, 80), presence(B, 80, book_cursor="e9"), balance_minor=80)

    decision = protocol.observe(c, {B: seen(115, entries=())}, RULES, TODAY, {OURS: DEBIT})

    assert moves(decision) == [("adopted", B, 0, 35, 80)]
    assert decision.card.held
    assert not decision.intents
