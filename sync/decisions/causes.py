"""Why a person is asked: the conflicts that the protocol raises, their words and their causes.

A cause names what is wrong with a card; one conflict is open for it, however often it is seen.
"""

from __future__ import annotations

from datetime import date

from connectors.api.errors import Refusal
from connectors.api.side import Seen
from mappings.lifecycle import CardStatus
from mappings.money import format_money
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


def on_side(side: str, kind: ConflictKind) -> str:
    """The cause of what is wrong with a card on one side."""
    return f"{kind}:{side}"


def not_settable(side: str) -> str:
    """The cause of a status that a side does not let giftsync set."""
    return f"status_not_writable:{side}"


def alone(side: str) -> str:
    """The cause of a card that one side has closed for good, and that is not closed."""
    return f"closed_alone:{side}"


def held(p: Presence, kind: ConflictKind, words: str) -> NewConflict:
    return NewConflict(kind, on_side(p.side, kind), words, p.side, abs(p.shadow_minor))


def currency_words(card: Card, side: str, seen: Seen) -> str:
    return f"{side} holds the card in {seen.currency}, the hub in {card.currency}; nothing is converted."


def first_contact(card: Card, shadows: dict[str, int]) -> NewConflict:
    shows = ", ".join(f"{side} shows {format_money(v, card.currency)}" for side, v in shadows.items())
    return NewConflict(
        ConflictKind.FIRST_CONTACT,
        FIRST_CONTACT,
        f"One serial, two balances: {shows}.",
        amount_minor=max(shadows.values()) - min(shadows.values()),
        proposal="Say which balance is right; nothing moves until then.",
        evidence={"shown_minor": dict(shadows)},
    )


def overdraft(card: Card, shortfall_minor: int, moved: dict[str, int]) -> NewConflict:
    return NewConflict(
        ConflictKind.OVERDRAFT,
        f"overdraft:{card.version}",
        "The card was spent on several sides within the sync lag: "
        f"{format_money(shortfall_minor, card.currency)} more than it held.",
        amount_minor=shortfall_minor,
        proposal="It is written off, and the merchant bears it. Acknowledge it.",
        evidence={"shortfall_minor": shortfall_minor, "moved_minor": moved},
    )


def duplicate(side: str, marker: str, total_minor: int, times: int) -> NewConflict:
    return NewConflict(
        ConflictKind.DUPLICATE,
        f"duplicate:{marker}:{times}",
        f"A request to {side} took effect {times} time(s) more than it was meant to.",
        side=side,
        amount_minor=abs(total_minor),
        proposal="Nothing to do: giftsync undoes it on that side.",
        evidence={"marker": marker, "times": times},
    )


def copied(side: str, marker: str) -> NewConflict:
    return NewConflict(
        ConflictKind.DUPLICATE,
        f"copied:{side}:{marker}",
        f"A note on {side} carries giftsync's mark of another card; what it stands for is taken as "
        "somebody's own.",
        side,
        proposal="Take the mark out of the note if it was copied by hand, so that nobody is misled by it.",
        evidence={"marker": marker},
    )


def not_writable(card: Card, p: Presence, owed_minor: int, why: str) -> NewConflict:
    return NewConflict(
        ConflictKind.NOT_WRITABLE,
        on_side(p.side, ConflictKind.NOT_WRITABLE),
        f"{p.side} shows {format_money(abs(owed_minor), card.currency)} too "
        f"{'little' if owed_minor > 0 else 'much'}, and {why}.",
        p.side,
        abs(owed_minor),
        "It is written as soon as that side can be.",
    )


def over_limit(card: Card, p: Presence, limit_minor: int) -> NewConflict:
    worth, limit = (format_money(minor, card.currency) for minor in (card.balance_minor, limit_minor))
    return NewConflict(
        ConflictKind.OVER_LIMIT,
        on_side(p.side, ConflictKind.OVER_LIMIT),
        f"{p.side} allows {limit} on one card, and this one is worth {worth}; nothing is written there.",
        p.side,
        card.balance_minor - p.shadow_minor,
        f"Have the limit raised on {p.side}; it is written as soon as the card fits.",
        {"limit_minor": limit_minor},
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
        "Mend the cause on that side, then say retry.",
        {"refusal": refusal.value, "owed_minor": owed},
    )


def in_doubt(side: str, intent: Intent, reason: str) -> NewConflict:
    return NewConflict(
        ConflictKind.IN_DOUBT,
        on_side(side, ConflictKind.IN_DOUBT),
        f"A request to {side} may have taken effect, and {side} cannot tell: {reason}.",
        side,
        abs(intent.amount_minor),
        "Look at the card on that side and say whether it landed.",
        {"marker": intent.marker, "kind": intent.kind.value},
    )


def status(card: Card, side: str, theirs: CardStatus, chosen: CardStatus) -> NewConflict:
    return NewConflict(
        ConflictKind.STATUS,
        f"status:{side}:{card.version}",
        f"Two sides changed the status differently ({card.status} and {theirs}); {chosen} is taken.",
        side,
        proposal="The more restrictive status wins. Acknowledge it, or change it on a side.",
    )


def status_not_settable(card: Card, p: Presence) -> NewConflict:
    return NewConflict(
        ConflictKind.STATUS,
        not_settable(p.side),
        f"The card is {card.status}, and {p.side} does not let giftsync set that; there it is "
        f"{p.shadow_status}.",
        p.side,
        abs(p.shadow_minor),
        f"Set it on {p.side} by hand, or change the card's status back.",
    )


def closed_alone(card: Card, p: Presence) -> NewConflict:
    return NewConflict(
        ConflictKind.STATUS,
        alone(p.side),
        f"{p.side} has closed the card for good; elsewhere it is {card.status} and holds "
        f"{format_money(card.balance_minor, card.currency)}.",
        p.side,
        proposal=f"Say accept --side {p.side} to close it everywhere, or ignore: it goes on elsewhere.",
    )


def expiry(card: Card, side: str, theirs: date | None, chosen: date | None) -> NewConflict:
    return NewConflict(
        ConflictKind.EXPIRY,
        f"expiry:{side}:{card.version}",
        f"Two sides changed the expiry differently ({card.expires_on} and {theirs}); {chosen} is taken.",
        side,
        proposal="The earlier date wins. Acknowledge it, or change it on a side.",
    )
