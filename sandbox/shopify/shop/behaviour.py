"""What the API facts leave open, as switches.

Every field here is **invented** in the sense that no recording and no document settles it (the [unknown] and
[inferred] rows of shopify.md §11). The default is always the choice that helps the client least, so that code
which works against the sandbox does not lean on a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

#: Eight retries over four hours (shopify.md §8); how they are spaced is invented. Seconds after each failure.
RETRY_DELAYS_S = (10.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 3_600.0, 4_130.0)


#: Fields that count only when the emulator starts.
FIXED = frozenset({"search_lag_s", "updated_at_sort_works", "initial_amount_error_field"})


@dataclass(kw_only=True)
class ShopifyBehaviour:
    """One field for each thing that is not known about the real API; set while serving but for FIXED."""

    # Reads and updatedAt (shopify.md §3.1, §3.3).

    #: Seconds until a write is seen by `query:` searches; reads by id see it at once.
    search_lag_s: float = 5.0
    #: Whether giftCardCredit and giftCardDebit move the card's updatedAt.
    updated_at_moves_on_credit_debit: bool = False
    #: Whether paying with the card at checkout moves its updatedAt.
    updated_at_moves_on_checkout: bool = False
    #: Whether a refund to the card moves its updatedAt.
    updated_at_moves_on_refund: bool = False
    #: Whether a checkout shows in the card's `transactions`, as a debit without a note.
    checkout_in_transactions: bool = False
    #: Whether a refund to the card shows in the card's `transactions`, as a credit without a note.
    refund_in_transactions: bool = False
    #: Whether sortKey UPDATED_AT sorts by updatedAt. The key is in the official schema, so this one is
    #: trusted; when off, the rows come in the order of their ids.
    updated_at_sort_works: bool = True
    #: How many days ahead `status:expiring` looks.
    expiring_within_days: int = 30

    # Amounts, limits, notes (shopify.md §3.3, §4).

    #: The most that a card may be issued for, and hold, in major units of the shop's currency.
    issue_limit: Decimal = Decimal("20000")
    #: The most that a shopper may buy a card for, in major units of the shop's currency.
    purchase_limit: Decimal = Decimal("100000")
    #: Whether the number of the issue limit also binds cards in another currency.
    issue_limit_binds_foreign_currency: bool = True
    #: Where user errors about `initialAmount` point; a recording exists for `initialValue` only.
    initial_amount_error_field: tuple[str, ...] = ("input", "initialAmount", "amount")
    #: Whether an amount with more decimals than the currency is refused; otherwise it is rounded half up.
    sub_cent_refused: bool = True
    #: The longest note, in characters, of a card and of a transaction.
    note_length_max: int = 255
    #: Whether a card can still be used on the day of expiresOn, in the shop's time zone.
    expiry_day_is_valid: bool = True
    #: Whether attaching a customer at creation makes Shopify send the card by mail.
    customer_at_creation_is_notified: bool = True
    #: Whether attaching a customer or recipient by giftCardUpdate makes Shopify send the card.
    customer_by_update_is_notified: bool = False

    # Shops that cannot do everything (shopify.md §4).

    #: Whether the shop's plan has gift cards; if not, giftCardCreate is refused.
    gift_cards_in_plan: bool = True
    #: A trial shop refuses to attach a customer or recipient.
    trial_shop: bool = False

    # Orders and payments (shopify.md §8).

    #: Whether `receiptJson` is a string holding JSON or the object itself.
    receipt_json: Literal["string", "object"] = "string"

    # Bulk operations (shopify.md §7).

    #: Seconds that a bulk operation stays CREATED.
    bulk_queue_s: float = 0.0
    #: Rows or lines done between two looks at the operation.
    bulk_rows_per_step: int = 500
    #: Whether giftCardCredit and giftCardDebit may be run in bulk.
    bulk_credit_debit_allowed: bool = False

    # Webhooks (shopify.md §8).

    #: Whether subscriptions must be https to a public host. Off, loopback http addresses are taken as well.
    #: Only loopback addresses are ever delivered to.
    webhooks_https_only: bool = True
    #: Seconds to wait after each failed attempt; the last failure gives the delivery up.
    webhook_retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S
    #: Share of deliveries that are sent twice, from 0 to 1.
    webhook_duplicate_share: float = 0.0
    #: Share of deliveries that are never sent, from 0 to 1.
    webhook_loss_share: float = 0.0

    # OAuth (shopify.md §2).

    #: HTTP status of a refused token request; the body is `{"error", "error_description"}`.
    oauth_error_status: int = 400
