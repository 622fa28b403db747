"""Query cost and throttling (shopify.md §5, §6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest_shopify import CREATE, CREDIT, Shop, money, running_shop

CARD = 'giftCard(id: "gid://shopify/GiftCard/1")'
MONEY_INPUT = "{creditAmount: {amount: 1, currencyCode: NOK}}"


def cost(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = answer["extensions"]["cost"]
    return found


CREDIT_ONE = f'giftCardCredit(id: "gid://shopify/GiftCard/1", creditInput: {MONEY_INPUT})'
CREATE_ONE = "giftCardCreate(input: {initialValue: 1})"
PEOPLE = "customer { id } recipientAttributes { recipient { id } }"
NODES_AND_EDGES = "nodes { id } edges { cursor node { id } } pageInfo { hasNextPage }"


@pytest.mark.parametrize(
    ("query", "requested"),
    [
        (f"mutation {{ {CREATE_ONE} {{ giftCard {{ id }} userErrors {{ message }} }} }}", 10),
        (f"mutation {{ {CREDIT_ONE} {{ giftCardCreditTransaction {{ amount {{ amount }} }} }} }}", 10),
        (f"mutation {{ {CREDIT_ONE} {{ giftCardCreditTransaction {{ giftCard {{ id }} }} }} }}", 11),
        ('mutation { giftCardDeactivate(id: "gid://shopify/GiftCard/1") { giftCard { id } } }', 10),
        (f"mutation {{ {CREATE_ONE} {{ giftCard {{ {PEOPLE} }} }} }}", 13),
        ("{ giftCardConfiguration { issueLimit { amount } purchaseLimit { amount } } }", 1),
        (f"{{ {CARD} {{ id balance {{ amount }} }} }}", 1),
        (f"{{ {CARD} {{ id transactions(first: 5) {{ nodes {{ id }} }} }} }}", 6),
        (f"{{ {CARD} {{ id transactions(first: 10) {{ nodes {{ id }} }} }} }}", 7),
        (f"{{ {CARD} {{ {PEOPLE} transactions(first: 5) {{ nodes {{ id }} }} }} }}", 9),
        ("{ giftCards(first: 1) { nodes { id } } }", 3),
        ("{ giftCards(first: 2) { nodes { id } } }", 3),
        (f"{{ giftCards(first: 2) {{ {NODES_AND_EDGES} }} }}", 4),
        (f"{{ giftCards(first: 3) {{ {NODES_AND_EDGES} }} }}", 6),
        ("{ giftCardsCount { count } }", 10),
        ("{ bulkOperations(first: 10) { nodes { id } } }", 6),
        ("{ bulkOperations(first: 50) { nodes { id } } }", 9),
        ('{ bulkOperation(id: "gid://shopify/BulkOperation/1") { id } }', 1),
        (
            'mutation { bulkOperationCancel(id: "gid://shopify/BulkOperation/1") { userErrors { field } } }',
            10,
        ),
        ("mutation { stagedUploadsCreate(input: []) { stagedTargets { url parameters { name } } } }", 11),
        ("{ currentAppInstallation { accessScopes { handle } } }", 2),
        ("{ customers(first: 100) { nodes { id } } }", 11),
        ("{ giftCards(first: 250) { nodes { id } } }", 13),
        ("{ giftCards(first: 250) { nodes { transactions(first: 50) { nodes { id } } } } }", 112),
        ("{ giftCards(first: 100) { nodes { transactions(first: 10) { nodes { id } } } } }", 65),
        ("{ orders(first: 50) { nodes { transactions { id } customer { id } } } }", 23),
        ("query($n: Int = 250) { giftCards(first: $n) { nodes { id } } }", 13),
        ("query { ...Q } fragment Q on QueryRoot { giftCards(first: 250) { nodes { id } } }", 13),
    ],
)
def test_given_a_request_then_the_recorded_or_modelled_cost(shop: Shop, query: str, requested: int) -> None:
    assert cost(shop.run(query))["requestedQueryCost"] == requested


def test_given_nine_aliases_then_ninety_points_even_if_all_are_rejected(shop: Shop) -> None:
    aliases = " ".join(
        f'a{n}: giftCardDeactivate(id: "gid://shopify/GiftCard/{n}") {{ userErrors {{ message }} }}'
        for n in range(9)
    )
    found = cost(shop.run(f"mutation {{ {aliases} }}"))
    assert (found["requestedQueryCost"], found["actualQueryCost"]) == (90, 90)
    assert found["throttleStatus"] == {
        "maximumAvailable": 2000,
        "currentlyAvailable": 1910,
        "restoreRate": 100,
    }


def test_given_fewer_rows_than_asked_for_then_the_difference_is_given_back(shop: Shop) -> None:
    shop.create("1")
    query = "{ giftCards(first: 250) { edges { node { transactions(first: 50) { nodes { id } } } } } }"
    before = shop.emulator.engine.bucket.available()
    found = cost(shop.run(query))
    assert found["requestedQueryCost"] == 112
    assert found["actualQueryCost"] < 20
    assert shop.emulator.engine.bucket.available() == before - found["actualQueryCost"]


def test_given_too_few_points_then_throttled_and_nothing_happens_until_they_are_back(shop: Shop) -> None:
    for _ in range(200):
        shop.create("1")
    answer = shop.run(CREATE, input={"initialAmount": money("1")})
    assert answer == {
        "errors": [
            {
                "message": "Throttled",
                "extensions": {
                    "code": "THROTTLED",
                    "documentation": "https://shopify.dev/api/usage/rate-limits",
                },
            }
        ],
        "extensions": {
            "cost": {
                "requestedQueryCost": 10,
                "actualQueryCost": None,
                "throttleStatus": {
                    "maximumAvailable": 2000,
                    "currentlyAvailable": 0,
                    "restoreRate": 100,
                },
            }
        },
    }
    assert len(shop.cards()) == 200
    assert shop.stats()["throttles"] == 1
    # (requested - currentlyAvailable) / restoreRate seconds.
    shop.clocks.advance(0.1)
    assert "data" in shop.run(CREATE, input={"initialAmount": money("1")})


def test_given_a_plan_then_its_bucket() -> None:
    for plan, capacity, rate in (("standard", 2_000, 100), ("plus", 20_000, 1_000)):
        with running_shop(plan=plan) as shop:
            status = cost(shop.run("{ shop { name plan { shopifyPlus } } }"))["throttleStatus"]
            assert (status["maximumAvailable"], status["restoreRate"]) == (capacity, rate)


def test_given_more_than_a_thousand_points_then_max_cost_exceeded_on_any_plan() -> None:
    with running_shop(plan="plus") as shop:
        inner = (
            "transactions(first: 250) { nodes { giftCard { transactions(first: 250) { nodes { id } } } } }"
        )
        answer = shop.run(f"{{ giftCards(first: 250) {{ nodes {{ {inner} }} }} }}")
        assert "data" not in answer
        assert answer["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"


def test_given_refused_requests_then_they_cost_nothing(shop: Shop) -> None:
    assert "extensions" not in shop.run("{ nope }")
    assert shop.emulator.engine.bucket.available() == 2_000


def test_given_calls_then_points_are_counted_by_operation(shop: Shop) -> None:
    card = shop.create("1")
    shop.payload(CREDIT, id=card, input={"creditAmount": money("1")})
    shop.run("{ shop { name } giftCardsCount { count } }")
    operations = shop.stats()["operations"]
    assert operations["giftCardCreate"]["points"] == 10
    assert operations["giftCardCredit"] == {
        "kind": "mutation",
        "calls": 1,
        "points": 11,
        "throttles": 0,
        "faults": {},
    }
    assert operations["shop+giftCardsCount"]["kind"] == "query"
