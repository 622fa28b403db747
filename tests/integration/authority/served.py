"""The API of a shop on a loopback port, and callers of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import requests
from starlette.applications import Starlette

from console.api.access import SCOPES, Buckets, Doorkeeper
from console.api.app import PREFIX, create_api, mounted
from console.api.desk import Desk
from console.server import serve
from sync.authority.cards import Cards
from sync.authority.redemptions import Redemptions
from sync.authority.work import Hands, Terms
from sync.decisions.authority import Mode
from sync.ledger.hub.guesses import Guesses
from sync.ledger.hub.requests import Requests
from sync.ledger.hub.tokens import ApiTokens
from tests.integration.shop import Shop

CALLS_PER_MINUTE = 100_000


@dataclass
class CallerOfApi:
    """Sends requests under one token; every write under a key of its own unless it is given one."""

    url: str
    secret: str
    _keys: Iterator[int] = field(default_factory=itertools.count)

    def get(self, path: str, **query: object) -> requests.Response:
        return requests.get(self.url + path, params=query, headers=self._headers(), timeout=30)  # type: ignore[arg-type]

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> requests.Response:
        return self.send("POST", path, body, key)

    def send(self, method: str, path: str, body: dict[str, Any], key: str | None = None) -> requests.Response:
        headers = {**self._headers(), "Idempotency-Key": key or f"key-{id(self)}-{next(self._keys)}"}
        return requests.request(method, self.url + path, json=body, headers=headers, timeout=30)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def pay(self, number: str, amount: str, key: str | None = None, **more: object) -> requests.Response:
        return self.post("/redemptions", {"number": number, "amount": amount, "currency": "NOK", **more}, key)


@dataclass
class Served:
    shop: Shop
    url: str

    def caller(
        self,
        scopes: Sequence[str] = tuple(SCOPES),
        locations: Sequence[str] = (),
        calls_per_minute: int = CALLS_PER_MINUTE,
    ) -> CallerOfApi:
        shop = self.shop
        tokens = ApiTokens(shop.engine, shop.vault)
        _, secret = tokens.add("a till", scopes, locations, calls_per_minute, shop.clock())
        return CallerOfApi(self.url, secret)


@contextmanager
def serving(
    shop: Shop,
    mode: Mode = Mode.AUTHORISE,
    wait: Callable[[float], object] | None = None,
    terms: Terms = Terms(answer_seconds=0.0, claim_seconds=5.0),
) -> Iterator[Served]:
    """The API of the shop until the block ends."""
    hands = Hands(
        lambda: shop.link,
        replace(terms, mode=mode),
        wait=wait or (lambda seconds: shop.clock.advance(seconds)),
    )
    desk = Desk(
        hands, Cards(hands, shop.pool, Guesses(shop.engine)), Redemptions(hands), Requests(shop.engine)
    )
    app = create_api(desk, Doorkeeper(ApiTokens(shop.engine, shop.vault), shop.clock, Buckets()))
    with serve(Starlette(routes=[mounted(app)]), "127.0.0.1", 0) as port:
        yield Served(shop, f"http://127.0.0.1:{port}{PREFIX}")
