"""The till: orders from their creation to their settlement, and what settling does to cards (flow.md §4, §5).

That an API-made order moves balances like a POS order does is a proposal of flow.md §5; each effect has a
switch in FlowBehaviour.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.flow.behaviour import STATUS_INACTIVE, DebitMoment, FlowBehaviour
from sandbox.flow.cards import CardBook, check_funds, check_usable
from sandbox.flow.catalog import USER_INTEGRATION, Brand, Product, Store, TenantUser
from sandbox.flow.errors import FlowError, Refusal, conflict, unprocessable
from sandbox.flow.history import History
from sandbox.flow.model import (
    Card,
    Handling,
    Item,
    Movement,
    MovementKind,
    Order,
    Settlement,
    seq_of_order_uid,
)
from sandbox.flow.payments import TenantMethod
from sandbox.flow.receipts import ReceiptJournal

_ONE = 100


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client says about an order it creates."""

    type: str
    system_origin: str
    external_number: str = ""
    note: str = ""
    customer_uid: str = ""
    customer_address: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payment:
    """One settlement that a client asks for; `amount` in minor units, signed as the client sent it."""

    method: TenantMethod
    amount: int
    external_reference: str = ""
    external_id: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Move:
    """One planned movement; carried out only when every one of the plan has been checked."""

    kind: MovementKind
    amount: int
    card: Card | None = None
    #: For cards that are issued or loaded: the item that sells them.
    item: Item | None = None
    #: For payments: the settlement whose money it is.
    settlement: Settlement | None = None


class Till:
    """All orders of the tenant, POS-made and API-made."""

    def __init__(
        self, behaviour: FlowBehaviour, cards: CardBook, history: History, journal: ReceiptJournal
    ) -> None:
        self._behaviour = behaviour
        self._cards = cards
        self._history = history
        self._journal = journal
        self._live: dict[int, Order] = {}
        self._next_seq = len(history) + 1
        self._external_numbers: set[str] = set()
        #: Called with each order once it is fully settled and committed.
        self.on_settled: Callable[[Order], None] | None = None

    def find(self, seq: int | None) -> Order | None:
        """The order with this sequence number; seeded history is expanded anew on every read."""
        if seq is None:
            return None
        return self._live.get(seq) or self._history.order(seq)

    def find_uid(self, uid: str) -> Order | None:
        return self.find(seq_of_order_uid(uid))

    def create(
        self,
        store: Store,
        new: NewOrder,
        now_ms: int,
        *,
        user: TenantUser = USER_INTEGRATION,
        pos: bool = False,
        till_uid: str = "",
    ) -> Order:
        """Raises FlowError 409 for a repeated externalOrderNumber when the behaviour keeps it unique."""
        if new.external_number:
            if self._behaviour.external_order_number_unique and new.external_number in self._external_numbers:
                raise conflict("DUPLICATE_ORDER_NUMBER", "the externalOrderNumber is taken")
            self._external_numbers.add(new.external_number)
        order = Order(
            seq=self._next_seq,
            store=store,
            type=new.type,
            system_origin=new.system_origin,
            user=user,
            created_ms=now_ms,
            modified_ms=now_ms,
            state=self._behaviour.states.order_open,
            is_return=new.type == self._behaviour.return_order_type,
            is_pos=pos,
            till_uid=till_uid,
            external_number=new.external_number,
            note=new.note,
            customer_uid=new.customer_uid,
            customer_address=new.customer_address,
        )
        self._next_seq += 1
        self._live[order.seq] = order
        return order

    def add_item(self, order: Order, item: Item, now_ms: int) -> None:
        """Raises FlowError 409 unless the order is open, 422 for an item that cannot be sold here."""
        self._check_open(order)
        if order.settled:
            raise conflict("ORDER_HAS_SETTLEMENTS", "money has been settled on the order")
        brand = item.product.brand
        if brand is not None:
            _check_giftcard_item(order, item, brand)
        order.items.append(item)
        order.modified_ms = now_ms

    def set_state(self, order: Order, state: str, now_ms: int) -> None:
        """Park or cancel. Raises FlowError 409 for an order that is settled, cancelled or paid in part."""
        self._check_open(order)
        if state == self._behaviour.states.order_cancelled and order.settled:
            raise conflict("ORDER_HAS_SETTLEMENTS", "money has been settled on the order")
        order.state = state
        order.modified_ms = now_ms

    def add_handling(self, order: Order, handling_uid: str, now_ms: int) -> Handling:
        handling = Handling(f"{order.uid}-h{len(order.handlings) + 1}", handling_uid, now_ms)
        order.handlings.append(handling)
        # An expanded order of the history would forget its handling.
        self._live[order.seq] = order
        return handling

    def settle(self, order: Order, payment: Payment, now_ms: int, *, checked: bool = True) -> Settlement:
        """Settle a part or the rest of the order; a full settlement makes the receipt.

        Without `checked` a card's status, end and balance are not looked at: an offline till took the money.
        Raises FlowError or Refusal; then no money has moved.
        """
        again = self._behaviour.settled_order_takes_more and order.settled_ms is not None
        if not again:
            self._check_open(order)
            self._check_amount(order, payment)
        self._check_method(order, payment.method)
        cvc_key = payment.method.platform.cvc_key
        settlement = Settlement(
            method=payment.method,
            amount=payment.amount,
            created_ms=now_ms,
            external_reference=payment.external_reference,
            external_id=payment.external_id,
            parameters={key: text for key, text in payment.parameters.items() if key != cvc_key},
        )
        completes = order.remaining <= abs(payment.amount)
        try:
            settlement.card = self._paying_card(order, payment)
            moves = self._plan(order, settlement, completes, now_ms, checked)
        except Refusal as refusal:
            if self._behaviour.declined_settlements_are_listed:
                settlement.declined = refusal.code
                order.settlements.append(settlement)
            raise
        order.settlements.append(settlement)
        order.modified_ms = now_ms
        reference = payment.external_reference
        for move in moves:
            self._carry_out(order, move, reference, now_ms)
        if completes:
            self._complete(order, now_ms)
        return settlement

    def _check_open(self, order: Order) -> None:
        states = self._behaviour.states
        if order.settled_ms is not None:
            raise conflict("ORDER_SETTLED", "the order is settled")
        if order.state not in (states.order_open, states.order_parked):
            raise conflict("ORDER_CLOSED", f"the order is {order.state}")

    def _check_method(self, order: Order, method: TenantMethod) -> None:
        problem: FlowError | None = None
        allowed = method.allow_refund if order.is_return else method.allow_sale
        paid = [settlement for settlement in order.settlements if not settlement.declined]
        if not method.active:
            problem = unprocessable("METHOD_INACTIVE", "the payment method is not active")
        elif not allowed:
            problem = unprocessable("METHOD_NOT_ALLOWED", "the payment method does not settle such orders")
        elif paid and any(one.platform.exclusive for one in (method, *(s.method for s in paid))):
            problem = unprocessable("METHOD_EXCLUSIVE", "the payment method cannot be combined")
        if problem is not None:
            raise problem

    def _check_amount(self, order: Order, payment: Payment) -> None:
        """flow.md §4: allowAmount lets the amount differ, allowCashback lets it exceed what remains."""
        sign = -1 if order.is_return and self._behaviour.refund_amounts_negative else 1
        amount = payment.amount * sign
        if amount <= 0:
            raise unprocessable("BAD_AMOUNT", "the amount is zero or has the wrong sign")
        if amount > order.remaining and not payment.method.allow_cashback:
            raise unprocessable("AMOUNT_OVER_REMAINING", "the amount is more than remains to be settled")
        if amount < order.remaining and not payment.method.platform.allow_amount:
            raise unprocessable("AMOUNT_NOT_REMAINING", "the method settles only all that remains")

    def _paying_card(self, order: Order, payment: Payment) -> Card | None:
        platform = payment.method.platform
        if not platform.extension_code:
            return None
        card = self._cards.find(payment.parameters[platform.number_key])
        if card is None or not self._accepts(order.store, card, platform.extension_code):
            raise Refusal("UNKNOWN_CARD", "no such card")
        cvc = payment.parameters.get(platform.cvc_key)
        if card.needs_cvc and not order.is_pos and cvc != self._cards.cvc(card):
            raise Refusal("WRONG_CVC", "the CVC is missing or wrong")
        return card

    def _accepts(self, store: Store, card: Card, extension_code: str) -> bool:
        return (
            self._behaviour.extension_active
            and card.brand.extension_code == extension_code
            and store.takes(card.brand)
        )

    def _plan(
        self, order: Order, settlement: Settlement, completes: bool, now_ms: int, checked: bool
    ) -> list[_Move]:
        """Every movement that this settlement causes, all checked. Raises Refusal."""
        moves: list[_Move] = []
        due = [*order.settlements, settlement] if completes else [settlement]
        if self._behaviour.debit_moment is DebitMoment.AT_SETTLEMENT or completes:
            moves += [_payment_move(order, one) for one in due if _is_owed(one)]
        elif settlement.card is not None:
            # The money moves later, but a card that cannot pay is declined at once.
            check_usable(settlement.card, now_ms)
        needed: dict[Card, int] = {}
        for move in moves if checked else ():
            if move.card is None:
                continue
            check_usable(move.card, now_ms)
            if move.amount < 0:
                needed[move.card] = needed.get(move.card, 0) - move.amount
        for card, amount in needed.items():
            check_funds(card, amount)
        if completes:
            moves += [
                self._sale_move(order, item, now_ms, checked) for item in order.items if item.product.brand
            ]
        return moves

    def _sale_move(self, order: Order, item: Item, now_ms: int, checked: bool) -> _Move:
        """The issue or load of a GIFTCARD item's card. Raises Refusal."""
        card = self._cards.find(item.number) if item.number else None
        if card is None:
            if item.number:
                self._check_chosen_number(order, item)
            return _Move(MovementKind.ISSUE, item.total, item=item)
        if card.brand is not item.product.brand:
            raise Refusal("WRONG_BRAND", "the card is of another brand than the product")
        if not card.issued and card.status == STATUS_INACTIVE:
            return _Move(MovementKind.ISSUE, item.total, card=card, item=item)
        if checked:
            check_usable(card, now_ms)
        return _Move(MovementKind.LOAD, item.total, card=card, item=item)

    def _check_chosen_number(self, order: Order, item: Item) -> None:
        if not self._behaviour.caller_may_choose_number:
            raise Refusal("UNKNOWN_CARD", "no such card, and numbers are assigned by Flow")
        if not re.fullmatch(self._behaviour.caller_number_pattern, item.number):
            raise Refusal("BAD_CARD_NUMBER", "the number is not a valid card number")
        if any(other is not item and other.number == item.number for other in order.items):
            raise Refusal("BAD_CARD_NUMBER", "a new card is sold twice in one order")

    def _carry_out(self, order: Order, move: _Move, reference: str, now_ms: int) -> None:
        if move.item is not None:
            self._sell(order, move, move.item, reference, now_ms)
        elif move.settlement is not None and move.card is not None:
            switch = self._behaviour.refund_by_api if order.is_return else self._behaviour.debit_by_api
            move.settlement.moved = True
            if order.is_pos or switch:
                own = move.settlement.external_reference
                move.card.move(Movement(move.kind, move.amount, now_ms, own, order.seq))

    def _sell(self, order: Order, move: _Move, item: Item, reference: str, now_ms: int) -> None:
        brand = item.product.brand
        if brand is None or not (order.is_pos or self._behaviour.issue_by_api):
            return
        item.number = item.number or self._cards.new_number()
        card = move.card or self._cards.add(item.number, brand)
        if not card.issued:
            self._cards.activate(card, now_ms)
        card.move(Movement(move.kind, move.amount, now_ms, reference, order.seq))

    def _complete(self, order: Order, now_ms: int) -> None:
        order.state = self._behaviour.states.order_closed
        order.settled_ms = now_ms
        self._journal.add(now_ms, order.seq)
        if self.on_settled is not None:
            self.on_settled(order)


def _is_owed(settlement: Settlement) -> bool:
    return settlement.card is not None and not settlement.declined and not settlement.moved


def _payment_move(order: Order, settlement: Settlement) -> _Move:
    kind = MovementKind.REFUND if order.is_return else MovementKind.REDEEM
    amount = abs(settlement.amount) if order.is_return else -settlement.amount
    return _Move(kind, amount, card=settlement.card, settlement=settlement)


def _check_giftcard_item(order: Order, item: Item, brand: Brand) -> None:
    problem = ""
    if order.is_return:
        problem = "gift cards cannot be returned"
    elif item.quantity != _ONE:
        problem = "a gift-card item sells exactly one card"
    elif item.unit_price <= 0:
        problem = "a gift card needs an amount"
    elif not order.store.takes(brand):
        problem = "the store does not sell this brand"
    if problem:
        raise unprocessable("BAD_ITEM", problem)


def giftcard_item(product: Product, amount: int, number: str, now_ms: int) -> Item:
    """One gift card of `amount` minor units; an empty number lets Flow assign one."""
    return Item(product, _ONE, amount, now_ms, number=number)


def goods_item(product: Product, amount: int, now_ms: int) -> Item:
    return Item(product, _ONE, amount, now_ms)
