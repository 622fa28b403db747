"""The ledger for people: what lists and the status say is what the cards say, and no serial is in it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.memory import MemoryFault
from mappings.brands import Brands
from mappings.serials import Serial
from sync.ledger import views
from sync.ledger.cards.lacking import MissingCards
from sync.ledger.totals import read_totals
from sync.model import ConflictKind, NewConflict
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop

OTHER = "5000600070008000"


@pytest.fixture
def busy(shop: Shop) -> Shop:
    """One card in step, one with a debit on the way, one overdrawn; a sale that is not matched yet."""
    shop.in_step(10_000)
    second = shop.in_step(5_000, OTHER)
    shop.move(FLOW, -1_000, OTHER)
    shop.fail(SHOPIFY, MemoryFault.NOT_SENT)
    shop.work(second)
    third = shop.in_step(2_000, "7000700070007777")
    shop.move(FLOW, -2_000, "7000700070007777")
    shop.move(SHOPIFY, -500, "7000700070007777")
    shop.work_until_quiet(third)
    shop.arrive(FLOW, shop.sell(FLOW, 300, "8000800080008888"))
    shop.pool.add(FLOW, [Serial("9000000000000001")])
    return shop


def test_given_a_ledger_then_the_status_counts_it(busy: Shop) -> None:
    status = views.status(busy.engine, busy.clock())

    assert (status.cards, status.in_step, status.arrivals) == (3, 2, 1)
    assert status.balance_minor == {"NOK": 14_000}
    assert status.intents == {"planned": 1}
    assert status.conflicts == {"overdraft": 1}
    assert status.at_stake_minor == 500
    assert status.pool_free == {FLOW: 1}
    assert status.feeds == {(FLOW, "test"): busy.clock()}


def test_given_an_empty_ledger_then_the_status_is_all_zero(shop: Shop) -> None:
    status = views.status(shop.engine, shop.clock())

    assert (status.cards, status.in_step, status.due, status.at_stake_minor) == (0, 0, 0, 0)
    assert (status.balance_minor, status.last_run_at) == ({}, None)


def test_given_cards_then_the_list_agrees_with_each_card_about_being_in_step(busy: Shop) -> None:
    listed = {row.id: row for row in views.list_cards(busy.engine)}

    assert {card_id: row.in_step for card_id, row in listed.items()} == {
        card_id: busy.card(card_id).in_step for card_id in listed
    }
    assert [row.in_step for row in listed.values()] == [True, False, True]
    assert [p.side for p in listed[1].presences] == [FLOW, SHOPIFY]


def test_given_a_question_then_only_those_cards_are_listed(busy: Shop) -> None:
    def ids(**question: object) -> list[int]:
        return [row.id for row in views.list_cards(busy.engine, **question)]  # type: ignore[arg-type]

    assert ids(last_chars="8000") == [2]
    assert ids(last_chars="0000") == []
    assert ids(out_of_step=True) == [2]
    assert ids(card_id=3) == [3]
    assert ids(after_id=1) == [2, 3]


def test_given_more_rows_than_a_page_then_every_one_is_listed_once(
    busy: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PAGE_SIZE", 2)

    assert [row.id for row in views.list_cards(busy.engine, page_size=2)] == [1, 2, 3]
    for n in range(3):
        words = NewConflict(ConflictKind.POOL_EMPTY, f"cause {n}", "Words.")
        busy.intake.report(words, busy.clock())
    assert [row.id for row in views.list_conflicts(busy.engine)] == [1, 2, 3, 4]


def test_given_a_card_then_its_movements_and_intents_come_in_order(busy: Shop) -> None:
    movements = views.list_movements(busy.engine, 3)

    assert [(m.kind, m.amount_minor, m.balance_after_minor) for m in movements] == [
        ("opening", 2_000, 2_000),
        ("observed", -2_000, 0),
        ("observed", -500, -500),
        ("write_off", 500, 0),
    ]
    intents = views.list_intents(busy.engine, 2)
    assert [(i.kind, i.amount_minor, i.state) for i in intents] == [
        ("create", 5_000, "applied"),
        ("debit", -1_000, "planned"),
    ]


def test_given_conflicts_then_closed_ones_are_listed_when_asked_for(busy: Shop) -> None:
    busy.intake.report(NewConflict(ConflictKind.POOL_EMPTY, "pool", "Words."), busy.clock())
    busy.intake.cause_gone("pool", busy.clock() + timedelta(seconds=1))

    assert [c.kind for c in views.list_conflicts(busy.engine)] == ["overdraft"]
    assert [c.kind for c in views.list_conflicts(busy.engine, include_closed=True)] == [
        "overdraft",
        "pool_empty",
    ]
    (one,) = views.list_conflicts(busy.engine, conflict_id=2)
    assert one.resolution == "cause gone"


def test_given_any_list_then_no_serial_is_in_it(busy: Shop) -> None:
    everything = [
        *views.list_cards(busy.engine),
        *views.list_conflicts(busy.engine),
        *(m for n in (1, 2, 3) for m in views.list_movements(busy.engine, n)),
        *(i for n in (1, 2, 3) for i in views.list_intents(busy.engine, n)),
        views.status(busy.engine, busy.clock()),
    ]

    for serial in (SERIAL, OTHER, "7000700070007777", "8000800080008888", "9000000000000001"):
        assert serial not in repr(everything)


def test_given_presences_then_a_sweep_gets_those_that_exist_after_an_id(busy: Shop) -> None:
    first, second = views.presences_after(busy.engine, busy.vault, FLOW, 0, 2)

    assert (first.card_id, first.serial, first.shadow_minor) == (1, Serial(SERIAL), 10_000)
    assert [p.card_id for p in views.presences_after(busy.engine, busy.vault, FLOW, second.id, 9)] == [3]


def test_given_cards_in_every_state_then_the_totals_are_those_of_a_look_at_each_card(busy: Shop) -> None:
    busy.sell(SHOPIFY, 3_000, "6000600060006000")
    # Two balances, so it is held.
    busy.arrive(FLOW, busy.sell(FLOW, 4_000, "6000600060006000"))
    busy.in_step(7_000, "4000400040004000")
    busy.by_hand("UPDATE cards SET balance_minor = 90000 WHERE id = 1")
    busy.sync()
    cards = list(views.list_cards(busy.engine))

    totals = read_totals(busy.engine, busy.clock(), (FLOW, SHOPIFY), Brands())

    assert totals.counts.cards == len(cards)
    assert totals.counts.out_of_step == tuple(card.id for card in cards if not card.in_step)
    assert totals.counts.in_step == sum(card.in_step for card in cards)
    assert 1 < totals.counts.in_step < len(cards) - 1
    verified = [card for card in cards if card.verified]
    assert totals.counts.balance_minor == {"NOK": sum(card.balance_minor for card in verified)}
    assert (totals.counts.unverified, totals.counts.unverified_minor) == (1, {"NOK": 90_000})
    assert totals.in_step == totals.counts.in_step


def test_given_a_card_that_one_side_lacks_then_it_is_in_step_but_not_everywhere(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.in_step(6_000, OTHER)
    shop.by_hand("DELETE FROM presences WHERE card_id = 2 AND side = 'shopify'")

    totals = read_totals(shop.engine, shop.clock(), (FLOW, SHOPIFY), Brands())

    assert (totals.counts.in_step, totals.in_step) == (2, 1)
    assert totals.one_sided == {FLOW: MissingCards(0, 0), SHOPIFY: MissingCards(1, 6_000)}
    assert totals.counts.out_of_step == ()
    assert totals.shown_minor == {FLOW: 16_000, SHOPIFY: 10_000}
