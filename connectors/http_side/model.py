"""What a shop shows by the contract, read strictly. Pure. Messages never hold a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from connectors.api.card import Entry, Seen
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError, decimal_from_minor, minor_from_decimal
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


class NotAsAgreed(ValueError):
    """What the shop shows is not as the contract has it; the message says what."""


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
        """Raises NotAsAgreed for a number that is no serial."""
        try:
            serial = Serial(self.number)
        except SerialError:
            raise NotAsAgreed("its number cannot be used") from None
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
    """Raises NotAsAgreed."""
    features = said.get("features")
    if not isinstance(features, list) or not all(isinstance(one, str) for one in features):
        raise NotAsAgreed("`features` is no list of words")
    numbers = said.get("numbers", {})
    if not isinstance(numbers, dict):
        raise NotAsAgreed("`numbers` is no object")
    low, high = numbers.get("length_min", 8), numbers.get("length_max", 20)
    if type(low) is not int or type(high) is not int or not 1 <= low <= high <= 64:
        raise NotAsAgreed("`numbers` has no lengths from 1 to 64")
    return Shop(
        _text(said, "contract"),
        _text(said, "id"),
        _text(said, "currency"),
        _text(said, "timezone"),
        frozenset(features),
        low,
        high,
        numbers.get("digits_only") is True,
    )


def read_card(said: object, *, whole: bool = True) -> ShopCard:
    """A card, with its movements if it is `whole`. Raises NotAsAgreed."""
    if not isinstance(said, dict):
        raise NotAsAgreed("it is no object")
    card_id, number, currency = _text(said, "id"), _text(said, "number"), _text(said, "currency")
    if _bare(card_id) == _bare(number):
        raise NotAsAgreed("its `id` is its number, which must stand in no address")
    balance_minor = _amount(said, "balance", currency)
    if balance_minor < 0:
        raise NotAsAgreed("its balance is less than nothing")
    movements = None
    if whole:
        lines = said.get("movements")
        if not isinstance(lines, list):
            raise NotAsAgreed("it lists no movements")
        movements = [read_movement(one, currency) for one in lines]
        if sum(one.amount_minor for one in movements) != balance_minor:
            raise NotAsAgreed("its movements do not add up to its balance")
        if len({one.id for one in movements}) != len(movements):
            raise NotAsAgreed("two of its movements have one id")
        if [one.at for one in movements] != sorted(one.at for one in movements):
            raise NotAsAgreed("its oldest movement does not come first")
    return ShopCard(
        card_id,
        number,
        balance_minor,
        currency,
        _text(said, "status"),
        _day(said, "expires_on"),
        _key(said),
        _words(said, "note"),
        _words(said, "brand"),
        movements,
    )


def read_movement(said: object, currency: str) -> Movement:
    """Raises NotAsAgreed."""
    if not isinstance(said, dict):
        raise NotAsAgreed("a movement is no object")
    return Movement(
        _text(said, "id"),
        _amount(said, "amount", currency),
        read_moment(said, "at"),
        _key(said),
        _words(said, "label"),
    )


def read_moment(said: Mapping[str, Any], name: str) -> datetime:
    """Raises NotAsAgreed for what is no time with an offset."""
    try:
        at = datetime.fromisoformat(_text(said, name))
    except ValueError:
        raise NotAsAgreed(f"`{name}` is no time in ISO 8601") from None
    if at.tzinfo is None:
        raise NotAsAgreed(f"`{name}` has no offset")
    return at


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise NotAsAgreed(f"`{name}` is no text")
    return value


def _words(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name, "")
    if value is not None and not isinstance(value, str):
        raise NotAsAgreed(f"`{name}` is no text")
    return value or ""


def _key(said: Mapping[str, Any]) -> str | None:
    if "key" not in said:
        raise NotAsAgreed("it has no `key`, which is null for what giftsync did not make")
    return _words(said, "key") or None


def _day(said: Mapping[str, Any], name: str) -> date | None:
    if name not in said:
        raise NotAsAgreed(f"it has no `{name}`, which is null for never")
    if said[name] is None:
        return None
    try:
        text = _text(said, name)
        day = date.fromisoformat(text)
    except ValueError:
        raise NotAsAgreed(f"`{name}` is no date") from None
    if day.isoformat() != text:
        raise NotAsAgreed(f"`{name}` is not written as 2027-12-31")
    return day


def _amount(said: Mapping[str, Any], name: str, currency: str) -> int:
    try:
        text = _text(said, name)
        minor = minor_from_decimal(text, currency)
    except MoneyError as error:
        raise NotAsAgreed(f"`{name}`: {error}") from None
    if decimal_from_minor(minor, currency) != text:
        raise NotAsAgreed(f"`{name}` has not the decimals of {currency}")
    return minor


def _marker(key: str | None) -> str | None:
    """The intent that a key stands for; a key of anybody else is none."""
    return key if key is not None and MARKER.fullmatch(key) else None


def _bare(text: str) -> str:
    try:
        return normalise(text)
    except SerialError:
        return text
