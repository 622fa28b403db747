"""Bulk operations and staged uploads (shopify.md §7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.shopify import ALL_SCOPES, ShopifyBehaviour
from tests.sandbox.conftest_shopify import CREDIT, Shop, money, running_shop

RUN_QUERY = """
mutation($query: String!) { bulkOperationRunQuery(query: $query) {
  bulkOperation { id status type objectCount rootObjectCount fileSize url errorCode query }
  userErrors { field message code }
} }
"""
RUN_MUTATION = """
mutation($mutation: String!, $path: String!, $client: String) {
  bulkOperationRunMutation(mutation: $mutation, stagedUploadPath: $path, clientIdentifier: $client) {
    bulkOperation { id status type }
    userErrors { field message code }
  }
}
"""
READ = """
query($id: ID!) { bulkOperation(id: $id) {
  status objectCount rootObjectCount fileSize url partialDataUrl errorCode completedAt
} }
"""
STAGE = """
mutation($input: [StagedUploadInput!]!) { stagedUploadsCreate(input: $input) {
  stagedTargets { url resourceUrl parameters { name value } } userErrors { field message }
} }
"""
CANCEL = """
mutation($id: ID!) { bulkOperationCancel(id: $id) { bulkOperation { status } userErrors { field message } } }
"""
CREATE_CARD = (
    "mutation($input: GiftCardCreateInput!) { giftCardCreate(input: $input) "
    "{ giftCard { id } giftCardCode userErrors { field code message } } }"
)
NODES_NOT_EDGES = (
    "All connection fields in a bulk query must select their contents using 'edges' > 'node', e.g: "
    "'giftCards { edges { node {'. Selecting via 'nodes' is not supported. "
    "Invalid connection fields: 'giftCards'."
)
PARENT_WITHOUT_ID = (
    "The parent 'node' field for a nested connection must select the 'id' field without an alias and must "
    "be of 'ID' return type. Connection fields without 'id': giftCards."
)
TOO_DEEP = (
    "{ a: giftCards { edges { node { id transactions { edges { node { id giftCard { "
    "transactions { edges { node { id } } } } } } } } } } }"
)
TWO_CONNECTIONS = (
    "mutation($input: GiftCardCreateInput!) { giftCardCreate(input: $input) { giftCard { "
    "a: transactions(first: 1) { nodes { id } } b: transactions(first: 1) { nodes { id } } } } }"
)
CARDS = "{ giftCards { edges { node { id transactions { edges { node { id amount { amount } } } } } } } }"


def finished(shop: Shop, operation: str) -> dict[str, Any]:
    """The operation once it is over; each look moves it on."""
    for _ in range(1_000):
        found: dict[str, Any] = shop.data(READ, id=operation)["bulkOperation"]
        if found["completedAt"] is not None:
            return found
        shop.clocks.advance(1)
    raise AssertionError("the bulk operation does not end")


def lines(shop: Shop, url: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shop.session.get(url, timeout=10).text.splitlines()]


def staged(shop: Shop, body: bytes, *, break_it: bool = False) -> str:
    """Upload a file; its stagedUploadPath."""
    wanted = {
        "resource": "BULK_MUTATION_VARIABLES",
        "filename": "cards.jsonl",
        "mimeType": "text/jsonl",
        "httpMethod": "POST",
    }
    (target,) = shop.payload(STAGE, input=[wanted])["stagedTargets"]
    parameters = {one["name"]: one["value"] for one in target["parameters"]}
    assert parameters["Content-Type"] == "text/jsonl"
    assert parameters["success_action_status"] == "201"
    if break_it:
        parameters["policy"] = "another"
    parts = [(name, (None, value)) for name, value in parameters.items()]
    response = shop.session.post(target["url"], files=[*parts, ("file", ("cards.jsonl", body))], timeout=10)
    assert response.status_code == (403 if break_it else 201)
    key: str = parameters["key"]
    return key


class TestQueries:
    def test_given_cards_then_jsonl_with_children_after_their_parents(self, shop: Shop) -> None:
        cards = [shop.create(str(amount)) for amount in (1, 2, 3)]
        for note in ("a", "b"):
            shop.payload(CREDIT, id=cards[1], input={"creditAmount": money("1"), "note": note})
        started = shop.payload(RUN_QUERY, query=CARDS)
        assert started["userErrors"] == []
        assert started["bulkOperation"] | {"id": ""} == {
            "id": "",
            "status": "CREATED",
            "type": "QUERY",
            "objectCount": "0",
            "rootObjectCount": "0",
            "fileSize": None,
            "url": None,
            "errorCode": None,
            "query": CARDS,
        }
        over = finished(shop, started["bulkOperation"]["id"])
        assert (over["status"], over["objectCount"], over["rootObjectCount"]) == ("COMPLETED", "5", "3")
        found = lines(shop, over["url"])
        assert [line["id"] for line in found if "__parentId" not in line] == cards
        assert [line.get("__parentId") for line in found] == [None, None, cards[1], cards[1], None]
        assert found[2]["amount"] == {"amount": "1.0"}
        assert int(over["fileSize"]) == len(shop.session.get(over["url"], timeout=10).content)

    def test_given_more_cards_than_a_page_then_all_of_them(self) -> None:
        with running_shop(cards=600) as shop:
            query = '{ giftCards(query: "source:purchased") { edges { node { id order { id name } } } } }'
            started = shop.payload(RUN_QUERY, query=query)["bulkOperation"]
            found = lines(shop, finished(shop, started["id"])["url"])
            assert [line["id"] for line in found] == list(shop.cards())
            assert found[0]["order"]["name"] == "#1001"

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            (
                "{ giftCards { nodes { id } } }",
                NODES_NOT_EDGES,
            ),
            ("{ shop { name } }", "Bulk queries must contain at least one connection."),
            (
                "mutation { giftCardCreate(input: {}) { giftCardCode } }",
                "Invalid operation type. Only `query` operations are supported.",
            ),
            (
                "{ giftCards { edges { node { note transactions { edges { node { id } } } } } } }",
                PARENT_WITHOUT_ID,
            ),
            (
                "{ orders { edges { node { id refunds { id transactions { edges { node { id } } } } } } } }",
                "Queries that contain a connection field within a list field are not currently supported.",
            ),
            (
                TOO_DEEP,
                "Bulk queries cannot contain connections with a nesting depth greater than 2.",
            ),
            (
                "{ " + " ".join(f"a{n}: giftCards {{ edges {{ node {{ id }} }} }}" for n in range(6)) + " }",
                "Bulk queries cannot contain more than 5 connections.",
            ),
        ],
    )
    def test_given_a_query_against_the_rules_then_the_recorded_message(
        self, shop: Shop, query: str, message: str
    ) -> None:
        assert shop.payload(RUN_QUERY, query=query) == {
            "bulkOperation": None,
            "userErrors": [{"field": ["query"], "message": message, "code": "INVALID"}],
        }

    def test_given_a_top_level_node_then_both_recorded_errors(self, shop: Shop) -> None:
        query = '{ node(id: "gid://shopify/GiftCard/0") { id } }'
        assert [error["message"] for error in shop.payload(RUN_QUERY, query=query)["userErrors"]] == [
            "Bulk queries cannot contain a top level `node` field.",
            "Bulk queries must contain at least one connection.",
        ]

    def test_given_too_long_a_query_then_its_size_is_told(self, shop: Shop) -> None:
        payload = shop.payload(RUN_QUERY, query=CARDS.ljust(65_536))
        assert payload["userErrors"][0]["message"] == (
            "Query is too large (65536 bytes; maximum is 65535 bytes)"
        )

    def test_given_a_missing_scope_then_the_operation_fails_with_access_denied(self) -> None:
        scopes = tuple(scope for scope in ALL_SCOPES if scope != "write_gift_card_transactions")
        with running_shop(scopes=scopes) as shop:
            started = shop.payload(RUN_QUERY, query=CARDS)["bulkOperation"]
            over = finished(shop, started["id"])
            assert (over["status"], over["errorCode"], over["url"]) == ("FAILED", "ACCESS_DENIED", None)

    def test_given_five_running_then_a_sixth_is_refused_and_names_them(self) -> None:
        with running_shop(behaviour=ShopifyBehaviour(bulk_queue_s=3_600)) as shop:
            running = [shop.payload(RUN_QUERY, query=CARDS)["bulkOperation"]["id"] for _ in range(5)]
            assert shop.payload(RUN_QUERY, query=CARDS)["userErrors"] == [
                {
                    "field": None,
                    "message": (
                        "A bulk query operation for this app and shop is already in progress: "
                        f"{', '.join(running)}."
                    ),
                    "code": "OPERATION_IN_PROGRESS",
                }
            ]
            cancelled = shop.payload(CANCEL, id=running[0])
            assert cancelled == {"bulkOperation": {"status": "CANCELING"}, "userErrors": []}
            assert finished(shop, running[0])["status"] == "CANCELED"
            assert shop.payload(RUN_QUERY, query=CARDS)["userErrors"] == []

    def test_given_a_finished_operation_then_it_cannot_be_cancelled_and_expires_in_a_week(
        self, shop: Shop
    ) -> None:
        shop.create("1")
        operation = shop.payload(RUN_QUERY, query=CARDS)["bulkOperation"]["id"]
        url = finished(shop, operation)["url"]
        assert shop.payload(CANCEL, id=operation)["userErrors"] == [
            {"field": None, "message": "A bulk operation cannot be canceled when it is completed"}
        ]
        shop.clocks.advance(7 * 86_400 + 10)
        assert finished(shop, operation)["status"] == "EXPIRED"
        assert shop.session.get(url, timeout=10).status_code == 404

    def test_given_operations_then_the_list_is_newest_first_and_searchable(self, shop: Shop) -> None:
        first = shop.payload(RUN_QUERY, query=CARDS)["bulkOperation"]["id"]
        finished(shop, first)
        second = shop.payload(RUN_QUERY, query=CARDS)["bulkOperation"]["id"]
        query = """
        query($query: String, $reverse: Boolean, $sortKey: BulkOperationsSortKeys) {
          bulkOperations(first: 5, query: $query, reverse: $reverse, sortKey: $sortKey) { nodes { id } }
          currentBulkOperation { id }
        }
        """

        def ids(**variables: Any) -> list[str]:
            return [node["id"] for node in shop.data(query, **variables)["bulkOperations"]["nodes"]]

        assert ids() == [second, first]
        assert ids(reverse=True) == [first, second]
        finished(shop, second)
        assert ids(sortKey="COMPLETED_AT") == [second, first]
        assert ids(query=f"id:{first.rsplit('/', 1)[1]}") == [first]
        assert ids(query="operation_type:mutation") == []
        assert shop.data(query)["currentBulkOperation"] == {"id": second}
        answer = shop.run('{ bulkOperations(first: 1, query: "status:EXPIRED") { nodes { id } } }')
        assert answer["data"]["bulkOperations"]["nodes"] == []
        assert answer["extensions"]["search"][0]["warnings"][0]["code"] == "invalid_value"


class TestMutations:
    def test_given_a_file_of_creates_then_each_line_is_run_and_answered(self, shop: Shop) -> None:
        inputs = [
            {"input": {"initialAmount": money("10"), "code": "BULK-0001"}},
            {"input": {"initialAmount": money("0"), "code": "BULK-0002"}},
            {"input": {"colour": "red"}},
            {"input": {"initialAmount": money("30"), "code": "BULK-0003"}},
        ]
        body = "\n".join(json.dumps(line) for line in inputs).encode()
        payload = shop.payload(RUN_MUTATION, mutation=CREATE_CARD, path=staged(shop, body))
        assert payload["userErrors"] == []
        assert payload["bulkOperation"]["status"] == "CREATED"
        over = finished(shop, payload["bulkOperation"]["id"])
        found = lines(shop, over["url"])
        assert [line["__lineNumber"] for line in found] == [0, 1, 2, 3]
        created = [line["data"]["giftCardCreate"] for line in found if "data" in line]
        assert [one["giftCardCode"] for one in created] == ["bulk0001", None, "bulk0003"]
        assert created[1]["userErrors"][0]["code"] == "GREATER_THAN"
        assert found[2]["errors"][0]["extensions"]["code"] == "INVALID_VARIABLE"
        assert [card["code"] for card in shop.cards().values()] == ["bulk0001", "bulk0003"]

    @pytest.mark.parametrize(
        ("mutation", "client", "field", "code", "message"),
        [
            (
                "query { giftCards { edges { node { id } } } }",
                None,
                None,
                "INVALID_MUTATION",
                "Invalid operation type. Only `mutation` operations are supported.",
            ),
            (
                "mutation { a: shopUpdate { id } b: shopUpdate { id } }",
                None,
                ["mutation"],
                None,
                "You must specify a single top level mutation.",
            ),
            (
                "mutation($q: String!) { bulkOperationRunQuery(query: $q) { bulkOperation { id } } }",
                None,
                ["mutation"],
                None,
                "You must use an allowed mutation name.",
            ),
            (CREDIT, None, ["mutation"], None, "You must use an allowed mutation name."),
            (
                TWO_CONNECTIONS,
                None,
                ["mutation"],
                None,
                "Bulk mutations cannot contain more than 1 connection.",
            ),
            (
                CREATE_CARD,
                "short",
                ["clientIdentifier"],
                "INVALID_MUTATION",
                "is too short (minimum is 10 characters)",
            ),
            (
                CREATE_CARD,
                "x" * 256,
                ["clientIdentifier"],
                "INVALID_MUTATION",
                "is too long (maximum is 255 characters)",
            ),
        ],
    )
    def test_given_a_mutation_against_the_rules_then_the_recorded_message(
        self,
        shop: Shop,
        mutation: str,
        client: str | None,
        field: list[str] | None,
        code: str | None,
        message: str,
    ) -> None:
        assert shop.payload(RUN_MUTATION, mutation=mutation, path="valid", client=client) == {
            "bulkOperation": None,
            "userErrors": [{"field": field, "message": message, "code": code}],
        }

    def test_given_the_switch_then_credits_may_run_in_bulk(self) -> None:
        behaviour = ShopifyBehaviour(search_lag_s=0, bulk_credit_debit_allowed=True)
        with running_shop(behaviour=behaviour) as shop:
            card = shop.create("10")
            line = {"id": card, "input": {"creditAmount": money("1")}}
            path = staged(shop, json.dumps(line).encode())
            operation = shop.payload(RUN_MUTATION, mutation=CREDIT, path=path)["bulkOperation"]["id"]
            finished(shop, operation)
            assert shop.cards()[card]["balance"] == "11.00"

    def test_given_a_file_that_is_missing_or_empty_then_the_recorded_errors(self, shop: Shop) -> None:
        missing = shop.payload(RUN_MUTATION, mutation=CREATE_CARD, path="tmp/none.jsonl")["userErrors"]
        assert (missing[0]["field"], missing[0]["code"]) == (None, "NO_SUCH_FILE")
        empty = shop.payload(RUN_MUTATION, mutation=CREATE_CARD, path=staged(shop, b""))["userErrors"]
        assert empty == [
            {
                "field": None,
                "message": "The input file is empty.",
                "code": "INVALID_STAGED_UPLOAD_FILE",
            }
        ]

    def test_given_a_tampered_upload_then_it_is_refused(self, shop: Shop) -> None:
        path = staged(shop, b"{}", break_it=True)
        payload = shop.payload(RUN_MUTATION, mutation=CREATE_CARD, path=path)
        assert payload["userErrors"][0]["code"] == "NO_SUCH_FILE"

    def test_given_other_uploads_then_they_are_not_offered(self, shop: Shop) -> None:
        wanted = {"resource": "IMAGE", "filename": "a.png", "mimeType": "image/png"}
        payload = shop.payload(STAGE, input=[wanted])
        assert payload["stagedTargets"] is None
        assert payload["userErrors"]
