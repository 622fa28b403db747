"""The worklist of conflicts: what it says is the same whether one is shown or all are listed."""

from __future__ import annotations

import pytest

from sync.ledger.cards.store import Store
from sync.support import cases
from tests.integration.shop import FLOW, SHOPIFY, Shop


def test_given_more_conflicts_than_are_read_together_then_all_are_listed_in_order(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    serials = ["1000200030004001", "1000200030004002", "1000200030004003"]
    for serial in serials:
        shop.sell(SHOPIFY, 7_000, serial)
        shop.meet(FLOW, 10_000, serial)
    one_by_one = [cases.show_case(shop.link, number) for number in (1, 2, 3)]

    def load(store: Store, card_id: int) -> None:
        raise AssertionError("a list reads the cards of a page together")

    monkeypatch.setattr(cases, "LISTED_TOGETHER", 2)
    monkeypatch.setattr(Store, "load", load)
    listed = list(cases.list_cases(shop.link))

    assert [one.ends_in for one in listed] == ["••••4001", "••••4002", "••••4003"]
    assert listed == [shown.listed for shown in one_by_one if shown is not None]
