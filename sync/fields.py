"""Status and expiry, three-way per field against the shadow (design.md, "First contact, serials, statuses").

One side changed a field: it is taken, and the others follow. Both changed it differently: the more
restrictive wins, and a person is told. A machine never re-enables a closed card.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from connectors.base import EffectKind, Seen
from mappings.lifecycle import CardStatus
from sync import causes
from sync.draft import Draft
from sync.model import Card, NewIntent, Presence


def take_in(draft: Draft, side: str, seen: Seen, status: CardStatus, by_date: bool) -> None:
    """A side that differs from its shadow has changed the field; `by_date`: it suspends by an expiry."""
    p, card = draft.presence(side), draft.card
    if status is CardStatus.INACTIVE and p.shadow_status is not CardStatus.INACTIVE:
        status = CardStatus.SUSPENDED  # A card that was active and is not any more.
    if status is not p.shadow_status:
        if card.status is p.shadow_status or card.status is status:
            chosen = status  # Only this side changed, or both alike.
        else:
            chosen = max(card.status, status, key=lambda s: s.restriction)
            draft.conflicts.append(causes.status(card, side, status, chosen))
        if card.status is CardStatus.CLOSED:
            chosen = CardStatus.CLOSED  # A machine never re-enables.
        draft.card = replace(card, status=chosen)
        draft.put(replace(p, shadow_status=status))
    suspended_by_date = by_date and status is CardStatus.SUSPENDED
    if suspended_by_date or status is CardStatus.CLOSED:
        return  # The side's date says nothing of the card's own expiry.
    p, card = draft.presence(side), draft.card
    if seen.expires_on != p.shadow_expires_on:
        if card.expires_on == p.shadow_expires_on or card.expires_on == seen.expires_on:
            expiry = seen.expires_on
        else:
            expiry = earlier(card.expires_on, seen.expires_on)
            draft.conflicts.append(causes.expiry(card, side, seen.expires_on, expiry))
        draft.card = replace(card, expires_on=expiry)
        draft.put(replace(p, shadow_expires_on=seen.expires_on))


def owed(
    card: Card, p: Presence, sets_expiry: bool, sets_status: frozenset[CardStatus]
) -> list[tuple[NewIntent, bool]]:
    """What the side is to be told, and of each intent whether it relaxes what the side allows."""
    planned: list[tuple[NewIntent, bool]] = []
    if p.shadow_status is CardStatus.CLOSED:
        return planned
    if card.expires_on != p.shadow_expires_on and sets_expiry:
        relaxes = earlier(card.expires_on, p.shadow_expires_on) != card.expires_on
        intent = NewIntent(
            p.side, EffectKind.SET_EXPIRY, expires_on=card.expires_on, expires_before=p.shadow_expires_on
        )
        planned.append((intent, relaxes))
    if card.status is not p.shadow_status and card.status in sets_status:
        relaxes = card.status.restriction < p.shadow_status.restriction
        intent = NewIntent(
            p.side,
            EffectKind.SET_STATUS,
            status=card.status,
            expires_on=card.expires_on,
            status_before=p.shadow_status,
        )
        planned.append((intent, relaxes))
    return planned


def tell_of_status(draft: Draft, p: Presence, sets_status: frozenset[CardStatus]) -> None:
    """A status that a side does not let giftsync set is a person's to set."""
    card = draft.card
    if card.status is p.shadow_status or p.shadow_status is CardStatus.CLOSED or card.status in sets_status:
        draft.causes_gone.append(causes.not_settable(p.side))
    else:
        draft.conflicts.append(causes.status_not_settable(card, p))


def promise(draft: Draft, side: str, intent: NewIntent) -> None:
    """Plan the intent; the shadow has it from now on."""
    p = draft.presence(side)
    draft.intents.append(intent)
    if intent.kind is EffectKind.SET_EXPIRY:
        draft.put(replace(p, shadow_expires_on=intent.expires_on))
    else:
        draft.put(replace(p, shadow_status=intent.status or p.shadow_status))


def earlier(one: date | None, other: date | None) -> date | None:
    """The more restrictive of two expiry dates; None never expires."""
    if one is None or other is None:
        return one or other
    return min(one, other)
