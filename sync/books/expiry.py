"""What is on a card after its last day: owed no longer, unless the merchant says that it stays owed (pure).

A card has the expiry date that the ledger had for it at the period's end, whenever the month is closed; the
date may change later. So each close keeps what it took as expired, card by card, and the next one books the
difference: an extension puts the value back, dated by the day it corrects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from sync.books.classify import Context
from sync.books.entries import Entry, Facts, Line, Movement


@dataclass(frozen=True)
class ExpiryDates:
    """Which cards have expired at a period's beginning and at its end."""

    #: Their last day is this one or an earlier one; by the link's time zone.
    opening: date
    closing: date
    #: False: by the settings, what is on an expired card stays owed until the card is closed.
    ends_debt: bool = True
    #: The closed statement that the period continues, whose expired amounts the cards carry; 0 is before the
    #: first, None a draft: in both a card has expired at the beginning by the date that it had then.
    since: int | None = None

    @property
    def is_carried(self) -> bool:
        return bool(self.since)

    def concern(self, card: Facts) -> bool:
        """Whether anything of the card may have expired, or be given back; of most cards nothing has."""
        is_over = card.expires_on is not None and card.expires_on <= self.closing
        was_over = card.opening_expires_on is not None and card.opening_expires_on <= self.opening
        return is_over or was_over or card.carried_minor != 0

    def expired_minor(self, expires_on: date | None, balance_minor: int, by: date) -> int:
        """How much of a balance is owed no longer at the end of the day `by`."""
        has_expired = self.ends_debt and expires_on is not None and expires_on <= by
        return max(balance_minor, 0) if has_expired else 0


#: Nothing expires in the books.
NEVER = ExpiryDates(date.min, date.min, ends_debt=False)


class Expiry(NamedTuple):
    """What a close changes in the amount of a card that is taken as expired."""

    card_id: int
    #: Signed: negative puts value back that an earlier close had taken.
    amount_minor: int
    #: Of the card when it expired.
    last_day: date


def expiries_digest(changes: Iterable[Expiry]) -> str:
    """SHA-256 over the changes in the order of their cards; empty without any."""
    digest, many = hashlib.sha256(), 0
    for one in changes:
        digest.update(f"{one.card_id} {one.amount_minor} {one.last_day}\n".encode())
        many += 1
    return digest.hexdigest() if many else ""


def expiry_change(card: Facts, movements: Sequence[Movement], dates: ExpiryDates) -> Expiry | None:
    """What the close of this period has to keep; None where nothing changes."""
    closing = sum(m.amount_minor for m in movements)
    now = dates.expired_minor(card.expires_on, closing, dates.closing)
    last_day = card.expires_on if now else card.carried_last_day
    if now == card.carried_minor or last_day is None:
        return None
    return Expiry(card.id, now - card.carried_minor, last_day)


def expiry_entries(
    card: Facts, movements: Sequence[Movement], dates: ExpiryDates, context: Context, from_at: datetime
) -> Iterator[Entry]:
    """The entries on the line *expired* that no movement makes."""
    opening = sum(m.amount_minor for m in movements if not m.in_period)
    closing = sum(m.amount_minor for m in movements)
    then, last_day_then = card.carried_minor, card.carried_last_day
    if not dates.is_carried:
        last_day_then = card.opening_expires_on
        then = dates.expired_minor(last_day_then, opening, dates.opening)
    now = dates.expired_minor(card.expires_on, closing, dates.closing)
    place = context.place(card.channel)

    def entry(amount_minor: int, booked_at: datetime, happened_at: datetime | None = None) -> Iterator[Entry]:
        if amount_minor:
            line = Line.EXPIRED
            yield Entry(0, card.id, line, amount_minor, place, booked_at, True, happened_at)

    expired_at = _end_of(card.expires_on if now else last_day_then or card.expires_on, context)
    if now and expired_at >= from_at:
        yield from entry(then - now, expired_at)
        return
    # It had expired before, or has not any more. What that corrects is dated by the last day; what the
    # period's own movements took off or put on an expired card is not.
    unmoved = dates.expired_minor(card.expires_on, opening, dates.closing)
    yield from entry(then - unmoved, from_at, expired_at)
    moved_at = max((m.at for m in movements if m.in_period), default=from_at)
    yield from entry(unmoved - now, max(moved_at, from_at))


def _end_of(day: date | None, context: Context) -> datetime:
    """The first instant at which a card with this last day has expired."""
    if day is None:
        return datetime.max.replace(tzinfo=UTC)
    return datetime.combine(day + timedelta(days=1), time.min, context.zone).astimezone(UTC)
