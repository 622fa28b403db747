"""The Shopify side of the sandbox's control plane: what shoppers do, and the truth about the cards."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from sandbox.emulator import ControlError
from sandbox.shopify.graphql.ids import number_of
from sandbox.shopify.graphql.scalars import format_instant
from sandbox.shopify.shop import shoppers
from sandbox.shopify.shop.model import GiftCard
from sandbox.shopify.shop.money import SubCentError, plain, to_minor
from sandbox.shopify.shop.shoppers import Buyer, Declined
from sandbox.shopify.shop.state import ShopState

_CONFLICT = 409


async def purchase(state: ShopState, body: dict[str, object]) -> dict[str, object]:
    """`{"amount", "name", "email"}` → `{"id", "code", "order_id"}`."""
    _only(body, "amount", "name", "email")
    minor = _amount(state, body)
    buyer = Buyer(_text(body, "name"), _text(body, "email"))
    if "@" not in buyer.email:
        raise ControlError(400, "email must be a mail address")
    try:
        card = shoppers.purchase(state, minor, buyer)
    except Declined as declined:
        raise ControlError(_CONFLICT, str(declined)) from None
    return {"id": card.id, "code": card.code, "order_id": card.order.id if card.order else None}


async def checkout(state: ShopState, body: dict[str, object]) -> dict[str, object]:
    """`{"code", "amount"}` → `{"order_id", "balance"}`; 409 if the card can't pay."""
    _only(body, "code", "amount")
    minor, code = _amount(state, body), _text(body, "code")
    try:
        order = shoppers.checkout(state, code, minor)
    except Declined as declined:
        raise ControlError(_CONFLICT, str(declined)) from None
    payment = order.gift_card_payment
    card = payment.card if payment is not None else None
    return {"order_id": order.id, "balance": plain(card.balance_minor if card else 0, state.currency)}


async def refund(state: ShopState, body: dict[str, object]) -> dict[str, object]:
    """`{"order_id", "amount"}` → `{"refund_id", "order_id", "balance"}`; order_id as gid or number."""
    _only(body, "order_id", "amount")
    minor = _amount(state, body)
    order = state.orders.get(_order_number(body))
    if order is None:
        raise ControlError(404, "no such order")
    try:
        made = shoppers.refund(state, order, minor)
    except Declined as declined:
        raise ControlError(_CONFLICT, str(declined)) from None
    card = made.payments[0].card
    balance = plain(card.balance_minor if card else 0, state.currency)
    return {"refund_id": made.id, "order_id": order.id, "balance": balance}


def _only(body: dict[str, object], *known: str) -> None:
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise ControlError(400, f"unknown keys: {', '.join(unknown)}; known are {', '.join(known)}")


def _text(body: dict[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ControlError(400, f"{key} must be a text that isn't empty")
    return value.strip()


def _amount(state: ShopState, body: dict[str, object]) -> int:
    """Minor units of a positive amount, given as decimal text or as a JSON number."""
    value = body.get("amount")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ControlError(400, "amount must be a decimal text or a number")
    try:
        amount = Decimal(str(value))
        if not amount.is_finite():
            raise InvalidOperation
        minor = to_minor(amount, state.currency)
    except SubCentError:
        raise ControlError(400, f"amount has too many decimals for {state.currency}") from None
    except InvalidOperation:
        raise ControlError(400, "amount must be a decimal text or a number") from None
    if minor <= 0:
        raise ControlError(400, "amount must be more than zero")
    return minor


def _order_number(body: dict[str, object]) -> int:
    value = body.get("order_id")
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        number = int(value) if value.isascii() and value.isdigit() else number_of(value, "Order")
        if number is not None:
            return number
    raise ControlError(400, "order_id must be an order's gid or its number")


def card_truth(state: ShopState, card: GiftCard) -> dict[str, object]:
    """Everything about one card. balance = initial + the sum of its transactions, always."""
    return {
        "id": card.id,
        "code": card.code,
        "balance": plain(card.balance_minor, card.currency),
        "initial": plain(card.initial_minor, card.currency),
        "currency": card.currency,
        "status": str(state.status(card)),
        "expires": card.expires_on.isoformat() if card.expires_on else None,
        "note": card.note,
        "template_suffix": card.template_suffix,
        "source": str(card.source),
        "order_id": card.order.id if card.order else None,
        "customer_id": card.customer.id if card.customer else None,
        "transactions": [
            {
                "id": movement.id,
                "kind": str(movement.kind),
                "amount": plain(movement.minor, card.currency),
                "note": movement.note,
                "processed_at": format_instant(movement.processed_at),
                # Whether the API shows it in the card's `transactions`.
                "visible": movement.visible,
            }
            for movement in card.movements or ()
        ],
        "notifications": [
            {"to": sent.to, "cause": sent.cause, "at": format_instant(sent.at)}
            for sent in card.notifications or ()
        ],
    }
