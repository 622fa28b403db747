"""The X-Series connector keeps the whole contract, over loopback and through a proxy that loses answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors.api.build import BuildContext
from connectors.api.card import CardRef, Seen, Unreadable
from connectors.api.doctor import Expectations, ProbeContext, Verdict
from connectors.api.effect import Effect, EffectKind, Found, NotFound
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed, Throttled
from connectors.api.tokens import AccessToken
from connectors.kit.contract import SideContract, contract_for
from connectors.kit.fault_proxy import FaultProxy, ProxyFault
from connectors.kit.oauth import AppTokens, renewed
from connectors.kit.renewal import PermanentToken, RenewedToken, TokenSource
from connectors.kit.world import Mishap, Saved, drain, marker, no_pause, observe, seen
from connectors.lightspeed_x.plugin import CONNECTOR, LightspeedXSection
from connectors.lightspeed_x.side import NEW_CARDS, LightspeedXSide
from connectors.registry import connector_type
from mappings.lifecycle import CardStatus
from sandbox.lightspeed_x import LightspeedXBehaviour, LightspeedXEmulator
from sandbox.lightspeed_x.emulator import READ, TOKEN_PATH, TOKEN_SECONDS, WINDOW_SECONDS

from .emulated_world import EmulatedWorld, number_of
from .examined import Notes
from .loopback import Loopback, serve

TOKEN = "x-contract-token"


def context_of(clock: Any = None) -> BuildContext:
    return BuildContext(
        name="lightspeed",
        timezone="Europe/Oslo",
        currency="NOK",
        clock=clock or (lambda: datetime.now(UTC)),
        pause=no_pause,
        shelf=lambda kind, given_to: Shelf(),
    )


def side_at(
    url: str, tokens: TokenSource | None = None, *, once: bool = True, clock: Any = None
) -> LightspeedXSide:
    return LightspeedXSide(
        url,
        tokens or PermanentToken(TOKEN),
        context_of(clock),
        identity="lightspeed-x:sandbox",
        currency="NOK",
        client_id_applies_once=once,
        letters_in_numbers=False,
    )


class XWorld(EmulatedWorld):
    """The retailer, its customers, and the accidents on the way to it."""

    emulator: LightspeedXEmulator

    def __init__(self, emulator: LightspeedXEmulator, loopback: Loopback, proxy: FaultProxy) -> None:
        super().__init__(emulator, loopback, proxy)
        self.side = side_at(proxy.url)

    def balance(self, card: CardRef) -> int:
        wanted = {card.native_id, card.serial.reveal() if card.serial else None}
        (cents,) = [c.cents for c in self.emulator.retailer.cards.values() if {c.id, c.number} & wanted]
        return cents

    def unknown_card(self) -> CardRef:
        return CardRef("4c0d7f0e-0000-4000-8000-000000000000", self.new_serial())

    def odd_status(self, card: CardRef) -> None:
        self.control("status", {"number": number_of(card), "status": "FROZEN"})

    def unreachable(self) -> LightspeedXSide:
        return side_at("http://127.0.0.1:9")


@contextmanager
def x_world(**switches: Any) -> Iterator[XWorld]:
    emulator = LightspeedXEmulator(
        token=TOKEN, refresh="first-refresh", behaviour=LightspeedXBehaviour(**switches)
    )
    with serve(emulator.application()) as loopback, FaultProxy(loopback.url).served() as proxy:
        world = XWorld(emulator, loopback, proxy)
        yield world
        world.side.close()


TestLightspeedX = contract_for(x_world)
HELP = SideContract()


class Shelf:
    """One token, as the ledger keeps it."""

    def __init__(self) -> None:
        self.token: AccessToken | None = None

    def load(self) -> AccessToken | None:
        return self.token

    def save(self, token: AccessToken, replaces: int | None = None) -> AccessToken | None:
        version = self.token.version if self.token else 0
        if replaces is not None and replaces != version:
            return None
        self.token = replace(token, version=version + 1)
        return self.token

    @contextmanager
    def lock(self, *, blocking: bool) -> Iterator[bool]:
        yield True

    def close(self) -> None:
        return


@pytest.mark.parametrize("fault", [f for f in ProxyFault if f is not ProxyFault.SLOW])
@pytest.mark.parametrize("at_write", [1, 2])
def test_given_any_accident_at_either_half_of_a_create_then_there_is_one_card_with_all_its_money(
    fault: ProxyFault, at_write: int
) -> None:
    with x_world() as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        writes = iter([*[False] * (at_write - 1), True])
        world.proxy.fail_next(fault, lambda method, path: method == "POST" and next(writes, False))

        with suppress(InDoubt, Throttled):
            world.side.apply(effect, saved)
        world.settle_late()
        again = replace(effect, progress=saved.progress)
        applied = world.side.apply(again, saved)

        assert world.side.find(again) == Found(1, applied.native_id, _line(world, applied.native_id))
        assert world.balance(CardRef(applied.native_id)) == 250_00
        assert seen(world.side, CardRef(applied.native_id)).created_by == effect.marker
        assert len(world.emulator.retailer.cards) == 1


def _line(world: XWorld, native_id: str) -> str:
    return world.emulator.retailer.cards[native_id].transactions[1].id


def test_given_a_card_that_a_cashier_sold_under_the_number_then_a_create_takes_nothing_over() -> None:
    with x_world() as world:
        card = world.sell(249_99)
        assert card.serial is not None
        effect = HELP.create(world, card.serial, 250_00)
        with pytest.raises(Refused) as caught:
            world.side.apply(replace(effect, progress={"sent": "yes"}), Saved())

        assert caught.value.reason is Refusal.TAKEN
        assert world.balance(card) == 249_99
        assert world.side.find(effect) == NotFound()


def test_given_client_ids_that_are_forgotten_then_a_repetition_reads_first_and_moves_nothing() -> None:
    with x_world(client_id_seconds=0.0) as world:
        card = world.sell(100_00)
        effect, saved = HELP.debit(world, card, 30_00), Saved()
        world.fail_next(Mishap.DROP_RESPONSE)
        with pytest.raises(InDoubt):
            world.side.apply(effect, saved)
        world.side.apply(replace(effect, progress=saved.progress), saved)

        assert world.balance(card) == 70_00


def test_given_a_create_of_two_requests_then_the_book_has_it_once_with_all_of_its_value() -> None:
    with x_world() as world:
        effect = Effect(marker(), EffectKind.CREATE, CardRef(serial=world.new_serial()), "NOK", 100_00)
        world.side.apply(effect, Saved())

        shown = seen(world.side, effect.card, entries=True)
        assert [(one.marker, one.amount_minor) for one in shown.entries or ()] == [(effect.marker, 100_00)]


def test_given_a_voided_card_then_it_is_closed_and_shows_what_it_held() -> None:
    with x_world() as world:
        card = world.sell(100_00)
        world.spend(card, 30_00)
        effect = Effect(marker(), EffectKind.SET_STATUS, card, "NOK", status=CardStatus.CLOSED)
        world.side.apply(effect, Saved())

        shown = seen(world.side, card, entries=True)
        assert (shown.status, shown.balance_minor) == (CardStatus.CLOSED, 70_00)
        assert shown.entries is not None
        assert sum(one.amount_minor for one in shown.entries) == 70_00


@pytest.mark.parametrize("at", ["end", "start"])
def test_given_an_expiry_then_it_never_reads_later_than_it_was_written(at: str) -> None:
    with x_world(expires_at_is=at) as world:
        wanted = date(2031, 5, 17)
        effect = replace(HELP.create(world, world.new_serial(), 10_00), expires_on=wanted)
        made = world.side.apply(effect, Saved())

        shown = seen(world.side, CardRef(made.native_id))
        assert shown.expires_on == (wanted if at == "end" else date(2031, 5, 16))
        world.control("clock", {"now": "2031-05-19T12:00:00+00:00"})
        gone = seen(world.side, CardRef(made.native_id), entries=True)
        assert (gone.status, gone.balance_minor) == (CardStatus.ACTIVE, 10_00)
        with pytest.raises(Refused) as caught:
            world.side.apply(HELP.debit(world, CardRef(made.native_id), 1_00), Saved())
        assert caught.value.reason is Refusal.EXPIRED


def test_given_amounts_that_are_numbers_then_no_balance_is_believed() -> None:
    with x_world(legacy_amounts=True) as world:
        assert isinstance(observe(world.side, world.sell(100_00)), Unreadable)


def test_given_a_used_up_limit_then_it_waits_as_told_and_keeps_the_rest_for_payments() -> None:
    with x_world() as world:
        card = world.sell(10_00)
        for _ in range(263):
            observe(world.side, card)
        with pytest.raises(Throttled, match="kept for payments"):
            list(world.side.observe([card], urgent=False))
        for _ in range(87):
            observe(world.side, card)
        with pytest.raises(Throttled) as caught:
            world.side.apply(HELP.debit(world, card, 1_00), Saved())
        assert 200 < caught.value.wait_seconds <= WINDOW_SECONDS
        assert world.balance(card) == 10_00


def test_given_more_cards_than_a_page_then_the_feed_tells_each_and_goes_on_from_there() -> None:
    with x_world() as world:
        sold = {world.sell(10_00).native_id for _ in range(205)}
        hints, cursor = drain(world.side.hints(NEW_CARDS, None))
        assert {hint.card.native_id for hint in hints} == sold
        assert all(hint.sold_here for hint in hints)
        assert list(world.side.hints(NEW_CARDS, cursor)) == []
        late = world.sell(20_00)
        hints, _ = drain(world.side.hints(NEW_CARDS, cursor))
        assert [hint.card.native_id for hint in hints] == [late.native_id]


def test_given_a_token_of_a_day_then_it_is_renewed_in_time_and_each_refresh_is_used_once() -> None:
    with x_world() as world:
        shelf = Shelf()
        clock = world.emulator.clock.wall

        def source() -> RenewedToken:
            tokens = AppTokens(
                "Lightspeed", world.proxy.url, TOKEN_PATH, "sandbox-app", "sandbox-secret", clock
            )
            return renewed(tokens, shelf, "first-refresh")

        for _ in range(3):
            # A process of its own each day: the next refresh token is on the shelf.
            side = side_at(world.proxy.url, source(), clock=clock)
            assert side.identify().identity == "lightspeed-x:sandbox"
            side.close()
            world.control("clock", {"pass_s": TOKEN_SECONDS})
        asked = [path for _, path in world.proxy.seen if path == TOKEN_PATH]
        assert len(asked) == 3
        shelf.token = None
        stale = side_at(world.proxy.url, source(), clock=clock)
        with pytest.raises(SideClosed, match="gives no access token"):
            stale.identify()
        stale.close()


def test_given_a_token_without_a_scope_then_the_side_is_closed_and_says_which_scopes_it_needs() -> None:
    with x_world() as world:
        card = world.sell(10_00)
        world.emulator.scopes = frozenset({READ})
        assert isinstance(observe(world.side, card), Seen)
        with pytest.raises(SideClosed) as caught:
            world.side.apply(HELP.debit(world, card, 1_00), Saved())
        assert "gift_cards:write:redeem" in caught.value.remedy


@pytest.mark.parametrize(("seconds", "verdict"), [(86_400.0, Verdict.OK), (0.0, Verdict.WARNING)])
def test_given_a_probe_then_it_tells_whether_a_client_id_counts_once_and_puts_the_card_back(
    seconds: float, verdict: Verdict
) -> None:
    with x_world(client_id_seconds=seconds) as world:
        card = world.sell(10_00)
        assert card.serial is not None
        side = side_at(world.proxy.url, once=False)
        context = ProbeContext(card.serial, Notes(), 0.0, marker)

        findings = {one.point: one for one in side.probe(context)}

        assert findings["client_id_applies_once"].verdict is verdict
        assert findings["probe"].verdict is Verdict.OK
        assert world.balance(card) == 10_00
        report = side.examine(Expectations("NOK", "Europe/Oslo", card=card.serial))
        assert {one.point: one.verdict for one in report.findings} == {
            "access": Verdict.OK,
            "limit": Verdict.OK,
            "card": Verdict.OK,
            "client_id_applies_once": Verdict.WARNING,
        }
        side.close()


def test_given_its_table_then_a_side_is_made_and_what_is_proved_is_on() -> None:
    assert connector_type("lightspeed-x").title == "Lightspeed X-Series"
    section = LightspeedXSection.model_validate(
        {"connector": "lightspeed-x", "prefix": "shop", "currency": "NOK", "token": "secret"}
    )
    plain = CONNECTOR.build(section, context_of())
    proved = CONNECTOR.build(
        section, replace(context_of(), proved=lambda identity: ["client_id_applies_once"])
    )
    assert not plain.capabilities.applies_marker_once
    assert proved.capabilities.applies_marker_once
    with pytest.raises(ValueError, match="token"):
        LightspeedXSection.model_validate({"connector": "lightspeed-x", "prefix": "shop", "currency": "NOK"})
