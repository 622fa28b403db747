"""Resolvers of orders, their transactions and refunds, and of customers (shopify.md §8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sandbox.shopify.graphql.connections import Connection, page_of
from sandbox.shopify.graphql.errors import JsonObject, UserError, invalid_id
from sandbox.shopify.graphql.ids import number_of
from sandbox.shopify.http.context import Info, Resolvers
from sandbox.shopify.resolvers.lists import list_arguments, search_of
from sandbox.shopify.shop import customers
from sandbox.shopify.shop.model import Customer, LineItem, Order, Payment, Refund
from sandbox.shopify.shop.money import Money
from sandbox.shopify.shop.order_facts import financial_status, gateways_of, receipt

_GATEWAY_NAMES = {"gift_card": "Gift Card", "shopify_payments": "Shopify Payments"}


def bag(minor: int, currency: str) -> JsonObject:
    """A MoneyBag; the emulator's shoppers pay in the shop's currency."""
    money = Money(minor, currency)
    return {"shop_money": money, "presentment_money": money}


def _receipt_json(payment: Payment, info: Info) -> object:
    body = receipt(payment)
    return json.dumps(body) if info.context.state.behaviour.receipt_json == "string" else body


def _address(order: Order, _: Info) -> JsonObject:
    first, _space, last = order.ship_to.partition(" ")
    return {
        "id": f"gid://shopify/MailingAddress/{order.number}?model_name=Address",
        "name": order.ship_to,
        "first_name": first,
        "last_name": last or None,
        "country": "Norway",
        "country_code_v2": "NO",
    }


def _some(items: list[Any], first: int | None) -> list[Any]:
    return items if first is None else items[:first]


def _order_transactions(order: Order, _: Info, **arguments: Any) -> list[Payment]:
    return _some(order.payments, arguments.get("first"))


def _order_refunds(order: Order, _: Info, **arguments: Any) -> list[Refund]:
    return _some(order.refunds or [], arguments.get("first"))


def _line_items(order: Order, _: Info, **arguments: Any) -> Connection[LineItem]:
    return page_of(order.lines, arguments)


def _refund_transactions(refund: Refund, _: Info, **arguments: Any) -> Connection[Payment]:
    return page_of(refund.payments, arguments)


def _refund_lines(_refund: Refund, _: Info, **arguments: Any) -> Connection[LineItem]:
    """The emulator refunds amounts, never lines."""
    return page_of([], arguments)


def _order(_: object, info: Info, *, id: str) -> Order | None:
    context = info.context
    number = number_of(id, "Order")
    if number is None:
        raise invalid_id(id)
    order = context.state.orders.get(number)
    return order if order is not None and context.orders.visible(order) else None


def _orders(_: object, info: Info, **arguments: Any) -> Connection[Order]:
    listing = info.context.orders
    return listing.page(list_arguments(arguments), search_of(listing, info, arguments))


def _customer(_: object, info: Info, *, id: str) -> Customer | None:
    number = number_of(id, "Customer")
    if number is None:
        raise invalid_id(id)
    return info.context.state.customers.get(number)


def _customer_by_identifier(_: object, info: Info, *, identifier: Mapping[str, str]) -> Customer | None:
    state = info.context.state
    if "id" in identifier:
        return _customer(None, info, id=identifier["id"])
    if "emailAddress" in identifier:
        return state.customer_by_email(identifier["emailAddress"])
    return next((one for one in state.customers if one.phone == identifier["phoneNumber"]), None)


def _customers(_: object, info: Info, **arguments: Any) -> Connection[Customer]:
    listing = info.context.customers
    return listing.page(list_arguments(arguments), search_of(listing, info, arguments))


def _customer_payload(made: Customer | list[UserError]) -> JsonObject:
    if isinstance(made, Customer):
        return {"customer": made, "user_errors": []}
    return {"customer": None, "user_errors": made}


def _customer_create(_: object, info: Info, *, input: customers.Input) -> JsonObject:
    return _customer_payload(customers.create(info.context.state, input))


def _customer_update(_: object, info: Info, *, input: customers.Input) -> JsonObject:
    return _customer_payload(customers.update(info.context.state, input))


_ORDER: Mapping[str, Any] = {
    "billingAddress": _address,
    "closed": lambda order, _: False,
    "currencyCode": lambda order, _: order.currency,
    "customAttributes": lambda order, _: [],
    "displayFinancialStatus": lambda order, _: financial_status(order),
    "displayFulfillmentStatus": lambda order, _: "FULFILLED",
    "fullyPaid": lambda order, _: True,
    "legacyResourceId": lambda order, _: order.number,
    "lineItems": _line_items,
    "number": lambda order, _: order.position,
    "paymentGatewayNames": lambda order, _: gateways_of(order),
    "presentmentCurrencyCode": lambda order, _: order.currency,
    "processedAt": lambda order, _: order.created_at,
    "refunds": _order_refunds,
    "shippingAddress": _address,
    "sourceName": lambda order, _: "web",
    "tags": lambda order, _: [],
    "test": lambda order, _: False,
    "totalOutstandingSet": lambda order, _: bag(0, order.currency),
    "totalPriceSet": lambda order, _: bag(order.total_minor, order.currency),
    "totalReceivedSet": lambda order, _: bag(order.total_minor, order.currency),
    "totalRefundedSet": lambda order, _: bag(order.refunded_minor, order.currency),
    "transactions": _order_transactions,
}
_LINE_ITEM: Mapping[str, Any] = {
    "currentQuantity": lambda line, _: 1,
    "customAttributes": lambda line, _: [],
    "discountedTotalSet": lambda line, _, **arguments: bag(line.price_minor, line.order.currency),
    "discountedUnitPriceSet": lambda line, _: bag(line.price_minor, line.order.currency),
    "name": lambda line, _: line.title,
    "originalTotalSet": lambda line, _: bag(line.price_minor, line.order.currency),
    "originalUnitPriceSet": lambda line, _: bag(line.price_minor, line.order.currency),
    "quantity": lambda line, _: 1,
    "refundableQuantity": lambda line, _: 1,
    "requiresShipping": lambda line, _: not line.is_gift_card,
    "unfulfilledQuantity": lambda line, _: 0,
}
_ORDER_TRANSACTION: Mapping[str, Any] = {
    "amountSet": lambda payment, _: bag(payment.minor, payment.order.currency),
    "formattedGateway": lambda payment, _: _GATEWAY_NAMES.get(payment.gateway, payment.gateway),
    "manualPaymentGateway": lambda payment, _: False,
    "parentTransaction": lambda payment, _: payment.parent,
    "processedAt": lambda payment, _: payment.created_at,
    "receiptJson": _receipt_json,
    "status": lambda payment, _: "SUCCESS",
    "test": lambda payment, _: False,
    "totalUnsettledSet": lambda payment, _: bag(0, payment.order.currency),
}
_REFUND: Mapping[str, Any] = {
    "legacyResourceId": lambda refund, _: refund.number,
    "processedAt": lambda refund, _: refund.created_at,
    "refundLineItems": _refund_lines,
    "totalRefundedSet": lambda refund, _: bag(refund.minor, refund.order.currency),
    "transactions": _refund_transactions,
    "updatedAt": lambda refund, _: refund.created_at,
}
_CUSTOMER: Mapping[str, Any] = {
    "defaultEmailAddress": lambda one, _: {"email_address": one.email} if one.email else None,
    "defaultPhoneNumber": lambda one, _: {"phone_number": one.phone} if one.phone else None,
    "legacyResourceId": lambda one, _: one.number,
    "numberOfOrders": lambda one, _: one.orders_count,
    "state": lambda one, _: "DISABLED",
}

RESOLVERS: Resolvers = {
    "Order": _ORDER,
    "LineItem": _LINE_ITEM,
    "OrderTransaction": _ORDER_TRANSACTION,
    "Refund": _REFUND,
    "Customer": _CUSTOMER,
    "QueryRoot": {
        "order": _order,
        "orders": _orders,
        "customer": _customer,
        "customerByIdentifier": _customer_by_identifier,
        "customers": _customers,
    },
    "Mutation": {"customerCreate": _customer_create, "customerUpdate": _customer_update},
}
