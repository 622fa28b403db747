"""The desk of the receiver: deliveries that come at once, or while others are stored, are stored together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import OperationalError

from connectors.api.webhooks import Delivery
from console.receiver import BATCH_MAX, InboxWriter
from console.refusals import RefusalLog
from sync.ledger.incoming.deliveries import StoreResult

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass
class Box:
    """Stores what it is given, once it may."""

    stored: list[list[str]] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    may: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def store(self, side: str, came: Sequence[Delivery], now: datetime) -> StoreResult:
        self.begun.set()
        assert self.may.wait(30)
        if self.error is not None:
            raise self.error
        self.stored.append([one.key for one in came])
        return StoreResult(to_process=True)


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def woken() -> list[str]:
    return []


def kept(box: Box, woken: list[str], *keys: str, side: str = "shopify") -> list[bool]:
    """The first delivery comes, and the others while it is being stored."""

    async def come() -> list[bool]:
        desk = InboxWriter(box, lambda: NOW, lambda side, kept: woken.append(side), RefusalLog())  # type: ignore[arg-type]
        deliveries = [Delivery(key, "orders/paid", "order 7") for key in keys]
        asked = [asyncio.create_task(desk.keep("shopify", one)) for one in deliveries[:1]]
        assert await asyncio.to_thread(box.begun.wait, 30)
        asked += [asyncio.create_task(desk.keep(side, one)) for one in deliveries[1:]]
        await asyncio.sleep(0)
        box.may.set()
        return list(await asyncio.gather(*asked))

    return asyncio.run(come())


def test_given_deliveries_that_come_while_one_is_stored_then_they_are_stored_together(
    box: Box, woken: list[str]
) -> None:
    assert kept(box, woken, "1", "2", "3") == [True] * 3
    assert box.stored == [["1"], ["2", "3"]]
    assert woken == ["shopify"] * 2


def test_given_deliveries_that_come_at_once_then_they_are_stored_in_one_transaction(
    box: Box, woken: list[str]
) -> None:
    async def come() -> list[bool]:
        desk = InboxWriter(box, lambda: NOW, lambda side, kept: woken.append(side), RefusalLog())  # type: ignore[arg-type]
        box.may.set()
        return await asyncio.gather(*(desk.keep("shopify", Delivery(k, "t", "")) for k in "1234"))

    assert asyncio.run(come()) == [True] * 4
    assert (box.stored, woken) == ([["1", "2", "3", "4"]], ["shopify"])


def test_given_deliveries_of_two_sides_then_each_side_is_woken_for_its_own(
    box: Box, woken: list[str]
) -> None:
    assert kept(box, woken, "1", "2", side="flow") == [True] * 2
    assert (box.stored, woken) == ([["1"], ["2"]], ["shopify", "flow"])


def test_given_more_than_one_transaction_may_take_then_they_are_stored_in_turn(
    box: Box, woken: list[str]
) -> None:
    more = [str(number) for number in range(BATCH_MAX + 1)]

    assert kept(box, woken, "first", *more) == [True] * (BATCH_MAX + 2)
    assert [len(batch) for batch in box.stored] == [1, BATCH_MAX, 1]


@pytest.mark.parametrize("error", [OperationalError("", {}, Exception()), RuntimeError("a bug")])
def test_given_deliveries_that_cannot_be_stored_then_none_is_acknowledged_and_nobody_is_woken(
    box: Box, woken: list[str], error: Exception
) -> None:
    box.error = error

    assert kept(box, woken, "1", "2") == [False] * 2
    assert (box.stored, woken) == ([], [])


def test_given_who_posted_is_gone_then_the_others_are_answered(box: Box, woken: list[str]) -> None:
    async def come() -> bool:
        desk = InboxWriter(box, lambda: NOW, lambda side, kept: woken.append(side), RefusalLog())  # type: ignore[arg-type]
        gone, here = (asyncio.create_task(desk.keep("shopify", Delivery(k, "t", ""))) for k in ("1", "2"))
        await asyncio.sleep(0)
        gone.cancel()
        box.may.set()
        return await here

    assert asyncio.run(come())
    assert box.stored == [["1", "2"]]
