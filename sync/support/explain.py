"""What a conflict means, for support staff: why it is there, what was done already, what can be said."""

from __future__ import annotations

from dataclasses import dataclass

from sync.model import ConflictKind
from sync.support.settle import Action


@dataclass(frozen=True)
class Meaning:
    """Two sentences about a kind of conflict."""

    why: str
    done: str


_MEANINGS = {
    ConflictKind.OVERDRAFT: Meaning(
        "The card was spent on both sides before either could know of the other.",
        "The card was brought to zero on both sides, and the shortfall was written off.",
    ),
    ConflictKind.FIRST_CONTACT: Meaning(
        "The card was on both sides before giftsync was, with two different balances.",
        "Nothing: the card is left alone on both sides until somebody says what it is worth.",
    ),
    ConflictKind.STATUS: Meaning(
        "The two sides say different things about whether the card may be used, or one says what giftsync "
        "does "
        "not know.",
        "The more restrictive status was taken, unless the settings ask first; with an unknown status "
        "nothing is written.",
    ),
    ConflictKind.EXPIRY: Meaning(
        "The expiry was changed on both sides, to two different dates.",
        "The earlier date was taken on both sides.",
    ),
    ConflictKind.SERIAL: Meaning(
        "One side cannot hold the card's number, or has given it to another card.",
        "Nothing was written on that side; the card works on the other one.",
    ),
    ConflictKind.CURRENCY: Meaning(
        "The card is in another currency on one side.",
        "Nothing: amounts are never converted.",
    ),
    ConflictKind.OVER_LIMIT: Meaning(
        "The shop's largest balance for a gift card is lower than what is to go on this card.",
        "The change was taken back; the other side stays as it is.",
    ),
    ConflictKind.MISSING: Meaning(
        "A side says that it has no such card, and it had one.",
        "Nothing is written there; the card works on the other side.",
    ),
    ConflictKind.DUPLICATE: Meaning(
        "One card is two on the other side, or one request took effect twice.",
        "A request that took effect twice is undone; two cards are left alone.",
    ),
    ConflictKind.IN_DOUBT: Meaning(
        "The answer to a request was lost, and the side cannot say whether it took effect.",
        "The request is not sent again, and nothing else is written to that side for this card.",
    ),
    ConflictKind.REFUSED: Meaning(
        "A side said no to a change, and the card as it shows does not explain why.",
        "The change was taken back, and nothing else is tried.",
    ),
    ConflictKind.NOT_WRITABLE: Meaning(
        "Money moved on one side, and the other side's card takes none: it has expired, is suspended, or is "
        "not "
        "to be written.",
        "Nothing yet: it is written as soon as that side's card can be.",
    ),
    ConflictKind.NOTIFICATION: Meaning(
        "The buyer of a new card was to be told of it, and was not, or nobody knows whether they were.",
        "Nothing is sent again by itself: a second message is worse than none. The card works on both sides.",
    ),
    ConflictKind.POOL_EMPTY: Meaning(
        "Cards are being bought online, and no store numbers are left for them.",
        "The cards wait; they can be spent online.",
    ),
    ConflictKind.LEDGER_BEHIND: Meaning(
        "The ledger was put back to an earlier state. What giftsync did since was read back from the sides; "
        "for some cards customers alone do not explain it, so a person's decision may have been lost.",
        "Nothing is written to these cards. All others are in step.",
    ),
    ConflictKind.SECOND_LEDGER: Meaning(
        "A side shows changes that giftsync made, and this ledger did not make them: a second giftsync is at "
        "work, or this ledger was put back while it ran.",
        "The link has stopped: two that mirror each other would move money for ever.",
    ),
    ConflictKind.BRAKE: Meaning(
        "More was about to change than the settings allow.",
        "The link has stopped: nothing is written until it is resumed.",
    ),
}

_ACTIONS = {
    Action.ACKNOWLEDGE: "you have seen it",
    Action.IGNORE: "do not tell of it again while it stays as it is",
    Action.ACCEPT: "what this side shows is right (--side)",
    Action.VALUE: "the card is worth this (--amount)",
    Action.WRITE_OFF: "the merchant bears what is at stake",
    Action.LANDED: "you looked: it took effect",
    Action.NOT_LANDED: "you looked: it did not take effect; it is sent again",
    Action.LINK: "this is the card on that side (--card or --id); with a number that nobody has, it is made",
    Action.RETRY: "the cause is mended: look again and go on",
}


#: Where an action says something else than elsewhere.
_OF_KIND = {
    (ConflictKind.NOTIFICATION, Action.RETRY): "send the message; if it did go out, they get it twice",
    (ConflictKind.STATUS, Action.ACCEPT): "the status that this side shows is right (--side)",
}


def meaning_of(kind: ConflictKind) -> Meaning:
    """Why such a conflict is there, and what giftsync did already."""
    return _MEANINGS[kind]


def words_for(kind: ConflictKind, action: Action) -> str:
    """What a person says with it about such a conflict."""
    return _OF_KIND.get((kind, action), _ACTIONS[action])
