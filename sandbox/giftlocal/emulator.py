"""The Gift Local emulator: keys, locations, routes and the control plane around one account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from sandbox.clock import SandboxClock
from sandbox.control_values import ControlError, Json, flag, moment, only, signed_minor, text
from sandbox.emulator import Emulator
from sandbox.giftlocal.account import Account, Gift, Refusal
from sandbox.giftlocal.behaviour import FIXED, GiftLocalBehaviour
from sandbox.request_body import object_in
from sandbox.stats import Operation
from sandbox.switches import Switches

T = TypeVar("T")

VALIDATE: Final = "/api/integration/redemption/validate-gift"
REDEEM: Final = "/api/integration/redemption/redeem-gift"
SEND: Final = "/api/integration/gifting/send-gift"
LOCATION: Final = "3f2b8d0e-1111-4000-8000-000000000001"
STOREFRONT: Final = "sandbox-storefront"
PROGRAM: Final = "sandbox-program"
ACCOUNT: Final = "sandbox-account"
#: Handed over by the sender, and paid outside of Gift Local.
_BY_SENDER: Final = 3
_EXTERNAL: Final = 2
_CODE_LENGTH: Final = 12


class GiftLocalEmulator(Emulator):
    """One account. `key` is an account integrator's; `system_key` may not redeem.

    `locations` are the account's, of which `attached` belong to the key; `pos_ids` are what the point of sale
    calls them. One location that is attached need not be named.
    """

    def __init__(
        self,
        *,
        key: str,
        system_key: str = "",
        locations: Sequence[str] = (LOCATION,),
        attached: Sequence[str] | None = None,
        pos_ids: Mapping[str, str] | None = None,
        behaviour: GiftLocalBehaviour | None = None,
        seed: int = 0,
        latency_ms: int = 0,
    ) -> None:
        super().__init__(latency_ms=latency_ms, clock=SandboxClock())
        self.behaviour = behaviour or GiftLocalBehaviour()
        self.account = Account(self.behaviour, self.clock.wall, seed)
        self._key, self._system_key = key, system_key
        self._locations = tuple(locations)
        self._attached = tuple(locations if attached is None else attached)
        self._pos_ids = dict(pos_ids or {})

    def name_operation(self, request: web.Request, body: bytes) -> Operation:
        name = request.path.rsplit("/", 1)[-1]
        return Operation("query" if request.path == VALIDATE else "mutation", name)

    async def api(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        try:
            return self._route(request, body)
        except Refusal as error:
            return _answer(error.status, {"error": {"message": error.message}})

    def throttled(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        answer = _answer(429, {"error": {"message": "too many requests"}})
        answer.headers["Retry-After"] = "1"
        return answer

    async def refused(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        return _answer(400, {"error": {"message": "not accepted"}})

    def server_error(self) -> web.Response:
        return _answer(500, {"error": {"message": "something went wrong"}})

    def switches(self) -> Switches:
        return Switches(self.behaviour, FIXED)

    # The routes.

    def _route(self, request: web.Request, body: bytes) -> web.Response:
        key = request.headers.get("Authorization", "")
        if key not in (self._key, self._system_key) or not key:
            raise Refusal(401, "the API key is not known")
        if request.method != "POST":
            raise Refusal(405, "only POST is served")
        said = _object(body)
        if request.path in (VALIDATE, REDEEM, self.behaviour.reverse_path):
            if key != self._key:
                raise Refusal(403, "a system integrator does not redeem")
            self._check_location(said)
        match request.path:
            case path if path == VALIDATE:
                return self._validate(said)
            case path if path == REDEEM:
                return self._redeem(said)
            case path if path == self.behaviour.reverse_path:
                return self._reverse(said)
            case path if path == SEND:
                return self._send(said)
        raise Refusal(404, "no such path")

    def _check_location(self, said: dict[str, Any]) -> None:
        by_id, by_pos = said.get("organizationID"), said.get("pointOfSaleSystemOrganizationIdentifier")
        if by_id is not None and by_pos is not None:
            raise Refusal(400, "name the location in one way")
        if by_pos is not None:
            by_id = self._pos_ids.get(str(by_pos))
            if by_id is None:
                raise Refusal(403, "no such location")
        if by_id is None:
            if len(self._locations) > 1 and len(self._attached) != 1:
                raise Refusal(400, "the location is needed")
            return
        if by_id not in self._attached:
            raise Refusal(403, "the location does not belong to this key")

    def _validate(self, said: dict[str, Any]) -> web.Response:
        code, token = said.get("voucherCode"), said.get("voucherPublicToken")
        if (code is None) == (token is None):
            raise Refusal(400, "give either voucherCode or voucherPublicToken")
        try:
            if code is not None:
                gift = self.account.by_code(self._code(code))
            elif isinstance(token, str):
                gift = self.account.by_token(urlsplit(token).path.rsplit("/", 1)[-1])
            else:
                raise Refusal(400, "voucherPublicToken must be a text")
        except Refusal as error:
            if error.status == 404 and self.behaviour.unknown_code == "200":
                return _answer(200, {"error": {"message": error.message}})
            raise
        return _answer(200, self._shown(gift))

    def _code(self, code: object) -> str:
        if isinstance(code, str):
            if not self.behaviour.text_codes:
                raise Refusal(400, "voucherCode must be a number")
            return code
        if isinstance(code, bool) or not isinstance(code, int) or code < 0:
            raise Refusal(400, "voucherCode must be a number")
        return str(code).zfill(_CODE_LENGTH) if self.behaviour.pads_codes else str(code)

    def _redeem(self, said: dict[str, Any]) -> web.Response:
        gift = self.account.by_id(str(said.get("voucherID")))
        made = self.account.redeem(gift, _amount(said.get("amount"), whole=bool(gift.label)))
        return _answer(
            200,
            {
                self.behaviour.remaining_name: gift.amount if gift.label else _money(gift.amount),
                self.behaviour.redemption_name: made.id,
                "voucherID": gift.id,
            },
        )

    def _reverse(self, said: dict[str, Any]) -> web.Response:
        gift, one = self.account.reverse(str(said.get(self.behaviour.redemption_name)))
        return _answer(
            200, {self.behaviour.redemption_name: one.id, "isReversed": True, "voucherID": gift.id}
        )

    def _send(self, said: dict[str, Any]) -> web.Response:
        recipients, money = said.get("recipients"), said.get("monetaryGift")
        if not isinstance(recipients, list) or len(recipients) != 1 or not isinstance(recipients[0], dict):
            raise Refusal(400, "one recipient is needed")
        if not isinstance(money, dict):
            raise Refusal(400, "monetaryGift is needed")
        if said.get("paymentMethodID") != _EXTERNAL:
            raise Refusal(400, "paymentMethodID must be 2")
        if said.get("externalStorefrontID") != STOREFRONT:
            raise Refusal(400, "externalStorefrontID is not known")
        reference = said.get("externalTransactionID")
        if not isinstance(reference, str) or not reference:
            raise Refusal(400, "externalTransactionID is needed")
        if money.get("programID") != PROGRAM or money.get("accountID") != ACCOUNT:
            raise Refusal(400, "programID or accountID is not known")
        gift = self.account.mint(_amount(money.get("value"), whole=False), reference)
        if recipients[0].get("deliveryMethodID") != _BY_SENDER:
            return _answer(200, {"gifts": [], "queued": 1})
        return _answer(200, {"gifts": [self._shown(gift)]})

    def _shown(self, gift: Gift) -> dict[str, object]:
        reason = gift.reason(self.account.now)
        amount = 0 if reason is not None else gift.amount
        voucher: dict[str, object] = {
            "voucherID": gift.id,
            "voucherCode": gift.code,
            "voucherPublicToken": gift.token,
            "isRedeemable": reason is None,
            "voucherEligibleValue": None if gift.label else _money(amount),
            "voucherEligibleItemQuantity": amount if gift.label else None,
            "voucherPresentValueDescription": reason or (gift.label or f"{_money(amount):.2f}"),
            "validFrom": gift.valid_from and gift.valid_from.isoformat(),
            "validTo": gift.valid_to and gift.valid_to.isoformat(),
            "label": gift.label or None,
        }
        if self.behaviour.promotional_name:
            voucher[self.behaviour.promotional_name] = gift.promotional
        return {"voucher": voucher, "sender": {}, "recipient": {}}

    # The control plane.

    def cards(self) -> list[dict[str, object]]:
        return [
            {
                "id": gift.id,
                "code": gift.code,
                "balance": _text(0 if gift.label else gift.amount),
                "status": gift.reason(self.account.now) or "Redeemable",
                "expires": gift.valid_to and gift.valid_to.isoformat(),
                "label": gift.label,
                "promotional": gift.promotional,
                "reference": gift.reference,
                "transactions": [
                    {"id": one.id, "amount": _text(-one.amount), "reversed": one.reversed}
                    for one in gift.redemptions
                ],
            }
            for gift in self.account.gifts.values()
        ]

    def control(self) -> dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]]:
        return {
            "sell": self._sell,
            "redeem": self._pay,
            "reverse": self._undo,
            "adjust": self._adjust,
            "change": self._change,
        }

    async def _sell(self, body: Json) -> Json:
        """`{"amount", "label"?, "promotional"?, "code"?}`: somebody buys a gift.

        Answers `code`, `token` and `id`. With a `label` it is a gift of so many items.
        """
        only(body, "amount", "label", "promotional", "code")
        label = text(body, "label") if "label" in body else ""
        amount = signed_minor(body, "amount", 0 if label else 2)
        promotional = flag(body, "promotional") if "promotional" in body else False
        code = text(body, "code") if "code" in body else ""
        gift = self.account.make(amount, label=label, promotional=promotional, code=code)
        return {"code": gift.code, "token": gift.token, "id": gift.id}

    async def _pay(self, body: Json) -> Json:
        """`{"code", "amount"}`: a customer pays with the gift; 409 when it cannot."""
        only(body, "code", "amount")
        gift = _controlled(lambda: self.account.by_code(text(body, "code")))
        made = _controlled(lambda: self.account.redeem(gift, signed_minor(body, "amount", 2)))
        return {"balance": _text(gift.amount), "redemption": made.id}

    async def _undo(self, body: Json) -> Json:
        """`{"redemption"}`: a cashier reverses a redemption; 409 when it cannot be."""
        only(body, "redemption")
        gift, _ = _controlled(lambda: self.account.reverse(text(body, "redemption")))
        return {"balance": _text(gift.amount)}

    async def _adjust(self, body: Json) -> Json:
        """`{"code", "amount"}`: Gift Local's support raises or lowers what a gift holds."""
        only(body, "code", "amount")
        gift = _controlled(lambda: self.account.by_code(text(body, "code")))
        gift.amount = max(gift.amount + signed_minor(body, "amount", 2), 0)
        return {"balance": _text(gift.amount)}

    async def _change(self, body: Json) -> Json:
        """`{"code", "valid_from"?, "valid_to"?, "blocked"?}`: when and whether the gift can be used."""
        only(body, "code", "valid_from", "valid_to", "blocked")
        gift = _controlled(lambda: self.account.by_code(text(body, "code")))
        gift.valid_from = moment(body, "valid_from") if "valid_from" in body else gift.valid_from
        gift.valid_to = moment(body, "valid_to") if "valid_to" in body else gift.valid_to
        gift.blocked = flag(body, "blocked") if "blocked" in body else gift.blocked
        return {"status": gift.reason(self.account.now) or "Redeemable"}


def _controlled(call: Callable[[], T]) -> T:
    try:
        return call()
    except Refusal as error:
        raise ControlError(404 if error.status == 404 else 409, error.message) from None


def _amount(value: object, *, whole: bool) -> int:
    """An amount of the API: a number with at most two decimals, in cents; a whole number of items."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(400, "the amount must be a number")
    try:
        found = Decimal(str(value)) * (1 if whole else 100)
    except InvalidOperation:
        raise Refusal(400, "the amount is not a number") from None
    if not found.is_finite() or found != found.to_integral_value() or abs(found) > 10**11:
        raise Refusal(400, "the amount has too many decimals")
    return int(found)


def _object(body: bytes) -> dict[str, Any]:
    return object_in(body, lambda words: Refusal(400, words))


def _money(cents: int) -> float:
    return cents / 100


def _text(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _answer(status: int, body: object) -> web.Response:
    return web.json_response(body, status=status)
