"""What a type of system declares, so that the sandbox can serve it and the demo can fill it with people.

One value of `Emulated` for each type, in the type's folder; sandbox/registry.py lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.emulator import Emulator


class Deed(StrEnum):
    """What people do with a card."""

    SELL = "sell"
    SPEND = "spend"
    LOAD = "load"
    REFUND = "refund"


@dataclass(frozen=True)
class Act:
    """One thing that people do here: a call of the control plane.

    The body has the card under the type's `serial` and `amount`; a refund has `order_id` instead of the card.
    A sale answers the card under `serial`, a payment `balance` and, where it can be refunded, `order_id`.
    409 is a refusal.
    """

    deed: Deed
    call: str
    #: The line of the proof, such as `sold in the store`.
    words: str
    #: How often, among the acts of the same people.
    weight: int
    #: The call takes `name` and `email` of who does it.
    named: bool = False


@dataclass(frozen=True)
class People:
    """Those who use the cards here."""

    who: str
    acts: tuple[Act, ...]
    count: int = 2


@dataclass(frozen=True)
class Options:
    """What `sandbox serve` and the demo ask of one emulator."""

    seed: int = 0
    #: Which of several systems of its type it is, from 1: each is another shop, store or account.
    number: int = 1
    #: How many cards it starts with.
    cards: int = 0
    latency_ms: int = 0
    currency: str = "NOK"
    #: `standard` or `plus`: a system that sells higher API limits has them with `plus`.
    plan: str = "standard"
    #: Whether webhooks may go to plain http addresses of this machine.
    local_webhooks: bool = False
    #: Whether orders show the customer who was named at the till.
    till_customers: bool = False

    @property
    def own_seed(self) -> int:
        """Another one for each of several, so that they do not begin with the same cards."""
        return self.seed + 1_000 * (self.number - 1)


@dataclass(frozen=True)
class Made:
    """An emulator that is ready to be served."""

    emulator: Emulator
    #: How to be let in, by the names in `Emulated.access`.
    access: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Emulated:
    """One type of system."""

    #: As the connector type of the system is called.
    name: str
    #: With an article, such as `a store`.
    what: str
    #: After `Is on the cards`, such as `in the store (Flow)`.
    where: str
    #: The keys of the ready line beside `url`.
    access: tuple[str, ...]
    #: Raises ValueError, whose argument is a sentence, for options that the system cannot have.
    make: Callable[[Options], Made]
    #: The keys of a side's table that lead the connector here, but for `connector`: what a merchant finds out
    #: with the doctor is set. Given are the ready line's keys, and whether the demo asks.
    settings: Callable[[Mapping[str, str], bool], Mapping[str, object]]
    people: People
    #: What the control plane calls the number of a card.
    serial: str = "number"
    #: Whether giftsync learns by itself of cards that are sold here. If not, a demo begins without any.
    tells_sales: bool = True
    #: What this side cannot follow when it is done elsewhere: in a demo with it, people leave that out.
    cannot_follow: frozenset[Deed] = frozenset()
    #: The control call that makes numbers for the pool: `{"count"}` → `{"cards": [{"number"}]}`.
    pool_call: str = ""
