"""Cards, orders and their parts as the emulator holds them.

Slots throughout: a million cards with their history must fit in memory. Money is minor units, instants are
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.flow.catalog import Brand, Product, Store, TenantUser
from sandbox.flow.payments import TenantMethod

#: Uids are strings that differ from the whole-number Ids of the events (flow.md §6).
_ORDER_UID_OFFSET = 7_000_000
_ORDER_NUMBER_OFFSET = 100_000
_VOUCHER_NUMBER_OFFSET = 500_000


class MovementKind(StrEnum):
    """Why a balance changed; Flow publishes no movements, so this is ground truth only."""

    ISSUE = "issue"
    LOAD = "load"
    REDEEM = "redeem"
    REFUND = "refund"
    CLEAR = "clear"
    #: As told by the control plane, without an order.
    ADJUST = "adjust"


#: Stands for a field that the API does not answer, in `Card.shown`.
LEFT_OUT = object()


@dataclass(slots=True, eq=False)
class Movement:
    """A signed amount that moved on a card."""

    kind: MovementKind
    amount: int
    at_ms: int
    #: The settlement's external reference; empty when there was none.
    reference: str
    #: Sequence number of the order; zero for movements without one (a PUT that cleared the card).
    order_seq: int


@dataclass(slots=True, eq=False)
class Card:
    card_id: int
    number: str
    brand: Brand
    balance: int
    status: str
    valid_to_ms: int | None
    note: str
    legacy_number: str
    #: False for a pre-generated card that was never sold.
    issued: bool
    movements: list[Movement] = field(default_factory=list)
    #: Whether this card needs a CVC; None follows its brand.
    cvc_required: bool | None = None
    #: What the API answers instead of the truth, by field; None while it answers the truth.
    shown: dict[str, object] | None = None

    @property
    def needs_cvc(self) -> bool:
        return self.brand.cvc_required if self.cvc_required is None else self.cvc_required

    def move(self, movement: Movement) -> None:
        self.balance += movement.amount
        self.movements.append(movement)


@dataclass(slots=True, eq=False)
class PosRecord(Movement):
    """A movement of the seeded history that also stands for its whole POS order, expanded when it is read."""

    card: Card
    store: Store


@dataclass(slots=True, eq=False)
class Item:
    product: Product
    #: Quantity x100.
    quantity: int
    unit_price: int
    created_ms: int
    external_id: str = ""
    #: Card number of a GIFTCARD item; empty until Flow assigns one.
    number: str = ""

    @property
    def total(self) -> int:
        return (self.quantity * self.unit_price + 50) // 100


@dataclass(slots=True, eq=False)
class Settlement:
    method: TenantMethod
    amount: int
    created_ms: int
    external_reference: str = ""
    external_id: str = ""
    #: As answered: never with a CVC.
    parameters: dict[str, str] = field(default_factory=dict)
    #: The gift card that pays or is paid.
    card: Card | None = None
    declined: str = ""
    #: Whether the card's money has moved.
    moved: bool = False


@dataclass(slots=True, eq=False)
class Handling:
    uid: str
    handling_uid: str
    created_ms: int


@dataclass(slots=True, eq=False)
class Order:
    seq: int
    store: Store
    type: str
    system_origin: str
    user: TenantUser
    created_ms: int
    modified_ms: int
    state: str
    is_return: bool = False
    is_pos: bool = False
    till_uid: str = ""
    external_number: str = ""
    note: str = ""
    customer_uid: str = ""
    customer_address: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    handlings: list[Handling] = field(default_factory=list)
    #: Set once the order is fully settled.
    settled_ms: int | None = None

    @property
    def uid(self) -> str:
        return order_uid(self.seq)

    @property
    def number(self) -> str:
        return str(_ORDER_NUMBER_OFFSET + self.seq)

    @property
    def voucher_number(self) -> str:
        return "" if self.settled_ms is None else str(_VOUCHER_NUMBER_OFFSET + self.seq)

    @property
    def receipt_uid(self) -> str:
        return "" if self.settled_ms is None else f"{self.uid}-r1"

    @property
    def total(self) -> int:
        """What has to be settled, positive for returns too."""
        return sum(item.total for item in self.items)

    @property
    def settled(self) -> int:
        return sum(abs(settlement.amount) for settlement in self.settlements if not settlement.declined)

    @property
    def remaining(self) -> int:
        return self.total - self.settled


def order_uid(seq: int) -> str:
    return str(_ORDER_UID_OFFSET + seq)


def seq_of_order_uid(uid: str) -> int | None:
    return _seq(uid, _ORDER_UID_OFFSET)


def seq_of_order_number(number: str) -> int | None:
    return _seq(number, _ORDER_NUMBER_OFFSET)


def seq_of_voucher_number(number: str) -> int | None:
    return _seq(number, _VOUCHER_NUMBER_OFFSET)


def _seq(text: str, offset: int) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        return None
    seq = int(text) - offset
    # A second spelling of the same number ("007") is another string and so another uid.
    return seq if seq > 0 and str(seq + offset) == text else None
