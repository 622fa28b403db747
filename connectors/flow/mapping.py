"""Flow's words and the hub's, both ways. Pure: no I/O, no clock.

Sources: flow.md §1 (amounts), §3 (card), §4 (settlement), §5 (expiry).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, tzinfo
from enum import StrEnum
from typing import Final

from connectors.flow.settings import SettlementWords
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError, currency_exponent

STATUS_ACTIVE: Final = "ACTIVE"
STATUS_CLEARED: Final = "CLEARED"
#: Inferred values of the status enum.
STATUS_INACTIVE: Final = "INACTIVE"
STATUS_BLOCKED: Final = "BLOCKED"
STATUS_EXPIRED: Final = "EXPIRED"

#: The last instant of a day, to the millisecond that Flow shows.
_DAY_END: Final = time(23, 59, 59, 999_000)
_ORDER_NUMBER: Final = re.compile(r"(gs-[a-z0-9]+)(?:-[0-9]+)?")
_MARKER: Final = re.compile(r"(?<![a-z0-9-])gs-[a-z0-9]+(?![a-z0-9-])")


def minor_from_x100(amount_x100: int, currency: str) -> int:
    """Flow's hundredths of the main unit as minor units: exact, or MoneyError.

    150 is 1.50 NOK (150 minor units), 1 JPY only if it were 100, and 1500 of KWD's thousandths.
    """
    minor, rest = divmod(amount_x100 * _scale(currency), 100)
    if rest:
        raise MoneyError(f"the amount is finer than the minor unit of {currency}")
    return minor


def x100_from_minor(amount_minor: int, currency: str) -> int:
    """Minor units as Flow's hundredths: exact, or MoneyError when Flow cannot hold the amount."""
    x100, rest = divmod(amount_minor * 100, _scale(currency))
    if rest:
        raise MoneyError(f"Flow holds hundredths; the amount of {currency} is finer")
    return x100


def _scale(currency: str) -> int:
    """Minor units in one main unit."""
    return int(10 ** currency_exponent(currency))


def card_status(
    status_text: str | None, active: bool | None, balance_x100: int, valid_to: datetime | None, now: datetime
) -> CardStatus | None:
    """The hub's status of a card; None for one that is not known, which nothing may be done with.

    `active` is the older edition's flag and counts only where `status` is missing. An inactive card without
    money is one that was never sold; with money it has been switched off. Expiry is a date, not a status, so
    EXPIRED is believed only together with a date in the past.
    """
    text = status_text
    if text is None:
        if active is None:
            return None
        text = STATUS_ACTIVE if active else STATUS_INACTIVE
    match text:
        case "ACTIVE":
            return CardStatus.ACTIVE
        case "CLEARED":
            return CardStatus.CLOSED
        case "BLOCKED":
            return CardStatus.SUSPENDED
        case "INACTIVE":
            return CardStatus.SUSPENDED if balance_x100 else CardStatus.INACTIVE
        case "EXPIRED":
            return CardStatus.ACTIVE if valid_to is not None and valid_to < now else None
        case _:
            return None


def status_change(
    status: CardStatus, suspended_status: str | None, *, by_active_flag: bool
) -> Mapping[str, object] | None:
    """The keys of a PUT that sets the status; None when it cannot be set."""
    if by_active_flag:
        active = {CardStatus.ACTIVE: True, CardStatus.SUSPENDED: False}.get(status)
        return None if active is None else {"active": active}
    text = {
        CardStatus.ACTIVE: STATUS_ACTIVE,
        CardStatus.CLOSED: STATUS_CLEARED,
        CardStatus.SUSPENDED: suspended_status,
    }.get(status)
    return None if text is None else {"status": text}


def expiry_date(valid_to: datetime | None, zone: tzinfo) -> date | None:
    """The date, in the store's zone, on which the instant falls: the last day of the card.

    A card whose instant is not the day's last one is worth the rest of its day elsewhere: never less.
    """
    if valid_to is None:
        return None
    try:
        return valid_to.astimezone(zone).date()
    except OverflowError:
        # 9999-12-31T23:59:59Z in an eastern zone: what systems write for "never".
        return date.max


def expiry_instant(expires_on: date, zone: tzinfo) -> datetime:
    """The last instant of the day in the store's zone, as UTC; `expiry_date` gives the same day back.

    Where the clock is set back over midnight the later of the two instants is meant (`fold`). Raises
    ValueError for a day that the zone never had, or that lies beyond what an instant can say.
    """
    local = datetime.combine(expires_on, _DAY_END, tzinfo=zone).replace(fold=1)
    try:
        instant = local.astimezone(UTC)
    except OverflowError:
        raise ValueError("the expiry date is too far away for an instant") from None
    if expiry_date(instant, zone) != expires_on:
        raise ValueError("the expiry date does not exist in the store's time zone")
    return instant


def instant_text(instant: datetime) -> str:
    """`2025-10-30T21:24:19.803Z`, as Flow writes instants."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def marker_in(text: str) -> str | None:
    """The giftsync marker in a note, if there is exactly one."""
    markers = set(_MARKER.findall(text))
    return markers.pop() if len(markers) == 1 else None


def note_with_marker(note: str, marker: str) -> str:
    """Words for staff, then the marker that `marker_in` finds."""
    # A marker that came along inside the words would make both ambiguous.
    words = _MARKER.sub("", note).strip()
    return f"{words} {marker}".strip()


def order_number(marker: str, attempt: int) -> str:
    """The externalOrderNumber of an order: the marker, numbered from the second attempt on."""
    return marker if attempt == 1 else f"{marker}-{attempt}"


def marker_of_order(external_number: str) -> str | None:
    """The marker of an order that giftsync made; None for anybody else's order."""
    match = _ORDER_NUMBER.fullmatch(external_number)
    return match[1] if match else None


def is_ours(external_number: str) -> bool:
    """Whether giftsync made the order with this number."""
    return marker_of_order(external_number) is not None


class SettlementFate(StrEnum):
    """What became of a settlement, as far as its words tell."""

    FINAL = "final"
    DECLINED = "declined"
    PENDING = "pending"
    UNKNOWN = "unknown"


def settlement_fate(state: str, status: str, words: SettlementWords) -> SettlementFate:
    """Judge a settlement by both of its words; one final word is enough only when the other is empty."""
    said = {word.upper() for word in (state, status) if word}
    if said & words.declined:
        return SettlementFate.DECLINED
    if not said or said - words.final - words.pending:
        return SettlementFate.UNKNOWN
    return SettlementFate.PENDING if said & words.pending else SettlementFate.FINAL
