"""What a person decided, pure: the same protocol, with their word in place of what a side showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from connectors.api.side import Seen
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import causes, evidence, first_contact, lost, protocol, status_and_expiry
from sync.decisions.draft import Draft
from sync.model import (
    IGNORED,
    Card,
    ConflictKind,
    Decision,
    LinkRules,
    MovementKind,
    Observations,
    Presence,
)


def adopt_shown(card: Card, observations: Observations, rules: LinkRules) -> Decision:
    """While a card is held its sides may have moved: their shadows follow, the hub's balance does not.

    One that was closed meanwhile was closed before the person's word, which is said of it, too.
    """
    draft = Draft(card)
    for side, seen in observations.items():
        p = draft.presence(side)
        if not isinstance(seen, Seen) or not p.born or p.open_intents:
            continue
        if seen.balance_minor != p.shadow_minor:
            draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor - p.shadow_minor)
        if seen.status is CardStatus.CLOSED:
            if status_and_expiry.closes_card(draft.card, side, rules):
                draft.card = replace(draft.card, status=CardStatus.CLOSED)
            draft.put(replace(draft.presence(side), shadow_status=CardStatus.CLOSED))
    return draft.decision()


def resolve_first_contact(
    adopted: Decision, balance_minor: int, side: str | None, rules: LinkRules, today: date, why: str
) -> Decision:
    """A person said what the card is worth, by an amount or by the `side` that is right: the sides follow.

    Where a side has closed it, their word says as well whether it is closed; no closed side is opened.
    """
    draft = Draft(replace(adopted.card, held=False), list(adopted.movements))
    still_open = [p for p in draft.card.presences if p.born and p.shadow_status is not CardStatus.CLOSED]
    goes_on = balance_minor > 0 if side is None else side in {p.side for p in still_open}
    if draft.card.status is CardStatus.CLOSED and still_open and goes_on:
        status = max((p.shadow_status for p in still_open), key=lambda s: s.restriction)
        draft.card = replace(draft.card, status=status)
    change = balance_minor - draft.card.balance_minor
    if change:
        draft.move(MovementKind.RESOLUTION, None, change, 0, {"why": why})
    draft.causes_gone.append(causes.FIRST_CONTACT)
    protocol.settle_into(draft, rules, today)
    # That it goes on elsewhere is what they have just said.
    alone = {causes.alone(p.side) for p in draft.card.presences}
    draft.conflicts = [
        replace(c, settled=IGNORED, settled_by_person=True) if c.cause in alone else c
        for c in draft.conflicts
    ]
    return draft.decision()


def settle_behind(
    card: Card,
    seen: Mapping[str, Seen],
    books: Sequence[lost.Book],
    balance_minor: int,
    side: str | None,
    rules: LinkRules,
    today: date,
    why: str,
) -> Decision:
    """A person said what a card is worth whose history was lost with the ledger."""
    draft = Draft(replace(card, held=False))
    protocol.adopt_lost(draft, books)
    protocol.read_to_the_end(draft, seen)
    shown = adopt_shown(draft.card, seen, rules)
    adopted = replace(shown, movements=(*draft.movements, *shown.movements))
    settled = resolve_first_contact(adopted, balance_minor, side, rules, today, why)
    return replace(settled, intents=(*draft.intents, *settled.intents))


def set_value(card: Card, balance_minor: int, rules: LinkRules, today: date, why: str) -> Decision:
    """A person said what a card is worth that nobody holds: the hub takes it, and the sides follow."""
    draft = Draft(card)
    change = balance_minor - card.balance_minor
    if change:
        draft.move(MovementKind.RESOLUTION, None, change, 0, {"why": why})
    protocol.settle_into(draft, rules, today)
    return draft.decision()


def link_presence(
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
        protocol.apply_observation(draft, side, seen, rules, {}, today)
    else:
        draft.put(replace(p, hold=None))
        first_contact.join_presence(draft, side, seen, rules)
    draft.causes_gone += [causes.on_side(side, kind) for kind in (ConflictKind.SERIAL, ConflictKind.MISSING)]
    if not draft.card.held:
        protocol.settle_into(draft, rules, today)
    return draft.decision()


def renumber(card: Card, side: str, serial: Serial, rules: LinkRules, today: date) -> Decision:
    """A person gave the card another number on the side, where nobody has it yet: it is made there anew."""
    draft = _with_presence(card, side)
    if draft.presence(side).shadow_minor:
        draft.move(MovementKind.ADOPTED, side, 0, -draft.presence(side).shadow_minor)
    p = draft.presence(side)
    to_create = Presence(side, None, serial, serial.last_chars, 0, CardStatus.ACTIVE, None, born=False)
    draft.put(replace(to_create, id=p.id, brand=p.brand, note=p.note))
    draft.causes_gone += [causes.on_side(side, kind) for kind in (ConflictKind.SERIAL, ConflictKind.MISSING)]
    if not card.held:
        protocol.settle_into(draft, rules, today)
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
    protocol.settle_into(draft, rules, today)
    return draft.decision()
