"""Answers that cannot be believed or do not end, and refusals, on both emulators."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
import requests

from sandbox.faults import FaultKind, FaultPlan, FaultRule, FaultRuleError, parse_fault_rules
from tests.sandbox.conftest_shopify import CREDIT, TOKEN, Shop, money
from tests.sandbox.test_flow_support import Flow, code_of

MIB = 1 << 20


def strike(side: Flow | Shop, kind: str, match: str = "", **more: object) -> None:
    """The next operation meets the fault."""
    rule = {"match": match, "kind": kind, "probability": 1, "times": 1, **more}
    answer = side.session.post(f"{side.url}/_sandbox/faults", json={"seed": 1, "rules": [rule]}, timeout=10)
    assert answer.status_code == 200, answer.text


def test_given_a_dripped_answer_then_it_comes_byte_by_byte_and_whole(flow: Flow) -> None:
    number = flow.sell(100)
    strike(flow, "drip", delay_ms=0)
    answer = flow.call("GET", f"/tenants/7/stores/70/giftcards/{number}", stream=True)
    chunks = list(answer.iter_content(chunk_size=None))
    assert json.loads(b"".join(chunks))["balance"] == 10_000
    assert int(answer.headers["Content-Length"]) == sum(map(len, chunks))


def test_given_a_slow_drip_when_the_client_leaves_then_the_side_goes_on(flow: Flow) -> None:
    number = flow.sell(100)
    strike(flow, "drip", delay_ms=60_000)
    answer = flow.call("GET", f"/tenants/7/stores/70/giftcards/{number}", stream=True)
    assert answer.status_code == 200
    answer.close()
    assert flow.card(number).json()["balance"] == 10_000


def test_given_a_huge_answer_then_it_is_valid_and_as_big_as_told(flow: Flow) -> None:
    number = flow.sell(100)
    strike(flow, "huge", size=3 * MIB)
    answer = flow.card(number)
    assert len(answer.content) == 3 * MIB
    assert answer.json()["balance"] == 10_000


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_given_a_gzip_bomb_then_little_is_sent_and_much_comes_out(flow: Flow, size: int) -> None:
    number = flow.sell(100)
    strike(flow, "gzip_bomb", size=size)
    answer = flow.call("GET", f"/tenants/7/stores/70/giftcards/{number}", stream=True)
    packed = answer.raw.read(decode_content=False)
    unpacked = gzip.decompress(packed)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(unpacked) >= size
    assert len(packed) < 10_000
    assert json.loads(unpacked)["balance"] == 10_000


def test_given_a_bomb_of_the_size_of_the_issue_then_it_is_made_without_holding_it(shop: Shop) -> None:
    strike(shop, "gzip_bomb", size=64 * MIB)
    answer = shop.session.post(
        f"{shop.url}/admin/api/2026-10/graphql.json",
        json={"query": "{ shop { name } }"},
        headers={"X-Shopify-Access-Token": TOKEN},
        timeout=10,
        stream=True,
    )
    unpacker, size = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    for chunk in answer.raw.stream(65_536, decode_content=False):
        size += len(unpacker.decompress(chunk))
    assert unpacker.eof
    assert 64 * MIB <= size < 66 * MIB


def test_given_deep_json_then_a_plain_reader_gives_up(shop: Shop) -> None:
    strike(shop, "deep_json", size=100_000)
    answer = shop.post({"query": "{ shop { name } }"})
    assert answer.text == "[" * 100_000 + "]" * 100_000
    with pytest.raises(RecursionError):
        json.loads(answer.text)


def test_given_no_numbers_then_costs_and_balances_are_nan(flow: Flow, shop: Shop) -> None:
    strike(shop, "not_a_number")
    assert '"requestedQueryCost": NaN' in shop.post({"query": "{ shop { name } }"}).text
    number = flow.sell(100)
    strike(flow, "not_a_number")
    assert '"balance": NaN' in flow.card(number).text


def test_given_a_wrong_type_or_a_sign_in_page_then_the_status_is_still_200(flow: Flow) -> None:
    number = flow.sell(100)
    strike(flow, "wrong_type")
    answer = flow.card(number)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.json()["balance"] == 10_000
    strike(flow, "html")
    answer = flow.card(number)
    assert answer.status_code == 200
    assert "sign in" in answer.text


def test_given_a_reset_in_the_middle_then_the_operation_has_happened(shop: Shop) -> None:
    gid = shop.create("10", code="cut0000001")
    strike(shop, "cut_body", "giftCardCredit")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        shop.run(CREDIT, id=gid, input={"creditAmount": money("5")})
    assert shop.cards()[gid]["balance"] == "15.00"


def test_given_a_request_that_is_sent_twice_then_it_counts_twice(flow: Flow, shop: Shop) -> None:
    gid = shop.create("10", code="double0001")
    strike(shop, "double_apply", "giftCardCredit")
    shop.payload(CREDIT, id=gid, input={"creditAmount": money("5"), "note": "gs-1"})
    assert [one["note"] for one in shop.cards()[gid]["transactions"]] == ["gs-1", "gs-1"]
    number = flow.sell(100)
    order = flow.redemption(number, 4000)
    strike(flow, "double_apply", "settlements")
    assert flow.pay_with_card(order, number, 2000).status_code == 201
    assert flow.truth(number)["balance"] == "60.00"


def test_given_a_refusal_then_nothing_happened_and_no_reason_is_given(flow: Flow, shop: Shop) -> None:
    gid = shop.create("10", code="refused001")
    strike(shop, "refuse", "giftCardCredit")
    payload = shop.payload(CREDIT, id=gid, input={"creditAmount": money("5")})
    assert payload["userErrors"] == [
        {"field": ["input"], "code": None, "message": "The request was not accepted."}
    ]
    assert shop.cards()[gid]["balance"] == "10.00"
    strike(shop, "refuse", "shop")
    assert shop.post({"query": "{ shop { name } }"}).status_code == 403
    assert shop.post({"query": "{ shop { name } }"}).status_code == 200
    number = flow.sell(100)
    strike(flow, "refuse", "PUT giftcards")
    answer = flow.put_card(number, {"note": "x"})
    assert (answer.status_code, code_of(answer)) == (422, "NOT_ACCEPTED")
    assert flow.truth(number)["note"] == ""


def test_given_a_number_of_times_then_the_rule_strikes_that_often_and_draws_stay_the_same() -> None:
    often = FaultRule("", FaultKind.DELAY, 0.5)
    plan = FaultPlan(3, [FaultRule("", FaultKind.HTML, 1.0, times=2), often])
    drawn = [plan.draw("query x") for _ in range(20)]
    assert [fault.kind for fault in drawn[:2] if fault] == [FaultKind.HTML] * 2
    other = FaultPlan(
        3, [FaultRule("nothing", FaultKind.HTML, 1.0), FaultRule("", FaultKind.HTML, 1.0), often]
    )
    assert len(drawn) == len([other.draw("query x") for _ in range(20)])
    assert all(fault is None or fault.kind is FaultKind.DELAY for fault in drawn[2:])


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "huge", "size": 0},
        {"kind": "huge", "size": "1"},
        {"kind": "huge", "size": True},
        {"kind": "deep_json", "size": 10**9},
        {"kind": "delay", "size": 5},
        {"kind": "delay", "times": 0},
        {"kind": "delay", "times": 1.5},
        {"kind": "explode"},
    ],
)
def test_given_a_rule_that_makes_no_sense_then_it_says_which_key(rule: dict[str, object]) -> None:
    with pytest.raises(FaultRuleError, match=r"rules\[0\]"):
        parse_fault_rules({"rules": [rule]})
