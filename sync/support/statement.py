"""A card's story: what happened to it, where and when, what giftsync did about it, and who decided what.

Data for the terminal, a page and an API alike. `read_out` says it in sentences for a customer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import combinations

from connectors.api.side import Place
from mappings.money import format_money
from mappings.serials import mask
from sync.ledger import views
from sync.ledger.receipt_lines import Line, lines_of
from sync.ledger.views import CardRow, ConflictRow, IntentRow, MovementRow
from sync.model import IntentState, MovementKind
from sync.reconcile.work import Link
from sync.support.writes import progress_words, write_words

#: A till's clock may be ahead of ours.
CLOCKS_DIFFER = timedelta(minutes=5)
#: So many receipts are tried together for one difference; more are told by the difference alone.
LINES_TRIED_MAX = 10
#: A customer wants to hear the last of it.
READ_OUT_MAX = 3

_MOVED = {
    MovementKind.OPENING: "first seen with this balance",
    MovementKind.CLOSED: "closed; what was left ended with it",
    MovementKind.WRITE_OFF: "written off: the same money was spent in two places",
    MovementKind.RESOLUTION: "balance corrected by a decision",
}
_LINES = {"payment": "paid with it", "refund": "refunded to it", "sale": "sold"}


@dataclass(frozen=True)
class Event:
    """One thing that happened to a card. Amounts in minor units of its currency."""

    #: When it happened, as the side says; else when giftsync saw it.
    at: datetime
    #: When giftsync saw it, did it or was told of it.
    seen_at: datetime
    #: The side, store and till; `giftsync` for what concerns no single place.
    place: str
    what: str
    #: Signed change of the balance; None for what moves no money of the customer's.
    amount_minor: int | None = None
    balance_after_minor: int | None = None
    order: str = ""
    receipt: str = ""
    #: Whose doing it was: `customer`, `giftsync` or the name of a person.
    by: str = "customer"


@dataclass(frozen=True)
class Statement:
    """All there is to say about one card."""

    card: CardRow
    ends_in: str
    events: tuple[Event, ...]
    conflicts: tuple[ConflictRow, ...]
    order: str = ""


def statement(link: Link, card_id: int, places: Mapping[str, Place]) -> Statement | None:
    """The card's story, oldest first; None when there is no such card."""
    engine = link.store.engine
    card = next(views.list_cards(engine, card_id=card_id), None)
    if card is None:
        return None
    conflicts = tuple(c for c in views.list_conflicts(engine, include_closed=True) if c.card_id == card_id)
    found = [
        *_moved(views.list_movements(engine, card_id), lines_of(engine, card_id), places),
        *(_written(i, card.currency, places) for i in views.list_intents(engine, card_id)),
        *(_decided(c) for c in conflicts if c.resolved_by and c.closed_at),
    ]
    ends = next((p.last_chars for p in card.presences if p.last_chars), "")
    return Statement(card, mask(ends), tuple(sorted(found, key=lambda e: e.seen_at)), conflicts)


def _moved(
    movements: Sequence[MovementRow], lines: Sequence[Line], places: Mapping[str, Place]
) -> list[Event]:
    events: list[Event] = []
    unused = list(lines)
    for m in movements:
        kind = MovementKind(m.kind)
        if kind in (MovementKind.ADOPTED, MovementKind.ECHO):
            continue  # The customer's money did not move.
        explained = _explained_by(m, kind, unused)
        for line in explained:
            unused.remove(line)
        events += _lines_of(m, explained, places) if explained else [_alone(m, kind, places)]
    return events


def _explained_by(m: MovementRow, kind: MovementKind, unused: Sequence[Line]) -> list[Line]:
    """The receipts that add up to what was seen on their side."""
    if kind not in (MovementKind.OBSERVED, MovementKind.OPENING):
        return []
    told = [
        line
        for line in unused
        if line.side == m.side and line.amount_minor and line.at <= m.at + CLOCKS_DIFFER
    ][-LINES_TRIED_MAX:]
    if kind is MovementKind.OPENING:
        return [line for line in told if line.kind == "sale" and line.amount_minor == m.amount_minor][:1]
    told = [line for line in told if line.kind != "sale" or m.amount_minor > 0]
    for size in range(1, len(told) + 1):
        for some in combinations(told, size):
            if sum(line.amount_minor or 0 for line in some) == m.amount_minor:
                return list(some)
    return []


def _lines_of(m: MovementRow, lines: Sequence[Line], places: Mapping[str, Place]) -> list[Event]:
    balance = m.balance_after_minor - m.amount_minor
    events = []
    for line in lines:
        balance += line.amount_minor or 0
        events.append(
            Event(
                line.at,
                m.at,
                _place(line.side, places, line.store, line.till),
                _LINES.get(line.kind, line.kind),
                line.amount_minor,
                balance,
                line.order,
                line.receipt,
            )
        )
    return events


def _alone(m: MovementRow, kind: MovementKind, places: Mapping[str, Place]) -> Event:
    what = _MOVED.get(kind) or ("used" if m.amount_minor < 0 else "loaded, or given back")
    place = _place(m.side, places) if m.side else "giftsync"
    by = "giftsync" if kind is MovementKind.WRITE_OFF else "customer"
    return Event(m.at, m.at, place, what, m.amount_minor, m.balance_after_minor, by=by)


def _written(i: IntentRow, currency: str, places: Mapping[str, Place]) -> Event:
    words = write_words(i.kind, i.amount_minor, currency, i.status, i.expires_on)
    progress = progress_words(i.state, i.refusal)
    what = f"{words}: {progress}" if progress else words
    done = i.ended_at if i.ended_at is not None and IntentState(i.state) is IntentState.APPLIED else None
    return Event(done or i.created_at, i.created_at, _place(i.side, places), what, by="giftsync")


def _decided(c: ConflictRow) -> Event:
    at = c.closed_at or c.last_seen_at
    said = (c.resolution or "").replace("_", " ")
    why = f": {c.resolved_why}" if c.resolved_why else ""
    what = f"decided conflict {c.id} ({c.kind.replace('_', ' ')}): {said}{why}"
    return Event(at, at, "giftsync", what, by=c.resolved_by or "")


def _place(side: str | None, places: Mapping[str, Place], store: str = "", till: str = "") -> str:
    name = places[side].name if side is not None and side in places else side or ""
    return ", ".join(part for part in (name, store, f"till {till}" if till else "") if part)


def read_out(found: Statement, zone: tzinfo) -> tuple[str, ...]:
    """Sentences that can be read out to a customer: what is left, until when, and the last of what "
    "happened."""
    card = found.card
    left = format_money(card.balance_minor, card.currency)
    sentences = [f"The card that ends in {' '.join(found.ends_in.strip('•'))} has {left} on it."]
    if card.status != "active":
        sentences.append(f"It is {card.status} and cannot be used now.")
    elif card.expires_on is not None:
        sentences.append(f"It can be used until {card.expires_on:%-d %B %Y}.")
    else:
        sentences.append("It does not expire.")
    moved = [e for e in found.events if e.amount_minor][-READ_OUT_MAX:]
    for event in moved:
        amount = format_money(abs(event.amount_minor or 0), card.currency)
        on = event.at.astimezone(zone)
        where = f" in {event.place}" if event.place != "giftsync" else ""
        which = (
            f", receipt {event.receipt}" if event.receipt else f", order {event.order}" if event.order else ""
        )
        after = format_money(event.balance_after_minor or 0, card.currency)
        sentences.append(
            f"On {on:%-d %B at %H:%M}, {amount} were {_verb(event)}{where}{which}; {after} were left."
        )
    if any(c.closed_at is None for c in found.conflicts):
        sentences.append("We are looking into something about this card and will come back to you.")
    return tuple(sentences)


def _verb(event: Event) -> str:
    if event.what in _LINES.values():
        return {"paid with it": "spent", "refunded to it": "refunded", "sold": "put on the card"}[event.what]
    if (event.amount_minor or 0) < 0:
        return "used"
    return "on it when we first saw it" if event.what == _MOVED[MovementKind.OPENING] else "put on the card"
