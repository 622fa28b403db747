"""Looking at a side that is read card by card: the queue in the ledger, and what a crash can cost it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from connectors.api.card import CardRef, Observation, Unreadable
from connectors.api.errors import NotSent
from connectors.memory import CAPABILITIES
from mappings.brands import Brands
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import crashpoints
from sync.decisions.poll_order import PollBudget, PollPopulation, ReadBy
from sync.decisions.redemption_rates import ROUND, SOLD
from sync.feeds.reader import Swept
from sync.ledger.database.tables import polls as polls_table
from sync.ledger.incoming.looks import Looks, SweepCursor
from sync.ledger.incoming.polls import TAKEN_FOR, Polls, ReadRecord
from sync.ledger.totals import read_totals
from sync.worker.turns import POLL_INTERVAL_SECONDS
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import Clock, Crashed

READS_PER_SECOND = 5.0
SERIALS = [f"10002000300040{n:02d}" for n in range(40)]


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """Flow is read one card at a time, lists no transactions, and no feed of it tells anything."""
    one_by_one = replace(CAPABILITIES, read_batch_max=1, lists_entries=False)
    return make_shop(capabilities={FLOW: one_by_one})


def looks(shop: Shop) -> Mapping[str, Looks]:
    return read_totals(shop.engine, shop.clock(), (), Brands()).looks


def stock(shop: Shop, cards: int) -> list[str]:
    """Cards that are in step; their serials."""
    for serial in SERIALS[:cards]:
        shop.in_step(10_000, serial)
    return SERIALS[:cards]


def slip(shop: Shop, serial: str, amount_minor: int) -> None:
    """A customer pays in the store, and neither webhook nor receipt tells of it."""
    shop.sides[FLOW].cards[shop.native(FLOW, serial)].balance_minor -= amount_minor


def poll(shop: Shop, seconds: float = POLL_INTERVAL_SECONDS) -> Swept:
    shop.clock.advance(seconds)
    return shop.worker.look(shop.sides[FLOW])


def work_due(shop: Shop) -> None:
    """As the worker does: every card that is due, and what was seen is told to the poller."""
    shop.worker.sync_once(sweep=False, stop=_Never(shop.clock))


class _Never(threading.Event):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timeout or 0.0)
        return False


def row(shop: Shop, serial: str) -> dict[str, Any]:
    index = shop.vault.index(Serial(serial))
    presence = shop.row("presences", side=FLOW, serial_index=index)
    return shop.row("polls", presence_id=presence["id"])


def population(shop: Shop) -> PollPopulation:
    kept = shop.row("poll_populations")
    return PollPopulation.from_json(kept["population"], kept["rates"])


def found_by_polls(shop: Shop) -> float:
    """What polling is credited with: each change stands in a coarse cell and in a fine one."""
    return sum(found for found, _ in population(shop).cells.values()) / 2


def test_given_a_payment_that_no_feed_tells_then_the_poll_finds_it(shop: Shop) -> None:
    one, other = stock(shop, 2)
    poll(shop)
    slip(shop, one, 3_000)

    looked = poll(shop)
    work_due(shop)

    assert (looked.looked_at, looked.differ) == (2, 1)
    assert shop.shown(one) == {FLOW: 7_000, SHOPIFY: 7_000}
    assert shop.shown(other) == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_what_a_poll_found_then_the_look_under_the_lease_does_not_count_it_again(shop: Shop) -> None:
    (serial,) = stock(shop, 1)
    poll(shop)
    slip(shop, serial, 3_000)
    poll(shop)
    found = row(shop, serial)["changes"]

    work_due(shop)
    poll(shop)

    assert found > 0
    assert row(shop, serial)["changes"] == found
    assert found_by_polls(shop) == 1.0


def test_given_a_hint_then_its_look_counts_and_polling_takes_no_credit(shop: Shop) -> None:
    (serial,) = stock(shop, 1)
    work_due(shop)
    poll(shop)
    shop.clock.advance(60)
    shop.move(FLOW, -3_000, serial)  # The journal tells of it.
    work_due(shop)

    after = row(shop, serial)

    assert after["changes"] > 0
    assert after["balance_minor"] == 7_000
    assert after["changed_at"] == after["polled_at"]
    assert found_by_polls(shop) == 0.0


def test_given_our_own_debit_then_it_is_no_change(shop: Shop) -> None:
    (serial,) = stock(shop, 1)
    poll(shop)
    shop.move(SHOPIFY, -3_000, serial)
    work_due(shop)
    poll(shop)

    assert shop.shown(serial) == {FLOW: 7_000, SHOPIFY: 7_000}
    assert (row(shop, serial)["changes"], row(shop, serial)["balance_minor"]) == (0.0, 7_000)


POINTS = (
    "polls.take.inside",
    "polls.take.after",
    "poller.observed",
    "polls.record.inside",
    "polls.record.after",
)


@pytest.mark.parametrize("point", POINTS)
def test_given_a_process_that_dies_anywhere_in_a_poll_then_the_payment_is_found_all_the_same(
    shop: Shop, point: str, crash_at: Callable[..., None]
) -> None:
    (serial,) = stock(shop, 1)
    poll(shop)
    slip(shop, serial, 3_000)
    crash_at(point)
    with pytest.raises(Crashed):
        poll(shop)
    assert shop.row("cards")["lease_owner"] is None

    poll(shop, TAKEN_FOR.total_seconds())
    work_due(shop)

    assert shop.shown(serial) == {FLOW: 7_000, SHOPIFY: 7_000}
    assert [m["amount_minor"] for m in shop.rows("movements")] == [10_000, -3_000]


def test_given_wrong_estimates_crashes_and_a_mute_card_then_every_card_is_looked_at_in_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    serials = stock(shop, 40)
    mute = shop.native(FLOW, serials[0])
    looked_at: dict[str, Any] = {shop.native(FLOW, s): shop.clock() for s in serials}
    longest = dict.fromkeys(looked_at, 0.0)
    real = shop.sides[FLOW].observe

    def observe(refs: Sequence[CardRef], **how: Any) -> Iterator[Observation]:
        for ref, seen in zip(refs, real(refs, **how), strict=True):
            assert ref.native_id is not None
            waited = (shop.clock() - looked_at[ref.native_id]).total_seconds()
            longest[ref.native_id] = max(longest[ref.native_id], waited)
            looked_at[ref.native_id] = shop.clock()
            yield Unreadable("no answer", shop.clock()) if ref.native_id == mute else seen

    monkeypatch.setattr(shop.sides[FLOW], "observe", observe)
    # One read a second, so that the order matters; every fourth card is believed to be hot beyond bounds.
    polls = replace(shop.worker.pollers[FLOW].polls, budget=PollBudget(1.0))
    object.__setattr__(shop.worker.pollers[FLOW], "polls", polls)
    chance = random.Random(3)
    crashes = 0

    def reached(point: str) -> None:
        nonlocal crashes
        if point in POINTS and chance.random() < 0.02:
            crashes += 1
            raise Crashed(point)

    for _ in range(200):
        with shop.engine.begin() as connection:
            hot = polls_table.c.presence_id % 4 == 0
            connection.execute(update(polls_table).where(hot).values(turn=0.0, weight=1e9))
        crashpoints.install(reached)
        try:
            poll(shop)
        except Crashed:
            pass
        finally:
            crashpoints.install(None)

    # Each crash costs its slice, and the next one waits until the dead worker's is over.
    lost = crashes * (TAKEN_FOR.total_seconds() + POLL_INTERVAL_SECONDS)
    assert crashes > 3
    assert max(longest.values()) <= polls.budget.bound_seconds(40) + POLL_INTERVAL_SECONDS + lost
    assert min((shop.clock() - at).total_seconds() for at in looked_at.values()) < 60
    assert looks(shop)[FLOW].unanswered == 1


def test_given_a_side_that_fails_in_the_middle_then_what_was_seen_before_is_kept(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    serials = stock(shop, 3)
    poll(shop)
    for serial in serials:
        slip(shop, serial, 1_000)
    real = shop.sides[FLOW].observe

    def observe(refs: Sequence[CardRef], **how: Any) -> Iterator[Observation]:
        for number, seen in enumerate(real(refs, **how)):
            if number == 2:
                raise NotSent("no connection")
            yield seen

    with monkeypatch.context() as patch:
        patch.setattr(shop.sides[FLOW], "observe", observe)
        with pytest.raises(NotSent):
            poll(shop)

    assert sum(card["due_at"] is not None for card in shop.rows("cards")) == 2
    assert poll(shop).looked_at == 3


def test_given_a_worker_that_looks_then_another_one_does_not_look_meanwhile(shop: Shop) -> None:
    stock(shop, 2)
    polls = shop.worker.pollers[FLOW].polls
    poll(shop)
    shop.clock.advance(POLL_INTERVAL_SECONDS)

    first = polls.take(shop.clock())
    shop.clock.advance(POLL_INTERVAL_SECONDS)
    assert (len(first), polls.take(shop.clock())) == (2, [])

    polls.record([], (), shop.clock(), ends_slice=True)
    assert len(polls.take(shop.clock())) == 2


def test_given_many_threads_that_record_then_no_look_is_lost(shop: Shop) -> None:
    stock(shop, 8)
    poll(shop)
    polls = shop.worker.pollers[FLOW].polls
    ids = [poll_row["presence_id"] for poll_row in shop.rows("polls")]
    at = shop.clock.advance(100)

    def record(presence_id: int) -> None:
        polls.record([ReadRecord(presence_id, at, ReadBy.TURN, 1, moved=True)], (), at)

    threads = [threading.Thread(target=record, args=(presence_id,)) for presence_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    rows = shop.rows("polls")
    assert all(one["balance_minor"] == 1 for one in rows)
    assert population(shop).weight == pytest.approx(sum(one["weight"] for one in rows))
    assert population(shop).cards == 8


def test_given_a_budget_then_it_is_kept_and_not_saved_up_while_nobody_works(shop: Shop) -> None:
    stock(shop, 40)
    poll(shop)

    reads = [poll(shop, 2.0).looked_at for _ in range(8)]

    assert sum(reads) <= 16 * READS_PER_SECOND
    assert max(reads) == 2 * READS_PER_SECOND
    assert poll(shop, 86_400.0).looked_at == 40  # Not more often than once, however much was saved.
    polls = replace(shop.worker.pollers[FLOW].polls, budget=PollBudget(0.02))
    shop.clock.advance(86_400.0)
    assert len(polls.take(shop.clock())) == 1


def test_given_a_card_that_is_closed_then_it_needs_no_looks_any_more(shop: Shop) -> None:
    one, _ = stock(shop, 2)
    poll(shop)
    shop.sides[FLOW].cards[shop.native(FLOW, one)].status = CardStatus.CLOSED
    shop.sides[FLOW].cards[shop.native(FLOW, one)].balance_minor = 0
    poll(shop)
    work_due(shop)

    assert poll(shop).looked_at == 2
    assert poll(shop).looked_at == 1
    assert population(shop).cards == 1


def test_given_a_pass_over_all_cards_then_every_look_counts(shop: Shop) -> None:
    (serial,) = stock(shop, 1)
    shop.clock.advance(3_600)

    shop.sync()

    assert row(shop, serial)["polled_at"] >= shop.clock() - timedelta(minutes=10)
    found = looks(shop)
    assert found[FLOW].adaptive
    assert not found[SHOPIFY].adaptive
    assert all(one.oldest_at is not None and one.cards == 1 for one in found.values())


def test_given_a_card_that_joins_long_after_the_first_contact_then_its_youth_is_known(shop: Shop) -> None:
    shop.worker.check_sides()
    shop.in_step(10_000, SERIALS[0])
    shop.clock.advance(2 * 86_400)
    shop.in_step(10_000, SERIALS[1])
    poll(shop)

    assert [row(shop, serial)["issued"] for serial in SERIALS[:2]] == [False, True]
    assert [row(shop, serial)["kind"] for serial in SERIALS[:2]] == [ROUND, SOLD]


def test_given_cards_met_with_nothing_or_an_odd_amount_then_fewer_looks_are_promised_to_them(
    shop: Shop,
) -> None:
    for balance, serial in zip((10_000, 3_141, 0), SERIALS[:3], strict=True):
        shop.in_step(balance, serial)
    poll(shop)

    rates = [row(shop, serial)["rate"] for serial in SERIALS[:3]]

    assert rates == sorted(rates, reverse=True)
    assert rates[2] < rates[1] / 10 < rates[0] / 10
    assert sum(cards for cards, *_ in population(shop).rates.rows.values()) == 3


def test_given_any_number_of_cards_then_choosing_reads_two_indexes_and_no_table(shop: Shop) -> None:
    if shop.engine.dialect.name != "sqlite":
        pytest.skip("another planner: it scans a table as small as a test's")
    stock(shop, 2)
    poll(shop)
    steps = _steps_of_take(shop.engine, shop.worker.pollers[FLOW].polls, shop)

    assert any("ix_polls_turn" in step for step in steps)
    assert any("ix_polls_asked_at" in step for step in steps)
    assert any("ix_presences_unwatched" in step for step in steps)
    assert [step for step in steps if step.startswith("SCAN")] == []
    assert [step for step in steps if "TEMP B-TREE" in step] == []


def _steps_of_take(engine: Engine, polls: Polls, shop: Shop) -> list[str]:
    """How SQLite would carry out each query of `take`."""
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        polls.take(shop.clock.advance(60))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        return [
            str(step[3])
            for statement, parameters in asked
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


def test_given_a_sweep_in_rounds_then_it_knows_since_when_all_was_looked_at(clock: Clock) -> None:
    began = clock()
    cursor = SweepCursor.load(None).moved(began, 250)
    assert cursor.whole_since is None

    cursor = SweepCursor.load(cursor.dump()).moved(clock.advance(10), 0)
    assert cursor == SweepCursor(0, None, began)

    again = clock.advance(10)
    cursor = SweepCursor.load(cursor.dump()).moved(again, 250)
    assert (cursor.began_at, cursor.whole_since) == (again, began)
