"""What a gift card of X-Series shows, read strictly. Pure.

A voided or expired card is shown with what it held before: X-Series sets its balance to 0 by a transaction
of its own, while other sides keep the balance of a card that cannot be used. The status and the expiry date
say that it cannot be used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.api.card import Entry, Seen
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError, minor_from_decimal
from mappings.notes import MARKER
from mappings.serials import Serial, SerialError

STATUSES: Final = {
    "ACTIVE": CardStatus.ACTIVE,
    "REDEEMED": CardStatus.ACTIVE,
    "EXPIRED": CardStatus.ACTIVE,
    "INACTIVE": CardStatus.INACTIVE,
    "VOIDED": CardStatus.CLOSED,
}
#: Transactions that empty a card whose money is not spent.
_EMPTYING: Final = frozenset({"VOIDING", "EXPIRING"})
#: Those that an API client makes.
_MOVES: Final = frozenset({"REDEEMING", "RELOADING"})
#: Ends the client id of the second half of a create.
MADE: Final = ".made"


class NotAGiftCard(ValueError):
    """What the retailer shows cannot be believed; the message never holds a number."""


@dataclass(frozen=True)
class Line:
    """One transaction."""

    id: str
    type: str
    amount_minor: int
    at: datetime
    client_id: str | None

    @property
    def marker(self) -> str | None:
        """Whose intent made it; a reversal may repeat the client id of what it undoes."""
        found = (self.client_id or "").removesuffix(MADE)
        return found if self.type in _MOVES and MARKER.fullmatch(found) else None


@dataclass(frozen=True)
class XCard:
    """One gift card. `number` is written as the retailer writes it."""

    id: str
    number: str
    balance_minor: int
    status: str
    expires_at: datetime | None
    made_by_api: bool
    lines: Sequence[Line]

    @property
    def held_minor(self) -> int:
        """What it holds, or held when it was voided or expired."""
        return self.balance_minor - sum(one.amount_minor for one in self.lines if one.type in _EMPTYING)

    @property
    def adds_up(self) -> bool:
        return sum(one.amount_minor for one in self.lines) == self.balance_minor

    @property
    def created_by(self) -> str | None:
        """The marker of the create that made it."""
        made = [one.marker for one in self.lines if (one.client_id or "").endswith(MADE)]
        return made[0] if made else None

    def landed(self, client_id: str) -> list[Line]:
        return [one for one in self.lines if one.client_id == client_id and one.marker is not None]

    def expires_on(self, timezone: str) -> date | None:
        """The last day on which it can be used; the moment itself is already over, so a midnight ends the day
        before."""
        if self.expires_at is None:
            return None
        return (self.expires_at - timedelta(seconds=1)).astimezone(ZoneInfo(timezone)).date()

    def seen(self, currency: str, timezone: str, at: datetime, *, entries: bool) -> Seen:
        """Raises NotAGiftCard for entries that do not add up, and for a number that is no serial."""
        if entries and not self.adds_up:
            raise NotAGiftCard("its transactions do not add up to its balance")
        try:
            serial = Serial(self.number)
        except SerialError:
            raise NotAGiftCard("its number cannot be used") from None
        book = [
            Entry(one.id, one.amount_minor, one.at, one.marker, one.type)
            for one in self.lines
            if one.type not in _EMPTYING
        ]
        return Seen(
            native_id=self.id,
            balance_minor=self.held_minor,
            currency=currency,
            status=STATUSES.get(self.status),
            status_text=self.status,
            expires_on=self.expires_on(timezone),
            last_chars=serial.last_chars,
            at=at,
            serial=serial,
            created_by=self.created_by,
            entries=tuple(book) if entries else None,
        )


def read_card(said: object, currency: str) -> XCard:
    """Raises NotAGiftCard."""
    if not isinstance(said, dict):
        raise NotAGiftCard("it is no gift card")
    lines = said.get("gift_card_transactions")
    expires = said.get("expires_at")
    if not isinstance(lines, list):
        raise NotAGiftCard("it lists no transactions")
    return XCard(
        id=_text(said, "id"),
        number=_text(said, "number"),
        balance_minor=_minor(said, "balance", currency),
        status=_text(said, "status"),
        expires_at=None if expires is None else _moment(said, "expires_at"),
        made_by_api=said.get("sale_id") is None,
        lines=sorted((read_line(one, currency) for one in lines), key=lambda one: one.at),
    )


def read_line(said: object, currency: str) -> Line:
    """Raises NotAGiftCard."""
    if not isinstance(said, dict):
        raise NotAGiftCard("a transaction is none")
    client_id = said.get("client_id")
    return Line(
        _text(said, "id"),
        _text(said, "type"),
        _minor(said, "amount", currency),
        _moment(said, "created_at"),
        client_id if isinstance(client_id, str) and client_id else None,
    )


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise NotAGiftCard(f"its {name} is no text")
    return value


def _minor(said: Mapping[str, Any], name: str, currency: str) -> int:
    try:
        return minor_from_decimal(_text(said, name), currency)
    except MoneyError as error:
        raise NotAGiftCard(f"its {name}: {error}") from None


def _moment(said: Mapping[str, Any], name: str) -> datetime:
    try:
        at = datetime.fromisoformat(_text(said, name))
    except ValueError:
        raise NotAGiftCard(f"its {name} is no time") from None
    if at.tzinfo is None:
        raise NotAGiftCard(f"its {name} has no offset")
    return at
