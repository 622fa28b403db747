"""What a shop holds. Instants are whole seconds since 1970 UTC, amounts integer minor units."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from sandbox.shopify.graphql.ids import gid
from sandbox.shopify.shop.money import Money


class CardSource(StrEnum):
    """How a card came to be; the values of the search term `source:` (shopify.md §3.1)."""

    API_CLIENT = "api_client"
    MANUAL = "manual"
    PURCHASED = "purchased"


class CardStatus(StrEnum):
    """Ground truth of a card's status, for the control plane."""

    ENABLED = "enabled"
    EXPIRED = "expired"
    DISABLED = "disabled"


class MovementKind(StrEnum):
    """What moved a card's balance after creation."""

    CREDIT = "credit"
    DEBIT = "debit"
    CHECKOUT = "checkout"
    REFUND = "refund"
    #: Staff or a former system, by the control plane.
    ADJUSTMENT = "adjustment"


@dataclass(slots=True)
class Movement:
    """One signed change of a card's balance. `visible` ones are in the API's `transactions`."""

    number: int
    card: GiftCard
    kind: MovementKind
    minor: int
    note: str | None
    processed_at: int
    visible: bool
    order_number: int | None = None

    @property
    def typename(self) -> str:
        return "GiftCardCreditTransaction" if self.minor > 0 else "GiftCardDebitTransaction"

    @property
    def id(self) -> str:
        return gid(self.typename, self.number)

    @property
    def amount(self) -> Money:
        return Money(self.minor, self.card.currency)


@dataclass(slots=True)
class Recipient:
    """Whom a card is meant for."""

    customer: Customer
    message: str | None = None
    preferred_name: str | None = None
    send_notification_at: int | None = None


@dataclass(slots=True)
class Notification:
    """A mail or message with the card in it, sent because of an API call."""

    to: str
    cause: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCard:
    """What the API shows of a card instead of the truth; None shows the truth.

    Amounts are texts as they are sent, which need be no amounts.
    """

    balance: str | None = None
    currency: str | None = None
    last_characters: str | None = None
    enabled: bool | None = None


@dataclass(slots=True)
class GiftCard:
    """A gift card. `code` is lower case and never leaves through the API after creation."""

    number: int
    code: str
    currency: str
    initial_minor: int
    balance_minor: int
    created_at: int
    updated_at: int
    source: CardSource
    deactivated_at: int | None = None
    expires_on: date | None = None
    note: str | None = None
    template_suffix: str | None = None
    strategy: str = "MARKET_FX"
    customer: Customer | None = None
    recipient_attributes: Recipient | None = None
    line_item: LineItem | None = None
    #: None while there are none: most of a million cards have none.
    movements: list[Movement] | None = None
    notifications: list[Notification] | None = None
    #: What the API shows instead of the truth; None while it shows the truth.
    shown: ShownCard | None = None

    @property
    def id(self) -> str:
        return gid("GiftCard", self.number)

    @property
    def last_characters(self) -> str:
        return self.code[-4:]

    @property
    def order(self) -> Order | None:
        return None if self.line_item is None else self.line_item.order


@dataclass(slots=True)
class Customer:
    number: int
    created_at: int
    updated_at: int
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    note: str | None = None
    locale: str = "en"
    tags: tuple[str, ...] = ()
    orders_count: int = 0

    @property
    def id(self) -> str:
        return gid("Customer", self.number)

    @property
    def display_name(self) -> str:
        name = " ".join(part for part in (self.first_name, self.last_name) if part)
        return name or self.email or self.phone or ""


@dataclass(slots=True)
class LineItem:
    """One line of an order: a gift card that was bought, or some goods."""

    number: int
    order: Order
    title: str
    price_minor: int
    is_gift_card: bool

    @property
    def id(self) -> str:
        return gid("LineItem", self.number)


@dataclass(slots=True)
class Payment:
    """An OrderTransaction. A refund has the sale as its `parent`; a gift-card payment has its `card`."""

    number: int
    order: Order
    kind: str
    gateway: str
    minor: int
    created_at: int
    card: GiftCard | None = None
    parent: Payment | None = None

    @property
    def id(self) -> str:
        return gid("OrderTransaction", self.number)


@dataclass(slots=True)
class Refund:
    number: int
    order: Order
    created_at: int
    payments: tuple[Payment, ...]

    @property
    def id(self) -> str:
        return gid("Refund", self.number)

    @property
    def minor(self) -> int:
        return sum(payment.minor for payment in self.payments)


@dataclass(slots=True)
class Order:
    """An order, paid in full. `ship_to` is the name in the shipping address."""

    number: int
    #: The count behind `name` ("#1001").
    position: int
    currency: str
    created_at: int
    updated_at: int
    customer: Customer
    ship_to: str
    lines: tuple[LineItem, ...] = ()
    payments: list[Payment] = field(default_factory=list)
    #: None while there are none.
    refunds: list[Refund] | None = None

    @property
    def id(self) -> str:
        return gid("Order", self.number)

    @property
    def name(self) -> str:
        return f"#{self.position}"

    @property
    def email(self) -> str | None:
        return self.customer.email

    @property
    def total_minor(self) -> int:
        return sum(line.price_minor for line in self.lines)

    @property
    def refunded_minor(self) -> int:
        return sum(refund.minor for refund in self.refunds or ())

    @property
    def gift_card_payment(self) -> Payment | None:
        """The sale that was paid with a gift card, if any."""
        for payment in self.payments:
            if payment.card is not None and payment.kind == "SALE":
                return payment
        return None
