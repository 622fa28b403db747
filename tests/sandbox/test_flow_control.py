"""The control plane, receipts, faults and webhooks of the Flow emulator, flow.md §4 and §6."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
import requests
from aiohttp import web

from sandbox.flow import FlowBehaviour, FlowEmulator
from sandbox.flow.behaviour import WebhookBehaviour
from sandbox.flow.catalog import Brand, Store
from tests.sandbox.test_flow_support import (
    START,
    TIMEOUT_S,
    TOKEN,
    FakeClock,
    Flow,
    background_loop,
    listening,
    serve,
)
from tests.support import seen_in_time

TRANSPORTS = "/tenants/7/httptransports"


# Control plane.


def test_given_a_sale_at_the_till_then_card_order_and_receipt_agree() -> None:
    with serve() as flow:
        sold = flow.control("sell", {"brand": "giftcard", "amount": "250.50"})
        assert set(sold) == {"number", "cvc", "balance", "order_id"}
        assert len(sold["cvc"]) == 3
        receipt = flow.search().json()["items"][0]
        assert receipt["orderUid"] == sold["order_id"]
        order = flow.read_order(sold["order_id"])
        (item,) = order["items"]
        assert (item["productUid"], item["externalId"], item["unitPrice"]) == ("901", sold["number"], 25050)
        assert order["settlements"][0]["settlementCode"] == "CASH"
        assert (order["systemOrigin"], order["tenantUserDisplayName"]) == ("POS", "Cashier")
        truth = flow.truth(sold["number"])
        assert truth["balance"] == "250.50"
        assert truth["brand"] == "giftcard"
        assert [one["amount"] for one in truth["transactions"]] == ["250.50"]


def test_given_a_card_when_redeemed_and_loaded_at_the_till_then_the_settlement_names_it() -> None:
    with serve() as flow:
        number = flow.sell(100)
        paid = flow.control("redeem", {"number": number, "amount": 30.25})
        assert paid["balance"] == "69.75"
        settlement = flow.read_order(paid["order_id"])["settlements"][0]
        assert settlement["settlementCode"] == "GIFTCARD"
        assert settlement["parameters"] == [{"key": "cardNumber", "value": number}]
        assert settlement["storePaymentMethodUid"] == flow.method()
        loaded = flow.control("deposit", {"number": number, "amount": "0.25"})
        assert loaded["balance"] == "70.00"
        assert flow.read_order(loaded["order_id"])["items"][0]["externalId"] == number
        assert flow.search().json()["paging"]["totalCount"] == 3


@pytest.mark.parametrize(
    "amount", ["0", "-1", "0.001", "x", "NaN", "1e999", 0, -5, 1.005, True, None, [], 10**20]
)
@pytest.mark.parametrize("call", ["sell", "redeem", "deposit"])
def test_given_a_bad_amount_when_a_cashier_types_it_then_400(call: str, amount: object) -> None:
    with serve() as flow:
        answer = flow.control(call, {"number": "1", "amount": amount}, status=400)
        assert "amount" in answer["error"]


def test_given_a_refused_payment_at_the_till_then_409_and_nothing_moves() -> None:
    with serve() as flow:
        number = flow.sell("10")
        for body in ({"number": number, "amount": "10.01"}, {"number": "1", "amount": 1}):
            flow.control("redeem", body, status=409)
        flow.put_card(number, {"status": "CLEARED"})
        flow.control("redeem", {"number": number, "amount": 1}, status=409)
        flow.control("deposit", {"number": number, "amount": 1}, status=409)
        (card,) = flow.control("pregenerate", {"count": 1})["cards"]
        flow.control("deposit", {"number": card["number"], "amount": 1}, status=409)
        assert flow.search().json()["paging"]["totalCount"] == 1


def test_given_a_store_that_does_not_take_the_brand_when_paying_there_then_409() -> None:
    with serve(stores=(Store("71", brands=("creditvoucher",)),)) as flow:
        number = flow.sell("10")
        flow.control("redeem", {"number": number, "amount": 1, "store": "71"}, status=409)
        flow.control("deposit", {"number": number, "amount": 1, "store": "71"}, status=409)
        flow.control("sell", {"amount": 1, "store": "71"}, status=409)
        flow.control("sell", {"amount": 1, "store": "72"}, status=400)
        assert flow.truth(number)["balance"] == "10.00"


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("sell", {"brand": "nope", "amount": 1}, 400),
        ("sell", {"amount": 1, "surprise": 1}, 400),
        ("sell", {"amount": 1, "number": "1"}, 409),
        ("redeem", {"amount": 1}, 400),
        ("redeem", {"number": 1, "amount": 1}, 400),
        ("pregenerate", {"count": 0}, 400),
        ("pregenerate", {"count": "3"}, 400),
        ("pregenerate", {"count": 1_000_000}, 400),
        ("status", {"number": "1", "status": "ACTIVE"}, 404),
        ("status", {"number": "1", "status": "NOPE"}, 400),
        ("block", {"number": "1"}, 404),
        ("expire", {"number": "1"}, 404),
        ("webhooks", {"lost": 2}, 400),
        ("webhooks", {"late": "x"}, 400),
        ("nonsense", {}, 404),
    ],
)
def test_given_a_bad_control_call_then_it_says_why(call: str, body: dict[str, object], status: int) -> None:
    with serve() as flow:
        assert flow.control(call, body, status=status)["error"]


def test_given_a_pre_generated_card_when_sold_at_the_till_then_it_becomes_active() -> None:
    with serve() as flow:
        cards = flow.control("pregenerate", {"count": 3, "brand": "creditvoucher"})["cards"]
        number = cards[0]["number"]
        sold = flow.control("sell", {"amount": 5, "number": number, "brand": "creditvoucher"})
        assert sold["number"] == number
        assert sold["cvc"] == cards[0]["cvc"]
        assert flow.card(number).json()["status"] == "ACTIVE"
        flow.control("sell", {"amount": 5, "number": number, "brand": "creditvoucher"}, status=409)


def test_given_an_expiry_when_the_back_office_sets_it_then_reads_show_it() -> None:
    with serve() as flow:
        number = flow.sell()
        flow.control("expire", {"number": number, "valid_to": "2027-01-01T00:00:00+01:00"})
        assert flow.card(number).json()["validTo"] == "2026-12-31T23:00:00.000Z"
        assert flow.truth(number)["expires"] == "2026-12-31T23:00:00.000Z"
        flow.control("expire", {"number": number, "valid_to": None})
        assert flow.card(number).json()["validTo"] is None
        flow.control("expire", {"number": number, "valid_to": "2027-01-01"}, status=400)


def test_given_a_cleared_card_when_the_back_office_wants_it_back_then_409() -> None:
    with serve() as flow:
        number = flow.sell()
        flow.control("status", {"number": number, "status": "CLEARED"})
        flow.control("status", {"number": number, "status": "ACTIVE"}, status=409)
        assert flow.truth(number)["balance"] == "0.00"


def test_given_the_back_office_when_read_then_it_names_what_a_client_is_configured_with() -> None:
    with serve() as flow:
        known = flow.control("backoffice")
        assert known["online_redemption_product"] == "900"
        assert [one["product"] for one in known["brands"]] == ["901", "902"]
        assert set(known["stores"][0]["payment_methods"]) == {"CASH", "GIFTCARD", "EXTERNAL_SHOPIFY"}
        assert known["item_number_key"] == "externalId"


# History.


def test_given_a_seed_when_started_twice_then_the_past_is_the_same() -> None:
    def cards(seed: int) -> list[dict[str, Any]]:
        emulator = FlowEmulator(token=TOKEN, seed=seed, cards=200, clock=FakeClock())
        return emulator.cards()

    first = cards(1)
    assert first == cards(1)
    assert first != cards(2)
    assert len({card["number"] for card in first}) == 200
    assert all(len(card["number"]) == 16 for card in first)
    assert len({card["balance"] for card in first}) > 20


def test_given_the_past_when_read_then_movements_add_up_and_orders_name_the_cards() -> None:
    with serve(cards=60) as flow:
        truth = flow.session.get(f"{flow.url}/_sandbox/cards", timeout=TIMEOUT_S).json()
        receipts = flow.search(pageSize=1000).json()["items"]
        times = [receipt["settledAt"] for receipt in receipts]
        assert times == sorted(times, reverse=True)
        assert (START - timedelta(days=55)).strftime("%Y-%m-%d") <= times[-1]
        assert times[0] < "2026-03-01T12"
        by_order = {one["order_id"]: card for card in truth for one in card["transactions"]}
        assert set(by_order) == {receipt["orderUid"] for receipt in receipts}
        for receipt in receipts:
            order = flow.read_order(receipt["orderUid"])
            (settlement,) = order["settlements"]
            numbers = [pair["value"] for pair in settlement["parameters"]]
            numbers += [item["externalId"] for item in order["items"] if item["productUid"] == "901"]
            assert numbers == [by_order[receipt["orderUid"]]["number"]]
        for card in truth:
            cents = [round(float(one["amount"]) * 100) for one in card["transactions"]]
            assert sum(cents) == round(float(card["balance"]) * 100) >= 0


def test_given_the_past_and_a_sale_when_compared_then_their_orders_have_one_shape() -> None:
    with serve(cards=1) as flow:
        old = flow.search(sortDirection="ASC").json()["items"][0]["orderUid"]
        new = flow.control("sell", {"amount": 1})["order_id"]
        differing = {"createdAt", "lastModifiedAt", "orderDate", "orderUid", "orderNumber", "voucherNumber"}
        differing |= {"items", "settlements", "orderTotals", "settlementTotals"}
        old, new = flow.read_order(old), flow.read_order(new)
        assert {key: old[key] for key in set(old) - differing} == {
            key: new[key] for key in set(new) - differing
        }


# Receipts.


def test_given_receipts_when_searched_by_window_then_from_is_in_and_to_is_out() -> None:
    with serve() as flow:
        for _ in range(5):
            flow.sell(1)
            flow.clock.forward(minutes=1)
        window = {"settledAtFrom": "2026-03-01T12:01:00Z", "settledAtTo": "2026-03-01T13:03:00+01:00"}
        items = flow.search(window).json()["items"]
        assert [one["settledAt"][14:16] for one in items] == ["02", "01"]
        ascending = flow.search(window, sortBy="settledAt", sortDirection="ASC").json()["items"]
        assert ascending == items[::-1]
        assert flow.search({"settledAtFrom": "", "settledAtTo": ""}).json()["paging"]["totalCount"] == 5
        backwards = {"settledAtFrom": window["settledAtTo"], "settledAtTo": window["settledAtFrom"]}
        assert flow.search(backwards).json()["items"] == []


def test_given_an_inclusive_end_when_searched_then_the_last_instant_is_found() -> None:
    with serve(FlowBehaviour(settled_at_to_inclusive=True, receipts_newest_first=False)) as flow:
        flow.sell(1)
        assert len(flow.search({"settledAtTo": "2026-03-01T12:00:00Z"}).json()["items"]) == 1


def test_given_pages_when_walked_then_every_receipt_is_seen_once() -> None:
    with serve(cards=30) as flow:
        total = flow.search().json()["paging"]["totalCount"]
        seen = []
        for page in range(1, 9):
            seen += [one["orderUid"] for one in flow.search(pageNumber=page, pageSize=7).json()["items"]]
        assert len(seen) == len(set(seen)) == total


def test_given_late_receipts_when_searched_then_they_appear_behind_the_present() -> None:
    with serve(FlowBehaviour(receipts_visible_after_s=60)) as flow:
        flow.sell(1)
        assert flow.search().json()["items"] == []
        flow.clock.forward(seconds=60)
        assert flow.search().json()["items"][0]["settledAt"] == "2026-03-01T12:00:00.000Z"


def test_given_filters_when_searching_then_each_one_counts() -> None:
    with serve(stores=(Store("71"),)) as flow:
        number = flow.sell(10)
        paid = flow.control("redeem", {"number": number, "amount": 1, "store": "71"})["order_id"]
        order = flow.read_order(paid)
        hits = {
            "storeUids": ["71"],
            "productSkus": ["GOODS"],
            "orderNumber": order["orderNumber"],
            "voucherNumber": order["voucherNumber"],
            "query": order["orderNumber"],
        }
        for key, value in hits.items():
            found = flow.search({key: value}).json()
            assert [one["orderUid"] for one in found["items"]] == [paid], key
            assert found["paging"]["totalCount"] == 1
        misses = {
            "storeUids": ["99"],
            "organizationUids": ["99"],
            "customerUids": ["99"],
            "tenantUserUids": ["99"],
            "deliveryStates": ["NOT_STARTED"],
            "orderNumber": "0" + order["orderNumber"],
            "voucherNumber": "x",
            "query": number,
            "customerQuery": "kari",
        }
        for key, value in misses.items():
            assert flow.search({key: value}).json()["items"] == [], key
        everything = {"orderStatuses": ["CLOSED"], "deliveryStates": [], "query": ""}
        assert flow.search(everything).json()["paging"]["totalCount"] == 2


def test_given_an_exact_number_outside_the_window_when_searched_then_nothing() -> None:
    with serve() as flow:
        number = flow.read_order(flow.control("sell", {"amount": 1})["order_id"])["orderNumber"]
        body = {"orderNumber": number, "settledAtTo": "2026-03-01T12:00:00Z"}
        assert flow.search(body).json()["items"] == []
        open_order = flow.read_order(flow.order())["orderNumber"]
        assert flow.search({"orderNumber": open_order}).json()["items"] == []


@pytest.mark.parametrize("covered", [False, True])
def test_given_an_external_order_number_when_queried_then_the_switch_decides(covered: bool) -> None:
    with serve(FlowBehaviour(query_covers_external_order_number=covered)) as flow:
        number = flow.sell(10)
        order = flow.redemption(number, 100, externalOrderNumber="gs-abc")
        flow.pay_with_card(order, number, 100)
        assert len(flow.search({"query": "GS-ABC"}).json()["items"]) == covered


def test_given_a_customer_when_queried_then_their_receipts_are_found() -> None:
    with serve() as flow:
        number = flow.sell(10)
        order = flow.redemption(number, 100, customerAddress={"firstname": "Kari"})
        flow.pay_with_card(order, number, 100)
        found = flow.search({"customerQuery": "kari"}).json()["items"]
        assert [one["orderUid"] for one in found] == [order]


@pytest.mark.parametrize(
    "body",
    [
        {"settledAtFrom": "yesterday"},
        {"settledAtFrom": "2026-03-01T12:00:00"},
        {"storeUids": "70"},
        {"orderStatuses": ["CLOSED"], "settleStates": ["SETTLED"]},
        {"externalOrderNumber": "gs-1"},
        {"pageNumber": 1},
    ],
)
def test_given_a_bad_search_then_400(body: dict[str, object]) -> None:
    with serve() as flow:
        assert flow.search(body).status_code == 400


# Faults, on the money step.


def fault(flow: Flow, kind: str, match: str = "POST settlements", **more: object) -> None:
    rule = {"match": match, "kind": kind, "probability": 1, **more}
    flow.control("faults", {"seed": 1, "rules": [rule]})


@pytest.mark.parametrize(("kind", "moved"), [("drop_request", False), ("drop_response", True)])
def test_given_a_lost_settlement_when_read_back_then_the_reference_tells(kind: str, moved: bool) -> None:
    with serve() as flow:
        number = flow.sell(10)
        order = flow.redemption(number, 100)
        fault(flow, kind)
        with pytest.raises(requests.ConnectionError):
            flow.pay_with_card(order, number, 100)
        assert flow.card(number).json()["balance"] == (900 if moved else 1000)
        references = [one["externalPaymentReference"] for one in flow.read_order(order)["settlements"]]
        assert references == (["gs-1"] if moved else [])


def test_given_a_late_settlement_then_it_lands_after_the_connection_is_gone() -> None:
    with serve() as flow:
        number = flow.sell(10)
        order = flow.redemption(number, 100)
        fault(flow, "late_apply", delay_ms=0)
        with pytest.raises(requests.ConnectionError):
            flow.pay_with_card(order, number, 100)
        assert seen_in_time(lambda: flow.card(number).json()["balance"] != 1000)
        assert flow.read_order(order)["settleState"] == "SETTLED"


def test_given_server_errors_then_some_were_carried_out() -> None:
    with serve() as flow:
        number = flow.sell(100)
        fault(flow, "error_500")
        answers = []
        for _ in range(12):
            order = flow.redemption(number, 100)
            answers.append(flow.pay_with_card(order, number, 100))
        assert {answer.status_code for answer in answers} == {500}
        assert {tuple(answer.json()) for answer in answers} == {("error",)}
        assert 8800 < flow.card(number).json()["balance"] < 10000


def test_given_a_throttle_then_429_and_nothing_happens() -> None:
    with serve() as flow:
        number = flow.sell(10)
        order = flow.redemption(number, 100)
        fault(flow, "throttle", match="mutation")
        answer = flow.pay_with_card(order, number, 100)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert flow.card(number).json()["balance"] == 1000
        row = flow.stats()["operations"]["POST settlements"]
        assert (row["kind"], row["calls"], row["throttles"]) == ("mutation", 1, 1)
        assert row["faults"] == {"throttle": 1}


def test_given_a_delay_then_it_happens_and_is_answered() -> None:
    with serve() as flow:
        number = flow.sell(10)
        order = flow.redemption(number, 100)
        fault(flow, "delay", delay_ms=1)
        assert flow.pay_with_card(order, number, 100).status_code == 201


def test_given_calls_then_stats_name_every_operation() -> None:
    with serve() as flow:
        number = flow.sell(10)
        flow.card(number)
        flow.put_card(number, {"note": "x"})
        flow.pay_with_card(flow.redemption(number, 100), number, 100)
        flow.search()
        flow.get("/nothing")
        kinds = {name: row["kind"] for name, row in flow.stats()["operations"].items()}
        assert kinds == {
            "GET giftcards": "query",
            "PUT giftcards": "mutation",
            "POST orders": "mutation",
            "POST items": "mutation",
            "POST settlements": "mutation",
            "POST receipts/search": "query",
            "GET unknown": "query",
        }


# flow.md §6: webhooks.


class Receiver:
    """A webhook endpoint that answers with the queued statuses, then 200."""

    def __init__(self, statuses: Iterable[int] = ()) -> None:
        self.statuses = list(statuses)
        self.got: queue.Queue[tuple[dict[str, Any], dict[str, str]]] = queue.Queue()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        self.got.put((await request.json(), dict(request.headers)))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    def take(self, count: int) -> list[tuple[dict[str, Any], dict[str, str]]]:
        return [self.got.get(timeout=TIMEOUT_S) for _ in range(count)]


def transport(url: str, **more: object) -> dict[str, object]:
    return {"name": "giftsync", "url": f"{url}/hook", "securityType": "NONE", **more}


def settled(flow: Flow) -> list[dict[str, Any]]:
    """Every delivery, once none is under way."""

    def deliveries() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = flow.control("webhooks")["deliveries"]
        return found

    assert seen_in_time(lambda: all(one["outcome"] != "pending" for one in deliveries()))
    return deliveries()


def quick(**more: Any) -> FlowBehaviour:
    return FlowBehaviour(webhooks=WebhookBehaviour(backoff_first_s=0, late_s=0, **more))


def test_given_a_transport_when_an_order_settles_then_both_events_carry_ids_only() -> None:
    receiver = Receiver()
    with listening(receiver.application()) as url, serve(quick()) as flow:
        body = transport(url, securityType="BEARER", token="secret", headers=[{"key": "X-A", "value": "b"}])
        made = flow.post(TRANSPORTS, body)
        assert made.status_code == 201
        assert "secret" not in made.text
        order = flow.control("sell", {"amount": 1})["order_id"]
        got = receiver.take(2)
        assert {event["action"] for event, _ in got} == {"ORDER_SETTLED", "ORDER_RECEIPT_SETTLED"}
        for event, headers in got:
            assert event == {
                "action": event["action"],
                "tenant": {"Id": 7, "Uid": "7"},
                "store": {"Id": 1, "Uid": "70"},
                "order": {"Id": 1, "Uid": order},
                "tenantUser": {"Id": 8, "Uid": "11"},
            }
            assert headers["Authorization"] == "Bearer secret"
            assert headers["X-A"] == "b"
        assert {one["outcome"] for one in settled(flow)} == {"delivered"}


def test_given_basic_auth_when_delivering_then_the_header_says_so() -> None:
    receiver = Receiver()
    with listening(receiver.application()) as url, serve(quick(receipt_event_names_receipt=True)) as flow:
        body = transport(url, securityType="BASIC_AUTH", username="u", password="p")
        assert "p" not in flow.post(TRANSPORTS, body).json().values()
        flow.sell(1)
        got = receiver.take(2)
        assert {headers["Authorization"] for _, headers in got} == {"Basic dTpw"}
        assert sorted("orderReceipt" in event for event, _ in got) == [False, True]


@pytest.mark.parametrize(
    ("statuses", "answers", "outcome"),
    [
        ([], [200], "delivered"),
        ([202], [202], "delivered"),
        ([503, 500, 302], [503, 500, 302, 200], "delivered"),
        ([429], [429], "refused"),
        ([404], [404], "refused"),
        ([500] * 20, [500] * 11, "given up"),
    ],
)
def test_given_an_answer_when_delivering_then_the_retry_table_holds(
    statuses: list[int], answers: list[int], outcome: str
) -> None:
    receiver = Receiver(statuses)
    with listening(receiver.application()) as url, serve(quick()) as flow:
        flow.post(TRANSPORTS, transport(url))
        dispatcher = flow.emulator.world.webhooks
        # One event only, so that the receiver's statuses are all for it.
        flow.emulator.world.till.on_settled = lambda order: dispatcher.announce("ORDER_SETTLED", {})
        flow.sell(1)
        (delivery,) = settled(flow)
        assert (delivery["answers"], delivery["outcome"]) == (answers, outcome)


def test_given_nobody_listens_when_delivering_then_every_attempt_is_made() -> None:
    with serve(quick(retries_max=2)) as flow:
        with listening(web.Application()) as url:
            flow.post(TRANSPORTS, transport(url))
        flow.sell(1)
        assert {tuple(one["answers"]) for one in settled(flow)} == {("error",) * 3}


def test_given_a_receiver_that_hangs_when_delivering_then_it_times_out() -> None:
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hang)
    with listening(app) as url, serve(quick(timeout_s=0.05, retries_max=1)) as flow:
        flow.post(TRANSPORTS, transport(url))
        flow.sell(1)
        assert {tuple(one["answers"]) for one in settled(flow)} == {("timeout", "timeout")}
        background_loop().call_soon_threadsafe(release.set)


def test_given_mischief_when_delivering_then_events_are_doubled_late_or_lost() -> None:
    receiver = Receiver()
    with listening(receiver.application()) as url, serve(quick(duplicated=1.0, late=1.0)) as flow:
        flow.post(TRANSPORTS, transport(url))
        flow.sell(1)
        assert len(receiver.take(4)) == 4
        flow.control("webhooks", {"lost": 1})
        flow.sell(1)
        assert [one["outcome"] for one in settled(flow)][-2:] == ["lost", "lost"]
        assert receiver.got.empty()


def test_given_transports_when_changed_and_deleted_then_reads_follow() -> None:
    with serve() as flow:
        body = transport("http://127.0.0.1:9")
        uid = flow.post(TRANSPORTS, body).json()["httpTransportUid"]
        assert flow.get(f"{TRANSPORTS}/{uid}").json()["name"] == "giftsync"
        assert flow.put(f"{TRANSPORTS}/{uid}", {**body, "name": "other"}).json()["name"] == "other"
        assert flow.get(TRANSPORTS).json()["paging"]["totalCount"] == 1
        assert flow.call("DELETE", f"{TRANSPORTS}/{uid}").status_code == 204
        assert flow.get(f"{TRANSPORTS}/{uid}").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://example.com/hook"},
        {"url": "ftp://127.0.0.1/"},
        {"url": "http://[bad/"},
        {"url": "hook"},
        {"securityType": "HMAC"},
        {"securityType": "BEARER"},
        {"securityType": "BASIC_AUTH", "username": "u", "password": ""},
        {"name": None},
    ],
)
def test_given_a_bad_transport_when_made_then_400(change: dict[str, object]) -> None:
    with serve() as flow:
        assert flow.post(TRANSPORTS, {**transport("http://127.0.0.1:9"), **change}).status_code == 400


@pytest.mark.parametrize(
    "options",
    [
        {"token": ""},
        {"tenant": "a b"},
        {"stores": (Store("70"),)},
        {"brands": ()},
        {"brands": (Brand("a", 1, "A", "901"), Brand("b", 2, "B", "901"))},
        {"stores": (), "brands": (Brand("a", 1, "A", "901"), Brand("a", 2, "B", "902"))},
    ],
)
def test_given_a_senseless_set_up_then_the_emulator_refuses_to_start(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        FlowEmulator(**{"token": TOKEN, **options})
