"""Strict readers of one field of what a system shows of a card. Pure.

Each raises NotBelieved for a value that is not exactly as it is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from mappings.lifecycle import is_last_day
from mappings.money import MoneyError, minor_from_decimal
from mappings.serials import Serial, SerialError


class NotBelieved(ValueError):
    """What a system shows cannot be believed. The message names the field and never holds a card's number."""


def text_of(said: Mapping[str, Any], name: str) -> str:
    """A text that is not empty."""
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise NotBelieved(f"`{name}` is no text")
    return value


def moment_of(said: Mapping[str, Any], name: str) -> datetime:
    """A time in ISO 8601, with its offset."""
    text = text_of(said, name)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise NotBelieved(f"`{name}` is no time in ISO 8601") from None
    if at.tzinfo is None:
        raise NotBelieved(f"`{name}` has no offset")
    return at


def day_of(said: Mapping[str, Any], name: str) -> date | None:
    """A card's last day, such as 2027-12-31; None for null, and where there is none."""
    if said.get(name) is None:
        return None
    text = text_of(said, name)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise NotBelieved(f"`{name}` is no date") from None
    if day.isoformat() != text:
        raise NotBelieved(f"`{name}` is not written as 2027-12-31")
    if not is_last_day(day):
        raise NotBelieved(f"`{name}` is {text}, which is the last day of no gift card; never is null")
    return day


def serial_of(said: Mapping[str, Any], name: str) -> Serial:
    """A card's number."""
    try:
        return Serial(text_of(said, name))
    except SerialError:
        raise NotBelieved("its number cannot be used") from None


def minor_of(said: Mapping[str, Any], name: str, currency: str) -> int:
    """A decimal text of any sign, in minor units."""
    try:
        return minor_from_decimal(text_of(said, name), currency)
    except MoneyError as error:
        raise NotBelieved(f"`{name}`: {error}") from None


def worth_of(said: Mapping[str, Any], name: str, currency: str) -> int:
    """A decimal text or a JSON number that is not negative, in minor units."""
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise NotBelieved(f"`{name}` is no amount")
    minor = minor_of({name: str(value)}, name, currency)
    if minor < 0:
        raise NotBelieved(f"`{name}` is negative")
    return minor


def folded(text: str) -> str:
    """Words as they are compared, whatever their case and the room between them."""
    return " ".join(text.split()).casefold()
