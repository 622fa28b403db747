"""Cards that were met while a direction was off get their presence when it is on; and that is announced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cli.agree import agree_to_creates
from cli.errors import OperatorError
from cli.output import Output
from connectors.memory import CAPABILITIES
from mappings.serials import Serial
from sync.arrivals.missing import add_missing, newly_created_on, not_agreed_on
from sync.ledger.cards.lacking import MissingCards, lacking
from sync.ledger.proof.row_proofs import prove_rows_from
from sync.model import LinkRules, SideRules
from sync.worker.worker import Worker
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop, effects, hidden
from tests.support import Crashed

OFF = SideRules(False, False, False, False, frozenset())


def switch_on(shop: Shop) -> None:
    link = replace(shop.link, rules=LinkRules({FLOW: SideRules(), SHOPIFY: SideRules()}))
    shop.link, shop.matcher = link, replace(shop.matcher, link=link)
    shop.worker = Worker(link, shop.matcher, shop.worker.options)


@pytest.fixture
def off(make_shop: Callable[..., Shop]) -> Shop:
    """Three cards were sold in the store while uploading was off."""
    shop = make_shop(rules={SHOPIFY: OFF})
    for number in range(3):
        shop.sell(FLOW, 10_000, f"100020003000400{number}")
    shop.sync()
    return shop


def test_what_is_lacking_is_counted_before_anything_is_done(off: Shop) -> None:
    assert newly_created_on(off.link) == []

    switch_on(off)

    assert newly_created_on(off.link) == [SHOPIFY]
    assert lacking(off.engine, SHOPIFY) == MissingCards(3, 30_000)
    assert effects(off.sides[SHOPIFY]) == []


def test_every_card_gets_its_presence_once(off: Shop) -> None:
    switch_on(off)

    off.sync()

    assert sorted(effects(off.sides[SHOPIFY])) == [("create", 10_000)] * 3
    assert newly_created_on(off.link) == []
    off.sync()
    assert len(off.sides[SHOPIFY].writes) == 3


@pytest.mark.parametrize("point", ["missing.inside", "missing.after"])
def test_a_crash_in_between_is_made_up_for(off: Shop, crash_at: Callable[..., None], point: str) -> None:
    switch_on(off)
    crash_at(point)
    with pytest.raises(Crashed):
        add_missing(off.matcher)
    off.store.free_all(off.clock())

    off.sync()

    assert [e for e in effects(off.sides[SHOPIFY]) if e == ("create", 10_000)] == [("create", 10_000)] * 3


def test_a_card_that_was_there_all_along_is_adopted_and_not_made_again(off: Shop) -> None:
    off.sell(SHOPIFY, 10_000, "1000200030004000")
    switch_on(off)

    off.sync()

    assert len(effects(off.sides[SHOPIFY])) == 2
    assert off.shown("1000200030004000") == {FLOW: 10_000, SHOPIFY: 10_000}


def test_a_number_that_the_side_cannot_hold_is_said_once(make_shop: Callable[..., Shop]) -> None:
    can = replace(CAPABILITIES, serial_length_min=1)
    shop = make_shop(rules={SHOPIFY: OFF}, capabilities={FLOW: can})
    shop.sell(FLOW, 10_000, "12345")
    shop.sync()
    switch_on(shop)
    shop.sync()
    shop.sync()

    (told,) = [c for c in shop.rows("conflicts") if c["closed_at"] is None]
    assert told["kind"] == "serial"


def test_cards_without_a_known_serial_take_numbers_of_the_pool(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(
        capabilities={SHOPIFY: hidden()},
        rules={FLOW: replace(SideRules(), creates=False)},
        serial_prefix=None,
    )
    details = {"order": "#1007", "order_id": "gid://shopify/Order/7", "shipping_name": "Kari Nordmann"}
    ref = shop.sell(SHOPIFY, 10_000, "abcdefgh12345678")
    shop.matcher.match(shop.arrive(SHOPIFY, ref, last_chars="5678", details=details))
    shop.sync()
    switch_on(shop)
    shop.sync()
    assert [c["kind"] for c in shop.rows("conflicts")] == ["pool_empty"]

    shop.pool.add(FLOW, [Serial(SERIAL)])
    shop.sync()

    (made,) = shop.sides[FLOW].cards.values()
    assert (made.balance_minor, made.note) == (10_000, "Shopify 5678, Kari Nordmann, #1007")


def test_nobody_there_to_agree_means_no(off: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    switch_on(off)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    with pytest.raises(
        OperatorError, match=r"created on shopify from now on: 3 cards with 300\.00 NOK in all"
    ):
        agree_to_creates(off.link, Output(), yes=False)

    agree_to_creates(off.link, Output(), yes=True)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "by_hand",
    [
        "UPDATE marks SET value = 'flow>shopify' WHERE name = 'created_on'",
        (
            "INSERT INTO marks (name, value, at, proof) SELECT 'created_on_agreed', 'flow>shopify', at, proof"
            " FROM marks WHERE name = 'created_on'"
        ),
    ],
)
def test_what_somebody_wrote_into_the_database_is_no_yes(off: Shop, by_hand: str) -> None:
    switch_on(off)
    off.by_hand(by_hand)

    assert SHOPIFY in not_agreed_on(off.link)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_marks_from_before_the_proofs_are_proved_once(off: Shop) -> None:
    off.by_hand("UPDATE marks SET proof = NULL")
    prove_rows_from("0032", off.engine, off.vault)
    assert not_agreed_on(off.link) == [FLOW]

    prove_rows_from("0031", off.engine, off.vault)

    assert not_agreed_on(off.link) == []
    switch_on(off)
    assert not_agreed_on(off.link) == [SHOPIFY]


def test_a_fresh_ledger_asks_nothing(shop: Shop) -> None:
    agree_to_creates(shop.link, Output(), yes=False)
