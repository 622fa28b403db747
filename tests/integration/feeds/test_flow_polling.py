"""Payments in a Flow store that neither webhook nor receipt tells of are found by looking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from sqlalchemy import Engine

from connectors.api.card import CardRef
from mappings.serials import Serial
from sandbox.flow import FlowBehaviour, FlowEmulator
from sync.arrivals.match import Matched
from sync.worker.turns import POLL_INTERVAL_SECONDS
from tests.contract.loopback import Loopback, serve
from tests.flow_shop import TOKEN, FlowShop
from tests.integration.shop import FLOW
from tests.support import Clock, MovesClock

NEVER_SECONDS = 10**9


@pytest.fixture
def loopback(clock: Clock) -> Iterator[Loopback]:
    """A tenant whose receipts are never shown, and that sends no webhooks."""
    behaviour = FlowBehaviour(receipts_visible_after_s=NEVER_SECONDS)
    emulator = FlowEmulator(token=TOKEN, clock=clock, behaviour=behaviour)
    with serve(emulator.application()) as served:
        yield served


@pytest.fixture
def shop(engine: Engine, clock: Clock, loopback: Loopback) -> Iterator[FlowShop]:
    shop = FlowShop(engine, clock, url=loopback.url)
    yield shop
    shop.close()


def call(loopback: Loopback, name: str, **body: object) -> dict[str, str]:
    response = requests.post(f"{loopback.url}/_sandbox/{name}", json=body, timeout=10)
    assert response.status_code == 200, response.text
    answer: dict[str, str] = response.json()
    return answer


def test_given_a_payment_in_the_store_that_nothing_tells_of_then_looking_finds_it(
    shop: FlowShop, loopback: Loopback
) -> None:
    number = call(loopback, "sell", amount="100.00")["number"]
    assert shop.matcher.match(shop.arrive(FLOW, CardRef(serial=Serial(number)))) is Matched.MET
    shop.work(shop.card_id(number))
    shop.worker.look(shop.sides[FLOW])
    call(loopback, "redeem", number=number, amount="30.00")

    shop.worker.sync_once(sweep=False, stop=MovesClock(shop.clock))
    assert shop.shown_online(number) == 100_00

    shop.clock.advance(POLL_INTERVAL_SECONDS)
    looked = shop.worker.look(shop.sides[FLOW])
    shop.worker.sync_once(sweep=False, stop=MovesClock(shop.clock))

    assert looked.differ == 1
    assert shop.shown_online(number) == 70_00
