"""The Maestra emulator: operations, bulk imports and the control plane around one project."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Final, TypeVar

from aiohttp import web

from sandbox.clock import SandboxClock
from sandbox.control_values import ControlError, Json, any_status, flag, moment, only, signed_minor, text
from sandbox.emulator import Emulator
from sandbox.maestra.behaviour import FIXED, MaestraBehaviour
from sandbox.maestra.bulk import BadFile, Imports
from sandbox.maestra.project import (
    ACTIVATED,
    BLOCKED,
    EXPIRED,
    INACTIVE,
    NO_CARD,
    REDEEMED,
    GiftCard,
    Invalid,
    Order,
    Pool,
    Project,
)
from sandbox.request_body import object_in
from sandbox.stats import Operation
from sandbox.switches import Switches

T = TypeVar("T")

ENDPOINT: Final = "sandbox-endpoint"
CALCULATE, SELL, PAY, CANCEL = "Sandbox.Calculate", "Sandbox.Sell", "Sandbox.Pay", "Sandbox.Cancel"
IMPORT_NEW: Final = "DirectCrm.GiftCards.ImportNew"
IMPORT: Final = "DirectCrm.GiftCards.Import"
#: What a card is paid on, when there is nothing else to sell.
TECHNICAL_PRODUCT: Final = "giftsync-redemption"
PRODUCT_SYSTEM: Final = "webSite"
_INTERFACE: Final = {INACTIVE: "NotActivated", ACTIVATED: "Activated"}
POOLS: Final = (
    Pool("standard", "Standard", "pool-standard"),
    Pool("secured", "Secured", "pool-secured", cvv_required=True),
    Pool("hundred", "Hundred", "pool-hundred", face_cents=100_00, partial=False),
)


class MaestraEmulator(Emulator):
    """One project on `/v3/operations`. Operation names are the project's own; those of imports are fixed."""

    def __init__(
        self,
        *,
        key: str,
        endpoint: str = ENDPOINT,
        pools: Sequence[Pool] = POOLS,
        behaviour: MaestraBehaviour | None = None,
        latency_ms: int = 0,
    ) -> None:
        super().__init__(latency_ms=latency_ms, clock=SandboxClock())
        self.behaviour = behaviour or MaestraBehaviour()
        self.project = Project(self.behaviour, self.clock.wall)
        for pool in pools:
            self.project.add_pool(pool)
        self.imports = Imports(self.project, self.clock.monotonic)
        self._key, self._endpoint = key, endpoint
        self._sold = 0

    def sell_earlier(self, count: int, seed: int) -> None:
        """Begin with so many cards that were sold before now, the same ones for the same seed."""
        self.project.sell_earlier(count, seed)

    def name_operation(self, request: web.Request, body: bytes) -> Operation:
        name = request.query.get("operation", "none")
        return Operation("query" if name == CALCULATE else "mutation", name)

    async def api(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        self.imports.advance()
        kind = request.path.removeprefix("/v3/operations/")
        if request.headers.get("Authorization") != f"SecretKey {self._key}":
            return _error(401, "the secret key is not accepted")
        if request.method != "POST" or kind not in ("sync", "async", "bulk"):
            return _error(404, "no such path")
        name = request.query.get("operation")
        if not name or request.query.get("endpointId") != self._endpoint:
            return _error(400, "endpointId and operation are needed")
        if kind == "bulk":
            return self._bulk(name, request, body)
        handler = {CALCULATE: self._calculate, SELL: self._sell, PAY: self._pay, CANCEL: self._cancel}.get(
            name
        )
        if handler is None:
            return _error(404, "no such operation")
        try:
            return _answer(200, {"status": "Success", **handler(_object(body))})
        except Invalid as error:
            messages = [{"message": error.message, "location": error.location}]
            return _answer(200, {"status": "ValidationError", "validationMessages": messages})
        except _Malformed as error:
            return _answer(200, {"status": "ProtocolError", "errorMessage": str(error)})

    def throttled(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        return _error(429, "too many requests")

    async def refused(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        messages = [{"message": "not accepted", "location": ""}]
        return _answer(200, {"status": "ValidationError", "validationMessages": messages})

    def server_error(self) -> web.Response:
        return _answer(500, {"status": "InternalServerError", "errorMessage": "something went wrong"})

    def switches(self) -> Switches:
        return Switches(self.behaviour, FIXED)

    def clock_changed(self) -> None:
        self.imports.advance()

    # The operations.

    def _bulk(self, name: str, request: web.Request, body: bytes) -> web.Response:
        if name not in (IMPORT_NEW, IMPORT):
            return _error(404, "no such operation")
        if request.headers.get("Content-Type", "").split(";")[0] != "text/csv":
            return _error(400, "Content-Type must be text/csv")
        if not self.imports.has_room():
            return _error(429, "more imports than an hour allows")
        has_new_columns = body.lstrip(b"\xef\xbb\xbf").startswith(b"Number")
        allowed = self.behaviour.new_cards_by
        if has_new_columns and allowed != "both" and not name.endswith(f".{allowed}"):
            return _error(400, "this operation does not take new cards")
        try:
            made = self.imports.take(request.query, body, are_new=has_new_columns)
        except BadFile as error:
            return _error(400, error.message)
        return _answer(200, {"status": "Success", "importId": made.id})

    def _calculate(self, said: Mapping[str, Any]) -> dict[str, object]:
        number, cents, cvv = self._payment(_order(said))
        card = self.project.card(number)
        if self.behaviour.calculation_shows == "payable" or card.status == ACTIVATED:
            self.project.check_pays(card, cvv)
        return {"order": {"paymentsInfo": [self._info(card, cents)]}}

    def _info(self, card: GiftCard, cents: int) -> dict[str, object]:
        payable, face = card.status == ACTIVATED, card.pool.face_cents
        return {
            "paymentInfo": {
                "type": self.behaviour.payment_type,
                "id": card.number,
                "availableAmountForCurrentOrder": _money(min(card.cents, cents)) if payable else 0,
                "giftCard": {
                    "product": {"ids": {PRODUCT_SYSTEM: card.pool.product}},
                    "amount": _money(card.cents),
                    "status": {"ids": {"systemName": self._status_name(card)}},
                    "basePricePerItem": None if face is None else _money(face),
                },
            }
        }

    def _status_name(self, card: GiftCard) -> str:
        if self.behaviour.status_names == "file":
            return card.status
        return _INTERFACE.get(card.status, card.status)

    def _sell(self, said: Mapping[str, Any]) -> dict[str, object]:
        order = _order(said)
        line = _first(order, "lines")
        gift, product = line.get("giftCard"), _product(line)
        pool = self.project.pool_of(product)
        if pool is None:
            raise Invalid("the product is no pool's", "/order/lines/0/product")
        if not isinstance(gift, dict):
            raise _Malformed("giftCard is needed")
        number = gift.get("id")
        if gift.get("getFromPool") is True:
            free = (c for c in self.project.cards.values() if c.pool is pool and c.status == INACTIVE)
            card = next(free, None)
            if card is None:
                raise Invalid("the pool has no free card", "/order/lines/0/giftCard")
            number = card.number
        if not isinstance(number, str) or self.project.card(number).pool is not pool:
            raise Invalid(NO_CARD, "/order/lines/0/giftCard")
        saved = self.project.save(Order(_external_id(order), number, None), "")
        return {
            "order": {"ids": {"externalId": saved.external_id}, "lines": [{"giftCard": {"id": saved.sells}}]}
        }

    def _pay(self, said: Mapping[str, Any]) -> dict[str, object]:
        order = _order(said)
        if _product(_first(order, "lines")) != TECHNICAL_PRODUCT:
            raise Invalid("the product is not known", "/order/lines/0/product")
        number, cents, cvv = self._payment(order)
        saved = self.project.save(Order(_external_id(order), None, (number, cents)), cvv)
        return {"order": {"ids": {"externalId": saved.external_id}}}

    def _cancel(self, said: Mapping[str, Any]) -> dict[str, object]:
        self.project.cancel(_external_id(_order(said)))
        return {}

    def _payment(self, order: Mapping[str, Any]) -> tuple[str, int, str]:
        payment = _first(order, "payments")
        if payment.get("type") != self.behaviour.payment_type:
            raise Invalid("the payment type is not known", "/order/payments/0/type")
        number, cvv = payment.get("id"), payment.get(self.behaviour.cvv_name, "")
        if not isinstance(number, str) or not isinstance(cvv, str):
            raise _Malformed("a payment's id and CVV are texts")
        return number, _cents(payment.get("amount")), cvv

    # The control plane.

    def cards(self) -> list[dict[str, object]]:
        return [
            {
                "id": self._shown_id(card.number),
                "number": card.number,
                "balance": _text(card.cents),
                "status": card.status,
                "expires": card.expires_at and card.expires_at.isoformat(),
                "pool": card.pool.system_name,
                "sold_by": card.sold_by,
                "transactions": [{"order": order, "amount": _text(-cents)} for order, cents in card.payments],
            }
            for card in self.project.cards.values()
        ]

    def _shown_id(self, number: str) -> str:
        """What a client may show as the card's id, since Maestra has no other than the number.

        It is what docs/how-to/connect-maestra.md says: a hash of the number under the secret key.
        """
        return f"m-{hmac.new(self._key.encode(), number.encode(), sha256).hexdigest()[:24]}"

    def control(self) -> dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]]:
        return {
            "sell": self._sold_at_the_till,
            "redeem": self._paid_at_the_till,
            "adjust": self._adjust,
            "status": self._status,
            "pool": self._pool,
            "imports": self._imports,
            "expire": self._expire,
        }

    async def _sold_at_the_till(self, body: Json) -> Json:
        """`{"amount", "pool"?, "number"?, "cvv"?, "inactive"?}`: a cashier sells a card; answers `number`.

        With `inactive`, it is only imported and waits to be sold.
        """
        only(body, "amount", "pool", "number", "cvv", "inactive")
        pool = self.project.pools.get(text(body, "pool") if "pool" in body else "standard")
        if pool is None:
            raise ControlError(404, "no such pool")
        self._sold += 1
        number = text(body, "number") if "number" in body else f"66{self._sold:014d}"
        cvv = text(body, "cvv") if "cvv" in body else ""
        cents = signed_minor(body, "amount", 2)
        card = _controlled(lambda: self.project.add_card(number, pool, cents, cvv))
        if not (flag(body, "inactive") if "inactive" in body else False):
            self.project.activate(card, f"till-{self._sold}")
        return {"number": card.number}

    async def _paid_at_the_till(self, body: Json) -> Json:
        """`{"number", "amount", "cvv"?}`: a customer pays with the card; 409 when it cannot."""
        only(body, "number", "amount", "cvv")
        self._sold += 1
        order = Order(f"till-{self._sold}", None, (text(body, "number"), signed_minor(body, "amount", 2)))
        cvv = text(body, "cvv") if "cvv" in body else ""
        _controlled(lambda: self.project.save(order, cvv))
        return {"balance": _text(self.project.card(text(body, "number")).cents)}

    async def _adjust(self, body: Json) -> Json:
        """`{"number", "amount"}`: Maestra's support raises or lowers what a card holds."""
        only(body, "number", "amount")
        card = _controlled(lambda: self.project.card(text(body, "number")))
        card.cents = max(card.cents + signed_minor(body, "amount", 2), 0)
        if card.status == REDEEMED and card.cents:
            card.status = ACTIVATED
        return {"balance": _text(card.cents)}

    async def _status(self, body: Json) -> Json:
        """`{"number", "status"}`: show any status, also one that nobody knows."""
        only(body, "number", "status")
        card = _controlled(lambda: self.project.card(text(body, "number")))
        known = {name.upper(): name for name in (INACTIVE, ACTIVATED, REDEEMED, EXPIRED, BLOCKED)}
        wanted = any_status(body)
        card.status = known.get(wanted, wanted)
        return {"status": card.status}

    async def _expire(self, body: Json) -> Json:
        """`{"number", "at"}`: give the card an end."""
        only(body, "number", "at")
        card = _controlled(lambda: self.project.card(text(body, "number")))
        card.expires_at = moment(body, "at")
        return {"status": self.project.card(card.number).status}

    async def _pool(self, body: Json) -> Json:
        """`{"system_name", "product", "face"?, "partial"?, "cvv_required"?}`: import another pool."""
        only(body, "system_name", "product", "face", "partial", "cvv_required")
        pool = Pool(
            text(body, "system_name"),
            text(body, "system_name"),
            text(body, "product"),
            signed_minor(body, "face", 2) if "face" in body else None,
            flag(body, "partial") if "partial" in body else True,
            flag(body, "cvv_required") if "cvv_required" in body else False,
        )
        _controlled(lambda: self.project.add_pool(pool))
        return {"pools": len(self.project.pools)}

    async def _imports(self, body: Json) -> Json:
        """`{}`: every import so far, with the errors of its rows."""
        only(body)
        self.imports.advance()
        return {
            "imports": [
                {
                    "id": one.id,
                    "rows": len(one.rows),
                    "done": one.done,
                    "errors": {str(row): message for row, message in one.errors.items()},
                }
                for one in self.imports.all
            ]
        }


class _Malformed(ValueError):
    """A ProtocolError: the request is not one."""


def _controlled(call: Callable[[], T]) -> T:
    try:
        return call()
    except Invalid as error:
        raise ControlError(404 if error.message == NO_CARD else 409, error.message) from None


def _object(body: bytes) -> Mapping[str, Any]:
    return object_in(body, _Malformed)


def _order(said: Mapping[str, Any]) -> Mapping[str, Any]:
    order = said.get("order")
    if not isinstance(order, dict):
        raise _Malformed("order is needed")
    return order


def _first(order: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    many = order.get(name)
    if not isinstance(many, list) or len(many) != 1 or not isinstance(many[0], dict):
        raise _Malformed(f"one of {name} is needed")
    return many[0]


def _product(line: Mapping[str, Any]) -> str:
    product = line.get("product")
    ids = product.get("ids") if isinstance(product, dict) else None
    found = ids.get(PRODUCT_SYSTEM) if isinstance(ids, dict) else None
    if not isinstance(found, str):
        raise _Malformed(f"product.ids.{PRODUCT_SYSTEM} is needed")
    return found


def _external_id(order: Mapping[str, Any]) -> str:
    ids = order.get("ids")
    found = ids.get("externalId") if isinstance(ids, dict) else None
    if not isinstance(found, str) or not found:
        raise _Malformed("order.ids.externalId is needed")
    return found


def _cents(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Malformed("an amount is a number")
    try:
        cents = Decimal(str(value)) * 100
    except InvalidOperation:
        raise _Malformed("an amount is a number") from None
    if not cents.is_finite() or cents != cents.to_integral_value() or cents < 0:
        raise Invalid("the amount has too many decimals", "/order/payments/0/amount")
    return int(cents)


def _money(cents: int) -> float:
    return cents / 100


def _text(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _error(status: int, message: str) -> web.Response:
    return _answer(status, {"status": "ProtocolError", "errorMessage": message})


def _answer(status: int, body: object) -> web.Response:
    return web.json_response(body, status=status)
