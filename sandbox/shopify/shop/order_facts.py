"""What is told of orders and payments in more than one place."""

from __future__ import annotations

from sandbox.shopify.graphql.errors import JsonObject
from sandbox.shopify.shop.model import Order, Payment


def financial_status(order: Order) -> str:
    """OrderDisplayFinancialStatus; every order of the emulator is paid at once."""
    refunded = order.refunded_minor
    if refunded == 0:
        return "PAID"
    return "REFUNDED" if refunded >= order.total_minor else "PARTIALLY_REFUNDED"


def gateways_of(order: Order) -> list[str]:
    """Names of the gateways that the order was paid through, each once."""
    return list(dict.fromkeys(payment.gateway for payment in order.payments))


def receipt(payment: Payment) -> JsonObject:
    """What a gateway tells about a payment: a gift card names itself (shopify.md §8)."""
    if payment.card is None:
        return {"id": f"pi_{payment.number}", "object": "payment_intent"}
    return {
        "gift_card_id": payment.card.number,
        "gift_card_last_characters": payment.card.last_characters,
    }
