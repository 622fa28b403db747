"""User errors of a payload, sorted (shopify.md §4). Pure.

Codes are matched first; messages only where Shopify gives no code. Shopify's own words are never passed on:
what they may quote is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed, SideError
from connectors.shopify.shape import Json, list_of, objects_of, optional_text, text_of

_REFUSALS: Final = {
    "CUSTOMER_NOT_FOUND": (Refusal.MISSING_DETAIL, "Shopify has no such customer"),
    "GIFT_CARD_LIMIT_EXCEEDED": (Refusal.OVER_LIMIT, "Shopify will not hold that much on one card"),
    "GIFT_CARD_NOT_FOUND": (Refusal.NOT_FOUND, "Shopify has no such card"),
    "GREATER_THAN": (Refusal.OTHER, "Shopify makes no card without an opening balance"),
    "INSUFFICIENT_FUNDS": (Refusal.INSUFFICIENT_FUNDS, "the card's balance in Shopify is lower than that"),
    "MISMATCHING_CURRENCY": (Refusal.CURRENCY, "the card has another currency in Shopify"),
    "MISSING_ARGUMENT": (Refusal.MISSING_DETAIL, "Shopify misses a detail"),
    "NEGATIVE_OR_ZERO_AMOUNT": (Refusal.OTHER, "Shopify moves only amounts above zero"),
    "RECIPIENT_NOT_FOUND": (Refusal.MISSING_DETAIL, "Shopify has no such recipient"),
    "TAKEN": (Refusal.TAKEN, "another card in Shopify has that serial"),
    "TOO_LONG": (Refusal.BAD_SERIAL, "the serial is too long for Shopify"),
    "TOO_SHORT": (Refusal.BAD_SERIAL, "the serial is too short for Shopify"),
}

#: For errors without a code, by a part of the message.
_MESSAGES: Final = (
    ("has already been taken", *_REFUSALS["TAKEN"]),
    ("gift card could not be found", *_REFUSALS["GIFT_CARD_NOT_FOUND"]),
    ("gift card is deactivated", Refusal.NOT_ACTIVE, "the card is deactivated in Shopify"),
    ("customer could not be found", *_REFUSALS["CUSTOMER_NOT_FOUND"]),
    ("at least one argument is required", *_REFUSALS["MISSING_ARGUMENT"]),
)

_PLAN_MESSAGE: Final = "unavailable on your plan"
_CODE: Final = re.compile(r"[A-Z_]{1,60}")


@dataclass(frozen=True)
class UserError:
    """One line of `userErrors`. `message` is for matching only."""

    field: tuple[str, ...]
    code: str | None
    message: str


def user_errors(payload: Json) -> list[UserError]:
    """The payload's user errors; raises Misshapen when they cannot be read."""
    errors = []
    for row in objects_of(payload, "userErrors"):
        path = tuple(map(str, list_of(row, "field"))) if row.get("field") is not None else ()
        errors.append(UserError(path, optional_text(row, "code"), text_of(row, "message")))
    return errors


def is_inactive_card(error: UserError) -> bool:
    """Expired or deactivated: Shopify gives both the same code, so only the card itself tells which."""
    return error.code == "INVALID" and error.field == ("id",)


def refusal_of(error: UserError) -> SideError:
    """What one user error stands for: Refused, but for an error of the whole shop or of Shopify itself."""
    if error.code == "INTERNAL_ERROR":
        return InDoubt("Shopify failed inside")
    if error.code is None:
        return _refusal_without_code(error)
    if error.code in _REFUSALS:
        reason, sentence = _REFUSALS[error.code]
        return Refused(sentence, reason)
    if is_inactive_card(error):
        return Refused("the card is expired or deactivated in Shopify", Refusal.NOT_ACTIVE)
    if error.code == "INVALID" and error.field[-1:] == ("code",):
        return Refused("Shopify cannot take a serial with such characters", Refusal.BAD_SERIAL)
    if error.code == "INVALID" and not error.field:
        return Refused("nobody who could be notified is attached to the card", Refusal.MISSING_DETAIL)
    code = error.code if _CODE.fullmatch(error.code) else "unknown code"
    return Refused(f"Shopify refused the change ({code})")


def _refusal_without_code(error: UserError) -> SideError:
    message = error.message.lower()
    if _PLAN_MESSAGE in message:
        return SideClosed(
            "the shop's Shopify plan has no gift cards",
            "Choose a plan with gift cards in the Shopify admin, then resume the link.",
        )
    for part, reason, sentence in _MESSAGES:
        if part in message:
            return Refused(sentence, reason)
    return Refused("Shopify refused the change for a reason that giftsync does not know")
