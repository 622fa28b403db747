"""Imports that workers carry out in turns: each card once, whoever takes the next turn and whatever dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.api.errors import NotSent
from connectors.memory import MemoryFault
from sync.importer import apply
from sync.importer.apply import Importer, Mode
from sync.importer.planfile import choose_rows
from sync.importer.progress import StopSignal
from sync.importer.turns import HELD_SECONDS, TROUBLE_SECONDS, WAITING_SECONDS, QueuedImports
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.database.engine import LedgerUnavailable
from sync.ledger.imports.rows import Import, queued_imports
from sync.reconcile.brakes import BrakeLimits
from sync.reconcile.card import reconcile
from sync.support.audit import audit
from tests.integration.importer.import_desk import Desk
from tests.integration.shop import FLOW, LEASE_SECONDS, SHOPIFY, Shop
from tests.support import Crashed

STORE, ONLINE = 16, 3
ALL_MINOR = sum(n * 100 for n in range(1, STORE + 1)) + ONLINE * 1_000
NEVER = threading.Event()
TakesTurn = Callable[[threading.Event], float | None]


@pytest.fixture
def desk(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    # A few rows at a time: so few cards would be one turn's.
    monkeypatch.setattr(apply, "TURN_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(apply, "TURN_GROUP", 2)
    return Desk(shop, tmp_path)


def fill(desk: Desk) -> Import:
    return desk.fill(STORE, ONLINE)


def queue(desk: Desk, plan: Import, *, in_bulk: bool = False) -> None:
    choose_rows(desk.path, desk.imports, plan)
    desk.imports.queue(plan, desk.shop.clock(), in_bulk=in_bulk)


def worker_of(desk: Desk, brake: BrakeLimits | None = None) -> TakesTurn:
    """What one worker of the link has of its imports."""

    def importer_of(plan: Import, halt: StopSignal) -> Importer:
        left = plan.money_left_minor
        limits = brake if brake is None or left is None else replace(brake, money_minor=left)
        made = desk.importer(Mode.AUTO, brake=limits)
        made.halt = halt
        return made

    queued = QueuedImports(desk.imports, lambda: desk.shop.link, importer_of, seconds=60.0)
    run_id = desk.shop.worker.start_run("worker")
    return lambda stop: queued(stop, run_id)


class Asked(threading.Event):
    """Is set once it was asked so often: the time of a turn, without a clock."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left, self._lock = times, threading.Lock()

    def is_set(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left < 0

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def finished(desk: Desk) -> None:
    assert desk.totals() == (ALL_MINOR, ALL_MINOR)
    assert [len(side.cards) for side in desk.shop.sides.values()] == [STORE + ONLINE] * 2
    assert desk.in_step()
    proof = audit(desk.shop.engine, desk.shop.vault, desk.shop.clock, desk.shop.sides)
    assert [finding.summary for finding in proof] == []


def work_on_due(shop: Shop) -> None:
    """The worker's ordinary work, beside its turns of the import."""
    for lease in shop.store.claim_due(shop.link.owner, shop.clock(), LEASE_SECONDS, 1_000):
        reconcile(shop.link, lease, None)


def take_turns(desk: Desk, workers: list[TakesTurn], asked: int = 15) -> int:
    """Workers take turns until nothing is queued; how many turns they took."""
    for turn in range(400):
        seconds = workers[turn % len(workers)](Asked(asked))
        if seconds is None:
            return turn + 1
        desk.shop.clock.advance(seconds)
        work_on_due(desk.shop)
    raise AssertionError("the import never ended")


@pytest.mark.parametrize("in_bulk", [False, True])
def test_given_a_queued_plan_then_turns_of_several_workers_carry_it_out(desk: Desk, *, in_bulk: bool) -> None:
    plan = fill(desk)
    queue(desk, plan, in_bulk=in_bulk)

    turns = take_turns(desk, [worker_of(desk), worker_of(desk)], asked=6 if in_bulk else 12)

    assert turns > 1
    finished(desk)
    done = desk.imports.get(plan.id)
    assert (done.state, done.rows_left, done.queued_at, done.trouble) == ("done", 0, None, None)
    # Those that a turn made ready and another sent were created once.
    assert len(desk.shop.rows("intents")) == STORE + ONLINE
    assert bool(desk.mass.files) is in_bulk


@pytest.mark.parametrize("before", [None, "queued", "paused"])
def test_given_a_plan_that_was_queued_in_the_database_then_no_worker_carries_it_out(
    desk: Desk, before: str | None
) -> None:
    plan = fill(desk)
    if before is not None:
        queue(desk, plan, in_bulk=False)
    if before == "paused":
        desk.imports.pause(plan)
    desk.shop.by_hand(
        "UPDATE import_rows SET chosen = true",
        "UPDATE imports SET queued_at = created_at, in_bulk = false",
        *(["UPDATE marks SET value = 'x' WHERE name LIKE 'plan_queued:%'"] if before == "queued" else []),
    )
    assert worker_of(desk)(NEVER) is None

    found = desk.imports.get(plan.id)
    assert (found.queued_at, "not by giftsync" in (found.trouble or "")) == (None, True)
    assert desk.shop.rows("cards") == []
    # and queued as it has to be, it is carried out
    queue(desk, plan, in_bulk=False)
    take_turns(desk, [worker_of(desk)])
    finished(desk)


def test_given_no_queued_plan_then_a_turn_does_nothing(desk: Desk) -> None:
    fill(desk)

    assert worker_of(desk)(NEVER) is None
    assert desk.shop.rows("cards") == []


@pytest.mark.parametrize(
    "point",
    [
        *("batch.inside", "execute.called"),
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("batch.committed", "execute.sent")),
    ],
)
def test_given_a_worker_that_dies_in_its_turn_then_another_goes_on_and_no_card_is_made_twice(
    desk: Desk, point: str, crash_after: Callable[[str, int], None]
) -> None:
    plan = fill(desk)
    queue(desk, plan)
    crash_after(point, 3)
    with pytest.raises(Crashed):
        worker_of(desk)(NEVER)

    # What it held is its own until the leases have run out.
    assert worker_of(desk)(NEVER) == HELD_SECONDS
    desk.shop.clock.advance(LEASE_SECONDS + 1)
    take_turns(desk, [worker_of(desk)], asked=1_000)

    finished(desk)


def test_given_a_plan_that_is_paused_then_it_stays_as_it_is_and_goes_on_when_queued_again(desk: Desk) -> None:
    plan = fill(desk)
    queue(desk, plan)
    worker = worker_of(desk)
    assert worker(Asked(9)) == 0

    assert desk.imports.pause(plan)
    assert not desk.imports.pause(plan)
    before = len(desk.shop.rows("cards"))
    assert worker(NEVER) is None
    assert len(desk.shop.rows("cards")) == before < STORE + ONLINE

    queue(desk, plan)
    take_turns(desk, [worker])
    finished(desk)


def test_given_a_plan_that_is_cancelled_then_what_was_begun_ends_and_nothing_else_is_made(desk: Desk) -> None:
    plan = fill(desk)
    queue(desk, plan)
    worker = worker_of(desk)
    worker(Asked(9))

    taken_out = desk.imports.cancel(plan)
    begun = len(desk.shop.rows("cards"))
    take_turns(desk, [worker])

    assert taken_out == STORE + ONLINE - begun > 0
    assert len(desk.shop.rows("cards")) == begun
    assert desk.in_step()
    assert desk.imports.get(plan.id).state == "done"


def test_given_two_queued_plans_then_the_first_is_carried_out_first(desk: Desk) -> None:
    first = fill(desk)
    queue(desk, first)
    desk.shop.clock.advance(1)
    second = desk.imports.begin("NOK", desk.shop.clock())
    desk.imports.planned(second.id, [], first.before)
    desk.imports.queue(second, desk.shop.clock(), in_bulk=False)
    assert [one.id for one in queued_imports(desk.shop.engine)] == [first.id, second.id]

    worker_of(desk)(Asked(9))
    assert desk.imports.get(second.id).begun_at is None
    take_turns(desk, [worker_of(desk)])

    assert desk.imports.get(second.id).state == "done"
    finished(desk)


def test_given_a_plan_that_somebody_applies_then_its_turns_wait(desk: Desk) -> None:
    plan = fill(desk)
    queue(desk, plan)
    desk.imports.take(plan, "an import apply", desk.shop.clock(), alone=False)

    assert worker_of(desk)(NEVER) == HELD_SECONDS
    assert desk.shop.rows("cards") == []


def test_given_a_plan_that_a_worker_holds_then_nobody_else_applies_it(desk: Desk) -> None:
    plan = fill(desk)
    desk.imports.take(plan, "a turn", desk.shop.clock(), alone=False, seconds=30.0)
    importer = desk.importer()
    importer.alone = False

    with pytest.raises(LedgerUnavailable, match="import pause"):
        importer.apply(plan)


def test_given_a_side_that_is_away_then_the_plan_says_so_and_waits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise NotSent("the store does not answer")

    plan = fill(desk)
    queue(desk, plan)
    with monkeypatch.context() as patched:
        patched.setattr(desk.shop.sides[FLOW], "lookup", away)
        assert worker_of(desk)(NEVER) == TROUBLE_SECONDS

    assert desk.imports.get(plan.id).trouble == "flow does not tell which numbers are free"
    take_turns(desk, [worker_of(desk)])
    assert desk.imports.get(plan.id).trouble is None
    finished(desk)


def test_given_creates_in_doubt_then_the_worker_finishes_them_and_the_plan_ends(desk: Desk) -> None:
    plan = fill(desk)
    queue(desk, plan)
    desk.shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST, MemoryFault.DROPPED)
    worker = worker_of(desk)

    assert worker(NEVER) == WAITING_SECONDS
    assert desk.imports.get(plan.id).rows_left == 2
    take_turns(desk, [worker])

    finished(desk)


def test_given_more_money_than_was_planned_then_the_brake_counts_over_all_turns(desk: Desk) -> None:
    plan = fill(desk)
    queue(desk, plan)
    bound = BrakeLimits(money_minor=ALL_MINOR // 2, window_seconds=1e9)
    for _ in range(200):
        # Each turn is another worker's.
        if worker_of(desk, bound)(Asked(9)) != 0:
            break

    assert stopped_by(desk.shop.engine) != []
    shown = sum(desk.totals()) - ALL_MINOR
    assert shown <= ALL_MINOR // 2


def test_given_a_file_that_the_side_is_still_at_then_turns_make_no_second_one(
    desk: Desk,
) -> None:
    plan = fill(desk)
    queue(desk, plan, in_bulk=True)
    state, over = desk.mass.state, threading.Event()
    desk.mass.state = lambda operation: replace(state(operation), is_over=over.is_set())  # type: ignore[method-assign]
    worker = worker_of(desk)
    worker(NEVER)
    files = len(desk.mass.started)

    for _ in range(3):
        assert worker(NEVER) is not None
    assert len(desk.mass.started) == files == 1
    over.set()
    take_turns(desk, [worker])

    finished(desk)
