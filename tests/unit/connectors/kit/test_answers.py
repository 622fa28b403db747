"""What an answer means by its status, and how strictly the fields of its object are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from connectors.api.errors import InDoubt, SideClosed, Throttled
from connectors.kit.answers import AnswerReader, Rejected
from connectors.kit.fields import NotBelieved, day_of, minor_of, moment_of, text_of, worth_of
from connectors.kit.http import HttpClient

READER = AnswerReader("Kassa", {401: ("Kassa does not accept the token", "Make one.")}, reason_field="reason")
NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)


def answer(status: int, body: bytes = b"{}") -> requests.Response:
    made = requests.Response()
    made.status_code, made._content = status, body
    return made


@pytest.fixture
def client() -> HttpClient:
    return HttpClient("http://kassa.invalid", {}, clock=lambda: NOON)


@pytest.mark.parametrize("status", [200, 201])
def test_given_an_object_then_it_is_what_was_said(client: HttpClient, status: int) -> None:
    assert READER.read(client, answer(status, b'{"id": "7"}')) == {"id": "7"}


def test_given_404_then_there_is_no_such_thing(client: HttpClient) -> None:
    assert READER.read(client, answer(404, b"<html>")) is None


@pytest.mark.parametrize(
    ("status", "error"), [(401, SideClosed), (409, Rejected), (403, InDoubt), (302, InDoubt), (502, InDoubt)]
)
def test_given_another_status_then_it_is_one_of_the_errors(
    client: HttpClient, status: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        READER.read(client, answer(status))


def test_given_a_rejected_read_then_nothing_is_known_of_the_card(client: HttpClient) -> None:
    with pytest.raises(InDoubt, match="Kassa answered HTTP 409"):
        READER.read(client, answer(409), rejects=False)


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b'{"reason": "in_use"}', "in_use"), (b'{"reason": 7}', ""), (b"no", ""), (b"[]", "")],
)
def test_given_a_rejection_then_its_word_is_kept_if_it_has_one(
    client: HttpClient, body: bytes, reason: str
) -> None:
    with pytest.raises(Rejected) as caught:
        READER.read(client, answer(409, body))

    assert caught.value.reason == reason


def test_given_a_date_to_wait_for_then_it_is_by_the_clock_of_the_system(client: HttpClient) -> None:
    busy = answer(429)
    busy.headers["Date"] = "Sun, 17 May 2026 15:00:00 GMT"
    busy.headers["Retry-After"] = "Sun, 17 May 2026 15:00:30 GMT"

    with pytest.raises(Throttled) as caught:
        READER.read(client, busy)

    assert caught.value.wait_seconds == 30.0
    assert client.usage.throttled == 1


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        (text_of, 7, "`it` is no text"),
        (text_of, "", "`it` is no text"),
        (moment_of, "yesterday", "`it` is no time in ISO 8601"),
        (moment_of, "2026-05-17T12:00:00", "`it` has no offset"),
        (moment_of, 7, "`it` is no text"),
        (day_of, "17.05.2026", "`it` is no date"),
        (day_of, "1970-01-01", "`it` is 1970-01-01, which is the last day of no gift card; never is null"),
        (day_of, "20260517", "`it` is not written as 2027-12-31"),
    ],
)
def test_given_another_value_than_is_meant_then_it_is_not_believed(
    read: Any, value: object, words: str
) -> None:
    with pytest.raises(NotBelieved) as caught:
        read({"it": value}, "it")

    assert str(caught.value) == words


@pytest.mark.parametrize("value", [True, None, [], "-1.00", -1, "1.234", "a"])
def test_given_what_is_worth_nothing_then_it_is_not_believed(value: object) -> None:
    with pytest.raises(NotBelieved, match="`it`"):
        worth_of({"it": value}, "it", "NOK")


@pytest.mark.parametrize(("value", "minor"), [("12.50", 1250), (12.5, 1250), (0, 0), ("7", 700)])
def test_given_an_amount_as_text_or_number_then_it_is_in_minor_units(value: object, minor: int) -> None:
    assert worth_of({"it": value}, "it", "NOK") == minor


def test_given_a_signed_text_then_it_keeps_its_sign() -> None:
    assert minor_of({"it": "-12.50"}, "it", "NOK") == -1250
