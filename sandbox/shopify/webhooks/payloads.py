"""Bodies of webhooks (shopify.md §8): numeric ids, amounts as text; only receipts name a gift card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.shopify.bulk.operations import BulkOperation
from sandbox.shopify.graphql.errors import JsonObject
from sandbox.shopify.graphql.scalars import format_instant
from sandbox.shopify.shop.model import Customer, LineItem, Order, Payment, Refund
from sandbox.shopify.shop.money import plain
from sandbox.shopify.shop.order_facts import financial_status, gateways_of, receipt

_PREFIXES = (
    "REVERSE_FULFILLMENT_ORDERS",
    "TENDER_TRANSACTIONS",
    "FULFILLMENT_ORDERS",
    "ORDER_TRANSACTIONS",
    "BULK_OPERATIONS",
    "DRAFT_ORDERS",
    "CUSTOMERS",
    "REFUNDS",
    "ORDERS",
    "SHOP",
    "APP",
)


def topic_header(topic: str) -> str:
    """ORDER_TRANSACTIONS_CREATE as it is in the header: "order_transactions/create"."""
    for prefix in _PREFIXES:
        if topic.startswith(f"{prefix}_"):
            return f"{prefix}/{topic[len(prefix) + 1 :]}".lower()
    return topic.lower()


def payload_of(topic: str, subject: object) -> JsonObject:
    """The body for a topic about this object."""
    if topic == "TENDER_TRANSACTIONS_CREATE" and isinstance(subject, Payment):
        return _tender(subject)
    return _BUILDERS[type(subject)](subject)


def _money_set(minor: int, currency: str) -> JsonObject:
    money = {"amount": plain(minor, currency), "currency_code": currency}
    return {"shop_money": money, "presentment_money": money}


def _payment(payment: Payment) -> JsonObject:
    currency = payment.order.currency
    at = format_instant(payment.created_at)
    return {
        "id": payment.number,
        "order_id": payment.order.number,
        "kind": payment.kind.lower(),
        "gateway": payment.gateway,
        "status": "success",
        "message": None,
        "created_at": at,
        "processed_at": at,
        "test": False,
        "authorization": None,
        "parent_id": payment.parent.number if payment.parent else None,
        "amount": plain(payment.minor, currency),
        "currency": currency,
        "payment_id": f"{payment.order.name}.{payment.number}",
        "receipt": receipt(payment),
        "payment_details": None,
        "total_unsettled_set": _money_set(0, currency),
        "source_name": "web",
        "admin_graphql_api_id": payment.id,
    }


def _tender(payment: Payment) -> JsonObject:
    sign = -1 if payment.kind == "REFUND" else 1
    return {
        "id": payment.number,
        "order_id": payment.order.number,
        "amount": plain(sign * payment.minor, payment.order.currency),
        "currency": payment.order.currency,
        "payment_method": "gift_card" if payment.card is not None else "credit_card",
        "remote_reference": None,
        "processed_at": format_instant(payment.created_at),
        "test": False,
    }


def _line(line: LineItem) -> JsonObject:
    return {
        "id": line.number,
        "title": line.title,
        "name": line.title,
        "quantity": 1,
        "price": plain(line.price_minor, line.order.currency),
        "gift_card": line.is_gift_card,
        "requires_shipping": not line.is_gift_card,
        "admin_graphql_api_id": line.id,
    }


def _customer(customer: Customer) -> JsonObject:
    return {
        "id": customer.number,
        "email": customer.email,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "phone": customer.phone,
        "created_at": format_instant(customer.created_at),
        "updated_at": format_instant(customer.updated_at),
        "admin_graphql_api_id": customer.id,
    }


def _order(order: Order) -> JsonObject:
    first, _, last = order.ship_to.partition(" ")
    return {
        "id": order.number,
        "admin_graphql_api_id": order.id,
        "name": order.name,
        "order_number": order.position,
        "email": order.email,
        "created_at": format_instant(order.created_at),
        "updated_at": format_instant(order.updated_at),
        "processed_at": format_instant(order.created_at),
        "currency": order.currency,
        "financial_status": financial_status(order).lower(),
        "fulfillment_status": "fulfilled",
        "total_price": plain(order.total_minor, order.currency),
        "total_outstanding": plain(0, order.currency),
        "payment_gateway_names": gateways_of(order),
        "test": False,
        "customer": _customer(order.customer),
        "shipping_address": {"first_name": first, "last_name": last or None, "name": order.ship_to},
        "line_items": [_line(line) for line in order.lines],
        "refunds": [_refund(refund) for refund in order.refunds or ()],
    }


def _refund(refund: Refund) -> JsonObject:
    return {
        "id": refund.number,
        "order_id": refund.order.number,
        "created_at": format_instant(refund.created_at),
        "processed_at": format_instant(refund.created_at),
        "note": None,
        "refund_line_items": [],
        "transactions": [_payment(payment) for payment in refund.payments],
        "admin_graphql_api_id": f"gid://shopify/Refund/{refund.number}",
    }


def _bulk(operation: BulkOperation) -> JsonObject:
    return {
        "admin_graphql_api_id": operation.id,
        "completed_at": None if operation.completed_at is None else format_instant(operation.completed_at),
        "created_at": format_instant(operation.created_at),
        "error_code": operation.error_code and operation.error_code.lower(),
        "status": operation.status.lower(),
        "type": operation.type.lower(),
    }


_BUILDERS: dict[type, Callable[[Any], JsonObject]] = {
    BulkOperation: _bulk,
    Customer: _customer,
    Order: _order,
    Payment: _payment,
    Refund: _refund,
}
