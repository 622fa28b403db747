"""What Gift Local says of a gift, read strictly. Pure.

A gift that cannot be redeemed now shows no value, whatever is left on it (giftlocal.md §4). It is believed to
be empty only if the reason is one that the merchant has named as such: a gift that is blocked or not valid
yet has not lost its money.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.api.card import Seen
from connectors.giftlocal.client import CODE_LENGTH
from connectors.kit.fields import NotBelieved, folded, worth_of
from mappings.lifecycle import CardStatus
from mappings.redaction import said
from mappings.serials import Serial

#: What stands in the place of a brand, so that such gifts are left out.
ITEM: Final = "item"
PROMOTIONAL: Final = "promotional"
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: A field that cannot be the reason or a balance.
_REASON_LENGTH_MAX: Final = 80


@dataclass(frozen=True)
class Reading:
    """How answers are read, as the merchant's settings say."""

    currency: str
    #: The field that tells a promotional gift; None: the account has none of them.
    promotional_field: str | None
    #: What Gift Local says of a gift on which nothing is left.
    spent_reasons: Collection[str]


@dataclass(frozen=True)
class Gift:
    """One gift, validated just now."""

    id: str
    redeemable: bool
    #: Of a gift of money: what can be redeemed now.
    eligible_minor: int
    #: `""` for a gift card; else why it is left out.
    kind: str
    #: For people: the balance, or why it cannot be redeemed.
    description: str
    #: None: the answer does not tell it.
    code: Serial | None

    def value_minor(self, spent_reasons: Collection[str]) -> int:
        """What is on it. Raises NotBelieved when that cannot be told."""
        if self.kind == ITEM or self.redeemable:
            return self.eligible_minor
        if folded(self.description) in {folded(one) for one in spent_reasons}:
            return 0
        raise NotBelieved(f"it cannot be redeemed now, and Gift Local says why: {self.description!r}")

    def seen(self, serial: Serial, reading: Reading, at: datetime) -> Seen:
        """Raises NotBelieved for a gift whose value cannot be told."""
        if self.code is not None and self.code != serial and serial.reveal().isdigit():
            raise NotBelieved("the answer is about another code")
        status = None if self.kind == ITEM else CardStatus.ACTIVE
        # What is left out need not be worth anything that can be told.
        value = 0 if self.kind else self.value_minor(reading.spent_reasons)
        return Seen(
            native_id=self.id,
            balance_minor=value,
            currency=reading.currency,
            status=status,
            status_text=f"{self.kind} gift" if self.kind else "gift",
            expires_on=None,
            last_chars=serial.last_chars,
            at=at,
            serial=serial,
            brand=self.kind,
        )


def read_gift(answer: Mapping[str, Any], reading: Reading) -> Gift:
    """Raises NotBelieved."""
    voucher = answer.get("voucher")
    if not isinstance(voucher, dict):
        raise NotBelieved("the answer holds no voucher")
    gift_id, redeemable = voucher.get("voucherID"), voucher.get("isRedeemable")
    if not isinstance(gift_id, str) or not _GUID.fullmatch(gift_id):
        raise NotBelieved("its voucherID is no GUID")
    if not isinstance(redeemable, bool):
        raise NotBelieved("its isRedeemable is neither true nor false")
    value, items = voucher.get("voucherEligibleValue"), voucher.get("voucherEligibleItemQuantity")
    description = voucher.get("voucherPresentValueDescription")
    gift = Gift(
        gift_id,
        redeemable,
        0 if value is None else worth_of(voucher, "voucherEligibleValue", reading.currency),
        _kind(voucher, items, reading),
        said(description, _REASON_LENGTH_MAX) if isinstance(description, str) else "",
        _code(voucher.get("voucherCode")),
    )
    if redeemable and gift.kind != ITEM and gift.eligible_minor <= 0:
        raise NotBelieved("it can be redeemed and holds nothing")
    return gift


def minted(answer: Mapping[str, Any], reading: Reading) -> Gift:
    """The one new gift of an answer. Raises NotBelieved."""
    gifts = answer.get("gifts")
    if not isinstance(gifts, list) or len(gifts) != 1 or not isinstance(gifts[0], dict):
        raise NotBelieved("the answer does not hold one gift")
    gift = read_gift(gifts[0], reading)
    if gift.code is None or gift.kind:
        raise NotBelieved("the answer shows no code of a gift card")
    return gift


def guids_in(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of the GUIDs at the top of an answer."""
    for name, value in answer.items():
        if isinstance(value, str) and _GUID.fullmatch(value):
            yield name, value


def names_in(answer: object, prefix: str = "") -> Iterator[str]:
    """Every name of an answer, with dots for what is inside: what people may be shown of it."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            yield from names_in(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]


def _kind(voucher: Mapping[str, Any], items: object, reading: Reading) -> str:
    if items is not None and (isinstance(items, bool) or not isinstance(items, int | float)):
        raise NotBelieved("its quantity of items is no number")
    if items is not None and voucher.get("voucherEligibleValue") is None:
        return ITEM
    if items:
        raise NotBelieved("it is a gift of money and of items")
    if reading.promotional_field is None:
        return ""
    promotional = voucher.get(reading.promotional_field)
    if not isinstance(promotional, bool):
        raise NotBelieved(f"its {reading.promotional_field} does not tell whether it is promotional")
    return PROMOTIONAL if promotional else ""


def _code(value: object) -> Serial | None:
    """The code as it is printed: a JSON number has lost its leading zeros."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).zfill(CODE_LENGTH)
    return Serial(text) if text.isascii() and text.isdigit() and len(text) == CODE_LENGTH else None
