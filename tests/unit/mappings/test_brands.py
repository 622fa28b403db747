"""Kinds of cards: their names on each side, and those that are left out."""

from __future__ import annotations

import pytest

from mappings.brands import Brands

BRANDS = Brands(
    [{"pos": "Gavekort", "web": "gift"}, {"pos": "Tilgodelapp", "web": "credit"}], {"pos": ["Bonus"]}
)


@pytest.mark.parametrize("name", ["Gavekort", "gavekort", " GAVEKORT "])
def test_given_a_name_then_case_and_spaces_around_it_do_not_matter(name: str) -> None:
    assert BRANDS.translate("pos", name, "web") == "gift"


def test_given_a_name_of_the_other_side_then_it_is_translated_back() -> None:
    assert BRANDS.translate("web", "credit", "pos") == "Tilgodelapp"


@pytest.mark.parametrize("name", ["", "Bonus", "gift"])
def test_given_a_name_of_which_nothing_is_said_then_there_is_no_other(name: str) -> None:
    assert BRANDS.translate("pos", name, "web") is None


def test_given_excluded_brands_then_they_are_excluded_on_their_side_only() -> None:
    assert BRANDS.excludes("pos", "bonus ")
    assert not BRANDS.excludes("web", "Bonus")
    assert not BRANDS.excludes("pos", "Gavekort")
