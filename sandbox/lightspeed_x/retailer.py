"""The gift cards of one emulated X-Series retailer and their transactions; money in minor units (cents)."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.lightspeed_x.behaviour import LightspeedXBehaviour

_ENDED = {"VOIDED", "EXPIRED"}
#: What earlier cards were sold for, in whole currency units, and the share that was spent in part.
_AMOUNTS = (250, 500, 750, 1_000, 1_500, 2_000)
_SPENT_PARTLY = 0.2


@dataclass
class Refusal(Exception):
    """A request that the retailer refuses; the bodies of these answers are unpublished."""

    status: int
    message: str


@dataclass
class Transaction:
    id: str
    type: str
    cents: int
    created_at: datetime
    client_id: str | None = None
    user_id: str | None = None
    source: str = "x-series"
    source_id: str | None = None
    reversed: bool = False


@dataclass
class GiftCard:
    id: str
    number: str
    created_at: datetime
    status: str = "ACTIVE"
    expires_at: datetime | None = None
    #: None for a card that was made by the API.
    sale_id: str | None = None
    transactions: list[Transaction] = field(default_factory=list)

    @property
    def cents(self) -> int:
        return sum(one.cents for one in self.transactions)


class Retailer:
    """Cards by id, in the order they were made. One thread."""

    def __init__(self, behaviour: LightspeedXBehaviour, clock: Callable[[], datetime]) -> None:
        self.behaviour = behaviour
        self._clock = clock
        self.cards: dict[str, GiftCard] = {}
        self._by_number: dict[str, GiftCard] = {}
        self._by_client_id: dict[str, tuple[GiftCard, Transaction]] = {}
        self._sold = 0

    # Reading.

    def by_number(self, number: str) -> GiftCard:
        return self._current(self._by_number.get(number))

    def by_id(self, card_id: str) -> GiftCard:
        return self._current(self.cards.get(card_id))

    def newest_first(self) -> list[GiftCard]:
        return [self._current(card) for card in reversed(self.cards.values())]

    def with_transaction(self, transaction_id: str) -> tuple[GiftCard, Transaction]:
        for card in self.cards.values():
            for one in card.transactions:
                if one.id == transaction_id:
                    return self._current(card), one
        raise Refusal(404, "no such transaction")

    # Changing.

    def create(
        self, number: str, cents: int, expires_at: datetime | None, *, sale_id: str | None = None
    ) -> GiftCard:
        pattern = r"[0-9A-Za-z]+" if self.behaviour.letters_in_numbers else r"[0-9]+"
        if not re.fullmatch(pattern, number) or len(number) > self.behaviour.number_length_max:
            raise Refusal(422, "the number cannot be used")
        if number in self._by_number:
            raise Refusal(422, "a gift card with this number exists already")
        if cents <= 0:
            raise Refusal(422, "the amount must be positive")
        card = GiftCard(str(uuid.uuid4()), number, self._clock(), expires_at=expires_at, sale_id=sale_id)
        self._add(card, "ACTIVATION", cents)
        self.cards[card.id] = self._by_number[number] = card
        return card

    def transact(
        self, number: str, kind: str, cents: int, client_id: str | None, user_id: str | None = None
    ) -> Transaction:
        if kind not in ("REDEEMING", "RELOADING"):
            raise Refusal(422, "type must be REDEEMING or RELOADING")
        if (kind == "REDEEMING") != (cents < 0) or cents == 0:
            raise Refusal(422, "the amount has the wrong sign for this type")
        card = self.by_number(number)
        earlier = self._earlier(card, kind, cents, client_id)
        if earlier is not None:
            return earlier
        revived = card.status == "EXPIRED" and kind == "RELOADING" and self.behaviour.reload_revives_expired
        if card.status in _ENDED and not revived:
            raise Refusal(422, f"the gift card is {card.status}")
        if card.cents + cents < 0:
            raise Refusal(422, "the gift card holds less")
        made = self._add(card, kind, cents, client_id, user_id)
        card.status = "REDEEMED" if card.cents == 0 else "ACTIVE"
        return made

    def reverse(self, transaction_id: str) -> Transaction:
        card, one = self.with_transaction(transaction_id)
        if one.type != "REDEEMING" or one.reversed or card.status in _ENDED:
            raise Refusal(400, "this transaction cannot be reversed")
        one.reversed = True
        card.status = "ACTIVE"
        return self._add(card, "REVERSING", -one.cents)

    def void(self, card: GiftCard) -> GiftCard:
        if card.status not in _ENDED:
            self._add(card, "VOIDING", -card.cents)
            card.status = "VOIDED"
        return card

    def sell(self, cents: int) -> GiftCard:
        """A cashier sells a card."""
        self._sold += 1
        return self.create(f"77{self._sold:014d}", cents, None, sale_id=str(uuid.uuid4()))

    def sell_earlier(self, count: int, seed: int) -> None:
        """Sell so many cards, some of which are spent in part."""
        chance = random.Random(f"cards {seed}")
        for _ in range(count):
            card = self.sell(100 * chance.choice(_AMOUNTS))
            if chance.random() < _SPENT_PARTLY:
                self.transact(card.number, "REDEEMING", -chance.randint(1, card.cents - 1), None)

    def last_moment(self, day: date, zone: str) -> datetime:
        try:
            tz = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise Refusal(422, "time_zone is unknown") from None
        at = time(23, 59, 59) if self.behaviour.expires_at_is == "end" else time(0)
        return datetime.combine(day, at, tz).astimezone(UTC)

    def _earlier(self, card: GiftCard, kind: str, cents: int, client_id: str | None) -> Transaction | None:
        found = self._by_client_id.get(client_id or "")
        if found is None:
            return None
        other, one = found
        if self._clock() - one.created_at > timedelta(seconds=self.behaviour.client_id_seconds):
            return None
        if (other.id, one.type, one.cents) == (card.id, kind, cents):
            return one
        match self.behaviour.client_id_mismatch:
            case "refuse":
                raise Refusal(422, "client_id was used with other details")
            case "earlier":
                return one
        return None

    def _add(
        self, card: GiftCard, kind: str, cents: int, client_id: str | None = None, user_id: str | None = None
    ) -> Transaction:
        made = Transaction(str(uuid.uuid4()), kind, cents, self._clock(), client_id, user_id)
        card.transactions.append(made)
        if client_id:
            self._by_client_id[client_id] = (card, made)
        return made

    def _current(self, card: GiftCard | None) -> GiftCard:
        """The card, expired if its time has come."""
        if card is None:
            raise Refusal(404, "no such gift card")
        over = card.expires_at is not None and self._clock() > card.expires_at
        if over and card.status not in _ENDED:
            self._add(card, "EXPIRING", -card.cents)
            card.status = "EXPIRED"
        return card


def cents_of(value: object) -> int:
    """An amount of the API: a string with at most two decimals."""
    if not isinstance(value, str):
        raise Refusal(422, "amount must be a string")
    try:
        cents = Decimal(value) * 100
    except InvalidOperation:
        raise Refusal(422, "amount is not a number") from None
    if not cents.is_finite() or cents != cents.to_integral_value() or abs(cents) > 10**11:
        raise Refusal(422, "amount must have at most two decimals")
    return int(cents)
