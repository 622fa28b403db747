"""What Flow answers, read strictly where money depends on it and tolerantly everywhere else.

Two editions of the card exist and both are read (flow.md §1, §3). Amounts are integers x100: a float or a
string in their place is no answer at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connectors.api.errors import InDoubt
from mappings.contact import Contact, contact_of
from mappings.lifecycle import is_last_day
from mappings.money import AMOUNT_MINOR_MAX
from mappings.serials import Serial, SerialError

JsonObject = Mapping[str, object]


class Misread(InDoubt):
    """An answer that does not have the documented shape. The message names the field, never its content."""

    answered = True


class BalanceHidden(Misread):
    """The card is shown without its balance, since it needs a CVC (flow.md §8)."""


@dataclass(frozen=True)
class FlowCard:
    """One gift card as either edition shows it."""

    card_id: int
    number: Serial
    #: Hundredths of the main unit.
    balance_x100: int
    valid_to: datetime | None
    #: None: the older edition, which has `active` instead.
    status_text: str | None
    #: Deprecated; None where it is missing.
    active: bool | None
    note: str
    brand_name: str
    cvc_required: bool
    legacy_number: Serial | None

    @property
    def native_id(self) -> str:
        return str(self.card_id)

    @property
    def shown_status(self) -> str:
        """The status in Flow's words, whichever edition it speaks."""
        if self.status_text is not None:
            return self.status_text
        return {True: "active: true", False: "active: false", None: ""}[self.active]

    def answers_to(self, serial: Serial) -> bool:
        return serial in (self.number, self.legacy_number)


@dataclass(frozen=True)
class FlowItem:
    product_uid: str
    #: Price of the item x100, if it is shown.
    price_x100: int | None
    #: The whole item, for fields whose name is configured.
    raw: JsonObject = field(repr=False)

    def number(self, key: str | None) -> Serial | None:
        """The gift-card number under the configured key, if there is one."""
        return serial_of(self.raw.get(key)) if key else None


@dataclass(frozen=True)
class FlowSettlement:
    #: x100, signed as Flow shows it.
    amount_x100: int
    code: str
    state: str
    status: str
    #: Both references of the one who posted it; giftsync writes its marker into the first.
    reference: str
    external_id: str
    store_payment_method_uid: str
    created_at: datetime | None
    settled_at: datetime | None
    #: Holds a card number.
    parameters: Mapping[str, str] = field(repr=False)

    def carries(self, marker: str) -> bool:
        return marker in (self.reference, self.external_id)


@dataclass(frozen=True)
class FlowOrder:
    uid: str
    number: str
    external_number: str
    items: tuple[FlowItem, ...]
    settlements: tuple[FlowSettlement, ...]
    #: The customer, as far as the order shows how to reach them.
    contact: Contact | None = None
    #: `ORDER`, or the configured word for a return.
    kind: str = ""
    #: The receipt's number, the store and the till, as staff know them.
    receipt: str = ""
    store: str = ""
    till: str = ""


@dataclass(frozen=True)
class FlowReceipt:
    """A line of a receipt search."""

    #: The receipt's own uid, or the order's where it has none.
    uid: str
    order_uid: str
    settled_at: datetime | None
    #: The order's externalOrderNumber; empty where the line does not show it.
    external_number: str = ""


@dataclass(frozen=True)
class MethodParameter:
    key: str
    name: str
    required: bool


@dataclass(frozen=True)
class PaymentMethod:
    """A tenant's payment method (flow.md §4)."""

    active: bool
    settlement_code: str
    payment_code: str
    allow_sale: bool
    allow_refund: bool
    parameters: tuple[MethodParameter, ...]


@dataclass(frozen=True)
class Extension:
    code: str
    active: bool
    #: Whether a status message sounds an alarm.
    alarming: bool


@dataclass(frozen=True)
class Page:
    """One page of a list: `{"items", "paging"}`."""

    items: tuple[JsonObject, ...]
    #: As the answer numbers it, so that nobody has to know whether the first page is 0 or 1.
    number: int | None
    total: int | None


def parse_card(payload: object) -> FlowCard:
    """Read a card of either edition. Raises Misread."""
    card = as_object(payload, "the gift card")
    number = _required_serial(card, "cardNumber")
    return FlowCard(
        card_id=_integer(card, "cardId"),
        number=number,
        balance_x100=_balance(card),
        valid_to=_valid_to(card),
        status_text=_optional_text(card, "status"),
        active=_optional_flag(card, "active"),
        note=loose_text(card, "note"),
        brand_name=loose_text(card, "brandName"),
        cvc_required=_optional_flag(card, "cvcRequired") or False,
        legacy_number=serial_of(card.get("legacyCardNumber")),
    )


def _balance(card: JsonObject) -> int:
    if card.get("balance") is None:
        # Flow may hide the balance of a card that needs a CVC (flow.md §8).
        if card.get("cvcRequired") is True:
            raise BalanceHidden("the gift card shows no balance (the card needs a CVC)")
        raise Misread("the gift card shows no balance")
    balance = _integer(card, "balance")
    if balance < 0:
        raise Misread("the balance is below zero")
    if not 0 <= balance <= AMOUNT_MINOR_MAX:
        raise Misread("balance is not an amount that a gift card can hold")
    return balance


def _valid_to(card: JsonObject) -> datetime | None:
    """Nullable, but never missing: a missing key read as "never expires" would lengthen a card's life."""
    if "validTo" not in card:
        raise Misread("the gift card shows no validTo")
    value = card["validTo"]
    if value is None:
        return None
    instant = loose_instant(value)
    if instant is None:
        raise Misread("validTo is not an instant with an offset")
    if not is_last_day(instant.date()):
        raise Misread(f"validTo is {instant.date()}, which is the last day of no gift card")
    return instant


def parse_order(payload: object) -> FlowOrder:
    """Read an order with its items and settlements. Raises Misread."""
    order = as_object(payload, "the order")
    return FlowOrder(
        uid=_text(order, "orderUid"),
        number=loose_text(order, "orderNumber"),
        external_number=loose_text(order, "externalOrderNumber"),
        items=tuple(parse_item(item) for item in _objects(order, "items")),
        settlements=tuple(_parse_settlement(one) for one in _objects(order, "settlements")),
        contact=_parse_contact(order.get("customerAddress")),
        kind=loose_text(order, "type"),
        receipt=loose_text(order, "voucherNumber"),
        store=loose_text(order, "storeName"),
        till=loose_text(order, "tillUid"),
    )


def _parse_contact(address: object) -> Contact | None:
    """Whether a till fills the documented fields is unknown (flow.md §4); no contact is no error."""
    if not isinstance(address, dict):
        return None
    return contact_of(loose_text(address, "email"), loose_text(address, "mobile"))


def parse_item(item: JsonObject) -> FlowItem:
    """Read an order's item; what it does not show stays open."""
    price = item.get("itemPrice", item.get("unitPrice"))
    return FlowItem(
        product_uid=loose_text(item, "productUid"),
        price_x100=price if isinstance(price, int) and not isinstance(price, bool) else None,
        raw=item,
    )


def settlement_in(payload: object) -> FlowSettlement | None:
    """Read the answer to a new settlement; None where it is none that can be believed."""
    try:
        return _parse_settlement(as_object(payload, "the settlement"))
    except Misread:
        return None


def _parse_settlement(settlement: JsonObject) -> FlowSettlement:
    return FlowSettlement(
        amount_x100=_integer(settlement, "amount"),
        code=loose_text(settlement, "settlementCode"),
        state=loose_text(settlement, "state"),
        status=loose_text(settlement, "status"),
        reference=loose_text(settlement, "externalPaymentReference"),
        external_id=loose_text(settlement, "externalId"),
        store_payment_method_uid=loose_text(settlement, "storePaymentMethodUid"),
        created_at=loose_instant(settlement.get("createdAt")),
        settled_at=loose_instant(settlement.get("settledAt")),
        parameters={
            loose_text(pair, "key"): loose_text(pair, "value")
            for pair in _loose_objects(settlement, "parameters")
        },
    )


def parse_receipt(receipt: JsonObject) -> FlowReceipt:
    """Read a line of a receipt search. Raises Misread."""
    order_uid = _text(receipt, "orderUid")
    return FlowReceipt(
        uid=loose_text(receipt, "orderReceiptUid") or order_uid,
        order_uid=order_uid,
        settled_at=loose_instant(receipt.get("settledAt")),
        external_number=loose_text(receipt, "externalOrderNumber"),
    )


def parse_method(method: JsonObject) -> PaymentMethod:
    """Read a tenant's payment method; its own parameters go before the platform's."""
    platform = method.get("paymentMethod")
    platform = platform if isinstance(platform, dict) else {}
    parameters = _loose_objects(method, "parameters") or _loose_objects(platform, "parameters")
    return PaymentMethod(
        active=method.get("active") is True,
        settlement_code=loose_text(method, "settlementCode"),
        payment_code=loose_text(platform, "paymentCode"),
        allow_sale=method.get("allowSale") is not False,
        allow_refund=method.get("allowRefund") is not False,
        parameters=tuple(
            MethodParameter(loose_text(one, "key"), loose_text(one, "name"), one.get("required") is True)
            for one in parameters
        ),
    )


#: Words in a status message that mean trouble; its shape is undocumented, so every text in it is looked at.
_ALARMS = frozenset({"ERROR", "FATAL", "CRITICAL", "SEVERE", "ALARM"})


def parse_extension(extension: JsonObject) -> Extension:
    """Read the gate of the gift-card extension; its parameters are left alone, since they may be secret."""
    messages = extension.get("statusMessages")
    texts = [
        text
        for message in (messages if isinstance(messages, list) else [])
        for text in (message.values() if isinstance(message, dict) else [message])
    ]
    words = {word for text in texts if isinstance(text, str) for word in re.findall(r"\w+", text.upper())}
    return Extension(
        code=loose_text(extension, "extensionCode"),
        active=extension.get("active") is True,
        alarming=bool(words & _ALARMS),
    )


def parse_currency(country: JsonObject) -> str | None:
    """The currency of a country: a code, or an object that holds one (its shape is undocumented)."""
    value = country.get("currency")
    if isinstance(value, dict):
        value = value.get("code", value.get("currencyCode"))
    return (
        value if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isupper() else None
    )


def parse_page(payload: object, what: str) -> Page:
    """Read `{"items": [...], "paging": {...}}`, or a bare list. Raises Misread."""
    if isinstance(payload, list):
        return Page(tuple(as_object(item, what) for item in payload), None, len(payload))
    body = as_object(payload, what)
    paging = body.get("paging")
    paging = paging if isinstance(paging, dict) else {}
    return Page(_objects(body, "items"), _count(paging, "pageNumber"), _count(paging, "totalCount"))


def as_object(payload: object, what: str) -> JsonObject:
    if not isinstance(payload, dict):
        raise Misread(f"{what} is not an object")
    return payload


def serial_of(value: object) -> Serial | None:
    """The text as a serial; None for anything that cannot be one."""
    if not isinstance(value, str):
        return None
    try:
        return Serial(value)
    except SerialError:
        return None


def loose_instant(value: object) -> datetime | None:
    """An ISO instant with an offset; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def _required_serial(body: JsonObject, key: str) -> Serial:
    serial = serial_of(body.get(key))
    if serial is None:
        raise Misread(f"{key} is not a card number")
    return serial


def _integer(body: JsonObject, key: str) -> int:
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Misread(f"{key} is not an integer")
    return value


def _text(body: JsonObject, key: str) -> str:
    value = loose_text(body, key)
    if not value:
        raise Misread(f"{key} is not a text")
    return value


def _optional_text(body: JsonObject, key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise Misread(f"{key} is not a text")
    return None if value is None else loose_text(body, key)


def _optional_flag(body: JsonObject, key: str) -> bool | None:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise Misread(f"{key} is neither true nor false")
    return value


def loose_text(body: JsonObject, key: str) -> str:
    """The text, without NUL: JSON can hold it, PostgreSQL cannot. Empty for anything else."""
    value = body.get(key)
    return value.replace("\x00", "") if isinstance(value, str) else ""


def _count(body: JsonObject, key: str) -> int | None:
    value = body.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _objects(body: JsonObject, key: str) -> tuple[JsonObject, ...]:
    value = body.get(key)
    if not isinstance(value, list):
        raise Misread(f"{key} is not a list")
    return tuple(as_object(item, f"an entry of {key}") for item in value)


def _loose_objects(body: JsonObject, key: str) -> Sequence[JsonObject]:
    value = body.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
