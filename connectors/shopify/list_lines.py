"""Shopify's list of cards, decoded straight into columns of plain values.

It says what `mapping.seen_of` says of the same lines, some thirty times as fast: a shop may have a million
cards, and nearly all of them show what the ledger holds. A card that differs is read again before anything
follows.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from connectors.api.bulk import ListedCards, ListedLine
from connectors.shopify.mapping import SUSPENDED_ON, marker_of
from connectors.shopify.shape import Misshapen
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError, currency_exponent, minor_from_decimal

_ACTIVE: Final = CardStatus.ACTIVE.value
_SUSPENDED: Final = CardStatus.SUSPENDED.value
_CLOSED: Final = CardStatus.CLOSED.value
_SUSPENDED_ON: Final = SUSPENDED_ON.isoformat()
#: So many digits are less than any amount that is too large.
_DIGITS_MAX: Final = 15
#: Amounts are remembered, since most cards share theirs with others; some ten megabytes at the most.
_AMOUNTS_KEPT: Final = 100_000
#: JSON can hold it, PostgreSQL cannot.
_NUL: Final = rb"\u0000"


class _Money(msgspec.Struct, gc=False):
    amount: str
    currencyCode: str


class _Order(msgspec.Struct, gc=False):
    """That there is one is all that a list is asked."""


class _Card(msgspec.Struct, gc=False):
    id: str
    balance: _Money
    enabled: bool
    lastCharacters: str
    expiresOn: str | None = None
    note: str | None = None
    order: _Order | None = None


_DECODER: Final = msgspec.json.Decoder(_Card)


def listed_cards(block: bytes) -> ListedCards:
    """The cards of whole lines, one a line.

    Raises Misshapen for lines that cannot be believed; the message never holds a part of them.
    """
    if _NUL in block:
        block = block.replace(_NUL, b"")
    try:
        cards = _DECODER.decode_lines(block)
    except (msgspec.DecodeError, UnicodeError):
        raise Misshapen("a line of Shopify's file is not a gift card") from None
    # A line that says nothing would shift every line after it.
    if len(cards) != block.count(b"\n") + (not block.endswith(b"\n")):
        raise Misshapen("a line of Shopify's file is not a gift card")
    currencies = [card.balance.currencyCode for card in cards]
    if currencies.count(currencies[0]) == len(currencies):
        amounts = _amounts_of(currencies[0])
        minors = [amounts[card.balance.amount] for card in cards]
    else:
        minors = [_amounts_of(card.balance.currencyCode)[card.balance.amount] for card in cards]
    return ListedCards(
        [card.id for card in cards],
        minors,
        currencies,
        [_ACTIVE if card.enabled and card.expiresOn != _SUSPENDED_ON else _status_of(card) for card in cards],
        [None if card.expiresOn == _SUSPENDED_ON else card.expiresOn for card in cards],
        lambda place: _line_of(cards[place]),
    )


def _status_of(card: _Card) -> str:
    if not card.enabled:
        return _CLOSED
    return _SUSPENDED if card.expiresOn == _SUSPENDED_ON else _ACTIVE


def _line_of(card: _Card) -> ListedLine:
    note = card.note
    return ListedLine(
        card.id,
        _amounts_of(card.balance.currencyCode)[card.balance.amount],
        card.balance.currencyCode,
        _status_of(card),
        None if card.expiresOn == _SUSPENDED_ON else card.expiresOn,
        card.lastCharacters.lower(),
        marker_of(note) if note and note.startswith("gs-") else None,
        card.order is not None,
    )


class _Amounts(dict[str, int]):
    """Amounts of one currency in minor units, by their text."""

    def __init__(self, currency: str) -> None:
        super().__init__()
        self._currency = currency
        try:
            self._scale = currency_exponent(currency)
        except MoneyError as error:
            raise _unreadable(error) from None

    def __missing__(self, amount: str) -> int:
        if len(self) >= _AMOUNTS_KEPT:
            self.clear()
        whole, _, part = amount.partition(".")
        digits = whole + part.ljust(self._scale, "0")
        # As Shopify writes it, which is true of nearly every one; of all else the careful reading decides.
        plain = whole and part and len(part) <= self._scale and len(digits) <= _DIGITS_MAX
        if plain and digits.isascii() and digits.isdigit():
            minor = int(digits)
        else:
            minor = _minor(amount, self._currency)
        self[amount] = minor
        return minor


@lru_cache(maxsize=8)
def _amounts_of(currency: str) -> _Amounts:
    return _Amounts(currency)


def _minor(amount: str, currency: str) -> int:
    try:
        minor = minor_from_decimal(amount, currency)
    except MoneyError as error:
        raise _unreadable(error) from None
    if minor < 0:
        raise Misshapen("Shopify shows a negative balance")
    return minor


def _unreadable(error: MoneyError) -> Misshapen:
    return Misshapen(f"Shopify lists a card whose balance cannot be read: {error}")
