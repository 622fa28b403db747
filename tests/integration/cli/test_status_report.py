"""What `status`, `sync`, `run` and the live view say of a link."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from cli.follow_up import carried_out_by, left_words
from cli.live.link_view import LinkView
from cli.output import jsonable
from cli.status_report import StatusReport, read_report, report_json, report_lines
from config.settings import Settings
from connectors.memory import CAPABILITIES
from sync.ledger import views
from sync.ledger.database.engine import only_worker, open_engine
from sync.ledger.running import worker_runs
from sync.ledger.secrets.vault import Vault
from sync.model import SideRules
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import STARTED_AT, Clock


def settings(**link: Any) -> Settings:
    return Settings(
        link={"timezone": "Europe/Oslo", **link},
        shopify={"shop": "example.myshopify.com", "token": "shopify-report-token"},
        flow={"tenant": "7", "store": "70", "token": "flow-report-token"},
    )


def report_of(shop: Shop, given: Settings | None = None) -> StatusReport:
    return read_report(given or settings(), shop.engine, shop.sides, shop.clock())


def unproved(engine: Engine, vault: Vault, clock: Clock) -> Shop:
    """A shop whose Flow takes no cards yet: one card is online only, the other on both sides."""
    shop = Shop(
        engine,
        vault,
        clock,
        capabilities={FLOW: replace(CAPABILITIES, creates=False)},
        rules={FLOW: SideRules(creates=False)},
    )
    shop.in_step(10_000)
    shop.work(shop.meet(SHOPIFY, 12_000, "5000600070008000"))
    return shop


def test_given_a_card_that_is_online_only_then_it_is_not_in_step_and_it_says_why(
    engine: Engine, vault: Vault, clock: Clock
) -> None:
    report = report_of(unproved(engine, vault, clock))

    assert (report.in_step, report.counts.cards) == (1, 2)
    assert report.summary == (
        "1 of 2 cards in step; 1 card (120.00 NOK) exists online only: Flow has not been proved to take a "
        "number (`giftsync doctor`)."
    )
    (told,) = report_json(report, settings())["one_sided"]  # type: ignore[misc]
    assert (told["missing_on"], told["cards"], told["money_minor"]) == (FLOW, 1, 12_000)


def test_given_a_merchant_who_wants_it_so_then_a_card_that_is_online_only_is_in_step(
    engine: Engine, vault: Vault, clock: Clock
) -> None:
    report = report_of(unproved(engine, vault, clock), settings(download_shopify_cards=False))

    assert report.in_step == 2
    assert report.summary == "All 2 cards are in step."


def test_given_a_brand_that_is_left_out_then_its_cards_need_not_be_on_both_sides(shop: Shop) -> None:
    shop.in_step(10_000)
    only = shop.in_step(5_000, "5000600070008000")
    with shop.engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM intent_states WHERE card_id = {only}")
        connection.exec_driver_sql(f"DELETE FROM intents WHERE card_id = {only}")
        connection.exec_driver_sql(f"DELETE FROM presences WHERE card_id = {only} AND side = 'shopify'")
        connection.exec_driver_sql(f"UPDATE presences SET brand = ' TILGODELAPP' WHERE card_id = {only}")

    assert report_of(shop).in_step == 1
    assert "exists in the store only: the next pass makes them online" in report_of(shop).summary
    assert report_of(shop, settings(excluded_brands=["Tilgodelapp"])).in_step == 2


def test_given_an_empty_ledger_then_it_says_so(shop: Shop) -> None:
    assert report_of(shop).summary == "The ledger has no cards yet."


def test_given_conflicts_then_the_lines_say_what_is_at_stake(shop: Shop) -> None:
    card_id = shop.in_step(2_000)
    shop.move(FLOW, -2_000)
    shop.move(SHOPIFY, -500)
    shop.work_until_quiet(card_id)

    report = report_of(shop)

    assert "1 conflict waiting: `giftsync conflicts list`" in report.summary
    assert (
        dict(report_lines(report, settings(), STARTED_AT))["Open conflicts"]
        == "1 overdraft; 5.00 NOK at stake"
    )


def test_the_live_view_and_json_say_the_same(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.move(FLOW, -2_500)

    picture = LinkView(settings(), shop.engine, shop.sides, shop.clock).picture()

    assert picture.headline == report_of(shop).summary == "1 of 1 card in step."
    assert picture.totals_minor == {FLOW: 10_000, SHOPIFY: 10_000}
    assert jsonable(report_json(report_of(shop), settings()))["in_step"] == 1


def test_given_a_worker_on_a_file_then_another_process_sees_it_work_and_end(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'giftsync.db'}")
    try:
        assert not worker_runs(engine, STARTED_AT)
        with only_worker(engine):
            assert worker_runs(engine, STARTED_AT)
            assert carried_out_by(engine, STARTED_AT) == "The worker that runs carries what follows out."
        assert not worker_runs(engine, STARTED_AT)
        assert carried_out_by(engine, STARTED_AT).startswith("`giftsync sync` carries what follows out")
    finally:
        engine.dispose()


def test_what_a_stopped_command_leaves_is_counted(shop: Shop) -> None:
    assert left_words(views.status(shop.engine, shop.clock())) == "Nothing is left to do."

    shop.meet(FLOW, 10_000)

    assert left_words(views.status(shop.engine, shop.clock())) == (
        "Left: 1 card to work on, 1 effect not carried out yet. `giftsync sync` goes on with it, and asks "
        "the sides what did land."
    )
