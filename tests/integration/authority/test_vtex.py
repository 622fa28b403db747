"""VTEX's Gift Card Provider Protocol over a real socket, answered from the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
from starlette.applications import Starlette

from connectors.memory import MemoryFault
from console.api.access import SCOPES, Buckets, Doorkeeper
from console.api.app import mounted
from console.api.desk import Desk
from console.providers.vtex import CAPTURE_SECONDS, PREFIX, create_vtex
from console.server import serve
from mappings.serials import Serial
from sync.authority.cards import Cards
from sync.authority.redemptions import Redemptions
from sync.authority.work import Hands, Terms
from sync.ledger.hub.guesses import Guesses
from sync.ledger.hub.requests import Requests
from sync.ledger.hub.tokens import ApiTokens
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop

KIND = "application/vnd.vtex.giftcards.v1+json"


@dataclass
class Vtex:
    """The Gift Card Hub of a VTEX store, which asks with an app key and an app token."""

    url: str
    key: str
    token: str

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        sent = {
            "X-PROVIDER-API-AppKey": self.key,
            "X-PROVIDER-API-AppToken": self.token,
            "Content-Type": KIND,
            "Accept": KIND,
            **headers,
        }
        return requests.request(method, self.url + path, json=body, headers=sent, timeout=30)

    def search(self, code: str) -> list[dict[str, Any]]:
        body = {
            "client": {"id": "1", "email": "kari@example.com", "document": "1"},
            "cart": {"grandTotal": 182, "redemptionCode": code, "items": []},
        }
        answer = self.ask("POST", "/giftcards/_search", body)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def transact(
        self, card: str, value: float, request_id: str, operation: str = "Debit", **more: object
    ) -> requests.Response:
        body = {
            "operation": operation,
            "value": value,
            "description": "Order v2915869org-01",
            "redemptionToken": card,
            "redemptionCode": None,
            "requestId": request_id,
            "orderInfo": {"orderId": "v2915869org-01", "sequence": 2915869, "cart": {"items": []}},
            **more,
        }
        return self.ask("POST", f"/giftcards/{card}/transactions", body)

    def part(self, what: str, held: dict[str, Any], value: float, request_id: str) -> requests.Response:
        path = f"/giftcards/{held['cardId']}/transactions/{held['id']}/{what}"
        return self.ask("POST", path, {"value": value, "requestId": request_id})

    def told(self, what: str, held: dict[str, Any]) -> Any:
        path = f"/giftcards/{held['cardId']}/transactions/{held['id']}"
        return self.ask("GET", f"{path}/{what}".rstrip("/")).json()

    def hold(self, value: float, request_id: str = "r1") -> dict[str, Any]:
        (card,) = self.search(SERIAL)
        answer = self.transact(card["id"], value, request_id)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def serving(shop: Shop) -> Iterator[str]:
    hands = Hands(
        lambda: shop.link,
        replace(Terms(), answer_seconds=0.0, claim_seconds=5.0),
        wait=lambda seconds: shop.clock.advance(seconds),
    )
    desk = Desk(
        hands, Cards(hands, shop.pool, Guesses(shop.engine)), Redemptions(hands), Requests(shop.engine)
    )
    app = create_vtex(desk, Doorkeeper(ApiTokens(shop.engine, shop.vault), shop.clock, Buckets()))
    with serve(Starlette(routes=[mounted(app, PREFIX)]), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}{PREFIX}"


def store_of(shop: Shop, url: str, scopes: Sequence[str] = tuple(SCOPES)) -> Vtex:
    made, secret = ApiTokens(shop.engine, shop.vault).add("VTEX", scopes, (), 100_000, shop.clock())
    return Vtex(url, made.id, secret)


@pytest.fixture
def vtex(shop: Shop) -> Iterator[Vtex]:
    with serving(shop) as url:
        yield store_of(shop, url)


def test_given_a_code_at_the_checkout_then_its_card_is_found_and_never_its_number(
    shop: Shop, vtex: Vtex
) -> None:
    shop.in_step(10_050)

    (card,) = vtex.search(f"{SERIAL[:8]}-{SERIAL[8:]}")
    shown = vtex.ask("GET", f"/giftcards/{card['id']}")

    assert (card["balance"], card["provider"]) == (100.5, "giftsync")
    assert card["_self"]["href"].endswith(card["id"])
    told = shown.json()
    assert (told["balance"], told["currencyCode"], told["discount"]) == (100.5, "NOK", False)
    assert told["redemptionCode"] == "••••4000"
    assert told["expiringDate"].startswith("2999-12-31")
    assert SERIAL not in shown.text
    assert vtex.search("4000600070008000") == []
    assert vtex.ask("POST", "/giftcards/_search", {"client": {}, "cart": {}}).json() == []


def test_given_an_order_then_it_is_held_settled_and_taken_off_every_side(shop: Shop, vtex: Vtex) -> None:
    shop.in_step(10_000)

    held = vtex.hold(30.5)
    assert shop.shown() == {FLOW: 6_950, SHOPIFY: 6_950}
    assert vtex.told("authorization", held)["value"] == 30.5
    assert vtex.told("settlements", held) == []
    settled = vtex.part("settlements", held, 30.5, "r1")

    assert settled.json()["value"] == 30.5
    assert vtex.told("settlements", held) == [settled.json()]
    told = vtex.told("", held)
    assert (told["value"], told["operation"], told["description"]) == (30.5, "Debit", "v2915869org-01")
    listed = vtex.ask("GET", f"/giftcards/{held['cardId']}/transactions").json()
    assert [one["id"] for one in listed] == [held["id"]]
    shop.clock.advance(CAPTURE_SECONDS + 60)
    shop.work_until_quiet(shop.card_id(SERIAL))
    assert shop.shown() == {FLOW: 6_950, SHOPIFY: 6_950}


def test_given_an_order_that_nobody_settles_then_its_money_comes_back(shop: Shop, vtex: Vtex) -> None:
    shop.in_step(10_000)
    held = vtex.hold(30)

    shop.clock.advance(CAPTURE_SECONDS + 60)
    shop.work_until_quiet(shop.card_id(SERIAL))

    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
    late = vtex.part("settlements", held, 30, "s1")
    assert (late.status_code, late.json()["code"]) == (409, "not_authorized")


def test_given_a_cancelled_order_then_its_money_comes_back_before_and_after_it_is_settled(
    shop: Shop, vtex: Vtex
) -> None:
    shop.in_step(10_000)
    held = vtex.hold(30)
    assert vtex.part("cancellations", held, 30, "c1").json()["value"] == 30.0
    again = vtex.part("cancellations", held, 30, "c2")
    assert (again.status_code, again.json()["code"]) == (409, "not_reversible")

    other = vtex.hold(50, "r2")
    assert vtex.part("settlements", other, 20, "s1").status_code == 200
    assert vtex.part("settlements", other, 20, "s2").status_code == 200
    assert vtex.part("settlements", other, 20, "s3").json()["code"] == "over_amount"
    assert vtex.part("cancellations", other, 10, "c3").status_code == 200
    shop.clock.advance(1)
    assert vtex.part("settlements", other, 1, "s4").json()["code"] == "over_amount"
    assert vtex.part("cancellations", other, 15, "c4").status_code == 200

    shop.work_until_quiet(shop.card_id(SERIAL))
    assert shop.shown() == {FLOW: 7_500, SHOPIFY: 7_500}
    assert [one["value"] for one in vtex.told("cancellations", other)] == [10.0, 15.0]
    assert [one["value"] for one in vtex.told("settlements", other)] == [20.0, 20.0]


def test_given_repeated_requests_then_each_gets_the_first_answer_and_moves_nothing(
    shop: Shop, vtex: Vtex
) -> None:
    shop.in_step(10_000)
    (card,) = vtex.search(SERIAL)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: vtex.transact(card["id"], 30, "r1"), range(5)))
    again = vtex.transact(card["id"], 30, "r1", orderInfo={"orderId": "v2915869org-01", "cart": {"more": 1}})
    other = vtex.transact(card["id"], 31, "r1")

    done = {a.json()["id"] for a in answers if a.status_code == 200}
    assert {a.status_code for a in answers} <= {200, 503}
    assert {again.json()["id"]} == done
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    held = again.json()
    for what in ("settlements", "cancellations"):
        first = vtex.part(what, held, 30, "r1")
        assert first.status_code == 200
        assert vtex.part(what, held, 30, "r1").json() == first.json()
    shop.work_until_quiet(shop.card_id(SERIAL))
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_one_request_id_for_two_cards_of_an_order_then_both_pay(shop: Shop, vtex: Vtex) -> None:
    shop.in_step(10_000)
    second = "5000600070008000"
    shop.in_step(5_000, second)
    (one,), (two,) = vtex.search(SERIAL), vtex.search(second)

    assert vtex.transact(one["id"], 100, "r1").status_code == 200
    assert vtex.transact(two["id"], 20, "r1").status_code == 200

    assert (shop.shown(), shop.shown(second)) == (
        {FLOW: 0, SHOPIFY: 0},
        {FLOW: 3_000, SHOPIFY: 3_000},
    )
    assert vtex.search(SERIAL) == []


def test_given_more_than_the_card_holds_then_it_is_refused_and_nothing_moves(shop: Shop, vtex: Vtex) -> None:
    shop.in_step(10_000)
    (card,) = vtex.search(SERIAL)
    answer = vtex.transact(card["id"], 100.01, "r1")
    assert (answer.status_code, answer.json()["code"]) == (409, "insufficient_funds")
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_a_lost_answer_of_a_side_then_vtex_is_told_to_repeat_and_gets_it_then(
    shop: Shop, vtex: Vtex
) -> None:
    card_id = shop.in_step(10_000)
    (card,) = vtex.search(SERIAL)
    shop.fail(SHOPIFY, MemoryFault.DROPPED)

    first = vtex.transact(card["id"], 30, "r1")
    assert (first.status_code, first.headers["retry-after"]) == (503, "1")
    for _ in range(20):
        shop.clock.advance(10)
        shop.work(card_id)

    assert vtex.transact(card["id"], 30, "r1").status_code == 200
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_a_new_card_then_its_first_credit_makes_it_once_and_its_code_is_told(
    shop: Shop, vtex: Vtex
) -> None:
    shop.pool.add(FLOW, [Serial("5000600070008000")])
    wanted = {
        "relationName": "returns",
        "caption": "Returns",
        "profileId": "92de",
        "expiringDate": "2031-05-17T10:00:00",
    }

    made = vtex.ask("POST", "/giftcards", wanted).json()
    assert vtex.ask("POST", "/giftcards", wanted).json()["id"] == made["id"]
    assert vtex.ask("GET", f"/giftcards/{made['id']}").json()["balance"] == 0.0
    assert vtex.transact(made["id"], 5, "d0").json()["code"] == "empty"
    for _ in range(2):
        assert vtex.transact(made["id"], 50, "c1", "Credit").status_code == 200
    shop.clock.advance(1)
    for _ in range(2):
        assert vtex.transact(made["id"], 25.5, "c2", "Credit").status_code == 200

    shown = vtex.ask("GET", f"/giftcards/{made['id']}").json()
    assert (shown["balance"], shown["redemptionCode"]) == (75.5, "5000600070008000")
    assert shown["expiringDate"] == "2031-05-17T23:59:59"
    shop.work_until_quiet(shop.card_id("5000600070008000"))
    assert shop.shown("5000600070008000") == {FLOW: 7_550, SHOPIFY: 7_550}
    shop.clock.advance(1)
    assert vtex.transact(made["id"], 5, "d1").status_code == 200
    kinds = [vtex.told("", {"cardId": made["id"], "id": one["id"]})["operation"] for one in
             vtex.ask("GET", f"/giftcards/{made['id']}/transactions").json()]  # fmt: skip
    assert kinds == ["Credit", "Credit", "Debit"]
    forged = made["id"][:-1] + ("0" if made["id"][-1] != "0" else "1")
    assert vtex.ask("GET", f"/giftcards/{forged}").status_code == 404
    for owned in ({"restrictedToOwner": True}, {"multipleRedemptions": False}, {"currencyCode": "BRL"}):
        assert vtex.ask("POST", "/giftcards", {**wanted, **owned}).status_code == 409
    for day, status in (("9999-12-31T23:59:59-12:00", 400), ("0001-01-02T00:00:00", 200), ("soon", 400)):
        answer = vtex.ask("POST", "/giftcards", {**wanted, "expiringDate": day})
        assert answer.status_code == status
        if status == 200:
            assert vtex.ask("GET", f"/giftcards/{answer.json()['id']}").status_code == 200


def test_given_other_keys_then_nobody_is_let_in_and_scopes_hold(shop: Shop, vtex: Vtex) -> None:
    shop.in_step(10_000)
    held = vtex.hold(30)
    for stranger in (
        Vtex(vtex.url, vtex.key, "gst_nobody"),
        Vtex(vtex.url, "tok_other", vtex.token),
        Vtex(vtex.url, "", vtex.token),
    ):
        answer = stranger.ask("POST", "/giftcards/_search", {"cart": {"redemptionCode": SERIAL}})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    looks = store_of(shop, vtex.url, ["validate"])
    (card,) = looks.search(SERIAL)
    assert looks.transact(card["id"], 1, "x").json()["code"] == "forbidden"
    assert looks.part("cancellations", held, 1, "x").json()["code"] == "forbidden"
    assert vtex.told("settlements", {**held, "id": "auth_nothing"})["code"] == "not_found"
    elsewhere = {**held, "cardId": "crd_nothing"}
    assert vtex.part("settlements", elsewhere, 1, "x").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"operation": "Steal", "value": 1, "requestId": "x"},
        {"operation": "Debit", "value": -1, "requestId": "x"},
        {"operation": "Debit", "value": 0, "requestId": "x"},
        {"operation": "Debit", "value": 0.001, "requestId": "x"},
        {"operation": "Debit", "value": 1e300, "requestId": "x"},
        {"operation": "Debit", "value": 1, "requestId": ""},
        {"operation": "Debit", "value": 1, "requestId": "a\nb"},
        {"operation": "Debit", "value": 1, "requestId": "x" * 101},
    ],
)
def test_given_a_malformed_transaction_then_400_and_nothing_moves(
    shop: Shop, vtex: Vtex, body: dict[str, object]
) -> None:
    shop.in_step(10_000)
    (card,) = vtex.search(SERIAL)
    answer = vtex.ask("POST", f"/giftcards/{card['id']}/transactions", body)
    assert answer.status_code == 400
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
