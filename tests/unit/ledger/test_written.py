"""The bytes that chains and digests are made of: fixed for ever, or no ledger of today verifies tomorrow."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.lifecycle import CardStatus
from sync.ledger.cards.chain import plain, written
from sync.model import IntentSums, altered

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_given_any_value_then_it_is_written_as_the_standard_library_does(value: Any) -> None:
    assert written(value) == json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            datetime(2026, 11, 29, 13, 30, tzinfo=timezone(timedelta(hours=1))),
            "2026-11-29T12:30:00.000000+00:00",
        ),
        (datetime(2026, 11, 29, 12, 30, 0, 5, tzinfo=UTC), "2026-11-29T12:30:00.000005+00:00"),
        (date(2027, 3, 31), "2027-03-31"),
    ],
)
def test_given_a_moment_then_it_is_the_same_text_wherever_it_was_said(value: Any, expected: str) -> None:
    assert written([plain(value)]) == json.dumps([expected]).encode()


def test_given_a_status_then_it_is_written_by_its_value() -> None:
    assert written([CardStatus.ACTIVE]) == b'["active"]'


def test_given_a_record_then_altering_it_changes_a_copy() -> None:
    before = IntentSums(count=1)
    after = altered(before, count=2)

    assert (before.count, after) == (1, IntentSums(count=2))


def test_given_a_field_that_a_record_does_not_have_then_it_is_refused() -> None:
    with pytest.raises(TypeError, match="no counts"):
        altered(IntentSums(), counts=2)
