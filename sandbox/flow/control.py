"""The control plane of the Flow side: cashiers, the back office and the truth.

Amounts are decimal strings or JSON numbers in the store's currency. What a till would refuse is a 409, a call
that makes no sense a 400.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sandbox.control_values import ControlError, Json, flag, number_in, only
from sandbox.flow.behaviour import STATUS_BLOCKED, STATUS_INACTIVE
from sandbox.flow.cards import CardChange, check_funds, check_usable
from sandbox.flow.catalog import PRODUCT_GOODS, PRODUCT_ONLINE_REDEMPTION, USER_CASHIER, Brand, Store
from sandbox.flow.control_cards import CardControl
from sandbox.flow.errors import FlowError, Refusal
from sandbox.flow.history import ORDER_TYPE, ORIGIN_POS
from sandbox.flow.model import Card, Item, Order, order_uid
from sandbox.flow.orders import NewOrder, Payment, giftcard_item, goods_item
from sandbox.flow.payments import store_method_uid
from sandbox.flow.tills import CLOCK_OFFSET_S_MAX, FIRST_TILL, Sale, StoreTill
from sandbox.flow.values import PATH_ID, amount_step, instant_text, minor_of, money_text, parse_instant
from sandbox.flow.world import World

PREGENERATE_MAX = 100_000


class ControlPlane:
    """The control calls of one tenant."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cards = CardControl(world)

    def calls(self) -> dict[str, Callable[[Json], Awaitable[Json]]]:
        handlers: dict[str, Callable[[Json], Json]] = {
            "sell": self.sell,
            "redeem": self.redeem,
            "deposit": self.deposit,
            "till": self.till,
            "card": self._cards.card,
            "show": self._cards.show,
            "delete": self._cards.delete,
            "currency": self._cards.currency,
            "pregenerate": self.pregenerate,
            "status": self.status,
            "block": self.block,
            "expire": self.expire,
            "backoffice": self.backoffice,
            "webhooks": self.webhooks,
        }
        return {name: _awaitable(handler) for name, handler in handlers.items()}

    def cards(self) -> list[Json]:
        """Ground truth: every card with its movements."""
        return [self._card_json(card) for card in self._world.cards.all()]

    def sell(self, body: Json) -> Json:
        """`{"brand"?, "amount", "number"?, "store"?, "till"?, "email"?, "mobile"?}`: sell a card.

        With a number it is one of the pool; with an address or a number, the customer's at the till.
        """
        only(body, "brand", "amount", "number", "store", "till", "email", "mobile")
        amount, brand, till = self._amount(body), self._brand(body), self._till(body)
        number = ""
        if "number" in body:
            card = self._card(body)
            if card.issued or card.status != STATUS_INACTIVE:
                raise ControlError(409, "the card is not for sale")
            number = card.number
        elif till.offline:
            # It sells a card that was made in advance; one is on the shelf.
            number = self._world.cards.add(self._world.cards.new_number(), brand).number
        item = giftcard_item(self._world.products[brand.product_uid], amount, number, self._at_ms(till))
        customer = {key: str(value) for key, value in body.items() if key in ("email", "mobile")}
        order = self._sell_at(
            till, item, self._cash(amount), self._world.cards.find(number), amount, customer
        )
        sold = self._world.cards.find(item.number)
        if sold is None:
            raise ControlError(409, "the card was not issued")
        return {
            "number": sold.number,
            "cvc": self._world.cards.cvc(sold),
            "balance": money_text(till.believes(sold)),
            "order_id": order,
        }

    def redeem(self, body: Json) -> Json:
        """`{"number", "amount", "store"?, "till"?}`: a customer pays goods with a card."""
        only(body, "number", "amount", "store", "till")
        amount, till, card = self._amount(body), self._till(body), self._card(body)
        at_ms = self._at_ms(till)
        if not till.offline:
            with _refusals():
                check_usable(card, self._world.now_ms())
                check_funds(card, amount)
        method = self._world.methods.giftcard
        payment = Payment(method, amount, parameters={method.platform.number_key: card.number})
        item = goods_item(self._world.products[PRODUCT_GOODS], amount, at_ms)
        order = self._sell_at(till, item, payment, card, -amount)
        return {"balance": money_text(till.believes(card)), "order_id": order}

    def deposit(self, body: Json) -> Json:
        """`{"number", "amount", "store"?, "till"?}`: a customer loads a card that is in use."""
        only(body, "number", "amount", "store", "till")
        amount, till, card = self._amount(body), self._till(body), self._card(body)
        if not till.offline:
            with _refusals():
                check_usable(card, self._world.now_ms())
        product = self._world.products[card.brand.product_uid]
        item = giftcard_item(product, amount, card.number, self._at_ms(till))
        order = self._sell_at(till, item, self._cash(amount), card, amount)
        return {"balance": money_text(till.believes(card)), "order_id": order}

    def till(self, body: Json) -> Json:
        """`{"till"?, "store"?, "clock_ahead_s"?, "offline"?}`: set a till's clock and connection.

        An offline till sells without asking anybody. Connected again, it sends what it sold, with the times
        of its own clock; the answer lists the orders.
        """
        only(body, "till", "store", "clock_ahead_s", "offline")
        till = self._till(body)
        ahead_s = till.ahead_ms / 1000
        if "clock_ahead_s" in body:
            ahead_s = number_in(body, "clock_ahead_s", -CLOCK_OFFSET_S_MAX, CLOCK_OFFSET_S_MAX)
        offline = flag(body, "offline") if "offline" in body else till.offline
        till.ahead_ms, till.offline = round(ahead_s * 1000), offline
        sent = [] if offline else till.send(self._book_late)
        return {
            "till": till.uid,
            "store": till.store.uid,
            "now": instant_text(self._at_ms(till)),
            "offline": till.offline,
            "unsent": len(till.unsent),
            "sent": [order.uid for order in sent],
        }

    def pregenerate(self, body: Json) -> Json:
        """`{"count", "brand"?}`: make INACTIVE cards without money, ready to be sold."""
        only(body, "count", "brand")
        count = body.get("count")
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= PREGENERATE_MAX:
            raise ControlError(400, f"count must be a whole number from 1 to {PREGENERATE_MAX}")
        brand, book = self._brand(body), self._world.cards
        made = [book.add(book.new_number(), brand) for _ in range(count)]
        return {"cards": [{"number": card.number, "cvc": book.cvc(card)} for card in made]}

    def status(self, body: Json) -> Json:
        """`{"number", "status"}`: the back office gives a card any status there is."""
        only(body, "number", "status")
        behaviour = self._world.behaviour
        allowed = [name for name in (*behaviour.statuses, behaviour.unseen_status) if name]
        status = body.get("status")
        if status not in allowed:
            raise ControlError(400, f"status must be one of {', '.join(allowed)}")
        return self._change(self._card(body, missing=404), CardChange(status=str(status)))

    def block(self, body: Json) -> Json:
        """`{"number"}`: the issuer blocks a card."""
        only(body, "number")
        return self._change(self._card(body, missing=404), CardChange(status=STATUS_BLOCKED))

    def expire(self, body: Json) -> Json:
        """`{"number", "valid_to"}`: give a card another end; null for none, absent for a moment ago."""
        only(body, "number", "valid_to")
        card = self._card(body, missing=404)
        valid_to = body.get("valid_to", instant_text(self._world.now_ms() - 1))
        if valid_to is None:
            return self._change(card, CardChange(clear_valid_to=True))
        try:
            valid_to_ms = parse_instant(str(valid_to))
        except ValueError:
            raise ControlError(400, "valid_to must be null or a date-time with an offset") from None
        return self._change(card, CardChange(valid_to_ms=valid_to_ms))

    def backoffice(self, body: Json) -> Json:
        """`{}`: what a merchant reads in the back office and a client must be configured with."""
        only(body)
        world = self._world
        return {
            "currency": world.currency,
            "online_redemption_product": PRODUCT_ONLINE_REDEMPTION,
            "brands": [
                {"code": brand.code, "id": brand.brand_id, "name": brand.name, "product": brand.product_uid}
                for brand in world.brands
            ],
            "stores": [
                {
                    "uid": store.uid,
                    "payment_methods": {
                        method.settlement_code: store_method_uid(store, method)
                        for method in world.methods.tenant
                    },
                }
                for store in world.stores
            ],
            "item_number_key": world.behaviour.item_number_key,
        }

    def webhooks(self, body: Json) -> Json:
        """`{"duplicated"?, "late"?, "late_s"?, "lost"?}`: set the mischief, read every delivery so far."""
        only(body, "duplicated", "late", "late_s", "lost")
        dispatcher = self._world.webhooks
        now = dispatcher.behaviour
        dispatcher.behaviour = replace(
            now,
            duplicated=_number(body, "duplicated", now.duplicated, high=1),
            late=_number(body, "late", now.late, high=1),
            late_s=_number(body, "late_s", now.late_s, high=3600),
            lost=_number(body, "lost", now.lost, high=1),
        )
        return {
            "deliveries": [
                {
                    "action": delivery.action,
                    "transport": delivery.transport_uid,
                    "payload": delivery.payload,
                    "answers": delivery.answers,
                    "outcome": delivery.outcome,
                }
                for delivery in dispatcher.deliveries
            ]
        }

    def _sell_at(
        self,
        till: StoreTill,
        item: Item,
        payment: Payment,
        card: Card | None,
        amount: int,
        customer: dict[str, str] | None = None,
    ) -> str | None:
        """Sell at a till; the order's uid, or None when the till sends it later."""
        sale = Sale(till.store, item, payment, self._at_ms(till), till.uid, customer or {}, card, amount)
        if till.offline:
            till.unsent.append(sale)
            return None
        return self._book(sale, checked=True).uid

    def _book_late(self, sale: Sale) -> Order:
        order = self._book(sale, checked=False)
        order.modified_ms = self._world.now_ms()
        return order

    def _book(self, sale: Sale, *, checked: bool) -> Order:
        """One POS order with one item and one settlement; a refused one is cancelled."""
        till, at_ms = self._world.till, sale.at_ms
        new = NewOrder(type=ORDER_TYPE, system_origin=ORIGIN_POS, customer_address=sale.customer)
        order = till.create(sale.store, new, at_ms, user=USER_CASHIER, pos=True, till_uid=sale.till_uid)
        try:
            till.add_item(order, sale.item, at_ms)
            till.settle(order, sale.payment, at_ms, checked=checked)
        except (FlowError, Refusal) as refusal:
            till.set_state(order, self._world.behaviour.states.order_cancelled, at_ms)
            raise ControlError(409, refusal.message) from None
        return order

    def _cash(self, amount: int) -> Payment:
        return Payment(self._world.methods.cash, amount)

    def _change(self, card: Card, change: CardChange) -> Json:
        with _refusals():
            self._world.cards.change(card, change, self._world.now_ms())
        return {
            "number": card.number,
            "status": card.status,
            "balance": money_text(card.balance),
            "valid_to": _instant_or_none(card.valid_to_ms),
        }

    def _card(self, body: Json, *, missing: int = 409) -> Card:
        number = body.get("number")
        if not isinstance(number, str) or not number:
            raise ControlError(400, "number must be a string")
        card = self._world.cards.find(number)
        if card is None:
            raise ControlError(missing, "no such card")
        return card

    def _brand(self, body: Json) -> Brand:
        code = body.get("brand", self._world.brands[0].code)
        brand = self._world.brand(code) if isinstance(code, str) else None
        if brand is None:
            codes = ", ".join(brand.code for brand in self._world.brands)
            raise ControlError(400, f"brand must be one of {codes}")
        return brand

    def _amount(self, body: Json) -> int:
        """Hundredths of a positive amount that a till of this currency takes."""
        amount, currency = _amount(body), self._world.currency
        if amount % amount_step(currency):
            raise ControlError(400, f"amount must be a whole number of {currency}")
        return amount

    def _till(self, body: Json) -> StoreTill:
        uid = body.get("till", FIRST_TILL)
        if not isinstance(uid, str) or not PATH_ID.fullmatch(uid):
            raise ControlError(400, "till must be a name of letters, digits, - and _")
        return self._world.tills.of(self._store(body), uid)

    def _at_ms(self, till: StoreTill) -> int:
        return till.at_ms(self._world.now_ms())

    def _store(self, body: Json) -> Store:
        uid = body.get("store", self._world.stores[0].uid)
        for store in self._world.stores:
            if store.uid == uid:
                return store
        raise ControlError(400, f"store must be one of {', '.join(one.uid for one in self._world.stores)}")

    def _card_json(self, card: Card) -> Json:
        return {
            "id": card.card_id,
            "number": card.number,
            "balance": money_text(card.balance),
            "status": card.status,
            "expires": _instant_or_none(card.valid_to_ms),
            "transactions": [
                {
                    "amount": money_text(movement.amount),
                    "kind": str(movement.kind),
                    "reference": movement.reference,
                    "time": instant_text(movement.at_ms),
                    "order_id": order_uid(movement.order_seq) if movement.order_seq else None,
                }
                for movement in card.movements
            ],
            "note": card.note,
            "brand": card.brand.code,
            "legacy_number": card.legacy_number,
            "issued": card.issued,
        }


def _awaitable(handler: Callable[[Json], Json]) -> Callable[[Json], Awaitable[Json]]:
    @functools.wraps(handler)
    async def call(body: Json) -> Json:
        return handler(body)

    return call


def _amount(body: Json) -> int:
    try:
        return minor_of(body.get("amount"))
    except (TypeError, ValueError) as error:
        raise ControlError(400, f"amount {error}") from None


def _number(body: Json, key: str, default: float, *, high: float) -> float:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
        raise ControlError(400, f"{key} must be a number from 0 to {high:g}")
    return float(value)


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer a refusal of the card as a 409."""
    try:
        yield
    except Refusal as refusal:
        raise ControlError(409, refusal.message) from None


def _instant_or_none(ms: int | None) -> str | None:
    return None if ms is None else instant_text(ms)
