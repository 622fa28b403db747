"""The Shopify connector keeps the contract, over a real loopback connection to the emulated shop."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from connectors.api.card import CardRef
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, Found, NotFound
from connectors.api.errors import (
    InDoubt,
    NotSent,
    Refusal,
    Refused,
    SideClosed,
    SideError,
    Throttled,
)
from connectors.api.side import Side
from connectors.kit.contract import SideContract
from connectors.kit.world import EXPIRY, Mishap, Saved, World, drain, marker, seen
from connectors.shopify import ShopifySide
from connectors.shopify.operations import PACK_MAX
from connectors.shopify.reads import FIRST_ENTRIES
from connectors.shopify.side import VERSIONS
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor, minor_from_decimal
from mappings.serials import Serial
from sandbox.faults import Fault, FaultKind
from sandbox.shopify import ShopifyBehaviour, ShopifyEmulator

from .loopback import FailOnce, Inbox, LateGate, Loopback, closed_port, serve, settle

SHOP = "kaffe.myshopify.com"
TOKEN = "shpat_contract"
SECRET = "not asked for here"
STARTED_AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Time:
    """One clock for the shop and the connector; only waiting moves it on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def clock(self) -> datetime:
        return STARTED_AT + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds


class ShopifyWorld(World):
    """Shoppers in the emulated shop, and the staff who credit cards in its admin."""

    currency = "NOK"
    brand = None
    lists_now = True

    def __init__(self, emulator: ShopifyEmulator, loopback: Loopback, time: Time) -> None:
        self.emulator = emulator
        self.loopback = loopback
        self.time = time
        self._codes: dict[str, str] = {}

    def side(self, **settings: Any) -> ShopifySide:
        known = {
            "shop": SHOP,
            "token": TOKEN,
            "base_url": self.loopback.url,
            "pause": self.time.pause,
            "clock": self.time.clock,
            "monotonic": self.time.monotonic,
        }
        return ShopifySide(**{**known, **settings})

    def call(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        response = requests.post(f"{self.loopback.url}/_sandbox/{name}", json=body, timeout=10)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def sell(self, amount_minor: int) -> CardRef:
        bought = self.call(
            "purchase",
            {"amount": self._decimal(amount_minor), "name": "Kari Nordmann", "email": "kari@example.com"},
        )
        self._codes[bought["id"]] = bought["code"]
        return CardRef(native_id=bought["id"])

    def spend(self, card: CardRef, amount_minor: int) -> None:
        code = self._codes[card.native_id or ""]
        self.call("checkout", {"code": code, "amount": self._decimal(amount_minor)})

    def load(self, card: CardRef, amount_minor: int) -> None:
        amount = f'{{amount: "{self._decimal(amount_minor)}", currencyCode: {self.currency}}}'
        document = f"""mutation {{
            giftCardCredit(id: "{card.native_id}", creditInput: {{creditAmount: {amount}}}) {{
                userErrors {{ message }}
            }}
        }}"""
        response = requests.post(
            f"{self.loopback.url}/admin/api/2026-10/graphql.json",
            json={"query": document},
            headers={"X-Shopify-Access-Token": TOKEN},
            timeout=10,
        )
        assert response.json()["data"]["giftCardCredit"]["userErrors"] == []

    def cards(self) -> list[dict[str, Any]]:
        """The ground truth."""
        rows: list[dict[str, Any]] = requests.get(f"{self.loopback.url}/_sandbox/cards", timeout=10).json()
        return rows

    def balance(self, card: CardRef) -> int:
        (row,) = [row for row in self.cards() if row["id"] == card.native_id]
        return minor_from_decimal(row["balance"], self.currency)

    def unknown_card(self) -> CardRef:
        return CardRef(native_id="gid://shopify/GiftCard/999999999999999")

    def new_serial(self) -> Serial:
        return Serial(uuid.uuid4().hex[:16])

    def fail_next(self, kind: Mishap) -> None:
        self._fail("mutation", kind)

    def fail_read(self, kind: Mishap) -> None:
        self._fail("query", kind)

    def _fail(self, operation: str, kind: Mishap) -> None:
        fault = Fault(FaultKind(kind), applied=True, delay_ms=0)
        self.emulator.faults = FailOnce(match=operation, fault=fault)

    @property
    def lists_payments(self) -> bool:
        return self.emulator.behaviour.checkout_in_transactions

    def settle_late(self) -> None:
        settle(self.loopback, self.emulator)
        # Searches lag writes by up to a minute (shopify.md §3.1).
        self.time.pause(60)

    def unreachable(self) -> Side:
        return self.side(base_url=f"http://127.0.0.1:{closed_port()}")

    def _decimal(self, amount_minor: int) -> str:
        return decimal_from_minor(amount_minor, self.currency)


#: What the facts leave open (shopify.md §11), decided against the connector and in its favour.
LEAST_HELPFUL = ShopifyBehaviour()
MOST_HELPFUL = ShopifyBehaviour(
    search_lag_s=0,
    updated_at_moves_on_credit_debit=True,
    updated_at_moves_on_checkout=True,
    updated_at_moves_on_refund=True,
    checkout_in_transactions=True,
    refund_in_transactions=True,
    receipt_json="object",
)


@contextmanager
def opened_shop(**settings: Any) -> Iterator[ShopifyWorld]:
    """An emulated shop on a loopback port, whose time is the connector's."""
    time = Time()
    emulator = ShopifyEmulator(
        shop=SHOP,
        token=TOKEN,
        api_secret=SECRET,
        currency=ShopifyWorld.currency,
        clock=time.clock,
        monotonic=time.monotonic,
        **settings,
    )
    emulator.wait_late = LateGate()
    with serve(emulator.application()) as loopback:
        yield ShopifyWorld(emulator, loopback, time)


class DeliveringShop(ShopifyWorld):
    """A shop that delivers webhooks to giftsync and writes to buyers."""

    buyer = Contact("kari@example.com")
    signs_bodies = True

    def __init__(self, shop: ShopifyWorld, inbox: Inbox) -> None:
        super().__init__(shop.emulator, shop.loopback, shop.time)
        self._inbox = inbox

    def side(self, **settings: Any) -> ShopifySide:
        return super().side(**{"webhook_secrets": (SECRET,), "notifies": True, **settings})

    def delivery(self, card: CardRef) -> tuple[Mapping[str, str], bytes]:
        """Of a payment, by its order: the connector asks which card it was."""
        side = self.side()
        side.subscribe(self._inbox.url)
        side.close()
        self.spend(card, 1)
        self.call("deliver", {})
        return next(one for one in self._inbox.came if one[0]["x-shopify-topic"] == "orders/paid")

    def messages(self) -> int:
        state = self.emulator.state
        assert state is not None
        return sum(len(card.notifications or ()) for card in state.cards)


@contextmanager
def delivering_shop() -> Iterator[DeliveringShop]:
    behaviour = replace(MOST_HELPFUL, webhooks_https_only=False)
    with opened_shop(behaviour=behaviour) as shop, Inbox("/webhooks/shopify").served() as inbox:
        yield DeliveringShop(shop, inbox)


SHOPS = {
    "least helpful": lambda: opened_shop(behaviour=LEAST_HELPFUL),
    "most helpful": lambda: opened_shop(behaviour=MOST_HELPFUL),
    "delivers webhooks": delivering_shop,
}


class TestShopify(SideContract):
    """What every side promises, of Shopify."""

    @pytest.fixture(params=SHOPS)
    def world(self, request: pytest.FixtureRequest) -> Iterator[ShopifyWorld]:
        with SHOPS[request.param]() as world:
            yield world

    @pytest.fixture
    def side(self, world: ShopifyWorld) -> Iterator[Side]:
        side = world.side()
        yield side
        side.close()

    # What only Shopify has.

    def test_a_create_in_doubt_settles_once_the_search_has_caught_up(
        self, side: Side, world: ShopifyWorld
    ) -> None:
        """The answer is lost and the search lags: sending the create again must not make a second card."""
        if world.emulator.behaviour.search_lag_s == 0:
            pytest.skip("the search does not lag")
        effect, saved = self.create(world, world.new_serial(), 250_00), Saved()
        world.fail_next(Mishap.DROP_RESPONSE)
        with pytest.raises(InDoubt):
            side.apply(effect, saved)
        assert side.find(effect) == NotFound()

        with pytest.raises(InDoubt):
            side.apply(effect, saved)
        world.settle_late()

        applied = side.apply(effect, saved)
        assert side.find(effect) == Found(1, applied.native_id)
        assert len(world.cards()) == 1

    def test_a_card_sold_online_comes_with_its_order(self, side: Side, world: ShopifyWorld) -> None:
        card = world.sell(100_00)

        hints, _ = drain(side.hints("new_cards", None))

        (hint,) = hints
        assert (hint.card, hint.sold_here, hint.created_by) == (card, True, None)
        assert hint.details["order"]
        assert hint.details["shipping_name"] == "Kari Nordmann"

    def test_a_payment_is_hinted_at_by_its_order(self, side: Side, world: ShopifyWorld) -> None:
        card = world.sell(100_00)
        _, cursor = drain(side.hints("orders", None))
        world.time.pause(300)
        world.spend(card, 30_00)

        hints, _ = drain(side.hints("orders", cursor))

        assert [hint.card for hint in hints] == [card]

    def test_a_card_that_giftsync_made_is_told_apart(self, side: Side, world: ShopifyWorld) -> None:
        effect = self.create(world, world.new_serial(), 250_00)
        applied = side.apply(effect, Saved())

        hints, _ = drain(side.hints("new_cards", None))

        (hint,) = hints
        assert (hint.card.native_id, hint.created_by) == (applied.native_id, effect.marker)
        assert not hint.sold_here

    def test_all_entries_are_read_however_many(self, side: Side, world: ShopifyWorld) -> None:
        card = world.sell(100_00)
        effects = [self.credit(world, card, 1 + number) for number in range(FIRST_ENTRIES + 3)]
        for effect in effects:
            side.apply(effect, Saved())

        observation = seen(side, card, entries=True)

        assert observation.entries is not None
        assert [entry.marker for entry in observation.entries] == [effect.marker for effect in effects]
        assert observation.balance_minor == 100_00 + sum(effect.amount_minor for effect in effects)
        assert side.find(effects[-1]) != NotFound()

    def test_many_threads_are_never_throttled(self, side: Side, world: ShopifyWorld) -> None:
        """They share one model of the bucket, and the last ones wait instead of being refused."""
        card = world.sell(100_00)

        def credit(_: int) -> None:
            side.apply(self.credit(world, card, 1_00), Saved())

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(credit, range(300)))

        assert world.balance(card) == 400_00
        assert side.usage().throttled == 0
        assert side.usage().points >= 3_000
        # More points than the bucket holds: somebody waited.
        assert world.time.seconds > 0

    def test_a_suspended_card_keeps_its_expiry_out_of_sight(self, side: Side, world: ShopifyWorld) -> None:
        card = world.sell(100_00)
        suspend = Effect(
            marker(),
            EffectKind.SET_STATUS,
            card,
            world.currency,
            status=CardStatus.SUSPENDED,
            expires_on=EXPIRY,
        )

        side.apply(suspend, Saved())

        assert seen(side, card).expires_on is None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_that_is_spoken_makes_cards(version: str) -> None:
    with opened_shop() as world:
        side = world.side(version=version)
        serial = world.new_serial()
        effect = Effect(marker(), EffectKind.CREATE, CardRef(serial=serial), "NOK", 250_00)

        applied = side.apply(effect, Saved())

        assert side.identify().currency == "NOK"
        assert world.balance(CardRef(applied.native_id)) == 250_00
        side.close()


def test_a_missing_scope_is_named_and_moves_nothing() -> None:
    with opened_shop(scopes=("write_gift_cards", "read_orders")) as world:
        side, card = world.side(), world.sell(100_00)
        effect = Effect(marker(), EffectKind.CREDIT, card, "NOK", 1_00)

        for call in (side.identify, lambda: side.apply(effect, Saved())):
            with pytest.raises(SideClosed) as caught:
                call()
            assert "write_gift_card_transactions" in caught.value.remedy

        assert isinstance(side.find(effect), CannotTell)
        assert world.balance(card) == 100_00
        side.close()


def test_a_plan_without_gift_cards_closes_the_side() -> None:
    with opened_shop(behaviour=ShopifyBehaviour(gift_cards_in_plan=False)) as world:
        side = world.side()

        with pytest.raises(SideClosed, match="plan"):
            side.apply(
                Effect(marker(), EffectKind.CREATE, CardRef(serial=world.new_serial()), "NOK", 1_00), Saved()
            )
        with pytest.raises(SideClosed, match="plan"):
            side.identify()
        side.close()


@pytest.mark.parametrize(
    ("shop", "token"), [(SHOP, "shpat_wrong"), ("te.myshopify.com", TOKEN)], ids=["token", "shop"]
)
def test_a_wrong_token_or_shop_closes_the_side(shop: str, token: str) -> None:
    with opened_shop() as world:
        side = ShopifySide(shop=shop, token=token, base_url=world.loopback.url, pause=world.time.pause)

        with pytest.raises(SideClosed) as caught:
            side.identify()

        assert token not in str(caught.value) + caught.value.remedy
        side.close()


# --- Packs --------------------------------------------------------------------------------------------------


@pytest.fixture
def packing() -> Iterator[tuple[ShopifyWorld, ShopifySide]]:
    with opened_shop(behaviour=ShopifyBehaviour(search_lag_s=0)) as world:
        side = world.side()
        yield world, side
        side.close()


def a_create(amount_minor: int = 10_000, serial: Serial | None = None) -> Effect:
    card = CardRef(serial=serial or Serial(uuid.uuid4().hex[:16]))
    return Effect(marker(), EffectKind.CREATE, card, "NOK", amount_minor)


def test_given_several_creates_in_one_request_then_each_has_its_own_outcome(
    packing: tuple[ShopifyWorld, ShopifySide],
) -> None:
    world, side = packing
    taken, ours = a_create(), a_create()
    side.apply(taken, Saved())
    side.apply(ours, Saved())
    effects = [
        a_create(),
        a_create(serial=taken.card.serial),
        a_create(99_999_900),
        Effect(marker(), EffectKind.CREATE, CardRef(), "NOK", 10_000),  # It has no serial: it is not sent.
        ours,  # Sent once more after an unknown outcome.
        a_create(),
    ]
    calls = side.usage().calls

    found = side.create_pack(effects)

    assert [type(one) for one in found] == [Applied, Refused, Refused, Refused, Applied, Applied]
    reasons = [one.reason for one in found if isinstance(one, Refused)]
    assert reasons == [Refusal.TAKEN, Refusal.OVER_LIMIT, Refusal.MISSING_DETAIL]
    # One request for all, and one look at each of the two serials that are taken.
    assert side.usage().calls - calls == 3
    assert len(world.cards()) == 4


@pytest.mark.parametrize(
    ("mishap", "error", "made"),
    [
        (Mishap.DROP_RESPONSE, InDoubt, 3),
        (Mishap.DROP_REQUEST, InDoubt, 0),
        (Mishap.SERVER_ERROR, InDoubt, 3),
        (Mishap.THROTTLE, Throttled, 0),
    ],
)
def test_given_no_believable_answer_to_a_pack_then_it_holds_for_each_of_its_parts(
    packing: tuple[ShopifyWorld, ShopifySide], mishap: Mishap, error: type[SideError], made: int
) -> None:
    world, side = packing
    effects = [a_create() for _ in range(3)]
    world.fail_next(mishap)

    found = side.create_pack(effects)

    assert [type(one) for one in found] == [error] * 3
    assert len(world.cards()) == made
    # Sent again, each is found to be made, whichever way it went; nothing is made twice.
    assert all(isinstance(one, Applied) for one in side.create_pack(effects))
    assert len(world.cards()) == 3


def test_given_no_connection_then_no_part_was_sent(packing: tuple[ShopifyWorld, ShopifySide]) -> None:
    world, _ = packing
    side = world.side(base_url=f"http://127.0.0.1:{closed_port()}")
    assert [type(one) for one in side.create_pack([a_create(), a_create()])] == [NotSent] * 2
    side.close()


def test_given_quick_answers_or_many_threads_then_creates_go_alone_and_else_in_packs(
    packing: tuple[ShopifyWorld, ShopifySide], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, side = packing
    assert side.pack_size(1) == 1  # Nothing is known yet.
    monkeypatch.setattr(type(side._client), "change_seconds", 0.5)
    # A hundred points a second pay for ten creates; one thread sends two requests in that time.
    assert [side.pack_size(threads) for threads in (1, 2, 4, 5, 32)] == [5, 3, 2, 1, 1]
    monkeypatch.setattr(type(side._client), "change_seconds", 60.0)
    assert side.pack_size(1) == PACK_MAX
