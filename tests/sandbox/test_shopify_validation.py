"""Requests that are refused before anything runs (shopify.md §1, §2, §5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest_shopify import CREATE, CREDIT, Shop, money


def refused(answer: dict[str, Any]) -> dict[str, Any]:
    """The one error of a request that wasn't run."""
    assert "data" not in answer
    assert "extensions" not in answer
    (error,) = answer["errors"]
    return dict(error)


def test_given_a_payload_without_gift_card_when_it_is_selected_then_undefined_field(shop: Shop) -> None:
    query = (
        'mutation Name { giftCardCredit(id: "gid://shopify/GiftCard/1", '
        'creditInput: {creditAmount: {amount: "1", currencyCode: NOK}}) { giftCard { id } } }'
    )
    error = refused(shop.run(query))
    assert error["message"] == "Field 'giftCard' doesn't exist on type 'GiftCardCreditPayload'"
    assert error["path"] == ["mutation Name", "giftCardCredit", "giftCard"]
    assert error["extensions"] == {
        "code": "undefinedField",
        "typeName": "GiftCardCreditPayload",
        "fieldName": "giftCard",
    }
    assert error["locations"][0]["line"] == 1


@pytest.mark.parametrize("field", ["code", "source", "metafields(first: 1) { nodes { id } }"])
def test_given_a_card_when_a_field_it_does_not_have_is_selected_then_undefined_field(
    shop: Shop, field: str
) -> None:
    error = refused(shop.run(f'{{ giftCard(id: "gid://shopify/GiftCard/1") {{ {field} }} }}'))
    assert error["extensions"]["code"] == "undefinedField"
    assert error["path"][0] == "query"


def test_given_an_inline_input_without_a_mandatory_key_then_missing_input_attribute(shop: Shop) -> None:
    query = "mutation M { a: giftCardCreate(input: {initialAmount: {amount: 1}}) { userErrors { message } } }"
    error = refused(shop.run(query))
    assert error["message"] == (
        "Argument 'currencyCode' on InputObject 'MoneyInput' is required. Expected type CurrencyCode!"
    )
    assert error["path"] == ["mutation M", "a", "input", "initialAmount", "currencyCode"]
    assert error["extensions"] == {
        "code": "missingRequiredInputObjectAttribute",
        "argumentName": "currencyCode",
        "argumentType": "CurrencyCode!",
        "inputObjectType": "MoneyInput",
    }


def test_given_version_2026_04_when_initial_amount_is_sent_then_invalid_variable_as_recorded(
    shop: Shop,
) -> None:
    wanted = {"note": "x", "initialAmount": money("10", "USD")}
    query = "mutation A($input: GiftCardCreateInput!) { giftCardCreate(input: $input) { giftCardCode } }"
    error = refused(shop.run(query, version="2026-04", input=wanted))
    assert error["message"] == (
        "Variable $input of type GiftCardCreateInput! was provided invalid value for initialAmount "
        "(Field is not defined on GiftCardCreateInput), initialValue (Expected value to not be null)"
    )
    assert error["extensions"] == {
        "code": "INVALID_VARIABLE",
        "value": wanted,
        "problems": [
            {"path": ["initialAmount"], "explanation": "Field is not defined on GiftCardCreateInput"},
            {"path": ["initialValue"], "explanation": "Expected value to not be null"},
        ],
    }


@pytest.mark.parametrize(
    ("wanted", "path", "explanation"),
    [
        ({"creditAmount": money("x")}, ["creditAmount", "amount"], "invalid decimal 'x'"),
        ({}, ["creditAmount"], "Expected value to not be null"),
        (
            {"creditAmount": money("1"), "note": 5},
            ["note"],
            "Could not coerce value 5 to String",
        ),
        (
            {"creditAmount": money("1"), "processedAt": "yesterday"},
            ["processedAt"],
            "invalid DateTime 'yesterday'",
        ),
        ({"creditAmount": money("1"), "nope": 1}, ["nope"], "Field is not defined on GiftCardCreditInput"),
    ],
)
def test_given_bad_variables_then_each_problem_is_named(
    shop: Shop, wanted: dict[str, Any], path: list[str], explanation: str
) -> None:
    error = refused(shop.run(CREDIT, id="gid://shopify/GiftCard/1", input=wanted))
    assert error["extensions"]["code"] == "INVALID_VARIABLE"
    (problem,) = error["extensions"]["problems"]
    assert (problem["path"], problem["explanation"]) == (path, explanation)


def test_given_an_unknown_currency_in_a_variable_then_the_known_ones_are_listed(shop: Shop) -> None:
    error = refused(shop.run(CREATE, input={"initialAmount": money("1", "ZZZ")}))
    (problem,) = error["extensions"]["problems"]
    assert problem["explanation"].startswith('Expected "ZZZ" to be one of: ')


def test_given_an_id_variable_that_is_no_gid_then_invalid_variable(shop: Shop) -> None:
    query = "query($id: ID!) { giftCard(id: $id) { id } }"
    error = refused(shop.run(query, id="not-a-gid"))
    assert error["message"] == "Variable $id of type ID! was provided invalid value"
    assert error["extensions"]["value"] == "not-a-gid"
    assert error["extensions"]["problems"][0]["explanation"] == "Invalid global id 'not-a-gid'"


def test_given_an_id_literal_that_is_no_gid_then_argument_literals_incompatible(shop: Shop) -> None:
    error = refused(shop.run('{ giftCard(id: "123") { id } }'))
    assert error["message"] == "Invalid global id '123'"
    assert error["extensions"]["code"] == "argumentLiteralsIncompatible"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ giftCard { id } }", "missingRequiredArguments"),
        ("{ giftCards(first: 1, colour: 1) { nodes { id } } }", "argumentNotAccepted"),
        ("{ giftCards(sortKey: COLOUR, first: 1) { nodes { id } } }", "argumentLiteralsIncompatible"),
        ('{ giftCards(first: "1") { nodes { id } } }', "argumentLiteralsIncompatible"),
        ("{ shop }", "selectionMismatch"),
        ("{ shop { name { first } } }", "selectionMismatch"),
        ("query($a: Int) { shop { name } }", "variableNotUsed"),
        ("{ giftCards(first: $a) { nodes { id } } }", "variableNotDefined"),
        ("query($a: String) { giftCards(first: $a) { nodes { id } } }", "variableMismatch"),
        ('{ node(id: "gid://shopify/Shop/1") { ... on Ship { id } } }', "undefinedType"),
        ("{ shop @loudly { name } }", "undefinedDirective"),
        ("{ shop {", "PARSE_ERROR"),
        ("mutation { giftCardCreate(input: {colour: 1}) { giftCardCode } }", "argumentNotAccepted"),
        (
            "query($i: CustomerIdentifierInput = {}) { customerByIdentifier(identifier: {}) { id } }",
            "invalidOneOfInputObject",
        ),
    ],
)
def test_given_an_invalid_document_then_it_is_refused_with_its_code(
    shop: Shop, query: str, code: str
) -> None:
    answer = shop.run(query)
    assert "data" not in answer
    assert code in {error["extensions"]["code"] for error in answer["errors"]}


def test_given_variables_inside_fragments_then_they_count_as_used(shop: Shop) -> None:
    query = (
        "query Q($n: Int!) { giftCards(first: 1) { ...Page } } "
        "fragment Page on GiftCardConnection { nodes { transactions(first: $n) { nodes { id } } } }"
    )
    assert shop.data(query, n=5) == {"giftCards": {"nodes": []}}


def test_given_several_operations_when_none_is_named_then_it_is_refused(shop: Shop) -> None:
    body = {"query": "query A { shop { name } } query B { shop { id } }"}
    assert "errors" in shop.post(body).json()
    assert shop.post({**body, "operationName": "B"}).json()["data"]["shop"].keys() == {"id"}


def test_given_a_body_that_is_no_request_then_bad_request(shop: Shop) -> None:
    assert shop.post({"no": "query"}).status_code == 400


def test_given_the_idempotent_directive_on_a_credit_then_it_changes_nothing(shop: Shop) -> None:
    """The directive is defined, but no gift-card mutation supports it (shopify.md §3.2)."""
    card = shop.create("10")
    query = (
        f'mutation {{ giftCardCredit(id: "{card}", '
        "creditInput: {creditAmount: {amount: 1, currencyCode: NOK}}) "
        '@idempotent(key: "k") { userErrors { message } } }'
    )
    shop.data(query)
    shop.data(query)
    assert shop.cards()[card]["balance"] == "12.00"


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("2026-10", "2026-10"),
        ("2026-07", "2026-07"),
        ("2026-04", "2026-04"),
        ("2025-01", "2026-04"),
        ("nonsense", "2026-04"),
    ],
)
def test_given_a_version_then_the_header_tells_which_one_was_served(
    shop: Shop, asked: str, served: str
) -> None:
    response = shop.post({"query": "{ shop { name } }"}, version=asked)
    assert response.headers["X-Shopify-API-Version"] == served


@pytest.mark.parametrize("field", ["isRedeemable", "crossCurrencyRedemptionStrategy", "lineItem { id }"])
def test_given_2026_04_then_newer_fields_are_undefined(shop: Shop, field: str) -> None:
    query = f"{{ giftCards(first: 1) {{ nodes {{ {field} }} }} }}"
    assert refused(shop.run(query, version="2026-04"))["extensions"]["code"] == "undefinedField"
    assert "data" in shop.run(query, version="2026-07")


def test_given_rest_paths_then_not_found(shop: Shop) -> None:
    for path in ("/admin/api/2026-10/gift_cards.json", "/admin/api/2026-10/gift_cards/search.json", "/"):
        response = shop.session.get(f"{shop.url}{path}", headers={"X-Shopify-Access-Token": "x"}, timeout=10)
        assert response.status_code == 404


def test_given_introspection_then_it_is_answered_for_two_points(shop: Shop) -> None:
    answer = shop.run('{ __type(name: "GiftCard") { fields { name } } }')
    names = {field["name"] for field in answer["data"]["__type"]["fields"]}
    assert "balance" in names
    assert answer["extensions"]["cost"]["requestedQueryCost"] == 2
