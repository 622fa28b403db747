"""The X-Series emulator: tokens, scopes, limits, routes and the control plane around one retailer."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from email.utils import format_datetime
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote

from aiohttp import web

from sandbox.clock import SandboxClock
from sandbox.control_values import ControlError, Json, any_status, only, signed_minor, text
from sandbox.emulator import Emulator
from sandbox.lightspeed_x.behaviour import FIXED, LightspeedXBehaviour
from sandbox.lightspeed_x.retailer import GiftCard, Refusal, Retailer, Transaction, cents_of
from sandbox.request_body import object_in
from sandbox.stats import Operation
from sandbox.switches import Switches

T = TypeVar("T")

READ: Final = "gift_cards:read"
ISSUE: Final = "gift_cards:write:issue"
REDEEM: Final = "gift_cards:write:redeem"
SCOPES: Final = frozenset({READ, ISSUE, REDEEM})
WINDOW_SECONDS: Final = 300.0
TOKEN_SECONDS: Final = 86_400
PAGE_SIZE_MAX: Final = 1_000
TOKEN_PATH: Final = "/api/1.0/token"
_WRITE_SCOPES: Final = {"RELOADING": ISSUE, "REDEEMING": REDEEM}


class LightspeedXEmulator(Emulator):
    """One retailer on `/api/VERSION`. `token` never expires; `refresh` begins a chain of rotating tokens.

    A refresh token works once. Any version is served, as a retired one silently is. `cards` were sold before
    now, the same ones for the same `seed`.
    """

    def __init__(
        self,
        *,
        token: str,
        refresh: str = "",
        client_id: str = "sandbox-app",
        client_secret: str = "sandbox-secret",
        scopes: frozenset[str] = SCOPES,
        behaviour: LightspeedXBehaviour | None = None,
        latency_ms: int = 0,
        seed: int = 0,
        cards: int = 0,
    ) -> None:
        super().__init__(latency_ms=latency_ms, clock=SandboxClock())
        self.behaviour = behaviour or LightspeedXBehaviour()
        self.retailer = Retailer(self.behaviour, self.clock.wall)
        self.retailer.sell_earlier(cards, seed)
        self.scopes = scopes
        self._client = (client_id, client_secret)
        self._refresh = refresh
        #: Access tokens with the second at which each ends.
        self._tokens: dict[str, float] = {token: float("inf")}
        self._asked: deque[float] = deque()

    def name_operation(self, request: web.Request, body: bytes) -> Operation:
        kind = "query" if request.method == "GET" else "mutation"
        parts = _parts(request)
        if request.path == TOKEN_PATH:
            return Operation("query", "token")
        if request.method == "POST" and parts[-1:] == ["transactions"]:
            return Operation("mutation", "POST transactions")
        what = "transactions" if "transactions" in parts else "gift_cards"
        return Operation("query" if kind == "query" else "mutation", f"{request.method} {what}")

    async def api(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        try:
            if request.path == TOKEN_PATH:
                return self._token(body)
            bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self._tokens.get(bearer, -1.0) <= self.clock.monotonic():
                raise Refusal(401, "the token is not valid")
            if not self._has_room():
                self.stats.of(operation).throttles += 1
                return self.throttled(request, body, operation)
            return self._limited(self._carry_out(request, body))
        except Refusal as error:
            return _answer(error.status, {"error": "refused", "message": error.message})

    def throttled(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        oldest = self._asked[0] if self._asked else self.clock.monotonic()
        wait = max(oldest + WINDOW_SECONDS - self.clock.monotonic(), 1.0) if not self._has_room() else 1.0
        at = format_datetime(self.clock.wall() + timedelta(seconds=wait), usegmt=True)
        answer = _answer(429, {"error": "Too Many Requests", "message": "Rate limiting enforced"})
        answer.headers["Retry-After"] = at
        return answer

    async def refused(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        return _answer(422, {"error": "refused", "message": "not accepted"})

    def server_error(self) -> web.Response:
        return _answer(500, {"error": "Internal Server Error", "message": "something went wrong"})

    def switches(self) -> Switches:
        return Switches(self.behaviour, FIXED)

    # The limit of requests.

    @property
    def _limit(self) -> int:
        return 300 * self.behaviour.registers + 50

    def _has_room(self) -> bool:
        while self._asked and self._asked[0] <= self.clock.monotonic() - WINDOW_SECONDS:
            self._asked.popleft()
        return len(self._asked) < self._limit

    def _limited(self, answer: web.Response) -> web.Response:
        self._asked.append(self.clock.monotonic())
        answer.headers["X-RateLimit-Limit"] = str(self._limit)
        answer.headers["X-RateLimit-Remaining"] = str(self._limit - len(self._asked))
        return answer

    def _token(self, body: bytes) -> web.Response:
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        client = (form.get("client_id", ""), form.get("client_secret", ""))
        known = client == self._client and form.get("grant_type") == "refresh_token"
        if not known or not self._refresh or form.get("refresh_token") != self._refresh:
            raise Refusal(400, "the refresh token is not valid")
        access, self._refresh = f"sandbox-{secrets.token_hex(16)}", f"sandbox-{secrets.token_hex(16)}"
        self._tokens[access] = self.clock.monotonic() + TOKEN_SECONDS
        return _answer(
            200,
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": TOKEN_SECONDS,
                "refresh_token": self._refresh,
            },
        )

    # The routes.

    def _carry_out(self, request: web.Request, body: bytes) -> web.Response:
        parts = _parts(request)
        if parts[:1] != ["gift_cards"]:
            raise Refusal(404, "no such path")
        try:
            return self._route(request, parts[1:], body)
        except Refusal as error:
            return _answer(error.status, {"error": "refused", "message": error.message})

    def _route(self, request: web.Request, rest: list[str], body: bytes) -> web.Response:
        match request.method, rest:
            case "GET", []:
                self._need(READ)
                return _answer(200, {"data": [self._card(card) for card in self._page(request)]})
            case "POST", []:
                self._need(ISSUE)
                return _answer(201, {"data": self._card(self._create(_object(body)))})
            case "GET" | "DELETE" as method, ["by_number" | "by_id" as how, key]:
                card = self._found(method, how, key)
                return _answer(200, {"data": self._card(card)})
            case "GET" | "DELETE" as method, [number]:
                return _answer(200, self._card(self._found(method, "by_number", number)))
            case "GET", ["transactions", key]:
                self._need(READ)
                if request.query.get("system_id", "x-series") not in ("x-series", "e-series"):
                    raise Refusal(422, "system_id is unknown")
                return _answer(200, {"data": self._card(self.retailer.with_transaction(key)[0])})
            case "DELETE", ["transactions", key]:
                self._need(REDEEM)
                return _answer(200, {"data": self._transaction(self.retailer.reverse(key))})
            case "POST", [number, "transactions"]:
                return self._transact(number, _object(body))
        raise Refusal(404, "no such path")

    def _found(self, method: str, how: str, key: str) -> GiftCard:
        self._need(READ if method == "GET" else ISSUE)
        card = self.retailer.by_number(key) if how == "by_number" else self.retailer.by_id(key)
        return self.retailer.void(card) if method == "DELETE" else card

    def _page(self, request: web.Request) -> list[GiftCard]:
        query = request.query
        size = query.get("page_size", str(PAGE_SIZE_MAX))
        if not size.isdigit() or not 1 <= int(size) <= PAGE_SIZE_MAX:
            raise Refusal(422, "page_size must be 1 to 1000")
        cards = self.retailer.newest_first()
        if "before" in query:
            ids = [card.id for card in cards]
            if query["before"] not in ids:
                raise Refusal(404, "before names no gift card")
            cards = cards[ids.index(query["before"]) + 1 :]
        if "card_number" in query:
            cards = [card for card in cards if card.number == query["card_number"]]
        if "status" in query:
            cards = [card for card in cards if card.status == query["status"]]
        return cards[: int(size)]

    def _create(self, body: dict[str, Any]) -> GiftCard:
        number = body.get("number")
        if not isinstance(number, str) or not number:
            raise Refusal(422, "number is needed")
        expires_at = None
        if body.get("expires_at") is not None:
            try:
                day = date.fromisoformat(str(body["expires_at"]))
            except ValueError:
                raise Refusal(422, "expires_at must be YYYY-MM-DD") from None
            expires_at = self.retailer.last_moment(day, str(body.get("time_zone", "UTC")))
        return self.retailer.create(number, cents_of(body.get("amount")), expires_at)

    def _transact(self, number: str, body: dict[str, Any]) -> web.Response:
        kind, client_id = str(body.get("type")), body.get("client_id")
        self._need(_WRITE_SCOPES.get(kind, REDEEM))
        if not isinstance(client_id, str) or not client_id:
            raise Refusal(422, "client_id is needed")
        made = self.retailer.transact(number, kind, cents_of(body.get("amount")), client_id)
        return _answer(201, {"data": self._transaction(made)})

    def _need(self, scope: str) -> None:
        if scope not in self.scopes:
            raise Refusal(403, f"the token has no scope {scope}")

    # What is shown.

    def _card(self, card: GiftCard) -> dict[str, object]:
        redeemed = -sum(one.cents for one in card.transactions if one.type in ("REDEEMING", "REVERSING"))
        sold = sum(one.cents for one in card.transactions if one.type in ("ACTIVATION", "RELOADING"))
        return {
            "id": card.id,
            "number": card.number,
            "balance": self._money(card.cents),
            "total_sold": self._money(sold),
            "total_redeemed": self._money(redeemed),
            "status": card.status,
            "expires_at": card.expires_at and card.expires_at.isoformat(),
            "created_at": card.created_at.isoformat(),
            "sale_id": card.sale_id,
            "sale_source": "x-series",
            "gift_card_transactions": [self._transaction(one) for one in card.transactions],
        }

    def _transaction(self, one: Transaction) -> dict[str, object]:
        return {
            "id": one.id,
            "type": one.type,
            "amount": self._money(one.cents),
            "client_id": one.client_id,
            "source": one.source,
            "source_id": one.source_id,
            "user_id": one.user_id,
            "created_at": one.created_at.isoformat(),
        }

    def _money(self, cents: int) -> object:
        return cents / 100 if self.behaviour.legacy_amounts else _text(cents)

    # The control plane.

    def cards(self) -> list[dict[str, object]]:
        return [
            {
                "id": card.id,
                "number": card.number,
                "balance": _text(card.cents),
                "status": card.status,
                "expires": card.expires_at and card.expires_at.isoformat(),
                "transactions": [self._transaction(one) for one in card.transactions],
            }
            for card in self.retailer.newest_first()
        ]

    def control(self) -> dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]]:
        return {"sell": self._sell, "redeem": self._redeem, "load": self._load, "status": self._status}

    async def _sell(self, body: Json) -> Json:
        """`{"amount"}`: a cashier sells a card; answers its `number` and `id`."""
        only(body, "amount")
        card = _controlled(lambda: self.retailer.sell(signed_minor(body, "amount", 2)))
        return {"number": card.number, "id": card.id}

    async def _redeem(self, body: Json) -> Json:
        """`{"number", "amount"}`: a customer pays at the till; 409 when the card cannot."""
        return self._at_the_till(body, "REDEEMING", -1)

    async def _load(self, body: Json) -> Json:
        """`{"number", "amount"}`: a cashier loads the card; 409 when the card cannot."""
        return self._at_the_till(body, "RELOADING", 1)

    def _at_the_till(self, body: Json, kind: str, sign: int) -> Json:
        only(body, "number", "amount")
        number, cents = text(body, "number"), sign * signed_minor(body, "amount", 2)
        _controlled(lambda: self.retailer.transact(number, kind, cents, None))
        return {"balance": _text(self.retailer.by_number(number).cents)}

    async def _status(self, body: Json) -> Json:
        """`{"number", "status"}`: show any status, also one that nobody knows."""
        only(body, "number", "status")
        card = _controlled(lambda: self.retailer.by_number(text(body, "number")))
        card.status = any_status(body)
        return {"status": card.status}


def _controlled(call: Callable[[], T]) -> T:
    try:
        return call()
    except Refusal as error:
        raise ControlError(404 if error.status == 404 else 409, error.message) from None


def _parts(request: web.Request) -> list[str]:
    """The path after `/api/VERSION`."""
    return [unquote(part) for part in request.rel_url.raw_path.split("/")[3:]]


def _object(body: bytes) -> dict[str, Any]:
    return object_in(body, lambda words: Refusal(400, words))


def _text(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _answer(status: int, body: object) -> web.Response:
    return web.json_response(body, status=status)
