"""Notes for staff, and the markers by which giftsync finds its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.notes import NOTE_LENGTH_MAX, marker_in, sale_note, shipping_name_in
from sync.ledger.cards.store import random_marker


@pytest.mark.parametrize(
    ("note", "marker"),
    [
        (None, None),
        ("", None),
        ("gs-abcd", "gs-abcd"),
        ("gs-abcd Shopify 1234", "gs-abcd"),
        ("gs-abc", None),
        ("GS-ABCD", None),
        ("see gs-abcd", None),
    ],
)
def test_given_a_note_then_a_marker_stands_at_its_beginning(note: str | None, marker: str | None) -> None:
    assert marker_in(note) == marker


def test_given_a_marker_of_the_ledger_then_it_is_found_before_any_words() -> None:
    for _ in range(100):
        marker = random_marker()
        assert marker_in(f"{marker} Kari Nordmann") == marker


@pytest.mark.parametrize(
    ("last_chars", "details", "note"),
    [
        ("4000", {}, "Shopify 4000"),
        ("abcd4000", {"order": "#1007"}, "Shopify 4000, #1007"),
        ("4000", {"shipping_name": "Kari Nordmann", "order": "#1007"}, "Shopify 4000, Kari Nordmann, #1007"),
        ("4000", {"shipping_name": "", "brand": "gold"}, "Shopify 4000"),
    ],
)
def test_given_an_order_then_staff_read_this(last_chars: str, details: dict[str, str], note: str) -> None:
    assert sale_note("Shopify", last_chars, details) == note


@given(st.text(max_size=400), st.text(max_size=400))
def test_given_long_names_then_the_note_is_cut_and_never_shows_more_than_four(name: str, code: str) -> None:
    note = sale_note("Shopify", code, {"shipping_name": name})
    assert len(note) <= NOTE_LENGTH_MAX
    assert note.startswith(f"Shopify {code[-4:]}")


@pytest.mark.parametrize("name", ["", "Anne Dahl", "Dahl, Anne"])
def test_given_a_note_with_an_order_then_its_shipping_name_is_found_again(name: str) -> None:
    note = sale_note("Shopify", "abcdk3f9", {"shipping_name": name, "order": "#1001"})

    assert shipping_name_in(note) == name
    assert shipping_name_in("") == shipping_name_in("bought in the store") == ""
