"""What `status`, `sync`, `run` and the live view say of a link."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from cli.follow_up import carried_out_by, left_words
from cli.live.link_view import LinkView
from cli.output import jsonable
from cli.show import balance_words, why_not
from cli.status_report import StatusReport, read_report, report_json, report_lines
from config.settings import Settings
from connectors.memory import CAPABILITIES
from sync.decisions.resolutions import Action
from sync.ledger import views
from sync.ledger.database.engine import only_worker, open_engine
from sync.ledger.database.running import worker_runs
from sync.ledger.secrets.vault import Vault
from sync.model import SideRules
from sync.support.audit import FindingKind, audit
from sync.support.cases import places_of
from sync.support.settle import Resolution, resolve
from sync.support.statement import read_out, statement
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import STARTED_AT, Clock, link_settings


def settings(*, flow: dict[str, Any] | None = None, shopify: dict[str, Any] | None = None) -> Settings:
    return link_settings(flow=flow, shopify=shopify)


def report_of(shop: Shop, given: Settings | None = None) -> StatusReport:
    return read_report(given or settings(), shop.engine, shop.sides, shop.clock())


def unproved(engine: Engine, vault: Vault, clock: Clock) -> Shop:
    """A shop whose Flow takes no cards yet: one card is online only, the other on both sides."""
    shop = Shop(
        engine,
        vault,
        clock,
        capabilities={
            FLOW: replace(CAPABILITIES, creates=False, why_no_creates="has not been proved to take a number")
        },
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
    (told,) = report_json(report, settings())["one_sided"]
    assert (told["missing_on"], told["cards"], told["money_minor"]) == (FLOW, 1, 12_000)


def test_given_a_merchant_who_wants_it_so_then_a_card_that_is_online_only_is_in_step(
    engine: Engine, vault: Vault, clock: Clock
) -> None:
    report = report_of(unproved(engine, vault, clock), settings(shopify={"download": False}))

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
    assert report_of(shop, settings(flow={"excluded_brands": ["Tilgodelapp"]})).in_step == 2


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


CHANGED = "UPDATE cards SET balance_minor = 90000 WHERE id = 1"


def tampered_shop(shop: Shop) -> Shop:
    """Two cards in step, of which somebody changed one in the database."""
    shop.in_step(10_000)
    shop.in_step(2_000, "5000600070008000")
    shop.by_hand(CHANGED)
    shop.sync()
    return shop


def test_given_a_card_whose_rows_were_changed_then_it_is_not_in_step_and_its_money_stands_apart(
    shop: Shop,
) -> None:
    tampered_shop(shop)

    report = report_of(shop)
    told = report_json(report, settings())
    lines = dict(report_lines(report, settings(), shop.clock()))
    shown = LinkView(settings(), shop.engine, shop.sides, shop.clock).picture()

    assert report.summary == (
        "1 of 2 cards in step; 1 card is not verified, because its rows in the ledger were changed; "
        "1 conflict waiting: `giftsync conflicts list`."
    )
    assert (told["in_step"], told["balance_minor"]) == (1, {"NOK": 2_000})
    assert (told["unverified"], told["unverified_minor"]) == (1, {"NOK": 90_000})
    assert lines["Money on cards"] == "20.00 NOK"
    assert lines["Not verified"] == "1 card, whose changed rows say 900.00 NOK; not in the money on cards"
    assert shown.totals_minor == {FLOW: 2_000, SHOPIFY: 2_000}
    assert not shown.well


def test_given_a_card_whose_rows_were_changed_then_lists_say_so_and_no_amount_is_read_out_to_a_customer(
    shop: Shop,
) -> None:
    tampered_shop(shop)

    first, second = views.list_cards(shop.engine)
    assert (balance_words(first), balance_words(second)) == ("900.00 NOK not verified", "20.00 NOK")
    assert [why_not(first), first.in_step, second.in_step] == [
        "no: not verified (its rows were changed)",
        False,
        True,
    ]
    assert [card.id for card in views.list_cards(shop.engine, out_of_step=True)] == [1]
    found = statement(shop.link, 1, places_of(shop.sides))
    assert found is not None
    assert "900" not in " ".join(read_out(found, shop.link.timezone))


def test_given_a_changed_card_that_is_settled_then_it_counts_again(shop: Shop) -> None:
    tampered_shop(shop)
    (conflict,) = shop.rows("conflicts", kind="tampered")

    resolve(shop.link, conflict["id"], Resolution(Action.REBUILD, "kari", "the disk was full"))
    shop.sync()

    report = report_of(shop)
    assert report.summary == "All 2 cards are in step."
    assert (report.counts.balance_minor, report.counts.unverified) == ({"NOK": 12_000}, 0)


def test_given_a_changed_card_that_a_person_lets_alone_then_it_goes_on_counting_as_not_verified(
    shop: Shop,
) -> None:
    shop.in_step(10_000)
    shop.by_hand("UPDATE presences SET serial_sealed = NULL, serial_index = NULL WHERE card_id = 1")
    shop.sync()
    (conflict,) = shop.rows("conflicts", kind="tampered")

    resolve(shop.link, conflict["id"], Resolution(Action.IGNORE, "kari", "made up for by hand"))

    report = report_of(shop)
    assert (report.in_step, report.counts.unverified, report.counts.balance_minor) == (0, 1, {})


def test_given_a_card_whose_currency_was_changed_then_everything_can_still_be_shown(shop: Shop) -> None:
    shop.worker.check_sides()
    shop.in_step(10_000)
    shop.by_hand("UPDATE cards SET currency = 'kroner' WHERE id = 1")
    shop.sync()

    report = report_of(shop)
    lines = dict(report_lines(report, settings(), shop.clock()))
    (card,) = views.list_cards(shop.engine)

    assert "10000 'kroner' in minor units" in lines["Not verified"]
    assert "not verified" in balance_words(card)
    found = statement(shop.link, 1, places_of(shop.sides))
    assert found is not None
    assert found.card.currency == "NOK"
    proof = audit(shop.engine, shop.vault, shop.clock, shop.sides)
    assert list(proof)
    assert (proof.totals["NOK"].unverified, proof.totals["NOK"].unverified_minor) == (1, 10_000)


def test_given_an_old_row_that_was_changed_then_the_audit_names_it_and_counts_the_cards_money_as_verified(
    shop: Shop,
) -> None:
    shop.in_step(10_000)
    shop.by_hand("UPDATE intent_states SET reason = 'another' WHERE card_id = 1 AND chain_seq = 5")
    shop.sync()

    proof = audit(shop.engine, shop.vault, shop.clock)

    assert [one.kind for one in proof] == [FindingKind.CHANGED]
    assert proof.totals["NOK"].unverified == 0
    assert report_of(shop).in_step == 1
