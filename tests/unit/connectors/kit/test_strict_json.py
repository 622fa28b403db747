"""What somebody else's JSON may say, and what it may not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.kit.http import RETRY_AFTER_SECONDS_DEFAULT, retry_after_seconds
from connectors.kit.strict_json import NotJson, read_json
from connectors.shopify.answers import cost_of
from connectors.shopify.mapping import paid_card, receipt_of
from mappings.money import MoneyError, minor_from_decimal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, true, null, "\xc3\xa6"]}', {"a": [1, 2.5, True, None, "æ"]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"9223372036854775807", 2**63 - 1),
        (b"-1", -1),
    ],
)
def test_json_is_read_as_it_is(text: bytes, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"{",
        b"NaN",
        b'{"balance": Infinity}',
        b'{"balance": -Infinity}',
        b"1e999",
        b"1" * 20,
        b"1" * 100_000,
        b'{"balance": 1, "balance": 2}',
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 200_000,
        b'"\\ud83d"',
        b"\xff\xfe{}",
        b"4_90",
        "٤٩".encode(),
    ],
)
def test_what_is_no_json_is_not_believed_and_not_shown(text: bytes) -> None:
    with pytest.raises(NotJson) as caught:
        read_json(text)
    assert text[:10].decode(errors="replace") not in str(caught.value) or not text


@pytest.mark.parametrize("text", ["4_90", "٤٩", "４９", "NaN", "Infinity", " 49", "49 ", "", "4,90"])
def test_an_amount_is_written_in_plain_digits(text: str) -> None:
    with pytest.raises(MoneyError):
        minor_from_decimal(text, "NOK")


@pytest.mark.parametrize("value", [49, 49.0, True, None, ["49"]])
def test_an_amount_is_a_text(value: Any) -> None:
    with pytest.raises(MoneyError):
        minor_from_decimal(value, "NOK")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1_0", "٣", "1e9", "", "soon", "-5"])
def test_a_wait_that_is_no_number_is_the_usual_one(text: str) -> None:
    class Answer:
        headers = {"Retry-After": text}

    assert retry_after_seconds(Answer(), datetime.now(UTC)) == RETRY_AFTER_SECONDS_DEFAULT  # type: ignore[arg-type]


@pytest.mark.parametrize("points", [-1, 1e300, "100", True, None, [], 10**18])
def test_a_cost_that_no_bucket_could_pay_is_no_cost(points: object) -> None:
    told = cost_of({"extensions": {"cost": {"requestedQueryCost": points, "actualQueryCost": points}}})
    assert (told.requested_points, told.actual_points) == (None, None)


@pytest.mark.parametrize(
    ("maximum", "available", "restore"),
    [(0, 0, 50), (-1, -2, 50), (1000, 1001, 50), (1000, 500, 0), (1000, 500, -5), (10**18, 500, 50)],
)
def test_a_bucket_that_cannot_be_is_not_taken_over(maximum: int, available: int, restore: int) -> None:
    status = {"maximumAvailable": maximum, "currentlyAvailable": available, "restoreRate": restore}
    assert cost_of({"extensions": {"cost": {"throttleStatus": status}}}).status is None


@pytest.mark.parametrize("number", ["٤٩", "4_9", "", "1" * 20, True, 1.5, None, -1])
def test_a_receipt_that_names_no_card_number_names_no_card(number: object) -> None:
    assert paid_card({"gift_card_id": number}) is None


def test_a_receipt_that_is_too_deep_is_no_receipt() -> None:
    assert receipt_of("[" * 100_000) == {}
