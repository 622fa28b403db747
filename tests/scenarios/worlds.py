"""The two worlds that scenarios run in: sides in memory, and both sandboxes over loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine

from cli.build import Ledger, build_worker, directed, open_ledger
from cli.demo.control import Control
from cli.demo.control import Refused as TillRefused
from cli.demo.thread import sandbox_thread
from cli.emulators import SandboxOptions
from cli.sandbox_config import Pace, sandbox_toml
from cli.session import opened_sides, report_closed
from config.load import load
from connectors.api.card import CardRef
from connectors.api.effect import Effect, EffectKind, no_save
from connectors.api.settings import SideDirections
from connectors.memory import MemoryCard, MemoryFault
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.arrivals.match import Matcher
from sync.ledger.secrets.vault import Vault
from sync.model import Closing, FirstContact, LinkRules, Overdraft, SideRules
from sync.reconcile.brakes import Brake, BrakeLimits
from sync.reconcile.work import Link
from sync.worker.passes import PassReport, WorkerOptions
from sync.worker.worker import Worker
from tests.integration.shop import FLOW, SHOPIFY, Shop, hidden
from tests.support import Clock, MovesClock

STORE_NUMBER, ONLINE_CODE = "10002000300040{:02d}", "abcdefgh1234zz{:02d}"
#: A card that support makes in the shop's admin.
BY_HAND = "byhand0000001234"
NOK = "NOK"


class Refused(Exception):
    """The till, the checkout or the back office says no."""


@dataclass
class Known:
    """A card as the people in a scenario know it: its serial on each side, and its online id."""

    serials: dict[str, str] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)


class World(Protocol):
    """What people can do, and what can be seen. Amounts in minor units."""

    cards: dict[str, Known]
    rules: dict[str, object]

    @property
    def link(self) -> Link: ...
    @property
    def ledger(self) -> Ledger: ...
    def start(self) -> None: ...
    def sell(
        self, side: str, name: str, minor: int, expires_on: date | None, order: str, who: str
    ) -> None: ...
    def sell_to(self, name: str, minor: int, email: str) -> None: ...
    def make_online(self, name: str, minor: int) -> None: ...
    def messages(self) -> int: ...
    def lose_answer_to_message(self) -> None: ...
    def move(self, side: str, name: str, minor: int) -> None: ...
    def refund(self, name: str, minor: int) -> None: ...
    def set_status(self, side: str, name: str, status: str) -> None: ...
    def set_expiry(self, side: str, name: str, expires_on: date | None) -> None: ...
    def run_out(self, name: str) -> None: ...
    def generate(self, name: str) -> None: ...
    def fail(self, side: str, what: str, times: int) -> None: ...
    def mend(self, side: str) -> None: ...
    def sync(self) -> PassReport: ...
    def advance(self, seconds: float) -> None: ...
    def writes(self) -> int: ...
    def remove(self, side: str, name: str) -> None: ...

    def native(self, side: str, serial: Serial) -> str | None:
        """The side's own id of the card, as it truly is; a search may lag behind."""
        ...


def serial_on(world: World, side: str, name: str) -> Serial:
    """The card's serial on a side: known from the sale, or the number that the hub has given it."""
    known = world.cards[name]
    if side in known.serials:
        return Serial(known.serials[side])
    other = SHOPIFY if side == FLOW else FLOW
    return _given(world, side, other, name) or Serial(known.serials[other])


def _given(world: World, side: str, other: str, name: str) -> Serial | None:
    native = world.native(other, Serial(world.cards[name].serials[other]))
    if native is None:
        return None
    card_id = world.ledger.intake.card_of(other, CardRef(native))
    if card_id is None:
        return None
    return next((p.serial for p in world.link.store.load(card_id).presences if p.side == side), None)


# --- Memory -------------------------------------------------------------------------------------------------


class MemoryWorld:
    """Sides in memory, where time passes only when a scenario says so."""

    def __init__(self, engine: Engine, vault: Vault, clock: Clock) -> None:
        self.cards: dict[str, Known] = {}
        self.rules: dict[str, object] = {}
        #: Cards that a side has and does not show.
        self.hidden: dict[str, MemoryCard] = {}
        self._engine, self._vault, self._clock = engine, vault, clock
        self.shop: Shop

    def start(self) -> None:
        by_side = str(self.rules.get("first_contact", "ask"))
        can = hidden()
        if self.rules.get("no_serials_hidden"):
            can = replace(can, hides_serials=False)
        self.shop = Shop(
            self._engine,
            self._vault,
            self._clock,
            capabilities={SHOPIFY: replace(can, suspends_by_date=True)},
            rules=_side_rules(self.rules),
            first_contact=FirstContact.ASK if by_side in (FLOW, SHOPIFY) else FirstContact(by_side),
            first_contact_side=by_side if by_side in (FLOW, SHOPIFY) else None,
            serial_prefix=self.rules.get("prefix", "9900"),  # type: ignore[arg-type]
        )
        given = iter(range(1, 1000))
        self.shop.link = replace(self.shop.link, rules=_with_policies(self.shop.link.rules, self.rules))
        matcher = replace(
            self.shop.matcher,
            make_digits=lambda n: f"{next(given):0{n}d}",
        )
        if self.rules.get("tell"):
            matcher = replace(matcher, intake=replace(matcher.intake, contacts_since=self._clock()))
        limits = BrakeLimits(
            money_minor=self.rules.get("money_per_hour"),  # type: ignore[arg-type]
            card_money_minor=self.rules.get("money_per_card"),  # type: ignore[arg-type]
            cards=self.rules.get("cards_per_hour"),  # type: ignore[arg-type]
        )
        link = replace(self.shop.link, brake=Brake(limits, NOK))
        matcher = replace(matcher, link=link)
        self.shop.link, self.shop.matcher = link, matcher
        self.shop.worker = Worker(link, matcher, WorkerOptions(threads=1))

    def restart(self) -> None:
        """The same sides and ledger with other settings."""
        sides, faults = self.shop.sides, self.shop._faults
        self.start()
        self.shop.sides.update(sides)
        self.shop._faults = faults

    @property
    def link(self) -> Link:
        return self.shop.link

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.shop.engine, self.shop.vault)

    def sell(self, side: str, name: str, minor: int, expires_on: date | None, order: str, who: str) -> None:
        pattern = STORE_NUMBER if side == FLOW else ONLINE_CODE
        known = self.cards.setdefault(name, Known())
        serial = known.serials.setdefault(side, pattern.format(len(self.cards)))
        there = next((c for c in self.shop.sides[side].cards.values() if c.serial == Serial(serial)), None)
        if there is not None:
            there.status, there.balance_minor = CardStatus.ACTIVE, minor
            return
        ref = self.shop.sell(side, minor, serial, expires_on)
        if order:
            known.orders.append(order)
            details = {"order": order, "order_id": f"gid://shopify/Order/{order[1:]}", "shipping_name": who}
            self.shop.arrive(side, ref, last_chars=serial[-4:], details=details)

    def sell_to(self, name: str, minor: int, email: str) -> None:
        known = self.cards.setdefault(name, Known())
        serial = known.serials.setdefault(FLOW, STORE_NUMBER.format(len(self.cards)))
        self.shop.sides[FLOW].sell(serial, minor, contact=Contact(email))

    def make_online(self, name: str, minor: int) -> None:
        serial = self.cards.setdefault(name, Known()).serials.setdefault(SHOPIFY, BY_HAND)
        self.shop.sides[SHOPIFY].sell(serial, minor)

    def messages(self) -> int:
        return len(self.shop.sides[SHOPIFY].told)

    def lose_answer_to_message(self) -> None:
        left = [MemoryFault.ANSWER_LOST]

        def meets(effect: Effect) -> MemoryFault | None:
            return left.pop() if effect.kind is EffectKind.NOTIFY and left else None

        self.shop.sides[SHOPIFY]._fault = meets

    def move(self, side: str, name: str, minor: int) -> None:
        serial = serial_on(self, side, name)
        natives = [c.native_id for c in self.shop.sides[side].cards.values() if c.serial == serial]
        if not natives or not self.shop.sides[side].move(natives[0], minor):
            raise Refused

    def refund(self, name: str, minor: int) -> None:
        self.move(SHOPIFY, name, minor)

    def native(self, side: str, serial: Serial) -> str | None:
        cards = self.shop.sides[side].cards.values()
        return next((c.native_id for c in cards if c.serial == serial), None)

    def set_status(self, side: str, name: str, status: str) -> None:
        known = {s.value: s for s in CardStatus}
        native = self.shop.native(side, serial_on(self, side, name).reveal())
        self.shop.sides[side].set(native, status=known.get(status, CardStatus.ACTIVE))
        if status not in known:
            self.shop.sides[side].odd_statuses[native] = status
        else:
            self.shop.sides[side].odd_statuses.pop(native, None)
        if status == "closed" and side == FLOW:
            # Flow takes the balance as it clears a card.
            self.shop.sides[side].cards[native].balance_minor = 0

    def set_expiry(self, side: str, name: str, expires_on: date | None) -> None:
        native = self.shop.native(side, serial_on(self, side, name).reveal())
        self.shop.sides[side].cards[native].expires_on = expires_on
        self.shop.sides[side].set(native)

    def run_out(self, name: str) -> None:
        raise NotImplementedError("sides in memory end cards with a day")

    def generate(self, name: str) -> None:
        known = self.cards.setdefault(name, Known())
        known.serials[FLOW] = STORE_NUMBER.format(len(self.cards))
        self.shop.sides[FLOW].generate(known.serials[FLOW])

    def fail(self, side: str, what: str, times: int) -> None:
        self.shop.fail(side, *[MemoryFault(what)] * times)

    def mend(self, side: str) -> None:
        self.shop._faults[side].clear()

    def sync(self) -> PassReport:
        report: PassReport = self.shop.sync()
        return report

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def writes(self) -> int:
        return sum(len(side.writes) for side in self.shop.sides.values())

    def remove(self, side: str, name: str) -> None:
        del self.shop.sides[side].cards[self.shop.native(side, serial_on(self, side, name).reveal())]


def _side_rules(rules: dict[str, object]) -> dict[str, SideRules]:
    shopify = SideRules(suspends_by_date=True, notifies=bool(rules.get("tell")))
    if rules.get("upload") is False:
        shopify = SideRules(False, False, False, False, frozenset(), suspends_by_date=True)
    flow = SideRules(creates=rules.get("download") is not False)
    return {FLOW: flow, SHOPIFY: shopify}


def _with_policies(rules: LinkRules, said: dict[str, Any]) -> LinkRules:
    """The rules with what a scenario says of directions, suspension, closing and overdrafts."""
    directions = said.get("directions", {name: SideDirections() for name in rules.sides})
    sides = {name: directed(name, one, directions) for name, one in rules.sides.items()}
    sides[SHOPIFY] = replace(
        sides[SHOPIFY],
        suspends_as=said.get("suspends_as", CardStatus.SUSPENDED),
        lengthens=bool(said.get("lengthen")),
    )
    closing = said.get("closing", Closing.PROPAGATE)
    return replace(rules, sides=sides, closing=closing, overdraft=said.get("overdraft", Overdraft.ASK))


# --- Sandbox ------------------------------------------------------------------------------------------------


class SandboxWorld:
    """Both emulators over loopback, with the settings that `giftsync sandbox config` writes."""

    def __init__(self, flow: Control, shopify: Control, worker: Worker, ledger: Ledger) -> None:
        self.cards: dict[str, Known] = {}
        self.rules: dict[str, object] = {}
        self._flow, self._shopify, self._worker, self._ledger = flow, shopify, worker, ledger
        self._checkouts: dict[str, str] = {}
        #: As the settings of `giftsync sandbox config` make it.
        self._first = worker

    def start(self) -> None:
        link = self._first.link
        rules = dict(link.rules.sides)
        if self.rules.get("upload") is False:
            rules[SHOPIFY] = SideRules(False, False, False, False, frozenset(), suspends_by_date=True)
        if self.rules.get("download") is False:
            rules[FLOW] = replace(rules[FLOW], creates=False)
        rules[SHOPIFY] = replace(rules[SHOPIFY], notifies=bool(self.rules.get("tell")))
        by_side = str(self.rules.get("first_contact", "ask"))
        first = FirstContact.ASK if by_side in (FLOW, SHOPIFY) else FirstContact(by_side)
        winner = by_side if by_side in (FLOW, SHOPIFY) else None
        link = replace(link, rules=_with_policies(LinkRules(rules, first, winner), self.rules))
        if "money_per_card" in self.rules:
            limits = BrakeLimits(card_money_minor=self.rules["money_per_card"])  # type: ignore[arg-type]
            link = replace(link, brake=Brake(limits, NOK))
        matcher: Matcher = replace(self._worker.matcher, link=link)
        if self.rules.get("tell"):
            matcher = replace(matcher, intake=replace(matcher.intake, contacts_since=link.clock()))
        self._worker = replace(self._worker, link=link, matcher=matcher)

    @property
    def link(self) -> Link:
        return self._worker.link

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    def sell(self, side: str, name: str, minor: int, expires_on: date | None, order: str, who: str) -> None:
        known = self.cards.setdefault(name, Known())
        if side == FLOW:
            chosen = {"number": known.serials[FLOW]} if FLOW in known.serials else {}
            known.serials[FLOW] = self._flow.move("sell", minor, **chosen)["number"]
            if expires_on is not None:
                self.set_expiry(FLOW, name, expires_on)
        else:
            bought = self._shopify.move(
                "purchase", minor, name=who or "Ola Nordmann", email="ola@example.com"
            )
            known.serials[SHOPIFY] = bought["code"]

    def sell_to(self, name: str, minor: int, email: str) -> None:
        number = self._flow.move("sell", minor, email=email)["number"]
        self.cards.setdefault(name, Known()).serials[FLOW] = number

    def make_online(self, name: str, minor: int) -> None:
        serial = Serial(self.cards.setdefault(name, Known()).serials.setdefault(SHOPIFY, BY_HAND))
        made = Effect("by-hand", EffectKind.CREATE, CardRef(None, serial), NOK, amount_minor=minor)
        self.link.sides[SHOPIFY].apply(made, no_save)

    def messages(self) -> int:
        return int(self._shopify.stats()["notifications"])

    def lose_answer_to_message(self) -> None:
        rule = {"match": "giftCardSendNotification", "kind": "drop_response", "probability": 1}
        self._shopify.fail([rule], 7)

    def move(self, side: str, name: str, minor: int) -> None:
        serial = serial_on(self, side, name).reveal()
        try:
            if side == FLOW:
                self._flow.move("redeem" if minor < 0 else "deposit", abs(minor), number=serial)
            elif minor < 0:
                self._checkouts[name] = self._shopify.move("checkout", -minor, code=serial)["order_id"]
            else:
                self._apply(SHOPIFY, name, EffectKind.CREDIT, amount_minor=minor)
        except TillRefused:
            raise Refused from None

    def refund(self, name: str, minor: int) -> None:
        self._shopify.move("refund", minor, order_id=self._checkouts[name])

    def native(self, side: str, serial: Serial) -> str | None:
        control = self._flow if side == FLOW else self._shopify
        return next((c.id for c in control.cards() if Serial(c.serial) == serial), None)

    def set_status(self, side: str, name: str, status: str) -> None:
        if side == FLOW:
            words = {"active": "ACTIVE", "suspended": "BLOCKED", "closed": "CLEARED"}
            number = serial_on(self, side, name).reveal()
            self._flow.call("status", number=number, status=words.get(status, status))
        else:
            self._apply(side, name, EffectKind.SET_STATUS, status=CardStatus(status))

    def set_expiry(self, side: str, name: str, expires_on: date | None) -> None:
        if side == FLOW:
            at = None if expires_on is None else f"{expires_on - timedelta(0)}T22:59:59.000Z"
            self._flow.call("expire", number=serial_on(self, side, name).reveal(), valid_to=at)
        else:
            self._apply(side, name, EffectKind.SET_EXPIRY, expires_on=expires_on)

    def _apply(self, side: str, name: str, kind: EffectKind, **more: Any) -> None:
        """A person in the back office, through the same API."""
        serial = serial_on(self, side, name)
        native = self.native(side, serial)
        marker = f"by-hand-{len(self._checkouts)}-{self.writes()}"
        self.link.sides[side].apply(Effect(marker, kind, CardRef(native, serial), NOK, **more), no_save)

    def run_out(self, name: str) -> None:
        self._flow.call("expire", number=serial_on(self, FLOW, name).reveal())

    def generate(self, name: str) -> None:
        (card,) = self._flow.call("pregenerate", count=1)["cards"]
        self.cards.setdefault(name, Known()).serials[FLOW] = card["number"]

    def fail(self, side: str, what: str, times: int) -> None:
        kinds = {"answer_lost": "drop_response", "dropped": "drop_request"}
        control = self._flow if side == FLOW else self._shopify
        control.fail([{"match": "", "kind": kinds[what], "probability": 0.3}] if times else [], 7)

    def mend(self, side: str) -> None:
        (self._flow if side == FLOW else self._shopify).fail([], 0)

    def sync(self) -> PassReport:
        return self._worker.sync_once()

    def advance(self, seconds: float) -> None:
        raise NotImplementedError("the emulators' clocks do not move")

    def writes(self) -> int:
        return int(self._flow.stats()["mutations"]) + int(self._shopify.stats()["mutations"])

    def remove(self, side: str, name: str) -> None:
        raise NotImplementedError("no card is ever deleted in Shopify")


@contextmanager
def sandbox_world(folder: Path) -> Iterator[SandboxWorld]:
    """A sandbox of its own: the cards of one scenario must not be another's."""
    with sandbox_thread(SandboxOptions(plan="plus", till_customers=True)) as address:
        path = folder / "giftsync.toml"
        path.write_text(sandbox_toml(address, Pace(quiet_seconds=0, poll_seconds=1)), encoding="utf-8")
        settings = load(path)
        with opened_sides(settings) as sides, open_ledger(settings) as ledger:
            worker = build_worker(settings, ledger, sides, report_closed, WorkerOptions(threads=1))
            flow, shopify = Control(address.flow_url, NOK), Control(address.shopify_url, NOK)
            yield SandboxWorld(flow, shopify, worker, ledger)


def minor_of(text: str) -> int:
    """`120.50` in minor units."""
    return int(Decimal(text) * 100)


__all__ = ["MemoryWorld", "MovesClock", "Refused", "SandboxWorld", "World", "minor_of", "sandbox_world"]
