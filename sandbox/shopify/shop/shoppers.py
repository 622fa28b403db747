"""What shoppers do in the shop: buy a card, pay with one, get money back (the sandbox's control plane).

An order is paid, and its gift card issued, at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.shopify.shop.gift_cards import normalise_code
from sandbox.shopify.shop.model import (
    CardSource,
    CardStatus,
    Customer,
    GiftCard,
    LineItem,
    MovementKind,
    Order,
    Payment,
    Refund,
)
from sandbox.shopify.shop.state import ShopState

GIFT_CARD_GATEWAY = "gift_card"
CARD_GATEWAY = "shopify_payments"
#: Order names start at "#1001".
_FIRST_POSITION = 1_001


class Declined(Exception):
    """The shop says no: the card can't pay, or there is nothing left to refund."""


@dataclass(frozen=True)
class Buyer:
    """A shopper's name, which becomes the shipping name, and mail address."""

    name: str
    email: str


def purchase(state: ShopState, minor: int, buyer: Buyer) -> GiftCard:
    """A shopper buys a gift card online; the order's line and the card know each other."""
    if minor > state.purchase_limit_minor:
        raise Declined("the amount is over the purchase limit")
    customer = customer_for(state, buyer)
    order = new_order(state, customer, buyer.name, state.now())
    line = add_line(state, order, "Gift Card", minor, is_gift_card=True)
    payment = add_sale(state, order, CARD_GATEWAY, minor)
    state.orders.add(order)
    card = issue_card(state, line, state.new_code())
    state.add_card(card)
    _announce(state, order, payment)
    state.emit("ORDERS_FULFILLED", order)
    return card


def checkout(state: ShopState, code: str, minor: int) -> Order:
    """A shopper pays for goods with a gift card, in full."""
    card = state.codes.get(normalise_code(code))
    if card is None:
        raise Declined("no gift card has this code")
    status = state.status(card)
    if status is not CardStatus.ENABLED:
        raise Declined(f"the gift card is {status}")
    if minor > card.balance_minor:
        raise Declined("the gift card does not hold that much")
    buyer = Buyer("Kari Nordmann", "kari.nordmann@example.com")
    order = new_order(state, customer_for(state, buyer), buyer.name, state.now())
    add_line(state, order, "Wool Sweater", minor, is_gift_card=False)
    payment = add_sale(state, order, GIFT_CARD_GATEWAY, minor, card)
    state.orders.add(order)
    state.move_balance(card, MovementKind.CHECKOUT, -minor, order_number=order.number)
    _announce(state, order, payment)
    return order


def refund(state: ShopState, order: Order, minor: int) -> Refund:
    """Money goes back to the card that paid the order, never more than was paid."""
    paid = order.gift_card_payment
    if paid is None or paid.card is None:
        raise Declined("the order was not paid with a gift card")
    if order.refunded_minor + minor > paid.minor:
        raise Declined("that is more than what was paid and not yet refunded")
    if paid.card.deactivated_at is not None:
        raise Declined("the gift card is disabled")
    now = state.now()
    payment = Payment(
        number=state.sequence.next(),
        order=order,
        kind="REFUND",
        gateway=GIFT_CARD_GATEWAY,
        minor=minor,
        created_at=now,
        card=paid.card,
        parent=paid,
    )
    made = Refund(state.sequence.next(), order, now, (payment,))
    with state.orders.changing(order):
        order.payments.append(payment)
        order.refunds = [*(order.refunds or ()), made]
        order.updated_at = now
    state.refunds[made.number] = made
    state.move_balance(paid.card, MovementKind.REFUND, minor, order_number=order.number)
    state.emit("ORDER_TRANSACTIONS_CREATE", payment)
    state.emit("TENDER_TRANSACTIONS_CREATE", payment)
    state.emit("REFUNDS_CREATE", made)
    state.emit("ORDERS_UPDATED", order)
    return made


def _announce(state: ShopState, order: Order, payment: Payment) -> None:
    """Webhooks of a new order. They may arrive in any order; these are sent as they happen."""
    state.emit("ORDERS_CREATE", order)
    state.emit("ORDER_TRANSACTIONS_CREATE", payment)
    state.emit("TENDER_TRANSACTIONS_CREATE", payment)
    state.emit("ORDERS_PAID", order)


# The parts of an order, also used to seed historical ones.


def customer_for(state: ShopState, buyer: Buyer) -> Customer:
    """The customer with this mail address, made if there is none."""
    found = state.customer_by_email(buyer.email)
    if found is not None:
        return found
    first, _, last = buyer.name.partition(" ")
    now = state.now()
    customer = Customer(
        number=state.sequence.next(),
        created_at=now,
        updated_at=now,
        first_name=first,
        last_name=last or None,
        email=buyer.email.lower(),
    )
    state.customers.add(customer)
    state.emit("CUSTOMERS_CREATE", customer)
    return customer


def new_order(state: ShopState, customer: Customer, ship_to: str, at: int) -> Order:
    """An order without lines, not yet in the shop's list."""
    customer.orders_count += 1
    return Order(
        number=state.sequence.next(),
        position=_FIRST_POSITION + len(state.orders),
        currency=state.currency,
        created_at=at,
        updated_at=at,
        customer=customer,
        ship_to=ship_to,
    )


def add_line(state: ShopState, order: Order, title: str, minor: int, *, is_gift_card: bool) -> LineItem:
    line = LineItem(state.sequence.next(), order, title, minor, is_gift_card)
    order.lines = (*order.lines, line)
    return line


def add_sale(
    state: ShopState, order: Order, gateway: str, minor: int, card: GiftCard | None = None
) -> Payment:
    payment = Payment(
        number=state.sequence.next(),
        order=order,
        kind="SALE",
        gateway=gateway,
        minor=minor,
        created_at=order.created_at,
        card=card,
    )
    order.payments.append(payment)
    return payment


def issue_card(state: ShopState, line: LineItem, code: str) -> GiftCard:
    """The card that a fulfilled line gives, not yet in the shop's list."""
    order = line.order
    return GiftCard(
        number=state.sequence.next(),
        code=code,
        currency=order.currency,
        initial_minor=line.price_minor,
        balance_minor=line.price_minor,
        created_at=order.created_at,
        updated_at=order.created_at,
        source=CardSource.PURCHASED,
        customer=order.customer,
        line_item=line,
    )
