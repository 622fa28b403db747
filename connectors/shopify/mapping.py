"""Pure translations between Shopify's gift cards and the words of `connectors.api`. No I/O, no clock."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final

from connectors.api.card import Entry, Seen
from connectors.api.effect import Effect
from connectors.api.errors import Refusal, Refused
from connectors.kit.strict_json import NotJson, read_json
from connectors.shopify.shape import (
    Json,
    Misshapen,
    flag_of,
    object_of,
    optional_text,
    text_of,
)
from mappings.lifecycle import CardStatus, is_last_day
from mappings.money import decimal_from_minor, minor_from_decimal
from mappings.serials import Serial

#: Shopify has no suspension that can be lifted: deactivation is permanent. A card that expired on this day,
#: long before giftsync, is one that giftsync suspended.
SUSPENDED_ON: Final = date(2000, 1, 1)

#: How long a note may be is not published (shopify.md §11), so what giftsync writes stays modest.
NOTE_LENGTH_MAX: Final = 255

#: The gateway of a payment with a gift card (shopify.md §8).
GATEWAY: Final = "gift_card"

_MARKER: Final = re.compile(r"(gs-[a-z0-9]+)(?=\s|$)")
_CARD_ID: Final = re.compile(r"gid://shopify/GiftCard/[0-9]{1,20}")
_ID_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_TEMPLATE_PREFIX: Final = "gift_card."


def is_card_id(native_id: str) -> bool:
    """Whether the text is the id of a gift card; any other makes Shopify refuse the whole request."""
    return _CARD_ID.fullmatch(native_id) is not None


def card_id(number: int) -> str:
    return f"gid://shopify/GiftCard/{number}"


def id_from_address(text: str) -> str | None:
    """The card's id from the number with which its address in Shopify Admin ends."""
    number = text.strip().rpartition("/")[2]
    return card_id(int(number)) if number.isascii() and number.isdecimal() else None


def admin_address(shop: str, native_id: str) -> str:
    """The card's page in Shopify Admin; empty for what is no card."""
    handle, number = shop.partition(".")[0], native_id.rpartition("/")[2]
    page = f"https://admin.shopify.com/store/{handle}/gift_cards/{number}"
    return page if is_card_id(native_id) else ""


def marker_of(note: str | None) -> str | None:
    """The giftsync marker that a card's note starts with, if any."""
    match = _MARKER.match(note or "")
    return match.group(1) if match else None


def entry_marker_of(note: str | None) -> str | None:
    """The giftsync marker that a transaction's note consists of, if it does.

    The whole note, because a person may quote a marker in a note of their own.
    """
    text = (note or "").strip()
    return text if text and marker_of(text) == text else None


def status_of(enabled: bool, expires_on: date | None) -> CardStatus:
    """Deactivated is closed; expired on `SUSPENDED_ON` is suspended; all else is active.

    A card that merely expired stays active: expiry is a date, not a status.
    """
    if not enabled:
        return CardStatus.CLOSED
    return CardStatus.SUSPENDED if expires_on == SUSPENDED_ON else CardStatus.ACTIVE


def expiry_for(status: CardStatus, expires_on: date | None) -> date | None:
    """The `expiresOn` that gives a card that is not deactivated this status and expiry."""
    return SUSPENDED_ON if status is CardStatus.SUSPENDED else expires_on


def instant_of(node: Json, name: str) -> datetime:
    """A DateTime field; Shopify's are UTC (shopify.md §3)."""
    try:
        at = datetime.fromisoformat(text_of(node, name))
    except ValueError:
        raise Misshapen(f"Shopify's {name} is not an instant") from None
    if at.tzinfo is None:
        raise Misshapen(f"Shopify's {name} names no time zone")
    return at


def money_of(node: Json, name: str) -> tuple[int, str]:
    """A MoneyV2 field as minor units and currency; raises MoneyError when it is no exact amount."""
    money = object_of(node, name)
    currency = text_of(money, "currencyCode")
    return minor_from_decimal(text_of(money, "amount"), currency), currency


def seen_of(node: Json, at: datetime, entries: tuple[Entry, ...] | None = None) -> Seen:
    """A card as Shopify shows it; raises Misshapen or MoneyError when it cannot be believed.

    The expiry of a suspended card is None, whatever it was before: the suspension took its place, and the
    hub keeps its own.
    """
    balance_minor, currency = money_of(node, "balance")
    if balance_minor < 0:
        raise Misshapen("Shopify shows a negative balance")
    expires_on = _date_of(node, "expiresOn")
    status = status_of(flag_of(node, "enabled"), expires_on)
    note = optional_text(node, "note") or ""
    return Seen(
        native_id=text_of(node, "id"),
        balance_minor=balance_minor,
        currency=currency,
        status=status,
        status_text=_STATUS_TEXTS[status],
        expires_on=None if expires_on == SUSPENDED_ON else expires_on,
        last_chars=text_of(node, "lastCharacters").lower(),
        at=at,
        brand=optional_text(node, "templateSuffix") or "",
        note=note,
        created_by=marker_of(note),
        entries=entries,
    )


def entry_of(node: Json) -> Entry:
    """A gift card transaction: credits are positive and debits negative (shopify.md §3.3)."""
    amount_minor, _ = money_of(node, "amount")
    return Entry(
        native_id=text_of(node, "id"),
        amount_minor=amount_minor,
        at=instant_of(node, "processedAt"),
        marker=entry_marker_of(optional_text(node, "note")),
        label=text_of(node, "__typename"),
    )


def receipt_of(value: object) -> Json:
    """A payment's receipt, an object or its text: gateway-specific, without a stable contract (§8)."""
    if isinstance(value, str):
        try:
            value = read_json(value.encode())
        except (NotJson, UnicodeError):
            return {}
    return value if isinstance(value, dict) else {}


def paid_card(receipt: Json) -> str | None:
    """The id of the card that was paid with, if the receipt names it."""
    number = receipt.get("gift_card_id")
    if isinstance(number, bool) or not isinstance(number, int | str):
        return None
    return card_id(int(number)) if _ID_NUMBER.fullmatch(str(number)) else None


def money_input(effect: Effect) -> dict[str, str]:
    """MoneyInput: the effect's amount as a decimal string with its currency."""
    return {
        "amount": decimal_from_minor(effect.amount_minor, effect.currency),
        "currencyCode": effect.currency,
    }


def create_input(effect: Effect, version: str) -> dict[str, object]:
    """GiftCardCreateInput. Never a customer or recipient: with one, Shopify can send mail (shopify.md §3.2).

    Raises Refused for a create without a serial or an amount, which Shopify could not carry out.
    """
    if effect.card.serial is None:
        raise Refused("a card can be made in Shopify only with a serial", Refusal.MISSING_DETAIL)
    if effect.amount_minor <= 0:
        raise Refused("Shopify makes no card without an opening balance", Refusal.OTHER)
    note = f"{effect.marker} {effect.note}".strip()[:NOTE_LENGTH_MAX]
    made: dict[str, object] = {"code": effect.card.serial.reveal(), "note": note}
    # Before 2026-07 there is no initialAmount, only an amount in the shop's currency (shopify.md §1).
    money = money_input(effect)
    made |= {"initialValue": money["amount"]} if version < "2026-07" else {"initialAmount": money}
    if effect.expires_on is not None:
        made["expiresOn"] = effect.expires_on.isoformat()
    if effect.brand:
        made["templateSuffix"] = effect.brand.removeprefix(_TEMPLATE_PREFIX)
    return made


def is_hit(node: Json, serial: Serial) -> bool:
    """Whether a card that a search for the whole serial gave can be that serial's (shopify.md §3.1)."""
    return (
        node.get("__typename") == "GiftCard" and text_of(node, "lastCharacters").lower() == serial.last_chars
    )


_STATUS_TEXTS: Final = {
    CardStatus.ACTIVE: "enabled",
    CardStatus.SUSPENDED: f"expired on {SUSPENDED_ON}, which stands for suspended",
    CardStatus.CLOSED: "deactivated",
}


def _date_of(node: Json, name: str) -> date | None:
    text = optional_text(node, name)
    try:
        day = date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise Misshapen(f"Shopify's {name} is not a date") from None
    # Python reads weeks and days without dashes as well, which the list of all cards does not.
    if day is not None and day.isoformat() != text:
        raise Misshapen(f"Shopify's {name} is not a date")
    if not is_last_day(day):
        raise Misshapen(f"Shopify's {name} is {day}, which is the last day of no gift card")
    return day
