"""Orders, items, statuses, handlings and settlements (flow.md §4).

Whether creating answers 200 or 201, and with what besides the uid, is mostly unknown: 201 and as little as
documented.
"""

from __future__ import annotations

import re

from sandbox.flow.call import Answer, Call
from sandbox.flow.catalog import Permission, Product
from sandbox.flow.errors import FlowError, Refusal, bad_request, not_found, unprocessable
from sandbox.flow.history import ORDER_TYPE
from sandbox.flow.model import Item, Order
from sandbox.flow.orders import NewOrder, Payment
from sandbox.flow.payments import PlatformMethod, TenantMethod
from sandbox.flow.render import (
    ADDRESS_KEYS,
    handling_json,
    item_json,
    order_json,
    settlement_json,
    settlements_json,
)
from sandbox.flow.values import EXTERNAL_REFERENCE, PATH_ID, Fields
from sandbox.flow.world import World

_ORDER_KEYS = frozenset(
    {"customerUid", "customerAddress", "externalOrderNumber", "note", "type", "systemOrigin"}
)
_ITEM_KEYS = frozenset({"productUid", "quantityOrdered", "unitPrice", "externalId"})
_SETTLEMENT_KEYS = frozenset(
    {
        "amount",
        "storePaymentMethodUid",
        "settlementCode",
        "externalPaymentReference",
        "externalId",
        "parameters",
    }
)
#: Accepted with either permission of the settlement endpoints.
_ORDER_PERMISSIONS = (Permission.SALES_ORDER, Permission.RETURN_ORDER)


def create_order(world: World, call: Call) -> Answer:
    store = world.store(call.ids["storeUid"])
    fields = call.fields(_ORDER_KEYS)
    behaviour = world.behaviour
    kind = fields.choice("type", (ORDER_TYPE, behaviour.return_order_type))
    call.require(Permission.RETURN_ORDER if kind == behaviour.return_order_type else Permission.SALES_ORDER)
    customer_uid = fields.text("customerUid", "")
    if customer_uid and customer_uid not in world.customers:
        raise unprocessable("UNKNOWN_CUSTOMER", "no such customer")
    address = call.nested(fields.mapping("customerAddress"), ADDRESS_KEYS)
    new = NewOrder(
        type=kind,
        system_origin=fields.choice("systemOrigin", behaviour.system_origins),
        external_number=fields.text("externalOrderNumber", ""),
        note=fields.text("note", ""),
        customer_uid=customer_uid,
        customer_address={key: address.text(key) for key in sorted(ADDRESS_KEYS) if address.has(key)},
    )
    order = world.till.create(store, new, world.now_ms())
    return Answer(201, {"orderUid": order.uid})


def get_order(world: World, call: Call) -> Answer:
    _require_any(call)
    order = world.till.find_uid(call.ids["orderUid"])
    if order is None:
        raise not_found("order")
    return Answer(200, order_json(order, world.behaviour, world.currency))


def add_item(world: World, call: Call) -> Answer:
    order = _order_for_change(world, call)
    key = world.behaviour.item_number_key
    fields = call.fields(_ITEM_KEYS | {key})
    product = _product(world, fields)
    quantity, unit_price = fields.integer("quantityOrdered"), fields.integer("unitPrice")
    if quantity <= 0 or unit_price < 0:
        raise bad_request("quantityOrdered must be positive and unitPrice not negative")
    item = Item(product, quantity, unit_price, world.now_ms(), external_id=fields.text("externalId", ""))
    if product.brand is not None:
        item.number = fields.text(key, "")
    world.till.add_item(order, item, world.now_ms())
    return Answer(201, item_json(order, len(order.items), item, world.behaviour))


def _product(world: World, fields: Fields) -> Product:
    product = world.products.get(fields.text("productUid"))
    if product is None:
        raise unprocessable("UNKNOWN_PRODUCT", "no such product")
    return product


def put_status(world: World, call: Call) -> Answer:
    order = _order_for_change(world, call)
    states = world.behaviour.states
    status = call.fields({"status"}).choice("status", (states.order_parked, states.order_cancelled))
    world.till.set_state(order, status, world.now_ms())
    return Answer(204)


def list_handlings(world: World, call: Call) -> Answer:
    _require_any(call)
    order = _order_in_store(world, call)
    return call.page_of([handling_json(handling) for handling in order.handlings])


def add_handling(world: World, call: Call) -> Answer:
    order = _order_for_change(world, call)
    handling_uid = call.fields({"handlingUid"}).text("handlingUid")
    if not PATH_ID.fullmatch(handling_uid):
        raise bad_request("handlingUid has characters that no uid has")
    return Answer(201, handling_json(world.till.add_handling(order, handling_uid, world.now_ms())))


def list_settlements(world: World, call: Call) -> Answer:
    _require_any(call)
    order = _order_in_store(world, call)
    return call.page_of(settlements_json(order, world.behaviour, world.currency))


def add_settlement(world: World, call: Call) -> Answer:
    """The money step (flow.md §5): a refused one answers 422 and has moved nothing."""
    order = _order_for_change(world, call)
    payment = _read_payment(world, call, order)
    try:
        settlement = world.till.settle(order, payment, world.now_ms())
    except Refusal as refusal:
        raise unprocessable(refusal.code, refusal.message) from None
    position = len(order.settlements)
    return Answer(201, settlement_json(order, position, settlement, world.behaviour, world.currency))


def _read_payment(world: World, call: Call, order: Order) -> Payment:
    """The request's key names are unknown; those of the answer are assumed (flow.md §4)."""
    fields = call.fields(_SETTLEMENT_KEYS)
    reference = fields.text("externalPaymentReference", "")
    if not EXTERNAL_REFERENCE.fullmatch(reference):
        raise bad_request("externalPaymentReference must match ^[A-Za-z0-9-_]*")
    method = _method(world, fields, order)
    parameters = fields.pairs("parameters")
    _check_parameters(method.platform, parameters)
    return Payment(method, fields.integer("amount"), reference, fields.text("externalId", ""), parameters)


def _method(world: World, fields: Fields, order: Order) -> TenantMethod:
    code = fields.text("settlementCode", "")
    if not fields.has("storePaymentMethodUid") and code and world.behaviour.settlement_by_code:
        return world.methods.by_code(code)
    method = world.methods.in_store(order.store, fields.text("storePaymentMethodUid"))
    if code and code != method.settlement_code:
        raise bad_request("settlementCode is not that of storePaymentMethodUid")
    return method


def _check_parameters(platform: PlatformMethod, parameters: dict[str, str]) -> None:
    unknown = sorted(set(parameters) - {parameter.key for parameter in platform.parameters})
    if unknown:
        raise bad_request(f"unknown parameters: {', '.join(unknown)}")
    for parameter in platform.parameters:
        text = parameters.get(parameter.key, "")
        if parameter.required and not text:
            raise bad_request(f"parameter {parameter.key} is required")
        if text and parameter.regex and not re.fullmatch(parameter.regex, text):
            raise bad_request(f"parameter {parameter.key} is malformed")


def _require_any(call: Call) -> None:
    if not any(permission in call.permissions for permission in _ORDER_PERMISSIONS):
        raise FlowError(403, "FORBIDDEN", f"the token lacks {' and '.join(_ORDER_PERMISSIONS)}")


def _order_in_store(world: World, call: Call) -> Order:
    store = world.store(call.ids["storeUid"])
    order = world.till.find_uid(call.ids["orderUid"])
    if order is None or order.store is not store:
        raise not_found("order")
    return order


def _order_for_change(world: World, call: Call) -> Order:
    """The order, if the token has the permission that its type needs. Raises FlowError 403, 404."""
    _require_any(call)
    order = _order_in_store(world, call)
    call.require(Permission.RETURN_ORDER if order.is_return else Permission.SALES_ORDER)
    return order
