"""A Shopify emulator on a loopback port, in a thread of its own, with clocks that only tests move."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from aiohttp import web

from sandbox.shopify import ShopifyBehaviour, ShopifyEmulator

TOKEN = "shpat_test"
SECRET = "shpss_test"
#: A Wednesday noon in Oslo.
START = datetime(2026, 7, 15, 10, 0, 0, tzinfo=UTC)


class Clocks:
    """Wall clock and monotonic clock, moved together."""

    def __init__(self) -> None:
        self.passed = 0.0

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return 1_000.0 + self.passed

    def advance(self, seconds: float) -> None:
        self.passed += seconds


@dataclass
class Shop:
    """An emulator that is being served."""

    emulator: ShopifyEmulator
    clocks: Clocks
    url: str
    session: requests.Session

    def post(self, body: object, *, version: str = "2026-10", token: str = TOKEN) -> requests.Response:
        return self.session.post(
            f"{self.url}/admin/api/{version}/graphql.json",
            json=body,
            headers={"X-Shopify-Access-Token": token},
            timeout=10,
        )

    def run(self, text: str, /, *, version: str = "2026-10", **variables: object) -> dict[str, Any]:
        """The whole answer to a request."""
        response = self.post({"query": text, "variables": variables}, version=version)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def data(self, text: str, /, *, version: str = "2026-10", **variables: Any) -> dict[str, Any]:
        """The data of a request that has no errors."""
        answer = self.run(text, version=version, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def payload(self, text: str, /, **variables: Any) -> dict[str, Any]:
        """The payload of a request with one root field."""
        payload: dict[str, Any]
        (payload,) = self.data(text, **variables).values()
        return payload

    def create(self, amount: str = "100", **more: object) -> str:
        """A new card's gid."""
        wanted = {"initialAmount": {"amount": amount, "currencyCode": "NOK"}, **more}
        payload = self.payload(CREATE, input=wanted)
        assert payload["userErrors"] == []
        gid: str = payload["giftCard"]["id"]
        return gid

    def customer(self, **more: object) -> str:
        """A new customer's gid."""
        query = (
            "mutation($input: CustomerInput!) "
            "{ customerCreate(input: $input) { customer { id } userErrors { field message } } }"
        )
        payload = self.payload(query, input=more)
        assert payload["userErrors"] == []
        gid: str = payload["customer"]["id"]
        return gid

    def control(self, name_: str, /, **body: object) -> requests.Response:
        return self.session.post(f"{self.url}/_sandbox/{name_}", json=body, timeout=10)

    def cards(self) -> dict[str, dict[str, Any]]:
        """Ground truth by gid."""
        cards = self.session.get(f"{self.url}/_sandbox/cards", timeout=10).json()
        return {card["id"]: card for card in cards}

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self.session.get(f"{self.url}/_sandbox/stats", timeout=10).json()
        return stats


CREATE = """
mutation Create($input: GiftCardCreateInput!) {
  giftCardCreate(input: $input) {
    giftCard { id balance { amount currencyCode } lastCharacters maskedCode note expiresOn templateSuffix }
    giftCardCode
    userErrors { field code message }
  }
}
"""
CREDIT = """
mutation Credit($id: ID!, $input: GiftCardCreditInput!) {
  giftCardCredit(id: $id, creditInput: $input) {
    giftCardCreditTransaction {
      id amount { amount currencyCode } note processedAt giftCard { balance { amount } }
    }
    userErrors { field code message }
  }
}
"""
DEBIT = """
mutation Debit($id: ID!, $input: GiftCardDebitInput!) {
  giftCardDebit(id: $id, debitInput: $input) {
    giftCardDebitTransaction {
      id amount { amount currencyCode } note processedAt giftCard { balance { amount } }
    }
    userErrors { field code message }
  }
}
"""
UPDATE = """
mutation Update($id: ID!, $input: GiftCardUpdateInput!) {
  giftCardUpdate(id: $id, input: $input) {
    giftCard { id note expiresOn templateSuffix updatedAt customer { id } }
    userErrors { field message }
  }
}
"""
DEACTIVATE = """
mutation Deactivate($id: ID!) {
  giftCardDeactivate(id: $id) {
    giftCard { enabled deactivatedAt updatedAt balance { amount } }
    userErrors { field code message }
  }
}
"""


def money(amount: str, currency: str = "NOK") -> dict[str, str]:
    return {"amount": amount, "currencyCode": currency}


@contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """The address of an application that is served in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = web.AppRunner(app, access_log=None)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    try:
        yield f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(start(), loop).result(10)}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def running_shop(*, behaviour: ShopifyBehaviour | None = None, **more: Any) -> Iterator[Shop]:
    """A shop whose search knows of writes at once, unless the behaviour says otherwise."""
    clocks = Clocks()
    emulator = ShopifyEmulator(
        token=TOKEN,
        api_secret=SECRET,
        clock=clocks.wall,
        monotonic=clocks.monotonic,
        behaviour=behaviour or ShopifyBehaviour(search_lag_s=0),
        **more,
    )
    with serving(emulator.application()) as url, requests.Session() as session:
        yield Shop(emulator, clocks, url, session)
