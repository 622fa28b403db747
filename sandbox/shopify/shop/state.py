"""The shop: everything that the API reads and writes, with its clocks and its number sequence."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sandbox.clock import utc_now
from sandbox.shopify.graphql.ids import Sequence
from sandbox.shopify.shop.behaviour import ShopifyBehaviour
from sandbox.shopify.shop.collection import Collection
from sandbox.shopify.shop.model import (
    CardStatus,
    Customer,
    GiftCard,
    LineItem,
    Movement,
    MovementKind,
    Notification,
    Order,
    Payment,
    Refund,
)
from sandbox.shopify.shop.money import to_minor

#: Letters and digits of generated codes: none that reads like another.
CODE_ALPHABET = "bcdefghjkmpqrtvwxy2346789"
#: Length of generated codes (shopify.md §3.2).
CODE_LENGTH = 16


@dataclass
class ShopState:
    """One shop. Not thread-safe: it lives in one event loop."""

    shop: str
    currency: str
    timezone: ZoneInfo
    behaviour: ShopifyBehaviour
    #: Zone-aware wall clock.
    clock: Callable[[], datetime] = utc_now
    #: Seconds that only grow; search lag, throttling and retries are measured with it.
    monotonic: Callable[[], float] = time.monotonic
    seed: int = 0
    sequence: Sequence = field(default_factory=Sequence)
    codes: dict[str, GiftCard] = field(default_factory=dict)
    movements: dict[int, Movement] = field(default_factory=dict)
    refunds: dict[int, Refund] = field(default_factory=dict)
    #: Cards sent by mail or message because of API calls.
    notifications_sent: int = 0
    #: Cards to send later, by instant (recipientAttributes.sendNotificationAt).
    scheduled: list[tuple[int, int]] = field(default_factory=list)
    #: Whether the gift-card write that is under way is refused (the fault `refuse`).
    refusing: bool = False
    #: Told of everything that a webhook could be about: topic and the object.
    listeners: list[Callable[[str, object], None]] = field(default_factory=list)
    #: The API takes amounts for so many times as much.
    takes_times: int = 1

    def __post_init__(self) -> None:
        lag = self.behaviour.search_lag_s
        self.cards: Collection[GiftCard] = Collection(self.monotonic, lag)
        self.orders: Collection[Order] = Collection(self.monotonic, lag)
        self.customers: Collection[Customer] = Collection(self.monotonic, lag)
        self.random = random.Random(self.seed)
        self.opened_at = self.now()

    @property
    def issue_limit_minor(self) -> int:
        return to_minor(self.behaviour.issue_limit, self.currency, round_sub_cent=True)

    @property
    def purchase_limit_minor(self) -> int:
        return to_minor(self.behaviour.purchase_limit, self.currency, round_sub_cent=True)

    def now(self) -> int:
        """Whole seconds since 1970 UTC."""
        return int(self.clock().timestamp())

    def today(self) -> date:
        """The date in the shop's time zone, which expiry is judged by."""
        return self.clock().astimezone(self.timezone).date()

    def is_expired(self, card: GiftCard) -> bool:
        if card.expires_on is None:
            return False
        if self.behaviour.expiry_day_is_valid:
            return self.today() > card.expires_on
        return self.today() >= card.expires_on

    def status(self, card: GiftCard) -> CardStatus:
        if card.deactivated_at is not None:
            return CardStatus.DISABLED
        return CardStatus.EXPIRED if self.is_expired(card) else CardStatus.ENABLED

    def new_code(self) -> str:
        """A code that no card has."""
        while True:
            code = "".join(self.random.choices(CODE_ALPHABET, k=CODE_LENGTH))
            if code not in self.codes:
                return code

    def add_card(self, card: GiftCard) -> None:
        self.codes[card.code] = card
        self.cards.add(card)

    def remove_card(self, card: GiftCard) -> None:
        """Forget a card, as if it had never been; its orders stay."""
        del self.codes[card.code]
        self.cards.remove(card)
        for movement in card.movements or ():
            del self.movements[movement.number]

    def move_balance(
        self,
        card: GiftCard,
        kind: MovementKind,
        minor: int,
        *,
        note: str | None = None,
        processed_at: int | None = None,
        order_number: int | None = None,
    ) -> Movement:
        """Change the balance by a signed amount that has been checked."""
        visible, moves_updated_at = self._effects(kind)
        now = self.now()
        movement = Movement(
            number=self.sequence.next(),
            card=card,
            kind=kind,
            minor=minor,
            note=note,
            processed_at=now if processed_at is None else processed_at,
            visible=visible,
            order_number=order_number,
        )
        with self.cards.changing(card):
            card.balance_minor += minor
            if card.movements is None:
                card.movements = []
            card.movements.append(movement)
            if moves_updated_at:
                card.updated_at = now
        self.movements[movement.number] = movement
        return movement

    def _effects(self, kind: MovementKind) -> tuple[bool, bool]:
        """Whether a movement shows in `transactions`, and whether it moves updatedAt."""
        behaviour = self.behaviour
        match kind:
            case MovementKind.CREDIT | MovementKind.DEBIT | MovementKind.ADJUSTMENT:
                return True, behaviour.updated_at_moves_on_credit_debit
            case MovementKind.CHECKOUT:
                return behaviour.checkout_in_transactions, behaviour.updated_at_moves_on_checkout
            case MovementKind.REFUND:
                return behaviour.refund_in_transactions, behaviour.updated_at_moves_on_refund

    def notify(self, card: GiftCard, to: Customer, cause: str) -> None:
        """Send the card to somebody. Nothing leaves the machine; it is written down."""
        sent = Notification(to.email or to.phone or "", cause, self.now())
        card.notifications = [*(card.notifications or ()), sent]
        self.notifications_sent += 1

    def send_scheduled(self) -> None:
        """Send the cards whose time has come, unless they were deactivated meanwhile."""
        now = self.now()
        due = [number for at, number in self.scheduled if at <= now]
        self.scheduled = [(at, number) for at, number in self.scheduled if at > now]
        for number in due:
            card = self.cards.get(number)
            if card is not None and card.deactivated_at is None and card.recipient_attributes is not None:
                self.notify(card, card.recipient_attributes.customer, "scheduled")

    def customer_by_email(self, email: str) -> Customer | None:
        wanted = email.lower()
        index = self.customers.index("email", lambda customer: (customer.email or "").lower())
        numbers = index.between(wanted, wanted)
        return self.customers.get(numbers[0]) if numbers and wanted else None

    def line(self, number: int) -> LineItem | None:
        """The order line with this number.

        An order's lines and its sale are numbered right after it, so that no index of them is kept.
        """
        order = self.orders.last_until(number)
        lines = () if order is None else order.lines
        return next((line for line in lines if line.number == number), None)

    def payment(self, number: int) -> Payment | None:
        """The order transaction with this number."""
        for refund in self.refunds.values():
            for payment in refund.payments:
                if payment.number == number:
                    return payment
        order = self.orders.last_until(number)
        payments = [] if order is None else order.payments
        return next((payment for payment in payments if payment.number == number), None)

    def emit(self, topic: str, subject: object) -> None:
        """Tell the listeners that something happened that a webhook topic is about."""
        for listener in self.listeners:
            listener(topic, subject)
