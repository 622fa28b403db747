"""What Flow Retail's documentation leaves open, decided here as invented, switchable behaviour (flow.md §8).

Nothing in this module is a fact about Flow. Each field names one unknown; the default is the reading that
asks most of a client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

STATUS_ACTIVE = "ACTIVE"
STATUS_INACTIVE = "INACTIVE"
STATUS_CLEARED = "CLEARED"
STATUS_EXPIRED = "EXPIRED"
STATUS_BLOCKED = "BLOCKED"


class Edition(Enum):
    """Which of the two published shapes a card is answered in (flow.md §1, §3)."""

    #: `status`, `issuerName`, `cvcRequired`, `legacyCardNumber`.
    NEWER = "newer"
    #: Exactly `active, balance, cardId, cardNumber, validTo, brandId, brandName, note`.
    OLDER = "older"


class CvcMode(Enum):
    """How a read of a card that needs a CVC is answered when the CVC is missing or wrong (flow.md §8)."""

    REFUSE = "refuse"
    #: The card is answered with `balance: null`; zero would be a lie about money.
    HIDE_BALANCE = "hide_balance"


class UnknownCard(Enum):
    """How a read of a number that is no card is answered (flow.md §9)."""

    NOT_FOUND = "not_found"
    #: HTTP 200 with an empty object.
    EMPTY_ANSWER = "empty_answer"


class NullValidTo(Enum):
    """What `PUT {"validTo": null}` does (flow.md §3)."""

    CLEARS = "clears"
    IGNORED = "ignored"
    REFUSED = "refused"


class NumberComparison(Enum):
    """When a number that is asked for is the number of a card (flow.md §8)."""

    EXACT = "exact"
    #: Spaces, dashes and the case of letters do not count.
    LOOSE = "loose"


class DebitMoment(Enum):
    """When a gift-card settlement takes the money from the card (flow.md §9)."""

    AT_SETTLEMENT = "at_settlement"
    AT_ORDER_SETTLED = "at_order_settled"


@dataclass(frozen=True)
class PaymentProfile:
    """How the tenant's gift-card method is called; matched by code, never by name (flow.md §2, §5)."""

    payment_code: str
    method_name: str
    number_key: str
    number_name: str
    cvc_key: str
    cvc_name: str


#: The names that flow.md §8 proposes.
PROFILE_PLAIN = PaymentProfile(
    "GIFTCARD", "Flow Gift Card payment", "cardNumber", "Card number", "cvc", "CVC"
)
#: Every name is another one and the method is renamed, so that discovery is really tested.
PROFILE_RENAMED = PaymentProfile(
    "FLOWGIFTCARD", "Gavekort", "giftcard_ref", "Gavekortnummer", "pinCode", "Sikkerhetskode"
)


@dataclass(frozen=True)
class StateNames:
    """Invented names of states whose enums are unpublished (flow.md §4)."""

    order_open: str = "OPEN"
    order_parked: str = "PARKED"
    order_cancelled: str = "CANCELLED"
    order_closed: str = "CLOSED"
    settle_none: str = "NOT_SETTLED"
    settle_part: str = "PARTLY_SETTLED"
    settle_full: str = "SETTLED"
    settlement_state_new: str = "NOT_STARTED"
    settlement_state_final: str = "COMPLETED"
    settlement_state_declined: str = "FAILED"
    settlement_status_new: str = "NEW"
    settlement_status_final: str = "APPROVED"
    settlement_status_declined: str = "DECLINED"
    delivery_none: str = "NOT_STARTED"
    delivery_full: str = "DELIVERED"


@dataclass(frozen=True)
class RateLimit:
    """`calls` are allowed per fixed window of `window_s` seconds and token (flow.md §1: unknown)."""

    calls: int
    window_s: int = 1


@dataclass(frozen=True)
class WebhookBehaviour:
    """Delivery of events: the documented retry table and the mischief (flow.md §6, §8)."""

    #: Documented: a delivery that is not answered within this many seconds failed.
    timeout_s: float = 10.0
    #: Documented: retries after the first attempt.
    retries_max: int = 10
    #: Invented: pause before the first retry in seconds; each further pause is twice as long.
    backoff_first_s: float = 1.0
    #: Probability, 0 to 1, that an event is sent twice.
    duplicated: float = 0.0
    #: Probability, 0 to 1, that an event is held back for `late_s`; others overtake it.
    late: float = 0.0
    late_s: float = 5.0
    #: Probability, 0 to 1, that an event is never sent.
    lost: float = 0.0
    #: Invented: whether ORDER_RECEIPT_SETTLED also carries `orderReceipt{Id, Uid}`.
    receipt_event_names_receipt: bool = False


#: Fields that count only when the emulator starts.
FIXED = frozenset({"second_giftcard_method", "external_settlement_codes"})


@dataclass
class FlowBehaviour:
    """Every invented decision of the Flow Retail emulator; each field is one unknown of flow.md.

    All but FIXED may be set while it serves.
    """

    # Cards (flow.md §3).
    #: Which edition's card JSON is spoken.
    edition: Edition = Edition.NEWER
    #: Whether the newer edition also answers the deprecated `active`.
    newer_shows_active: bool = False
    #: The whole status enum; only ACTIVE and CLEARED are known.
    statuses: tuple[str, ...] = (
        STATUS_ACTIVE,
        STATUS_INACTIVE,
        STATUS_CLEARED,
        STATUS_EXPIRED,
        STATUS_BLOCKED,
    )
    #: Statuses that a PUT may set; the others are Flow's own to give.
    settable_statuses: tuple[str, ...] = (STATUS_ACTIVE, STATUS_INACTIVE, STATUS_CLEARED)
    #: Statuses that a PUT cannot leave, besides CLEARED and the unseen one.
    locked_statuses: tuple[str, ...] = (STATUS_BLOCKED,)
    #: A value outside `statuses` that the control plane may put a card in; empty for none.
    unseen_status: str = ""
    #: Whether a card past its validTo reads EXPIRED; if not, it still reads ACTIVE and is refused.
    expiry_changes_status: bool = False
    #: Reads of cards that need a CVC.
    cvc_mode: CvcMode = CvcMode.REFUSE
    #: Whether a card is also found by its legacyCardNumber.
    legacy_lookups: bool = True
    number_comparison: NumberComparison = NumberComparison.EXACT
    #: Reads of unknown numbers.
    unknown_card: UnknownCard = UnknownCard.NOT_FOUND
    #: Whether keys left out of a PUT stay; if not, validTo becomes null and note empty.
    put_omitted_keys_stay: bool = True
    #: What a null validTo in a PUT does.
    null_valid_to: NullValidTo = NullValidTo.CLEARS
    #: Whether a card with money on it is refused to be cleared.
    clearing_needs_zero_balance: bool = False

    # Bodies, lists and limits (flow.md §1).
    #: Whether a body with a key that is not documented is refused with 400.
    refuse_unknown_keys: bool = True
    #: Number of the first page: 0 or 1.
    first_page: int = 1
    page_size_default: int = 20
    page_size_max: int = 1000
    #: None for no limit.
    rate_limit: RateLimit | None = None
    #: Retry-After of an injected throttle, in seconds.
    throttle_retry_after_s: int = 1

    # Orders (flow.md §4).
    states: StateNames = field(default_factory=StateNames)
    #: Accepted values of `systemOrigin` in a new order.
    system_origins: tuple[str, ...] = ("APP",)
    #: The `type` of an order that refunds.
    return_order_type: str = "RETURN"
    #: Whether a second order with the same externalOrderNumber is refused with 409.
    external_order_number_unique: bool = False
    #: Key of a GIFTCARD item that carries the card number, in requests and answers.
    item_number_key: str = "externalId"

    #: Whether an order of a till shows the customer who was named at it, in `customerAddress`. The field is
    #: documented; whether a till fills it is not.
    till_orders_show_customer: bool = False

    # Payment methods and settlements (flow.md §4, §5).
    payment_profile: PaymentProfile = PROFILE_PLAIN
    #: Adds an active PAYEX_GIFTCARD method, so that discovery finds two candidates.
    second_giftcard_method: bool = False
    #: External methods that exist from the start, as if made in the back office.
    external_settlement_codes: tuple[str, ...] = ("EXTERNAL_SHOPIFY",)
    #: Whether `settlementCode` may stand in for `storePaymentMethodUid` in a settlement.
    settlement_by_code: bool = False
    #: Whether the FLOWGIFTCARD extension is switched on; if not, no card can be read or used.
    extension_active: bool = True
    #: `statusMessages` of the FLOWGIFTCARD extension.
    extension_messages: tuple[str, ...] = ()

    # How balances move (flow.md §5, all of it proposals).
    #: Whether a gift-card settlement of an API-made order debits the card.
    debit_by_api: bool = True
    #: Whether a settled API-made order issues or loads the cards of its GIFTCARD items.
    issue_by_api: bool = True
    #: Whether a gift-card settlement of an API-made return order credits the card.
    refund_by_api: bool = True
    debit_moment: DebitMoment = DebitMoment.AT_SETTLEMENT
    #: Whether an order that is settled takes another settlement, which moves money as the first one did.
    settled_order_takes_more: bool = False
    #: Whether amounts that settle a return order are negative.
    refund_amounts_negative: bool = False
    #: Whether a GIFTCARD item may name a number that is no card yet.
    caller_may_choose_number: bool = True
    #: What a number chosen by the caller must match as a whole.
    caller_number_pattern: str = r"[0-9]{16}"
    #: Whether a declined settlement stays visible on its order (with the declined state, moving nothing).
    declined_settlements_are_listed: bool = True

    # Receipts (flow.md §4).
    #: Default order of receipts/search; newest first makes pages shift while receipts arrive.
    receipts_newest_first: bool = True
    #: Whether a receipt settled exactly at settledAtTo is found.
    settled_at_to_inclusive: bool = False
    #: Seconds until a settled receipt can be found.
    receipts_visible_after_s: int = 0
    #: Whether the fuzzy `query` also looks at externalOrderNumber.
    query_covers_external_order_number: bool = False

    webhooks: WebhookBehaviour = field(default_factory=WebhookBehaviour)
