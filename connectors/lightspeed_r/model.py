"""What a credit account of R-Series shows of a gift card, read strictly. Pure.

All values are text, one row is an object and several are an array. Value on a card is negative, as the gift
card pages say; the credit account pages say the opposite, so nothing is read before a person has compared one
card (lightspeed.md §A2, §D).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from connectors.api.card import Entry, Seen
from connectors.kit.fields import NotBelieved, minor_of, moment_of, text_of
from mappings.lifecycle import CardStatus
from mappings.notes import MARKER
from mappings.serials import Serial, SerialError

#: Ends the marker of the sale that empties a card before it is archived.
CLOSED: Final = ".closed"
#: Ends the marker of the sale that loads a new card.
MADE: Final = ".made"
_ID: Final = re.compile(r"[0-9]{1,19}")
_LAST_CHARS: Final = 4


class Sign(StrEnum):
    """How value on a card is shown."""

    UNCONFIRMED = "unconfirmed"
    NEGATIVE = "negative"
    POSITIVE = "positive"


@dataclass(frozen=True)
class Payment:
    """One payment of a sale with the card. Positive: the card paid; negative: it was loaded."""

    id: str
    sale_id: str
    amount_minor: int
    at: datetime


@dataclass(frozen=True)
class RCard:
    """One gift card. `code` is masked where the token may not see it."""

    id: str
    code: str
    value_minor: int
    archived: bool
    name: str
    description: str
    changed_at: datetime
    #: None: they were not asked for.
    payments: Sequence[Payment] | None

    @property
    def created_by(self) -> str | None:
        """The marker of the create that made it: its description ends with it."""
        last = self.description.rsplit(" ", 1)[-1]
        return last if MARKER.fullmatch(last) else None

    @property
    def is_masked(self) -> bool:
        return "*" in self.code

    @property
    def serial(self) -> Serial | None:
        """None: masked, or no serial."""
        if self.is_masked:
            return None
        try:
            return Serial(self.code)
        except SerialError:
            return None

    @property
    def last_chars(self) -> str:
        serial = self.serial
        return serial.last_chars if serial is not None else self.code[-_LAST_CHARS:].lower()

    def seen(self, currency: str, at: datetime, references: Mapping[str, str], *, entries: bool) -> Seen:
        """`references` are those of the sales, by their ids. Raises NotBelieved."""
        if self.is_masked:
            raise NotBelieved("its code is masked; the token needs employee:customers_view_gift_card_numbers")
        if self.serial is None:
            raise NotBelieved("its code cannot be used")
        payments = self.payments or ()
        if self.payments is not None and -sum(one.amount_minor for one in payments) != self.value_minor:
            raise NotBelieved("its payments do not add up to its balance")
        emptied = sum(
            one.amount_minor for one in payments if references.get(one.sale_id, "").endswith(CLOSED)
        )
        if self.value_minor + emptied < 0:
            raise NotBelieved("more was taken from it than it held")
        book = [
            Entry(one.id, -one.amount_minor, one.at, marker_of(references.get(one.sale_id, "")), "sale")
            for one in payments
            if not references.get(one.sale_id, "").endswith(CLOSED)
        ]
        return Seen(
            native_id=self.id,
            balance_minor=self.value_minor + emptied,
            currency=currency,
            status=CardStatus.CLOSED if self.archived else CardStatus.ACTIVE,
            status_text="archived" if self.archived else "in use",
            expires_on=None,
            last_chars=self.last_chars,
            at=at,
            serial=self.serial,
            note=self.description,
            created_by=self.created_by,
            entries=tuple(book) if entries else None,
        )


def marker_of(reference: str) -> str | None:
    """The marker that a sale carries; both halves of a create carry the same."""
    found = reference.removesuffix(MADE)
    return found if MARKER.fullmatch(found) else None


def rows(said: object, name: str) -> list[dict[str, Any]]:
    """The rows of an answer: none, one object, or an array. Raises NotBelieved."""
    found = said.get(name) if isinstance(said, dict) else None
    if found is None or found == "":
        return []
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in listed):
        raise NotBelieved(f"{name} is not known in this form")
    return listed


def read_card(said: Mapping[str, Any], currency: str, sign: Sign) -> RCard:
    """Raises NotBelieved."""
    if said.get("giftCard") != "true":
        raise NotBelieved("it is no gift card")
    balance = minor_of(said, "balance", currency)
    listed = said.get("WithdrawalPayments")
    payments = None
    if listed is not None:
        payments = [_payment(one, currency) for one in rows(listed, "SalePayment")]
        payments.sort(key=lambda one: (one.at, int(one.id)))
    return RCard(
        id=_id(said, "creditAccountID"),
        code=text_of(said, "code"),
        value_minor=balance if sign is Sign.POSITIVE else -balance,
        archived=_flag(said, "archived"),
        name=str(said.get("name") or ""),
        description=str(said.get("description") or ""),
        changed_at=moment_of(said, "timeStamp"),
        payments=payments,
    )


def _payment(said: Mapping[str, Any], currency: str) -> Payment:
    return Payment(
        _id(said, "salePaymentID"),
        _id(said, "saleID"),
        minor_of(said, "amount", currency),
        moment_of(said, "createTime"),
    )


def _id(said: Mapping[str, Any], name: str) -> str:
    value = text_of(said, name)
    if not _ID.fullmatch(value):
        raise NotBelieved(f"`{name}` is no id")
    return value


def _flag(said: Mapping[str, Any], name: str) -> bool:
    value = text_of(said, name)
    if value not in ("true", "false"):
        raise NotBelieved(f"`{name}` is neither true nor false")
    return value == "true"
