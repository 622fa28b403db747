"""Finds out how this tenant is set up: extension, currency, gift-card payment method (flow.md §5).

Everything here ends in one clear answer or in SideClosed with the setting that would decide. Nothing is
guessed: the wrong payment method would move money somewhere else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from connectors.api.errors import SideClosed
from connectors.flow.client import FlowClient, Rejected
from connectors.flow.model import (
    MethodParameter,
    Misread,
    PaymentMethod,
    loose_text,
    parse_currency,
    parse_extension,
    parse_method,
    parse_receipt,
)
from connectors.flow.settings import FlowSettings

T = TypeVar("T")

#: How many earlier orders are looked through for a method's uid in the store.
PAST_ORDERS_MAX: Final = 100

_NUMBER_WORDS: Final = re.compile(r"card|number|kort|nummer", re.IGNORECASE)
_CVC_WORDS: Final = re.compile(r"cvc|cvv|pin|code|kode", re.IGNORECASE)


@dataclass(frozen=True)
class GiftCardMethod:
    """The tenant's gift-card payment method, resolved."""

    settlement_code: str
    #: Keys of the settlement's parameters.
    number_key: str
    cvc_key: str | None
    cvc_required: bool
    allow_sale: bool
    allow_refund: bool


class Discovery:
    """What was found out, kept for as long as the side is open. Thread-safe."""

    def __init__(self, client: FlowClient, settings: FlowSettings) -> None:
        self._client = client
        self._settings = settings
        # Reentrant: one fact is found with the help of another.
        self._lock = threading.RLock()
        self._known: dict[str, object] = {}

    def forget(self) -> None:
        """Ask again: the set-up may have changed since the last start."""
        with self._lock:
            self._known.clear()

    def check_extension(self) -> None:
        """Raise SideClosed unless the gift-card extension is active and sounds no alarm. Always asks."""
        code = self._settings.extension_code
        try:
            extensions = [parse_extension(one) for one in self._client.extensions()]
        except Rejected as rejected:
            raise _closed_for(rejected, "the extensions") from None
        for extension in extensions:
            if extension.code == code and extension.active and not extension.alarming:
                return
            if extension.code == code and extension.active:
                raise SideClosed(
                    f"Flow's extension {code} reports an error",
                    "Read the extension's status messages in Flow Admin and settle them.",
                )
        raise SideClosed(f"Flow's extension {code} is not active", "Switch it on in Flow Admin.")

    def check_store(self) -> None:
        """Raise SideClosed when Flow says that there is no such store.

        The documentation only hints at this read (flow.md §9), so any other refusal proves nothing.
        """
        try:
            self._client.store()
        except Rejected as rejected:
            if rejected.hint.startswith(("STORE", "TENANT")):
                raise SideClosed(
                    f"Flow knows no store {self._settings.store} in the tenant {self._settings.tenant}",
                    "Correct `store` or `tenant` in the side's table.",
                ) from None

    def currency(self) -> str:
        """The store's currency, ISO 4217; a card shows none (flow.md §1)."""
        return self._once("currency", self._find_currency)

    def method(self) -> GiftCardMethod:
        """The gift-card payment method."""
        return self._once("method", self._find_method)

    def gift_card_method_uid(self) -> str:
        """`storePaymentMethodUid` of the gift-card method in the home store."""
        configured = self._settings.gift_card_payment_method_uid
        return configured or self._once(
            "gift_card_uid",
            lambda: self._past_uid(self.method().settlement_code, "gift_card_payment_method_uid"),
        )

    def external_method_uid(self) -> str:
        """`storePaymentMethodUid` of the external method that pays for loads."""
        configured = self._settings.external_payment_method_uid
        return configured or self._once(
            "external_uid",
            lambda: self._past_uid(self._settings.external_settlement_code, "external_payment_method_uid"),
        )

    def _once(self, name: str, find: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._known:
                self._known[name] = find()
            return self._known[name]  # type: ignore[return-value]

    def _find_currency(self) -> str:
        configured = self._settings.currency
        try:
            shown = self._shown_currency()
        except SideClosed:
            # Nobody but us needs the countries, so a token that may not read them is fine.
            if configured is None:
                raise
            shown = None
        if configured is not None and shown is not None and configured != shown:
            raise SideClosed(
                f"the Flow store trades in {shown}, not in {configured}",
                "Correct the currency in the settings; amounts are never converted.",
            )
        currency = configured or shown
        if currency is None:
            raise SideClosed(
                "Flow does not show one currency for this store", "Set `currency` to the store's currency."
            )
        return currency

    def _shown_currency(self) -> str | None:
        """The currency of the store's country, or the only one there is; None when neither is shown."""
        try:
            countries = list(self._client.countries())
        except Rejected:
            return None
        currencies = {currency for one in countries if (currency := parse_currency(one)) is not None}
        if len(currencies) == 1:
            return currencies.pop()
        try:
            store = self._client.store()
        except Rejected:
            return None
        code = loose_text(store, "countryCode")
        of_store = [one for one in countries if code and loose_text(one, "countryCode") == code]
        return parse_currency(store) or (parse_currency(of_store[0]) if len(of_store) == 1 else None)

    def _find_method(self) -> GiftCardMethod:
        try:
            methods = [parse_method(one) for one in self._client.payment_methods()]
        except Rejected as rejected:
            raise _closed_for(rejected, "the payment methods") from None
        method = self._choose(methods)
        number, cvc = resolve_parameters(
            method.parameters, self._settings.number_parameter, self._settings.cvc_parameter
        )
        return GiftCardMethod(
            settlement_code=method.settlement_code or method.payment_code,
            number_key=number.key,
            cvc_key=cvc.key if cvc is not None else None,
            cvc_required=cvc is not None and cvc.required,
            allow_sale=method.allow_sale,
            allow_refund=method.allow_refund,
        )

    def _choose(self, methods: Iterable[PaymentMethod]) -> PaymentMethod:
        """Matched by code, never by name, which a tenant may change (flow.md §2)."""
        configured = self._settings.gift_card_settlement_code
        active = [method for method in methods if method.active]
        if configured is not None:
            candidates = [one for one in active if configured in (one.settlement_code, one.payment_code)]
        else:
            candidates = [
                one for one in active if "GIFT" in f"{one.settlement_code} {one.payment_code}".upper()
            ]
        if len(candidates) == 1:
            return candidates[0]
        remedy = "Set `gift_card_settlement_code` to the code of Flow's gift-card payment method."
        if not candidates:
            raise SideClosed("Flow shows no active gift-card payment method", remedy)
        codes = ", ".join(sorted(one.settlement_code or one.payment_code for one in candidates))
        raise SideClosed(f"Flow shows several gift-card payment methods: {codes}", remedy)

    def _past_uid(self, settlement_code: str, setting: str) -> str:
        """A method's uid in the home store, from a settlement of an earlier order (flow.md §5)."""
        for uid in self._past_uids(settlement_code):
            return uid
        raise SideClosed(
            f"Flow shows no earlier order that was settled with {settlement_code}",
            f"Set `{setting}` to the method's uid in this store, or settle one order with it in the POS.",
        )

    def _past_uids(self, settlement_code: str) -> Iterator[str]:
        try:
            page = self._client.search_receipts(None, None, PAST_ORDERS_MAX)
        except Rejected:
            return
        for hit in page.items[:PAST_ORDERS_MAX]:
            if loose_text(hit, "storeUid") not in ("", self._settings.store):
                continue
            try:
                order = self._client.order(parse_receipt(hit).order_uid)
            except (Rejected, Misread):
                continue
            for settlement in order.settlements:
                if settlement.code == settlement_code and settlement.store_payment_method_uid:
                    yield settlement.store_payment_method_uid


def resolve_parameters(
    parameters: Iterable[MethodParameter], number_key: str | None = None, cvc_key: str | None = None
) -> tuple[MethodParameter, MethodParameter | None]:
    """Which parameter is the card number, and which the CVC if there is one.

    A configured key wins. What sounds like both ("cardPin") takes the role that nothing else fills. Raises
    SideClosed when no single parameter is the number, or when a required one is left over.
    """
    known = list(parameters)
    numbers, cvcs, both = _by_sound(known)
    if number_key is not None:
        number = _only(one for one in known if one.key == number_key)
    else:
        number = _only(one for one in numbers if one.required) or _only(numbers or both)
    if number is None:
        raise SideClosed(
            "Flow's gift-card payment method shows no single parameter for the card number",
            "Set `number_parameter` (and `cvc_parameter`) to the keys of the method's parameters.",
        )
    if cvc_key is not None:
        cvc = _only(one for one in known if one.key == cvc_key)
    else:
        cvc = _only(cvcs or [one for one in both if one is not number])
    strange = sorted(one.key for one in known if one.required and one is not number and one is not cvc)
    if strange:
        raise SideClosed(
            f"Flow's gift-card payment method requires unknown parameters: {', '.join(strange)}",
            "Ask Flow what they mean; until then gift cards cannot be settled by API.",
        )
    return number, cvc


def _by_sound(
    parameters: Iterable[MethodParameter],
) -> tuple[list[MethodParameter], list[MethodParameter], list[MethodParameter]]:
    """Parameters that sound like a card number, like a CVC, and like both; by key, else by name."""
    numbers: list[MethodParameter] = []
    cvcs: list[MethodParameter] = []
    both: list[MethodParameter] = []
    for one in parameters:
        speaks = _NUMBER_WORDS.search(one.key) or _CVC_WORDS.search(one.key)
        text = one.key if speaks else one.name
        like_number, like_cvc = _NUMBER_WORDS.search(text), _CVC_WORDS.search(text)
        if like_number and like_cvc:
            both.append(one)
        elif like_number:
            numbers.append(one)
        elif like_cvc:
            cvcs.append(one)
    return numbers, cvcs, both


def _only(parameters: Iterable[MethodParameter]) -> MethodParameter | None:
    found = list(parameters)
    return found[0] if len(found) == 1 else None


def _closed_for(rejected: Rejected, what: str) -> SideClosed:
    return SideClosed(
        f"Flow refuses to show {what} (HTTP {rejected.status})",
        "Check the tenant uid and the base URL, and that the token belongs to this tenant.",
    )
