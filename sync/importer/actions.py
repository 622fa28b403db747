"""What will happen to a card and why: decided from what both sides show, before anything is changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from connectors.api.capabilities import Capabilities
from connectors.api.card import Seen
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from mappings.ranges import NumberRange
from mappings.serials import Serial, SerialError, lengthened
from sync.decisions.first_contact import may_be_store_card
from sync.model import FirstContact, LinkRules


class Action(StrEnum):
    """The planned fate of a card. The values stand in the plan file."""

    #: On both sides already: the hub takes it as it is.
    ADOPT = "adopt"
    CREATE_ONLINE = "create_online"
    CREATE_POS = "create_in_store"
    #: Two balances under one number: a person decides.
    CONFLICT = "conflict"
    #: The hub will know it; there is nothing to create now.
    WATCH = "watch"
    #: The hub has it already.
    KNOWN = "known"
    #: Nothing to keep in step.
    SKIP = "skip"
    REJECT = "reject"

    @property
    def does_something(self) -> bool:
        return self in _DOING


# Python looks a member of an enum up by code of its own, and a file has millions of cards.
_ACTIVE, _INACTIVE, _CLOSED = CardStatus.ACTIVE, CardStatus.INACTIVE, CardStatus.CLOSED
_CREATE_ONLINE = Action.CREATE_ONLINE

_DOING = frozenset({Action.ADOPT, Action.CREATE_ONLINE, Action.CREATE_POS, Action.CONFLICT, Action.WATCH})


def is_left_out(action: str, money_minor: int) -> bool:
    """Whether people are told why nothing is made: also of a card that is only watched, if money is on it."""
    if action == Action.WATCH:
        return money_minor > 0
    return action in (Action.REJECT, Action.CONFLICT, Action.SKIP)


class Verdict(NamedTuple):
    """What will happen, in words for people, and how much will be put on a new card."""

    action: Action
    reason: str = ""
    amount_minor: int = 0


class PosCard(Struct, gc=False):
    """A card of the point of sale, from a file or as the side shows it."""

    serial: Serial
    balance_minor: int
    status: CardStatus
    expires_on: date | None
    brand: str = ""


@dataclass(frozen=True)
class ImportContext:
    """What decides beside the card itself."""

    pos: str
    online: str
    rules: LinkRules
    online_can: Capabilities
    currency: str
    today: date
    #: The most that the online shop puts on one card; None: not known.
    online_limit_minor: int | None = None
    #: The link's bound for one card (brakes); None: no bound.
    card_limit_minor: int | None = None
    #: The store numbers that giftsync makes for cards bought online; None: it makes none.
    made: NumberRange | None = None

    def online_serial(self, serial: Serial) -> tuple[Serial, str | None]:
        """The card's serial online, and why it cannot have one, if so."""
        reason = self.online_can.accepts_serial(serial)
        if reason is None or not self.rules.sides[self.online].lengthens:
            return serial, reason
        try:
            longer = lengthened(serial)
        except SerialError as error:
            return serial, str(error)
        return longer, self.online_can.accepts_serial(longer)


SAME_ON_BOTH = "the same on both sides"
_EXCLUDED = "its brand is excluded"


def for_pos_card(card: PosCard, context: ImportContext) -> Verdict:
    """A card of the point of sale that the online shop does not have."""
    if context.rules.brands.excludes(context.pos, card.brand):
        return Verdict(Action.SKIP, _EXCLUDED)
    _, reason = context.online_serial(card.serial)
    if reason is not None:
        return Verdict(Action.REJECT, f"the number {reason}")
    if context.made is not None and card.serial in context.made:
        # The hub does not know it, and may not be the ledger that made it: online it would be there twice.
        return Verdict(
            Action.REJECT,
            f"the number begins with {context.made.prefix}, as those that giftsync makes for cards bought "
            "online: bring its ledger back, or choose another serial_prefix",
        )
    if card.status is _CLOSED:
        return Verdict(Action.SKIP, "closed")
    if card.status is _INACTIVE and card.balance_minor == 0:
        return Verdict(Action.SKIP, "not sold yet")
    idle = _idle(card.balance_minor, card.status, card.expires_on, context.today)
    if idle is not None:
        return Verdict(Action.WATCH, idle)
    over = _over_limits(card.balance_minor, context)
    if over is not None:
        return Verdict(Action.REJECT, over)
    if not context.rules.sides[context.online].creates:
        return Verdict(Action.WATCH, "the link makes no cards online")
    return Verdict(_CREATE_ONLINE, "", card.balance_minor)


def for_pair(card: PosCard, online: Seen, context: ImportContext) -> Verdict:
    """A card that both sides have under one number."""
    if context.rules.brands.excludes(context.pos, card.brand):
        return Verdict(Action.SKIP, _EXCLUDED)
    if online.currency != context.currency:
        return Verdict(Action.REJECT, f"it is in {online.currency} online; nothing is converted")
    worth = 0 if card.status is CardStatus.CLOSED else card.balance_minor
    worth_online = 0 if online.status is CardStatus.CLOSED else online.balance_minor
    if worth == worth_online:
        return Verdict(Action.ADOPT, SAME_ON_BOTH)
    rules = context.rules
    if rules.first_contact_side is not None:
        return Verdict(Action.ADOPT, f"two balances; the link believes {rules.first_contact_side}")
    if rules.first_contact is not FirstContact.ASK:
        return Verdict(Action.ADOPT, f"two balances; the link takes the {rules.first_contact.value} one")
    return Verdict(Action.CONFLICT, "two balances; a person says which is right")


def for_online_card(seen: Seen, bought_online: bool, context: ImportContext) -> Verdict:
    """A card of the online shop whose number is in none of the point of sale's files."""
    if seen.currency != context.currency:
        return Verdict(Action.REJECT, f"it is in {seen.currency}; nothing is converted")
    if seen.status is CardStatus.CLOSED:
        return Verdict(Action.SKIP, "deactivated")
    idle = _idle(seen.balance_minor, seen.status, seen.expires_on, context.today)
    if idle is not None:
        return Verdict(Action.SKIP, idle)
    if seen.created_by is not None:
        return Verdict(
            Action.REJECT, "giftsync made it for a store card whose number is in none of the files"
        )
    doubt = may_be_store_card(seen, bought_online)
    if doubt is not None:
        return Verdict(Action.REJECT, f"{doubt}: it may be a store card that is missing in the files")
    if context.card_limit_minor is not None and seen.balance_minor > context.card_limit_minor:
        return Verdict(Action.REJECT, _over_bound(context.card_limit_minor, context.currency))
    if not context.rules.sides[context.pos].creates:
        return Verdict(Action.SKIP, "the link makes no cards in the store")
    return Verdict(Action.CREATE_POS, "", seen.balance_minor)


def _idle(balance_minor: int, status: CardStatus | None, expires_on: date | None, today: date) -> str | None:
    """Why there is nothing to create for the card now."""
    if expires_on is not None and expires_on < today:
        return f"expired on {expires_on}"
    if status is not _ACTIVE:
        return "not active" if status is None else status.value
    return "nothing on it" if balance_minor == 0 else None


def _over_limits(balance_minor: int, context: ImportContext) -> str | None:
    if context.card_limit_minor is not None and balance_minor > context.card_limit_minor:
        return _over_bound(context.card_limit_minor, context.currency)
    if context.online_limit_minor is not None and balance_minor > context.online_limit_minor:
        limit = format_money(context.online_limit_minor, context.currency)
        return f"more than one card may hold online ({limit})"
    return None


def _over_bound(limit_minor: int, currency: str) -> str:
    return f"more than the link's bound for one card, money_per_card ({format_money(limit_minor, currency)})"
