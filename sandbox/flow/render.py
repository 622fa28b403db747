"""The JSON of cards, orders, settlements and receipts with every documented field (flow.md §3, §4)."""

from __future__ import annotations

from sandbox.flow.behaviour import STATUS_ACTIVE, DebitMoment, Edition, FlowBehaviour
from sandbox.flow.cards import CardBook
from sandbox.flow.catalog import ORGANIZATION_UID
from sandbox.flow.model import LEFT_OUT, Card, Handling, Item, Order, Settlement
from sandbox.flow.payments import store_method_uid
from sandbox.flow.values import instant_text

Json = dict[str, object]
#: Exchange rate 1, x100 like every other number.
_RATE_ONE = 100
_ADDRESS_KEYS = (
    "address",
    "city",
    "companyName",
    "countryCode",
    "email",
    "firstname",
    "lastname",
    "mobile",
    "postalCode",
    "vatNumber",
    "displayName",
)
ADDRESS_KEYS = frozenset(_ADDRESS_KEYS)


def card_json(
    card: Card, book: CardBook, behaviour: FlowBehaviour, now_ms: int, *, show_balance: bool = True
) -> Json:
    """A card as GET and PUT answer it; never with its CVC."""
    status = book.shown_status(card, now_ms)
    shared: Json = {
        "balance": card.balance if show_balance else None,
        "cardId": card.card_id,
        "cardNumber": card.number,
        "validTo": None if card.valid_to_ms is None else instant_text(card.valid_to_ms),
        "brandId": card.brand.brand_id,
        "brandName": card.brand.name,
        "note": card.note,
    }
    active: Json = {"active": status == STATUS_ACTIVE}
    if behaviour.edition is Edition.OLDER:
        return _as_shown(card, shared | active)
    newer: Json = {
        "issuerName": card.brand.issuer_name,
        "status": status,
        "cvcRequired": card.needs_cvc,
        "legacyCardNumber": card.legacy_number,
    }
    return _as_shown(card, shared | newer | (active if behaviour.newer_shows_active else {}))


def _as_shown(card: Card, true: Json) -> Json:
    if card.shown is None:
        return true
    return {key: value for key, value in {**true, **card.shown}.items() if value is not LEFT_OUT}


def settlement_json(
    order: Order, position: int, settlement: Settlement, behaviour: FlowBehaviour, currency: str
) -> Json:
    """A settlement as listed and inline in its order."""
    state, status = _settlement_states(settlement, behaviour)
    created = instant_text(settlement.created_ms)
    messages = [{"key": settlement.declined, "message": "Declined", "timestamp": created}]
    return {
        "amount": settlement.amount,
        "createdAt": created,
        "displayMessages": messages if settlement.declined else [],
        "externalId": settlement.external_id,
        "externalPaymentReference": settlement.external_reference,
        "idMethod": "NO_CVM_RULE_PERFORMED",
        "lastModifiedAt": created,
        "ledgerNumber": "",
        "ledgerType": "LEDGER",
        "parameters": [{"key": key, "value": value} for key, value in settlement.parameters.items()],
        "settledAt": None if settlement.declined else created,
        "settlementCode": settlement.method.settlement_code,
        "settlementUid": f"{order.uid}-s{position}",
        "settlementName": settlement.method.name,
        "state": state,
        "status": status,
        "storeSettlementIssuerUid": "",
        "tenantUserDisplayName": order.user.name,
        "tenantUserUid": order.user.uid,
        "storePaymentMethodUid": store_method_uid(order.store, settlement.method),
        "currency": {"amount": settlement.amount, "code": currency, "exchangeRate": _RATE_ONE},
        "additionalDetails": [],
        "paymentCount": 1,
        "paymentAmount": settlement.amount,
        "orderReceiptUid": order.receipt_uid,
    }


def _settlement_states(settlement: Settlement, behaviour: FlowBehaviour) -> tuple[str, str]:
    names = behaviour.states
    if settlement.declined:
        return names.settlement_state_declined, names.settlement_status_declined
    waits = behaviour.debit_moment is DebitMoment.AT_ORDER_SETTLED
    if waits and settlement.card is not None and not settlement.moved:
        return names.settlement_state_new, names.settlement_status_new
    return names.settlement_state_final, names.settlement_status_final


def settlements_json(order: Order, behaviour: FlowBehaviour, currency: str) -> list[Json]:
    return [
        settlement_json(order, position, settlement, behaviour, currency)
        for position, settlement in enumerate(order.settlements, start=1)
    ]


def item_json(order: Order, position: int, item: Item, behaviour: FlowBehaviour) -> Json:
    """An item; a GIFTCARD item carries its card number under the behaviour's key."""
    answer: Json = {
        "orderItemUid": f"{order.uid}-i{position}",
        "createdAt": instant_text(item.created_ms),
        "externalId": item.external_id,
        "productUid": item.product.uid,
        "productSku": item.product.sku,
        "productName": item.product.name,
        "quantityOrdered": item.quantity,
        "unitPrice": item.unit_price,
        "itemPrice": item.total,
        "itemCost": 0,
        "itemVatAmount": 0,
        "itemDiscountAmount": 0,
        "itemDiscountPercentage": 0,
        "itemGrossProfit": item.total,
        "itemGrossProfitPercentage": 10_000,
        "discountReasonCode": "",
        "actions": [],
        "allowedActions": [] if order.settled_ms is not None else ["QUANTITY_SOLD"],
    }
    if item.number:
        answer[behaviour.item_number_key] = item.number
    return answer


def handling_json(handling: Handling) -> Json:
    return {
        "orderHandlingUid": handling.uid,
        "handlingUid": handling.handling_uid,
        "createdAt": instant_text(handling.created_ms),
        "state": "NOT_STARTED",
    }


def settle_state(order: Order, behaviour: FlowBehaviour) -> str:
    if order.settled_ms is not None:
        return behaviour.states.settle_full
    return behaviour.states.settle_part if order.settled else behaviour.states.settle_none


def delivery_state(order: Order, behaviour: FlowBehaviour) -> str:
    """The POS hands goods over at once; nothing here delivers the items of API-made orders."""
    delivered = order.is_pos and order.settled_ms is not None
    return behaviour.states.delivery_full if delivered else behaviour.states.delivery_none


def order_json(order: Order, behaviour: FlowBehaviour, currency: str) -> Json:
    """An order with every field that the newer edition requires."""
    shown = order.customer_address if behaviour.till_orders_show_customer or not order.is_pos else {}
    address = {key: shown.get(key, "") for key in _ADDRESS_KEYS}
    return {
        **_order_head(order, behaviour),
        "orderhandlings": [handling_json(handling) for handling in order.handlings],
        "items": [
            item_json(order, position, item, behaviour) for position, item in enumerate(order.items, start=1)
        ],
        "orderTotals": {"totalAmount": order.total, "totalVatAmount": 0, "totalDiscountAmount": 0},
        "settlements": settlements_json(order, behaviour, currency),
        "settlementTotals": {"settledAmount": order.settled, "remainingAmount": order.remaining},
        "discounts": [],
        "customerUid": order.customer_uid,
        "customerContact": None,
        "customerAddress": address,
        "invoiceAddress": dict.fromkeys(_ADDRESS_KEYS, ""),
        "note": order.note,
        "internalNote": "",
        "storeUid": order.store.uid,
        "storeName": order.store.name,
        "tillUid": (order.till_uid or "1") if order.is_pos else "",
        "tenantUserUid": order.user.uid,
        "tenantUserDisplayName": order.user.name,
        "vatFree": False,
        "vatPrint": False,
        "deliveryDate": None,
        "compensationReasonUid": "",
        "lastModifiedBy": order.user.name,
        "allowedActions": [],
    }


def _order_head(order: Order, behaviour: FlowBehaviour) -> Json:
    created = instant_text(order.created_ms)
    return {
        "createdAt": created,
        "lastModifiedAt": instant_text(order.modified_ms),
        "orderDate": created,
        "orderUid": order.uid,
        "orderNumber": order.number,
        "voucherNumber": order.voucher_number,
        "externalOrderNumber": order.external_number,
        "externalVoucherNumber": "",
        "type": order.type,
        "systemOrigin": order.system_origin,
        "orderState": order.state,
        "settleState": settle_state(order, behaviour),
        "deliveryState": delivery_state(order, behaviour),
        "orderhandlingState": "NOT_STARTED",
    }


def receipt_json(order: Order, behaviour: FlowBehaviour) -> Json:
    """One hit of receipts/search; the tail after voucherNumber is invented, and carries no card number."""
    return {
        "storeUid": order.store.uid,
        "orderUid": order.uid,
        "orderReceiptUid": order.receipt_uid,
        "settleState": settle_state(order, behaviour),
        "voucherNumber": order.voucher_number,
        "orderNumber": order.number,
        "organizationUid": ORGANIZATION_UID,
        "settledAt": None if order.settled_ms is None else instant_text(order.settled_ms),
        "deliveryState": delivery_state(order, behaviour),
        "customerUid": order.customer_uid,
        "tenantUserUid": order.user.uid,
        "totalAmount": order.total,
    }
