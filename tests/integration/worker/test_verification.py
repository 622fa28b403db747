"""Cards that nobody touches are verified in turn."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sync.worker import verification
from tests.integration.shop import FLOW, SHOPIFY, Shop

CARDS = 7
CHANGED = "UPDATE cards SET balance_minor = 90000 WHERE id = 6"
PUT_BACK = "UPDATE cards SET balance_minor = 1000 WHERE id = 6"


@pytest.fixture
def many(shop: Shop) -> Shop:
    """Cards 1 to 7 worth 10.00 each, in step and not due."""
    for number in range(CARDS):
        shop.in_step(1_000, f"{5000600070008000 + number}")
    return shop


def in_turn(shop: Shop, limit: int = 3) -> list[int]:
    """How many cards each slice of one round makes due."""
    return [shop.worker.verify_next(limit) for _ in range(-(-CARDS // limit))]


def tampered(shop: Shop) -> list[int]:
    return [c["card_id"] for c in shop.rows("conflicts", kind="tampered") if c["closed_at"] is None]


def test_given_a_changed_card_that_nobody_touches_then_one_round_finds_it_and_asks_no_side(
    many: Shop,
) -> None:
    many.by_hand(CHANGED)
    calls = [side.usage().calls for side in many.sides.values()]

    found = in_turn(many)
    assert [side.usage().calls for side in many.sides.values()] == calls
    many.work(6)

    assert found == [0, 1, 0]
    assert tampered(many) == [6]
    # Whoever was told of it is not told again, and the worker is not woken for it.
    assert in_turn(many) == [0, 0, 0]


def test_given_a_slice_in_a_new_process_then_the_round_goes_on_where_it_was(many: Shop) -> None:
    many.by_hand(CHANGED)
    assert many.worker.verify_next(3) == 0

    assert verification.verify_next(many.store, many.intake, many.clock(), "NOK", 3) == 1


def test_given_rows_that_are_put_back_then_the_conflict_closes_within_one_round(many: Shop) -> None:
    many.by_hand(CHANGED)
    in_turn(many)
    many.work(6)
    many.by_hand(PUT_BACK)

    assert in_turn(many) == [0, 1, 0]
    many.work_until_quiet(6)

    assert tampered(many) == []
    assert many.shown("5000600070008005") == {FLOW: 1_000, SHOPIFY: 1_000}


def changed_histories(shop: Shop) -> list[tuple[int | None, str]]:
    told = [c for c in shop.rows("conflicts", kind="history_changed") if c["closed_at"] is None]
    return [(c["card_id"], c["cause"]) for c in told]


def test_given_an_old_row_that_was_changed_then_a_person_is_told_once_and_the_card_goes_on(
    many: Shop,
) -> None:
    many.by_hand("UPDATE intent_states SET reason = 'another' WHERE card_id = 6 AND chain_seq = 5")

    with capture_logs() as logs:
        found = in_turn(many) + in_turn(many)

    assert found == [0] * 6
    assert [line["card_id"] for line in logs if line.get("action") == "card.history_changed"] == [6]
    assert changed_histories(many) == [(6, "history_changed")]
    many.move(FLOW, -100, "5000600070008005")
    many.work(6)
    assert many.shown("5000600070008005") == {FLOW: 900, SHOPIFY: 900}


def test_given_an_old_row_that_is_put_back_then_the_conflict_closes_by_itself(many: Shop) -> None:
    before = many.row("intent_states", card_id=6, chain_seq=5)["reason"]
    many.by_hand("UPDATE intent_states SET reason = 'another' WHERE card_id = 6 AND chain_seq = 5")
    in_turn(many)
    many.by_hand(f"UPDATE intent_states SET reason = '{before}' WHERE card_id = 6 AND chain_seq = 5")

    in_turn(many)

    assert changed_histories(many) == []
    assert many.row("conflicts", kind="history_changed")["resolution"] == "cause gone"


def test_given_a_card_that_was_deleted_then_a_person_is_told_until_its_row_is_back(many: Shop) -> None:
    many.by_hand("CREATE TABLE kept AS SELECT * FROM cards WHERE id = 6", "DELETE FROM cards WHERE id = 6")
    in_turn(many)
    in_turn(many)

    assert changed_histories(many) == [(None, "card_gone:6")]
    told = many.row("conflicts", kind="history_changed")
    assert (told["amount_minor"], told["summary"]) == (
        1_000,
        "••••8005 (card 6) is gone from the ledger; only other rows of it are left.",
    )
    many.by_hand("INSERT INTO cards SELECT * FROM kept", "DROP TABLE kept")
    in_turn(many)
    assert changed_histories(many) == []


def test_given_a_pass_then_it_verifies_cards_that_no_feed_told_of(many: Shop) -> None:
    many.by_hand(CHANGED)

    many.sync()

    assert tampered(many) == [6]


@pytest.mark.parametrize("cards", [7, 100_000, 864_000, 5_000_000])
def test_given_any_number_of_cards_then_a_round_ends_within_a_day(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, cards: int
) -> None:
    monkeypatch.setattr(verification, "highest_card_id", lambda engine: cards)

    slices = -(-cards // verification.slice_size(shop.engine))

    assert slices * verification.VERIFY_SECONDS <= verification.ROUND_SECONDS
