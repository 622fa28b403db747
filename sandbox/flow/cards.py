"""The issuer's card book: what a card allows, and every movement of money on one (flow.md §2, §3, §5)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.flow.behaviour import (
    STATUS_ACTIVE,
    STATUS_BLOCKED,
    STATUS_CLEARED,
    STATUS_EXPIRED,
    STATUS_INACTIVE,
    FlowBehaviour,
    NumberComparison,
)
from sandbox.flow.catalog import Brand
from sandbox.flow.errors import Refusal
from sandbox.flow.model import Card, Movement, MovementKind

_DAY_MS = 24 * 60 * 60 * 1000
_NUMBER_LOW, _NUMBER_HIGH = 10**15, 10**16

_REFUSAL_OF_STATUS = {
    STATUS_CLEARED: "CARD_CLEARED",
    STATUS_EXPIRED: "CARD_EXPIRED",
    STATUS_BLOCKED: "CARD_BLOCKED",
    STATUS_INACTIVE: "CARD_INACTIVE",
}


@dataclass(frozen=True, slots=True)
class CardChange:
    """What a PUT or the back office changes on a card; None leaves a field as it is."""

    status: str | None = None
    note: str | None = None
    valid_to_ms: int | None = None
    clear_valid_to: bool = False


class CardBook:
    """All cards of the tenant by number."""

    def __init__(self, behaviour: FlowBehaviour, seed: int) -> None:
        self._behaviour = behaviour
        self._seed = seed
        self._random = random.Random(f"flow cards {seed}")
        self._cards: dict[str, Card] = {}
        self._legacy: dict[str, Card] = {}
        #: By the number without spaces, dashes and case; made when it is first asked.
        self._loose: dict[str, Card] | None = None
        self._added = 0

    def __len__(self) -> int:
        return len(self._cards)

    def all(self) -> Iterable[Card]:
        return self._cards.values()

    def find(self, number: str) -> Card | None:
        """The card with this number or, when the behaviour has it, this legacy number."""
        card = self._cards.get(number)
        if card is None and self._behaviour.number_comparison is NumberComparison.LOOSE:
            card = self._find_loosely(number)
        if card is None and self._behaviour.legacy_lookups:
            card = self._legacy.get(number)
        return card

    def _find_loosely(self, number: str) -> Card | None:
        if self._loose is None:
            self._loose = {_loosely(known): card for known, card in self._cards.items()}
        return self._loose.get(_loosely(number))

    def new_number(self, source: random.Random | None = None) -> str:
        """An unused number of 16 digits; whether real ones have a check digit is unknown (flow.md §8)."""
        draw = source or self._random
        while True:
            number = str(draw.randrange(_NUMBER_LOW, _NUMBER_HIGH))
            if number not in self._cards:
                return number

    def add(self, number: str, brand: Brand, *, legacy_number: str = "") -> Card:
        """A card that is not issued yet: INACTIVE, without money."""
        self._added += 1
        card = Card(
            card_id=self._added,
            number=number,
            brand=brand,
            balance=0,
            status=STATUS_INACTIVE,
            valid_to_ms=None,
            note="",
            legacy_number=legacy_number,
            issued=False,
        )
        self._cards[number] = card
        self._loose = None
        if legacy_number:
            self._legacy[legacy_number] = card
        return card

    def remove(self, card: Card) -> None:
        """Forget a card; orders that name it stay."""
        del self._cards[card.number]
        self._legacy.pop(card.legacy_number, None)
        self._loose = None

    def cvc(self, card: Card) -> str:
        """Three digits that follow from the number and the seed; not stored, never answered by the API."""
        digest = hashlib.sha256(f"{self._seed}:{card.number}".encode()).digest()
        return f"{int.from_bytes(digest[:4]) % 1000:03d}"

    def shown_status(self, card: Card, now_ms: int) -> str:
        if (
            self._behaviour.expiry_changes_status
            and card.status == STATUS_ACTIVE
            and is_expired(card, now_ms)
        ):
            return STATUS_EXPIRED
        return card.status

    def activate(self, card: Card, now_ms: int) -> None:
        """Issue a card that was never sold; its validity starts now."""
        card.issued = True
        card.status = STATUS_ACTIVE
        if card.valid_to_ms is None and card.brand.validity_days is not None:
            card.valid_to_ms = now_ms + card.brand.validity_days * _DAY_MS

    def change(self, card: Card, change: CardChange, now_ms: int) -> None:
        """Apply a change as a whole. Raises Refusal for a transition that is not allowed.

        Clearing takes the balance away without a published movement (flow.md §5); ground truth records it.
        """
        if change.status is not None and change.status != card.status:
            self._check_transition(card, change.status)
            if change.status == STATUS_CLEARED and card.balance:
                card.move(Movement(MovementKind.CLEAR, -card.balance, now_ms, "", 0))
            card.status = change.status
            # A card of the pool that is switched on counts as sold: somebody may hold it.
            card.issued = card.issued or card.status == STATUS_ACTIVE
        if change.note is not None:
            card.note = change.note
        if change.clear_valid_to:
            card.valid_to_ms = None
        elif change.valid_to_ms is not None:
            card.valid_to_ms = change.valid_to_ms

    def _check_transition(self, card: Card, status: str) -> None:
        if card.status == STATUS_CLEARED:
            raise Refusal("CARD_CLEARED", "a cleared card stays cleared")
        if status == STATUS_CLEARED and card.balance and self._behaviour.clearing_needs_zero_balance:
            raise Refusal("CARD_HAS_BALANCE", "the card still has a balance")


def _loosely(number: str) -> str:
    return number.replace(" ", "").replace("-", "").casefold()


def is_expired(card: Card, now_ms: int) -> bool:
    return card.valid_to_ms is not None and card.valid_to_ms < now_ms


def check_usable(card: Card, now_ms: int) -> None:
    """Raise Refusal unless the card is active and in time."""
    if card.status != STATUS_ACTIVE:
        raise Refusal(_REFUSAL_OF_STATUS.get(card.status, "CARD_NOT_USABLE"), f"the card is {card.status}")
    if is_expired(card, now_ms):
        raise Refusal("CARD_EXPIRED", "the card has expired")


def check_funds(card: Card, amount: int) -> None:
    """Raise Refusal when the card holds less than `amount` minor units."""
    if card.balance < amount:
        raise Refusal("INSUFFICIENT_FUNDS", "the balance is too low")
