"""A line of the shop's list says the same, decoded fast and decoded carefully."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.api.bulk import ListedLine
from connectors.kit.strict_json import read_json
from connectors.shopify.list_lines import listed_cards
from connectors.shopify.mapping import SUSPENDED_ON, seen_of
from connectors.shopify.shape import Misshapen, as_object
from mappings.money import AMOUNT_MINOR_MAX, MoneyError

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def line(**changes: Any) -> bytes:
    card = {
        "id": "gid://shopify/GiftCard/7",
        "balance": {"amount": "41.5", "currencyCode": "NOK"},
        "enabled": True,
        "expiresOn": None,
        "lastCharacters": "2B5A",
        "note": None,
        "templateSuffix": None,
        "order": None,
    }
    return json.dumps(card | changes).encode()


def listed_line(text: bytes) -> ListedLine:
    """The one card of a line, which stands in its columns with the same values."""
    columns = listed_cards(text)
    one = columns.line(0)
    listed = (columns.native_ids, columns.balances_minor, columns.currencies, columns.statuses)
    assert ([[one.native_id], [one.balance_minor], [one.currency], [one.status]]) == list(listed)
    assert columns.expires_on == [one.expires_on]
    return one


amounts = st.one_of(
    st.from_regex(r"-?[0-9]{1,17}(\.[0-9]{0,4})?", fullmatch=True),
    st.sampled_from(["", ".", ".5", "5.", "1e3", " 1", "+1", "1_0", "\u0661", "0.001", "NaN", "1" * 5000]),
)


@given(
    amount=amounts,
    currency=st.sampled_from(["NOK", "JPY", "KWD", "XXY", ""]),
    enabled=st.booleans(),
    expires_on=st.one_of(st.none(), st.just(SUSPENDED_ON), st.dates(date(2001, 1, 1))),
    note=st.one_of(
        st.none(), st.text(max_size=20), st.sampled_from(["gs-abc words", "gs-abc", "gs-", " gs-a"])
    ),
    bought=st.booleans(),
)
def test_it_says_what_the_careful_reading_says(
    amount: str, currency: str, enabled: bool, expires_on: date | None, note: str | None, bought: bool
) -> None:
    text = line(
        balance={"amount": amount, "currencyCode": currency},
        enabled=enabled,
        expiresOn=None if expires_on is None else expires_on.isoformat(),
        note=note,
        order={"id": "gid://shopify/Order/1"} if bought else None,
    )
    try:
        seen = seen_of(as_object(read_json(text), "the line"), AT)
    except (Misshapen, MoneyError):
        with pytest.raises(Misshapen):
            listed_line(text)
        return

    one = listed_line(text)

    assert seen.status is not None
    assert one == (
        seen.native_id,
        seen.balance_minor,
        seen.currency,
        seen.status.value,
        None if seen.expires_on is None else seen.expires_on.isoformat(),
        seen.last_chars,
        seen.created_by,
        bought,
    )


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        line(id=7),
        line(enabled="yes"),
        line(balance=None),
        line(balance={"amount": 41.5, "currencyCode": "NOK"}),
        line(lastCharacters=None),
        line(expiresOn=7),
    ],
)
def test_a_line_that_is_no_card_is_not_believed(broken: bytes) -> None:
    with pytest.raises(Misshapen) as told:
        listed_line(broken)
    assert "41.5" not in str(told.value)


def test_the_largest_balance_is_read_and_no_larger_one() -> None:
    top = AMOUNT_MINOR_MAX
    assert (
        listed_line(
            line(balance={"amount": f"{top // 100}.{top % 100:02}", "currencyCode": "NOK"})
        ).balance_minor
        == top
    )
    with pytest.raises(Misshapen):
        listed_line(line(balance={"amount": f"{top}", "currencyCode": "NOK"}))


def test_a_nul_is_taken_out_of_what_is_stored() -> None:
    assert listed_line(line(lastCharacters="2b\0 5a")).last_chars == "2b 5a"


def test_lines_stand_in_columns_in_their_order() -> None:
    lines = [line(id=f"gid://shopify/GiftCard/{number}", enabled=number != 2) for number in (3, 1, 2)]

    columns = listed_cards(b"\n".join(lines) + b"\n")

    assert [one.rpartition("/")[2] for one in columns.native_ids] == ["3", "1", "2"]
    assert columns.statuses == ["active", "active", "closed"]
    assert [columns.line(place).native_id for place in range(3)] == columns.native_ids


@pytest.mark.parametrize("between", [b"\n\n", b"\n \n", b" ", b"\nnull\n"])
def test_lines_that_would_shift_those_after_them_are_not_believed(between: bytes) -> None:
    with pytest.raises(Misshapen):
        listed_cards(line() + between + line())
