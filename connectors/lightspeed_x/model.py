"""What a gift card of X-Series shows, read strictly. Pure.

A voided or expired card is shown with what it held before: X-Series sets its balance to 0 by a transaction
of its own, while other sides keep the balance of a card that cannot be used. The status and the expiry date
say that it cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from connectors.api.card import Entry, Seen
from connectors.kit.fields import NotBelieved, minor_of, moment_of, text_of
from mappings.lifecycle import CardStatus, is_last_day
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
#: The transaction that issues a card.
ISSUED: Final = "ACTIVATION"


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

    @property
    def is_made(self) -> bool:
        """Whether it is the second half of a create of ours, which carries the marker."""
        return self.marker is not None and (self.client_id or "").endswith(MADE)


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
        made = [one.marker for one in self.lines if one.is_made]
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
        """Raises NotBelieved for entries that do not add up, and for a number that is no serial."""
        if entries and not self.adds_up:
            raise NotBelieved("its transactions do not add up to its balance")
        try:
            serial = Serial(self.number)
        except SerialError:
            raise NotBelieved("its number cannot be used") from None
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
            entries=self.book if entries else None,
        )

    @property
    def book(self) -> tuple[Entry, ...]:
        """Its transactions, oldest first; a create of ours is one entry, though it took two requests."""
        lines = [one for one in self.lines if one.type not in _EMPTYING]
        made = next((one for one in lines if one.is_made), None)
        issued = next((one for one in lines if one.type == ISSUED), None) if made is not None else None
        first = 0 if issued is None else issued.amount_minor
        return tuple(
            Entry(one.id, one.amount_minor + (first if one is made else 0), one.at, one.marker, one.type)
            for one in lines
            if one is not issued
        )


def read_card(said: object, currency: str) -> XCard:
    """Raises NotBelieved."""
    if not isinstance(said, dict):
        raise NotBelieved("it is no gift card")
    lines = said.get("gift_card_transactions")
    expires = None if said.get("expires_at") is None else moment_of(said, "expires_at")
    if not isinstance(lines, list):
        raise NotBelieved("it lists no transactions")
    if expires is not None and not is_last_day(expires.date()):
        raise NotBelieved(f"it ended on {expires.date()}, as no gift card does")
    return XCard(
        id=text_of(said, "id"),
        number=text_of(said, "number"),
        balance_minor=minor_of(said, "balance", currency),
        status=text_of(said, "status"),
        expires_at=expires,
        made_by_api=said.get("sale_id") is None,
        lines=sorted((read_line(one, currency) for one in lines), key=lambda one: one.at),
    )


def read_line(said: object, currency: str) -> Line:
    """Raises NotBelieved."""
    if not isinstance(said, dict):
        raise NotBelieved("a transaction is none")
    client_id = said.get("client_id")
    return Line(
        text_of(said, "id"),
        text_of(said, "type"),
        minor_of(said, "amount", currency),
        moment_of(said, "created_at"),
        client_id if isinstance(client_id, str) and client_id else None,
    )
