"""What a shop shows by the contract, read strictly. Pure. Messages never hold a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from connectors.api.card import Entry, Seen
from connectors.kit.fields import NotBelieved, day_of, minor_of, moment_of, text_of
from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor
from mappings.notes import MARKER
from mappings.serials import Serial, SerialError, normalise

CONTRACT: Final = "1"
FEATURES: Final = ("create", "credit", "debit", "suspend", "close", "expiry", "webhooks")
STATUSES: Final = {
    "active": CardStatus.ACTIVE,
    "suspended": CardStatus.SUSPENDED,
    "closed": CardStatus.CLOSED,
}
WORDS: Final = {status: word for word, status in STATUSES.items()}


@dataclass(frozen=True)
class Shop:
    """What `GET /shop` tells."""

    contract: str
    id: str
    currency: str
    timezone: str
    features: frozenset[str]
    length_min: int = 8
    length_max: int = 20
    digits_only: bool = False


@dataclass(frozen=True)
class Movement:
    """One line of a card's book. Amount signed, in minor units."""

    id: str
    amount_minor: int
    at: datetime
    key: str | None
    label: str


@dataclass(frozen=True)
class ShopCard:
    """One card. `movements` is None in a list."""

    id: str
    number: str = field(repr=False)
    balance_minor: int
    currency: str
    status: str
    expires_on: date | None
    key: str | None
    note: str
    brand: str
    movements: Sequence[Movement] | None

    def landed(self, key: str) -> list[Movement]:
        return [one for one in self.movements or () if one.key == key]

    def seen(self, at: datetime, *, entries: bool) -> Seen:
        """Raises NotBelieved for a number that is no serial."""
        try:
            serial = Serial(self.number)
        except SerialError:
            raise NotBelieved("its number cannot be used") from None
        book = [
            Entry(one.id, one.amount_minor, one.at, _marker(one.key), one.label)
            for one in self.movements or ()
        ]
        return Seen(
            native_id=self.id,
            balance_minor=self.balance_minor,
            currency=self.currency,
            status=STATUSES.get(self.status),
            status_text=self.status,
            expires_on=self.expires_on,
            last_chars=serial.last_chars,
            at=at,
            serial=serial,
            brand=self.brand,
            note=self.note,
            created_by=_marker(self.key),
            entries=tuple(book) if entries else None,
        )


def read_shop(said: Mapping[str, Any]) -> Shop:
    """Raises NotBelieved."""
    features = said.get("features")
    if not isinstance(features, list) or not all(isinstance(one, str) for one in features):
        raise NotBelieved("`features` is no list of words")
    numbers = said.get("numbers", {})
    if not isinstance(numbers, dict):
        raise NotBelieved("`numbers` is no object")
    low, high = numbers.get("length_min", 8), numbers.get("length_max", 20)
    if type(low) is not int or type(high) is not int or not 1 <= low <= high <= 64:
        raise NotBelieved("`numbers` has no lengths from 1 to 64")
    return Shop(
        text_of(said, "contract"),
        text_of(said, "id"),
        text_of(said, "currency"),
        text_of(said, "timezone"),
        frozenset(features),
        low,
        high,
        numbers.get("digits_only") is True,
    )


def read_card(said: object, *, whole: bool = True) -> ShopCard:
    """A card, with its movements if it is `whole`. Raises NotBelieved."""
    if not isinstance(said, dict):
        raise NotBelieved("it is no object")
    card_id, number, currency = text_of(said, "id"), text_of(said, "number"), text_of(said, "currency")
    if _bare(card_id) == _bare(number):
        raise NotBelieved("its `id` is its number, which must stand in no address")
    balance_minor = _amount(said, "balance", currency)
    if balance_minor < 0:
        raise NotBelieved("its balance is less than nothing")
    movements = None
    if whole:
        lines = said.get("movements")
        if not isinstance(lines, list):
            raise NotBelieved("it lists no movements")
        movements = [read_movement(one, currency) for one in lines]
        if sum(one.amount_minor for one in movements) != balance_minor:
            raise NotBelieved("its movements do not add up to its balance")
        if len({one.id for one in movements}) != len(movements):
            raise NotBelieved("two of its movements have one id")
        if [one.at for one in movements] != sorted(one.at for one in movements):
            raise NotBelieved("its oldest movement does not come first")
    return ShopCard(
        card_id,
        number,
        balance_minor,
        currency,
        text_of(said, "status"),
        _day(said, "expires_on"),
        _key(said),
        _words(said, "note"),
        _words(said, "brand"),
        movements,
    )


def read_movement(said: object, currency: str) -> Movement:
    """Raises NotBelieved."""
    if not isinstance(said, dict):
        raise NotBelieved("a movement is no object")
    return Movement(
        text_of(said, "id"),
        _amount(said, "amount", currency),
        moment_of(said, "at"),
        _key(said),
        _words(said, "label"),
    )


def _words(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name, "")
    if value is not None and not isinstance(value, str):
        raise NotBelieved(f"`{name}` is no text")
    return value or ""


def _key(said: Mapping[str, Any]) -> str | None:
    if "key" not in said:
        raise NotBelieved("it has no `key`, which is null for what giftsync did not make")
    return _words(said, "key") or None


def _day(said: Mapping[str, Any], name: str) -> date | None:
    if name not in said:
        raise NotBelieved(f"it has no `{name}`, which is null for never")
    return day_of(said, name)


def _amount(said: Mapping[str, Any], name: str, currency: str) -> int:
    minor = minor_of(said, name, currency)
    if decimal_from_minor(minor, currency) != said[name]:
        raise NotBelieved(f"`{name}` has not the decimals of {currency}")
    return minor


def _marker(key: str | None) -> str | None:
    """The intent that a key stands for; a key of anybody else is none."""
    return key if key is not None and MARKER.fullmatch(key) else None


def _bare(text: str) -> str:
    try:
        return normalise(text)
    except SerialError:
        return text
