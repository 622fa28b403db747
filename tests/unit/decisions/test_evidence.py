"""The second book: which of a side's entries explain a difference, and how much of it none does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.api.card import Entry, Seen
from mappings.lifecycle import CardStatus
from sync.decisions import evidence
from sync.decisions.evidence import ENTRIES_SHOWN_MAX
from sync.model import KnownMarker, Presence

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OURS = "gs-ours"


def entry(native_id: str, amount_minor: int, marker: str | None = None) -> Entry:
    return Entry(native_id, amount_minor, NOW, marker, "till")


def seen(balance_minor: int, *entries: Entry | None) -> Seen:
    listed = None if None in entries else tuple(e for e in entries if e is not None)
    return Seen("x", balance_minor, "NOK", CardStatus.ACTIVE, "active", None, "", NOW, entries=listed)


def presence(shadow_minor: int, book_cursor: str | None = None) -> Presence:
    return Presence("flow", "x", None, "", shadow_minor, CardStatus.ACTIVE, None, book_cursor=book_cursor)


def test_given_entries_that_add_up_then_nothing_is_unexplained() -> None:
    facts = evidence.explain(
        presence(100, "e1"), seen(70, entry("e1", 100), entry("e2", -20), entry("e3", -10)), -30, {}
    )

    assert facts == {
        "shown_minor": 70,
        "shadow_minor": 100,
        "entries": [
            {"id": "e2", "amount_minor": -20, "label": "till"},
            {"id": "e3", "amount_minor": -10, "label": "till"},
        ],
        "explained_minor": -30,
        "unexplained_minor": 0,
    }


def test_given_a_difference_without_an_entry_then_the_rest_is_shown() -> None:
    facts = evidence.explain(presence(100, "e1"), seen(60, entry("e1", 100), entry("e2", -30)), -40, {})

    assert (facts["explained_minor"], facts["unexplained_minor"]) == (-30, -10)


def test_given_an_entry_of_ours_then_it_explains_nothing() -> None:
    facts = evidence.explain(
        presence(100), seen(60, entry("e1", -30, OURS), entry("e2", -40)), -40, {OURS: KnownMarker(-30, 1)}
    )

    assert facts["entries"] == [{"id": "e2", "amount_minor": -40, "label": "till"}]
    assert facts["unexplained_minor"] == 0


def test_given_a_marker_that_the_ledger_does_not_know_then_it_is_somebodys() -> None:
    facts = evidence.explain(presence(100), seen(60, entry("e1", -40, "gs-stranger")), -40, {})

    assert facts["explained_minor"] == -40


def test_given_a_side_without_a_book_then_only_what_it_showed_is_kept() -> None:
    assert evidence.explain(presence(100), seen(60, None), -40, {}) == {
        "shown_minor": 60,
        "shadow_minor": 100,
    }


def test_given_many_entries_then_the_newest_are_listed_and_all_are_counted() -> None:
    many = [entry(f"e{n}", -1) for n in range(ENTRIES_SHOWN_MAX + 5)]

    facts = evidence.explain(presence(100), seen(75, *many), -25, {})

    listed = facts["entries"]
    assert isinstance(listed, list)
    assert [e["id"] for e in listed] == [f"e{n}" for n in range(5, 25)]
    assert (facts["explained_minor"], facts["unexplained_minor"]) == (-25, 0)


def test_given_a_cursor_that_is_no_longer_listed_then_every_entry_is_fresh() -> None:
    facts = evidence.explain(presence(100, "gone"), seen(60, entry("e2", -40)), -40, {})

    assert facts["explained_minor"] == -40


def test_given_markers_then_each_landing_is_counted() -> None:
    shown = seen(0, entry("e1", -1, OURS), entry("e2", -1), entry("e3", -1, OURS), entry("e4", -1, "gs-b"))

    assert evidence.landings(shown) == {OURS: 2, "gs-b": 1}
    assert evidence.landings(seen(0, None)) == {}


def test_given_entries_then_the_newest_becomes_the_cursor() -> None:
    assert evidence.newest(seen(0, entry("e1", 1), entry("e2", 1)), "e0") == "e2"
    assert evidence.newest(seen(0), "e0") == "e0"
    assert evidence.newest(seen(0, None), "e0") == "e0"


@pytest.mark.parametrize(
    ("now", "rewritten"),
    [
        ((entry("e1", -30), entry("e2", -40)), False),
        ((entry("e1", -30), entry("e2", -40), entry("e3", -5)), False),
        # Words and notes are people's.
        ((entry("e1", -30, OURS), entry("e2", -40)), False),
        ((entry("e2", -70),), True),
        ((entry("e1", -40), entry("e2", -30)), True),
        ((entry("e1", -70),), True),
        ((), True),
        (None, False),
    ],
)
def test_given_a_book_that_was_read_then_another_one_up_to_there_is_known(
    now: tuple[Entry, ...] | None, rewritten: bool
) -> None:
    read = evidence.read_to(seen(30, entry("e1", -30), entry("e2", -40)))
    p = replace(presence(30), **read)

    assert evidence.is_rewritten(p, replace(seen(30), entries=now)) is rewritten
    # A worker of an older release has read on.
    assert not evidence.is_rewritten(replace(p, book_cursor="e3"), replace(seen(30), entries=now))
