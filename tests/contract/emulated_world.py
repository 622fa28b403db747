"""An emulated system as the contract suite needs it: its people, and the accidents on the way to it."""

from __future__ import annotations

from typing import Any

from connectors.api.card import CardRef
from connectors.kit.fault_proxy import FaultProxy
from connectors.kit.world import PROXY_FAULTS, Mishap
from mappings.serials import Serial
from tests.contract.loopback import Loopback


def number_of(card: CardRef) -> str:
    assert card.serial is not None
    return card.serial.reveal()


class EmulatedWorld:
    """Its control calls are what people do. Subclasses say what only their system has."""

    currency = "NOK"
    brand = None
    #: What the calls name a number by, and the one that puts money on a card.
    number_key, load_call = "number", "load"
    #: Numbers that no card of the emulator has.
    new_number = "99{:014d}"

    def __init__(self, emulator: Any, loopback: Loopback, proxy: FaultProxy) -> None:
        self.emulator, self.loopback, self.proxy = emulator, loopback, proxy
        self._numbers = 0

    def control(self, name: str, body: dict[str, object]) -> dict[str, Any]:
        made: dict[str, Any] = self.loopback.run(self.emulator._calls()[name](body))
        return made

    def sell(self, amount_minor: int, **more: object) -> CardRef:
        made = self.control("sell", {"amount": f"{amount_minor / 100:.2f}", **more})
        return CardRef(made["id"], Serial(made[self.number_key]))

    def spend(self, card: CardRef, amount_minor: int) -> None:
        self._move("redeem", card, amount_minor)

    def load(self, card: CardRef, amount_minor: int) -> None:
        self._move(self.load_call, card, amount_minor)

    def _move(self, call: str, card: CardRef, amount_minor: int) -> None:
        self.control(call, {self.number_key: number_of(card), "amount": f"{amount_minor / 100:.2f}"})

    def new_serial(self) -> Serial:
        self._numbers += 1
        return Serial(self.new_number.format(self._numbers * 7919))

    def writes(self, method: str, path: str) -> bool:
        return method != "GET"

    def reads(self, method: str, path: str) -> bool:
        return not self.writes(method, path)

    def fail_next(self, kind: Mishap) -> None:
        self.proxy.fail_next(PROXY_FAULTS[kind], self.writes)

    def fail_read(self, kind: Mishap) -> None:
        self.proxy.fail_next(PROXY_FAULTS[kind], self.reads)

    def settle_late(self) -> None:
        self.proxy.land_late()
