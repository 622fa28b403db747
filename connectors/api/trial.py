"""A system on this machine that stands in for the real one, so that a connector can be tried and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class TillCard:
    """The truth about one card, without going through the connector. Amounts in minor units."""

    #: As the connector's observations have it.
    native_id: str
    serial: str = field(repr=False)
    balance_minor: int
    #: Money can be taken from it.
    spendable: bool = True


class Till(Protocol):
    """Where customers use the cards. Amounts are positive minor units. Thread-safe."""

    def sell(self, amount_minor: int) -> str:
        """A customer buys a card here; returns its number."""
        ...

    def spend(self, serial: str, amount_minor: int) -> bool:
        """A customer pays with a card; False when the system refuses."""
        ...

    def load(self, serial: str, amount_minor: int) -> bool:
        """Staff put money on a card; False when the system refuses."""
        ...

    def cards(self) -> list[TillCard]:
        """Every card, with its true balance."""
        ...


class TrialSide(Protocol):
    """A running stand-in. It is closed when the trial is over."""

    @property
    def settings(self) -> Mapping[str, object]:
        """The keys of a side's table that lead the connector to it, `connector` among them."""
        ...

    @property
    def till(self) -> Till:
        """What people do there."""
        ...

    def close(self) -> None: ...
