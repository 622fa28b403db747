"""Brands, stores and legacy numbers of a Flow tenant: the real connector and emulator, and the worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from sqlalchemy import Engine

from connectors.api.card import CardRef
from mappings.brands import Brands
from mappings.serials import Serial
from sandbox.flow import FlowEmulator
from sandbox.flow.catalog import Store
from sync.arrivals.match import Matched
from sync.ledger import views
from tests.contract.loopback import serve
from tests.flow_shop import GAVEKORT, TILGODELAPP, TOKEN, FlowShop
from tests.integration.shop import FLOW, SHOPIFY
from tests.support import Clock

TEMPLATES = Brands([{FLOW: GAVEKORT, SHOPIFY: "gift"}, {FLOW: TILGODELAPP, SHOPIFY: "credit"}])
WITHOUT_TILGODELAPP = Brands(excluded={FLOW: ["tilgodelapp"]})
OTHER_STORE = "71"
SYNCS_MAX = 10


@dataclass
class Merchant:
    """Two stores of one tenant, and a shop online."""

    shop: FlowShop
    emulator: FlowEmulator
    url: str

    def call(self, name: str, **body: object) -> dict[str, Any]:
        self.shop.clock.advance(1)
        response = requests.post(f"{self.url}/_sandbox/{name}", json=body, timeout=10)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def sell(self, **body: object) -> str:
        return str(self.call("sell", amount="100.00", **body)["number"])

    def calls(self) -> int:
        return self.shop.sides[FLOW].usage().calls


@pytest.fixture
def merchant(engine: Engine, clock: Clock) -> Iterator[Merchant]:
    emulator = FlowEmulator(
        token=TOKEN, clock=clock, cards=40, stores=[Store(OTHER_STORE, "The other store")]
    )
    with serve(emulator.application()) as loopback:
        shop = FlowShop(engine, clock, url=loopback.url)
        yield Merchant(shop, emulator, loopback.url)
        shop.close()


def made_online(merchant: Merchant, number: str) -> str | None:
    """The template suffix with which the card was created online."""
    (brand,) = [e.brand for e in merchant.shop.sides[SHOPIFY].writes if e.card.serial == Serial(number)]
    return brand


@pytest.fixture
def new(merchant: Merchant) -> Merchant:
    """The feed has told of everything that was there before."""
    assert any(not merchant.shop.sync().hints for _ in range(SYNCS_MAX))
    return merchant


def test_given_brands_then_each_cards_template_is_its_brands(new: Merchant) -> None:
    new.shop.set_brands(TEMPLATES)
    gift, credit = new.sell(), new.sell(brand="creditvoucher")

    new.shop.sync()

    assert (made_online(new, gift), made_online(new, credit)) == ("gift", "credit")


def test_given_a_card_bought_online_with_a_template_then_its_brand_in_flow_is_that_ones(
    new: Merchant,
) -> None:
    new.shop.set_brands(TEMPLATES)
    number = "9900000000000017"
    ref = new.shop.sell(SHOPIFY, 50_00, number)
    new.shop.sides[SHOPIFY].cards[ref.native_id or ""].brand = "credit"

    new.shop.sync()

    card = new.emulator.world.cards.find(number)
    assert card is not None
    assert (card.brand.name, card.balance) == (TILGODELAPP, 50_00)


def test_given_an_excluded_brand_then_its_cards_are_left_out_and_counted_and_nothing_waits(
    new: Merchant,
) -> None:
    shop = new.shop
    shop.set_brands(WITHOUT_TILGODELAPP)
    number = new.sell(brand="creditvoucher")
    before = shop.everything()

    report = shop.sync()

    assert (report.arrived, report.met, report.unfinished) == (1, 0, 0)
    assert [len(rows) for rows in shop.everything().values()] == [len(rows) for rows in before.values()]
    status = views.status(shop.engine, shop.clock())
    assert (status.left_out, status.arrivals, status.conflicts) == ({TILGODELAPP: 1}, 0, {})
    new.call("redeem", number=number, amount="10.00")
    shop.worker.sync_once(sweep=False)
    asked = new.calls()
    shop.worker.sync_once(sweep=False)
    # The feed's search, and no read of the card.
    assert new.calls() - asked == 1


def test_given_a_brand_that_is_not_excluded_any_more_then_its_cards_are_met(new: Merchant) -> None:
    shop = new.shop
    shop.set_brands(WITHOUT_TILGODELAPP)
    number = new.sell(brand="creditvoucher")
    shop.sync()
    shop.set_brands(Brands())

    shop.sync()

    assert shop.shown_online(number) == 100_00
    assert views.status(shop.engine, shop.clock()).left_out == {}


def test_given_two_stores_then_a_card_sold_in_one_and_spent_in_the_other_is_kept_in_step(
    new: Merchant,
) -> None:
    number = new.sell(store=OTHER_STORE)
    new.shop.sync()
    assert new.shop.shown_online(number) == 100_00

    new.call("redeem", number=number, amount="30.00", store=OTHER_STORE)
    new.shop.sync()
    assert new.shop.shown_online(number) == 70_00

    new.shop.sides[SHOPIFY].move(new.shop.native(SHOPIFY, number), -20_00)
    new.shop.sync()
    card = new.emulator.world.cards.find(number)
    assert card is not None
    assert card.balance == 50_00


@pytest.fixture
def legacy(merchant: Merchant) -> tuple[str, str]:
    """The number and the legacy number of a historical card with money on it."""
    return next(
        (card.number, card.legacy_number)
        for card in merchant.emulator.world.cards.all()
        if card.legacy_number and card.balance
    )


def test_given_a_card_that_is_told_by_its_legacy_number_then_it_is_one_card(
    merchant: Merchant, legacy: tuple[str, str]
) -> None:
    shop, (number, old) = merchant.shop, legacy

    first = shop.matcher.match(shop.arrive(FLOW, CardRef(serial=Serial(old))))
    again = shop.matcher.match(shop.arrive(FLOW, CardRef(serial=Serial(old))))

    assert (first, again) == (Matched.MET, Matched.KNOWN)
    assert shop.rows("arrivals") == []
    assert shop.row("presences", side=SHOPIFY)["last_chars"] == number[-4:]


def test_given_a_card_that_is_online_under_its_legacy_number_then_it_is_not_made_a_second_time(
    merchant: Merchant, legacy: tuple[str, str]
) -> None:
    shop, (number, old) = merchant.shop, legacy
    card = merchant.emulator.world.cards.find(number)
    assert card is not None
    shop.sell(SHOPIFY, card.balance, old)

    assert shop.matcher.match(shop.arrive(FLOW, CardRef(serial=Serial(number)))) is Matched.MET

    assert "create" not in [intent["kind"] for intent in shop.rows("intents")]
    assert shop.row("presences", side=SHOPIFY)["last_chars"] == old[-4:]
