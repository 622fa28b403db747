"""Serves a Flow emulator on loopback for the tests beside this file, and speaks its API with requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import requests
from aiohttp import web

from sandbox.flow import FlowBehaviour, FlowEmulator

TOKEN = "flow-test-token"
TIMEOUT_S = 20
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class FakeClock:
    """Zone-aware time that only moves when told to."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **parts: float) -> None:
        self.now += timedelta(**parts)


@cache
def background_loop() -> asyncio.AbstractEventLoop:
    """One event loop in a background thread for every server of this process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


@contextmanager
def listening(app: web.Application) -> Iterator[str]:
    """Serve an application on a free loopback port; yields its base URL."""
    loop = background_loop()

    async def start() -> tuple[web.AppRunner, str]:
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        return runner, f"http://127.0.0.1:{port}"

    runner, url = asyncio.run_coroutine_threadsafe(start(), loop).result(TIMEOUT_S)
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(TIMEOUT_S)


@dataclass
class Flow:
    """A client of one served emulator, and its control plane."""

    url: str
    emulator: FlowEmulator
    clock: FakeClock
    token: str = TOKEN
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, json: object = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.session.request(
            method, f"{self.url}/v2{path}", json=json, headers=headers, timeout=TIMEOUT_S, **options
        )

    def get(self, path: str, **params: object) -> requests.Response:
        return self.call("GET", path, params=params)

    def post(self, path: str, json: object) -> requests.Response:
        return self.call("POST", path, json)

    def put(self, path: str, json: object) -> requests.Response:
        return self.call("PUT", path, json)

    def control(self, name: str, body: object = None, status: int = 200) -> dict[str, Any]:
        answer = self.session.post(f"{self.url}/_sandbox/{name}", json=body or {}, timeout=TIMEOUT_S)
        assert answer.status_code == status, answer.text
        done: dict[str, Any] = answer.json()
        return done

    def truth(self, number: str) -> dict[str, Any]:
        cards: list[dict[str, Any]] = self.session.get(f"{self.url}/_sandbox/cards", timeout=TIMEOUT_S).json()
        return next(card for card in cards if card["number"] == number)

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self.session.get(f"{self.url}/_sandbox/stats", timeout=TIMEOUT_S).json()
        return stats

    def sell(self, amount: object = "100.00", **more: object) -> str:
        number: str = self.control("sell", {"amount": amount, **more})["number"]
        return number

    def card(self, number: str, store: str = "70", **params: object) -> requests.Response:
        return self.get(f"/tenants/7/stores/{store}/giftcards/{number}", **params)

    def put_card(self, number: str, json: object) -> requests.Response:
        return self.put(f"/tenants/7/stores/70/giftcards/{number}", json)

    def method(self, code: str = "GIFTCARD", store: str = "70") -> str:
        for one in self.control("backoffice")["stores"]:
            if one["uid"] == store:
                uid: str = one["payment_methods"][code]
                return uid
        raise LookupError(store)

    def order(self, **more: object) -> str:
        body = {"type": "ORDER", "systemOrigin": "APP", "externalOrderNumber": "gs-1", **more}
        answer = self.post("/tenants/7/stores/70/orders", body)
        assert answer.status_code == 201, answer.text
        uid: str = answer.json()["orderUid"]
        return uid

    def item(self, order: str, product: str, price: int, **more: object) -> requests.Response:
        body = {"productUid": product, "quantityOrdered": 100, "unitPrice": price, **more}
        return self.post(f"/tenants/7/stores/70/orders/{order}/items", body)

    def settle(self, order: str, amount: object, method: str, **more: object) -> requests.Response:
        body = {
            "amount": amount,
            "storePaymentMethodUid": method,
            "externalPaymentReference": "gs-1",
            **more,
        }
        return self.post(f"/tenants/7/stores/70/orders/{order}/settlements", body)

    def pay_with_card(self, order: str, number: str, amount: object, **more: object) -> requests.Response:
        parameters = [{"key": "cardNumber", "value": number}]
        return self.settle(order, amount, self.method(), **{"parameters": parameters, **more})

    def redemption(self, number: str, price: int, **more: object) -> str:
        """An order of the online-redemption product, not settled yet."""
        order = self.order(**more)
        assert self.item(order, "900", price).status_code == 201
        return order

    def issue(self, number: str | None, price: int, **more: object) -> requests.Response:
        """Sell a gift card through the API: order, item, external settlement."""
        order = self.order()
        named = {} if number is None else {"externalId": number}
        assert self.item(order, "901", price, **named).status_code == 201
        return self.settle(order, price, self.method("EXTERNAL_SHOPIFY"), **more)

    def read_order(self, order: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/tenants/7/orders/{order}").json()
        return found

    def search(self, body: object = None, **params: object) -> requests.Response:
        return self.call("POST", "/tenants/7/receipts/search", body or {}, params=params)


@contextmanager
def serve(behaviour: FlowBehaviour | None = None, **options: Any) -> Iterator[Flow]:
    """A served emulator with a clock of its own."""
    clock = FakeClock()
    emulator = FlowEmulator(token=TOKEN, clock=clock, behaviour=behaviour, **options)
    with listening(emulator.application()) as url, requests.Session() as session:
        yield Flow(url, emulator, clock, session=session)


def code_of(answer: requests.Response) -> str:
    code: str = answer.json()["error"]["code"]
    return code
