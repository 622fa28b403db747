"""Gift-card writes and their user errors (shopify.md §3.2, §4).

Each function checks in the order that its docstring gives; only the first error is reported. Where no
recording shows which of two errors comes first, the order is invented.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox.shopify.graphql.errors import ShopifyError, UserError, invalid_id
from sandbox.shopify.graphql.ids import number_of
from sandbox.shopify.shop.model import (
    CardSource,
    Customer,
    GiftCard,
    Movement,
    MovementKind,
    Recipient,
)
from sandbox.shopify.shop.money import SubCentError, displayed, to_minor
from sandbox.shopify.shop.state import ShopState

CODE_LENGTH_MIN = 8
CODE_LENGTH_MAX = 20
MESSAGE_LENGTH_MAX = 200
PREFERRED_NAME_LENGTH_MAX = 255
SEND_AHEAD_MAX_S = 90 * 86_400

Input = Mapping[str, Any]

_CODE = re.compile(r"[a-z0-9]*", re.ASCII)
_HTML_TAG = re.compile(r"<[^>]+>")
_TEMPLATE_PREFIX = "gift_card."

NOT_FOUND = UserError(("id",), "The gift card could not be found.", "GIFT_CARD_NOT_FOUND")
DEACTIVATED = "The gift card is deactivated."
EXPIRED = "The gift card has expired."


class Refused(Exception):
    """A write that is answered with one user error; nothing happened."""

    def __init__(self, error: UserError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True)
class _Amount:
    minor: int
    currency: str


def find_card(state: ShopState, gid: str) -> GiftCard | None:
    """The card, or None for an unknown number. Raises RESOURCE_NOT_FOUND for a gid of something else."""
    number = number_of(gid, "GiftCard")
    if number is None:
        raise invalid_id(gid)
    return state.cards.get(number)


def normalise_code(code: str) -> str:
    """Codes are case-insensitive; spaces and dashes are stripped."""
    return code.replace(" ", "").replace("-", "").lower()


def create(state: ShopState, wanted: Input) -> GiftCard:
    """giftCardCreate. Checks the plan, recipient text length, customer, recipient, amount, code, note."""
    if not state.behaviour.gift_cards_in_plan:
        raise Refused(UserError(None, "Gift cards are unavailable on your plan."))
    check_text_lengths(wanted)
    customer = _customer_of(state, wanted)
    recipient = _recipient_of(state, wanted)
    amount = _opening_amount(state, wanted)
    code = _code_of(state, wanted)
    note = _note_of(state, wanted, ("input", "note"))
    now = state.now()
    card = GiftCard(
        number=state.sequence.next(),
        code=code,
        currency=amount.currency,
        initial_minor=amount.minor,
        balance_minor=amount.minor,
        created_at=now,
        updated_at=now,
        source=CardSource.API_CLIENT,
        expires_on=wanted.get("expiresOn"),
        note=note,
        template_suffix=_template_suffix(wanted.get("templateSuffix")),
        strategy=wanted.get("crossCurrencyRedemptionStrategy")
        or ("MARKET_FX" if amount.currency == state.currency else "NONE"),
        customer=customer,
        recipient_attributes=recipient,
    )
    state.add_card(card)
    if state.behaviour.customer_at_creation_is_notified:
        _notify_attached(state, card, customer, recipient, "giftCardCreate")
    return card


def update(state: ShopState, gid: str, wanted: Input) -> GiftCard:
    """giftCardUpdate. Checks emptiness, card, recipient text length, deactivation, customer, recipient, note.

    Of a deactivated card neither expiresOn nor customer nor recipient can be set, in this order.
    """
    if not wanted:
        raise Refused(UserError(("input",), "At least one argument is required in the input.", "INVALID"))
    card = find_card(state, gid)
    if card is None:
        raise Refused(NOT_FOUND)
    check_text_lengths(wanted)
    if card.deactivated_at is not None:
        for key in ("expiresOn", "customerId", "recipientAttributes"):
            if key in wanted:
                raise Refused(UserError(("input", key), DEACTIVATED, "INVALID"))
    customer = _customer_of(state, wanted)
    if "customerId" in wanted and card.customer is not None and customer is not card.customer:
        # Up to 2026-10 a customer can't be changed once set; the message is invented.
        message = "The customer can't be changed once it has been set."
        raise Refused(UserError(("input", "customerId"), message, "INVALID"))
    recipient = _recipient_of(state, wanted)
    note = _note_of(state, wanted, ("input", "note"))
    attached = customer if card.customer is None else None
    with state.cards.changing(card):
        _write(card, wanted, customer=customer, recipient=recipient, note=note)
        card.updated_at = state.now()
    if state.behaviour.customer_by_update_is_notified:
        _notify_attached(state, card, attached, recipient, "giftCardUpdate")
    return card


def _write(
    card: GiftCard, wanted: Input, *, customer: Customer | None, recipient: Recipient | None, note: str | None
) -> None:
    """Set what is given; an explicit null clears."""
    if "note" in wanted:
        card.note = note
    if "expiresOn" in wanted:
        card.expires_on = wanted["expiresOn"]
    if "templateSuffix" in wanted:
        card.template_suffix = _template_suffix(wanted["templateSuffix"])
    if customer is not None:
        card.customer = customer
    if recipient is not None:
        card.recipient_attributes = recipient
    if wanted.get("crossCurrencyRedemptionStrategy"):
        card.strategy = wanted["crossCurrencyRedemptionStrategy"]


def credit(state: ShopState, gid: str, wanted: Input) -> Movement:
    """giftCardCredit. Checks the card, its status, amount, currency, processedAt, limit, note."""
    return _move(state, gid, wanted, MovementKind.CREDIT)


def debit(state: ShopState, gid: str, wanted: Input) -> Movement:
    """giftCardDebit. Checks the card, its status, amount, currency, processedAt, funds, note."""
    return _move(state, gid, wanted, MovementKind.DEBIT)


def _move(state: ShopState, gid: str, wanted: Input, kind: MovementKind) -> Movement:
    is_credit = kind is MovementKind.CREDIT
    owner, key = ("creditInput", "creditAmount") if is_credit else ("debitInput", "debitAmount")
    at_amount = (owner, key, "amount")
    card = find_card(state, gid)
    if card is None:
        raise Refused(NOT_FOUND)
    _check_usable(state, card)
    amount, currency = wanted[key]["amount"], wanted[key]["currencyCode"]
    if amount <= 0:
        raise Refused(UserError(at_amount, "A positive amount must be used.", "NEGATIVE_OR_ZERO_AMOUNT"))
    if currency != card.currency:
        message = "The currency provided does not match the currency of the gift card."
        raise Refused(UserError((owner, key, "currencyCode"), message, "MISMATCHING_CURRENCY"))
    minor = _minor(state, amount, currency, at_amount)
    processed_at = _processed_at(state, wanted, owner)
    if is_credit:
        limit = _limit(state, currency)
        if limit is not None and card.balance_minor + minor > limit:
            message = "The gift card's value exceeds the allowed limits."
            raise Refused(UserError(at_amount, message, "GIFT_CARD_LIMIT_EXCEEDED"))
    elif minor > card.balance_minor:
        message = "The gift card does not have sufficient funds to satisfy the request."
        raise Refused(UserError(at_amount, message, "INSUFFICIENT_FUNDS"))
    note = _note_of(state, wanted, (owner, "note"))
    signed = minor if is_credit else -minor
    return state.move_balance(card, kind, signed, note=note, processed_at=processed_at)


def deactivate(state: ShopState, gid: str) -> GiftCard:
    """giftCardDeactivate. The balance stays; a second call changes nothing."""
    card = find_card(state, gid)
    if card is None:
        raise Refused(NOT_FOUND)
    if card.deactivated_at is None:
        with state.cards.changing(card):
            card.deactivated_at = card.updated_at = state.now()
    return card


def send_to_customer(state: ShopState, gid: str) -> GiftCard:
    """giftCardSendNotificationToCustomer. Checks the card, its status, the customer, the contact."""
    card = _notifiable(state, gid)
    _send(state, card, card.customer, "customer", "giftCardSendNotificationToCustomer")
    return card


def send_to_recipient(state: ShopState, gid: str) -> GiftCard:
    """giftCardSendNotificationToRecipient. Checks the card, its status, the recipient, the contact."""
    card = _notifiable(state, gid)
    recipient = card.recipient_attributes
    _send(
        state,
        card,
        recipient.customer if recipient else None,
        "recipient",
        "giftCardSendNotificationToRecipient",
    )
    return card


def _notifiable(state: ShopState, gid: str) -> GiftCard:
    card = find_card(state, gid)
    if card is None:
        raise Refused(NOT_FOUND)
    _check_usable(state, card)
    return card


def _send(state: ShopState, card: GiftCard, to: Customer | None, who: str, cause: str) -> None:
    if to is None:
        raise Refused(UserError(None, f"The gift card has no {who}.", "INVALID"))
    if not to.email and not to.phone:
        message = f"The {who} has no contact information (e.g. email address or phone number)."
        raise Refused(UserError(None, message, "INVALID"))
    state.notify(card, to, cause)


def _check_usable(state: ShopState, card: GiftCard) -> None:
    if card.deactivated_at is not None:
        raise Refused(UserError(("id",), DEACTIVATED, "INVALID"))
    if state.is_expired(card):
        raise Refused(UserError(("id",), EXPIRED, "INVALID"))


def check_text_lengths(wanted: Input) -> None:
    """Too long a text for a recipient is a top-level error, not a user error (shopify.md §5)."""
    texts = wanted.get("recipientAttributes") or {}
    for key, longest in (("preferredName", PREFERRED_NAME_LENGTH_MAX), ("message", MESSAGE_LENGTH_MAX)):
        if len(texts.get(key) or "") > longest:
            raise ShopifyError(f"{key} is too long (maximum is {longest})", "INVALID_FIELD_ARGUMENTS")


def _customer(state: ShopState, gid: str) -> Customer | None:
    number = number_of(gid, "Customer")
    if number is None:
        raise invalid_id(gid)
    return state.customers.get(number)


def _customer_of(state: ShopState, wanted: Input) -> Customer | None:
    gid = wanted.get("customerId")
    if gid is None:
        return None
    path = ("input", "customerId")
    if state.behaviour.trial_shop:
        raise Refused(UserError(path, "A customer can't be assigned on a trial shop.", "INVALID"))
    customer = _customer(state, gid)
    if customer is None:
        raise Refused(UserError(path, "The customer could not be found.", "CUSTOMER_NOT_FOUND"))
    return customer


def _recipient_of(state: ShopState, wanted: Input) -> Recipient | None:
    attributes = wanted.get("recipientAttributes")
    if attributes is None:
        return None
    path = ("input", "recipientAttributes")
    if state.behaviour.trial_shop:
        raise Refused(UserError(path, "A recipient can't be assigned on a trial shop.", "INVALID"))
    customer = _customer(state, attributes["id"])
    if customer is None:
        raise Refused(UserError((*path, "id"), "Recipient could not be found", "RECIPIENT_NOT_FOUND"))
    for key, label in (("preferredName", "Preferred name"), ("message", "Message")):
        text = attributes.get(key)
        if text is not None and not text.strip():
            raise Refused(UserError((*path, key), f"{label} can't be blank", "INVALID"))
        if text is not None and _HTML_TAG.search(text):
            raise Refused(UserError((*path, key), f"{label} cannot contain HTML tags", "INVALID"))
    send_at = attributes.get("sendNotificationAt")
    if send_at is not None and not state.now() <= send_at <= state.now() + SEND_AHEAD_MAX_S:
        message = "Send notification at must be within 90 days from now"
        raise Refused(UserError((*path, "sendNotificationAt"), message, "INVALID"))
    return Recipient(customer, attributes.get("message"), attributes.get("preferredName"), send_at)


def _opening_amount(state: ShopState, wanted: Input) -> _Amount:
    money, value = wanted.get("initialAmount"), wanted.get("initialValue")
    at_money = state.behaviour.initial_amount_error_field
    if money is None and value is None:
        # Both are optional in the schema; what a real shop says to neither, or to both, is not known.
        raise Refused(UserError(("input", "initialAmount"), "can't be blank", "MISSING_ARGUMENT"))
    if money is not None and value is not None:
        raise Refused(UserError(("input",), "initialAmount and initialValue exclude each other", "INVALID"))
    amount: Decimal = money["amount"] if money is not None else wanted["initialValue"]
    currency: str = money["currencyCode"] if money is not None else state.currency
    path = ("input", "initialValue") if money is None else at_money
    if amount <= 0:
        raise Refused(UserError(path, "must be greater than 0", "GREATER_THAN"))
    minor = _minor(state, amount, currency, path)
    limit = _limit(state, currency)
    if limit is not None and minor > limit:
        message = f"can't exceed {displayed(limit, currency)}"
        raise Refused(UserError(path, message, "GIFT_CARD_LIMIT_EXCEEDED"))
    return _Amount(minor, currency)


def _limit(state: ShopState, currency: str) -> int | None:
    """The issue limit in minor units of the card's currency; None if it doesn't apply."""
    if currency == state.currency:
        return state.issue_limit_minor
    if state.behaviour.issue_limit_binds_foreign_currency:
        return to_minor(state.behaviour.issue_limit, currency, round_sub_cent=True)
    return None


def _minor(state: ShopState, amount: Decimal, currency: str, path: tuple[str, ...]) -> int:
    try:
        minor = to_minor(amount, currency, round_sub_cent=not state.behaviour.sub_cent_refused)
    except SubCentError:
        raise Refused(UserError(path, "must be a whole number of cents", "INVALID")) from None
    return minor * state.takes_times


def _code_of(state: ShopState, wanted: Input) -> str:
    own = wanted.get("code")
    if own is None:
        return state.new_code()
    code, path = normalise_code(own), ("input", "code")
    if len(code) < CODE_LENGTH_MIN:
        message = f"Code must be at least {CODE_LENGTH_MIN} characters long"
        raise Refused(UserError(path, message, "TOO_SHORT"))
    if len(code) > CODE_LENGTH_MAX:
        raise Refused(UserError(path, f"Code must be at most {CODE_LENGTH_MAX} characters long", "TOO_LONG"))
    if not _CODE.fullmatch(code):
        message = "Code can only contain letters(a-z) and numbers(0-9)"
        raise Refused(UserError(path, message, "INVALID"))
    if code in state.codes:
        raise Refused(UserError(path, "Code has already been taken"))
    return code


def _note_of(state: ShopState, wanted: Input, path: tuple[str, ...]) -> str | None:
    note: str | None = wanted.get("note")
    longest = state.behaviour.note_length_max
    if note is not None and len(note) > longest:
        raise Refused(UserError(path, f"Note is too long (maximum is {longest} characters)", "INVALID"))
    return note


def _processed_at(state: ShopState, wanted: Input, owner: str) -> int | None:
    instant: int | None = wanted.get("processedAt")
    if instant is None:
        return None
    path = (owner, "processedAt")
    if instant > state.now():
        raise Refused(UserError(path, "The processed date must not be in the future.", "INVALID"))
    if instant < 0:
        raise Refused(UserError(path, "A valid processed date must be used.", "INVALID"))
    return instant


def _template_suffix(suffix: str | None) -> str | None:
    return None if suffix is None else suffix.removeprefix(_TEMPLATE_PREFIX)


def _notify_attached(
    state: ShopState, card: GiftCard, customer: Customer | None, recipient: Recipient | None, cause: str
) -> None:
    """What attaching people to a card sends them: the recipient's may be scheduled."""
    if customer is not None and (customer.email or customer.phone):
        state.notify(card, customer, cause)
    if recipient is None:
        return
    if recipient.send_notification_at is not None:
        state.scheduled.append((recipient.send_notification_at, card.number))
    elif recipient.customer.email or recipient.customer.phone:
        state.notify(card, recipient.customer, cause)
