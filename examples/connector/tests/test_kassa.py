"""Kassa keeps the contract of giftsync: over HTTP, through a proxy that loses and breaks what is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from giftsync_kassa import KassaSide

from connectors.api.build import BuildContext
from connectors.api.card import CardRef
from connectors.kit.contract import contract_for
from connectors.kit.fault_proxy import FaultProxy
from connectors.kit.till import SimulatedTill
from connectors.kit.world import PROXY_FAULTS, Mishap, no_pause
from connectors.registry import connector_type
from mappings.serials import Serial


def side_at(url: str) -> KassaSide:
    context = BuildContext(
        name="kassa",
        timezone="Europe/Oslo",
        currency="NOK",
        clock=lambda: datetime.now(UTC),
        pause=no_pause,
        shelf=lambda kind, given_to: (_ for _ in ()).throw(AssertionError("Kassa keeps no token")),
    )
    return KassaSide(url, "till-token", context)


class KassaWorld:
    """The till, its customers, and the accidents on the way to it."""

    currency = "NOK"
    brand = None

    def __init__(self, till: SimulatedTill, proxy: FaultProxy) -> None:
        self.till, self.proxy = till, proxy
        self.side = side_at(proxy.url)

    def sell(self, amount_minor: int) -> CardRef:
        number = self.till.sell(amount_minor)
        (native_id,) = [one.native_id for one in self.till.cards() if one.serial == number]
        return CardRef(native_id, Serial(number))

    def spend(self, card: CardRef, amount_minor: int) -> None:
        assert self.till.spend(_number(card), amount_minor)

    def load(self, card: CardRef, amount_minor: int) -> None:
        assert self.till.load(_number(card), amount_minor)

    def balance(self, card: CardRef) -> int:
        wanted = {card.native_id, card.serial.reveal() if card.serial else None}
        (minor,) = [one.balance_minor for one in self.till.cards() if {one.native_id, one.serial} & wanted]
        return minor

    def unknown_card(self) -> CardRef:
        return CardRef("card-0", self.new_serial())

    def new_serial(self) -> Serial:
        return Serial(self.till.new_number())

    def fail_next(self, kind: Mishap) -> None:
        self.proxy.fail_next(PROXY_FAULTS[kind])

    def fail_read(self, kind: Mishap) -> None:
        self.proxy.fail_next(PROXY_FAULTS[kind], lambda method, path: method == "GET")

    def odd_status(self, card: CardRef) -> None:
        self.till.set_status(_number(card), "frozen")

    def settle_late(self) -> None:
        self.proxy.land_late()

    def unreachable(self) -> KassaSide:
        return side_at("http://127.0.0.1:9")


def _number(card: CardRef) -> str:
    assert card.serial is not None
    return card.serial.reveal()


@contextmanager
def kassa_world() -> Iterator[KassaWorld]:
    with SimulatedTill().served() as till, FaultProxy(till.url).served() as proxy:
        yield KassaWorld(till, proxy)


TestKassa = contract_for(kassa_world)


def test_giftsync_finds_the_connector_by_its_entry_point() -> None:
    assert connector_type("kassa").title == "Kassa"
