"""What Maestra says of a gift card, read strictly; the rows and orders that are sent. Pure."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.api.card import Seen
from connectors.api.effect import Effect, Found
from connectors.kit.fields import NotBelieved, folded, worth_of
from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor
from mappings.serials import Serial

#: Names of the interface and of files (maestra.md §1, §3), folded.
STATUSES: Final = {
    "notactivated": CardStatus.INACTIVE,
    "inactive": CardStatus.INACTIVE,
    "activated": CardStatus.ACTIVE,
    "canbeused": CardStatus.ACTIVE,
    # Nothing is left on it.
    "redeemed": CardStatus.ACTIVE,
    # Both can become usable again: a card is extended, or released.
    "expired": CardStatus.SUSPENDED,
    "blocked": CardStatus.SUSPENDED,
}
#: A number that no card has, to ask what Maestra says of such.
NOBODYS_NUMBER: Final = "0" * 16
NEW_CARD_COLUMNS: Final = ("Number", "Amount")
#: What a calculated order is for, in whole currency units: more than any card holds.
ORDER_VALUE: Final = 1_000_000


@dataclass(frozen=True)
class Wire:
    """Names that are the project's own."""

    currency: str
    calculate: str
    #: Empty: there is none.
    sell: str
    pay: str
    cancel: str
    new_cards: str
    payment_type: str
    cvv_field: str
    product_system: str
    #: The product that a card pays for, when nothing is sold.
    technical_product: str
    #: The product of the pool that new cards are of; empty: none are made.
    pool_product: str
    #: The column of the pool's product in a file of new cards.
    product_column: str


@dataclass(frozen=True)
class GiftCard:
    """One card, calculated just now."""

    amount_minor: int
    available_minor: int
    status: CardStatus | None
    status_text: str
    product: str

    @property
    def balance_minor(self) -> int:
        """What can be spent: a card that was not sold is worth nothing yet."""
        return 0 if self.status is CardStatus.INACTIVE else self.amount_minor

    def seen(self, serial: Serial, native_id: str, currency: str, at: datetime) -> Seen:
        """Raises NotBelieved where the balance is not what can be paid with."""
        if self.status is CardStatus.ACTIVE and self.available_minor != self.amount_minor:
            raise NotBelieved("less is available than the card holds: another order may keep the rest")
        return Seen(
            native_id=native_id,
            balance_minor=self.balance_minor,
            currency=currency,
            status=self.status,
            status_text=self.status_text,
            expires_on=None,
            last_chars=serial.last_chars,
            at=at,
            serial=serial,
            brand=self.product,
        )


def read_card(answer: Mapping[str, Any], wire: Wire) -> GiftCard:
    """The one card of a calculated order. Raises NotBelieved."""
    order = answer.get("order")
    infos = order.get("paymentsInfo") if isinstance(order, dict) else None
    if not isinstance(infos, list) or len(infos) != 1 or not isinstance(infos[0], dict):
        raise NotBelieved("the answer does not tell of one payment")
    info = infos[0].get("paymentInfo")
    card = info.get("giftCard") if isinstance(info, dict) else None
    if not isinstance(info, dict) or not isinstance(card, dict):
        raise NotBelieved("the payment tells of no gift card")
    word = _first_text(card.get("status"))
    return GiftCard(
        worth_of(card, "amount", wire.currency),
        worth_of(info, "availableAmountForCurrentOrder", wire.currency),
        STATUSES.get("".join(word.split()).casefold()),
        word,
        _first_text(card.get("product")),
    )


def native_id_of(serial: Serial, key: bytes) -> str:
    """The card's id: Maestra has no other than the number, and an id is shown where a number is not."""
    return "m-" + hmac.new(key, serial.reveal().encode(), hashlib.sha256).hexdigest()[:24]


def are_among(reasons: Sequence[str], named: Collection[str]) -> bool:
    """Whether Maestra's only reason is one that the merchant has named."""
    return len(reasons) == 1 and folded(reasons[0]) in {folded(one) for one in named}


# What is sent.


def paying_order(
    wire: Wire, number: str, minor: int | None, cvv: str | None, marker: str = ""
) -> dict[str, Any]:
    """An order that a card pays; without an amount, one that only asks what the card could pay."""
    amount: float = ORDER_VALUE if minor is None else float(decimal_from_minor(minor, wire.currency))
    product = {"ids": {wire.product_system: wire.technical_product}}
    payment: dict[str, Any] = {"type": wire.payment_type, "id": number, "amount": amount}
    if cvv is not None:
        payment[wire.cvv_field] = cvv
    order: dict[str, Any] = {
        "lines": [{"product": product, "quantity": 1, "basePricePerItem": amount}],
        "payments": [payment],
    }
    return order | ({"ids": {"externalId": marker}} if marker else {})


def selling_order(wire: Wire, number: str, minor: int, marker: str) -> dict[str, Any]:
    """An order of nobody's that sells a card which was imported, and so activates it (maestra.md §1)."""
    line = {
        "product": {"ids": {wire.product_system: wire.pool_product}},
        "quantity": 1,
        "basePricePerItem": float(decimal_from_minor(minor, wire.currency)),
        "giftCard": {"id": number, "getFromPool": False},
    }
    return {"ids": {"externalId": marker}, "lines": [line], "payments": []}


def new_cards_file(wire: Wire, cards: Iterable[tuple[str, int]]) -> bytes:
    """A file of numbers and amounts for the pool; no CVV is ever in it."""
    text = io.StringIO()
    lines = csv.writer(text, delimiter=";", lineterminator="\r\n")
    lines.writerow([*NEW_CARD_COLUMNS, wire.product_column])
    for number, minor in cards:
        lines.writerow([number, decimal_from_minor(minor, wire.currency), wire.pool_product])
    return text.getvalue().encode()


# What became of a payment whose answer was lost.


def told_by_value(effect: Effect, value_minor: int, native_id: str) -> Found | None:
    """The payment, if the card holds exactly that much less than just before; None: that says nothing."""
    before = effect.progress.get("before_minor")
    if before and value_minor == int(before) - effect.amount_minor:
        return Found(1, native_id)
    return None


def _first_text(value: object) -> str:
    """The only id of `{"ids": {…}}`. Raises NotBelieved."""
    ids = value.get("ids") if isinstance(value, dict) else None
    texts = [one for one in ids.values() if isinstance(one, str) and one] if isinstance(ids, dict) else []
    if len(texts) != 1:
        raise NotBelieved("its status or product has not one id")
    return texts[0]
