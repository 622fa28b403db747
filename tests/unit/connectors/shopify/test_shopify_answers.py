"""Which error each answer of Shopify stands for (shopify.md §5)."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.api.errors import InDoubt, SideClosed, SideError, Throttled
from connectors.shopify.answers import (
    ScopeMissing,
    TokenRefused,
    cost_of,
    error_of_body,
    error_of_status,
    parts_of,
    throttle_seconds,
)
from connectors.shopify.bucket import ThrottleStatus
from connectors.shopify.operations import CREATE_CARD, CREDIT_CARD, READ_CARDS
from connectors.shopify.shape import text_of

THROTTLED: dict[str, Any] = {
    "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
    "extensions": {
        "cost": {
            "requestedQueryCost": 752,
            "actualQueryCost": None,
            "throttleStatus": {"maximumAvailable": 1000, "currentlyAvailable": 241, "restoreRate": 50},
        }
    },
}


def failed(
    code: str | None, data: object = None, path: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    error: dict[str, Any] = {"message": "said", "extensions": {"code": code, **more} if code else {}}
    if path is not None:
        error["path"] = path
    return {"errors": [error]} | ({"data": data} if data is not None else {})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (201, InDoubt),
        (302, SideClosed),
        (400, SideClosed),
        (401, TokenRefused),
        (402, SideClosed),
        (403, SideClosed),
        (404, SideClosed),
        (408, InDoubt),
        (423, SideClosed),
        (429, Throttled),
        (430, Throttled),
        (500, InDoubt),
        (503, InDoubt),
    ],
)
def test_statuses(status: int, expected: type[SideError] | None) -> None:
    error = error_of_status(status, 7.0)

    assert (type(error) if error else None) is expected
    if isinstance(error, Throttled):
        assert error.wait_seconds == 7.0
    if isinstance(error, SideClosed):
        assert error.remedy


def test_throttled_says_how_long_the_refill_takes() -> None:
    error = error_of_body(CREDIT_CARD, THROTTLED)

    assert isinstance(error, Throttled)
    assert error.wait_seconds == pytest.approx((752 - 241) / 50)


def test_a_throttle_without_numbers_has_a_default() -> None:
    assert 0 < throttle_seconds(cost_of({})) < 10


def test_costs_are_read() -> None:
    cost = cost_of(THROTTLED)

    assert (cost.requested_points, cost.actual_points) == (752, None)
    assert cost.status == ThrottleStatus(1000, 241, 50)


@pytest.mark.parametrize("root", ["giftCardCredit", "nodes"])
def test_a_missing_scope_is_named(root: str) -> None:
    operation = CREDIT_CARD if root == "giftCardCredit" else READ_CARDS
    needed = "`write_gift_card_transactions` access scope."
    body = failed("ACCESS_DENIED", {root: None}, [root], requiredAccess=needed)

    error = error_of_body(operation, body)

    assert isinstance(error, ScopeMissing)
    assert "write_gift_card_transactions" in error.remedy


@pytest.mark.parametrize(
    "code",
    ["undefinedField", "INVALID_VARIABLE", "missingRequiredInputObjectAttribute", "MAX_COST_EXCEEDED"],
)
def test_a_document_that_shopify_rejects_changed_nothing(code: str) -> None:
    path = ["mutation GiftsyncCreditCard", "giftCardCredit", "giftCard"]

    assert isinstance(error_of_body(CREDIT_CARD, failed(code, path=path)), SideClosed)


@pytest.mark.parametrize(
    "body",
    [
        failed("INTERNAL_SERVER_ERROR"),
        failed("INTERNAL_SERVER_ERROR", {"giftCardCredit": None}, ["giftCardCredit"]),
        failed("SOMETHING_NEW"),
        failed(None),
        {"errors": "words"},
        # The payload is there, or a part below it made it null: the credit may have been made.
        failed("ACCESS_DENIED", {"giftCardCredit": {"userErrors": []}}, ["giftCardCredit"]),
        failed("ACCESS_DENIED", {"giftCardCredit": None}, ["giftCardCredit", "userErrors"]),
        # One error that proves nothing beside one that leaves it open.
        {"errors": failed("ACCESS_DENIED")["errors"] + failed("INTERNAL_SERVER_ERROR")["errors"]},
    ],
)
def test_a_change_is_in_doubt_unless_the_error_proves_that_nothing_happened(body: dict[str, Any]) -> None:
    assert type(error_of_body(CREDIT_CARD, body)) is InDoubt


def test_a_search_term_that_was_ignored_is_an_error() -> None:
    warning = {
        "field": "updated_at",
        "message": "Invalid search field for this query.",
        "code": "invalid_field",
    }
    body = {"data": {"giftCards": {}}, "extensions": {"search": [{"query": "id:1", "warnings": [warning]}]}}

    assert isinstance(error_of_body(READ_CARDS, body), SideClosed)
    assert error_of_body(READ_CARDS, {"data": {}, "extensions": {"search": [{"warnings": []}]}}) is None


def test_a_clean_body_is_no_error() -> None:
    assert error_of_body(CREDIT_CARD, {"data": {"giftCardCredit": {}}}) is None


def test_given_a_nul_in_a_text_then_it_is_left_out_because_no_database_need_hold_it() -> None:
    assert text_of({"name": "Kari\x00 Nordmann"}, "name") == "Kari Nordmann"


# --- Packs --------------------------------------------------------------------------------------------------


def row(*path: object) -> dict[str, object]:
    return {"message": "x", "extensions": {"code": "INVALID_FIELD_ARGUMENTS"}, "path": list(path)}


def test_an_error_of_a_pack_belongs_to_the_alias_that_it_names() -> None:
    made = {"giftCard": {"id": "x"}, "userErrors": []}
    body = {"data": {"c0": made, "c1": None, "c2": made}, "errors": [row("c1")]}

    parts = parts_of(CREATE_CARD, body, ["c0", "c1", "c2"])

    assert [error_of_body(CREATE_CARD, part) is None for part in parts] == [True, False, True]
    assert isinstance(error_of_body(CREATE_CARD, parts[1]), SideClosed)
    assert parts[2]["data"] == {"giftCardCreate": made}


@pytest.mark.parametrize("stray", [row(), row("elsewhere"), {"message": "x"}, "nonsense"])
def test_an_error_that_names_no_alias_leaves_every_part_open(stray: object) -> None:
    made = {"giftCard": {"id": "x"}, "userErrors": []}
    parts = parts_of(CREATE_CARD, {"data": {"c0": made, "c1": made}, "errors": [stray]}, ["c0", "c1"])

    assert all(isinstance(error_of_body(CREATE_CARD, part), InDoubt) for part in parts)


def test_without_data_no_part_was_started() -> None:
    parts = parts_of(CREATE_CARD, {"errors": [row("c0")]}, ["c0", "c1"])

    assert all(isinstance(error_of_body(CREATE_CARD, part), SideClosed) for part in parts)
