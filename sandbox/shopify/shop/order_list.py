"""How orders and customers are searched and sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sandbox.shopify.graphql.lists import Listing, SortKey, amounts, milliseconds, numbers_by_instant
from sandbox.shopify.graphql.search import (
    FieldRule,
    Predicate,
    Search,
    compile_search,
    instant_rule,
    number_rule,
    text_rule,
)
from sandbox.shopify.shop.model import Customer, Order
from sandbox.shopify.shop.order_facts import financial_status
from sandbox.shopify.shop.state import ShopState


def order_listing(state: ShopState, visible: Callable[[Order], bool]) -> Listing[Order]:
    """The list behind `orders`; `visible` leaves out what the app may not see."""
    fields: dict[str, FieldRule[Order]] = {
        "id": number_rule(lambda order: order.number),
        "created_at": instant_rule(lambda order: order.created_at, state.timezone),
        "updated_at": instant_rule(lambda order: order.updated_at, state.timezone),
        "processed_at": instant_rule(lambda order: order.created_at, state.timezone),
        "name": text_rule(lambda order: order.name),
        "email": text_rule(lambda order: order.email),
        "customer_id": number_rule(lambda order: order.customer.number),
        "financial_status": text_rule(financial_status),
        "gateway": _gateway,
        "status": lambda op, value: lambda order: value.lower() in {"open", "any"},
        "test": lambda op, value: lambda order: value.lower() == "false",
    }

    def compile_query(query: str) -> Search[Order]:
        return compile_search(query, fields, _order_text)

    by_created: SortKey[Order] = milliseconds(lambda order: order.created_at, indexed=True)
    by_id: SortKey[Order] | None = None
    sort_keys = {
        "CREATED_AT": by_created,
        "CURRENT_TOTAL_PRICE": amounts(lambda order: order.total_minor, state.currency),
        "CUSTOMER_NAME": SortKey(lambda order: order.customer.display_name),
        "DESTINATION": by_id,
        "FINANCIAL_STATUS": SortKey(financial_status),
        "FULFILLMENT_STATUS": by_id,
        "ID": by_id,
        "ORDER_NUMBER": SortKey(lambda order: order.position),
        "PO_NUMBER": by_id,
        "PROCESSED_AT": by_created,
        "RELEVANCE": by_id,
        "TOTAL_ITEMS_QUANTITY": SortKey(lambda order: len(order.lines)),
        "TOTAL_PRICE": amounts(lambda order: order.total_minor, state.currency),
        "UPDATED_AT": milliseconds(lambda order: order.updated_at, indexed=True),
    }
    return Listing(
        items=state.orders,
        sort_keys=sort_keys,
        compile=compile_query,
        narrow=lambda search: _narrow(state, search),
        visible=visible,
    )


def _narrow(state: ShopState, search: Search[Order]) -> Iterable[int] | None:
    best: list[int] | None = None
    for term in search.required_terms():
        numbers = None
        if term.field == "id" and term.op == "=" and term.value.isdigit():
            numbers = [int(term.value)]
        elif term.field == "updated_at":
            numbers = numbers_by_instant(
                state.orders, "UPDATED_AT", lambda order: order.updated_at, term, state.timezone
            )
        elif term.field == "created_at":
            numbers = numbers_by_instant(
                state.orders, "CREATED_AT", lambda order: order.created_at, term, state.timezone
            )
        if numbers is not None and (best is None or len(numbers) < len(best)):
            best = numbers
    return best


def _gateway(op: str, value: str) -> Predicate[Order]:
    return lambda order: any(payment.gateway == value for payment in order.payments)


def _order_text(text: str) -> Predicate[Order]:
    wanted = text.lower()
    return lambda order: wanted in (order.name, order.name[1:], (order.email or "").lower())


def customer_listing(state: ShopState) -> Listing[Customer]:
    """The list behind `customers`."""
    fields: dict[str, FieldRule[Customer]] = {
        "id": number_rule(lambda customer: customer.number),
        "email": text_rule(lambda customer: customer.email),
        "phone": text_rule(lambda customer: customer.phone),
        "first_name": text_rule(lambda customer: customer.first_name),
        "last_name": text_rule(lambda customer: customer.last_name),
        "customer_date": instant_rule(lambda customer: customer.created_at, state.timezone),
        "updated_at": instant_rule(lambda customer: customer.updated_at, state.timezone),
    }

    def compile_query(query: str) -> Search[Customer]:
        return compile_search(query, fields, _customer_text)

    by_id: SortKey[Customer] | None = None
    return Listing(
        items=state.customers,
        sort_keys={
            "CREATED_AT": milliseconds(lambda customer: customer.created_at, indexed=True),
            "ID": by_id,
            "LOCATION": by_id,
            "NAME": SortKey(lambda customer: customer.display_name),
            "RELEVANCE": by_id,
            "UPDATED_AT": milliseconds(lambda customer: customer.updated_at, indexed=True),
        },
        compile=compile_query,
        narrow=lambda search: None,
    )


def _customer_text(text: str) -> Predicate[Customer]:
    wanted = text.lower()
    return lambda customer: (
        wanted in customer.display_name.lower() or wanted == (customer.email or "").lower()
    )
