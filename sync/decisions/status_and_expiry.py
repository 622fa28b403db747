"""Status and expiry, three-way per field against the shadow (design.md, "First contact, serials, statuses").

One side changed a field: it is taken, and the others follow. Both changed it differently: the more
restrictive wins, and a person is told. A machine never re-enables a closed card.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from connectors.api.card import Seen
from connectors.api.effect import EffectKind
from mappings.lifecycle import CardStatus
from sync.decisions import causes
from sync.decisions.draft import Draft
from sync.model import Card, Closing, Intent, LinkRules, MovementKind, NewIntent, Presence, SideRules


def apply_fields(draft: Draft, side: str, seen: Seen, status: CardStatus, rules: LinkRules) -> None:
    """A side that differs from its shadow has changed the field."""
    p = draft.presence(side)
    if status is CardStatus.INACTIVE and p.shadow_status is not CardStatus.INACTIVE:
        status = CardStatus.SUSPENDED  # A card that was active and is not any more.
    if status is not p.shadow_status:
        _take_in_status(draft, p, status, rules)
    suspended_by_date = rules.side(side).suspends_by_date and status is CardStatus.SUSPENDED
    if suspended_by_date or status is CardStatus.CLOSED:
        return  # The side's date says nothing of the card's own expiry.
    p = draft.presence(side)
    if seen.expires_on != p.shadow_expires_on:
        _take_in_expiry(draft, p, seen.expires_on, rules)


def closes_card(card: Card, side: str, rules: LinkRules) -> bool:
    """Whether a card that this side has closed is closed, or only closed there.

    Closing is final. Where another side changed the status as well, to one that can be taken back, and there
    is money on the card, a person is asked first.
    """
    others = [p for p in card.presences if p.side != side and p.born]
    alone = any(p.shadow_status is not CardStatus.CLOSED for p in others)
    counts = rules.side(side).tells_status and rules.closing is Closing.PROPAGATE
    before = card.presence(side).shadow_status
    contested = before not in (card.status, CardStatus.CLOSED) and card.balance_minor > 0
    return card.status is CardStatus.CLOSED or (counts and not contested) or not alone


def _take_in_status(draft: Draft, p: Presence, status: CardStatus, rules: LinkRules) -> None:
    card = draft.card
    draft.change(p.side, shadow_status=status)
    if status is CardStatus.CLOSED and not closes_card(card, p.side, rules):
        return
    if not rules.side(p.side).tells_status and status is not CardStatus.CLOSED:
        return
    if card.status is p.shadow_status or card.status is status:
        chosen = status  # Only this side changed, or both alike.
    else:
        chosen = max(card.status, status, key=lambda s: s.restriction)
        draft.conflicts.append(causes.status(card, p.side, status, chosen, _ended_minor(draft, chosen)))
    if card.status is CardStatus.CLOSED:
        chosen = CardStatus.CLOSED  # A machine never re-enables.
    draft.card = replace(draft.card, status=chosen)


def _ended_minor(draft: Draft, chosen: CardStatus) -> int:
    """The money that ends with a card that is closed now; a side may have emptied it as it closed it."""
    if chosen is not CardStatus.CLOSED:
        return 0
    emptied = sum(-m.amount_minor for m in draft.movements if m.kind is MovementKind.CLOSED)
    return draft.card.balance_minor + emptied


def _take_in_expiry(draft: Draft, p: Presence, shown: date | None, rules: LinkRules) -> None:
    card = draft.card
    draft.change(p.side, shadow_expires_on=shown)
    side = rules.side(p.side)
    if not side.tells_expiry or (shown is None and not side.takes_expiry):
        return
    expiry = shown
    if card.expires_on not in (p.shadow_expires_on, shown):
        expiry = earlier(card.expires_on, shown)
        draft.conflicts.append(causes.expiry(card, p.side, shown, expiry))
    draft.card = replace(draft.card, expires_on=expiry)


def owed(card: Card, p: Presence, rules: SideRules) -> list[tuple[NewIntent, bool]]:
    """What the side is to be told, and of each intent whether it relaxes what the side allows."""
    planned: list[tuple[NewIntent, bool]] = []
    if p.shadow_status is CardStatus.CLOSED:
        return planned
    if card.expires_on != p.shadow_expires_on and rules.sets_expiry:
        relaxes = earlier(card.expires_on, p.shadow_expires_on) != card.expires_on
        intent = NewIntent(
            p.side, EffectKind.SET_EXPIRY, expires_on=card.expires_on, expires_before=p.shadow_expires_on
        )
        planned.append((intent, relaxes))
    wanted = _wanted(card, rules)
    if wanted is not p.shadow_status and rules.writes_status and wanted in rules.sets_status:
        relaxes = wanted.restriction < p.shadow_status.restriction
        intent = NewIntent(
            p.side,
            EffectKind.SET_STATUS,
            status=wanted,
            expires_on=card.expires_on,
            status_before=p.shadow_status,
        )
        planned.append((intent, relaxes))
    return planned


def tell_of_status(draft: Draft, p: Presence, rules: SideRules) -> None:
    """What a person has to set, or to decide, because it cannot be set there or not be taken back."""
    card, wanted = draft.card, _wanted(draft.card, rules)
    if wanted is not CardStatus.CLOSED and p.shadow_status is CardStatus.CLOSED:
        draft.conflicts.append(causes.closed_alone(card, p))
        return
    draft.causes_gone.append(causes.alone(p.side))
    settable = wanted in rules.sets_status or not rules.writes_status
    if wanted is p.shadow_status or p.shadow_status is CardStatus.CLOSED or settable:
        draft.causes_gone.append(causes.not_settable(p.side))
    else:
        draft.conflicts.append(causes.status_not_settable(card, p))


def _wanted(card: Card, rules: SideRules) -> CardStatus:
    """The status that the side is to show."""
    return rules.suspends_as if card.status is CardStatus.SUSPENDED else card.status


def allows(rules: SideRules, intent: Intent) -> bool:
    """Whether the side may be written like this."""
    match intent.kind:
        case EffectKind.CREATE:
            return rules.creates
        case EffectKind.CREDIT:
            return rules.credits
        case EffectKind.DEBIT:
            return rules.debits
        case EffectKind.SET_STATUS:
            return rules.writes_status and intent.status in rules.sets_status
        case EffectKind.SET_EXPIRY:
            return rules.sets_expiry
        case EffectKind.NOTIFY:
            return True  # Only planned for a card that was made to be told of; a person may ask for it, too.


def allows_status(rules: SideRules, status: CardStatus) -> bool:
    """Whether giftsync sets the status on the side."""
    return rules.writes_status and status in rules.sets_status


def promise(draft: Draft, side: str, intent: NewIntent) -> None:
    """Plan the intent; the shadow has it from now on."""
    draft.intents.append(intent)
    if intent.kind is EffectKind.SET_EXPIRY:
        draft.change(side, shadow_expires_on=intent.expires_on)
    elif intent.status is not None:
        draft.change(side, shadow_status=intent.status)


def earlier(one: date | None, other: date | None) -> date | None:
    """The more restrictive of two expiry dates; None never expires."""
    if one is None or other is None:
        return one or other
    return min(one, other)
