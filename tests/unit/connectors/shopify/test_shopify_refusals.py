"""Every user error of shopify.md §4, sorted."""

from __future__ import annotations

import pytest

from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed
from connectors.shopify.refusals import UserError, is_inactive_card, refusal_of, user_errors
from connectors.shopify.shape import Misshapen

AMOUNT = ("creditInput", "creditAmount", "amount")


@pytest.mark.parametrize(
    ("field", "code", "message", "reason"),
    [
        (("input", "initialValue"), "GREATER_THAN", "must be greater than 0", Refusal.OTHER),
        (
            ("input", "initialValue"),
            "GIFT_CARD_LIMIT_EXCEEDED",
            "can't exceed $3,000.00 CAD",
            Refusal.OVER_LIMIT,
        ),
        (
            ("input", "code"),
            "TOO_SHORT",
            "Code must be at least 8 characters long",
            Refusal.BAD_SERIAL,
        ),
        (("input", "code"), "TOO_LONG", "Code must be at most 20 characters long", Refusal.BAD_SERIAL),
        (("input", "code"), "INVALID", "Code can only contain letters(a-z)", Refusal.BAD_SERIAL),
        (("input", "code"), None, "Code has already been taken", Refusal.TAKEN),
        (("input", "code"), "TAKEN", "in other words", Refusal.TAKEN),
        (("input", "customerId"), "CUSTOMER_NOT_FOUND", "could not be found.", Refusal.MISSING_DETAIL),
        (("id",), "RECIPIENT_NOT_FOUND", "Recipient could not be found", Refusal.MISSING_DETAIL),
        (AMOUNT, "NEGATIVE_OR_ZERO_AMOUNT", "A positive amount must be used.", Refusal.OTHER),
        (AMOUNT, "INSUFFICIENT_FUNDS", "does not have", Refusal.INSUFFICIENT_FUNDS),
        (AMOUNT, "GIFT_CARD_LIMIT_EXCEEDED", "exceeds the allowed limits.", Refusal.OVER_LIMIT),
        (AMOUNT, "MISMATCHING_CURRENCY", "does not match", Refusal.CURRENCY),
        (("id",), "INVALID", "The gift card has expired.", Refusal.NOT_ACTIVE),
        (("id",), "INVALID", "The gift card is deactivated.", Refusal.NOT_ACTIVE),
        (("debitInput", "processedAt"), "INVALID", "must not be in the future.", Refusal.OTHER),
        (("id",), "GIFT_CARD_NOT_FOUND", "The gift card could not be found.", Refusal.NOT_FOUND),
        (("input",), None, "At least one argument is required in the input.", Refusal.MISSING_DETAIL),
        (("id",), None, "The gift card could not be found.", Refusal.NOT_FOUND),
        (("input", "customerId"), None, "The customer could not be found.", Refusal.MISSING_DETAIL),
        (("input", "expiresOn"), None, "The gift card is deactivated.", Refusal.NOT_ACTIVE),
        ((), "INVALID", "The gift card has no customer.", Refusal.MISSING_DETAIL),
        ((), "INVALID", "The customer has no contact information", Refusal.MISSING_DETAIL),
        ((), None, "something new", Refusal.OTHER),
        ((), "SOMETHING_NEW", "something new", Refusal.OTHER),
    ],
)
def test_every_user_error_has_a_reason(
    field: tuple[str, ...], code: str | None, message: str, reason: Refusal
) -> None:
    error = refusal_of(UserError(field, code, message))

    assert isinstance(error, Refused)
    assert error.reason is reason
    # What Shopify says may quote anything.
    assert message not in str(error)


def test_the_code_decides_before_the_message() -> None:
    error = refusal_of(UserError((), "INSUFFICIENT_FUNDS", "Code has already been taken"))

    assert isinstance(error, Refused)
    assert error.reason is Refusal.INSUFFICIENT_FUNDS


def test_a_plan_without_gift_cards_closes_the_side() -> None:
    error = refusal_of(UserError((), None, "Gift cards are unavailable on your plan."))

    assert isinstance(error, SideClosed)
    assert error.remedy


def test_a_failure_inside_shopify_is_in_doubt() -> None:
    assert isinstance(refusal_of(UserError((), "INTERNAL_ERROR", "oops")), InDoubt)


def test_only_the_cards_own_invalid_means_that_it_is_inactive() -> None:
    assert is_inactive_card(UserError(("id",), "INVALID", "The gift card has expired."))
    assert not is_inactive_card(UserError(("input", "code"), "INVALID", "letters"))
    assert not is_inactive_card(UserError((), "INVALID", "nobody"))


def test_user_errors_are_read() -> None:
    row = {"field": None, "code": None, "message": "said"}
    plain = {"field": ["input", "expiresOn"], "message": "said"}

    assert user_errors({"userErrors": [row, plain]}) == [
        UserError((), None, "said"),
        UserError(("input", "expiresOn"), None, "said"),
    ]


@pytest.mark.parametrize("payload", [{}, {"userErrors": None}, {"userErrors": ["said"]}])
def test_user_errors_that_cannot_be_read_are_in_doubt(payload: dict[str, object]) -> None:
    with pytest.raises(Misshapen):
        user_errors(payload)
