"""The clocks of both emulators: set, stepped, fast, stopped, and wrong in the Date header."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from sandbox.clock import SandboxClock
from sandbox.shopify import ShopifyBehaviour
from tests.sandbox.conftest_shopify import START as SHOP_START
from tests.sandbox.conftest_shopify import Shop, running_shop
from tests.sandbox.test_flow_support import START, Flow


class Machine:
    """The clocks of the machine, which only the test moves."""

    def __init__(self) -> None:
        self.passed = 0.0

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> SandboxClock:
    return SandboxClock(machine.wall, machine.monotonic)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with running_shop(behaviour=ShopifyBehaviour(search_lag_s=5)) as running:
        yield running


def test_given_a_rate_then_both_faces_run_fast_from_now_on(machine: Machine, clock: SandboxClock) -> None:
    machine.passed = 10
    clock.set_rate(60)
    machine.passed = 11
    assert clock.wall() == START + timedelta(seconds=70)
    assert clock.monotonic() == 70
    clock.set_rate(0)
    machine.passed = 1000
    assert clock.wall() == START + timedelta(seconds=70)
    clock.set_rate(1)
    machine.passed = 1001
    assert clock.monotonic() == 71


def test_given_a_step_back_then_durations_do_not_notice(machine: Machine, clock: SandboxClock) -> None:
    clock.turn_to(clock.wall(), -86_400)
    assert clock.wall() == START - timedelta(days=1)
    assert clock.monotonic() == 0


def test_given_a_time_that_no_clock_shows_then_nothing_changes(clock: SandboxClock) -> None:
    with pytest.raises(OverflowError):
        clock.turn_to(datetime(9500, 1, 1, tzinfo=UTC))
    assert clock.wall() == START


def test_given_flows_clock_when_set_then_sales_and_dates_follow(flow: Flow) -> None:
    told = flow.control("clock", {"now": "2027-01-01T08:00:00+01:00"})
    assert told == {"now": "2027-01-01T07:00:00+00:00", "rate": 1.0, "date_header_s": 0.0}
    flow.sell()
    receipt = flow.search().json()["items"][0]
    assert receipt["settledAt"] == "2027-01-01T07:00:00.000Z"
    answer = flow.search()
    assert parsedate_to_datetime(answer.headers["Date"]) == datetime(2027, 1, 1, 7, tzinfo=UTC)


def test_given_a_card_when_time_passes_then_it_expires(flow: Flow) -> None:
    number = flow.sell(10)
    flow.control("clock", {"pass_s": 1096 * 86_400})
    flow.control("redeem", {"number": number, "amount": 1}, status=409)
    flow.control("clock", {"step_s": -10 * 86_400})
    flow.control("redeem", {"number": number, "amount": 1})


def test_given_a_wrong_date_header_then_the_clock_itself_stays_right(flow: Flow) -> None:
    flow.control("clock", {"date_header_s": 7200})
    shown = parsedate_to_datetime(flow.search().headers["Date"])
    assert shown == START + timedelta(hours=2)
    flow.control("clock", {"date_header_s": None})
    assert "Date" not in flow.search().headers
    assert flow.control("clock")["now"] == START.isoformat()


def test_given_shopifys_clock_when_time_passes_then_search_catches_up(shop: Shop) -> None:
    gid = shop.create("10", code="lagging001")
    query = '{ giftCards(first: 1, query: "lagging001") { nodes { id } } }'
    assert shop.data(query)["giftCards"]["nodes"] == []
    assert shop.control("clock", step_s=60).status_code == 200
    assert shop.data(query)["giftCards"]["nodes"] == []
    assert shop.control("clock", pass_s=60).status_code == 200
    assert shop.data(query)["giftCards"]["nodes"] == [{"id": gid}]
    told = shop.control("clock").json()
    assert told["now"] == (SHOP_START + timedelta(seconds=120)).isoformat()


@pytest.mark.parametrize(
    "body",
    [
        {"now": "2027-01-01"},
        {"now": "2027-01-01T08:00:00"},
        {"now": 5},
        {"now": "9999-01-01T00:00:00Z"},
        {"step_s": "1"},
        {"step_s": True},
        {"pass_s": -1},
        {"rate": -1},
        {"rate": 1e9},
        {"date_header_s": "late"},
        {"nonsense": 1},
        {"step_s": -3_000_000_000},
    ],
)
def test_given_a_clock_call_that_makes_no_sense_then_400_and_nothing_changes(
    flow: Flow, shop: Shop, body: dict[str, object]
) -> None:
    before = flow.control("clock")
    assert flow.control("clock", body, status=400)["error"]
    assert flow.control("clock") == before
    assert shop.control("clock", **body).status_code == 400
