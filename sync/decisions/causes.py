"""Why a person is asked: every conflict that giftsync opens is made here, with its cause and its words.

A cause names what is wrong; one conflict is open for it, however often it is seen. What a person can do about
it stands in `sync.explain`, an entry for each `Situation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from enum import StrEnum

from connectors.api.errors import Refusal
from connectors.api.side import Seen
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from mappings.serials import mask
from sync.model import Card, ConflictKind, Hold, Intent, NewConflict, Presence

#: A conflict that an observation ends: the one that its hold was raised with.
OF_HOLD = {
    Hold.MISSING: ConflictKind.MISSING,
    Hold.STATUS: ConflictKind.STATUS,
    Hold.CURRENCY: ConflictKind.CURRENCY,
}
_OF_REFUSAL = {
    Refusal.OVER_LIMIT: ConflictKind.OVER_LIMIT,
    Refusal.BAD_SERIAL: ConflictKind.SERIAL,
    Refusal.TAKEN: ConflictKind.SERIAL,
    Refusal.CURRENCY: ConflictKind.CURRENCY,
}
#: What a refusal can open, and a change of the card there or a success closes.
OF_REFUSALS = (ConflictKind.REFUSED, ConflictKind.OVER_LIMIT, ConflictKind.SERIAL)
FIRST_CONTACT = "first_contact"

_REFUSED_OTHERWISE = "{side} refused a change ({refusal}), and looking at the card does not explain why."
_REFUSED_WORDS = {
    ConflictKind.OVER_LIMIT: "{side} allows less money on one card than is to be on this one.",
    ConflictKind.SERIAL: "{side} cannot hold the card's number, or has given it to another card ({refusal}).",
}


class Situation(StrEnum):
    """What is wrong, as far as it decides what a person can do. Most kinds of conflict have one."""

    FIRST_CONTACT = "first_contact"
    OVERDRAFT = "overdraft"
    #: Two sides changed the status differently; one of the two was taken.
    STATUS_DIFFERS = "status_differs"
    STATUS_UNKNOWN = "status_unknown"
    STATUS_NOT_SETTABLE = "status_not_settable"
    CLOSED_ALONE = "closed_alone"
    EXPIRY = "expiry"
    SERIAL = "serial"
    CURRENCY = "currency"
    OVER_LIMIT = "over_limit"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    #: A request took effect more often than it was meant to.
    LANDED_TWICE = "landed_twice"
    #: A card of the hub carries the mark of another.
    MARK_COPIED = "mark_copied"
    #: A card that is not in the hub yet carries the mark of one that is.
    NEW_CARD_WITH_MARK = "new_card_with_mark"
    #: A card that is not in the hub yet was made by another giftsync.
    OTHER_LEDGER = "other_ledger"
    #: A card that is not in the hub yet is, on another side, a card of the hub.
    TWO_CARDS = "two_cards"
    #: An online card that is not in the hub yet may be a copy of a store card.
    MAY_BE_STORE_CARD = "may_be_store_card"
    #: A card that is not in the hub yet is in another currency.
    NEW_CARD_CURRENCY = "new_card_currency"
    #: An answer for a card that is not in the hub yet cannot be believed.
    NEW_CARD_UNREADABLE = "new_card_unreadable"
    #: A physical card was sold while it was being assigned.
    ASSIGNED_TWICE = "assigned_twice"
    IN_DOUBT = "in_doubt"
    REFUSED = "refused"
    NOT_WRITABLE = "not_writable"
    NOTIFICATION = "notification"
    POOL_EMPTY = "pool_empty"
    LEDGER_BEHIND = "ledger_behind"
    SECOND_LEDGER = "second_ledger"
    BRAKE = "brake"


#: How a cause begins, where the kind alone does not tell the situation.
_OF_CAUSE = {
    (ConflictKind.STATUS, "status_not_writable"): Situation.STATUS_NOT_SETTABLE,
    (ConflictKind.STATUS, "closed_alone"): Situation.CLOSED_ALONE,
    (ConflictKind.DUPLICATE, "copied"): Situation.MARK_COPIED,
    (ConflictKind.DUPLICATE, "copied_note"): Situation.NEW_CARD_WITH_MARK,
    (ConflictKind.DUPLICATE, "other_ledger"): Situation.OTHER_LEDGER,
    (ConflictKind.DUPLICATE, "two_cards"): Situation.TWO_CARDS,
    (ConflictKind.DUPLICATE, "store_card"): Situation.MAY_BE_STORE_CARD,
    (ConflictKind.DUPLICATE, "assigned"): Situation.ASSIGNED_TWICE,
    (ConflictKind.DUPLICATE, "duplicate"): Situation.LANDED_TWICE,
}
#: What keeps a card from entering the hub; each cause ends with its arrival.
OF_ARRIVAL = ("copied_note", "other_ledger", "two_cards", "store_card", "currency", "unreadable")


def situation_of(kind: ConflictKind, cause: str) -> Situation:
    """What a conflict of this kind and cause is about."""
    begins, *rest = cause.split(":")
    if kind is ConflictKind.STATUS and begins == "status":
        return Situation.STATUS_DIFFERS if len(rest) > 1 else Situation.STATUS_UNKNOWN
    if kind is ConflictKind.CURRENCY and len(rest) > 1:
        return Situation.NEW_CARD_CURRENCY
    if kind is ConflictKind.UNREADABLE and len(rest) > 1:
        return Situation.NEW_CARD_UNREADABLE
    return _OF_CAUSE.get((kind, begins)) or Situation(kind.value)


def arrival_of(cause: str) -> int | None:
    """The arrival that the cause keeps from entering the hub, if it is one of `OF_ARRIVAL`."""
    begins, *rest = cause.split(":")
    last = rest[-1] if rest else ""
    return int(last) if begins in OF_ARRIVAL and len(rest) > 1 and last.isdecimal() else None


def causes_of_arrival(side: str, arrival_id: int) -> tuple[str, ...]:
    """Every cause that may have kept the arrival waiting."""
    return tuple(f"{begins}:{side}:{arrival_id}" for begins in OF_ARRIVAL)


# --- The keys of causes -------------------------------------------------------------------------------------


def on_side(side: str, kind: ConflictKind) -> str:
    """The cause of what is wrong with a card on one side."""
    return f"{kind}:{side}"


def not_settable(side: str) -> str:
    """The cause of a status that a side does not let giftsync set."""
    return f"status_not_writable:{side}"


def alone(side: str) -> str:
    """The cause of a card that one side has closed for good, and that is not closed."""
    return f"closed_alone:{side}"


def no_numbers(side: str) -> str:
    """The cause of cards that wait for a number of the side's."""
    return f"{ConflictKind.POOL_EMPTY}:{side}"


def side_lacks_cards(side: str) -> str:
    """The cause of a stop because a side suddenly lacks cards that it had."""
    return f"brake:empty:{side}"


# --- A card and a side that do not agree --------------------------------------------------------------------


def held(p: Presence, kind: ConflictKind, words: str, worth_minor: int) -> NewConflict:
    """Nothing is written to this presence; `worth_minor` is what the hub has on the card."""
    cause = on_side(p.side, kind)
    return NewConflict(kind, cause, words, p.side, abs(worth_minor), stake_is_news=False)


def missing(p: Presence, worth_minor: int) -> NewConflict:
    words = f"{p.side} no longer has a card that it had; nothing is written there."
    return held(p, ConflictKind.MISSING, words, worth_minor)


def unreadable(p: Presence, reason: str, worth_minor: int) -> NewConflict:
    words = f"{p.side} answers for the card what cannot be believed: {reason}; nothing is written there."
    return replace(held(p, ConflictKind.UNREADABLE, words, worth_minor), evidence={"reason": reason})


def status_unknown(p: Presence, status_text: str, worth_minor: int) -> NewConflict:
    words = f"{p.side} shows the status {status_text!r}, which giftsync does not know; nothing moves."
    made = held(p, ConflictKind.STATUS, words, worth_minor)
    return replace(made, evidence={"shown": status_text})


def currency(card: Card, p: Presence, seen: Seen) -> NewConflict:
    words = f"{p.side} holds the card in {seen.currency}, the hub in {card.currency}; nothing is converted."
    return held(p, ConflictKind.CURRENCY, words, p.shadow_minor)


def number_of_another(p: Presence, worth_minor: int) -> NewConflict:
    words = f"The number allotted to the card on {p.side} belongs to another card there."
    return held(p, ConflictKind.SERIAL, words, worth_minor)


def unfit_number(side: str, reason: str, worth_minor: int) -> NewConflict:
    """`reason` goes on after "The card's serial", as `Capabilities.accepts_serial` says it."""
    return NewConflict(
        ConflictKind.SERIAL,
        on_side(side, ConflictKind.SERIAL),
        f"The card's serial {reason} on {side}, so it cannot be created there.",
        side,
        worth_minor,
    )


def first_contact(card: Card, shadows: Mapping[str, int]) -> NewConflict:
    shows = ", ".join(f"{side} shows {format_money(v, card.currency)}" for side, v in shadows.items())
    return NewConflict(
        ConflictKind.FIRST_CONTACT,
        FIRST_CONTACT,
        f"One serial, two balances: {shows}.",
        amount_minor=max(shadows.values()) - min(shadows.values()),
        evidence={"shown_minor": dict(shadows)},
    )


def overdraft(card: Card, shortfall_minor: int, moved: Mapping[str, int]) -> NewConflict:
    return NewConflict(
        ConflictKind.OVERDRAFT,
        f"overdraft:{card.version}",
        "The card was spent on several sides within the sync lag: "
        f"{format_money(shortfall_minor, card.currency)} more than it held.",
        amount_minor=shortfall_minor,
        evidence={"shortfall_minor": shortfall_minor, "moved_minor": dict(moved)},
    )


def not_writable(card: Card, p: Presence, owed_minor: int, *, allowed: bool) -> NewConflict:
    """`allowed`: the link writes there, but the card takes nothing."""
    why = "it is expired or suspended there" if allowed else "the link does not write there"
    return NewConflict(
        ConflictKind.NOT_WRITABLE,
        on_side(p.side, ConflictKind.NOT_WRITABLE),
        f"{p.side} shows {format_money(abs(owed_minor), card.currency)} too "
        f"{'little' if owed_minor > 0 else 'much'}, and {why}.",
        p.side,
        abs(owed_minor),
        evidence={"allowed": allowed},
    )


def over_limit(card: Card, p: Presence, limit_minor: int) -> NewConflict:
    worth, limit = (format_money(minor, card.currency) for minor in (card.balance_minor, limit_minor))
    return NewConflict(
        ConflictKind.OVER_LIMIT,
        on_side(p.side, ConflictKind.OVER_LIMIT),
        f"{p.side} allows {limit} on one card, and this one is worth {worth}; nothing is written there.",
        p.side,
        card.balance_minor - p.shadow_minor,
        evidence={"limit_minor": limit_minor},
    )


def refused(card: Card, p: Presence) -> NewConflict:
    refusal = p.refusal or Refusal.OTHER
    kind = _OF_REFUSAL.get(refusal, ConflictKind.REFUSED)
    owed = card.balance_minor - p.shadow_minor
    return NewConflict(
        kind,
        on_side(p.side, kind),
        _REFUSED_WORDS.get(kind, _REFUSED_OTHERWISE).format(side=p.side, refusal=refusal.value),
        p.side,
        abs(owed),
        evidence={"refusal": refusal.value, "owed_minor": owed},
    )


def in_doubt(side: str, intent: Intent, reason: str) -> NewConflict:
    return NewConflict(
        ConflictKind.IN_DOUBT,
        on_side(side, ConflictKind.IN_DOUBT),
        f"A request to {side} may have taken effect, and {side} cannot tell: {reason}.",
        side,
        abs(intent.amount_minor),
        evidence={"marker": intent.marker, "kind": intent.kind.value},
    )


def not_told(side: str, words: str, reason: str) -> NewConflict:
    """The buyer of a new card was not told of it, or nobody knows."""
    return NewConflict(
        ConflictKind.NOTIFICATION,
        on_side(side, ConflictKind.NOTIFICATION),
        words,
        side,
        evidence={"reason": reason},
    )


# --- Two sides that changed one thing differently -----------------------------------------------------------


def status(card: Card, side: str, theirs: CardStatus, chosen: CardStatus, ended_minor: int) -> NewConflict:
    """`ended_minor`: the money that ends with the card, where it is closed."""
    return NewConflict(
        ConflictKind.STATUS,
        f"status:{side}:{card.version}",
        f"Two sides changed the status differently ({card.status} and {theirs}); {chosen} is taken.",
        side,
        ended_minor,
        evidence={"chosen": chosen.value, "shown": _shown(card, side, card.status.value, theirs.value)},
    )


def status_not_settable(card: Card, p: Presence) -> NewConflict:
    return NewConflict(
        ConflictKind.STATUS,
        not_settable(p.side),
        f"The card is {card.status}, and {p.side} does not let giftsync set that; there it is "
        f"{p.shadow_status}.",
        p.side,
        abs(p.shadow_minor),
    )


def closed_alone(card: Card, p: Presence) -> NewConflict:
    return NewConflict(
        ConflictKind.STATUS,
        alone(p.side),
        f"{p.side} has closed the card for good; elsewhere it is {card.status} and holds "
        f"{format_money(card.balance_minor, card.currency)}.",
        p.side,
        card.balance_minor,
        stake_is_news=False,
    )


def expiry(card: Card, side: str, theirs: date | None, chosen: date | None) -> NewConflict:
    ours, seen, taken = (_date_words(day) for day in (card.expires_on, theirs, chosen))
    return NewConflict(
        ConflictKind.EXPIRY,
        f"expiry:{side}:{card.version}",
        f"Two sides changed the expiry differently ({ours} and {seen}); {taken} is taken.",
        side,
        card.balance_minor,
        evidence={"chosen": taken, "shown": _shown(card, side, ours, seen)},
    )


def _shown(card: Card, side: str, ours: str, theirs: str) -> dict[str, str]:
    """What each side said: `side` something else than the others."""
    others = {p.side: ours for p in card.presences if p.born and p.side != side}
    return {**others, side: theirs}


def _date_words(day: date | None) -> str:
    return "never" if day is None else day.isoformat()


# --- Marks of giftsync's where they do not belong, and cards that are two -----------------------------------


def duplicate(side: str, marker: str, total_minor: int, times: int) -> NewConflict:
    return NewConflict(
        ConflictKind.DUPLICATE,
        f"duplicate:{marker}:{times}",
        f"A request to {side} took effect {times} time(s) more than it was meant to.",
        side=side,
        amount_minor=abs(total_minor),
        evidence={"marker": marker, "times": times},
    )


def copied(side: str, marker: str) -> NewConflict:
    return NewConflict(
        ConflictKind.DUPLICATE,
        f"copied:{side}:{marker}",
        f"A note on {side} carries giftsync's mark of another card; what it stands for is taken as "
        "somebody's own.",
        side,
        evidence={"marker": marker},
    )


def new_card_with_mark(side: str, arrival_id: int, seen: Seen, last_chars: str, marker: str) -> NewConflict:
    words = f"The note of {mask(last_chars)} on {side} carries giftsync's mark of another card."
    return _new_card("copied_note", ConflictKind.DUPLICATE, side, arrival_id, words, seen, last_chars, marker)


def other_ledger(side: str, arrival_id: int, seen: Seen, last_chars: str, marker: str) -> NewConflict:
    words = f"{mask(last_chars)} on {side} was made by a giftsync with another ledger."
    return _new_card(
        "other_ledger", ConflictKind.DUPLICATE, side, arrival_id, words, seen, last_chars, marker
    )


def two_cards(
    side: str, arrival_id: int, seen: Seen, last_chars: str, there: str, card_id: int
) -> NewConflict:
    """The card that has arrived on `side` is `card_id` of the hub, by what `there` shows."""
    words = f"The card {mask(last_chars)} of {side} is on {there} the card of another."
    made = _new_card("two_cards", ConflictKind.DUPLICATE, side, arrival_id, words, seen, last_chars)
    return replace(made, evidence={**made.evidence, "there": there, "card": card_id})


def may_be_store_card(side: str, arrival_id: int, seen: Seen, doubt: str) -> NewConflict:
    """`doubt` says why it may be one, as `first_contact.may_be_store_card` does."""
    words = (
        f"The card {mask(seen.last_chars)} on {side} may be a store card that was entered there by hand: "
        f"{doubt}. It gets no second number until somebody says which it is."
    )
    return _new_card("store_card", ConflictKind.DUPLICATE, side, arrival_id, words, seen, seen.last_chars)


def new_card_currency(side: str, arrival_id: int, seen: Seen, last_chars: str, ours: str) -> NewConflict:
    words = (
        f"A card {mask(last_chars)} on {side} is in {seen.currency}, the link in {ours}; "
        "it is not kept in step."
    )
    return _new_card("currency", ConflictKind.CURRENCY, side, arrival_id, words, seen, last_chars)


def new_card_unreadable(side: str, arrival_id: int, last_chars: str, reason: str) -> NewConflict:
    words = (
        f"A card {mask(last_chars)} on {side} is not kept in step, because an answer for it cannot be "
        f"believed: {reason}."
    )
    return NewConflict(
        ConflictKind.UNREADABLE,
        f"unreadable:{side}:{arrival_id}",
        words,
        side,
        evidence={"reason": reason, "ends_in": last_chars},
    )


def _new_card(
    begins: str,
    kind: ConflictKind,
    side: str,
    arrival_id: int,
    words: str,
    seen: Seen,
    last_chars: str,
    marker: str | None = None,
) -> NewConflict:
    evidence: dict[str, object] = {
        "ends_in": last_chars,
        "native_id": seen.native_id,
        "currency": seen.currency,
    }
    if marker is not None:
        evidence["marker"] = marker
    return NewConflict(
        kind, f"{begins}:{side}:{arrival_id}", words, side, seen.balance_minor, evidence=evidence
    )


def assigned_twice(card_id: int, last_chars: str, amount_minor: int, currency: str) -> NewConflict:
    return NewConflict(
        ConflictKind.DUPLICATE,
        f"assigned:{card_id}",
        f"The card {mask(last_chars)} was sold to somebody else while it was being assigned; "
        f"{format_money(amount_minor, currency)} of card {card_id} wait for another one.",
        amount_minor=amount_minor,
        evidence={"ends_in": last_chars, "card": card_id, "currency": currency},
    )


# --- The whole link -----------------------------------------------------------------------------------------


def pool_empty(side: str) -> NewConflict:
    return NewConflict(
        ConflictKind.POOL_EMPTY,
        no_numbers(side),
        f"A card was bought online, and the pool of numbers for {side} is empty.",
        side,
    )


def stopped(
    what: str, words: str, amount_minor: int, currency: str, evidence: Mapping[str, object]
) -> NewConflict:
    """More would move than a bound allows; `what` names the bound."""
    return NewConflict(
        ConflictKind.BRAKE,
        f"brake:{what}",
        f"{words}. The link has stopped.",
        amount_minor=amount_minor,
        evidence={**evidence, "currency": currency},
    )


def side_is_empty(side: str, looked_at: int, absent: int) -> NewConflict:
    return NewConflict(
        ConflictKind.BRAKE,
        side_lacks_cards(side),
        f"{side} lacks {absent} of {looked_at} cards that it had. The link has stopped.",
        side,
    )


def access_revoked(side: str, error: str, remedy: str) -> NewConflict:
    """A side has ended giftsync's access, which only a person can give again."""
    return NewConflict(
        ConflictKind.BRAKE,
        f"brake:shut_out:{side}",
        f"{side} has shut giftsync out: {error}. The link has stopped.",
        side,
        proposal=remedy,
    )
