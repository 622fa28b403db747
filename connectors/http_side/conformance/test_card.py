"""The card that the tester makes for itself, and empties whatever happens.

Test cards have numbers in a row, so that one which an interrupted check has left is found and emptied by the
next. A shop deletes no card, so each check leaves one, closed if the shop can close cards.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connectors.http_side.conformance.asking import Answer, Caller, RuleBroken
from connectors.http_side.model import Shop, ShopCard, read_card
from mappings.money import currency_exponent, decimal_from_minor

KEY_PREFIX: Final = "check-"
NOTE: Final = "giftsync contract check"
#: In units of the currency: what a test card is made with.
UNITS: Final = 10
_CHECKS_MAX: Final = 1 << 20
_EMPTYINGS_MAX: Final = 3


def number_of(shop: Shop, count: int) -> str:
    """The number of the n-th test card; it begins like no card of giftsync or of a shop."""
    length = max(shop.length_min, min(16, shop.length_max))
    prefix = "970" if shop.digits_only else "gscheck"
    return prefix + str(count).zfill(length - len(prefix))


def new_key(what: str) -> str:
    """An Idempotency-Key that no intent of giftsync has."""
    return f"{KEY_PREFIX}{what}-{secrets.token_hex(6)}"


def look_up(caller: Caller, number: str) -> ShopCard | None:
    """The card with that number; None when the shop says that there is none. Raises RuleBroken."""
    answer = caller.ask("POST", "/cards/lookup", {"number": number})
    if answer.status == 404 and answer.code == "not_found":
        return None
    return read_card(answer.done())


def next_number(caller: Caller, shop: Shop) -> tuple[int, ShopCard | None]:
    """The first number of the row that is free, as a count from 1, and the card before it."""

    def card_at(count: int) -> ShopCard | None:
        return look_up(caller, number_of(shop, count))

    high, found = 1, card_at(1)
    if found is None:
        return 1, None
    while found is not None and high < _CHECKS_MAX:
        low, last = high, found
        high *= 2
        found = card_at(high)
    while low + 1 < high:
        middle = (low + high) // 2
        found = card_at(middle)
        low, last, high = (low, last, middle) if found is None else (middle, found, high)
    return low + 1, last


@dataclass
class TestCard:
    """A card of the tester. Amounts in minor units."""

    #: pytest collects classes whose names begin like this one's.
    __test__ = False

    caller: Caller
    shop: Shop
    number: str
    id: str
    create_key: str

    @property
    def unit(self) -> int:
        return int(10 ** currency_exponent(self.shop.currency))

    def text(self, minor: int) -> str:
        return decimal_from_minor(minor, self.shop.currency)

    def read(self) -> ShopCard:
        """Raises RuleBroken and NotBelieved."""
        return read_card(self.caller.get(f"/cards/{self.id}"))

    def move(self, minor: int, key: str) -> Answer:
        body = {"amount": self.text(minor), "currency": self.shop.currency}
        return self.caller.ask("POST", f"/cards/{self.id}/movements", body, key=key)

    def change(self, **body: str | None) -> Answer:
        return self.caller.ask("PATCH", f"/cards/{self.id}", body)

    def unchanged(self, of: Callable[[], object]) -> None:
        """Raises RuleBroken when the balance is another one afterwards."""
        before = self.read().balance_minor
        of()
        self.has(before)

    def has(self, minor: int) -> ShopCard:
        """The card, with exactly this balance. Raises RuleBroken."""
        card = self.read()
        if card.balance_minor != minor:
            holds = f"{self.text(card.balance_minor)} {self.shop.currency}"
            raise RuleBroken(f"The card holds {holds}, not {self.text(minor)}.")
        return card


def emptied(card: TestCard) -> int:
    """Take everything off the card, and close it if that can be done; what is left on it in minor units."""
    left = card.read().balance_minor
    if left and card.read().status != "active" and "suspend" in card.shop.features:
        card.change(status="active")
    for _ in range(_EMPTYINGS_MAX):
        if not left:
            break
        card.move(-left, new_key("end"))
        left = card.read().balance_minor
    if not left and "close" in card.shop.features:
        card.change(status="closed")
    return left
