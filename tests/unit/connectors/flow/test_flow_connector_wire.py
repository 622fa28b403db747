"""The connector over a scripted wire: what is sent, and what each answer leads to."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses

from connectors.api.card import Absent, CardRef, Seen, Unreadable
from connectors.api.effect import Effect, EffectKind, no_save
from connectors.api.errors import (
    InDoubt,
    NotSent,
    Refusal,
    Refused,
    SideClosed,
    SideError,
    Throttled,
)
from connectors.flow import FlowSettings, FlowSide
from connectors.flow.client import FlowClient
from connectors.flow.discovery import GiftCardMethod, resolve_parameters
from connectors.flow.model import MethodParameter, Misread, parse_card, parse_order, parse_page
from connectors.flow.pace import WAIT_SECONDS_MAX, Pace
from connectors.flow.receipts import Cursor
from connectors.flow.settings import READS_AT_ONCE
from connectors.flow.side import DOUBTS_MAX
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from tests.support import TRANSPORT, Time, without_addresses

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NUMBER = "5000000000000017"
SERIAL = Serial(NUMBER)
TOKEN = "flow-wire-token"
BASE = "https://api.flowretail.com/v2"
CARD_URL = f"{BASE}/tenants/7/stores/70/giftcards/{NUMBER}"
CARD: dict[str, Any] = {
    "balance": 10_000,
    "cardId": 12,
    "cardNumber": NUMBER,
    "validTo": "2031-05-17T21:59:59.999Z",
    "brandId": 1,
    "brandName": "Gavekort",
    "issuerName": "Issuer",
    "note": "",
    "status": "ACTIVE",
    "cvcRequired": False,
    "legacyCardNumber": "",
}
METHOD = GiftCardMethod("GIFTCARD", "cardNumber", None, False, allow_sale=True, allow_refund=True)
NEWER_KEYS = {"issuerName", "status", "cvcRequired", "legacyCardNumber"}
OLDER = {key: value for key, value in CARD.items() if key not in NEWER_KEYS}


@pytest.fixture
def time() -> Time:
    return Time(NOW)


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(target=TRANSPORT) as mock:
        yield mock


def settings(**changes: Any) -> FlowSettings:
    known = {"tenant": "7", "store": "70", "token": TOKEN, "timezone": "Europe/Oslo", "currency": "NOK"}
    return FlowSettings(**{**known, **changes})


@pytest.fixture
def side(time: Time) -> Iterator[FlowSide]:
    side = FlowSide(settings(), clock=time.clock, pause=time.pause, monotonic=time.monotonic)
    # What is discovered beside the currency is no matter here.
    side._discovery._known["currency"] = "NOK"
    yield side
    side.close()


# Cards, strictly.


def test_both_editions_of_a_card_are_read() -> None:
    newer, older = parse_card(CARD), parse_card({**OLDER, "active": True})

    assert (newer.status_text, newer.active, newer.shown_status) == ("ACTIVE", None, "ACTIVE")
    assert (older.status_text, older.active, older.shown_status) == (None, True, "active: true")
    assert newer.number == older.number == SERIAL
    assert NUMBER not in repr(newer)


def test_a_legacy_number_answers_too() -> None:
    card = parse_card({**CARD, "legacyCardNumber": "10000001"})

    assert card.answers_to(Serial("10000001"))
    assert card.answers_to(SERIAL)
    assert not card.answers_to(Serial("5000000000000018"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"balance": 100.0},
        {"balance": "10000"},
        {"balance": True},
        {"balance": None},
        {"balance": -1},
        {"balance": 10**16},
        {"cardId": "12"},
        {"cardId": None},
        {"cardNumber": ""},
        {"cardNumber": 5000000000000017},
        {"validTo": "tomorrow"},
        {"validTo": "0001-01-01T00:00:00Z"},
        {"validTo": "2031-05-17T21:59:59"},
        {"validTo": 1},
        {"status": 1},
        {"active": "yes"},
        {"cvcRequired": 1},
    ],
)
def test_a_card_of_another_shape_is_no_answer(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(Misread) as caught:
        parse_card({**CARD, **wrong})
    assert next(iter(wrong)) in str(caught.value)
    assert NUMBER not in str(caught.value)


@pytest.mark.parametrize("key", ["balance", "cardId", "cardNumber", "validTo"])
def test_a_card_without_what_matters_is_no_answer(key: str) -> None:
    with pytest.raises(Misread):
        parse_card({name: value for name, value in CARD.items() if name != key})


@pytest.mark.parametrize("payload", [None, [], "card", 1, {"items": []}, {"orderUid": 1}, {"orderUid": "1"}])
def test_an_order_of_another_shape_is_no_answer(payload: object) -> None:
    with pytest.raises(Misread):
        parse_order(payload)


def test_a_settlements_amount_is_an_integer() -> None:
    order = {"orderUid": "1", "items": [], "settlements": [{"amount": 1.5}]}
    with pytest.raises(Misread):
        parse_order(order)


def test_a_list_may_come_with_or_without_paging() -> None:
    paging = {"pageNumber": 0, "pageSize": 1, "totalCount": 3}
    assert (parse_page({"items": [{}], "paging": paging}, "x").total) == 3
    assert (parse_page({"items": [{}]}, "x").number) is None
    assert len(parse_page([{}, {}], "x").items) == 2
    with pytest.raises(Misread):
        parse_page({"entries": []}, "x")


# What each status means.


def answer_of(side: FlowSide) -> object:
    (observation,) = side.observe([CardRef(serial=SERIAL)])
    return observation


def query_of(call: responses.Call) -> dict[str, list[str]]:
    return parse_qs(urlsplit(str(call.request.url)).query)


def test_a_read_sends_what_the_documentation_says(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.get(CARD_URL, json=CARD)

    observation = answer_of(side)

    assert isinstance(observation, Seen)
    assert (observation.native_id, observation.balance_minor, observation.currency) == ("12", 100_00, "NOK")
    assert observation.status is CardStatus.ACTIVE
    assert observation.expires_on is not None
    assert observation.expires_on.isoformat() == "2031-05-17"
    (call,) = wire.calls
    assert call.request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert query_of(call) == {"extensionCode": ["FLOWGIFTCARD"]}


@pytest.mark.parametrize(("debits", "needs"), [(True, True), (False, False)])
def test_a_payment_method_that_asks_for_a_cvc_asks_for_that_of_every_card(
    wire: responses.RequestsMock, time: Time, debits: bool, needs: bool
) -> None:
    proved = settings(api_settlement_debits=debits, debit_product_uid="redemption")
    side = FlowSide(proved, clock=time.clock, pause=time.pause, monotonic=time.monotonic)
    side._discovery._known |= {"currency": "NOK", "method": replace(METHOD, cvc_key="cvc", cvc_required=True)}
    wire.get(CARD_URL, json=CARD)

    (seen,) = side.observe([CardRef(serial=SERIAL)])

    assert isinstance(seen, Seen)
    assert seen.needs_cvc is needs
    side.close()


def test_a_cvc_is_passed_and_not_kept(wire: responses.RequestsMock, time: Time) -> None:
    side = FlowSide(
        settings(cvc_for=lambda _: "937"), clock=time.clock, pause=time.pause, monotonic=time.monotonic
    )
    side._discovery._known["currency"] = "NOK"
    wire.get(CARD_URL, json=CARD)

    answer_of(side)

    (call,) = wire.calls
    assert query_of(call)["cvc"] == ["937"]
    assert "937" not in without_addresses(repr(vars(side._client)) + repr(side._settings))
    side.close()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error":{"code":"GIFTCARD_NOT_FOUND"}}', b"gone"])
def test_404_is_absent(wire: responses.RequestsMock, side: FlowSide, body: bytes) -> None:
    wire.get(CARD_URL, status=404, body=body)
    assert isinstance(answer_of(side), Absent)


def test_a_gateways_404_is_no_answer(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.get(CARD_URL, status=404, body="<h1>Not found</h1>", content_type="text/html; charset=utf-8")
    assert isinstance(answer_of(side), Unreadable)


@pytest.mark.parametrize("body", ["null", "[]", "{}", "<html>", "{", '{"balance": 1}'])
def test_a_body_that_is_no_card_is_unreadable(
    wire: responses.RequestsMock, side: FlowSide, body: str
) -> None:
    wire.get(CARD_URL, body=body, content_type="application/json")
    assert isinstance(answer_of(side), Unreadable)


def test_another_cards_answer_is_unreadable(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.get(CARD_URL, json={**CARD, "cardNumber": "5000000000000018"})
    observation = answer_of(side)
    assert isinstance(observation, Unreadable)
    assert "another card" in observation.reason


def test_a_number_that_moved_to_another_card_is_unreadable(
    wire: responses.RequestsMock, side: FlowSide
) -> None:
    wire.get(CARD_URL, json=CARD)
    (observation,) = side.observe([CardRef("11", SERIAL)])
    assert isinstance(observation, Unreadable)


def test_a_reference_without_a_number_is_unreadable_and_asks_nothing(side: FlowSide) -> None:
    (observation,) = side.observe([CardRef("12")])
    assert isinstance(observation, Unreadable)
    assert "number" in observation.reason


@pytest.mark.parametrize(("status", "remedy"), [(401, "integration token"), (403, "SALES_ORDER")])
def test_a_refused_token_closes_the_side(
    wire: responses.RequestsMock, side: FlowSide, status: int, remedy: str
) -> None:
    wire.get(CARD_URL, status=status)
    with pytest.raises(SideClosed) as caught:
        answer_of(side)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("status", [301, 307, 408, 425, 500, 502, 503, 504])
def test_a_status_that_proves_nothing_is_a_doubt(
    wire: responses.RequestsMock, side: FlowSide, status: int
) -> None:
    wire.get(CARD_URL, status=status)
    assert isinstance(answer_of(side), Unreadable)
    # Reads are repeated.
    assert len(wire.calls) == 4


def test_a_broken_side_is_not_asked_for_every_card(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.get(CARD_URL, status=500)
    observations = side.observe([CardRef(serial=SERIAL)] * 100)

    assert isinstance(next(observations), Unreadable)
    assert isinstance(next(observations), Unreadable)
    with pytest.raises(InDoubt):
        next(observations)
    # Three in a row are enough; a few more have begun by then, and each is tried four times.
    assert len(wire.calls) <= (DOUBTS_MAX + READS_AT_ONCE - 1) * 4


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refused_read_is_unreadable(wire: responses.RequestsMock, side: FlowSide, status: int) -> None:
    wire.get(CARD_URL, status=status, json={"error": {"code": "WRONG_CVC", "message": f"card {NUMBER}"}})
    observation = answer_of(side)
    assert isinstance(observation, Unreadable)
    assert NUMBER not in observation.reason
    assert len(wire.calls) == 1


def test_429_silences_everybody_for_as_long_as_flow_says(
    wire: responses.RequestsMock, side: FlowSide, time: Time
) -> None:
    wire.get(CARD_URL, status=429, headers={"Retry-After": "7"})
    wire.get(CARD_URL, json=CARD)

    assert isinstance(answer_of(side), Seen)

    assert time.pauses == [7.0]
    assert side.usage().throttled == 1
    assert side.usage().calls == 2


def test_without_a_connection_nothing_was_sent(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.get(CARD_URL, body=requests.exceptions.ConnectTimeout("no"))
    with pytest.raises(NotSent):
        answer_of(side)


# Writes are sent once.

PUT_STATUS = Effect("gs-w1", EffectKind.SET_STATUS, CardRef(serial=SERIAL), "NOK", status=CardStatus.CLOSED)


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, InDoubt), (502, InDoubt), (408, InDoubt), (429, Throttled), (401, SideClosed), (403, SideClosed)]
    + [(status, Refused) for status in (400, 404, 405, 409, 413, 422)],
)
def test_a_change_is_sent_once_whatever_the_answer(
    wire: responses.RequestsMock, side: FlowSide, status: int, error: type[SideError]
) -> None:
    wire.get(CARD_URL, json=CARD)
    wire.put(CARD_URL, status=status)

    with pytest.raises(error):
        side.apply(PUT_STATUS, no_save)

    assert [call.request.method for call in wire.calls] == ["GET", "PUT"]
    assert json.loads(wire.calls[1].request.body or "") == {"status": "CLEARED"}


@pytest.mark.parametrize("body", ["", "<html>", "{}", "null"])
def test_a_change_with_an_unreadable_answer_is_in_doubt(
    wire: responses.RequestsMock, side: FlowSide, body: str
) -> None:
    wire.get(CARD_URL, json=CARD)
    wire.put(CARD_URL, body=body)
    with pytest.raises(InDoubt):
        side.apply(PUT_STATUS, no_save)


def test_a_change_that_did_not_happen_is_refused(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.get(CARD_URL, json=CARD)
    wire.put(CARD_URL, json=CARD)
    with pytest.raises(Refused):
        side.apply(PUT_STATUS, no_save)


def test_what_already_is_so_is_not_written_again(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.get(CARD_URL, json={**CARD, "status": "CLEARED", "balance": 0})
    assert side.apply(PUT_STATUS, no_save).native_id == "12"
    assert len(wire.calls) == 1


def test_a_card_that_flow_does_not_have_is_not_changed(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.get(CARD_URL, status=404)
    with pytest.raises(Refused) as caught:
        side.apply(PUT_STATUS, no_save)
    assert caught.value.reason is Refusal.NOT_FOUND


def test_nobody_is_notified(side: FlowSide) -> None:
    with pytest.raises(Refused):
        side.apply(Effect("gs-w2", EffectKind.NOTIFY, CardRef(serial=SERIAL), "NOK"), no_save)


# Secrets.


def test_no_serial_or_token_reaches_a_log(
    wire: responses.RequestsMock, side: FlowSide, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # This is what urllib3 writes of each request when debug logs are on.
    logging.getLogger("urllib3.connectionpool").debug('"GET %s HTTP/1.1"', CARD_URL)
    for status in (200, 404, 422, 500):
        wire.get(CARD_URL, status=status, json=CARD)
        answer_of(side)
    wire.get(CARD_URL, body=requests.exceptions.ConnectionError(f"GET {CARD_URL}"))

    observation = answer_of(side)

    assert isinstance(observation, Unreadable)
    for text in (caplog.text, repr(observation), repr(side)):
        assert NUMBER not in text
        assert TOKEN not in text


# The pace.


def test_a_rate_is_kept_by_waiting(time: Time) -> None:
    pace = Pace(4.0, time.pause, time.monotonic)
    for _ in range(9):
        pace.wait_turn()
    assert time.now - NOW == timedelta(seconds=2)


def test_without_a_rate_nobody_waits(time: Time) -> None:
    pace = Pace(None, time.pause, time.monotonic)
    for _ in range(100):
        pace.wait_turn()
    assert time.pauses == []


def test_a_long_silence_sends_callers_away_instead_of_holding_them(time: Time) -> None:
    pace = Pace(None, time.pause, time.monotonic)
    pace.hold(WAIT_SECONDS_MAX + 20)
    pace.hold(1)

    with pytest.raises(Throttled) as caught:
        pace.wait_turn()

    assert caught.value.wait_seconds == WAIT_SECONDS_MAX + 20
    assert time.pauses == []
    time.pause(WAIT_SECONDS_MAX + 20)
    pace.wait_turn()
    assert len(time.pauses) == 1


def test_who_waits_hears_of_a_silence_that_begins_meanwhile(time: Time) -> None:
    held = threading.Event()

    def pause(seconds: float) -> None:
        time.pause(seconds)
        if not held.is_set():
            held.set()
            pace.hold(3)

    pace = Pace(None, pause, time.monotonic)
    pace.hold(1)

    pace.wait_turn()

    assert time.pauses == [1.0, 3.0]


def test_a_clock_that_stands_still_does_not_hold_anybody_for_ever() -> None:
    pauses: list[float] = []
    pace = Pace(1.0, pauses.append, lambda: 0.0)
    pace.hold(2)
    pace.wait_turn()
    assert 1 <= len(pauses) <= 3


# Which parameter is the card number.


def parameter(key: str, name: str = "", *, required: bool = False) -> MethodParameter:
    return MethodParameter(key, name, required)


@pytest.mark.parametrize(
    ("parameters", "number", "cvc"),
    [
        ([parameter("cardNumber", required=True), parameter("cvc")], "cardNumber", "cvc"),
        ([parameter("card_ref", required=True), parameter("pinCode", required=True)], "card_ref", "pinCode"),
        ([parameter("p1", "Gavekortnummer", required=True), parameter("p2", "PIN")], "p1", "p2"),
        ([parameter("giftcardNumber", required=True)], "giftcardNumber", None),
        # A required one goes before an optional one that sounds alike.
        ([parameter("number", required=True), parameter("legacyNumber")], "number", None),
        # What sounds like both takes the role that is left.
        ([parameter("cardNumber", required=True), parameter("cardPin")], "cardNumber", "cardPin"),
        ([parameter("cardCode", required=True), parameter("cvc")], "cardCode", "cvc"),
        ([parameter("cardNumber", required=True), parameter("memo")], "cardNumber", None),
    ],
)
def test_parameters_are_told_by_their_sound(
    parameters: list[MethodParameter], number: str, cvc: str | None
) -> None:
    found_number, found_cvc = resolve_parameters(parameters)
    assert (found_number.key, found_cvc.key if found_cvc else None) == (number, cvc)


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        [parameter("memo", required=True)],
        [parameter("cardNumber", required=True), parameter("storeNumber", required=True)],
        [parameter("cardNumber", required=True), parameter("birthday", required=True)],
    ],
)
def test_parameters_that_are_not_clear_stop_the_side(parameters: list[MethodParameter]) -> None:
    with pytest.raises(SideClosed):
        resolve_parameters(parameters)


def test_a_configured_parameter_wins() -> None:
    parameters = [parameter("a", required=True), parameter("b"), parameter("cardNumber")]
    number, cvc = resolve_parameters(parameters, "a", "b")
    assert (number.key, cvc.key if cvc else None) == ("a", "b")


# Lists and the feed's cursor.


def test_a_list_that_does_not_end_is_given_up(wire: responses.RequestsMock, time: Time) -> None:
    client = FlowClient(settings(), time.clock, time.pause, time.monotonic)
    paging = {"pageNumber": 1, "pageSize": 1, "totalCount": 1_000_000}
    wire.get(f"{BASE}/countries", json={"items": [{}], "paging": paging})
    with pytest.raises(Misread):
        list(client.countries())
    client.close()


def test_a_uid_that_is_no_uid_never_reaches_a_path(time: Time) -> None:
    client = FlowClient(settings(), time.clock, time.pause, time.monotonic)
    with pytest.raises(Misread):
        client.order("../giftcards/1")
    client.close()


def test_a_feed_that_answers_the_same_page_again_is_given_up(
    wire: responses.RequestsMock, side: FlowSide
) -> None:
    receipts = {
        "items": [{"orderUid": "1", "orderReceiptUid": "r1"}],
        "paging": {"pageNumber": 1, "pageSize": 1, "totalCount": 9},
    }
    wire.post(f"{BASE}/tenants/7/receipts/search", json=receipts)
    wire.get(f"{BASE}/tenants/7/orders/1", status=404)
    with pytest.raises(InDoubt):
        list(side.hints("receipts", None))


def test_an_order_that_cannot_be_read_does_not_stop_the_feed(
    wire: responses.RequestsMock, side: FlowSide, caplog: pytest.LogCaptureFixture
) -> None:
    receipts = {
        "items": [{"orderUid": "1", "orderReceiptUid": "r1", "settledAt": "2026-11-23T11:00:00Z"}],
        "paging": {"pageNumber": 1, "pageSize": 50, "totalCount": 1},
    }
    wire.post(f"{BASE}/tenants/7/receipts/search", json=receipts)
    wire.get(f"{BASE}/tenants/7/orders/1", json={"orderUid": "1", "items": [], "settlements": [{}]})

    (page,) = side.hints("receipts", None)

    assert page.hints == []
    actions = [getattr(record, "action", "") for record in caplog.records]
    assert actions == ["flow_order_unreadable"]
    (page,) = side.hints("receipts", page.cursor)
    assert page.hints == []
    body = json.loads(wire.calls[-1].request.body or "")
    assert body == {"settledAtFrom": "2026-11-23T10:50:00.000Z"}
    # The second time its order is not asked for again.
    assert len(wire.calls) == 3


def receipts_of(*orders: str, **more: str) -> dict[str, Any]:
    """A page of a receipt search."""
    items = [
        {"orderUid": uid, "orderReceiptUid": f"r{uid}", "settledAt": "2026-11-23T11:00:00Z", **more}
        for uid in orders
    ]
    return {"items": items, "paging": {"pageNumber": 1, "pageSize": 50, "totalCount": len(items)}}


def test_an_order_that_is_shown_as_ours_is_read_in_the_first_pass_only(
    wire: responses.RequestsMock, side: FlowSide
) -> None:
    """Another ledger may have made it before this one began; from then on it can only be this one's."""
    side._discovery._known["method"] = METHOD
    order = {"orderUid": "1", "externalOrderNumber": "gs-abc", "items": [], "settlements": []}
    search = f"{BASE}/tenants/7/receipts/search"
    wire.post(search, json=receipts_of("1", externalOrderNumber="gs-abc"))
    wire.post(search, json=receipts_of("2", externalOrderNumber="gs-def"))
    read = wire.get(f"{BASE}/tenants/7/orders/1", json=order)

    (page,) = side.hints("receipts", None)
    assert read.call_count == 1

    (page,) = side.hints("receipts", page.cursor)
    assert page.hints == []
    assert "r2" in json.loads(page.cursor)["known"]


def test_a_page_of_which_an_order_is_in_doubt_is_read_again_as_a_whole(
    wire: responses.RequestsMock, side: FlowSide
) -> None:
    side._discovery._known["method"] = METHOD
    uids = [str(number) for number in range(1, 7)]
    wire.post(f"{BASE}/tenants/7/receipts/search", json=receipts_of(*uids))
    for uid in uids:
        parameters = [{"key": "cardNumber", "value": f"50000000000000{uid}0"}]
        settlement = {"amount": 100, "settlementCode": "GIFTCARD", "parameters": parameters}
        order = {"orderUid": uid, "items": [], "settlements": [settlement]}
        wire.get(f"{BASE}/tenants/7/orders/{uid}", json=order)
    lost = f"{BASE}/tenants/7/orders/4"
    wire.replace("GET", lost, status=503)

    with pytest.raises(InDoubt):
        list(side.hints("receipts", None))
    wire.replace("GET", lost, json={"orderUid": "4", "items": [], "settlements": [settlement]})
    (page,) = side.hints("receipts", None)

    assert [hint.last_chars for hint in page.hints] == ["0010", "0020", "0030", "0060", "0050", "0060"]
    assert sorted(json.loads(page.cursor)["known"]) == [f"r{uid}" for uid in uids]


def test_a_refused_search_closes_the_side(wire: responses.RequestsMock, side: FlowSide) -> None:
    wire.post(f"{BASE}/tenants/7/receipts/search", status=400)
    with pytest.raises(SideClosed):
        list(side.hints("receipts", None))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"v":2}', "receipts", '{"v":1,"known":[]}'])
def test_a_cursor_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        Cursor.load(text)


def test_a_cursor_goes_there_and_back() -> None:
    cursor = Cursor(NOW, NOW, {"a": NOW}, {"b": NOW}, 3, 150, 50)
    assert Cursor.load(cursor.dump()) == cursor
    assert Cursor.load(Cursor().dump()) == Cursor()


def test_a_feed_that_flow_does_not_have_is_a_mistake(side: FlowSide) -> None:
    with pytest.raises(ValueError):
        side.hints("webhooks", None)
