"""What a merchant configures for Flow, and which inferred behaviour has been proved for this tenant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.kit.http import CONNECT_SECONDS, READ_SECONDS
from mappings.addresses import is_private_channel
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError, currency_exponent
from mappings.serials import Serial

BASE_URL_PRODUCTION: Final = "https://api.flowretail.com/v2"

#: The extension whose cards giftsync is made for.
FLOW_GIFT_CARDS: Final = "FLOWGIFTCARD"
#: Flow's card numbers (flow.md §2); a legacy number may look different.
NUMBER_DIGITS: Final = 16
#: Reads of one feed or sweep that wait for Flow at the same time; `Pace` bounds how often they begin.
READS_AT_ONCE: Final = 4
#: Path ids and external references (flow.md §1, §4).
UID_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class SettlementWords:
    """Words of a settlement's `state` and `status`, upper case.

    Only NOT_STARTED and NEW are documented (flow.md §4); the rest is inferred. A word that is in none of the
    sets leaves the settlement in doubt, so an unknown word costs a person's time and never money.
    """

    final: frozenset[str] = frozenset(
        {"COMPLETED", "COMPLETE", "APPROVED", "SETTLED", "CAPTURED", "CONFIRMED", "SUCCEEDED", "DONE"}
    )
    declined: frozenset[str] = frozenset(
        {"DECLINED", "FAILED", "REJECTED", "CANCELLED", "CANCELED", "ABORTED", "VOIDED", "ERROR"}
    )
    pending: frozenset[str] = frozenset({"NOT_STARTED", "NEW", "PENDING", "STARTED", "IN_PROGRESS"})


@dataclass(frozen=True)
class FlowSettings:
    """One Flow tenant, read and written through one home store.

    Raises ValueError, with what to change, for settings that contradict each other.
    """

    tenant: str
    #: The home store: cards are read and orders are made through it.
    store: str
    #: An integration token (flow.md §1).
    token: str = field(repr=False)
    #: IANA name: the zone in which a `validTo` instant falls on a date.
    timezone: str
    #: ISO 4217; None: the one currency that `GET /countries` shows, if it is one.
    currency: str | None = None
    base_url: str = BASE_URL_PRODUCTION
    extension_code: str = FLOW_GIFT_CARDS

    #: The zero-VAT product that stands for value redeemed online.
    debit_product_uid: str | None = None
    #: The GIFTCARD product that sells each brand: brand → product uid.
    gift_card_product_uids: Mapping[str, str] = field(default_factory=dict)
    #: The brand of a create or load that names none; a single configured brand needs no default.
    default_brand: str | None = None
    #: The key of an order item that carries a gift-card number; unknown to the documentation (flow.md §4).
    item_number_field: str | None = None

    #: The gift-card payment method's code; None: discovered, one candidate or stop.
    gift_card_settlement_code: str | None = None
    #: Keys of that method's parameters; None: discovered.
    number_parameter: str | None = None
    cvc_parameter: str | None = None
    #: The external method that pays for cards issued or loaded on behalf of Shopify.
    external_settlement_code: str = "EXTERNAL_SHOPIFY"
    #: The home store's uid of each method; None: taken from a settlement of an earlier order.
    gift_card_payment_method_uid: str | None = None
    external_payment_method_uid: str | None = None

    #: What Flow sends with its webhooks, as bearer token or password; empty: no delivery is believed.
    webhook_token: str = field(default="", repr=False)

    #: No card of this home store is one of another store's, as the merchant says.
    own_cards: bool = False

    #: Gives a card's CVC when one is required; never stored, logged or kept.
    cvc_for: Callable[[Serial], str | None] | None = field(default=None, repr=False)

    # Inferred behaviour (flow.md §5, §9): off until proved by a probe or vouched for by the merchant.
    #: A gift-card settlement of an order made by API takes the money from the card.
    api_settlement_debits: bool = False
    #: A settled order made by API issues or loads the card of its GIFTCARD item.
    api_issue_allowed: bool = False
    #: The number put on the item is the card that is issued or loaded.
    caller_may_choose_number: bool = False
    #: A return order settled with the gift-card method puts money on the card.
    refund_settlement_credits: bool = False
    #: An order that is settled takes no second settlement, so that one without an answer may be sent again.
    order_settles_once: bool = False
    #: Amounts that settle a return order are negative.
    refund_amounts_negative: bool = False
    return_order_type: str = "RETURN"
    #: HTTP 200 with an empty object says that there is no such card.
    empty_answer_means_absent: bool = False
    #: The status that suspends a card reversibly; None: suspensions are not written.
    suspended_status: str | None = None
    #: Status is written through the deprecated `active` (older edition); closing is then impossible.
    status_by_active_flag: bool = False
    settlement_words: SettlementWords = field(default_factory=SettlementWords)

    #: None: as fast as Flow answers, until it says 429.
    calls_per_second: float | None = None
    #: How far each receipt search reaches back behind the last receipt, for receipts that show up late.
    receipts_overlap_seconds: float = 600.0
    #: A till without a connection uploads its receipts late, and a till's clock may be wrong: so far back
    #: receipts are searched for again, and so often.
    receipts_late_seconds: float = 172_800.0
    receipts_late_every_seconds: float = 900.0
    receipts_page_size: int = 50
    receipts_interval_seconds: float = 15.0
    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = READ_SECONDS

    def __post_init__(self) -> None:
        for name in ("tenant", "store"):
            if not UID_PATTERN.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} must be a uid of letters, digits, dashes and underscores")
        if not self.token:
            raise ValueError("token is empty; make an Integration user in Flow Admin and use its token")
        if not is_private_channel(self.base_url):
            raise ValueError("url must start with https://; plain http:// is for this machine only")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("timezone must be an IANA name such as Europe/Oslo") from None
        if self.currency is not None:
            try:
                currency_exponent(self.currency)
            except MoneyError as error:
                raise ValueError(f"currency: {error}") from None
        problems = self._contradictions()
        if problems:
            # Each is an argument of its own, so that all of them can be told at once.
            raise ValueError(*problems)

    def _contradictions(self) -> list[str]:
        found: list[str] = []
        if self.api_settlement_debits and not self.debit_product_uid:
            found.append(
                "api_settlement_debits needs debit_product_uid: the product that debits are booked on"
            )
        if self.refund_settlement_credits and not self.debit_product_uid:
            found.append("refund_settlement_credits needs debit_product_uid: the product that is returned")
        if self.api_issue_allowed and not self.gift_card_product_uids:
            found.append("api_issue_allowed needs gift_card_product_uids: the product of each brand")
        if self.api_issue_allowed and not self.item_number_field:
            found.append("api_issue_allowed needs item_number_field: the item's key for the card number")
        if self.default_brand is not None and self.default_brand not in self.gift_card_product_uids:
            found.append("default_brand has no product in gift_card_product_uids")
        if self.calls_per_second is not None and self.calls_per_second <= 0:
            found.append("calls_per_second must be positive")
        if self.receipts_page_size < 1:
            found.append("receipts_page_size must be at least 1")
        return found

    @property
    def identity(self) -> str:
        """The tenant and its home store, as `Side.identify` tells them."""
        return f"{self.tenant}/{self.store}"

    @property
    def keeps_cards_in(self) -> str:
        """Whose cards the side has: a number read through two stores of a tenant is one card (flow.md §7)."""
        other = "" if self.extension_code == FLOW_GIFT_CARDS else f", {self.extension_code}"
        store = f", store {self.store}" if self.own_cards else ""
        return f"Flow's tenant {self.tenant}{store}{other}"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def loads(self) -> bool:
        """Cards can be issued and topped up by selling a GIFTCARD product with a chosen number."""
        return self.api_issue_allowed and self.caller_may_choose_number

    @property
    def settable_statuses(self) -> frozenset[CardStatus]:
        """CLEARED and ACTIVE are the documented values (flow.md §3); a suspension is configured."""
        settable = {CardStatus.ACTIVE}
        if not self.status_by_active_flag:
            settable.add(CardStatus.CLOSED)
        if self.suspended_status is not None or self.status_by_active_flag:
            settable.add(CardStatus.SUSPENDED)
        return frozenset(settable)

    def product_of(self, brand: str | None) -> str | None:
        """The GIFTCARD product of a brand; None when none is configured for it."""
        wanted = brand or self.default_brand
        if wanted is None and len(self.gift_card_product_uids) == 1:
            (wanted,) = self.gift_card_product_uids
        return None if wanted is None else self.gift_card_product_uids.get(wanted)

    def brand_of(self, product_uid: str) -> str | None:
        """The brand that a GIFTCARD product sells; None for other products."""
        for brand, uid in self.gift_card_product_uids.items():
            if uid == product_uid:
                return brand
        return None

    def cvc(self, serial: Serial) -> str | None:
        """The card's CVC, if somebody gives it; asked anew each time and never kept."""
        return self.cvc_for(serial) if self.cvc_for is not None else None
