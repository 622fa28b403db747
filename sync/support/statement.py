"""A card's story: what happened to it, where and when, what giftsync did about it, and who decided what.

Data for the terminal, a page and an API alike. `read_out` says it in sentences for a customer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from itertools import combinations

from connectors.api.capabilities import Place
from mappings.lifecycle import CardStatus
from mappings.sentences import Day, Money, Sentence, both, in_a_row, say
from mappings.serials import mask
from sync.decisions.merge import MERGED, MERGED_FROM, MERGED_INTO
from sync.decisions.words import kind_words
from sync.ledger import views
from sync.ledger.database.tables import NO_NUMBER
from sync.ledger.incoming.origins import Origin, origin_of
from sync.ledger.support.receipt_lines import Line, lines_of
from sync.ledger.views import CardRow, ConflictRow, IntentRow, MovementRow
from sync.model import IntentState, MovementKind
from sync.reconcile.work import Link
from sync.support.settle import said_words
from sync.support.writes import progress_words, write_words

#: A till's clock may be ahead of ours.
CLOCKS_DIFFER = timedelta(minutes=5)
#: So many receipts are tried together for one difference; more are told by the difference alone.
LINES_TRIED_MAX = 10
#: A customer wants to hear the last of it.
READ_OUT_MAX = 3

_MOVED = {
    MovementKind.OPENING: say("first seen with this balance"),
    MovementKind.CLOSED: say("closed; what was left ended with it"),
    MovementKind.WRITE_OFF: say("written off: the same money was spent in two places"),
    MovementKind.RESOLUTION: say("balance corrected by a decision"),
    MovementKind.REDEMPTION: say("paid with it through the API"),
    MovementKind.REVERSAL: say("a payment through the API was given back"),
    MovementKind.LOAD: say("loaded through the API"),
}
_KINDS = frozenset(MovementKind)
_LINES = {"payment": say("paid with it"), "refund": say("refunded to it"), "sale": say("sold")}
_BOUGHT = say("bought")
_LOADED = say("loaded")


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
    #: The place as a customer knows it, after a verb: `in the store (Oslo, till 1)`; empty for none.
    customer_place: str = ""


@dataclass(frozen=True)
class Statement:
    """All there is to say about one card."""

    card: CardRow
    ends_in: str
    events: tuple[Event, ...]
    conflicts: tuple[ConflictRow, ...]
    #: The order that it was bought with, where a side told it.
    order: str = ""
    #: The ends of its numbers, each with where that one is used, as `customer_place` has it.
    numbers: tuple[tuple[str, str], ...] = ()


def statement(link: Link, card_id: int, places: Mapping[str, Place]) -> Statement | None:
    """The card's story, oldest first; None when there is no such card."""
    engine = link.store.engine
    card = next(views.list_cards(engine, card_id=card_id), None)
    if card is None:
        return None
    conflicts = tuple(views.list_conflicts(engine, include_closed=True, card_id=card_id))
    movements = views.list_movements(engine, card_id)
    intents = views.list_intents(engine, card_id)
    if not card.verified or not _were_written(movements, intents):
        # The currency may be what somebody changed.
        card = replace(card, verified=False, in_step=False, currency=link.currency)
    hiding = {name for name, side in link.sides.items() if side.capabilities.hides_serials}
    origin = origin_of(engine, link.store.vault, card_id)
    found = [
        *_bought(movements, hiding, origin, places),
        *_moved(movements, lines_of(engine, card_id), places),
        *(_written(i, card.currency, places) for i in intents),
        *(_decided(link, c) for c in conflicts if c.resolved_by and c.closed_at),
    ]
    ends = dict.fromkeys(mask(p.last_chars) for p in card.presences if p.last_chars)
    order = "" if origin is None else origin.order_name
    numbers = tuple(
        (p.last_chars, _customer_place(p.side, places)) for p in card.presences if p.born and p.last_chars
    )
    events = tuple(sorted(found, key=lambda e: e.seen_at))
    return Statement(card, " ".join(ends), events, conflicts, order, numbers)


def _were_written(movements: Sequence[MovementRow], intents: Sequence[IntentRow]) -> bool:
    """Whether giftsync can have written the rows; a worker that verifies the card finds all else."""
    numbers = [n for m in movements for n in (m.amount_minor, m.shadow_delta_minor, m.balance_after_minor)]
    numbers += [i.amount_minor for i in intents]
    return all(n is not NO_NUMBER for n in numbers) and all(m.kind in _KINDS for m in movements)


def _bought(
    movements: Sequence[MovementRow], hiding: set[str], origin: Origin | None, places: Mapping[str, Place]
) -> list[Event]:
    """The order of a card whose code only its buyer knows. What was paid for it, its side does not tell."""
    opening = next((m for m in movements if m.kind == MovementKind.OPENING and m.side in hiding), None)
    if opening is None or origin is None or origin.bought_at is None:
        return []
    side = opening.side
    place, at = _place(side, places), _customer_place(side, places)
    return [Event(origin.bought_at, opening.at, place, _BOUGHT, order=origin.order_name, customer_place=at)]


def _moved(
    movements: Sequence[MovementRow], lines: Sequence[Line], places: Mapping[str, Place]
) -> list[Event]:
    events: list[Event] = []
    unused = list(lines)
    sold = False
    for m in movements:
        if m.kind not in _KINDS:
            continue  # Nobody knows what that is to be; the card does not count as verified.
        kind = MovementKind(m.kind)
        if any(key in m.evidence for key in MERGED):
            events.append(_joined(m))
            continue
        if kind in (MovementKind.ADOPTED, MovementKind.ECHO):
            continue  # The customer's money did not move.
        explained = _explained_by(m, kind, unused)
        for line in explained:
            unused.remove(line)
        events += _lines_of(m, explained, places, sold=sold) if explained else [_alone(m, kind, places)]
        # A till sells what it loads: only the first sale is the card's own.
        sold = sold or m.balance_after_minor > 0
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


def _lines_of(
    m: MovementRow, lines: Sequence[Line], places: Mapping[str, Place], *, sold: bool
) -> list[Event]:
    balance = m.balance_after_minor - m.amount_minor
    events = []
    for line in lines:
        balance += line.amount_minor or 0
        events.append(
            Event(
                line.at,
                m.at,
                _place(line.side, places, line.store, line.till),
                _LOADED if sold and line.kind == "sale" else _LINES.get(line.kind, line.kind),
                line.amount_minor,
                balance,
                line.order,
                line.receipt,
                customer_place=_customer_place(line.side, places, line.store, line.till),
            )
        )
    return events


def _joined(m: MovementRow) -> Event:
    """Two cards of the hub turned out to be one real card."""
    if MERGED_FROM in m.evidence:
        what = say(
            "found to be the same card as card {given}, which has ended", given=m.evidence[MERGED_FROM]
        )
    else:
        what = say("found to be the same card as card {given}, which goes on", given=m.evidence[MERGED_INTO])
    amount = m.amount_minor or None
    return Event(
        m.at, m.at, "giftsync", what, amount, m.balance_after_minor if amount else None, by="giftsync"
    )


def _alone(m: MovementRow, kind: MovementKind, places: Mapping[str, Place]) -> Event:
    what = _MOVED.get(kind) or (say("used") if m.amount_minor < 0 else say("loaded, or given back"))
    place = _place(m.side, places) if m.side else "giftsync"
    by = "giftsync" if kind is MovementKind.WRITE_OFF else "customer"
    at = _customer_place(m.side, places)
    return Event(m.at, m.at, place, what, m.amount_minor, m.balance_after_minor, by=by, customer_place=at)


def _written(i: IntentRow, currency: str, places: Mapping[str, Place]) -> Event:
    words = write_words(i.kind, i.amount_minor, currency, i.status, i.expires_on)
    progress = progress_words(i.state, i.refusal)
    what = say("{words}: {progress}", words=words, progress=progress) if progress else words
    done = i.ended_at if i.ended_at is not None and IntentState(i.state) is IntentState.APPLIED else None
    return Event(done or i.created_at, i.created_at, _place(i.side, places), what, by="giftsync")


def _decided(link: Link, c: ConflictRow) -> Event:
    at = c.closed_at or c.last_seen_at
    said = said_words(link, views.decided_of(link.store.engine, c.id), c.resolution or "")
    why = say(": {resolved_why}", resolved_why=c.resolved_why) if c.resolved_why else ""
    what = say(
        "decided conflict {id} ({kind}): {said}{why}",
        id=c.id,
        kind=kind_words(c.kind),
        said=said,
        why=why,
    )
    return Event(at, at, "giftsync", what, by=c.resolved_by or "")


#: What stands where a store has no name of its own, which each reader calls by their own word.
_UNNAMED_STORES = {"online shop": say("online shop")}


def _place(side: str | None, places: Mapping[str, Place], store: str = "", till: str = "") -> str:
    store = _UNNAMED_STORES.get(store, store)
    name = places[side].name if side is not None and side in places else side or ""
    parts = (name, store, say("till {till}", till=till) if till else "")
    return in_a_row([part for part in parts if part], ", ")


def _customer_place(side: str | None, places: Mapping[str, Place], store: str = "", till: str = "") -> str:
    if side is None:
        return ""
    named = places[side].at if side in places else ""
    # A store without a name of its own is no more than the side's place.
    store = "" if named and store in _UNNAMED_STORES else _UNNAMED_STORES.get(store, store)
    at = named or say("in {place}", place=_place(side, places))
    parts = (store, say("till {till}", till=till) if till else "")
    spot = in_a_row([part for part in parts if part], ", ")
    return say("{at} ({spot})", at=at, spot=spot) if spot and not spot.startswith(at) else at


def read_out(found: Statement, zone: tzinfo) -> tuple[str, ...]:
    """Sentences to read out to a customer: what is left, until when, and the last of what happened."""
    card = found.card
    if not card.verified:
        # Nothing of it can be relied on, and a customer would rely on it.
        return (
            say("We cannot say what is on this card now."),
            say("We are looking into it and will come back to you."),
        )
    left = Money(card.balance_minor, card.currency)
    ends = _ends(found)
    sentences: list[str] = [
        say("The card that ends in {ends} has {left} on it.", ends=ends, left=left)
        if ends
        else say("The card has {left} on it.", left=left)
    ]
    if card.status != "active":
        sentences.append(say("It is {status} and cannot be used now.", status=CardStatus(card.status)))
    elif card.expires_on is not None:
        sentences.append(say("It can be used until {expires_on}.", expires_on=Day(card.expires_on)))
    else:
        sentences.append(say("It does not expire."))
    told = [e for e in found.events if e.amount_minor or e.what == _BOUGHT]
    sentences += [_said(event, card.currency, zone) for event in told[-READ_OUT_MAX:]]
    if any(c.closed_at is None for c in found.conflicts):
        sentences.append(say("We are looking into something about this card and will come back to you."))
    return tuple(sentences)


def _ends(found: Statement) -> Sentence:
    """How its number ends, and of several where each is used."""
    spots: dict[str, list[str]] = {}
    for end, spot in found.numbers:
        spots.setdefault(" ".join(end), []).append(spot)
    made = in_a_row([*spots][:1])
    if len(spots) < 2:
        return made
    for nth, (end, where) in enumerate(spots.items()):
        one = in_a_row([end, both(where)])
        made = say("{first} and in {second}", first=made, second=one) if nth else one
    return made


def _said(event: Event, currency: str, zone: tzinfo) -> str:
    """One event, as it is said to a customer."""
    at = event.at.astimezone(zone)
    on = say("On {day} at {time}", day=Day(at.date()), time=f"{at:%H:%M}")
    where = say(" {customer_place}", customer_place=event.customer_place) if event.customer_place else ""
    number = (
        say(", receipt {receipt}", receipt=event.receipt)
        if event.receipt
        else say(", order {order}", order=event.order)
        if event.order
        else ""
    )
    if event.what == _BOUGHT:
        return say("{on} the card was bought{where}{number}.", on=on, where=where, number=number)
    amount = Money(abs(event.amount_minor or 0), currency)
    if event.what == _LINES["sale"]:
        return say(
            "{on} the card was sold{where}{number}, with {amount} on it.",
            on=on,
            where=where,
            number=number,
            amount=amount,
        )
    if event.what == _MOVED[MovementKind.OPENING]:
        return say("{on} we first saw it{where}, with {amount} on it.", on=on, where=where, amount=amount)
    after = Money(event.balance_after_minor or 0, currency)
    if (event.amount_minor or 0) > 0:
        verb = say("refunded to it") if event.what == _LINES["refund"] else say("put on the card")
        return say(
            "{on}, {amount} were {verb}{where}{number}; {after} were on it then.",
            on=on,
            amount=amount,
            verb=verb,
            where=where,
            number=number,
            after=after,
        )
    verb = say("spent") if event.what == _LINES["payment"] else say("used")
    return say(
        "{on}, {amount} were {verb}{where}{number}; {after} were left.",
        on=on,
        amount=amount,
        verb=verb,
        where=where,
        number=number,
        after=after,
    )
