"""What a person decided, pure: the same protocol, with their word in place of what a side showed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from connectors.base import Seen
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import causes, decide, evidence, first_contact
from sync.draft import Draft
from sync.model import (
    Card,
    ConflictKind,
    Decision,
    LinkRules,
    MovementKind,
    Observations,
    Presence,
)


def adopt_shown(card: Card, observations: Observations) -> Decision:
    """While a card is held its sides may have moved: their shadows follow, the hub's balance does not."""
    draft = Draft(card)
    for side, seen in observations.items():
        p = draft.presence(side)
        if isinstance(seen, Seen) and p.born and not p.open_intents and seen.balance_minor != p.shadow_minor:
            draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor - p.shadow_minor)
    return draft.decision()


def resolve_first_contact(
    adopted: Decision, balance_minor: int, rules: LinkRules, today: date, why: str
) -> Decision:
    """A person said what the card is worth: the hub takes it, and the sides follow."""
    draft = Draft(replace(adopted.card, held=False), list(adopted.movements))
    change = balance_minor - draft.card.balance_minor
    if change:
        draft.move(MovementKind.RESOLUTION, None, change, 0, {"why": why})
    draft.causes_gone.append(causes.FIRST_CONTACT)
    decide.settle_into(draft, rules, today)
    return draft.decision()


def set_value(card: Card, balance_minor: int, rules: LinkRules, today: date, why: str) -> Decision:
    """A person said what a card is worth that nobody holds: the hub takes it, and the sides follow."""
    draft = Draft(card)
    change = balance_minor - card.balance_minor
    if change:
        draft.move(MovementKind.RESOLUTION, None, change, 0, {"why": why})
    decide.settle_into(draft, rules, today)
    return draft.decision()


def linked(
    card: Card, side: str, seen: Seen, serial: Serial | None, rules: LinkRules, today: date
) -> Decision:
    """A person said which card on the side it is.

    In place of one that was there it goes on where that one was: what it shows besides is a customer's. Where
    the hub never had the card on that side, it is met for the first time.
    """
    draft = _with_presence(card, side)
    p = replace(draft.presence(side), native_id=seen.native_id, serial=serial, last_chars=seen.last_chars)
    draft.put(p)
    if p.born:
        draft.put(replace(p, book_cursor=evidence.newest(seen, None)))
        decide.take_in(draft, side, seen, rules, {}, today)
    else:
        draft.put(replace(p, hold=None))
        first_contact.joined(draft, side, seen, rules)
    draft.causes_gone += [causes.on_side(side, kind) for kind in (ConflictKind.SERIAL, ConflictKind.MISSING)]
    if not draft.card.held:
        decide.settle_into(draft, rules, today)
    return draft.decision()


def renumbered(card: Card, side: str, serial: Serial, rules: LinkRules, today: date) -> Decision:
    """A person gave the card another number on the side, where nobody has it yet: it is made there anew."""
    draft = _with_presence(card, side)
    if draft.presence(side).shadow_minor:
        draft.move(MovementKind.ADOPTED, side, 0, -draft.presence(side).shadow_minor)
    p = draft.presence(side)
    unborn = Presence(side, None, serial, serial.last_chars, 0, CardStatus.ACTIVE, None, born=False)
    draft.put(replace(unborn, id=p.id, brand=p.brand, note=p.note))
    draft.causes_gone += [causes.on_side(side, kind) for kind in (ConflictKind.SERIAL, ConflictKind.MISSING)]
    if not card.held:
        decide.settle_into(draft, rules, today)
    return draft.decision()


def _with_presence(card: Card, side: str) -> Draft:
    """The card with a presence on the side, if it had none."""
    if any(p.side == side for p in card.presences):
        return Draft(card)
    missing = Presence(side, None, None, "", 0, CardStatus.ACTIVE, None, born=False)
    return Draft(replace(card, presences=(*card.presences, missing)))


def set_status(card: Card, status: CardStatus, rules: LinkRules, today: date) -> Decision:
    """A person said which status is right: the sides follow."""
    draft = Draft(replace(card, status=status))
    decide.settle_into(draft, rules, today)
    return draft.decision()
