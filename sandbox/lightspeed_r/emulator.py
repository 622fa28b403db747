"""The R-Series emulator: tokens, scopes, the bucket, routes and the control plane around one account."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

from aiohttp import web

from sandbox.clock import SandboxClock
from sandbox.control_values import ControlError, Json, only, signed_minor, text
from sandbox.emulator import Emulator
from sandbox.lightspeed_r.account import FURNITURE, Account, GiftCard, Refusal, Sale, SalePayment
from sandbox.lightspeed_r.behaviour import FIXED, LightspeedRBehaviour
from sandbox.request_body import object_in
from sandbox.stats import Operation
from sandbox.switches import Switches

T = TypeVar("T")

CUSTOMERS: Final = "employee:customers"
SHOW_CODES: Final = "employee:customers_view_gift_card_numbers"
SALES: Final = "employee:register"
SCOPES: Final = frozenset({CUSTOMERS, SHOW_CODES, SALES})
ACCOUNT: Final = "4711"
BASE: Final = f"/API/V3/Account/{ACCOUNT}"
TOKEN_PATH: Final = "/auth/oauth/token"
TOKEN_SECONDS: Final = 1_800
PAGE_SIZE_MAX: Final = 100
CODE_SECONDS: Final = 1.0
BURST_SECONDS: Final = 1.0


class LightspeedREmulator(Emulator):
    """One account on `/API/V3/Account/4711`. `token` never expires; `refresh` renews tokens that do.

    `cards` were sold before now, the same ones for the same `seed`.
    """

    def __init__(
        self,
        *,
        token: str,
        refresh: str = "",
        client_id: str = "sandbox-app",
        client_secret: str = "sandbox-secret",
        scopes: frozenset[str] = SCOPES,
        behaviour: LightspeedRBehaviour | None = None,
        latency_ms: int = 0,
        seed: int = 0,
        cards: int = 0,
    ) -> None:
        super().__init__(latency_ms=latency_ms, clock=SandboxClock())
        self.behaviour = behaviour or LightspeedRBehaviour()
        self.account = Account(self.behaviour, self.clock.wall)
        self.account.sell_earlier(cards, seed)
        self.scopes = scopes
        self._client = (client_id, client_secret)
        self._refresh = refresh
        #: Access tokens with the second at which each ends.
        self._tokens: dict[str, float] = {token: float("inf")}
        self._used, self._used_at = 0.0, self.clock.monotonic()
        self._burst: deque[float] = deque()
        self._code_at = float("-inf")

    def name_operation(self, request: web.Request, body: bytes) -> Operation:
        kind = "query" if request.method == "GET" or request.path == TOKEN_PATH else "mutation"
        what = request.path.removeprefix(BASE).strip("/").split("/")[0].removesuffix(".json")
        known = {"CreditAccount", "Sale", *FURNITURE}
        name = "token" if request.path == TOKEN_PATH else what if what in known else "unknown"
        return Operation("query" if kind == "query" else "mutation", f"{request.method} {name}")

    async def api(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        try:
            if request.path == TOKEN_PATH:
                return self._token(body)
            bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self._tokens.get(bearer, -1.0) <= self.clock.monotonic():
                raise Refusal(401, "the token is not valid")
            said = _object(body) if request.method in ("POST", "PUT") else {}
            cost, wait = self._cost(request, said), self._wait(request)
            if wait is None and self._level() + cost > self._size:
                wait = (self._level() + cost - self._size) / self._drip
            if wait is not None:
                self.stats.of(operation).throttles += 1
                return self._headed(_too_fast(wait), 0.0)
            self._take(request, cost)
            self.stats.of(operation).points += round(cost)
            return self._headed(self._carried_out(request, said), cost)
        except Refusal as error:
            return self._refusal(error)

    def throttled(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        return self._headed(_too_fast(1.0), 0.0)

    async def refused(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        return self._refusal(Refusal(422, "not accepted"))

    def server_error(self) -> web.Response:
        return self._refusal(Refusal(500, "something went wrong"))

    def switches(self) -> Switches:
        return Switches(self.behaviour, FIXED)

    # Limits.

    @property
    def _size(self) -> float:
        return 90.0 + 10.0 * (self.behaviour.registers - 1)

    @property
    def _drip(self) -> float:
        return 1.0 + 0.5 * (self.behaviour.registers - 1)

    def _level(self) -> float:
        now = self.clock.monotonic()
        self._used = max(0.0, self._used - self._drip * (now - self._used_at))
        self._used_at = now
        return self._used

    def _cost(self, request: web.Request, said: dict[str, Any]) -> float:
        if request.method == "GET":
            return self.behaviour.read_cost + self.behaviour.parameter_cost * len(request.query)
        return self.behaviour.write_cost + 0.5 * _nested(said)

    def _wait(self, request: web.Request) -> float | None:
        """Seconds until the burst limiter or the one for codes lets the request in; None: it is in."""
        now = self.clock.monotonic()
        while self._burst and self._burst[0] <= now - BURST_SECONDS:
            self._burst.popleft()
        if len(self._burst) >= self.behaviour.burst_limit:
            return self._burst[0] + BURST_SECONDS - now
        if "code" in request.query and now - self._code_at < CODE_SECONDS:
            return self._code_at + CODE_SECONDS - now
        return None

    def _take(self, request: web.Request, cost: float) -> None:
        now = self.clock.monotonic()
        self._used = self._level() + cost
        self._burst.append(now)
        if "code" in request.query:
            self._code_at = now

    def _headed(self, answer: web.Response, cost: float) -> web.Response:
        answer.headers["X-LS-Api-Bucket-Level"] = f"{self._level():.2f}/{self._size:g}"
        answer.headers["X-LS-Api-Burst-Level"] = f"{len(self._burst)}/{self.behaviour.burst_limit}"
        answer.headers["X-LS-Api-Drip-Rate"] = f"{self._drip:g}"
        answer.headers["X-LS-Api-Request-Cost"] = f"{cost:g}"
        return answer

    def _token(self, body: bytes) -> web.Response:
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        client = (form.get("client_id", ""), form.get("client_secret", ""))
        known = client == self._client and form.get("grant_type") == "refresh_token"
        if not known or not self._refresh or form.get("refresh_token") != self._refresh:
            raise Refusal(400, "the refresh token is not valid")
        access = f"sandbox-{secrets.token_hex(16)}"
        self._tokens[access] = self.clock.monotonic() + TOKEN_SECONDS
        return web.json_response(
            {"access_token": access, "token_type": "bearer", "expires_in": TOKEN_SECONDS}
        )

    # The routes.

    def _carried_out(self, request: web.Request, said: dict[str, Any]) -> web.Response:
        parts = [part.removesuffix(".json") for part in request.path.removeprefix(BASE).strip("/").split("/")]
        if not request.path.startswith(f"{BASE}/") or not request.path.endswith(".json"):
            raise Refusal(404, "no such path")
        match request.method, parts:
            case "GET", ["CreditAccount"]:
                return self._cards(request)
            case "POST", ["CreditAccount"]:
                self._need(CUSTOMERS)
                if set(said) - {"code", "name", "description"}:
                    raise Refusal(400, "a gift card takes code, name and description")
                made = self.account.create(said.get("code"), said.get("name"), said.get("description"))
                return _answer({"CreditAccount": self._card(made, relations=False)})
            case method, ["CreditAccount", key]:
                self._need(CUSTOMERS)
                card = self.account.card(key)
                if method == "PUT":
                    self.account.update(card, said.get("name"), said.get("description"))
                elif method == "DELETE":
                    self.account.archive(card)
                elif method != "GET":
                    raise Refusal(404, "no such path")
                return _answer({"CreditAccount": self._card(card, relations=_wants_payments(request))})
            case "POST", ["Sale"]:
                self._need(SALES)
                return _answer({"Sale": self._sale(self.account.sell(said))})
            case "GET", ["Sale", key]:
                sale = self.account.sales.get(int(key)) if key.isdigit() else None
                if sale is None:
                    raise Refusal(404, "no such sale")
                return _answer({"Sale": self._sale(sale)})
            case "GET", [kind] if kind in FURNITURE:
                return _answer({kind: _some(list(FURNITURE[kind].values()))})
            case "GET", [kind, key] if kind in FURNITURE and key in FURNITURE[kind]:
                return _answer({kind: FURNITURE[kind][key]})
        raise Refusal(404, "no such path")

    def _cards(self, request: web.Request) -> web.Response:
        self._need(CUSTOMERS)
        query = request.query
        cards = list(self.account.cards.values())
        if query.get("archived") != "true":
            cards = [card for card in cards if not card.archived]
        if "code" in query:
            cards = [card for card in cards if card.code == query["code"]]
        if query.get("sort") == "timeStamp":
            cards.sort(key=lambda card: card.changed_at)
        wanted = query.get("timeStamp", "")
        if wanted and self.behaviour.timestamp_filter:
            sign, _, moment = wanted.partition(",")
            since = _moment(moment)
            if sign != ">" or since is None:
                raise Refusal(400, "timeStamp must be >,TIME")
            cards = [card for card in cards if card.changed_at > since]
        limit, offset = query.get("limit", str(PAGE_SIZE_MAX)), query.get("offset", "0")
        if not limit.isdigit() or not 1 <= int(limit) <= PAGE_SIZE_MAX or not offset.isdigit():
            raise Refusal(400, "limit and offset")
        page = cards[int(offset) : int(offset) + int(limit)]
        shown = [self._card(card, relations=_wants_payments(request)) for card in page]
        head = {"@attributes": {"count": str(len(cards)), "offset": offset, "limit": limit}}
        return _answer({**head, **({"CreditAccount": _some(shown)} if shown else {})})

    def _need(self, scope: str) -> None:
        if scope not in self.scopes:
            raise Refusal(403, f"the token has no scope {scope}")

    def _refusal(self, error: Refusal) -> web.Response:
        body = {"httpCode": str(error.status), "message": error.message}
        return self._headed(web.json_response(body, status=error.status), 0.0)

    # What is shown.

    def _card(self, card: GiftCard, *, relations: bool) -> dict[str, object]:
        code = card.code if SHOW_CODES in self.scopes else "*" * (len(card.code) - 4) + card.code[-4:]
        cents = card.cents if self.behaviour.sign == "positive" else -card.cents
        shown: dict[str, object] = {
            "creditAccountID": str(card.id),
            "name": card.name,
            "code": code,
            "creditLimit": "0",
            "description": card.description,
            "giftCard": "true",
            "archived": "true" if card.archived else "false",
            "timeStamp": card.changed_at.isoformat(),
            "customerID": "0",
            "balance": _signed(cents),
        }
        if relations:
            payments = [self._payment(sale, one) for sale, one in card.payments]
            shown["WithdrawalPayments"] = {"SalePayment": _some(payments)} if payments else {}
        return shown

    def _payment(self, sale: Sale, one: SalePayment) -> dict[str, str]:
        return {
            "salePaymentID": str(one.id),
            "saleID": str(sale.id),
            "amount": _signed(one.cents),
            "createTime": sale.created_at.isoformat(),
            "paymentTypeID": one.payment_type,
            "creditAccountID": str(one.card.id) if one.card is not None else "0",
        }

    def _sale(self, sale: Sale) -> dict[str, object]:
        payments = [self._payment(sale, one) for one in sale.payments]
        return {
            "saleID": str(sale.id),
            "completed": "true",
            "createTime": sale.created_at.isoformat(),
            "referenceNumber": sale.reference,
            "note": sale.note,
            "SalePayments": {"SalePayment": _some(payments)},
        }

    # The control plane.

    def cards(self) -> list[dict[str, object]]:
        return [
            {
                "id": str(card.id),
                "number": card.code,
                "balance": _signed(card.cents),
                "status": "archived" if card.archived else "in use",
                "expires": None,
                "name": card.name,
                "note": card.description,
                "transactions": [
                    {
                        "id": str(one.id),
                        "amount": _signed(-one.cents),
                        "sale": str(sale.id),
                        "reference": sale.reference or sale.note,
                    }
                    for sale, one in card.payments
                ],
            }
            for card in self.account.cards.values()
        ]

    def control(self) -> dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]]:
        return {"sell": self._sell, "redeem": self._redeem, "load": self._load, "archive": self._archive}

    async def _sell(self, body: Json) -> Json:
        """`{"amount"}`: a cashier sells a card; answers its `number` and `id`."""
        only(body, "amount")
        card = _controlled(lambda: self.account.sell_card(_positive(body)))
        return {"number": card.code, "id": str(card.id)}

    async def _redeem(self, body: Json) -> Json:
        """`{"number", "amount"}`: a customer pays at the till; 409 when the card cannot."""
        return self._at_the_till(body, self.account.redeem)

    async def _load(self, body: Json) -> Json:
        """`{"number", "amount"}`: a cashier loads the card; 409 when the card cannot."""
        return self._at_the_till(body, self.account.load)

    async def _archive(self, body: Json) -> Json:
        """`{"number"}`: the back office archives the card; it keeps what it holds."""
        only(body, "number")
        self.account.archive(self._numbered(body))
        return {}

    def _at_the_till(self, body: Json, act: Callable[[GiftCard, int], None]) -> Json:
        only(body, "number", "amount")
        card = self._numbered(body)
        _controlled(lambda: act(card, _positive(body)))
        return {"balance": _signed(card.cents)}

    def _numbered(self, body: Json) -> GiftCard:
        found = self.account.with_code(text(body, "number"))
        if not found:
            raise ControlError(404, "no such gift card")
        return found[0]


def _positive(body: Json) -> int:
    cents = signed_minor(body, "amount", 2)
    if cents <= 0:
        raise ControlError(400, "amount must be more than zero")
    return cents


def _controlled(call: Callable[[], T]) -> T:
    try:
        return call()
    except Refusal as error:
        raise ControlError(404 if error.status == 404 else 409, error.message) from None


def _wants_payments(request: web.Request) -> bool:
    try:
        return "WithdrawalPayments" in json.loads(request.query.get("load_relations", "[]"))
    except (ValueError, TypeError):
        raise Refusal(400, "load_relations is no list") from None


def _object(body: bytes) -> dict[str, Any]:
    return object_in(body, lambda words: Refusal(400, words))


def _nested(said: object) -> int:
    """Entities within the body."""
    if isinstance(said, dict):
        return sum(_nested(one) + isinstance(one, dict) for one in said.values())
    return sum(_nested(one) + 1 for one in said) if isinstance(said, list) else 0


def _moment(text_: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text_)
    except ValueError:
        return None


def _some(listed: list[T]) -> T | list[T]:
    """One row is an object, several are an array."""
    return listed[0] if len(listed) == 1 else listed


def _signed(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _answer(body: object) -> web.Response:
    return web.json_response(body)


def _too_fast(wait: float) -> web.Response:
    answer = web.json_response({"httpCode": "429", "message": "Rate limit exceeded"}, status=429)
    answer.headers["Retry-After"] = str(max(1, int(-(-wait // 1))))
    return answer
