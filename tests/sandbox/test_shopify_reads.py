"""Lists, search, sorting and cursors (shopify.md §3.1), and orders (§8)."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from sandbox.shopify import ShopifyBehaviour
from tests.sandbox.conftest_shopify import CREDIT, DEACTIVATE, START, UPDATE, Shop, money, running_shop

LIST = """
query List(
  $first: Int, $last: Int, $after: String, $before: String, $query: String, $sortKey: GiftCardSortKeys,
  $reverse: Boolean
) {
  giftCards(
    first: $first, last: $last, after: $after, before: $before, query: $query, sortKey: $sortKey,
    reverse: $reverse
  ) {
    nodes { id }
    edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""


def page(shop: Shop, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = shop.data(LIST, **arguments)["giftCards"]
    return found


def ids(shop: Shop, **arguments: object) -> list[str]:
    return [node["id"] for node in page(shop, **{"first": 50, **arguments})["nodes"]]


def decoded(cursor: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(base64.b64decode(cursor))
    return content


def number(gid: str) -> int:
    return int(gid.rsplit("/", 1)[1])


class TestSingleReads:
    def test_given_an_unknown_number_then_null_without_error(self, shop: Shop) -> None:
        assert shop.data('{ giftCard(id: "gid://shopify/GiftCard/1") { id } }') == {"giftCard": None}

    @pytest.mark.parametrize("gid", ["gid://shopify/Order/1", "gid://shopify/GiftCard/abc"])
    def test_given_a_gid_of_another_kind_then_resource_not_found(self, shop: Shop, gid: str) -> None:
        answer = shop.run("query($id: ID!) { giftCard(id: $id) { id } }", id=gid)
        assert answer["data"] == {"giftCard": None}
        assert answer["errors"][0]["message"] == f"Invalid id: {gid}"
        assert answer["errors"][0]["extensions"]["code"] == "RESOURCE_NOT_FOUND"

    def test_given_nodes_then_cards_and_concrete_transactions_are_resolved(self, shop: Shop) -> None:
        card = shop.create("10")
        made = shop.payload(CREDIT, id=card, input={"creditAmount": money("1")})
        credit = made["giftCardCreditTransaction"]["id"]
        query = """
        query($ids: [ID!]!, $id: ID!) {
          nodes(ids: $ids) {
            __typename id
            ... on GiftCard { lastCharacters }
            ... on GiftCardTransaction { amount { amount } giftCard { id } }
          }
          node(id: $id) { __typename }
        }
        """
        answer = shop.data(query, ids=[card, credit, "gid://shopify/GiftCard/1"], id=credit)
        assert [one and one["__typename"] for one in answer["nodes"]] == [
            "GiftCard",
            "GiftCardCreditTransaction",
            None,
        ]
        assert answer["nodes"][1]["giftCard"]["id"] == card
        assert answer["node"]["__typename"] == "GiftCardCreditTransaction"

    def test_given_more_than_250_ids_then_the_input_is_too_big(self, shop: Shop) -> None:
        ids = [f"gid://shopify/GiftCard/{number}" for number in range(251)]
        answer = shop.run("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
        assert answer["errors"][0]["extensions"]["code"] == "MAX_INPUT_SIZE_EXCEEDED"
        assert shop.data("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids[:250])

    def test_given_the_shop_then_its_facts(self, shop: Shop) -> None:
        query = """
        { shop { currencyCode ianaTimezone timezoneOffsetMinutes myshopifyDomain features { giftCards }
                 plan { publicDisplayName shopifyPlus partnerDevelopment } }
          publicApiVersions { handle supported } }
        """
        assert shop.data(query) == {
            "shop": {
                "currencyCode": "NOK",
                "ianaTimezone": "Europe/Oslo",
                "timezoneOffsetMinutes": 120,
                "myshopifyDomain": "giftsync-sandbox.myshopify.com",
                "features": {"giftCards": True},
                "plan": {
                    "publicDisplayName": "Basic",
                    "shopifyPlus": False,
                    "partnerDevelopment": False,
                },
            },
            "publicApiVersions": [
                {"handle": version, "supported": True} for version in ("2026-04", "2026-07", "2026-10")
            ],
        }

    def test_given_transactions_then_they_page_oldest_first(self, shop: Shop) -> None:
        card = shop.create("10")
        for note in ("a", "b", "c"):
            shop.payload(CREDIT, id=card, input={"creditAmount": money("1"), "note": note})
        query = """
        query($id: ID!, $after: String) { giftCard(id: $id) {
          transactions(first: 2, after: $after) { nodes { note } pageInfo { hasNextPage endCursor } }
          newest: transactions(first: 1, reverse: true) { nodes { note } }
        } }
        """
        first = shop.data(query, id=card)["giftCard"]
        assert [one["note"] for one in first["transactions"]["nodes"]] == ["a", "b"]
        assert first["newest"]["nodes"] == [{"note": "c"}]
        after = first["transactions"]["pageInfo"]["endCursor"]
        assert shop.data(query, id=card, after=after)["giftCard"]["transactions"] == {
            "nodes": [{"note": "c"}],
            "pageInfo": {
                "hasNextPage": False,
                "endCursor": shop.data(query, id=card, after=after)["giftCard"]["transactions"]["pageInfo"][
                    "endCursor"
                ],
            },
        }


class TestPages:
    def test_given_cards_when_walked_both_ways_then_every_card_comes_once(self, shop: Shop) -> None:
        cards = [shop.create(str(amount)) for amount in range(1, 8)]
        for reverse in (False, True):
            found: list[str] = []
            after = None
            while True:
                answer = page(shop, first=3, after=after, reverse=reverse)
                found += [node["id"] for node in answer["nodes"]]
                assert answer["pageInfo"]["hasPreviousPage"] is (after is not None)
                after = answer["pageInfo"]["endCursor"]
                if not answer["pageInfo"]["hasNextPage"]:
                    break
            assert found == (cards[::-1] if reverse else cards)

    def test_given_last_and_before_then_the_page_before_with_the_recorded_flags(self, shop: Shop) -> None:
        cards = [shop.create("1") for _ in range(4)]
        whole = page(shop, first=4)
        answer = page(shop, last=2, before=whole["edges"][2]["cursor"])
        assert [node["id"] for node in answer["nodes"]] == cards[:2]
        assert answer["pageInfo"]["hasNextPage"] is True
        assert answer["pageInfo"]["hasPreviousPage"] is False
        assert [node["id"] for node in page(shop, last=1)["nodes"]] == cards[-1:]
        assert [node["id"] for node in page(shop, last=1, reverse=True)["nodes"]] == cards[:1]

    def test_given_an_empty_page_then_both_cursors_are_null(self, shop: Shop) -> None:
        assert page(shop, first=2) == {
            "nodes": [],
            "edges": [],
            "pageInfo": {
                "hasNextPage": False,
                "hasPreviousPage": False,
                "startCursor": None,
                "endCursor": None,
            },
        }

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "you must provide one of first or last"),
            ({"first": 1, "last": 1}, "providing both first and last is not supported"),
            ({"first": 1, "after": "nonsense"}, "Malformed cursor"),
            ({"first": 251}, "251 exceeds the maximum of 250 rows a page"),
            ({"first": -1}, "first cannot be less than zero"),
        ],
    )
    def test_given_a_bad_window_then_bad_request(
        self, shop: Shop, arguments: dict[str, Any], message: str
    ) -> None:
        answer = shop.run(LIST, **arguments)
        assert answer["errors"][0]["message"] == message
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"

    def test_given_ids_then_the_cursor_holds_text_without_and_a_number_with_a_query(self, shop: Shop) -> None:
        card = shop.create("1")
        plain = page(shop, first=1)["edges"][0]["cursor"]
        searched = page(shop, first=1, query="status:enabled")["edges"][0]["cursor"]
        assert decoded(plain) == {"last_id": number(card), "last_value": str(number(card))}
        assert decoded(searched) == {"last_id": number(card), "last_value": number(card)}

    def test_given_amounts_and_dates_then_cursors_hold_numbers_and_milliseconds(self, shop: Shop) -> None:
        card = shop.create("10.01", expiresOn="2028-01-01")
        by_value = page(shop, first=1, sortKey="INITIAL_VALUE")["edges"][0]["cursor"]
        by_expiry = page(shop, first=1, sortKey="EXPIRES_ON")["edges"][0]["cursor"]
        assert decoded(by_value) == {"last_id": number(card), "last_value": 10.01}
        assert decoded(by_expiry) == {"last_id": number(card), "last_value": 1_830_297_600_000}

    def test_given_nulls_then_they_sort_last_both_ways_with_the_recorded_values(self, shop: Shop) -> None:
        live, dead = shop.create("1"), shop.create("1")
        shop.payload(DEACTIVATE, id=dead)
        for reverse, null in ((False, 9_223_372_036_854_775_807), (True, -9_223_372_036_854_775_808)):
            edges = page(shop, first=2, sortKey="DISABLED_AT", reverse=reverse)["edges"]
            assert [edge["node"]["id"] for edge in edges] == [dead, live]
            assert decoded(edges[1]["cursor"])["last_value"] == null
            after = page(shop, first=2, sortKey="DISABLED_AT", reverse=reverse, after=edges[0]["cursor"])
            assert [node["id"] for node in after["nodes"]] == [live]

    def test_given_every_sort_key_when_walked_one_by_one_then_every_card_comes_once(self, shop: Shop) -> None:
        cards = {
            shop.create(str(amount), expiresOn=expiry)
            for amount, expiry in ((3, None), (1, "2030-01-01"), (2, "2029-01-01"), (3, None))
        }
        keys = "AMOUNT_SPENT BALANCE CODE CREATED_AT CUSTOMER_NAME DISABLED_AT EXPIRES_ON"
        for key in f"{keys} ID INITIAL_VALUE UPDATED_AT".split():
            for reverse in (False, True):
                found = []
                after = None
                for _ in range(len(cards)):
                    answer = page(shop, first=1, after=after, sortKey=key, reverse=reverse)
                    found += [node["id"] for node in answer["nodes"]]
                    after = answer["pageInfo"]["endCursor"]
                assert set(found) == cards, key
                assert answer["pageInfo"]["hasNextPage"] is False

    def test_given_updates_then_updated_at_sorts_by_them(self, shop: Shop) -> None:
        first, second, third = (shop.create("1") for _ in range(3))
        assert ids(shop, sortKey="UPDATED_AT", reverse=True) == [third, second, first]
        shop.clocks.advance(1)
        shop.payload(UPDATE, id=first, input={"note": "x"})
        assert ids(shop, sortKey="UPDATED_AT", reverse=True) == [first, third, second]

    def test_given_the_switch_off_then_updated_at_sorts_by_id(self) -> None:
        behaviour = ShopifyBehaviour(search_lag_s=0, updated_at_sort_works=False)
        with running_shop(behaviour=behaviour) as shop:
            first, second = shop.create("1"), shop.create("1")
            shop.clocks.advance(1)
            shop.payload(UPDATE, id=first, input={"note": "x"})
            assert ids(shop, sortKey="UPDATED_AT", reverse=True) == [second, first]

    def test_given_counts_then_exact_up_to_the_limit(self, shop: Shop) -> None:
        for amount in ("1", "2", "3"):
            shop.create(amount)
        query = """
        query($limit: Int, $query: String) {
          giftCardsCount(limit: $limit, query: $query) { count precision }
        }
        """
        for arguments, count, precision in (
            ({}, 3, "EXACT"),
            ({"limit": 2}, 2, "AT_LEAST"),
            ({"limit": 3}, 3, "EXACT"),
            ({"limit": 1, "query": "initial_value:>=2"}, 1, "AT_LEAST"),
            ({"query": "initial_value:>=2"}, 2, "EXACT"),
        ):
            assert shop.data(query, **arguments)["giftCardsCount"] == {
                "count": count,
                "precision": precision,
            }


class TestSearch:
    @pytest.fixture
    def cards(self, shop: Shop) -> dict[str, str]:
        """Named cards that differ in everything that can be searched for."""
        customer = shop.customer(email="a@example.com")
        cards = {
            "plain": shop.create("10", code="AAAAAAAA7369"),
            "spent": shop.create("5", code="BBBBBBBB2b5a", customerId=customer),
            "empty": shop.create("4", code="CCCCCCCC2b6a", expiresOn="2026-08-01"),
            "dead": shop.create("3", code="DDDDDDDD0001"),
            "expired": shop.create("2", code="EEEEEEEE0002", expiresOn="2026-01-01"),
        }
        query = """
        mutation($id: ID!, $i: GiftCardDebitInput!) {
          giftCardDebit(id: $id, debitInput: $i) { userErrors { field } }
        }
        """
        shop.data(query, id=cards["spent"], i={"debitAmount": money("1")})
        shop.data(query, id=cards["empty"], i={"debitAmount": money("4")})
        shop.payload(DEACTIVATE, id=cards["dead"])
        shop.clocks.advance(86_400)
        bought = shop.control("purchase", amount=50, name="Ola Moe", email="ola@example.com").json()
        cards["bought"] = bought["id"]
        cards["recipient"] = shop.create("9", code="FFFFFFFF0003", recipientAttributes={"id": customer})
        return cards

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("status:enabled", "plain spent empty expired bought recipient"),
            ("status:disabled", "dead"),
            ("status:expired", "expired"),
            ("status:expiring", "empty"),
            ("balance_status:full", "plain dead expired bought recipient"),
            ("balance_status:partial", "spent"),
            ("balance_status:empty", "empty"),
            ("balance_status:full_or_partial", "plain spent dead expired bought recipient"),
            ("created_at:>=2026-07-16", "bought recipient"),
            ("created_at:<2026-07-16", "plain spent empty dead expired"),
            ("created_at:2026-07-15", "plain spent empty dead expired"),
            ("expires_on:>=2026-07-01", "empty"),
            ("expires_on:<2026-07-01", "expired"),
            ("source:purchased", "bought"),
            ("source:api_client", "plain spent empty dead expired recipient"),
            ("source:manual", ""),
            ("initial_value:>=9", "plain bought recipient"),
            ("7369", "plain"),
            ("2B5", "spent"),
            ("2b", "spent empty"),
            ("AAAA-AAAA 7369", ""),
            ("AAAAAAAA7369", "plain"),
            ("AAAAAAAA", ""),
            ("7369 OR 2b5a", "plain spent"),
            ("(7369 OR 2b5a) AND balance_status:partial", "spent"),
            ("7369 status:disabled", ""),
            ("NOT status:enabled", "dead"),
            ("-status:enabled", "dead"),
            ("status:enabled AND source:api_client AND initial_value:<5", "empty expired"),
            ("", "plain spent empty dead expired bought recipient"),
        ],
    )
    def test_given_a_query_then_these_cards(
        self, shop: Shop, cards: dict[str, str], query: str, expected: str
    ) -> None:
        answer = shop.run(LIST, first=50, query=query)
        found = [node["id"] for node in answer["data"]["giftCards"]["nodes"]]
        assert found == [cards[name] for name in expected.split()]
        assert "search" not in answer["extensions"]

    def test_given_ids_and_people_then_their_cards(self, shop: Shop, cards: dict[str, str]) -> None:
        query = "query($id: ID!) { giftCard(id: $id) { customer { id } } }"
        customer = shop.data(query, id=cards["spent"])["giftCard"]["customer"]["id"]
        assert ids(shop, query=f"id:{number(cards['dead'])}") == [cards["dead"]]
        assert ids(shop, query=f"customer_id:{number(customer)}") == [cards["spent"]]
        assert ids(shop, query=f"recipient_id:{number(customer)}") == [cards["recipient"]]
        assert ids(shop, query=f"id:>={number(cards['bought'])}") == [cards["bought"], cards["recipient"]]

    def test_given_updated_at_then_the_term_is_ignored_with_the_recorded_warning(
        self, shop: Shop, cards: dict[str, str]
    ) -> None:
        query = "id:1 AND updated_at:>=2099-01-01"
        text = f'{{ alias: giftCards(first: 5, query: "{query}") {{ nodes {{ id }} }} }}'
        assert shop.run(text)["extensions"]["search"] == [
            {
                "path": ["alias"],
                "query": query,
                "parsed": {
                    "and": [
                        {"field": "updated_at", "range_gte": "2099-01-01"},
                        {"field": "id", "match_all": "1"},
                    ]
                },
                "warnings": [
                    {
                        "field": "updated_at",
                        "message": "Invalid search field for this query.",
                        "code": "invalid_field",
                    }
                ],
            }
        ]
        assert len(ids(shop, query="updated_at:>=2099-01-01")) == len(cards)

    @pytest.mark.parametrize("field", ["enabled", "active", "last_characters"])
    def test_given_a_field_that_is_said_to_be_invalid_then_a_warning(self, shop: Shop, field: str) -> None:
        answer = shop.run(LIST, first=1, query=f"{field}:true")
        (search,) = answer["extensions"]["search"]
        assert [warning["code"] for warning in search["warnings"]] == ["invalid_field"]

    @pytest.mark.parametrize(
        ("field", "value"),
        [("status", "open"), ("id", "x"), ("created_at", "soon"), ("initial_value", "a"), ("source", "y")],
    )
    def test_given_a_bad_value_then_a_warning_and_no_rows(
        self, shop: Shop, cards: dict[str, str], field: str, value: str
    ) -> None:
        answer = shop.run(LIST, first=5, query=f"{field}:{value}")
        assert answer["data"]["giftCards"]["nodes"] == []
        assert answer["extensions"]["search"][0]["warnings"] == [
            {
                "field": field,
                "message": f"Input `{value}` is not an accepted value.",
                "code": "invalid_value",
            }
        ]

    def test_given_a_lag_then_search_sees_writes_later_and_ids_at_once(self) -> None:
        with running_shop(behaviour=ShopifyBehaviour(search_lag_s=5)) as shop:
            card = shop.create("10", code="GGGGGGGG1234")
            assert ids(shop, query="1234") == []
            assert ids(shop) == [card]
            assert shop.data("query($id: ID!) { giftCard(id: $id) { id } }", id=card)["giftCard"]
            shop.clocks.advance(5)
            assert ids(shop, query="1234") == [card]
            shop.payload(DEACTIVATE, id=card)
            assert ids(shop, query="status:enabled") == [card]
            shop.clocks.advance(3)
            shop.payload(UPDATE, id=card, input={"note": "x"})
            shop.clocks.advance(2)
            assert ids(shop, query="status:enabled") == []
            assert ids(shop, query="status:disabled AND created_at:>=2026-01-01") == [card]


ORDERS = """
query Orders($query: String, $sortKey: OrderSortKeys, $reverse: Boolean) {
  orders(first: 10, query: $query, sortKey: $sortKey, reverse: $reverse) {
    nodes {
      id name email displayFinancialStatus paymentGatewayNames
      totalPriceSet { shopMoney { amount currencyCode } }
      shippingAddress { name } customer { displayName }
      lineItems(first: 5) { nodes { isGiftCard title } }
      transactions(first: 5) {
        id gateway kind status receiptJson amountSet { shopMoney { amount } } parentTransaction { id }
      }
      refunds { transactions(first: 5) { nodes { kind } } totalRefundedSet { shopMoney { amount } } }
    }
  }
}
"""


class TestOrders:
    def test_given_a_purchase_then_the_order_names_the_buyer_and_the_card_its_line(self, shop: Shop) -> None:
        buyer = {"name": "Ola Nordmann", "email": "ola@example.com"}
        bought = shop.control("purchase", amount="250.50", **buyer).json()
        (order,) = shop.data(ORDERS)["orders"]["nodes"]
        assert order["id"] == bought["order_id"]
        assert order["name"] == "#1001"
        assert order["shippingAddress"] == {"name": "Ola Nordmann"}
        assert order["customer"] == {"displayName": "Ola Nordmann"}
        assert order["lineItems"]["nodes"] == [{"isGiftCard": True, "title": "Gift Card"}]
        assert order["paymentGatewayNames"] == ["shopify_payments"]
        query = """
        query($id: ID!) { giftCard(id: $id) { order { id } lineItem { isGiftCard } balance { amount } } }
        """
        assert shop.data(query, id=bought["id"])["giftCard"] == {
            "order": {"id": order["id"]},
            "lineItem": {"isGiftCard": True},
            "balance": {"amount": "250.5"},
        }

    @pytest.mark.parametrize("form", ["string", "object"])
    def test_given_a_card_payment_then_the_receipt_names_the_card(self, form: Any) -> None:
        behaviour = ShopifyBehaviour(search_lag_s=0, receipt_json=form)
        with running_shop(behaviour=behaviour) as shop:
            card = shop.create("100", code="KKKKKKKK1234")
            shop.control("checkout", code="kkkkkkkk1234", amount=40)
            (order,) = shop.data(ORDERS, query="gateway:gift_card")["orders"]["nodes"]
            (payment,) = order["transactions"]
            receipt = payment["receiptJson"]
            assert isinstance(receipt, str) is (form == "string")
            assert (json.loads(receipt) if form == "string" else receipt) == {
                "gift_card_id": number(card),
                "gift_card_last_characters": "1234",
            }
            assert (payment["gateway"], payment["kind"], payment["status"]) == (
                "gift_card",
                "SALE",
                "SUCCESS",
            )

    def test_given_a_refund_then_it_is_a_transaction_and_moves_the_order(self, shop: Shop) -> None:
        shop.create("100", code="KKKKKKKK1234")
        paid = shop.control("checkout", code="kkkkkkkk1234", amount=40).json()
        shop.clocks.advance(3_600)
        shop.control("refund", order_id=paid["order_id"], amount=10)
        since = (START + timedelta(seconds=1_800)).isoformat().replace("+00:00", "Z")
        (order,) = shop.data(ORDERS, query=f"updated_at:>='{since}'")["orders"]["nodes"]
        assert order["displayFinancialStatus"] == "PARTIALLY_REFUNDED"
        assert [one["kind"] for one in order["transactions"]] == ["SALE", "REFUND"]
        assert order["transactions"][1]["parentTransaction"] == {"id": order["transactions"][0]["id"]}
        assert order["refunds"][0]["totalRefundedSet"]["shopMoney"]["amount"] == "10.0"
        node = "query($id: ID!) { node(id: $id) { ... on OrderTransaction { kind order { id } } } }"
        for transaction, kind in zip(order["transactions"], ("SALE", "REFUND"), strict=True):
            assert shop.data(node, id=transaction["id"])["node"] == {
                "kind": kind,
                "order": {"id": order["id"]},
            }

    def test_given_orders_then_they_sort_by_updated_at(self, shop: Shop) -> None:
        shop.create("100", code="KKKKKKKK1234")
        names = []
        for _ in range(3):
            shop.clocks.advance(1)
            names.append(shop.control("checkout", code="kkkkkkkk1234", amount=1).json()["order_id"])
        shop.clocks.advance(1)
        shop.control("refund", order_id=names[0], amount=1)
        found = shop.data(ORDERS, sortKey="UPDATED_AT", reverse=True)["orders"]["nodes"]
        assert [order["id"] for order in found] == [names[0], names[2], names[1]]
        assert [order["id"] for order in shop.data(ORDERS)["orders"]["nodes"]] == names

    @pytest.mark.parametrize("visible", [False, True])
    def test_given_checkout_and_refund_then_the_card_shows_them_only_if_the_behaviour_says_so(
        self, visible: bool
    ) -> None:
        behaviour = ShopifyBehaviour(
            search_lag_s=0,
            checkout_in_transactions=visible,
            refund_in_transactions=visible,
            updated_at_moves_on_checkout=visible,
            updated_at_moves_on_refund=visible,
        )
        with running_shop(behaviour=behaviour) as shop:
            card = shop.create("100", code="KKKKKKKK1234")
            shop.clocks.advance(60)
            paid = shop.control("checkout", code="kkkkkkkk1234", amount=40).json()
            shop.clocks.advance(60)
            shop.control("refund", order_id=paid["order_id"], amount=10)
            query = """
            query($id: ID!) { giftCard(id: $id) {
              updatedAt balance { amount } transactions(first: 5) { nodes { __typename amount { amount } } }
            } }
            """
            seen = shop.data(query, id=card)["giftCard"]
            assert seen["balance"] == {"amount": "70.0"}
            amounts = [one["amount"]["amount"] for one in seen["transactions"]["nodes"]]
            assert amounts == (["-40.0", "10.0"] if visible else [])
            assert seen["updatedAt"] == ("2026-07-15T10:02:00Z" if visible else "2026-07-15T10:00:00Z")
