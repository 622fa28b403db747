"""The gift cards of one emulated R-Series account and its sales; money in minor units (cents).

The value on a card is positive here; what the API shows is a matter of `sign`.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sandbox.lightspeed_r.behaviour import LightspeedRBehaviour

GIFT_CARD: Final = "5"
CASH: Final = "1"
PAID_ONLINE: Final = "7"
EMPLOYEE: Final = "1"
SHOP: Final = "1"
REGISTER: Final = "1"
ECOM: Final = "2"
ONLINE_ITEM: Final = "11"
#: What the account has beside cards and sales, by the name of its path.
FURNITURE: Final[dict[str, dict[str, dict[str, str]]]] = {
    "Employee": {EMPLOYEE: {"employeeID": EMPLOYEE, "firstName": "Kari"}},
    "Shop": {SHOP: {"shopID": SHOP, "name": "Storgata"}},
    "Register": {
        REGISTER: {"registerID": REGISTER, "name": "Register 1", "shopID": SHOP},
        ECOM: {"registerID": ECOM, "name": "eCom", "shopID": SHOP},
    },
    "Item": {ONLINE_ITEM: {"itemID": ONLINE_ITEM, "description": "Paid online", "itemType": "non_inventory"}},
    "PaymentType": {
        CASH: {"paymentTypeID": CASH, "name": "Cash"},
        GIFT_CARD: {"paymentTypeID": GIFT_CARD, "name": "Gift Card"},
        PAID_ONLINE: {"paymentTypeID": PAID_ONLINE, "name": "Paid online"},
    },
}
_AMOUNTS: Final = (250, 500, 750, 1_000, 1_500, 2_000)
_SPENT_PARTLY: Final = 0.2
_CODE: Final = re.compile(r"[0-9A-Za-z]{8,32}")


@dataclass
class Refusal(Exception):
    """A request that the account refuses; the bodies of these answers are unpublished."""

    status: int
    message: str


@dataclass
class SalePayment:
    id: int
    #: Positive: a charge; negative: a purchase, load or refund.
    cents: int
    payment_type: str
    card: GiftCard | None


@dataclass
class Sale:
    id: int
    created_at: datetime
    reference: str
    note: str
    payments: list[SalePayment] = field(default_factory=list)


@dataclass
class GiftCard:
    id: int
    code: str
    name: str
    description: str
    changed_at: datetime
    archived: bool = False
    payments: list[tuple[Sale, SalePayment]] = field(default_factory=list)

    @property
    def cents(self) -> int:
        """What can be spent."""
        return -sum(payment.cents for _, payment in self.payments)


class Account:
    """Cards and sales by id. One thread."""

    def __init__(self, behaviour: LightspeedRBehaviour, clock: Callable[[], datetime]) -> None:
        self.behaviour = behaviour
        self._clock = clock
        self.cards: dict[int, GiftCard] = {}
        self.sales: dict[int, Sale] = {}
        self._ids = itertools.count(1)
        self._sold = 0
        self._last = clock()

    def now(self) -> datetime:
        """Never twice the same, so that the order of changes is told."""
        self._last = max(self._clock(), self._last + timedelta(microseconds=1))
        return self._last

    # Reading.

    def card(self, key: str) -> GiftCard:
        found = self.cards.get(int(key)) if key.isdigit() else None
        if found is None:
            raise Refusal(404, "no such credit account")
        return found

    def with_code(self, code: str) -> list[GiftCard]:
        return [card for card in self.cards.values() if card.code == code]

    # Changing.

    def create(self, code: object, name: object, description: object) -> GiftCard:
        fits = isinstance(code, str) and _CODE.fullmatch(code)
        if not fits or not isinstance(code, str) or not (self.behaviour.letters_in_codes or code.isdigit()):
            raise Refusal(400, "the code cannot be used")
        if self.with_code(code) and not self.behaviour.duplicate_codes:
            raise Refusal(400, "the code is in use")
        if not isinstance(name, str) or not name:
            raise Refusal(400, "name is needed")
        text = description if isinstance(description, str) else ""
        card = GiftCard(next(self._ids), code, name, text, self.now())
        self.cards[card.id] = card
        return card

    def update(self, card: GiftCard, name: object, description: object) -> None:
        card.name = name if isinstance(name, str) and name else card.name
        card.description = description if isinstance(description, str) else card.description
        card.changed_at = self.now()

    def archive(self, card: GiftCard) -> None:
        """Hides the card; it keeps what it holds."""
        card.archived, card.changed_at = True, self.now()

    def sell(self, body: dict[str, Any]) -> Sale:
        """Book one completed sale, or nothing of it."""
        if body.get("completed") != "true":
            raise Refusal(400, "an open sale moves no money, and is not emulated")
        for name, kind in (("employeeID", "Employee"), ("shopID", "Shop"), ("registerID", "Register")):
            if body.get(name) not in FURNITURE[kind]:
                raise Refusal(400, f"{name} is unknown")
        total = sum(_line_cents(one) for one in _rows(body, "SaleLines", "SaleLine"))
        payments = [self._payment(one) for one in _rows(body, "SalePayments", "SalePayment")]
        if not payments or sum(one.cents for one in payments) != total:
            raise Refusal(400, "the payments do not pay the sale")
        self._check(payments, total, str(body["registerID"]))
        kept = self.behaviour.marker_field
        sale = Sale(
            next(self._ids),
            self.now(),
            str(body.get("referenceNumber") or "") if kept == "referenceNumber" else "",
            str(body.get("note") or "") if kept == "note" else "",
            payments,
        )
        self.sales[sale.id] = sale
        for payment in payments:
            if payment.card is not None:
                payment.card.payments.append((sale, payment))
                if self.behaviour.timestamp_moves:
                    payment.card.changed_at = self.now()
        return sale

    # People at the till.

    def sell_card(self, cents: int) -> GiftCard:
        """A cashier sells a card."""
        self._sold += 1
        card = self.create(f"66{self._sold:014d}", f"Card {self._sold}", "")
        self.load(card, cents)
        return card

    def load(self, card: GiftCard, cents: int) -> None:
        amount = _text(cents)
        self.sell(
            self._at_the_till(
                [
                    {"amount": f"-{amount}", "creditAccountID": str(card.id), "paymentTypeID": GIFT_CARD},
                    {"amount": amount, "paymentTypeID": CASH},
                ]
            )
        )

    def redeem(self, card: GiftCard, cents: int) -> None:
        payment = {"amount": _text(cents), "creditAccountID": str(card.id), "paymentTypeID": GIFT_CARD}
        line = {"itemID": ONLINE_ITEM, "unitQuantity": "1", "unitPrice": _text(cents)}
        self.sell({**self._at_the_till([payment]), "SaleLines": {"SaleLine": line}})

    def sell_earlier(self, count: int, seed: int) -> None:
        """Sell so many cards, some of which are spent in part."""
        chance = random.Random(f"cards {seed}")
        for _ in range(count):
            card = self.sell_card(100 * chance.choice(_AMOUNTS))
            if chance.random() < _SPENT_PARTLY:
                self.redeem(card, chance.randint(1, card.cents - 1))

    def _at_the_till(self, payments: list[dict[str, str]]) -> dict[str, Any]:
        head = {"employeeID": EMPLOYEE, "shopID": SHOP, "registerID": REGISTER, "completed": "true"}
        return {**head, "SalePayments": {"SalePayment": payments}}

    def _payment(self, said: dict[str, Any]) -> SalePayment:
        kind = said.get("paymentTypeID")
        if kind not in FURNITURE["PaymentType"]:
            raise Refusal(400, "paymentTypeID is unknown")
        on_card = said.get("creditAccountID")
        if (kind == GIFT_CARD) != (on_card is not None):
            raise Refusal(400, "a gift card payment, and no other, names its creditAccountID")
        cents = cents_of(said.get("amount"))
        if cents == 0:
            raise Refusal(400, "a payment of nothing")
        return SalePayment(
            next(self._ids), cents, str(kind), self.card(str(on_card)) if on_card is not None else None
        )

    def _check(self, payments: list[SalePayment], total: int, register: str) -> None:
        left: dict[int, int] = {}
        for payment in payments:
            card = payment.card
            if card is None:
                continue
            if card.archived:
                raise Refusal(400, "the gift card is archived")
            if payment.cents < 0 <= total and FURNITURE["Register"][register]["name"].lower() == "ecom":
                raise Refusal(400, "a gift card cannot be loaded through eCom")
            left[card.id] = left.get(card.id, card.cents) - payment.cents
            if left[card.id] < 0 and not self.behaviour.over_redemption:
                raise Refusal(400, "the gift card holds less")


def cents_of(value: object) -> int:
    """An amount of the API: a string with at most two decimals."""
    if not isinstance(value, str):
        raise Refusal(400, "amounts are strings")
    try:
        cents = Decimal(value) * 100
    except InvalidOperation:
        raise Refusal(400, "an amount is no number") from None
    if not cents.is_finite() or cents != cents.to_integral_value() or abs(cents) > 10**11:
        raise Refusal(400, "amounts have at most two decimals")
    return int(cents)


def _rows(body: dict[str, Any], outer: str, inner: str) -> list[dict[str, Any]]:
    """One object or an array of them, within an object."""
    holder = body.get(outer)
    if holder is None:
        return []
    found = holder.get(inner) if isinstance(holder, dict) else None
    listed: list[Any] = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in listed):
        raise Refusal(400, f"{outer} must hold {inner}")
    return listed


def _line_cents(said: dict[str, Any]) -> int:
    if said.get("itemID") not in FURNITURE["Item"] or said.get("unitQuantity") != "1":
        raise Refusal(400, "a sale line is unknown")
    return cents_of(said.get("unitPrice"))


def _text(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
