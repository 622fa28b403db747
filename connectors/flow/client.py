"""Flow Retail's calls, one method each, with every HTTP status sorted by what may be done next.

Error bodies are unpublished (flow.md §1), so the status decides and a code in the body is only a hint. Paths
hold card numbers: no message here ever names one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote

import requests

from connectors.api.budget import Budget
from connectors.api.capabilities import Usage
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed, Throttled
from connectors.flow.mapping import instant_text
from connectors.flow.model import (
    FlowCard,
    FlowItem,
    FlowOrder,
    FlowSettlement,
    JsonObject,
    Misread,
    Page,
    as_object,
    parse_card,
    parse_item,
    parse_order,
    parse_page,
    settlement_in,
)
from connectors.flow.pace import Pace
from connectors.flow.settings import UID_PATTERN, FlowSettings
from connectors.kit.http import HttpClient, retried, retry_after_seconds
from connectors.kit.strict_json import NotJson, read_json
from mappings.serials import Serial

#: Short lists (methods, extensions, countries) end before this many pages.
LIST_PAGES_MAX: Final = 50
_HINT: Final = re.compile(r"[A-Z][A-Z0-9_]{1,63}")

_REMEDY_TOKEN: Final = (
    "In Flow Admin, make an Integration user for this tenant and configure its integration token."
)
_REMEDY_PERMISSION: Final = (
    "Give the Integration user access to this store's gift cards, receipts and payment methods, "
    "and the permissions SALES_ORDER and RETURN_ORDER."
)
_REMEDY_PLACE: Final = "Check the tenant uid, the store uid and the base URL in the settings."


class Rejected(Refused):
    """Flow said no to one request: surely nothing happened. The caller finds out why and says so."""

    def __init__(self, what: str, status: int, hint: str) -> None:
        super().__init__(f"Flow refused {what} (HTTP {status})", Refusal.OTHER)
        self.what = what
        self.status = status
        #: An upper-case code of the error body; unpublished, so never more than a hint.
        self.hint = hint


class TokenRefused(SideClosed):
    """Flow does not accept the token: nothing happened."""


class Forbidden(SideClosed):
    """Flow accepts the token, and does not let it do this."""


class FlowClient:
    """One tenant's API, asked through its home store. Thread-safe.

    Reads repeat themselves when that can help; each method that changes something sends exactly one request.
    """

    def __init__(
        self,
        settings: FlowSettings,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
        budget: Budget | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._pace = Pace(settings.calls_per_second, pause, monotonic, budget)
        self._http = HttpClient(
            settings.base_url,
            {"Authorization": f"Bearer {settings.token}", "Accept": "application/json"},
            connect_seconds=settings.connect_seconds,
            read_seconds=settings.read_seconds,
            clock=clock,
        )
        self._tenant = f"/tenants/{settings.tenant}"
        self._store = f"{self._tenant}/stores/{settings.store}"

    # Gift cards (flow.md §3).

    def card(self, serial: Serial) -> FlowCard | None:
        """The card that answers to the number; None when Flow has no such card.

        It is asked for as it was given, then in normal form: Flow may compare numbers exactly. Raises Misread
        for an answer that cannot be believed, such as one about another card.
        """
        for spelled in map(Serial, serial.spellings):
            payload = self.card_payload(spelled)
            if payload is None or (payload == {} and self._settings.empty_answer_means_absent):
                continue
            card = parse_card(payload)
            if not card.answers_to(serial):
                raise Misread("Flow answered for another card than the one asked for")
            return card
        return None

    def card_payload(self, serial: Serial) -> JsonObject | None:
        """What Flow answers for a number, as it is; None for HTTP 404. Raises Misread for no object."""
        params: dict[str, str | int] = {"extensionCode": self._settings.extension_code}
        cvc = self._settings.cvc(serial)
        if cvc is not None:
            params["cvc"] = cvc
        try:
            payload = self._read("the read of a gift card", "GET", self._card_path(serial), params=params)
        except Rejected as rejected:
            if rejected.status != 404:
                raise
            if rejected.hint.startswith(("TENANT", "STORE")):
                raise SideClosed("Flow does not know the tenant or the store", _REMEDY_PLACE) from None
            return None
        return as_object(payload, "the gift card")

    def change_card(self, serial: Serial, changes: Mapping[str, object]) -> FlowCard:
        """Send only the keys to change; what becomes of omitted ones is unknown (flow.md §3). Idempotent."""
        payload = self._send("the change of a gift card", "PUT", self._card_path(serial), json=changes)
        card = parse_card(payload)
        if not card.answers_to(serial):
            raise Misread("Flow answered for another card than the one changed")
        return card

    # Orders (flow.md §4).

    def create_order(self, order_type: str, external_number: str, marker: str) -> str:
        """Make an empty order that carries the marker; its uid."""
        body = {
            "externalOrderNumber": external_number,
            "note": marker,
            "type": order_type,
            "systemOrigin": "APP",
        }
        payload = self._send("a new order", "POST", f"{self._store}/orders", json=body)
        uid = as_object(payload, "the new order").get("orderUid")
        if not isinstance(uid, str):
            raise Misread("the new order has no uid")
        return _checked_uid(uid)

    def order(self, uid: str) -> FlowOrder:
        """Read an order of any store of the tenant."""
        order = parse_order(
            self._read("the read of an order", "GET", f"{self._tenant}/orders/{_checked_uid(uid)}")
        )
        if order.uid != uid:
            raise Misread("Flow answered for another order than the one asked for")
        return order

    def add_item(self, order_uid: str, item: JsonObject) -> FlowItem | None:
        """Put one item on an order; its price and quantity are x100. Moves no money.

        Returns the item as the answer shows it; None where it shows none (its shape is inferred).
        """
        payload = self._send("an order item", "POST", f"{self._order_path(order_uid)}/items", json=item)
        return parse_item(payload) if isinstance(payload, dict) else None

    def settle(self, order_uid: str, settlement: JsonObject) -> FlowSettlement | None:
        """Post a settlement: the money step.

        Returns the settlement as the answer shows it; None where it shows none (its shape is inferred).
        """
        path = f"{self._order_path(order_uid)}/settlements"
        return settlement_in(self._send("a settlement", "POST", path, json=settlement))

    def park_order(self, order_uid: str) -> None:
        """Set an order aside that will not be settled."""
        self._send(
            "parking an order", "PUT", f"{self._order_path(order_uid)}/status", json={"status": "PARKED"}
        )

    # What the tenant has set up (flow.md §4, §5).

    def extensions(self) -> Iterator[JsonObject]:
        """The tenant's extensions. Their parameters may be secret."""
        return self._list("the extensions", f"{self._tenant}/extensions")

    def payment_methods(self) -> Iterator[JsonObject]:
        """The tenant's payment methods."""
        return self._list("the payment methods", f"{self._tenant}/paymentmethods")

    def countries(self) -> Iterator[JsonObject]:
        """The platform's countries, with their currencies."""
        return self._list("the countries", "/countries")

    def store(self) -> JsonObject:
        """The home store; this read is only hinted at by the documentation (flow.md §9)."""
        return as_object(self._read("the read of the store", "GET", self._store), "the store")

    def search_receipts(self, settled_from: datetime | None, page_number: int | None, page_size: int) -> Page:
        """One page of the tenant's receipts settled from an instant on; None as page is the first."""
        body = {} if settled_from is None else {"settledAtFrom": instant_text(settled_from)}
        params: dict[str, str | int] = {"pageSize": page_size}
        if page_number is not None:
            params["pageNumber"] = page_number
        path = f"{self._tenant}/receipts/search"
        # A search changes nothing, whatever its method says, so it may be repeated.
        return parse_page(
            self._read("a receipt search", "POST", path, params=params, json=body), "the receipt search"
        )

    @property
    def usage(self) -> Usage:
        """Calls since the client was made, and how many were answered 429."""
        return self._http.usage

    def close(self) -> None:
        """Give the pooled connections back."""
        self._http.close()

    def _list(self, what: str, path: str) -> Iterator[JsonObject]:
        """Every entry of a short list, page by page, whichever number the first page has (flow.md §1)."""
        number: int | None = None
        count = 0
        for _ in range(LIST_PAGES_MAX):
            params = None if number is None else {"pageNumber": number}
            page = parse_page(self._read(f"the list of {what}", "GET", path, params=params), what)
            yield from page.items
            count += len(page.items)
            if not page.items or page.number is None or count >= (page.total or 0):
                return
            number = page.number + 1
        raise Misread(f"the list of {what} does not end")

    def _card_path(self, serial: Serial) -> str:
        return f"{self._store}/giftcards/{quote(serial.written, safe='')}"

    def _order_path(self, order_uid: str) -> str:
        return f"{self._store}/orders/{_checked_uid(order_uid)}"

    def _read(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: JsonObject | None = None,
    ) -> object:
        return retried(lambda: self._send(what, method, path, params=params, json=json), self._pause)

    def _send(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: JsonObject | None = None,
    ) -> object:
        """One request; its JSON, or None for an answer without a body."""
        self._pace.wait_turn()
        response = self._http.request(method, path, params=params, json=json)
        status = response.status_code
        if status == 429:
            wait_seconds = retry_after_seconds(response, self._clock())
            self._pace.refused(wait_seconds)
            self._http.count(throttled=1)
            raise Throttled(f"Flow was asked too fast and did nothing with {what}", wait_seconds)
        if 200 <= status < 300:
            return _json(response, what) if response.content else None
        raise _error_of(response, status, what)


def _error_of(response: requests.Response, status: int, what: str) -> InDoubt | SideClosed | Rejected:
    if status == 401:
        return TokenRefused("Flow does not accept the token", _REMEDY_TOKEN)
    if status == 403:
        return Forbidden(f"the token may not do this in Flow: {what}", _REMEDY_PERMISSION)
    # Request timeout and "too early": whoever answers so may have passed the request on.
    if status >= 500 or status < 400 or status in (408, 425):
        return InDoubt(f"Flow answered HTTP {status} to {what}")
    if status == 404 and _is_page(response):
        # A gateway's own page says nothing about the card or order behind it.
        return InDoubt(f"something in front of Flow answered HTTP 404 to {what}")
    return Rejected(what, status, _hint_of(response))


def _json(response: requests.Response, what: str) -> object:
    try:
        return read_json(response.content)
    except NotJson as error:
        raise InDoubt(f"Flow's answer to {what} is not readable: {error}") from None


def _is_page(response: requests.Response) -> bool:
    return "html" in response.headers.get("Content-Type", "").lower()


def _hint_of(response: requests.Response) -> str:
    """The body's error code if it looks like one; the rest of the body may hold a card number."""
    try:
        payload = read_json(response.content)
    except NotJson:
        return ""
    error = payload.get("error", payload) if isinstance(payload, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and _HINT.fullmatch(code) else ""


def _checked_uid(uid: str) -> str:
    """A uid that is safe in a path (flow.md §1)."""
    if not UID_PATTERN.fullmatch(uid):
        raise Misread("the order's uid has characters that no uid has")
    return uid
