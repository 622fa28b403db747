"""What a look at the sides asks for, and when it is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest

from connectors.api.card import CardRef, Observation
from connectors.api.errors import NotSent
from connectors.memory import MemorySide
from sync.reconcile.card import AGAIN_SECONDS
from tests.integration.shop import FLOW, SHOPIFY, Shop


def test_given_a_side_that_does_not_answer_then_the_card_is_looked_at_again_soon(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    card_id = shop.in_step()

    def fails(*_: object, **__: object) -> None:
        raise NotSent("no connection")

    monkeypatch.setattr(shop.sides[FLOW], "observe", fails)
    shop.work(card_id)

    assert shop.row("cards", id=card_id)["due_at"] == shop.clock() + timedelta(seconds=AGAIN_SECONDS)


def _noting(asked: list[bool], side: MemorySide) -> Callable[..., Iterator[Observation]]:
    """The side's look, which notes whether entries were asked for."""
    real = side.observe

    def look(
        cards: Sequence[CardRef], *, entries: bool = False, urgent: bool = True
    ) -> Iterator[Observation]:
        asked.append(entries)
        return real(cards, entries=entries, urgent=urgent)

    return look


@pytest.mark.parametrize("spent_minor", [0, 2_000])
def test_given_a_look_without_a_hint_then_entries_are_read_only_where_the_balance_has_moved(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, spent_minor: int
) -> None:
    card_id = shop.in_step()
    asked: dict[str, list[bool]] = {FLOW: [], SHOPIFY: []}
    for name, side in shop.sides.items():
        monkeypatch.setattr(side, "observe", _noting(asked[name], side))
    if spent_minor:
        shop.move(SHOPIFY, -spent_minor)

    shop.work(card_id)

    assert asked[FLOW] == [False]
    assert asked[SHOPIFY] == ([False, True] if spent_minor else [False])
