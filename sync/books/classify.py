"""Which line of the roll-forward each movement belongs on, and where it happened (pure).

Receipts decide where they explain a movement to the minor unit; else the side's own entries do; else the
sign: what left a card was redeemed, what came was loaded. Receipts decide lines and places, never amounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from itertools import combinations
from typing import NamedTuple

from sync.books.entries import API, Entry, Facts, Line, Movement, Place, Receipt
from sync.model import MovementKind

#: A till's clock may be ahead of ours, and a payment may fall between a look and its booking.
CLOCKS_DIFFER = timedelta(minutes=5)
#: So many receipts are tried together for one movement.
RECEIPTS_TRIED_MAX = 10
#: The first readings of a new link meet the cards that were there before; later ones meet new cards.
GATHERING = timedelta(days=1)

#: States of redemptions that took nothing off the card in the end, and why the rest of one is given back.
_CANCELLED = frozenset({"refused", "voided", "expired"})
_ISSUE = "issue"
_CAPTURED_FOR_LESS = "captured for less"
_LINE_OF_RECEIPT = {"payment": Line.REDEEMED, "refund": Line.REFUNDED, "sale": Line.LOADED}


class UnknownMovement(ValueError):
    """A movement of a kind that giftsync does not write."""


@dataclass(frozen=True)
class Context:
    """What holds for all cards of the link."""

    zone: tzinfo
    #: When giftsync began with each side.
    began: Mapping[str, datetime]
    #: For each side that has stores: its only one, or that it is not known which one.
    stores: Mapping[str, str] = field(default_factory=dict)

    def place(self, side: str, store: str = "") -> Place:
        return Place(side, store or self.stores.get(side, ""))


class Booked(NamedTuple):
    """A card's entries in the order of its movements, and what was used of it before the period."""

    entries: list[Entry]
    #: All that had left the card before the period; it has used up the oldest value. Positive.
    used_before_minor: int


def classify(
    card: Facts, movements: Sequence[Movement], receipts: Sequence[Receipt], context: Context
) -> Booked:
    """Put each movement on its lines; an amount may fall on several. What left before the period is one sum.

    The entries of a movement add up to it. Raises UnknownMovement.
    """
    unused = [r for r in receipts if r.amount_minor]
    told = {r.order: r for r in receipts if r.side == API} if receipts else {}
    explained = _explain_all(movements, unused) if unused else {}
    # Opening balances come last: what no later movement needs was in them.
    entries: list[Entry] = []
    used_before = balance = 0
    sums_up = card.given_away_at is None
    for m in movements:
        balance += m.amount_minor
        if m.amount_minor < 0 and not m.in_period and sums_up:
            used_before -= m.amount_minor
        else:
            found = explained.get(m.id, ())
            first, empties = m is movements[0], balance <= 0
            entries += _entries_of(card, m, found, unused, told, context, is_first=first, empties=empties)
    return Booked(entries, used_before)


def _explain_all(movements: Sequence[Movement], unused: list[Receipt]) -> dict[int, list[Receipt]]:
    """The receipts behind each observed movement; takes them out of `unused`."""
    explained: dict[int, list[Receipt]] = {}
    looked: dict[str | None, datetime] = {}
    for m in movements:
        if m.kind == MovementKind.OBSERVED and (m.in_period or m.amount_minor > 0):
            found = _explaining(m, unused, looked.get(m.side))
            if found:
                explained[m.id] = found
                for receipt in found:
                    unused.remove(receipt)
        looked[m.side] = m.at
    return explained


def _explaining(m: Movement, unused: Sequence[Receipt], looked_at: datetime | None) -> list[Receipt]:
    """The receipts since the last look that add up to the movement; the newest first where several do."""
    first = None if looked_at is None else looked_at - CLOCKS_DIFFER
    last = m.at + CLOCKS_DIFFER
    told = [r for r in unused if r.side == m.side and r.at <= last and (first is None or r.at > first)]
    for receipt in reversed(told):
        if receipt.amount_minor == m.amount_minor:
            return [receipt]
    told = told[-RECEIPTS_TRIED_MAX:]
    for size in range(2, len(told) + 1):
        for some in combinations(told, size):
            if sum(r.amount_minor or 0 for r in some) == m.amount_minor:
                return list(some)
    return []


def _entries_of(
    card: Facts,
    m: Movement,
    found: Sequence[Receipt],
    unused: Sequence[Receipt],
    told: Mapping[str, Receipt],
    context: Context,
    *,
    is_first: bool,
    empties: bool,
) -> list[Entry]:
    match m.kind:
        case MovementKind.OPENING:
            return _opening(card, m, unused, context)
        case MovementKind.OBSERVED if found:
            return [_of_receipt(m, r, context) for r in found]
        case MovementKind.OBSERVED:
            return _unexplained(card, m, context, empties=empties)
        case MovementKind.CLOSED:
            return [_entry(m, context, Line.EXPIRED if _has_expired(card, m, context) else Line.CLOSED)]
        case MovementKind.WRITE_OFF:
            return [_entry(m, context, Line.WRITTEN_OFF)]
        case MovementKind.REDEMPTION | MovementKind.REVERSAL | MovementKind.LOAD:
            return [_by_caller(m, told, context)]
        case MovementKind.RESOLUTION:
            given = card.given_by is not None and is_first
            taken = card.given_away_at == m.at and m.amount_minor < 0
            return [_entry(m, context, Line.TRANSFERRED if given or taken else Line.ADJUSTED)]
    raise UnknownMovement(f"movement {m.id} of card {m.card_id} is of the unknown kind {m.kind!r}")


def _by_caller(m: Movement, told: Mapping[str, Receipt], context: Context) -> Entry:
    """What a caller of the API did; the movement names it. What was never certain cancels its redemption."""
    known = m.evidence or {}
    found = told.get(str(known.get("redemption") or known.get("load")))
    line = Line.REDEEMED
    if m.kind == MovementKind.LOAD:
        line = Line.ISSUED if found is not None and found.kind == _ISSUE else Line.LOADED
    elif m.kind == MovementKind.REVERSAL and known.get("why") != _CAPTURED_FOR_LESS:
        line = Line.REDEEMED if found is not None and found.kind in _CANCELLED else Line.REFUNDED
    place = context.place(API, "" if found is None else found.store)
    number = "" if found is None else found.number
    return _entry(m, context, line, place=place)._replace(receipt=number)


def _unexplained(card: Facts, m: Movement, context: Context, *, empties: bool) -> list[Entry]:
    """By the side's own entries where they account for all of it; else by the sign."""
    known = m.evidence or {}
    amounts = [m.amount_minor]
    if known.get("unexplained_minor") == 0:
        listed = [e.get("amount_minor") for e in known.get("entries", ()) if isinstance(e, Mapping)]
        whole = [amount for amount in listed if isinstance(amount, int) and amount]
        if sum(whole) == m.amount_minor and len(whole) == len(listed):
            amounts = whole
    elif m.amount_minor < 0 and empties and _has_expired(card, m, context):
        # A side that empties a card after its last day. A part of it is what a lenient till has taken.
        return [_entry(m, context, Line.EXPIRED)]
    return [_entry(m, context, Line.REDEEMED if amount < 0 else Line.LOADED, amount) for amount in amounts]


def _opening(card: Facts, m: Movement, unused: Sequence[Receipt], context: Context) -> list[Entry]:
    told = [r for r in unused if r.side == m.side and r.at <= m.at + CLOCKS_DIFFER]
    sales = [r for r in told if r.kind == "sale"]
    bought_at = sales[0].at if sales else card.bought_at
    sold_in = sales[0].store if sales else next((r.store for r in told if card.bought_at), "")
    place = context.place(m.side or card.channel, sold_in)
    if not _is_new(card, m, bought_at, context):
        return [_entry(m, context, Line.TAKEN_OVER, place=place, happened_at=bought_at)]
    if not sales:
        since = [r for r in told if bought_at is None or r.at >= bought_at]
        value = m.amount_minor - sum(r.amount_minor or 0 for r in since)
        if not since or value <= 0:
            return [_entry(m, context, Line.ISSUED, place=place, happened_at=bought_at)]
        issued = _entry(m, context, Line.ISSUED, value, place=place, happened_at=bought_at)
        return [issued, *(_of_receipt(m, r, context) for r in since)]
    used = _with_the_sale(sales[0], told, m.amount_minor)
    if used:
        first = _of_receipt(m, sales[0], context, Line.ISSUED)
        return [first, *(_of_receipt(m, r, context) for r in used if r is not sales[0])]
    paid = sales[0].amount_minor or 0
    discount = m.amount_minor - paid if len(told) == 1 and 0 < paid < m.amount_minor else 0
    return [_of_receipt(m, sales[0], context, Line.ISSUED, m.amount_minor, discount)]


def _is_new(card: Facts, m: Movement, bought_at: datetime | None, context: Context) -> bool:
    """Whether the card was sold since giftsync began; what was there before is taken over.

    Shops tell whole seconds, so all of the first second counts as after it. Clocks that differ are not made
    up for: a tolerance would take cards for new that were sold just before.
    """
    began = context.began.get(m.side or "")
    if card.imported:
        return False
    if began is None:
        return True
    return bought_at >= began.replace(microsecond=0) if bought_at is not None else m.at >= began + GATHERING


def _with_the_sale(sale: Receipt, told: Sequence[Receipt], amount_minor: int) -> list[Receipt]:
    """The sale and what happened until the hub met the card, where it adds up."""
    others = [r for r in told if r is not sale][-RECEIPTS_TRIED_MAX:]
    for size in (0, *range(len(others), 0, -1)):
        for some in combinations(others, size):
            if (sale.amount_minor or 0) + sum(r.amount_minor or 0 for r in some) == amount_minor:
                return [sale, *some]
    return []


def _of_receipt(
    m: Movement,
    r: Receipt,
    context: Context,
    line: Line | None = None,
    amount_minor: int | None = None,
    discount: int = 0,
) -> Entry:
    amount = r.amount_minor or 0 if amount_minor is None else amount_minor
    by_kind = _LINE_OF_RECEIPT.get(r.kind, Line.LOADED)
    if (amount < 0) != (by_kind is Line.REDEEMED):
        by_kind = Line.REDEEMED if amount < 0 else Line.LOADED
    return Entry(
        m.id,
        m.card_id,
        line or by_kind,
        amount,
        context.place(r.side, r.store),
        m.at,
        m.in_period,
        r.at,
        r.number,
        r.order,
        discount,
    )


def _entry(
    m: Movement,
    context: Context,
    line: Line,
    amount_minor: int | None = None,
    place: Place | None = None,
    happened_at: datetime | None = None,
) -> Entry:
    amount = m.amount_minor if amount_minor is None else amount_minor
    where = place or context.place(m.side or "")
    return Entry(m.id, m.card_id, line, amount, where, m.at, m.in_period, happened_at)


def _has_expired(card: Facts, m: Movement, context: Context) -> bool:
    return card.expires_on is not None and card.expires_on < m.at.astimezone(context.zone).date()
