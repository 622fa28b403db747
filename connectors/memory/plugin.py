"""The connector type `memory`: a side that lives in this process, for tests and trials. It forgets
everything."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import uuid4

from connectors.api.abilities import Abilities
from connectors.api.build import BuildContext
from connectors.api.capabilities import Place
from connectors.api.plugin import ConnectorType
from connectors.api.settings import Currency, SideSection, Text, form
from connectors.api.trial import Till, TillCard
from connectors.memory.side import MemorySide
from mappings.lifecycle import CardStatus

#: The stand-ins of this process, by the name in the settings.
_STORES: Final[dict[str, MemorySide]] = {}
_LOCK: Final = threading.Lock()


class MemorySection(SideSection):
    """A side in the memory of this process. Its cards are gone when the process ends: for trials only."""

    store: Annotated[Text, form("a name of your own")] = "memory"
    """Which store of this process it is. Two sides with the same one would share their cards."""

    store_currency: Currency = "NOK"
    """The currency of its cards."""


def build(section: MemorySection, context: BuildContext) -> MemorySide:
    """The side with the cards of its store."""
    with _LOCK:
        side = _STORES.get(section.store)
        if side is None:
            side = MemorySide(context.name, context.clock, currency=section.store_currency)
            side.abilities = Abilities(place=Place(context.name, context.name))
            _STORES[section.store] = side
        return side


class MemoryTill:
    """People who use the cards of a store in memory."""

    def __init__(self, side: MemorySide) -> None:
        self._side = side
        self._lock = threading.Lock()
        self._sold = 0

    def sell(self, amount_minor: int) -> str:
        with self._lock:
            self._sold += 1
            number = f"88{self._sold:014d}"
        self._side.sell(number, amount_minor)
        return number

    def spend(self, serial: str, amount_minor: int) -> bool:
        return self._move(serial, -amount_minor)

    def load(self, serial: str, amount_minor: int) -> bool:
        return self._move(serial, amount_minor)

    def cards(self) -> list[TillCard]:
        return [
            TillCard(one.native_id, one.serial.reveal(), one.balance_minor, one.status is CardStatus.ACTIVE)
            for one in list(self._side.cards.values())
        ]

    def _move(self, serial: str, amount_minor: int) -> bool:
        found = next((one for one in self.cards() if one.serial == serial), None)
        return found is not None and self._side.move(found.native_id, amount_minor)


class MemoryTrial:
    """A store of its own for one trial."""

    def __init__(self, currency: str) -> None:
        self._store = f"trial-{uuid4().hex}"
        self.settings: Mapping[str, object] = {
            "connector": "memory",
            "store": self._store,
            "store_currency": currency,
        }
        side = MemorySide("memory", lambda: datetime.now(UTC), currency=currency)
        side.abilities = Abilities(place=Place("Memory", "Memory", where="memory", at="in memory"))
        with _LOCK:
            _STORES[self._store] = side
        self.till: Till = MemoryTill(side)

    def close(self) -> None:
        with _LOCK:
            _STORES.pop(self._store, None)


CONNECTOR: Final = ConnectorType(
    name="memory",
    title="Memory",
    section=MemorySection,
    build=build,
    trial=MemoryTrial,
    in_template=False,
)
