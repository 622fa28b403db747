"""The sandbox's control plane, faults and seeding on the Shopify side (design: sandbox control plane)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import requests

from sandbox.shopify import ShopifyEmulator
from tests.sandbox.conftest_shopify import CREDIT, DEACTIVATE, START, Shop, money, running_shop


def buy(shop: Shop, amount: object = 100) -> dict[str, Any]:
    response = shop.control("purchase", amount=amount, name="Ola Nordmann", email="ola@example.com")
    assert response.status_code == 200, response.text
    bought: dict[str, Any] = response.json()
    return bought


class TestShoppers:
    @pytest.mark.parametrize("amount", ["99.90", 99.9, "99.9"])
    def test_given_a_purchase_then_ground_truth_has_the_card(self, shop: Shop, amount: object) -> None:
        bought = buy(shop, amount)
        assert len(bought["code"]) == 16
        card = shop.cards()[bought["id"]]
        assert card == {
            "id": bought["id"],
            "code": bought["code"],
            "balance": "99.90",
            "initial": "99.90",
            "currency": "NOK",
            "status": "enabled",
            "expires": None,
            "note": None,
            "template_suffix": None,
            "source": "purchased",
            "order_id": bought["order_id"],
            "customer_id": card["customer_id"],
            "transactions": [],
            "notifications": [],
        }

    def test_given_a_checkout_and_a_refund_then_balances_and_movements_are_true(self, shop: Shop) -> None:
        bought = buy(shop)
        paid = shop.control("checkout", code=bought["code"].upper(), amount="30.50").json()
        assert paid["balance"] == "69.50"
        refund = shop.control("refund", order_id=paid["order_id"], amount=10).json()
        assert refund["balance"] == "79.50"
        card = shop.cards()[bought["id"]]
        movements = [(one["kind"], one["amount"], one["visible"]) for one in card["transactions"]]
        assert movements == [("checkout", "-30.50", False), ("refund", "10.00", False)]
        moved = sum(Decimal(one["amount"]) for one in card["transactions"])
        assert Decimal(card["initial"]) + moved == Decimal(card["balance"])

    def test_given_cards_that_cannot_pay_then_409_and_nothing_moves(self, shop: Shop) -> None:
        shop.create("10", code="enough0001")
        shop.create("10", code="expired001", expiresOn="2026-01-01")
        shop.payload(DEACTIVATE, id=shop.create("10", code="closed0001"))
        before = shop.cards()
        for code, amount in (
            ("unknown001", 1),
            ("enough0001", "10.01"),
            ("expired001", 1),
            ("closed0001", 1),
        ):
            response = shop.control("checkout", code=code, amount=amount)
            assert response.status_code == 409
            assert response.json()["error"]
        assert shop.cards() == before

    def test_given_refunds_then_never_more_than_was_paid(self, shop: Shop) -> None:
        bought = buy(shop)
        paid = shop.control("checkout", code=bought["code"], amount=30).json()
        number = int(paid["order_id"].rsplit("/", 1)[1])
        assert shop.control("refund", order_id=paid["order_id"], amount="30.01").status_code == 409
        assert shop.control("refund", order_id=number, amount=20).status_code == 200
        assert shop.control("refund", order_id=str(number), amount="10.01").status_code == 409
        assert shop.control("refund", order_id=str(number), amount=10).status_code == 200
        assert shop.control("refund", order_id=bought["order_id"], amount=1).status_code == 409
        assert shop.control("refund", order_id=1, amount=1).status_code == 404
        assert shop.cards()[bought["id"]]["balance"] == "100.00"

    @pytest.mark.parametrize(
        ("call", "body"),
        [
            ("purchase", {"amount": 0, "name": "A", "email": "a@b.no"}),
            ("purchase", {"amount": "-1", "name": "A", "email": "a@b.no"}),
            ("purchase", {"amount": "1.001", "name": "A", "email": "a@b.no"}),
            ("purchase", {"amount": "NaN", "name": "A", "email": "a@b.no"}),
            ("purchase", {"amount": "a lot", "name": "A", "email": "a@b.no"}),
            ("purchase", {"amount": True, "name": "A", "email": "a@b.no"}),
            ("purchase", {"amount": 1, "name": " ", "email": "a@b.no"}),
            ("purchase", {"amount": 1, "name": "A", "email": "nobody"}),
            ("purchase", {"amount": 1, "name": "A", "email": "a@b.no", "colour": "red"}),
            ("checkout", {"amount": 1}),
            ("checkout", {"code": 5, "amount": 1}),
            ("refund", {"order_id": "gid://shopify/GiftCard/1", "amount": 1}),
            ("refund", {"amount": 1}),
        ],
    )
    def test_given_a_bad_control_call_then_400_with_a_message(
        self, shop: Shop, call: str, body: dict[str, Any]
    ) -> None:
        response = shop.control(call, **body)
        assert response.status_code == 400
        assert response.json()["error"]

    def test_given_a_purchase_over_the_limit_then_409(self, shop: Shop) -> None:
        response = shop.control("purchase", amount="100000.01", name="A", email="a@b.no")
        assert response.status_code == 409

    def test_given_an_unknown_call_then_404(self, shop: Shop) -> None:
        assert shop.control("steal").status_code == 404


def fault(shop: Shop, kind: str, match: str, **more: object) -> None:
    rules = [{"match": match, "kind": kind, "probability": 1, **more}]
    assert shop.control("faults", seed=1, rules=rules).status_code == 200


class TestFaults:
    def credit(self, shop: Shop, card: str) -> requests.Response:
        body = {
            "query": CREDIT,
            "variables": {"id": card, "input": {"creditAmount": money("1"), "note": "op"}},
        }
        return shop.post(body)

    @pytest.mark.parametrize(("kind", "balance"), [("drop_request", "10.00"), ("drop_response", "11.00")])
    def test_given_a_dropped_connection_then_the_effect_is_there_or_not(
        self, shop: Shop, kind: str, balance: str
    ) -> None:
        card = shop.create("10")
        fault(shop, kind, "giftCardCredit")
        with pytest.raises(requests.ConnectionError):
            self.credit(shop, card)
        assert shop.cards()[card]["balance"] == balance
        assert shop.stats()["operations"]["giftCardCredit"]["faults"] == {kind: 1}
        # Reads don't match.
        assert shop.data("{ shop { name } }")

    def test_given_a_late_request_then_it_lands_after_the_connection_is_gone(self, shop: Shop) -> None:
        card = shop.create("10")
        fault(shop, "late_apply", "giftCardCredit", delay_ms=0)
        with pytest.raises(requests.ConnectionError):
            self.credit(shop, card)
        for _ in range(100):
            if shop.cards()[card]["balance"] == "11.00":
                break
        assert shop.cards()[card]["balance"] == "11.00"

    def test_given_a_server_error_then_500_with_the_effect_or_without(self, shop: Shop) -> None:
        card = shop.create("10")
        fault(shop, "error_500", "giftCardCredit")
        statuses = {self.credit(shop, card).status_code for _ in range(20)}
        assert statuses == {500}
        assert Decimal(10) < Decimal(shop.cards()[card]["balance"]) < Decimal(30)

    def test_given_a_throttle_then_shopifys_answer_and_no_effect(self, shop: Shop) -> None:
        card = shop.create("10")
        fault(shop, "throttle", "giftCardCredit")
        answer = self.credit(shop, card).json()
        assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"
        cost = answer["extensions"]["cost"]
        assert cost["requestedQueryCost"] == 11
        assert cost["throttleStatus"]["currentlyAvailable"] == 0
        assert shop.cards()[card]["balance"] == "10.00"
        assert shop.stats()["throttles"] == 1

    def test_given_a_delay_then_the_answer_comes_all_the_same(self, shop: Shop) -> None:
        card = shop.create("10")
        fault(shop, "delay", "giftCardCredit", delay_ms=1)
        assert self.credit(shop, card).json()["data"]["giftCardCredit"]["userErrors"] == []

    def test_given_faults_on_everything_then_the_control_plane_is_spared(self, shop: Shop) -> None:
        fault(shop, "drop_request", "")
        assert buy(shop)["id"] in shop.cards()


class TestSeeding:
    def test_given_the_same_seed_then_the_same_cards_and_another_seed_gives_others(self) -> None:
        def cards(seed: int) -> list[dict[str, object]]:
            emulator = ShopifyEmulator(token="t", api_secret="s", cards=50, seed=seed, clock=lambda: START)
            return emulator.cards()

        assert cards(1) == cards(1)
        assert cards(1) != cards(2)

    def test_given_seeded_cards_then_they_were_bought_in_the_last_55_days(self) -> None:
        with running_shop(cards=200) as shop:
            cards = list(shop.cards().values())
            assert len(cards) == 200
            assert len({card["code"] for card in cards}) == 200
            assert len({card["balance"] for card in cards}) > 5
            for card in cards:
                moved = sum(Decimal(one["amount"]) for one in card["transactions"])
                assert Decimal(card["initial"]) + moved == Decimal(card["balance"])
            query = """
            { giftCards(first: 250, query: "source:purchased") { nodes {
                createdAt order { name shippingAddress { name } customer { email } } } }
              old: giftCards(first: 1, query: "created_at:<2026-05-21") { nodes { id } } }
            """
            answer = shop.data(query)
            nodes = answer["giftCards"]["nodes"]
            assert len(nodes) == 200
            assert all(node["order"]["shippingAddress"]["name"] for node in nodes)
            assert answer["old"]["nodes"] == []
            # New cards come after them.
            assert shop.create("1") > cards[-1]["id"]
