"""First contact: what a card is worth when the hub has not seen it, or a side of it, before.

Equal balances are adopted. Unequal ones hold the card until a person says what it is worth, unless the
link's policy says who wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from connectors.api.card import Seen
from mappings.lifecycle import CardStatus
from sync.decisions import causes, evidence, status_and_expiry
from sync.decisions.draft import Draft
from sync.model import Card, Closing, LinkRules, MovementKind, Observations, Presence


def open_card(shown: Mapping[str, Seen], others: tuple[Presence, ...], rules: LinkRules) -> Draft:
    """The card as the sides in `shown` have it; `others` are to be created."""
    first_side, first = next(iter(shown.items()))
    presences = tuple(_presence_of(side, seen) for side, seen in shown.items())
    counting = {side: seen for side, seen in shown.items() if _counts(seen, rules)} or shown
    # Where no side's word counts, each keeps its own, and the hub has one of them.
    of_status = [s for side, s in counting.items() if rules.side(side).tells_status] or [first]
    # The date of a closed card says nothing of the card's own.
    dated = {side: s for side, s in shown.items() if s.status is not CardStatus.CLOSED} or shown
    of_expiry = [s for side, s in dated.items() if rules.side(side).tells_expiry] or [*dated.values()][:1]
    status = max((s.status or CardStatus.SUSPENDED for s in of_status), key=lambda s: s.restriction)
    expires_on = None
    for seen in of_expiry:
        expires_on = status_and_expiry.earlier(expires_on, seen.expires_on)
    draft = Draft(Card(first.currency, 0, status, expires_on, presences + others))
    values = {side: value_of(seen) for side, seen in counting.items()}
    opening = next(iter(values.values()))
    draft.move(MovementKind.OPENING, first_side, opening, first.balance_minor)
    for side, seen in shown.items():
        if side != first_side:
            draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor)
    if len(set(values.values())) > 1:
        compare(draft, rules)
    return draft


def join_presence(draft: Draft, side: str, seen: Seen, rules: LinkRules) -> None:
    """The serial turned out to be in use on the side already: first contact for this presence."""
    born = draft.change(
        side,
        native_id=seen.native_id,
        born=True,
        stale=False,
        refusal=None,
        refusals=0,
        shadow_status=seen.status or CardStatus.SUSPENDED,
        shadow_expires_on=seen.expires_on,
        brand=seen.brand or None,
        needs_cvc=seen.needs_cvc,
        contact=None,  # It is not a new card.
        **evidence.read_to(seen),
    )
    draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor - born.shadow_minor)
    side_rules = rules.side(side)
    if not _counts(seen, rules):
        return
    if seen.status is not draft.card.status and seen.status is not None and side_rules.tells_status:
        status = max(draft.card.status, seen.status, key=lambda s: s.restriction)
        draft.card = replace(draft.card, status=status)
    if side_rules.tells_expiry and seen.status is not CardStatus.CLOSED:
        draft.card = replace(
            draft.card, expires_on=status_and_expiry.earlier(draft.card.expires_on, seen.expires_on)
        )
    if value_of(seen) != draft.card.balance_minor:
        compare(draft, rules)


def meet_again(draft: Draft, observations: Observations, rules: LinkRules) -> None:
    """Take each side as it shows the card now; of the ledger only counts which card it is."""
    met = dict[str, Seen]()
    for side, seen in observations.items():
        p = draft.presence(side)
        is_it = isinstance(seen, Seen) and seen.currency == draft.card.currency and shows_it(p, seen)
        if not isinstance(seen, Seen) or not is_it or seen.status is None or not p.born or p.open_intents:
            continue
        met[side] = seen
        draft.change(
            side,
            stale=False,
            hold=None,
            refusal=None,
            refusals=0,
            unreadable=0,
            shadow_status=seen.status,
            shadow_expires_on=seen.expires_on,
            **evidence.read_to(seen, p),
        )
        if seen.balance_minor != p.shadow_minor:
            draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor - p.shadow_minor)
    told = [s.status for side, s in met.items() if s.status and rules.side(side).tells_status]
    if told:
        draft.card = replace(draft.card, status=max(told, key=lambda s: s.restriction))
    dated = [
        s.expires_on
        for side, s in met.items()
        if s.status is not CardStatus.CLOSED and rules.side(side).tells_expiry
    ]
    if dated:
        expires_on = None
        for day in dated:
            expires_on = status_and_expiry.earlier(expires_on, day)
        draft.card = replace(draft.card, expires_on=expires_on)


def shows_it(p: Presence, seen: Seen) -> bool:
    """Whether what the side shows of the number's end is that of the presence."""
    known, shown = p.last_chars.lower(), seen.last_chars.lower()
    return known.endswith(shown) or shown.endswith(known)


def compare(draft: Draft, rules: LinkRules) -> None:
    """The sides disagree: the link's policy says what the card is worth, or the card is held."""
    shadows = values(draft.card)
    winner = {"lower": min(shadows.values()), "higher": max(shadows.values()), "ask": None}[
        rules.first_contact
    ]
    if rules.first_contact_side in shadows:
        winner = shadows[rules.first_contact_side]
    if winner is None:
        draft.card = replace(draft.card, held=True)
        draft.conflicts.append(causes.first_contact(draft.card, shadows))
    elif winner != draft.card.balance_minor:
        change = winner - draft.card.balance_minor
        draft.move(MovementKind.RESOLUTION, None, change, 0, {"policy": "first_contact", **shadows})


def may_be_store_card(seen: Seen, bought: bool) -> str | None:
    """Why a card that only the online shop shows may be one of the store, entered by hand; None: it is none.

    The shop shows no codes, so the two cannot be compared. A second number for it would give its owner the
    money twice. Worker and importer decide it here.
    """
    if bought or not seen.last_chars.isdigit():
        return None
    return "it was not bought online and its code ends in four digits, as store numbers do"


def adopt_shown(draft: Draft, observations: Observations, rules: LinkRules) -> None:
    """While a card is held its sides may move: their shadows follow, the hub's balance does not.

    One that was closed meanwhile was closed before the person's word, which is said of it, too.
    """
    for side, seen in observations.items():
        p = draft.presence(side)
        if not isinstance(seen, Seen) or not p.born or p.open_intents or seen.currency != draft.card.currency:
            continue
        draft.change(side, stale=False)
        if seen.balance_minor != p.shadow_minor:
            draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor - p.shadow_minor)
            draft.change(side, **evidence.read_to(seen, p))
        if seen.status is CardStatus.CLOSED:
            if status_and_expiry.closes_card(draft.card, side, rules):
                draft.card = replace(draft.card, status=CardStatus.CLOSED)
            draft.change(side, shadow_status=CardStatus.CLOSED)


def look_again(draft: Draft, observations: Observations, rules: LinkRules) -> None:
    """The card still waits for a person: what they are asked about is what the sides show now."""
    adopt_shown(draft, observations, rules)
    asked = any(causes.is_done_otherwise(cause) for cause in draft.card.causes)
    if draft.movements and not asked:
        draft.conflicts.append(causes.first_contact(draft.card, values(draft.card)))


def values(card: Card) -> dict[str, int]:
    """What the card is worth on each side that has it, in minor units."""
    return {
        p.side: 0 if p.shadow_status is CardStatus.CLOSED else p.shadow_minor
        for p in card.presences
        if p.born
    }


def _counts(seen: Seen, rules: LinkRules) -> bool:
    """Whether what the side shows says what the card is; a closed one may stand for itself alone."""
    return seen.status is not CardStatus.CLOSED or rules.closing is Closing.PROPAGATE


def value_of(seen: Seen) -> int:
    """What the card is worth there: nothing once it is closed, whatever it still shows."""
    return 0 if seen.status is CardStatus.CLOSED else seen.balance_minor


def _presence_of(side: str, seen: Seen) -> Presence:
    return Presence(
        side=side,
        native_id=seen.native_id,
        serial=seen.serial,
        last_chars=seen.last_chars,
        shadow_minor=0,
        shadow_status=seen.status or CardStatus.SUSPENDED,
        shadow_expires_on=seen.expires_on,
        brand=seen.brand or None,
        needs_cvc=seen.needs_cvc,
        **evidence.read_to(seen),
    )
