"""Promises of the ledger, watched while it works: nothing is rewritten, nothing waits in a transaction."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from connectors.memory import MemoryFault
from tests.integration.shop import FLOW, SHOPIFY, Shop


def much_happens(shop: Shop) -> None:
    """Sales, payments, an overdraft, every fault, and a person."""
    shop.sell(FLOW, 10_000)
    shop.sync()
    for fault in MemoryFault:
        shop.move(FLOW, -500)
        shop.move(SHOPIFY, -300)
        shop.fail(SHOPIFY, fault)
        shop.sync()
        shop.sides[SHOPIFY].land_late()
    shop.move(FLOW, -5_000)
    shop.move(SHOPIFY, -5_000)
    shop.sync()
    shop.sync()


def test_given_any_work_then_movements_and_states_are_only_added(shop: Shop) -> None:
    touched: list[str] = []

    @event.listens_for(shop.engine, "before_cursor_execute")
    def _(_: object, __: object, statement: str, *___: object) -> None:
        found = re.match(r"\s*(INSERT INTO|UPDATE|DELETE FROM) (movements|intent_states)\b", statement)
        if found:
            touched.append(found.group(1))

    much_happens(shop)

    assert len(touched) > 50
    assert set(touched) == {"INSERT INTO"}


def test_given_any_work_then_no_side_is_asked_inside_a_transaction(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = threading.local()

    def count(by: int) -> Callable[..., None]:
        def counted(*_: object) -> None:
            here.open = getattr(here, "open", 0) + by

        return counted

    event.listen(shop.engine, "begin", count(1))
    event.listen(shop.engine, "commit", count(-1))
    event.listen(shop.engine, "rollback", count(-1))
    asked: list[tuple[str, int]] = []

    def watch(side: Any, name: str) -> None:
        real = getattr(side, name)

        def watched(*args: object, **more: object) -> object:
            asked.append((name, getattr(here, "open", 0)))
            return real(*args, **more)

        monkeypatch.setattr(side, name, watched)

    for side in shop.sides.values():
        for name in ("observe", "lookup", "apply", "find", "hints"):
            watch(side, name)

    much_happens(shop)

    assert {name for name, _ in asked} == {"observe", "lookup", "apply", "find", "hints"}
    assert {transactions for _, transactions in asked} == {0}


def test_given_any_work_then_the_hub_and_the_sides_agree_to_the_minor_unit(shop: Shop) -> None:
    much_happens(shop)

    card = shop.card(1)
    entries = [e for side in shop.sides.values() for c in side.cards.values() for e in c.entries]
    customers = [e.amount_minor for e in entries if e.marker is None]
    written_off = sum(m["amount_minor"] for m in shop.rows("movements", kind="write_off"))
    reported = sum(c["amount_minor"] for c in shop.rows("conflicts", kind="overdraft"))
    assert card.balance_minor == 10_000 + sum(customers) + written_off
    assert shop.shown() == {FLOW: card.balance_minor, SHOPIFY: card.balance_minor}
    assert reported == written_off
