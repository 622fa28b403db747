"""The gifts of one emulated Gift Local account and their redemptions; money in minor units (cents)."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.giftlocal.behaviour import GiftLocalBehaviour

#: What earlier gifts were bought for, in whole currency units, and the share that was spent in part.
_AMOUNTS = (250, 500, 750, 1_000, 1_500, 2_000)
_SPENT_PARTLY = 0.2


@dataclass
class Refusal(Exception):
    """A request that Gift Local refuses; the bodies of these answers are unpublished."""

    status: int
    message: str


@dataclass
class Redemption:
    id: str
    amount: int
    at: datetime
    reversed: bool = False


@dataclass
class Gift:
    """A gift of money (`amount` in cents) or of items (`amount` is their quantity)."""

    id: str
    code: str
    token: str
    amount: int
    #: Of an item gift.
    label: str = ""
    promotional: bool = False
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    blocked: bool = False
    redemptions: list[Redemption] = field(default_factory=list)
    #: The external transaction that it was made for.
    reference: str = ""

    def reason(self, now: datetime) -> str | None:
        """Why it cannot be redeemed now; None: it can."""
        if self.blocked:
            return "Not valid"
        if self.valid_to is not None and now > self.valid_to:
            return "Expired"
        if self.valid_from is not None and now < self.valid_from:
            return "Not valid yet"
        return "Fully redeemed" if self.amount == 0 else None


class Account:
    """Gifts by id, in the order they were made. One thread."""

    def __init__(self, behaviour: GiftLocalBehaviour, clock: Callable[[], datetime], seed: int = 0) -> None:
        self.behaviour = behaviour
        self._clock = clock
        self._chance = random.Random(seed)
        self.gifts: dict[str, Gift] = {}
        self._by_code: dict[str, Gift] = {}
        self._by_token: dict[str, Gift] = {}
        self._by_reference: dict[str, Gift] = {}

    @property
    def now(self) -> datetime:
        return self._clock()

    def by_code(self, code: str) -> Gift:
        return _there(self._by_code.get(code), "no such gift")

    def by_token(self, token: str) -> Gift:
        return _there(self._by_token.get(token), "no such gift")

    def by_id(self, gift_id: str) -> Gift:
        return _there(self.gifts.get(gift_id), "no such gift")

    def make(
        self, amount: int, *, label: str = "", promotional: bool = False, code: str = "", reference: str = ""
    ) -> Gift:
        while not code or code in self._by_code:
            code = f"{self._chance.randrange(10**11, 10**12)}"
        token = f"{self._chance.getrandbits(96):024x}"
        gift = Gift(str(uuid.uuid4()), code, token, amount, label, promotional, reference=reference)
        self.gifts[gift.id] = self._by_code[code] = self._by_token[token] = gift
        return gift

    def make_earlier(self, count: int) -> None:
        """Begin with so many gifts that were bought before now, some of which are spent in part."""
        for _ in range(count):
            gift = self.make(100 * self._chance.choice(_AMOUNTS))
            if self._chance.random() < _SPENT_PARTLY:
                self.redeem(gift, self._chance.randint(1, gift.amount - 1))

    def mint(self, cents: int, reference: str) -> Gift:
        """A gift that nobody is mailed, for an external transaction."""
        known = self._by_reference.get(reference)
        if known is not None and self.behaviour.mints_once:
            return known
        if not self.behaviour.mint_minimum_cents <= cents <= self.behaviour.mint_maximum_cents:
            raise Refusal(400, "the value is out of bounds")
        gift = self._by_reference[reference] = self.make(cents, reference=reference)
        return gift

    def redeem(self, gift: Gift, amount: int) -> Redemption:
        reason = gift.reason(self.now)
        if reason is not None:
            raise Refusal(400, f"the gift is not redeemable: {reason}")
        if amount <= 0:
            raise Refusal(400, "the amount must be positive")
        if amount > gift.amount:
            if self.behaviour.excess == "error":
                raise Refusal(400, "the amount exceeds the gift's value")
            amount = gift.amount
        gift.amount -= amount
        made = Redemption(str(uuid.uuid4()), amount, self.now)
        gift.redemptions.append(made)
        return made

    def reverse(self, redemption_id: str) -> tuple[Gift, Redemption]:
        for gift in self.gifts.values():
            for one in gift.redemptions:
                if one.id == redemption_id:
                    return gift, self._reversed(gift, one)
        raise Refusal(404, "no such redemption")

    def _reversed(self, gift: Gift, one: Redemption) -> Redemption:
        if one.reversed:
            if self.behaviour.second_reverse == "error":
                raise Refusal(400, "the redemption is reversed already")
            return one
        expired = gift.valid_to is not None and self.now > gift.valid_to
        if expired and not self.behaviour.reverse_after_expiry:
            raise Refusal(400, "the gift has expired")
        one.reversed = True
        gift.amount += one.amount
        return one


def _there(gift: Gift | None, message: str) -> Gift:
    if gift is None:
        raise Refusal(404, message)
    return gift
