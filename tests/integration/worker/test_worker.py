"""The worker over sides in memory: a pass, the loop, what goes wrong, and that a second run does nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.api.card import Observation
from connectors.api.errors import SideClosed
from connectors.memory import MemoryFault
from sync import crashpoints
from sync.decisions.looks import FIRST_LOOK_SECONDS
from sync.support.audit import audit
from sync.worker.passes import WorkerOptions
from sync.worker.service import Loop, Service
from sync.worker.turns import Kind
from tests.integration.shop import FLOW, LEASE_SECONDS, SHOPIFY, Shop, effects
from tests.support import MovesClock

OTHER = "5000600070008000"
WAIT_SECONDS_MAX = 30.0


def writes(shop: Shop) -> int:
    return sum(len(side.writes) for side in shop.sides.values())


# --- One pass -----------------------------------------------------------------------------------------------


def test_given_cards_on_both_sides_then_one_pass_brings_all_in_step(shop: Shop) -> None:
    shop.sell(FLOW, 10_000)
    shop.sell(SHOPIFY, 4_000, OTHER)

    report = shop.sync()

    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
    assert shop.shown(OTHER) == {FLOW: 4_000, SHOPIFY: 4_000}
    assert (report.hints, report.arrived, report.met, report.unfinished, report.errors) == (2, 2, 2, 0, [])
    run = shop.row("runs")
    assert (run["kind"], run["outcome"], run["counts"]["met"]) == ("sync", "done", 2)
    assert run["started_at"] == run["ended_at"] == shop.clock()


def test_given_everything_in_step_then_a_second_run_makes_no_write(shop: Shop) -> None:
    shop.sell(FLOW, 10_000)
    shop.sell(SHOPIFY, 4_000, OTHER)
    shop.sync()
    shop.sync()  # It hears of what the first one wrote.
    before, written = shop.everything(), writes(shop)

    report = shop.sync()

    after = shop.everything()
    for card in (*before["cards"], *after["cards"]):
        del card["fencing"]  # Raised by every look.
    assert after == before
    assert (writes(shop), report.met, report.worked) == (written, 0, 0)
    assert list(audit(shop.engine, shop.vault, shop.clock, shop.sides)) == []


def test_given_customers_between_passes_then_each_pass_takes_them_in(shop: Shop) -> None:
    shop.sell(FLOW, 10_000)
    shop.sync()
    shop.move(FLOW, -3_000)
    shop.move(SHOPIFY, -2_000)

    shop.sync()

    assert shop.shown() == {FLOW: 5_000, SHOPIFY: 5_000}


def test_given_a_change_that_no_feed_tells_then_the_sweep_finds_it(shop: Shop) -> None:
    shop.sell(FLOW, 10_000)
    shop.sync()
    shop.sides[FLOW].cards["flow-1"].balance_minor -= 1_000

    assert shop.worker.sync_once(sweep=False, stop=MovesClock(shop.clock)).swept == 0
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 10_000}

    report = shop.sync()
    assert report.swept == 2
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000}


@pytest.mark.parametrize("fault", MemoryFault)
def test_given_any_fault_then_one_pass_waits_it_out(shop: Shop, fault: MemoryFault) -> None:
    shop.sell(FLOW, 10_000)
    shop.sync()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, fault)
    started = shop.clock()

    report = shop.sync()

    assert (report.unfinished, report.errors) == (0, [])
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    waited = (shop.clock() - started).total_seconds()
    absent = (MemoryFault.DROPPED, MemoryFault.LATE)
    assert waited >= shop.link.quiet_seconds if fault in absent else waited < 30


def test_given_an_answer_that_was_lost_then_the_marker_is_found_at_the_first_look(shop: Shop) -> None:
    shop.sell(FLOW, 10_000)
    shop.sync()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST)
    started = shop.clock()

    shop.sync()

    assert shop.row("intents", kind="debit")["state"] == "applied"
    assert effects(shop.sides[SHOPIFY]).count(("debit", 3_000)) == 1
    # Whoever waits for the stop signal of these tests finds that ten times as much has passed.
    assert shop.clock() - started == timedelta(seconds=10 * FIRST_LOOK_SECONDS)


def test_given_a_worker_that_died_in_a_call_then_the_next_pass_waits_for_its_lease_and_finds_out(
    shop: Shop, crash_at: Callable[..., None]
) -> None:
    shop.sell(FLOW, 10_000)
    shop.sync()
    shop.move(FLOW, -3_000)
    card_id = shop.card_id()
    crash_at("execute.called")
    with pytest.raises(BaseException, match=r"execute\.called"):
        shop.work(card_id)
    assert shop.row("intents", kind="debit")["state"] == "sent"

    shop.sync()

    assert shop.row("intents", kind="debit")["state"] == "applied"
    assert effects(shop.sides[SHOPIFY]).count(("debit", 3_000)) == 1
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_a_side_that_needs_a_person_then_the_other_is_read_and_it_is_said(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise SideClosed("the token is refused", "Renew it.")

    told: list[str] = []
    monkeypatch.setattr(shop.sides[FLOW], "hints", closed)
    object.__setattr__(shop.link, "on_closed", lambda side, error: told.append(side))
    shop.sell(SHOPIFY, 4_000)

    report = shop.sync()

    assert report.errors == ["flow: the token is refused. Renew it."]
    assert told == [FLOW]
    assert shop.shown() == {FLOW: 4_000, SHOPIFY: 4_000}
    assert shop.row("runs")["outcome"] == "failed"


def test_given_a_side_that_cannot_be_reached_then_the_pass_ends_in_bounded_time_with_work_left(
    shop: Shop,
) -> None:
    shop.sell(FLOW, 10_000)
    shop.fail(SHOPIFY, *[MemoryFault.NOT_SENT] * 1_000)
    object.__setattr__(shop.worker, "options", WorkerOptions(threads=2, wait_seconds_max=60))
    started = shop.clock()

    report = shop.sync()

    assert report.unfinished == 1
    assert (shop.clock() - started).total_seconds() <= 40
    assert shop.row("runs")["outcome"] == "failed"


def test_given_a_stop_during_a_pass_then_it_ends_soon_and_what_is_left_is_due(shop: Shop) -> None:
    for n in range(10):
        shop.sell(FLOW, 1_000, f"100020003000400{n}")
    stop = threading.Event()

    def progress(words: str, _: object) -> None:
        if words.startswith("bringing"):
            stop.set()

    report = shop.worker.sync_once(progress, stop=stop)

    assert report.met == 10
    assert all(c["lease_owner"] is None for c in shop.rows("cards"))
    assert shop.sync().unfinished == 0


def test_given_a_card_that_cannot_be_worked_on_then_the_others_are_and_it_is_said(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.sell(FLOW, 10_000)
    shop.sell(FLOW, 4_000, OTHER)
    real = shop.sides[SHOPIFY].apply

    def apply(effect: object, save: object) -> object:
        if effect.amount_minor == 10_000:  # type: ignore[attr-defined]
            raise ZeroDivisionError
        return real(effect, save)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(shop.sides[SHOPIFY], "apply", apply)
        report = shop.sync()

    assert shop.shown(OTHER) == {FLOW: 4_000, SHOPIFY: 4_000}
    assert report.errors == ["a card could not be worked on (ZeroDivisionError); see the log"]
    assert shop.sync().unfinished == 0
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_sides_of_the_link_then_their_identity_is_kept_and_another_is_refused(shop: Shop) -> None:
    shop.worker.check_sides()
    shop.worker.check_sides()
    assert [(s["name"], s["currency"]) for s in shop.rows("sides")] == [(FLOW, "NOK"), (SHOPIFY, "NOK")]

    shop.sides[FLOW].currency = "SEK"
    with pytest.raises(SideClosed, match="flow keeps its cards in SEK, the link in NOK"):
        shop.worker.check_sides()


class Generous:
    """A side that says how much one card may hold."""

    def __init__(self, limit_minor: int, currency: str = "NOK") -> None:
        self.limit = (limit_minor, currency)

    def creation_limit(self) -> tuple[int, str]:
        return self.limit


def test_given_a_side_with_a_limit_for_one_card_then_no_call_is_wasted_and_raising_it_is_enough(
    shop: Shop,
) -> None:
    limit = Generous(5_000)
    shop.worker.limited = {SHOPIFY: limit}
    shop.sell(FLOW, 10_000)
    shop.sell(FLOW, 4_000, OTHER)

    assert shop.sync().unfinished == 0

    assert effects(shop.sides[SHOPIFY]) == [("create", 4_000)]
    conflict = shop.row("conflicts")
    assert (conflict["kind"], conflict["closed_at"]) == ("over_limit", None)
    assert "shopify allows 50.00 NOK on one card, and this one is worth 100.00 NOK" in conflict["summary"]

    limit.limit = (20_000, "NOK")
    shop.sync()
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}
    assert shop.row("conflicts")["resolution"] == "cause gone"


def test_given_a_limit_in_another_currency_then_it_limits_nothing(shop: Shop) -> None:
    shop.worker.limited = {SHOPIFY: Generous(50, "USD")}
    shop.sell(FLOW, 10_000)
    shop.sync()
    assert shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


# --- For ever -----------------------------------------------------------------------------------------------


class Running:
    """A worker that runs in a thread; `until` waits for a state and never for a time."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._committed = threading.Condition()
        self._stop = threading.Event()
        self._drained: list[bool] = []
        self._thread = threading.Thread(target=self._run, name="worker")

    def _run(self) -> None:
        self._drained.append(Service(self._shop.worker).run(self._stop))

    def _reached(self, point: str) -> None:
        if point.endswith(".after"):
            with self._committed:
                self._committed.notify_all()

    def start(self) -> None:
        crashpoints.install(self._reached)
        self._thread.start()

    def until(self, holds: Callable[[], bool]) -> None:
        with self._committed:
            if not self._committed.wait_for(holds, WAIT_SECONDS_MAX):
                raise AssertionError("it never came to that")

    def stop(self) -> bool:
        self._stop.set()
        self._thread.join(WAIT_SECONDS_MAX)
        crashpoints.install(None)
        return self._drained == [True]


@pytest.fixture
def running(shop: Shop) -> Iterator[Running]:
    object.__setattr__(shop.worker, "options", WorkerOptions(threads=2, feed_interval_seconds=0.05))
    worker = Running(shop)
    yield worker
    worker.stop()


def in_step(shop: Shop, serial: str, amount_minor: int) -> Callable[[], bool]:
    def holds() -> bool:
        cards = [c for c in shop.rows("cards") if c["balance_minor"] == amount_minor and not c["lease_owner"]]
        return bool(cards) and shop.shown(serial) == {FLOW: amount_minor, SHOPIFY: amount_minor}

    return holds


def test_given_a_running_worker_then_it_hears_of_sales_and_payments_and_stop_drains(
    shop: Shop, running: Running
) -> None:
    running.start()
    shop.sell(FLOW, 10_000)
    running.until(lambda: shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000})

    shop.move(SHOPIFY, -3_000)
    running.until(lambda: shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000})

    assert running.stop()
    assert shop.card(1).in_step
    assert all(c["lease_owner"] is None for c in shop.rows("cards"))
    run = shop.row("runs")
    assert (run["kind"], run["outcome"]) == ("run", "done")
    assert run["ended_at"] is not None


def test_given_a_worker_that_was_stopped_then_the_next_one_makes_no_write(
    shop: Shop, running: Running
) -> None:
    shop.sell(FLOW, 10_000)
    running.start()
    running.until(lambda: shop.shown() == {FLOW: 10_000, SHOPIFY: 10_000})
    running.stop()
    shop.sync()
    written, movements = writes(shop), shop.rows("movements")

    shop.sync()

    assert (writes(shop), shop.rows("movements")) == (written, movements)


def test_given_a_worker_that_is_told_to_stop_then_it_claims_nothing_any_more(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.intake.make_due([card_id], shop.clock())
    loop = Loop(shop.worker, shop.worker.start_run("run"))
    loop.start()
    loop.drain(1.0)
    shop.intake.make_due([card_id], shop.clock())

    loop._work_due()  # The scheduler had begun it just before.

    assert shop.row("cards", id=card_id)["lease_owner"] is None


def test_given_the_last_feed_is_read_and_tells_nothing_then_cards_that_waited_for_it_are_begun_at_once(
    shop: Shop,
) -> None:
    shop.in_step()
    shop.sync()
    loop = Loop(shop.worker, shop.worker.start_run("run"))
    *others, last = [turn for turn in loop.turns.all if turn.kind is Kind.READ]
    for turn in others:
        loop._take(turn)
    assert not loop.due._woken.is_set()

    loop._take(last)

    assert loop.due._woken.is_set()


@pytest.mark.parametrize("is_news", [True, False])
def test_given_a_card_that_is_done_then_due_cards_are_looked_for_only_if_news_of_it_came(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, is_news: bool
) -> None:
    card_id = shop.in_step()
    shop.sync()
    loop = Loop(shop.worker, shop.worker.start_run("run"))
    for turn in [turn for turn in loop.turns.all if turn.kind is Kind.READ]:
        loop._take(turn)
    observe, asked = shop.sides[FLOW].observe, []

    def observed(*args: Any, **kwargs: Any) -> Iterator[Observation]:
        asked.append(args)
        if is_news:
            shop.intake.make_due([card_id], shop.clock())
        return observe(*args, **kwargs)

    monkeypatch.setattr(shop.sides[FLOW], "observe", observed)
    shop.intake.make_due([card_id], shop.clock())
    loop.due._woken.clear()

    loop._work_due()
    loop._pool.shutdown(wait=True)

    assert len(asked) == 1
    assert loop.due._woken.is_set() is is_news


def test_given_a_lease_that_is_over_then_the_card_is_taken_up_again(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.claim(card_id, "dead worker")
    shop.move(FLOW, -1_000)
    shop.clock.advance(LEASE_SECONDS + 1)

    shop.sync()

    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000}
    assert shop.row("cards", id=card_id)["lease_owner"] is None
