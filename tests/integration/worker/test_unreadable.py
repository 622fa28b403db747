"""A card that a side shows so that it cannot be believed: told to a person, and taken up again by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from connectors.api.card import CardRef, Observation, Unreadable
from connectors.memory import MemorySide
from mappings.serials import Serial
from sync.decisions import protocol
from sync.model import ConflictKind, Hold
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop, effects

REASON = "the side shows a negative balance"


@pytest.fixture
def twisted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """By side, what it answers for every card instead of what it holds; empty: the truth."""
    answers: dict[str, Any] = {}
    observe, lookup = MemorySide.observe, MemorySide.lookup

    def twist(side: MemorySide, true: Observation) -> Observation:
        said = answers.get(side.name)
        return true if said is None else Unreadable(REASON, shop.clock(), said)

    def observes(side: MemorySide, cards: Sequence[CardRef], **more: bool) -> Iterator[Observation]:
        return (twist(side, one) for one in observe(side, cards, **more))

    def looks_up(side: MemorySide, serial: Serial) -> Observation:
        return twist(side, lookup(side, serial))

    monkeypatch.setattr(MemorySide, "observe", observes)
    monkeypatch.setattr(MemorySide, "lookup", looks_up)
    return answers


def open_conflicts(shop: Shop) -> list[dict[str, Any]]:
    return shop.rows("conflicts", closed_at=None)


@pytest.mark.parametrize("side", [FLOW, SHOPIFY])
def test_given_a_known_card_that_cannot_be_believed_then_a_pass_tells_a_person(
    shop: Shop, twisted: dict[str, Any], side: str
) -> None:
    card_id = shop.in_step(10_000)
    twisted[side] = True
    began = shop.clock()

    shop.sync()

    (conflict,) = open_conflicts(shop)
    assert (conflict["kind"], conflict["side"]) == (ConflictKind.UNREADABLE, side)
    assert REASON in conflict["summary"]
    assert not shop.card(card_id).in_step
    assert (shop.clock() - began).total_seconds() < 60


def test_given_it_can_be_read_again_then_the_conflict_closes_by_itself_and_the_card_goes_on(
    shop: Shop, twisted: dict[str, Any]
) -> None:
    card_id = shop.in_step(10_000)
    twisted[FLOW] = True
    shop.sync()
    shop.move(FLOW, -3_000)
    twisted.clear()

    shop.sync()

    assert open_conflicts(shop) == []
    assert shop.card(card_id).in_step
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_a_card_that_cannot_be_believed_then_nothing_is_written_there_and_nothing_is_lost(
    shop: Shop, twisted: dict[str, Any]
) -> None:
    shop.in_step(10_000)
    twisted[SHOPIFY] = True
    shop.sync()
    before = effects(shop.sides[SHOPIFY])
    shop.move(FLOW, -4_000)
    shop.sync()
    assert effects(shop.sides[SHOPIFY]) == before

    twisted.clear()
    shop.sync()

    assert shop.shown() == {FLOW: 6_000, SHOPIFY: 6_000}


def test_given_it_is_told_then_later_passes_wait_for_nothing(shop: Shop, twisted: dict[str, Any]) -> None:
    shop.in_step(10_000)
    twisted[FLOW] = True
    shop.sync()
    began = shop.clock()

    report = shop.sync()

    assert (shop.clock() - began).total_seconds() < 2
    assert report.unfinished == 0


def test_given_one_answer_that_cannot_be_believed_then_nobody_is_told(
    shop: Shop, twisted: dict[str, Any]
) -> None:
    card_id = shop.in_step(10_000)
    twisted[FLOW] = True
    shop.work(card_id)
    twisted.clear()
    shop.work(card_id)

    assert open_conflicts(shop) == []
    assert shop.card(card_id).in_step
    assert shop.card(card_id).presence(FLOW).unreadable == 0


def test_given_no_answer_at_all_then_no_card_is_to_blame(shop: Shop, twisted: dict[str, Any]) -> None:
    card_id = shop.in_step(10_000)
    twisted[FLOW] = False
    for _ in range(2 * protocol.UNREADABLE_MAX):
        shop.work(card_id)

    assert open_conflicts(shop) == []
    assert shop.card(card_id).presence(FLOW).hold is not Hold.UNREADABLE


def test_given_a_new_card_that_cannot_be_believed_then_it_is_told_soon_and_no_pass_waits_for_it(
    shop: Shop, twisted: dict[str, Any]
) -> None:
    shop.arrive(FLOW, shop.sell(FLOW, 10_000))
    twisted[FLOW] = True
    began = shop.clock()

    shop.sync()

    (conflict,) = open_conflicts(shop)
    assert (conflict["kind"], conflict["card_id"]) == (ConflictKind.UNREADABLE, None)
    assert REASON in conflict["summary"]
    assert SERIAL not in conflict["summary"]
    assert (shop.clock() - began).total_seconds() < 30

    again = shop.clock()
    shop.sync()
    assert (shop.clock() - again).total_seconds() < 2

    twisted.clear()
    shop.clock.advance(700)
    shop.sync()
    assert open_conflicts(shop) == []
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_a_side_that_does_not_answer_then_a_pass_does_not_wait_for_it(
    shop: Shop, twisted: dict[str, Any]
) -> None:
    card_id = shop.in_step(10_000)
    twisted[FLOW] = False
    shop.intake.make_due([card_id], shop.clock())
    began = shop.clock()

    report = shop.sync()

    assert (shop.clock() - began).total_seconds() < 30
    assert report.unfinished == 1
