"""Why a person is asked: every conflict that giftsync opens is made here, with its cause and its words.

A cause names what is wrong; one conflict is open for it, however often it is seen. What a person can do about
it stands in `sync.explain`, an entry for each `Situation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from enum import StrEnum

from connectors.api.card import Seen
from connectors.api.errors import Refusal
from mappings.lifecycle import CardStatus
from mappings.sentences import Money, Sentence, in_a_row, marked, say
from mappings.serials import mask
from sync.decisions.words import refusal_words
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
TAMPERED = "tampered"
HISTORY_CHANGED = "history_changed"

_REFUSED_OTHERWISE = marked(
    "{side} refused a change ({refusal}), and looking at the card does not explain why."
)
_REFUSED_WORDS = {
    ConflictKind.OVER_LIMIT: marked("{side} allows less money on one card than is to be on this one."),
    ConflictKind.SERIAL: marked(
        "{side} cannot hold the card's number, or has given it to another card ({refusal})."
    ),
}


class Situation(StrEnum):
    """What is wrong, as far as it decides what a person can do. Most kinds of conflict have one."""

    FIRST_CONTACT = "first_contact"
    #: A side carried out a request of giftsync's with another amount, or has lost it since.
    DONE_OTHERWISE = "done_otherwise"
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
    #: A side shows a card with other last characters under the card's id.
    OTHER_CARD = "other_card"
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
    #: The ledger's row of what is taken for a physical card is not as giftsync wrote it.
    ASSIGNMENT_CHANGED = "assignment_changed"
    IN_DOUBT = "in_doubt"
    REFUSED = "refused"
    NOT_WRITABLE = "not_writable"
    NOTIFICATION = "notification"
    POOL_EMPTY = "pool_empty"
    LEDGER_BEHIND = "ledger_behind"
    SECOND_LEDGER = "second_ledger"
    #: The ledger's rows of the card are not as giftsync wrote them.
    TAMPERED = "tampered"
    #: Older rows of the card are not as giftsync wrote them.
    HISTORY_CHANGED = "history_changed"
    #: A side's own list of what happened to the card is another than it was, and comes to the same.
    BOOK_REWRITTEN = "book_rewritten"
    #: The card's own row is gone from the ledger, and other rows of it are left.
    CARD_GONE = "card_gone"
    BRAKE = "brake"


#: How a cause begins, where the kind alone does not tell the situation.
_OF_CAUSE = {
    (ConflictKind.FIRST_CONTACT, "done_otherwise"): Situation.DONE_OTHERWISE,
    (ConflictKind.STATUS, "status_not_writable"): Situation.STATUS_NOT_SETTABLE,
    (ConflictKind.STATUS, "closed_alone"): Situation.CLOSED_ALONE,
    (ConflictKind.SERIAL, "other_card"): Situation.OTHER_CARD,
    (ConflictKind.DUPLICATE, "copied"): Situation.MARK_COPIED,
    (ConflictKind.DUPLICATE, "copied_note"): Situation.NEW_CARD_WITH_MARK,
    (ConflictKind.DUPLICATE, "other_ledger"): Situation.OTHER_LEDGER,
    (ConflictKind.DUPLICATE, "two_cards"): Situation.TWO_CARDS,
    (ConflictKind.DUPLICATE, "store_card"): Situation.MAY_BE_STORE_CARD,
    (ConflictKind.DUPLICATE, "assigned"): Situation.ASSIGNED_TWICE,
    (ConflictKind.DUPLICATE, "duplicate"): Situation.LANDED_TWICE,
    (ConflictKind.HISTORY_CHANGED, "book_rewritten"): Situation.BOOK_REWRITTEN,
    (ConflictKind.HISTORY_CHANGED, "card_gone"): Situation.CARD_GONE,
    (ConflictKind.HISTORY_CHANGED, "assignment_changed"): Situation.ASSIGNMENT_CHANGED,
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


def card_gone(card_id: int) -> str:
    """The cause of a conflict about a card that the ledger has lost."""
    return f"card_gone:{card_id}"


def assignment_changed(card_id: int) -> str:
    """The cause of a conflict about what is taken from a card for a physical one."""
    return f"assignment_changed:{card_id}"


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


def other_card_on(side: str) -> str:
    """The cause of a card whose id a side shows another number under."""
    return f"other_card:{side}"


def is_done_otherwise(cause: str) -> bool:
    """Whether it is the cause of a card whose side has something of giftsync's otherwise than was asked."""
    return cause.startswith(f"{Situation.DONE_OTHERWISE}:")


def of_hold(side: str, hold: Hold) -> str | None:
    """The cause that the hold was raised with, where an observation ends it."""
    if hold is Hold.OTHER_CARD:
        return other_card_on(side)
    return on_side(side, OF_HOLD[hold]) if hold in OF_HOLD else None


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
    words = say("{side} no longer has a card that it had; nothing is written there.", side=p.side)
    return held(p, ConflictKind.MISSING, words, worth_minor)


def unreadable(p: Presence, reason: str, worth_minor: int) -> NewConflict:
    words = say(
        "{side} answers for the card what cannot be believed: {reason}; nothing is written there.",
        side=p.side,
        reason=reason,
    )
    return replace(held(p, ConflictKind.UNREADABLE, words, worth_minor), evidence={"reason": reason})


def status_unknown(p: Presence, status_text: str, worth_minor: int) -> NewConflict:
    words = say(
        "{side} shows the status {status_text}, which giftsync does not know; nothing moves.",
        side=p.side,
        status_text=repr(status_text),
    )
    made = held(p, ConflictKind.STATUS, words, worth_minor)
    return replace(made, evidence={"shown": status_text})


def currency(card: Card, p: Presence, seen: Seen) -> NewConflict:
    words = say(
        "{side} holds the card in {currency}, the hub in {currency2}; nothing is converted.",
        side=p.side,
        currency=seen.currency,
        currency2=card.currency,
    )
    return held(p, ConflictKind.CURRENCY, words, p.shadow_minor)


def number_of_another(p: Presence, worth_minor: int) -> NewConflict:
    words = say("The number allotted to the card on {side} belongs to another card there.", side=p.side)
    return held(p, ConflictKind.SERIAL, words, worth_minor)


def other_card(p: Presence, seen: Seen, worth_minor: int) -> NewConflict:
    words = say(
        "Under the id of {card} {side} shows a card that ends in {card2}; nothing moves.",
        card=mask(p.last_chars),
        side=p.side,
        card2=mask(seen.last_chars),
    )
    made = held(p, ConflictKind.SERIAL, words, worth_minor)
    return replace(made, cause=other_card_on(p.side), evidence={"shown": seen.last_chars})


def unfit_number(side: str, reason: str, worth_minor: int) -> NewConflict:
    """`reason` goes on after "The card's serial", as `Capabilities.accepts_serial` says it."""
    return NewConflict(
        ConflictKind.SERIAL,
        on_side(side, ConflictKind.SERIAL),
        say("The card's serial {reason} on {side}, so it cannot be created there.", reason=reason, side=side),
        side,
        worth_minor,
    )


def first_contact(card: Card, shadows: Mapping[str, int]) -> NewConflict:
    shows = in_a_row(
        (
            say("{side} shows {amount}", side=side, amount=Money(v, card.currency))
            for side, v in shadows.items()
        ),
        ", ",
    )
    return NewConflict(
        ConflictKind.FIRST_CONTACT,
        FIRST_CONTACT,
        say("One number, two balances: {shows}.", shows=shows),
        amount_minor=max(shadows.values()) - min(shadows.values()),
        evidence={"shown_minor": dict(shadows)},
    )


def done_otherwise(
    card: Card, side: str, asked_minor: int, done_minor: int, markers: Sequence[str]
) -> NewConflict:
    """`asked_minor` and `done_minor` are the signed changes that were asked for, and that the side has."""
    amounts = {"asked": Money(asked_minor, card.currency), "done": Money(done_minor, card.currency)}
    if done_minor:
        words = say(
            "giftsync asked {side} for {asked} on the card, and {side} did {done}; nothing moves.",
            side=side,
            **amounts,
        )
    else:
        words = say(
            "{side} no longer has the {asked} that giftsync put on the card or took off it there; nothing "
            "moves.",
            side=side,
            asked=amounts["asked"],
        )
    return NewConflict(
        ConflictKind.FIRST_CONTACT,
        f"{Situation.DONE_OTHERWISE}:{side}",
        words,
        side,
        abs(done_minor - asked_minor),
        evidence={"asked_minor": asked_minor, "done_minor": done_minor, "markers": list(markers)},
    )


def overdraft(card: Card, shortfall_minor: int, moved: Mapping[str, int]) -> NewConflict:
    return NewConflict(
        ConflictKind.OVERDRAFT,
        f"overdraft:{card.version}",
        say(
            "The card was spent on several sides within the sync lag: {amount} more than it held.",
            amount=Money(shortfall_minor, card.currency),
        ),
        amount_minor=shortfall_minor,
        evidence={"shortfall_minor": shortfall_minor, "moved_minor": dict(moved)},
    )


def not_writable(card: Card, p: Presence, owed_minor: int, *, allowed: bool) -> NewConflict:
    """`allowed`: the link writes there, but the card takes nothing."""
    why = say("it is expired or suspended there") if allowed else say("the link does not write there")
    return NewConflict(
        ConflictKind.NOT_WRITABLE,
        on_side(p.side, ConflictKind.NOT_WRITABLE),
        say(
            "{side} shows {amount} too {which}, and {why}.",
            side=p.side,
            amount=Money(abs(owed_minor), card.currency),
            which=say("little") if owed_minor > 0 else say("much"),
            why=why,
        ),
        p.side,
        abs(owed_minor),
        evidence={"allowed": allowed},
    )


def over_limit(card: Card, p: Presence, limit_minor: int) -> NewConflict:
    worth, limit = (Money(minor, card.currency) for minor in (card.balance_minor, limit_minor))
    return NewConflict(
        ConflictKind.OVER_LIMIT,
        on_side(p.side, ConflictKind.OVER_LIMIT),
        say(
            "{side} allows {limit} on one card, and this one is worth {worth}; nothing is written there.",
            side=p.side,
            limit=limit,
            worth=worth,
        ),
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
        Sentence(
            _REFUSED_WORDS.get(kind, _REFUSED_OTHERWISE), {"side": p.side, "refusal": refusal_words(refusal)}
        ),
        p.side,
        abs(owed),
        evidence={"refusal": refusal.value, "owed_minor": owed},
    )


def in_doubt(intent: Intent, reason: str) -> NewConflict:
    side = intent.side
    return NewConflict(
        ConflictKind.IN_DOUBT,
        on_side(side, ConflictKind.IN_DOUBT),
        say(
            "A request to {side} may have taken effect, and {side} cannot tell: {reason}.",
            side=side,
            reason=reason,
        ),
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
        say(
            "Two sides changed the status differently ({status} and {theirs}); {chosen} is taken.",
            status=card.status,
            theirs=theirs,
            chosen=chosen,
        ),
        side,
        ended_minor,
        evidence={"chosen": chosen.value, "shown": _shown(card, side, card.status.value, theirs.value)},
    )


def status_not_settable(card: Card, p: Presence) -> NewConflict:
    return NewConflict(
        ConflictKind.STATUS,
        not_settable(p.side),
        say(
            "The card is {status}, and {side} does not let giftsync set that; there it is {shadow_status}.",
            status=card.status,
            side=p.side,
            shadow_status=p.shadow_status,
        ),
        p.side,
        abs(p.shadow_minor),
    )


def closed_alone(card: Card, p: Presence) -> NewConflict:
    return NewConflict(
        ConflictKind.STATUS,
        alone(p.side),
        say(
            "{side} has closed the card for good; elsewhere it is {status} and holds {amount}.",
            side=p.side,
            status=card.status,
            amount=Money(card.balance_minor, card.currency),
        ),
        p.side,
        card.balance_minor,
        stake_is_news=False,
    )


def expiry(card: Card, side: str, theirs: date | None, chosen: date | None) -> NewConflict:
    ours, seen, taken = (_date_words(day) for day in (card.expires_on, theirs, chosen))
    days = {"ours": card.expires_on, "seen": theirs, "taken": chosen}
    return NewConflict(
        ConflictKind.EXPIRY,
        f"expiry:{side}:{card.version}",
        say(
            "Two sides changed the expiry differently ({ours} and {seen}); {taken} is taken.",
            **days,
        ),
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
        say(
            "A request to {side} took effect {times} time(s) more than it was meant to.",
            side=side,
            times=times,
        ),
        side=side,
        amount_minor=abs(total_minor),
        evidence={"marker": marker, "times": times},
    )


def copied(side: str, marker: str) -> NewConflict:
    return NewConflict(
        ConflictKind.DUPLICATE,
        f"copied:{side}:{marker}",
        say(
            "A note on {side} carries giftsync's mark of another card; what it stands for "
            "is taken as somebody's own.",
            side=side,
        ),
        side,
        evidence={"marker": marker},
    )


def new_card_with_mark(side: str, arrival_id: int, seen: Seen, last_chars: str, marker: str) -> NewConflict:
    words = say(
        "The note of {card} on {side} carries giftsync's mark of another card.",
        card=mask(last_chars),
        side=side,
    )
    return _new_card("copied_note", ConflictKind.DUPLICATE, side, arrival_id, words, seen, last_chars, marker)


def other_ledger(side: str, arrival_id: int, seen: Seen, last_chars: str, marker: str) -> NewConflict:
    words = say(
        "{card} on {side} was made by a giftsync with another ledger.", card=mask(last_chars), side=side
    )
    return _new_card(
        "other_ledger", ConflictKind.DUPLICATE, side, arrival_id, words, seen, last_chars, marker
    )


def two_cards(
    side: str, arrival_id: int, seen: Seen, last_chars: str, there: str, card_id: int
) -> NewConflict:
    """The card that has arrived on `side` is `card_id` of the hub, by what `there` shows."""
    words = say(
        "The card {card} of {side} is on {side2} the card of another.",
        card=mask(last_chars),
        side=side,
        side2=there,
    )
    made = _new_card("two_cards", ConflictKind.DUPLICATE, side, arrival_id, words, seen, last_chars)
    return replace(made, evidence={**made.evidence, "there": there, "card": card_id})


def may_be_store_card(side: str, arrival_id: int, seen: Seen, doubt: str) -> NewConflict:
    """`doubt` says why it may be one, as `first_contact.may_be_store_card` does."""
    words = say(
        "The card {card} on {side} may be a store card that was entered there by hand: "
        "{doubt}. It gets no second number until somebody says which it is.",
        card=mask(seen.last_chars),
        side=side,
        doubt=doubt,
    )
    return _new_card("store_card", ConflictKind.DUPLICATE, side, arrival_id, words, seen, seen.last_chars)


def new_card_currency(side: str, arrival_id: int, seen: Seen, last_chars: str, ours: str) -> NewConflict:
    words = say(
        "A card {card} on {side} is in {currency}, the link in {ours}; it is not kept in step.",
        card=mask(last_chars),
        side=side,
        currency=seen.currency,
        ours=ours,
    )
    return _new_card("currency", ConflictKind.CURRENCY, side, arrival_id, words, seen, last_chars)


def new_card_unreadable(side: str, arrival_id: int, last_chars: str, reason: str) -> NewConflict:
    words = say(
        "A card {card} on {side} is not kept in step, because an answer for it cannot be believed: {reason}.",
        card=mask(last_chars),
        side=side,
        reason=reason,
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
        say(
            "The card {card} was sold to somebody else while it was being assigned; "
            "{amount} of card {card_id} wait for another one.",
            card=mask(last_chars),
            amount=Money(amount_minor, currency),
            card_id=card_id,
        ),
        amount_minor=amount_minor,
        evidence={"ends_in": last_chars, "card": card_id, "currency": currency},
    )


def changed_assignment(card_id: int, last_chars: str, amount_minor: int, currency: str) -> NewConflict:
    """`last_chars` are the online card's; `amount_minor` is what the changed row says."""
    return NewConflict(
        ConflictKind.HISTORY_CHANGED,
        assignment_changed(card_id),
        say(
            "What the ledger keeps of the physical card that the value of {card} (card {card_id}) goes to is "
            "not as giftsync wrote it. Nothing is given.",
            card=mask(last_chars),
            card_id=card_id,
        ),
        amount_minor=max(amount_minor, 0),
        evidence={"ends_in": last_chars, "card": card_id, "currency": currency},
    )


# --- The ledger's own rows ----------------------------------------------------------------------------------


def tampered(
    found: Sequence[str], amount_minor: int, last_chars: str, worth_minor: int | None, why_not: str
) -> NewConflict:
    """`found` says what differs, a sentence each; `worth_minor` is what the card's history comes to.

    `why_not` says why the card cannot be built from its history; empty where it can.
    """
    card = mask(last_chars) if last_chars else say("this card")
    return NewConflict(
        ConflictKind.TAMPERED,
        TAMPERED,
        say(
            "The ledger's rows of {card} are not as giftsync wrote them. {found}",
            card=card,
            found=_first_of(found),
        ),
        amount_minor=amount_minor,
        evidence={
            "found": list(found),
            "ends_in": last_chars,
            "history_minor": worth_minor,
            "not_rebuilt": why_not,
        },
    )


def history_changed(found: Sequence[str], last_chars: str) -> NewConflict:
    """`found` says what differs, a sentence each. No money is at stake: what the card is worth is proved."""
    card = mask(last_chars) if last_chars else say("this card")
    return NewConflict(
        ConflictKind.HISTORY_CHANGED,
        HISTORY_CHANGED,
        say(
            "Older rows of {card} in the ledger are not as giftsync wrote them. {found}",
            card=card,
            found=_first_of(found),
        ),
        evidence={"found": list(found), "ends_in": last_chars},
    )


def book_rewritten(card: Card, p: Presence) -> NewConflict:
    """No money is at stake: the balance is what it was. What is on the card is what people may ask about."""
    return NewConflict(
        ConflictKind.HISTORY_CHANGED,
        f"{Situation.BOOK_REWRITTEN}:{p.side}",
        say(
            "{side} lists other entries for the card than before; its balance of {amount} is the same.",
            side=p.side,
            amount=Money(p.shadow_minor, card.currency),
        ),
        p.side,
        evidence={"read_to": p.book_cursor},
    )


def lost_card(card_id: int, last_chars: str, worth_minor: int, found: Sequence[str]) -> NewConflict:
    """`worth_minor` is the balance after the last movement that is left."""
    card = mask(last_chars) if last_chars else say("A card")
    return NewConflict(
        ConflictKind.HISTORY_CHANGED,
        card_gone(card_id),
        say(
            "{card} (card {card_id}) is gone from the ledger; only other rows of it are left.",
            card=card,
            card_id=card_id,
        ),
        amount_minor=max(worth_minor, 0),
        evidence={"found": list(found), "ends_in": last_chars, "card": card_id},
    )


def _first_of(found: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    return say("{first} ({count} more)", first=found[0], count=len(found) - 1)


# --- The whole link -----------------------------------------------------------------------------------------


def pool_empty(side: str) -> NewConflict:
    return NewConflict(
        ConflictKind.POOL_EMPTY,
        no_numbers(side),
        say("A card was bought online, and the pool of numbers for {side} is empty.", side=side),
        side,
    )


def stopped(
    what: str, words: str, amount_minor: int, currency: str, evidence: Mapping[str, object]
) -> NewConflict:
    """More would move than a bound allows; `what` names the bound."""
    return NewConflict(
        ConflictKind.BRAKE,
        f"brake:{what}",
        say("{words}. The link has stopped.", words=words),
        amount_minor=amount_minor,
        evidence={**evidence, "currency": currency},
    )


#: The cause of the stop that a person asks for.
PAUSED = "brake:paused"


def paused(by: str, why: str) -> NewConflict:
    """A person wants nothing written for now."""
    words = say("{by} has paused the link: {why}.", by=by, why=why)
    return NewConflict(ConflictKind.BRAKE, PAUSED, words, evidence={"by": by, "why": why})


def side_is_empty(side: str, looked_at: int, absent: int) -> NewConflict:
    return NewConflict(
        ConflictKind.BRAKE,
        side_lacks_cards(side),
        say(
            "{side} lacks {absent} of {looked_at} cards that it had. The link has stopped.",
            side=side,
            absent=absent,
            looked_at=looked_at,
        ),
        side,
    )


def access_revoked(side: str, error: str, remedy: str) -> NewConflict:
    """A side has ended giftsync's access, which only a person can give again."""
    return NewConflict(
        ConflictKind.BRAKE,
        f"brake:shut_out:{side}",
        say("{side} has shut giftsync out: {error}. The link has stopped.", side=side, error=error),
        side,
        proposal=remedy,
    )
