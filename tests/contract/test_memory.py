"""The memory side keeps the contract, so that what holds over it holds over a real side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from connectors.api.abilities import Abilities
from connectors.api.bulk import Listed
from connectors.api.capabilities import Identity
from connectors.api.card import CardRef, Seen
from connectors.api.effect import Applied, Effect, no_save
from connectors.api.errors import NotSent, SideError
from connectors.api.side import Side
from connectors.kit.contract import contract_for
from connectors.kit.world import Mishap
from connectors.memory import CAPABILITIES, MemoryFault, MemorySide
from mappings.contact import Contact
from mappings.serials import Serial

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
    buyer = Contact("kari@example.com")
    capabilities = CAPABILITIES

    def __init__(self) -> None:
        self._next: MemoryFault | None = None
        self._serials = (f"4{n:011d}{n:04d}" for n in itertools.count(1))
        self.side = MemorySide("memory", lambda: NOW, capabilities=self.capabilities, fault=self._fault)

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

    def odd_status(self, card: CardRef) -> None:
        self.side.odd_statuses[card.native_id or ""] = "FROZEN"

    def messages(self) -> int:
        return len(self.side.told)

    def unreachable(self) -> Side:
        return UnreachableSide("memory", lambda: NOW)


class UnreachableSide(MemorySide):
    def _count(self) -> None:
        raise NotSent("no connection to the side could be made")

    def identify(self) -> Identity:
        raise NotSent("no connection to the side could be made")


class MemoryBulk:
    """Lists the cards of a side in memory, and makes several at once."""

    def __init__(self, side: MemorySide) -> None:
        self._side = side

    def creation_limit(self) -> tuple[int, str] | None:
        return None

    def list_cards(self, on_progress: Callable[[int], None]) -> Iterator[Listed]:
        refs = [CardRef(native_id) for native_id in self._side.cards]
        for seen in self._side.observe(refs):
            assert isinstance(seen, Seen)
            yield Listed(seen, bought=True)

    def details_of(self, native_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        return {}

    def pack_size(self, threads: int) -> int:
        return 2

    def create_pack(self, effects: Sequence[Effect]) -> list[Applied | SideError]:
        return [self._made(effect) for effect in effects]

    def _made(self, effect: Effect) -> Applied | SideError:
        try:
            return self._side.apply(effect, no_save)
        except SideError as error:
            return error


class BulkWorld(MemoryWorld):
    """A side that lists its cards and makes several at once."""

    lists_now = True

    def __init__(self) -> None:
        super().__init__()
        bulk = MemoryBulk(self.side)
        self.side.abilities = Abilities(lister=bulk, pack_creator=bulk)


TestMemory = contract_for(MemoryWorld)
TestMemoryBulk = contract_for(BulkWorld)


class OnceWorld(MemoryWorld):
    """A side that applies each marker at most once."""

    capabilities = replace(CAPABILITIES, applies_marker_once=True)


TestMemoryOnce = contract_for(OnceWorld)


class AssigningWorld(MemoryWorld):
    """The side gives each card that it makes a number of its own choice."""

    capabilities = replace(CAPABILITIES, assigns_numbers=True)


TestMemoryAssigning = contract_for(AssigningWorld)
