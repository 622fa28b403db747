"""A side that does not answer: the ledger says which, since when and why; nothing waits for it in vain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from cli.errors import OperatorError
from cli.session import check_sides
from connectors.api.errors import InDoubt, NotSent, SideClosed, SideError, Stopping
from connectors.memory import MemoryFault
from sync.ledger import views
from sync.ledger.sides.outages import LOOKING, STARTING, WRITING, OutageKind, Outages, read_outages
from sync.reconcile.execute import NOT_SENT_WAIT_SECONDS_MAX, pause_seconds
from sync.worker.passes import PassReport
from tests.integration.shop import FLOW, SHOPIFY, Shop, effects


def fails(error: SideError) -> Callable[[], object]:
    def action() -> object:
        raise error

    return action


def test_given_a_side_that_does_not_answer_then_the_ledger_says_since_when_and_why_until_it_does(
    shop: Shop,
) -> None:
    began = shop.clock()
    for seconds, reason in ((0, "no connection could be made"), (30, "no answer came in time")):
        shop.clock.advance(seconds)
        shop.worker.guarded(PassReport(), FLOW, fails(InDoubt(reason)), "reading receipts")

    (found,) = read_outages(shop.engine)
    assert (found.side, found.task, found.kind) == (FLOW, "reading receipts", OutageKind.SILENT)
    assert (found.since, found.asked_at) == (began, began + timedelta(seconds=30))
    assert found.reason == "no answer came in time"

    shop.worker.guarded(PassReport(), FLOW, lambda: None, "reading receipts")
    assert read_outages(shop.engine) == ()


def test_given_a_task_that_fails_and_another_of_the_side_that_works_then_only_the_one_is_told(
    shop: Shop,
) -> None:
    shop.worker.guarded(PassReport(), FLOW, fails(NotSent("no connection")), LOOKING)
    shop.worker.guarded(PassReport(), FLOW, lambda: None, "reading receipts")
    assert [one.task for one in read_outages(shop.engine)] == [LOOKING]

    # It had nothing to ask for, so it says nothing about the side.
    shop.worker.guarded(PassReport(), FLOW, lambda: False, LOOKING)
    assert [one.task for one in read_outages(shop.engine)] == [LOOKING]


def test_given_a_feed_that_was_switched_off_while_it_failed_then_its_outage_ends_with_the_others(
    shop: Shop,
) -> None:
    shop.worker.guarded(PassReport(), FLOW, fails(NotSent("no connection")), "reading old feed")
    shop.clock.advance(3_600)

    shop.worker.guarded(PassReport(), FLOW, lambda: None, LOOKING)

    assert read_outages(shop.engine) == ()


def test_given_an_outage_of_an_earlier_run_then_the_next_run_ends_it(shop: Shop) -> None:
    shop.worker.guarded(PassReport(), FLOW, fails(NotSent("no connection")), LOOKING)
    object.__setattr__(shop.link, "outages", Outages())

    shop.worker.guarded(PassReport(), FLOW, lambda: None, LOOKING)

    assert read_outages(shop.engine) == ()


def test_given_a_worker_that_is_stopping_then_nothing_is_said_about_the_side(shop: Shop) -> None:
    shop.worker.guarded(PassReport(), FLOW, fails(Stopping("giftsync is stopping")), LOOKING)

    assert read_outages(shop.engine) == ()


def test_given_a_side_that_needs_a_person_then_it_is_told_at_first_and_once_a_minute(shop: Shop) -> None:
    told: list[str] = []
    object.__setattr__(shop.link, "on_closed", lambda side, error: told.append(side))
    closed = fails(SideClosed("the token is refused", "Renew it."))

    for _ in range(24):
        shop.worker.guarded(PassReport(), FLOW, closed, LOOKING)
        shop.clock.advance(5)

    assert told == [FLOW, FLOW]
    assert read_outages(shop.engine)[0].remedy == "Renew it."


# --- Effects ------------------------------------------------------------------------------------------------


def test_given_effects_that_are_not_sent_then_each_pause_is_longer_up_to_a_minute() -> None:
    assert [pause_seconds(n) for n in range(7)] == [2, 4, 8, 16, 32, 60, 60]
    assert pause_seconds(10**9) == NOT_SENT_WAIT_SECONDS_MAX


def test_given_a_side_that_takes_no_effect_then_it_is_told_and_the_pauses_grow(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, *[MemoryFault.NOT_SENT] * 3)

    pauses = []
    for _ in range(3):
        shop.work(card_id)
        due_at = shop.row("cards", id=card_id)["due_at"]
        pauses.append((due_at - shop.clock()).total_seconds())
        shop.clock.advance(pauses[-1])

    assert pauses == [2, 4, 8]
    assert [(one.side, one.task) for one in read_outages(shop.engine)] == [(SHOPIFY, WRITING)]

    shop.work(card_id)
    assert read_outages(shop.engine) == ()
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


@pytest.mark.parametrize("fault", [MemoryFault.NOT_SENT, MemoryFault.THROTTLED])
def test_given_one_card_that_a_side_keeps_turning_away_then_the_pass_ends_soon_and_the_others_are_done(
    shop: Shop, fault: MemoryFault
) -> None:
    shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, *[fault] * 1_000)
    began = shop.clock()

    report = shop.sync()

    assert report.unfinished == 1
    assert (shop.clock() - began).total_seconds() < 40


def test_given_a_side_that_needs_a_person_then_no_pass_waits_for_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.in_step()
    shop.move(FLOW, -3_000)
    began = shop.clock()

    def closed(*_: object) -> None:
        raise SideClosed("the token may not write", "Grant write_gift_cards.")

    monkeypatch.setattr(shop.sides[SHOPIFY], "apply", closed)
    report = shop.sync()

    assert report.unfinished == 1
    assert (shop.clock() - began).total_seconds() < 5
    (found,) = read_outages(shop.engine)
    assert (found.kind, found.task) == (OutageKind.CLOSED, WRITING)


def test_given_a_side_that_answers_again_then_what_waited_for_it_is_tried_at_once(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, *[MemoryFault.NOT_SENT] * 5)
    for _ in range(5):
        shop.work(card_id)
        due_at = shop.row("cards", id=card_id)["due_at"]
        shop.clock.advance((due_at - shop.clock()).total_seconds())
    shop.fail(SHOPIFY, MemoryFault.NOT_SENT)
    shop.work(card_id)
    assert shop.store.claim_due("w", shop.clock(), 60.0, 1) == []
    shop.worker.guarded(PassReport(), SHOPIFY, fails(NotSent("no connection")), LOOKING)

    shop.worker.guarded(PassReport(), SHOPIFY, lambda: None, LOOKING)

    (lease,) = shop.store.claim_due("worker 1", shop.clock(), 60.0, 1)
    shop.store.release(lease, None)
    shop.work(card_id)
    assert effects(shop.sides[SHOPIFY])[-1] == ("debit", 3_000)


def test_given_a_side_that_is_down_at_the_start_then_it_is_told_since_when_and_until_it_answers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.in_step()
    monkeypatch.setattr(shop.sides[SHOPIFY], "identify", fails(NotSent("no connection could be made")))
    with pytest.raises(OperatorError, match=SHOPIFY):
        check_sides(shop.worker)
    shop.worker.could_not_begin("sync")

    (found,) = read_outages(shop.engine)
    assert (found.side, found.task, found.kind) == (SHOPIFY, STARTING, OutageKind.SILENT)
    assert views.status(shop.engine, shop.clock()).last_run_outcome == "failed"

    monkeypatch.undo()
    check_sides(shop.worker)
    assert read_outages(shop.engine) == ()
