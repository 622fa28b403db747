"""How often a movement commits: where no call lies between two commits, they are one."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from sync import crashpoints
from sync.reconcile.card import reconcile
from tests.integration.shop import FLOW, SHOPIFY, Shop


def test_given_a_customer_spends_then_the_movement_takes_four_transactions(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(SHOPIFY, -2_000)
    shop.intake.make_due([card_id], shop.clock(), SHOPIFY)
    begun: list[object] = []
    event.listen(shop.store.engine, "begin", begun.append)

    (lease,) = shop.store.claim_due("worker 1", shop.clock(), 60.0, 1)
    reconcile(shop.link, lease)

    assert shop.shown() == {FLOW: 8_000, SHOPIFY: 8_000}
    # The claim; the card as it is; the movement, with the debit planned and sent; its outcome, with the card
    # given back.
    assert len(begun) == 4


def test_given_a_worker_that_dies_after_the_last_outcome_then_the_card_is_given_back(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(SHOPIFY, -2_000)
    ends: list[str] = []

    def dies(name: str) -> None:
        ends.extend([name] if name == "commit.after" else [])
        if len(ends) == 2:
            raise KeyboardInterrupt

    crashpoints.install(dies)
    with pytest.raises(KeyboardInterrupt):
        shop.work(card_id)
    crashpoints.install(None)

    card = shop.row("cards", id=card_id)
    assert (card["lease_owner"], card["lease_until"], card["due_at"]) == (None, None, None)
    assert shop.shown() == {FLOW: 8_000, SHOPIFY: 8_000}
    assert shop.card(card_id).in_step
