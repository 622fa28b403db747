"""The emulator of a shop by the contract: its key, limits, routes and control plane around one shop."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from aiohttp import web

from sandbox.clock import SandboxClock
from sandbox.control_values import ControlError, Json, only, signed_minor, text
from sandbox.emulator import Emulator
from sandbox.http_side.behaviour import FIXED, HttpShopBehaviour
from sandbox.http_side.shop import STATUSES, Done, GiftCard, Movement, Refusal, Shop
from sandbox.http_side.webhooks import Notifier
from sandbox.request_body import object_in
from sandbox.stats import Operation
from sandbox.switches import Switches

T = TypeVar("T")

LIMIT_MAX: Final = 500
KEY: Final = re.compile(r"[!-~]{1,100}")
DECIMALS: Final = {"JPY": 0, "KRW": 0, "ISK": 0, "CLP": 0, "KWD": 3, "BHD": 3}
_AMOUNT: Final = re.compile(r"-?[0-9]{1,13}(\.[0-9]{1,3})?")
_NEEDS: Final = {"status": {"active": "suspend", "suspended": "suspend", "closed": "close"}}


class HttpShopEmulator(Emulator):
    """One shop below `/giftsync`, for whoever has the key.

    `cards` were sold before now, the same ones for the same `seed`.
    """

    def __init__(
        self,
        *,
        key: str,
        shop_id: str = "sandbox-shop",
        currency: str = "NOK",
        timezone: str = "Europe/Oslo",
        webhook_secret: str = "",
        seed: int = 0,
        cards: int = 0,
        behaviour: HttpShopBehaviour | None = None,
        latency_ms: int = 0,
    ) -> None:
        super().__init__(latency_ms=latency_ms, clock=SandboxClock())
        self.behaviour = behaviour or HttpShopBehaviour()
        self._key, self._shop_id, self._currency, self._timezone = key, shop_id, currency, timezone
        self._decimals = DECIMALS.get(currency, 2)
        self._asked: deque[float] = deque()
        self.notifier = Notifier(self.behaviour, self.clock.wall, self._spawn, self._pause)
        self.shop = Shop(self.behaviour, self.clock.wall, timezone, lambda card: self.notifier.tell(card.id))
        self.notifier.secret = webhook_secret
        self.shop.sell_earlier(cards, seed, 10**self._decimals)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def name_operation(self, request: web.Request, body: bytes) -> Operation:
        parts = _parts(request)
        if request.method == "GET":
            return Operation("query", f"GET {parts[0] if parts else ''}")
        if parts == ["cards", "lookup"]:
            return Operation("query", "POST lookup")
        return Operation("mutation", f"{request.method} {parts[-1] if len(parts) == 3 else 'cards'}")

    async def api(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        try:
            if request.headers.get("Authorization") != f"Bearer {self._key}":
                raise Refusal(401, "unauthorized")
            if not self._has_room():
                self.stats.of(operation).throttles += 1
                return self.throttled(request, body, operation)
            self._asked.append(self.clock.monotonic())
            return self._route(request, _parts(request), body)
        except Refusal as error:
            return _problem(error.status, error.code, error.card)

    def throttled(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        answer = _problem(429, "too_many_requests")
        answer.headers["Retry-After"] = "1"
        return answer

    async def refused(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        return _problem(409, "not_this_one")

    def server_error(self) -> web.Response:
        return web.Response(
            status=502, text="<html><body>Bad Gateway</body></html>", content_type="text/html"
        )

    def switches(self) -> Switches:
        return Switches(self.behaviour, FIXED)

    def _has_room(self) -> bool:
        limit = self.behaviour.requests_per_minute
        while self._asked and self._asked[0] <= self.clock.monotonic() - 60.0:
            self._asked.popleft()
        return not limit or len(self._asked) < limit

    # The routes.

    def _route(self, request: web.Request, parts: list[str], body: bytes) -> web.Response:
        match request.method, parts:
            case "GET", ["shop"]:
                return _answer(200, self._shown_shop())
            case "GET", ["cards"]:
                return self._list(request)
            case "POST", ["cards"]:
                return self._create(request, _object(body))
            case "POST", ["cards", "lookup"]:
                return _answer(200, self._card(self.shop.by_number(_string(_object(body), "number"))))
            case "GET", ["cards", card_id]:
                return _answer(200, self._card(self.shop.by_id(card_id)))
            case "PATCH", ["cards", card_id]:
                return _answer(200, self._card(self._change(self.shop.by_id(card_id), _object(body))))
            case "POST", ["cards", card_id, "movements"]:
                return self._move(request, self.shop.by_id(card_id), _object(body))
            case "GET", ["changes"]:
                return self._changes(request)
        raise Refusal(404, "not_found")

    def _shown_shop(self) -> Json:
        limits = self.behaviour
        return {
            "contract": "1.0",
            "id": self._shop_id,
            "name": "Sandbox shop",
            "currency": self._currency,
            "timezone": self._timezone,
            "features": list(limits.features),
            "numbers": {
                "length_min": limits.number_length_min,
                "length_max": limits.number_length_max,
                "digits_only": limits.number_digits_only,
            },
        }

    def _list(self, request: web.Request) -> web.Response:
        after, limit = _page_of(request)
        cards = list(self.shop.cards.values())[after : after + limit]
        end = after + len(cards)
        more = end < len(self.shop.cards)
        shown = [{k: v for k, v in self._card(card).items() if k != "movements"} for card in cards]
        return _answer(200, {"cards": shown, "next": str(end) if more else None})

    def _changes(self, request: web.Request) -> web.Response:
        after, limit = _page_of(request)
        page = self.shop.changes[after : after + limit]
        end = after + len(page)
        latest = dict(page)
        return _answer(
            200,
            {
                "changes": [{"card": card_id, "at": at.isoformat()} for card_id, at in latest.items()],
                "next": str(end),
                "more": end < len(self.shop.changes),
            },
        )

    def _create(self, request: web.Request, body: Json) -> web.Response:
        self._need("create")
        key = _key_of(request)
        for name in ("number", "amount", "currency", "expires_on"):
            if name not in body:
                raise Refusal(400, "invalid_request")
        done = self.shop.done(key, ["create", body])
        if done is None:
            minor = self._minor(body)
            done = self.shop.create(
                _string(body, "number"),
                minor,
                key=key,
                request=["create", body],
                expires_on=_day(body),
                note=str(body.get("note", "")),
                brand=str(body.get("brand", "")),
            )
        return _answer(201, self._card(done.card))

    def _move(self, request: web.Request, card: GiftCard, body: Json) -> web.Response:
        key, minor = _key_of(request), self._minor(body)
        self._need("debit" if minor < 0 else "credit")
        asked = ["move", card.id, body]
        done = self.shop.done(key, asked)
        if done is None:
            done = self.shop.move(card, minor, key=key, request=asked)
        return _answer(201, self._moved(done))

    def _change(self, card: GiftCard, body: Json) -> GiftCard:
        status = body.get("status")
        if not body or set(body) - {"status", "expires_on"} or ("status" in body and status not in STATUSES):
            raise Refusal(400, "invalid_request")
        if isinstance(status, str):
            self._need(_NEEDS["status"][status])
        sets_expiry = "expires_on" in body
        if sets_expiry:
            self._need("expiry")
        day = _day(body) if sets_expiry else None
        known = status if isinstance(status, str) else None
        return self.shop.change(card, status=known, expires_on=day, sets_expiry=sets_expiry)

    def _need(self, feature: str) -> None:
        if feature not in self.behaviour.features:
            raise Refusal(404, "not_found")

    def _minor(self, body: Json) -> int:
        if body.get("currency") != self._currency:
            raise Refusal(409, "currency_mismatch")
        amount = body.get("amount")
        if not isinstance(amount, str) or not _AMOUNT.fullmatch(amount):
            raise Refusal(400, "invalid_request")
        if len(amount.partition(".")[2]) != self._decimals:
            raise Refusal(400, "invalid_request")
        try:
            return int(Decimal(amount).scaleb(self._decimals))
        except InvalidOperation:
            raise Refusal(400, "invalid_request") from None

    # What is shown.

    def _card(self, card: GiftCard) -> Json:
        return {
            "id": card.id,
            "number": card.number,
            "balance": self._text(card.minor),
            "currency": self._currency,
            "status": card.status,
            "expires_on": card.expires_on and card.expires_on.isoformat(),
            "key": card.key,
            "note": card.note,
            "brand": card.brand,
            "movements": [self._movement(one) for one in card.movements],
        }

    def _movement(self, one: Movement) -> Json:
        return {
            "id": one.id,
            "amount": self._text(one.minor),
            "at": one.at.isoformat(),
            "key": one.key,
            "label": one.label,
        }

    def _moved(self, done: Done) -> Json:
        movement = None if done.movement is None else self._movement(done.movement)
        return {"card": done.card.id, "balance": self._text(done.card.minor), "movement": movement}

    def _text(self, minor: int) -> str:
        return f"{Decimal(minor).scaleb(-self._decimals):.{self._decimals}f}"

    # The control plane.

    def cards(self) -> list[dict[str, object]]:
        return [{**self._card(card), "expires": card.expires_on and card.expires_on.isoformat(),
                 "transactions": [self._movement(one) for one in card.movements]}
                for card in self.shop.cards.values()]  # fmt: skip

    def control(self) -> dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]]:
        return {
            "sell": self._sell,
            "redeem": self._redeem,
            "refund": self._refund,
            "load": self._load,
            "status": self._status,
            "webhooks": self._webhooks,
        }

    async def _sell(self, body: Json) -> Json:
        """`{"amount"}`: a customer buys a card; answers its `number` and `id`."""
        only(body, "amount")
        card = _controlled(lambda: self.shop.sell(signed_minor(body, "amount", self._decimals)))
        return {"number": card.number, "id": card.id}

    async def _redeem(self, body: Json) -> Json:
        """`{"number", "amount"}`: an order is paid with a card; 409 when the card cannot."""
        only(body, "number", "amount")
        number, minor = text(body, "number"), signed_minor(body, "amount", self._decimals)
        order, done = _controlled(lambda: self.shop.order(self.shop.by_number(number), minor))
        return {"order_id": order, "balance": self._text(done.card.minor)}

    async def _refund(self, body: Json) -> Json:
        """`{"order_id", "amount"}`: money of an order goes back to the card that paid it."""
        only(body, "order_id", "amount")
        order, minor = text(body, "order_id"), signed_minor(body, "amount", self._decimals)
        done = _controlled(lambda: self.shop.refund(order, minor))
        return {"balance": self._text(done.card.minor)}

    async def _load(self, body: Json) -> Json:
        """`{"number", "amount"}`: staff put money on a card; 409 when the card cannot."""
        only(body, "number", "amount")
        number, minor = text(body, "number"), signed_minor(body, "amount", self._decimals)
        done = _controlled(lambda: self.shop.move(self.shop.by_number(number), minor, label="goodwill"))
        return {"balance": self._text(done.card.minor)}

    async def _status(self, body: Json) -> Json:
        """`{"number", "status"}`: show any status, also one that nobody knows."""
        only(body, "number", "status")
        card = _controlled(lambda: self.shop.by_number(text(body, "number")))
        self.shop.show(card, text(body, "status", longest=40))
        return {"status": card.status}

    async def _webhooks(self, body: Json) -> Json:
        """`{"url", "secret"?}`: tell this address of changed cards; `{}` tells nobody."""
        only(body, "url", "secret")
        self.notifier.url = text(body, "url") if "url" in body else None
        if "secret" in body:
            self.notifier.secret = text(body, "secret")
        return {"url": self.notifier.url, "taken": self.notifier.taken}


def _controlled(call: Callable[[], T]) -> T:
    try:
        return call()
    except Refusal as error:
        raise ControlError(404 if error.status == 404 else 409, error.code) from None


def _parts(request: web.Request) -> list[str]:
    """The path below `/giftsync`."""
    parts = [unquote(part) for part in request.rel_url.raw_path.split("/")[1:]]
    return parts[1:] if parts[:1] == ["giftsync"] else []


def _object(body: bytes) -> Json:
    return object_in(body, lambda _: Refusal(400, "invalid_request"))


def _string(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(400, "invalid_request")
    return value


def _day(body: Json) -> date | None:
    value = body.get("expires_on")
    if value is None:
        return None
    try:
        return datetime.strptime(str(value), "%Y-%m-%d").date()  # noqa: DTZ007 a day has no zone
    except ValueError:
        raise Refusal(400, "invalid_request") from None


def _key_of(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not KEY.fullmatch(key):
        raise Refusal(400, "invalid_request")
    return key


def _page_of(request: web.Request) -> tuple[int, int]:
    after, limit = request.query.get("after", "0"), request.query.get("limit", "100")
    if not after.isascii() or not after.isdigit() or not limit.isascii() or not limit.isdigit():
        raise Refusal(400, "invalid_request")
    if not 1 <= int(limit) <= LIMIT_MAX:
        raise Refusal(400, "invalid_request")
    return int(after), int(limit)


def _problem(status: int, code: str, card: str | None = None) -> web.Response:
    body = {"title": code.replace("_", " "), "status": status, "code": code}
    shown = body if card is None else {**body, "card": card}
    return web.json_response(shown, status=status, content_type="application/problem+json")


def _answer(status: int, body: object) -> web.Response:
    return web.json_response(body, status=status)
