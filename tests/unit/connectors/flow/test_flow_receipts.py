"""Tills with clocks of their own, and tills that upload late: every sale is met all the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from connectors.api.errors import InDoubt
from connectors.api.feed import Trace
from connectors.flow.made_orders import ORDERS_MAX, MadeOrders
from connectors.flow.model import FlowOrder, FlowSettlement, Page
from connectors.flow.receipts import EDGE_MAX, Cursor, ReceiptFeed
from connectors.flow.settings import READS_AT_ONCE, FlowSettings

START = datetime(2026, 11, 28, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass
class Flow:
    """Flow's search of receipts, as far as the feed asks for it; what it costs is counted."""

    now: datetime = START
    receipts: list[tuple[str, datetime]] = field(default_factory=list)
    orders_read: list[str] = field(default_factory=list)
    searches: int = 0
    #: Orders that cannot be read now.
    failing: set[str] = field(default_factory=set)

    def sell(self, uid: str, settled_at: datetime) -> None:
        """A till uploads a receipt now, with the time that it believes it is."""
        self.receipts.append((uid, settled_at))

    def search_receipts(self, since: datetime | None, number: int | None, size: int) -> Page:
        self.searches += 1
        found = sorted((at, uid) for uid, at in self.receipts if since is None or at >= since)
        start = ((number or 1) - 1) * size
        items = tuple(
            {"orderReceiptUid": uid, "orderUid": uid, "settledAt": at.isoformat()}
            for at, uid in found[start : start + size]
        )
        return Page(items, number or 1, len(found))

    def order(self, uid: str) -> FlowOrder:
        if uid in self.failing:
            raise InDoubt("no answer")
        self.orders_read.append(uid)
        serial = f"60012345{int(uid):08d}"
        paid = FlowSettlement(100, "GIFT", "", "", "", "", "", None, None, {"number": serial})
        return FlowOrder(uid, uid, "", (), (paid,))


class Till:
    """The feed over such a Flow; each read is one pass."""

    def __init__(self) -> None:
        self.flow = Flow()
        settings = FlowSettings(
            tenant="7",
            store="70",
            token="flow-token",
            timezone="Europe/Oslo",
            currency="NOK",
            base_url="https://flow.invalid",
        )
        self.window = timedelta(seconds=settings.receipts_late_seconds)
        self.every = timedelta(seconds=settings.receipts_late_every_seconds)
        method = SimpleNamespace(number_key="number", settlement_code="GIFT")
        discovery = SimpleNamespace(method=lambda: method, currency=lambda: "NOK")
        self.made = MadeOrders()
        self.feed = ReceiptFeed(self.flow, settings, discovery, lambda: self.flow.now, self.made)  # type: ignore[arg-type]
        self.cursor: str | None = None
        #: Everything that was told of so far.
        self.told: list[str] = []

    def read(self) -> list[str]:
        """The receipts that this pass tells of."""
        before = len(self.told)
        for page in self.feed.read(self.cursor):
            self.told += [hint.line.order for hint in page.hints if hint.line is not None]
            self.cursor = page.cursor
        return self.told[before:]


def test_given_a_till_two_hours_fast_then_the_sales_of_all_others_are_met() -> None:
    till = Till()
    till.flow.sell("1", START + 2 * HOUR)
    assert till.read() == ["1"]

    for minute in range(1, 130):
        till.flow.now = START + minute * MINUTE
        till.flow.sell(str(minute + 1), till.flow.now)
        assert till.read() == [str(minute + 1)]


def test_given_a_clock_that_is_fast_then_the_cursor_never_passes_our_own_time() -> None:
    till = Till()
    till.flow.sell("1", START + 400 * 24 * HOUR)
    till.read()
    cursor = Cursor.load(till.cursor)
    assert cursor.high == START
    assert cursor.since is not None
    assert cursor.since < START


def test_given_a_till_that_uploads_three_hours_late_then_its_sale_is_met_within_the_stated_time() -> None:
    till = Till()
    till.flow.sell("1", START)
    till.read()
    till.flow.now = START + 3 * HOUR
    till.flow.sell("2", till.flow.now)
    till.read()
    till.flow.sell("3", START + MINUTE)

    late_by = timedelta(0)
    while "3" not in till.read():
        till.flow.now += MINUTE
        late_by += MINUTE
        assert late_by <= till.every


def test_given_a_slow_clock_then_each_receipt_is_still_told_of_once_and_its_order_read_once() -> None:
    till = Till()
    told: list[str] = []
    for minute in range(180):
        till.flow.now = START + minute * MINUTE
        till.flow.sell(str(minute), till.flow.now - 5 * HOUR)
        told += till.read()
    for _ in range(40):
        till.flow.now += MINUTE
        told += till.read()
    assert sorted(told, key=int) == [str(minute) for minute in range(180)]
    assert len(till.flow.orders_read) == 180


def test_given_an_order_that_cannot_be_read_then_those_before_it_are_told_of_and_not_read_again() -> None:
    till = Till()
    till.flow.sell("0", START)
    till.read()
    for n in range(1, 9):
        till.flow.sell(str(n), START + timedelta(seconds=n))
    till.flow.failing = {"8"}

    with pytest.raises(InDoubt):
        till.read()
    told = list(till.told)
    till.flow.failing = set()
    till.read()

    read_together = [str(n) for n in range(1, 1 + READS_AT_ONCE)]
    assert told == ["0", *read_together]
    assert till.told == [str(n) for n in range(9)]
    assert [till.flow.orders_read.count(one) for one in read_together] == [1] * READS_AT_ONCE


def test_given_orders_of_our_own_then_they_are_traced_and_not_read() -> None:
    till = Till()
    till.flow.sell("0", START)
    till.read()
    till.made.add("1", "gs-ours")
    till.flow.sell("1", START)
    till.flow.sell("2", START)

    pages = list(till.feed.read(till.cursor))

    assert [one for page in pages for one in page.traces] == [Trace("gs-ours", "1")]
    assert [hint.line and hint.line.order for page in pages for hint in page.hints] == ["2"]
    assert till.flow.orders_read == ["0", "2"]


def test_given_more_orders_than_are_kept_then_the_oldest_are_forgotten() -> None:
    made = MadeOrders()
    for n in range(ORDERS_MAX + 1):
        made.add(str(n), f"gs-{n}")
    assert (made.marker("0"), made.marker("1")) == (None, "gs-1")


def test_going_further_back_costs_a_search_now_and_then() -> None:
    till = Till()
    till.flow.sell("1", START)
    till.read()
    before = till.flow.searches
    for _ in range(60):
        till.flow.now += MINUTE
        till.read()
    assert till.flow.searches - before == 60


def test_given_more_receipts_than_are_remembered_then_none_is_read_twice() -> None:
    known = {str(n): START - timedelta(seconds=n) for n in range(EDGE_MAX)}
    begun = Cursor(START, START, known).begun(START, timedelta(days=2), MINUTE)
    assert begun.since == min(known.values())


def test_given_a_clock_that_was_set_back_then_the_next_pass_goes_further_back() -> None:
    cursor = Cursor(START, START, late_at=START + HOUR)
    assert cursor.begun(START, HOUR, MINUTE).since == START - HOUR
