"""The memory side keeps the contract, so that what holds over it holds over a real side."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from connectors.api.errors import NotSent
from connectors.api.side import CardRef, Effect, Identity, Side
from connectors.memory import MemoryFault, MemorySide
from mappings.serials import Serial

from .side_contract import Mishap, SideContract

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

_FAULTS = {
    Mishap.DROP_REQUEST: MemoryFault.DROPPED,
    Mishap.DROP_RESPONSE: MemoryFault.ANSWER_LOST,
    Mishap.LATE_APPLY: MemoryFault.LATE,
    Mishap.SERVER_ERROR: MemoryFault.ANSWER_LOST,
    Mishap.THROTTLE: MemoryFault.THROTTLED,
}


class MemoryWorld:
    currency = "NOK"
    brand = None

    def __init__(self) -> None:
        self._next: MemoryFault | None = None
        self._serials = (f"4{n:011d}{n:04d}" for n in itertools.count(1))
        self.side = MemorySide("memory", lambda: NOW, fault=self._fault)

    def _fault(self, effect: Effect) -> MemoryFault | None:
        fault, self._next = self._next, None
        return fault

    def sell(self, amount_minor: int) -> CardRef:
        return self.side.sell(next(self._serials), amount_minor)

    def spend(self, card: CardRef, amount_minor: int) -> None:
        assert self.side.move(card.native_id or "", -amount_minor)

    def load(self, card: CardRef, amount_minor: int) -> None:
        assert self.side.move(card.native_id or "", amount_minor)

    def balance(self, card: CardRef) -> int:
        cards = self.side.cards.values()
        return next(
            c.balance_minor for c in cards if card.native_id == c.native_id or card.serial == c.serial
        )

    def unknown_card(self) -> CardRef:
        return CardRef("memory-0", self.new_serial())

    def new_serial(self) -> Serial:
        return Serial(next(self._serials))

    def fail_next(self, kind: Mishap) -> None:
        self._next = _FAULTS[kind]

    def settle_late(self) -> None:
        self.side.land_late()

    def unreachable(self) -> Side:
        return UnreachableSide("memory", lambda: NOW)


class UnreachableSide(MemorySide):
    def _count(self) -> None:
        raise NotSent("no connection to the side could be made")

    def identify(self) -> Identity:
        raise NotSent("no connection to the side could be made")


class TestMemory(SideContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()

    @pytest.fixture
    def side(self, world: MemoryWorld) -> MemorySide:
        return world.side
