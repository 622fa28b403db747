"""Conformance of the card endpoints, flow.md §1, §3 and §8."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.flow.behaviour import CvcMode, Edition, FlowBehaviour, NullValidTo, RateLimit, UnknownCard
from sandbox.flow.catalog import BRAND_GIFTCARD, BRANDS_DEFAULT, Brand, Permission, Store
from sandbox.flow.values import instant_text, parse_instant, to_ms
from tests.sandbox.test_flow_support import START, code_of, serve

PATH = "/tenants/7/stores/70/giftcards/"
BRAND_SECURE = Brand("secure", 3, "Secure", "903", cvc_required=True)


# flow.md §1: auth, ids, conventions.


def test_given_no_token_when_reading_then_401() -> None:
    with serve() as flow:
        answer = flow.session.get(f"{flow.url}/v2{PATH}1", timeout=5)
        assert answer.status_code == 401
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"code", "message"}


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic flow-test-token", "flow-test-token", "Bearer "])
def test_given_a_wrong_token_when_reading_then_401(header: str) -> None:
    with serve() as flow:
        answer = flow.call("GET", PATH + "1", headers={"Authorization": header})
        assert answer.status_code == 401


def test_given_a_token_without_the_permission_when_writing_then_403() -> None:
    with serve(tokens={"reader": {Permission.GIFTCARD_READ}}) as flow:
        number = flow.sell()
        reader = replace(flow, token="reader")
        assert reader.card(number).status_code == 200
        assert reader.put_card(number, {"note": "x"}).status_code == 403
        assert reader.post("/tenants/7/stores/70/orders", {"type": "ORDER"}).status_code == 403
        assert reader.post("/tenants/7/paymentmethods", {}).status_code == 403
        assert reader.get("/tenants/7/httptransports").status_code == 403
        assert reader.get("/tenants/7/orders/1").status_code == 403


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/tenants/8/stores/70/giftcards/1", 404, "TENANT_NOT_FOUND"),
        ("/tenants/7/stores/71/giftcards/1", 404, "STORE_NOT_FOUND"),
        ("/tenants/7/stores/70/giftcards/1", 404, "GIFTCARD_NOT_FOUND"),
        ("/tenants/7/orders/1", 404, "ORDER_NOT_FOUND"),
        ("/tenants/7/nothing", 404, "PATH_NOT_FOUND"),
        ("/tenants/7/stores/7%200/giftcards/1", 400, "BAD_REQUEST"),
        ("/tenants/7.1/stores/70/giftcards/1", 400, "BAD_REQUEST"),
        ("/tenants/7/orders/a%20b", 400, "BAD_REQUEST"),
    ],
)
def test_given_a_bad_path_when_reading_then_the_error_says_which(path: str, status: int, code: str) -> None:
    with serve() as flow:
        answer = flow.get(path)
        assert (answer.status_code, code_of(answer)) == (status, code)


def test_given_a_card_number_with_a_slash_when_reading_then_it_is_one_free_string() -> None:
    with serve() as flow:
        answer = flow.get(PATH + "a%2Fb%20c")
        assert (answer.status_code, code_of(answer)) == (404, "GIFTCARD_NOT_FOUND")


def test_given_a_rate_limit_when_calling_too_often_then_429_with_retry_after() -> None:
    with serve(FlowBehaviour(rate_limit=RateLimit(2, 10))) as flow:
        assert [flow.get("/countries").status_code for _ in range(3)] == [200, 200, 429]
        answer = flow.get("/countries")
        assert answer.headers["Retry-After"] == "10"
        assert flow.stats()["operations"]["GET countries"]["throttles"] == 2
        flow.clock.forward(seconds=10)
        assert flow.get("/countries").status_code == 200


# flow.md §3: GET.


def test_given_the_newer_edition_when_reading_a_card_then_every_field_is_there() -> None:
    with serve() as flow:
        number = flow.sell("150.50")
        card = flow.card(number, extensionCode="FLOWGIFTCARD").json()
        assert card == {
            "balance": 15050,
            "cardId": 1,
            "cardNumber": number,
            "validTo": "2029-02-28T12:00:00.000Z",
            "brandId": 1,
            "brandName": "Gavekort",
            "issuerName": "Sandbox Issuer",
            "note": "",
            "status": "ACTIVE",
            "cvcRequired": False,
            "legacyCardNumber": "",
        }
        assert len(number) == 16
        assert number.isdigit()


def test_given_the_older_edition_when_reading_a_card_then_active_replaces_status() -> None:
    with serve(FlowBehaviour(edition=Edition.OLDER)) as flow:
        number = flow.sell()
        keys = {"active", "balance", "cardId", "cardNumber", "validTo", "brandId", "brandName", "note"}
        assert set(flow.card(number).json()) == keys
        assert flow.card(number).json()["active"] is True
        assert flow.put_card(number, {"active": False}).json()["active"] is False
        assert flow.put_card(number, {"status": "CLEARED"}).status_code == 400


def test_given_the_switch_when_reading_a_newer_card_then_the_deprecated_active_is_there_too() -> None:
    with serve(FlowBehaviour(newer_shows_active=True)) as flow:
        card = flow.card(flow.sell()).json()
        assert (card["active"], card["status"]) == (True, "ACTIVE")


def test_given_a_brand_without_an_end_when_reading_then_valid_to_is_null() -> None:
    with serve() as flow:
        assert flow.card(flow.sell(brand="creditvoucher")).json()["validTo"] is None


@pytest.mark.parametrize(
    ("extension", "status"),
    [
        ("FLOWGIFTCARD", 200),
        ("STORE_CREDIT", 404),
        ("BRITANNIA", 404),
        ("PAYEX_GIFTCARD", 404),
        ("GIFTCARD", 400),
        ("flowgiftcard", 400),
    ],
)
def test_given_an_extension_code_when_reading_then_only_its_cards_are_found(
    extension: str, status: int
) -> None:
    with serve() as flow:
        assert flow.card(flow.sell(), extensionCode=extension).status_code == status


def test_given_the_switch_when_reading_an_unknown_number_then_200_and_empty() -> None:
    with serve(FlowBehaviour(unknown_card=UnknownCard.EMPTY_ANSWER)) as flow:
        answer = flow.card("1234567890123456")
        assert (answer.status_code, answer.json()) == (200, {})


def test_given_the_extension_is_off_when_reading_then_404() -> None:
    with serve(FlowBehaviour(extension_active=False)) as flow:
        assert flow.card(flow.sell()).status_code == 404


def test_given_two_stores_when_reading_through_both_then_it_is_one_card_where_the_brand_matches() -> None:
    stores = (Store("71"), Store("72", brands=("creditvoucher",)))
    with serve(stores=stores) as flow:
        number = flow.sell()
        assert flow.card(number, store="71").json() == flow.card(number).json()
        assert flow.card(number, store="72").status_code == 404
        assert flow.card(flow.sell(brand="creditvoucher"), store="72").status_code == 200


def test_given_a_legacy_number_when_reading_then_the_card_is_found_unless_switched_off() -> None:
    with serve(cards=1) as flow:
        (card,) = flow.session.get(f"{flow.url}/_sandbox/cards", timeout=5).json()
        answer = flow.card(card["legacy_number"]).json()
        assert answer["cardNumber"] == card["number"]
        assert answer["legacyCardNumber"] == card["legacy_number"]
    with serve(FlowBehaviour(legacy_lookups=False), cards=1) as flow:
        assert flow.card(card["legacy_number"]).status_code == 404


@pytest.mark.parametrize("expiry_changes_status", [False, True])
def test_given_an_expired_card_when_reading_then_the_status_follows_the_switch(
    expiry_changes_status: bool,
) -> None:
    with serve(FlowBehaviour(expiry_changes_status=expiry_changes_status)) as flow:
        number = flow.sell()
        flow.control("expire", {"number": number})
        status = flow.card(number).json()["status"]
        assert status == ("EXPIRED" if expiry_changes_status else "ACTIVE")
        flow.control("redeem", {"number": number, "amount": 1}, status=409)


def test_given_an_unseen_status_when_the_back_office_sets_it_then_it_is_shown_and_unspendable() -> None:
    with serve(FlowBehaviour(unseen_status="UNDER_REVIEW")) as flow:
        number = flow.sell()
        flow.control("status", {"number": number, "status": "UNDER_REVIEW"})
        assert flow.card(number).json()["status"] == "UNDER_REVIEW"
        assert flow.put_card(number, {"status": "ACTIVE"}).status_code == 409
        order = flow.redemption(number, 100)
        assert code_of(flow.pay_with_card(order, number, 100)) == "CARD_NOT_USABLE"


# flow.md §8: CVC.


def test_given_a_card_that_needs_a_cvc_when_it_is_missing_or_wrong_then_422() -> None:
    with serve(brands=(*BRANDS_DEFAULT, BRAND_SECURE)) as flow:
        sold = flow.control("sell", {"brand": "secure", "amount": "10"})
        wrong = f"{(int(sold['cvc']) + 1) % 1000:03d}"
        assert flow.card(sold["number"]).status_code == 422
        assert code_of(flow.card(sold["number"], cvc=wrong)) == "WRONG_CVC"
        answer = flow.card(sold["number"], cvc=sold["cvc"])
        assert answer.json()["balance"] == 1000
        assert answer.json()["cvcRequired"] is True
        assert "cvc" not in answer.json()


def test_given_the_hiding_mode_when_the_cvc_is_missing_then_the_balance_is_null() -> None:
    behaviour = FlowBehaviour(cvc_mode=CvcMode.HIDE_BALANCE)
    with serve(behaviour, brands=(BRAND_SECURE,)) as flow:
        sold = flow.control("sell", {"amount": "10"})
        assert flow.card(sold["number"]).json()["balance"] is None
        assert flow.card(sold["number"], cvc=sold["cvc"]).json()["balance"] == 1000


def test_given_a_card_that_needs_a_cvc_when_paying_then_the_cvc_decides_and_is_never_echoed() -> None:
    with serve(brands=(*BRANDS_DEFAULT, BRAND_SECURE)) as flow:
        sold = flow.control("sell", {"brand": "secure", "amount": "10"})
        number = sold["number"]
        order = flow.redemption(number, 1000)
        assert code_of(flow.pay_with_card(order, number, 1000)) == "WRONG_CVC"
        both = [{"key": "cardNumber", "value": number}, {"key": "cvc", "value": sold["cvc"]}]
        answer = flow.pay_with_card(order, number, 1000, parameters=both)
        assert answer.status_code == 201
        assert answer.json()["parameters"] == [{"key": "cardNumber", "value": number}]
        settlements = flow.read_order(order)["settlements"]
        assert all(pair["key"] != "cvc" for one in settlements for pair in one["parameters"])


# flow.md §3: PUT.


def test_given_a_note_when_put_alone_then_everything_else_stays() -> None:
    with serve() as flow:
        number = flow.sell()
        before = flow.card(number).json()
        answer = flow.put_card(number, {"note": "hello"})
        assert answer.status_code == 200
        assert answer.json() == before | {"note": "hello"}
        assert flow.card(number).json() == answer.json()


def test_given_omitted_keys_are_cleared_when_putting_a_note_then_valid_to_goes() -> None:
    with serve(FlowBehaviour(put_omitted_keys_stay=False)) as flow:
        number = flow.sell()
        assert flow.put_card(number, {"note": "x"}).json()["validTo"] is None
        assert flow.put_card(number, {"validTo": "2030-01-01T00:00:00Z"}).json()["note"] == ""


@pytest.mark.parametrize(
    ("mode", "status", "cleared"),
    [(NullValidTo.CLEARS, 200, True), (NullValidTo.IGNORED, 200, False), (NullValidTo.REFUSED, 400, False)],
)
def test_given_a_null_valid_to_when_put_then_the_switch_decides(
    mode: NullValidTo, status: int, cleared: bool
) -> None:
    with serve(FlowBehaviour(null_valid_to=mode)) as flow:
        number = flow.sell()
        assert flow.put_card(number, {"validTo": None}).status_code == status
        assert (flow.card(number).json()["validTo"] is None) is cleared


def test_given_an_instant_with_an_offset_when_put_then_it_is_answered_in_utc() -> None:
    with serve() as flow:
        number = flow.sell()
        answer = flow.put_card(number, {"validTo": "2027-01-31T23:59:59.999+01:00"})
        assert answer.json()["validTo"] == "2027-01-31T22:59:59.999Z"


@pytest.mark.parametrize(
    "body",
    [
        {"validTo": "2027-01-31"},
        {"validTo": "2027-01-31T23:59:59"},
        {"validTo": "2027-02-31T00:00:00Z"},
        {"validTo": 5},
        {"note": 5},
        {"note": None},
        {"status": "SLEEPING"},
        {"status": "EXPIRED"},
        {"status": "BLOCKED"},
        {"status": None},
        {"active": "false"},
        {"active": True, "status": "INACTIVE"},
        {"extensionCode": "OTHER"},
        {"balance": 100},
        [],
        "x",
    ],
)
def test_given_a_bad_body_when_put_then_400_and_nothing_changes(body: object) -> None:
    with serve() as flow:
        number = flow.sell()
        before = flow.card(number).json()
        assert flow.put_card(number, body).status_code == 400
        assert flow.card(number).json() == before


def test_given_text_that_is_not_json_when_put_then_400() -> None:
    with serve() as flow:
        number = flow.sell()
        for raw in (b"", b"{", b"\xff", b'{"note": NaN}', b"[" * 100_000):
            assert flow.call("PUT", PATH + number, data=raw).status_code == 400


def test_given_unknown_keys_are_ignored_when_putting_a_balance_then_it_does_not_change() -> None:
    with serve(FlowBehaviour(refuse_unknown_keys=False)) as flow:
        number = flow.sell("10")
        assert flow.put_card(number, {"balance": 1}).json()["balance"] == 1000


def test_given_an_active_card_when_suspended_by_status_or_active_then_it_can_come_back() -> None:
    with serve() as flow:
        number = flow.sell()
        assert flow.put_card(number, {"status": "INACTIVE"}).json()["status"] == "INACTIVE"
        flow.control("redeem", {"number": number, "amount": 1}, status=409)
        assert flow.put_card(number, {"active": True}).json()["status"] == "ACTIVE"
        assert flow.control("redeem", {"number": number, "amount": 1})["balance"] == "99.00"


def test_given_a_blocked_card_when_put_active_then_409() -> None:
    with serve() as flow:
        number = flow.sell()
        flow.control("block", {"number": number})
        answer = flow.put_card(number, {"status": "ACTIVE"})
        assert (answer.status_code, code_of(answer)) == (409, "STATUS_LOCKED")


def test_given_a_card_when_cleared_then_the_balance_is_gone_for_good() -> None:
    with serve() as flow:
        number = flow.sell("10")
        card = flow.put_card(number, {"status": "CLEARED"}).json()
        assert (card["status"], card["balance"]) == ("CLEARED", 0)
        assert flow.put_card(number, {"status": "CLEARED"}).status_code == 200
        for body in ({"status": "ACTIVE"}, {"status": "INACTIVE"}, {"active": True}):
            assert flow.put_card(number, body).status_code == 409
        assert flow.put_card(number, {"note": "closed"}).json()["note"] == "closed"
        truth = flow.truth(number)
        assert [(one["kind"], one["amount"]) for one in truth["transactions"]] == [
            ("issue", "10.00"),
            ("clear", "-10.00"),
        ]
        flow.control("deposit", {"number": number, "amount": 1}, status=409)


def test_given_the_switch_when_clearing_a_card_with_money_then_409() -> None:
    with serve(FlowBehaviour(clearing_needs_zero_balance=True)) as flow:
        number = flow.sell("10")
        assert flow.put_card(number, {"status": "CLEARED"}).status_code == 409
        flow.control("redeem", {"number": number, "amount": "10"})
        assert flow.put_card(number, {"status": "CLEARED"}).status_code == 200


def test_given_a_put_on_an_unknown_card_then_404() -> None:
    with serve() as flow:
        assert flow.put_card("1", {"note": "x"}).status_code == 404


def test_instants_are_read_and_written_without_loss() -> None:
    for text in ("2025-10-30T21:24:19.803Z", "1970-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"):
        assert instant_text(parse_instant(text)) == text
    assert instant_text(to_ms(START)) == "2026-03-01T12:00:00.000Z"
    for text in ("0001-01-01T00:00:00Z", "2025-13-01T00:00:00Z", "2025-10-30", "9999-12-31T23:59:59-01:00"):
        with pytest.raises(ValueError):
            parse_instant(text)


def test_brands_are_what_the_documentation_says_a_store_usually_has() -> None:
    assert [brand.name for brand in BRANDS_DEFAULT] == ["Gavekort", "Tilgodelapp"]
    assert not BRAND_GIFTCARD.cvc_required
