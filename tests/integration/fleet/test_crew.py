"""Workers of a fleet on links in memory: what is stored is carried over, whatever becomes of the database."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from connectors.api.errors import SideClosed
from sync.authority.upkeep import ApiUpkeep
from sync.authority.webhooks import Teller, new_webhook
from sync.fleet import crew as crew_module
from sync.fleet.crew import MORE_DUE, Crew, places, timed
from sync.fleet.queue import LATER, NOW, Timed, TurnQueue
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.database.clock import machine_time
from sync.ledger.database.migrations import OLDEST_BESIDE, newest_revision
from sync.ledger.database.news import QUEUE_SCHEMA as SCHEMA
from sync.ledger.hub.events import Events
from sync.ledger.hub.requests import Requests
from sync.reconcile.brakes import access_revoked
from sync.worker.turns import DUE, Kind, Turn
from sync.worker.until import Until
from sync.worker.worker import Worker
from tests.integration.fleet.conftest import LEDGER
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import seen_in_time

pytestmark = pytest.mark.postgres
BUSY = "imports"


class Opens:
    """Opens the one link, as often as it is asked; fails while told to."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.count, self.fails = shop, 0, False

    @contextmanager
    def __call__(self, ledger: str) -> Iterator[Worker]:
        assert ledger == LEDGER
        self.count += 1
        if self.fails:
            raise RuntimeError("out of reach")
        yield self.shop.worker


@contextmanager
def working(
    queue: TurnQueue,
    opens: Opens,
    versions: dict[str, object] | None = None,
    crew_type: type[Crew] = Crew,
    clock: Callable[[], datetime] = machine_time,
) -> Iterator[Crew]:
    stop = threading.Event()
    known = {LEDGER: 1} if versions is None else versions
    crew = crew_type(queue, opens, lambda: known, turns_at_once=4, clock=clock)
    drained: list[bool] = []
    thread = threading.Thread(target=lambda: drained.append(crew.run(stop)))
    thread.start()
    try:
        yield crew
    finally:
        stop.set()
        thread.join(30)
    assert drained == [True]


def cut_off(queue: TurnQueue, since: datetime) -> None:
    """Every connection to the database is gone that was made since then."""
    with psycopg.connect(queue.address, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_start >= %s",
            [since],
        )


def test_given_news_then_a_worker_of_the_fleet_carries_it_over(queue: TurnQueue, shop: Shop) -> None:
    card_id = shop.in_step()
    with working(queue, Opens(shop)) as crew:
        assert seen_in_time(lambda: crew.taken > 5)
        shop.move(FLOW, -1_000)
        shop.intake.make_due([card_id], shop.clock())

        assert seen_in_time(lambda: shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000})


def test_given_a_database_that_drops_every_connection_then_the_worker_goes_on(
    queue: TurnQueue, shop: Shop
) -> None:
    card_id, since = shop.in_step(), datetime.now(UTC)
    with working(queue, Opens(shop)) as crew:
        assert seen_in_time(lambda: crew.taken > 5)
        cut_off(queue, since)
        shop.move(FLOW, -1_000)
        assert seen_in_time(lambda: _is_made_due(shop, card_id))

        assert seen_in_time(lambda: shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000})


def _is_made_due(shop: Shop, card_id: int) -> bool:
    try:
        shop.intake.make_due([card_id], shop.clock())
    except Exception:  # noqa: BLE001 the first one may be given a connection that is gone
        return False
    return True


def test_given_a_clock_that_is_not_the_databases_then_no_turn_is_taken_until_it_is(
    queue: TurnQueue, shop: Shop
) -> None:
    apart, asked = timedelta(minutes=10), 0

    def clock() -> datetime:
        nonlocal asked
        asked += 1
        return machine_time() + apart

    with working(queue, Opens(shop), clock=clock) as crew:
        assert seen_in_time(lambda: asked >= 6)
        assert crew.taken == 0
        apart = timedelta()

        assert seen_in_time(lambda: crew.taken > 0)


def test_given_a_statement_that_waits_for_a_lock_then_its_turn_is_told_of_and_goes_on(
    queue: TurnQueue, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "TEND_SECONDS", 0.0)
    monkeypatch.setattr(crew_module, "SLOW_SECONDS", 0.0)
    with capture_logs() as logs, shop.engine.begin() as somebody, working(queue, Opens(shop)) as crew:
        somebody.execute(text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
        assert seen_in_time(lambda: any(line.get("action") == "turn.slow" for line in logs))
        before = crew.taken
        somebody.rollback()

        assert seen_in_time(lambda: crew.taken > before)

    slow = [line["turn"] for line in logs if line.get("action") == "turn.slow"]
    assert slow[0] == str(Turn(Kind.GO_ON))


def test_given_two_workers_then_a_brake_of_one_stops_the_other(queue: TurnQueue, shop: Shop) -> None:
    card_id = shop.in_step()
    with working(queue, Opens(shop)) as crew:
        assert seen_in_time(lambda: crew.taken > 5)
        brake = access_revoked(FLOW, SideClosed("Flow has ended giftsync's access", "Give it again."))
        shop.intake.report(brake.conflict, shop.clock())
        shop.move(FLOW, -1_000)
        shop.intake.make_due([card_id], shop.clock())
        before = crew.taken
        assert seen_in_time(lambda: crew.taken > before)

    assert stopped_by(shop.engine) != []
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 10_000}


def test_given_settings_that_change_then_the_link_is_opened_anew(queue: TurnQueue, shop: Shop) -> None:
    opens = Opens(shop)
    versions: dict[str, object] = {LEDGER: 1}
    with working(queue, opens, versions) as crew:
        assert seen_in_time(lambda: crew.taken > 3 and opens.count == 1)
        versions[LEDGER] = 2

        assert seen_in_time(lambda: opens.count == 2)


def test_given_a_link_that_cannot_be_opened_then_its_turns_wait(queue: TurnQueue, shop: Shop) -> None:
    opens = Opens(shop)
    opens.fails = True
    with working(queue, opens) as crew:
        assert seen_in_time(lambda: crew.taken > 0)

    assert opens.count == 1


def test_given_a_turn_of_a_ledger_that_is_gone_then_the_queue_forgets_it(
    queue: TurnQueue, shop: Shop
) -> None:
    queue.keep("gone", [timed(Turn(Kind.DUE), 3600.0)])

    with working(queue, OpensOthers(shop)):
        assert seen_in_time(lambda: queue.known() == {LEDGER})


class OpensOthers(Opens):
    """Has no link with the ledger that is gone."""

    @contextmanager
    def __call__(self, ledger: str) -> Iterator[Worker]:
        if ledger == "gone":
            raise RuntimeError("there is no such link")
        with super().__call__(ledger) as worker:
            yield worker


class Held(Crew):
    """Turns of one link do not end until they are let go; those of the others end at once."""

    def __init__(self, queue: TurnQueue, links: Collection[str], turns_at_once: int) -> None:
        super().__init__(queue, _nobody, lambda: dict.fromkeys(links, 1), turns_at_once)
        self.let_go, self.seen, self.held = threading.Event(), set[tuple[str, str]](), set[str]()

    def take(self, ledger: str, turn: str, behind: bool) -> None:
        self.seen.add((ledger, turn))
        if ledger == BUSY:
            self.held.add(turn)
            self.let_go.wait(60)


def _nobody(_: str) -> AbstractContextManager[Worker]:
    raise NotImplementedError


@pytest.mark.parametrize("turns_at_once", [8, 16])
def test_given_a_link_whose_every_turn_hangs_then_anothers_turns_are_taken(
    queue: TurnQueue, turns_at_once: int
) -> None:
    every = [
        *(Turn(kind) for kind in (Kind.DUE, Kind.MATCH, Kind.GO_ON, Kind.VERIFY, Kind.LIMITS, Kind.FORGET)),
        *(Turn(Kind.PROCESS, side) for side in (FLOW, SHOPIFY)),
        *(Turn(Kind.READ, side, feed) for side in (FLOW, SHOPIFY) for feed in ("a", "b", "c")),
        *(Turn(Kind.LOOK, side) for side in (FLOW, SHOPIFY)),
        *MORE_DUE,
    ]
    for link in (BUSY, "sells"):
        queue.keep(link, [timed(turn, 3600.0) for turn in every])
    stop, crew = threading.Event(), Held(queue, (BUSY, "sells"), turns_at_once)
    # All turns of the busy link stand in line before any of the other's.
    with psycopg.connect(queue.address, autocommit=True) as connection:
        connection.execute(
            f"UPDATE {SCHEMA}.turns SET due_at = now() + interval '1 hour' WHERE ledger = 'sells'".encode()
        )
    thread = threading.Thread(target=crew.run, args=(stop,))
    thread.start()
    try:
        assert seen_in_time(lambda: len(crew.held) >= 5)
        for turn in every:
            queue.tell("sells", str(turn))

        urgent = {("sells", str(turn)) for turn in every if timed(turn, 1.0).urgent}
        assert seen_in_time(lambda: urgent <= crew.seen)
        # One place each for due cards, new cards and both sides; the rest has places of its own.
        assert len(urgent & {("sells", turn) for turn in crew.held}) <= 4
    finally:
        crew.let_go.set()
        stop.set()
        thread.join(30)


@pytest.mark.parametrize("turns_at_once", range(1, 65))
def test_given_any_number_of_places_then_both_lines_have_some(turns_at_once: int) -> None:
    found = places(turns_at_once)

    assert sum(count for _, count in found) == turns_at_once
    assert {line for lines, _ in found for line in lines} == {NOW, LATER}
    assert all(count > 0 for _, count in found)


def test_given_a_time_limit_then_it_counts_as_told_to_stop() -> None:
    stop = threading.Event()
    until = Until(stop, 0.0)

    assert (until.is_set(), stop.is_set()) == (True, False)
    stop.set()
    assert Until(stop, 60.0).is_set()
    assert Until(stop, 60.0).wait(60.0)


@pytest.fixture
def newer_ledger(engine: Engine) -> Iterator[None]:
    """The ledger is of the next release, which changes nothing that this one sees."""
    _set_version(engine, "9999", newest_revision())
    yield
    _set_version(engine, newest_revision(), OLDEST_BESIDE)


def _set_version(engine: Engine, version: str, beside: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE alembic_version SET version_num = :version, beside = :beside"),
            {"version": version, "beside": beside},
        )


@pytest.mark.usefixtures("newer_ledger")
def test_given_a_turn_of_the_next_release_then_an_older_worker_leaves_it_to_others(
    queue: TurnQueue, shop: Shop
) -> None:
    of_next, taken = "of the next release", list[str]()

    class Counting(Crew):
        def take(self, ledger: str, turn: str, behind: bool) -> None:
            taken.append(turn)
            super().take(ledger, turn, behind)

    queue.keep(LEDGER, [Timed(of_next, 3600.0, LATER, urgent=False)])
    with working(queue, Opens(shop), crew_type=Counting):
        # It comes again at once, and not when its pace says so.
        assert seen_in_time(lambda: taken.count(of_next) > 1 and str(DUE) in taken)


def test_given_a_turn_of_a_release_before_then_a_newer_worker_ends_it(queue: TurnQueue, shop: Shop) -> None:
    queue.keep(LEDGER, [Timed("of a release before", 3600.0, LATER, urgent=False)])
    with working(queue, Opens(shop)) as crew:
        assert seen_in_time(lambda: crew.taken > 3)

        with psycopg.connect(queue.address) as connection:
            names = connection.execute(f"SELECT turn FROM {SCHEMA}.turns".encode()).fetchall()
    assert (str(DUE),) in names
    assert ("of a release before",) not in names


def test_given_a_receiver_of_events_then_a_worker_of_the_fleet_tells_it(queue: TurnQueue, shop: Shop) -> None:
    card_id, told = shop.in_step(), list[str]()
    shop.clock.advance(1)

    def post(_url: str, body: bytes, _headers: Mapping[str, str]) -> int:
        told.append(json.loads(body)["type"])
        return 200

    events = Events(shop.engine, shop.vault)
    teller = Teller(events, shop.clock, post)
    shop.worker.api = ApiUpkeep(events, Requests(shop.engine), shop.clock, teller)
    with working(queue, Opens(shop)) as crew:
        assert seen_in_time(lambda: crew.taken > 5)
        # While nobody is told anything the turn is due once a minute; the new receiver wakes it.
        events.add(new_webhook("https://example.com/hook", ("card.changed",), shop.clock()))
        shop.move(FLOW, -1_000)
        shop.intake.make_due([card_id], shop.clock())

        assert seen_in_time(lambda: told == ["card.changed"], seconds_max=30)
