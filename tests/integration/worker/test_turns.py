"""Turns that have a time limit: what takes longer than that comes to its end all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from connectors.api.feed import HintPage
from sync.worker.passes import PassReport
from sync.worker.turns import Kind, Turn, Turns
from tests.integration.shop import FLOW, SHOPIFY, Shop

READS = (Turn(Kind.READ, FLOW, "journal"), Turn(Kind.READ, SHOPIFY, "journal"))


@pytest.fixture
def over() -> threading.Event:
    """The time of each turn is over as soon as it begins: every page takes longer."""
    event = threading.Event()
    event.set()
    return event


def turns_of(shop: Shop) -> Turns:
    shop.worker.recover_ownership()
    return Turns(shop.worker, PassReport(), shop.worker.start_run("worker"))


def has_pages(shop: Shop, monkeypatch: pytest.MonkeyPatch, side: str, cursors: Sequence[str]) -> None:
    """The side's feed has these pages, without hints, and goes on after a cursor."""

    def hints(_: str, cursor: str | None) -> Iterator[HintPage]:
        rest = cursors if cursor is None else cursors[cursors.index(cursor) + 1 :]
        yield from (HintPage([], one) for one in rest or cursors[-1:])

    monkeypatch.setattr(shop.sides[side], "hints", hints)


def test_given_a_feed_whose_page_takes_longer_than_a_turn_then_it_is_read_to_its_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, over: threading.Event
) -> None:
    for side in (FLOW, SHOPIFY):
        has_pages(shop, monkeypatch, side, "a")
    turns = turns_of(shop)

    for turn in READS:
        turns.take(turn, over)

    assert turns.has_read_every_feed()
    assert not any(turns.was_cut_short(turn) for turn in READS)


def test_given_a_long_feed_then_each_turn_goes_on_and_the_last_one_ends_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, over: threading.Event
) -> None:
    has_pages(shop, monkeypatch, FLOW, "abcdef")
    has_pages(shop, monkeypatch, SHOPIFY, "a")
    turns = turns_of(shop)
    turns.take(READS[1], over)
    read = []

    while not turns.has_read_every_feed():
        turns.take(READS[0], over)
        read.append((shop.intake.cursor(FLOW, "journal"), turns.was_cut_short(READS[0])))

    assert read == [("b", True), ("d", True), ("f", True), ("f", False)]
