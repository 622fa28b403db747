"""Calls to one Gift Local account: each answer is believed whole, or is one of the errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.api.capabilities import Usage
from connectors.api.errors import SideClosed
from connectors.kit.answers import AnswerReader
from connectors.kit.http import HttpClient, retried
from mappings.serials import Serial

VALIDATE: Final = "/api/integration/redemption/validate-gift"
REDEEM: Final = "/api/integration/redemption/redeem-gift"
SEND: Final = "/api/integration/gifting/send-gift"
#: Codes have so many digits (giftlocal.md §2).
CODE_LENGTH: Final = 12
#: A code that no gift has, to ask whether the key is accepted.
NOBODYS_CODE: Final = Serial("9" * CODE_LENGTH)
#: Handed over by the sender, so nobody is mailed; and an external transaction (giftlocal.md §3).
_BY_SENDER: Final = 3
_EXTERNAL: Final = 2


_ANSWERS: Final = AnswerReader(
    "Gift Local",
    {
        401: (
            "Gift Local does not accept the API key",
            "Put the account's key into the side's table, as `key` or `key_file`.",
        ),
        403: (
            "the API key may not redeem at this location",
            "Have Gift Local attach the location to the key, and check `organization`.",
        ),
    },
    # Which it uses is not published; 408 does not say that nothing happened.
    rejections=frozenset(range(400, 500)) - {408},
)


class CodeUnfit(Exception):
    """A code that cannot be asked for as things are proved; the message says why."""


@dataclass(frozen=True)
class Location:
    """The merchant's location in each call, in one of two ways; neither: the key has a single one."""

    organization: str | None = None
    pos_identifier: str | None = None

    @property
    def keys(self) -> dict[str, str]:
        if self.organization is not None:
            return {"organizationID": self.organization}
        if self.pos_identifier is not None:
            return {"pointOfSaleSystemOrganizationIdentifier": self.pos_identifier}
        return {}


@dataclass(frozen=True)
class Minting:
    """What a gift needs that is made by the API."""

    program: str
    account: str
    storefront: str
    #: In the message and the sender's name, which nobody is sent.
    sender: str = "giftsync"


@dataclass(frozen=True)
class Reversal:
    """How a redemption is given back."""

    path: str
    #: What the redemption's identifier is called, in the answer that tells it and in the request.
    field: str


class AccountClient:
    """One account. Thread-safe."""

    def __init__(
        self,
        url: str,
        key: str,
        location: Location,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
        *,
        code_as_text: bool,
    ) -> None:
        # The key is the whole value of the header, without a scheme (giftlocal.md §1).
        headers = {"Accept": "application/json", "Authorization": key}
        self._http = HttpClient(url, headers, clock=clock)
        self._location = location
        self._pause = pause
        self._code_as_text = code_as_text

    def validate(self, serial: Serial, *, as_text: bool | None = None) -> dict[str, Any] | None:
        """The answer for a gift by its code or token; None: there is no such gift.

        Raises CodeUnfit and Rejected.
        """
        text = serial.reveal()
        if text.isdigit() and len(text) == CODE_LENGTH:
            code = self._code(text, self._code_as_text if as_text is None else as_text)
            body: dict[str, Any] = {"voucherCode": code}
        else:
            # A token may be compared exactly, so it goes as it was given.
            body = {"voucherPublicToken": serial.written}
        return retried(lambda: self._call(VALIDATE, body), self._pause)

    def redeem(self, gift_id: str, amount: float) -> dict[str, Any] | None:
        """Take money off a gift, once; None: there is no such gift. Raises Rejected."""
        return self._call(REDEEM, {"voucherID": gift_id, "amount": amount})

    def reverse(self, way: Reversal, redemption_id: str) -> dict[str, Any] | None:
        """Give back what one redemption took, whole; None: there is no such redemption. Raises Rejected."""
        return self._call(way.path, {way.field: redemption_id})

    def mint(self, amount: float, reference: str, wanted: Minting) -> dict[str, Any]:
        """Make a gift of money that nobody is mailed. Raises Rejected."""
        organization = self._location.organization
        gift = {
            "value": amount,
            "programID": wanted.program,
            "accountID": wanted.account,
            "hasScheduledDelivery": False,
            **({} if organization is None else {"organizationID": organization}),
        }
        recipient = {
            "deliveryMethodID": _BY_SENDER,
            "recipientDescription": wanted.sender,
            "recipientContact": "",
            "message": reference,
        }
        body = {
            "recipients": [recipient],
            "monetaryGift": gift,
            "senderDescription": wanted.sender,
            "paymentMethodID": _EXTERNAL,
            "externalTransactionID": reference,
            "externalStorefrontID": wanted.storefront,
        }
        said = self._call(SEND, body)
        if said is None:
            raise SideClosed("Gift Local does not know the address that makes gifts", "Check `url`.")
        return said

    @property
    def usage(self) -> Usage:
        return self._http.usage

    def close(self) -> None:
        self._http.close()

    def _code(self, text: str, as_text: bool) -> int | str:
        if as_text:
            return text
        if text.startswith("0"):
            raise CodeUnfit("its code begins with 0, which a number loses; code_as_text is not proved")
        return int(text)

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        answer = self._http.request("POST", path, json={**self._location.keys, **body})
        return _ANSWERS.read(self._http, answer)
