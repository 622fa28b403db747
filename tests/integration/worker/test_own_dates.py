"""A side that can be given no expiry date: giftsync keeps the card's date, and the card is in step."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine

from cli.show import why_not
from cli.status_report import read_report, report_json, report_lines
from connectors.memory import CAPABILITIES
from sync.ledger import views
from sync.ledger.secrets.vault import Vault
from sync.model import SideRules
from tests.integration.shop import FLOW, SHOPIFY, Shop, effects
from tests.support import Clock, link_settings

DAY = date(2041, 3, 31)
NO_DATES = SideRules(sets_expiry=False, takes_expiry=False, follows_expiry=False)


@pytest.fixture
def dateless(engine: Engine, vault: Vault, clock: Clock) -> Shop:
    """Flow has cards with a date; online they have none, and are given none."""
    shop = Shop(
        engine,
        vault,
        clock,
        capabilities={SHOPIFY: replace(CAPABILITIES, sets_expiry=False)},
        rules={SHOPIFY: NO_DATES},
    )
    shop.arrive(FLOW, shop.sell(FLOW, 10_000, expires_on=DAY))
    shop.sync()
    shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)].expires_on = None
    shop.move(SHOPIFY, -1_000)
    shop.sync()
    return shop


def test_given_a_side_without_dates_then_the_card_keeps_its_date_and_the_status_says_so_once_for_the_side(
    dateless: Shop,
) -> None:
    (card,) = views.list_cards(dateless.engine)

    assert (card.expires_on, {p.side: p.expires_on for p in card.presences}) == (
        DAY,
        {FLOW: DAY, SHOPIFY: None},
    )
    assert (card.in_step, {p.side: p.follows_expiry for p in card.presences}) == (
        True,
        {FLOW: True, SHOPIFY: False},
    )
    assert effects(dateless.sides[FLOW]) == [("debit", 1_000)]
    assert list(views.list_cards(dateless.engine, out_of_step=True)) == []
    settings = link_settings()
    report = read_report(settings, dateless.engine, dateless.sides, dateless.clock())

    assert report.summary == "1 of 1 card in step."
    assert report_json(report, settings)["own_dates"] == {SHOPIFY: 1}
    assert dict(report_lines(report, settings, dateless.clock()))["Expiry dates on shopify"] == (
        "1 card has another date there, or none; giftsync sets none there, so it counts as in step"
    )


def test_given_a_side_that_takes_dates_from_now_on_then_the_card_is_out_of_step_until_it_has_its_own(
    dateless: Shop,
) -> None:
    (before,) = dateless.rows("presences", side=SHOPIFY)
    dateless.sides[SHOPIFY].capabilities = CAPABILITIES
    dateless.link = dateless.worker.link = replace(
        dateless.link, rules=replace(dateless.link.rules, sides={FLOW: SideRules(), SHOPIFY: SideRules()})
    )

    dateless.worker.recover_ownership()
    (card,) = views.list_cards(dateless.engine, out_of_step=True)

    assert (before["shadow_expires_on"], why_not(card)) == (None, "no: expires never on shopify")
    dateless.work_until_quiet(card.id)
    assert dateless.sides[SHOPIFY].cards[dateless.native(SHOPIFY)].expires_on == DAY
    assert list(views.list_cards(dateless.engine, out_of_step=True)) == []
