"""The hub as authority, pure: what follows when a caller of the API pays with a card, loads or changes it.

    take      H -= amount, and the sides that show more are to be debited
    record    promised at once, whoever has the card; it is entered (H -= amount) by whoever has it next
    conclude  certain once no debit is open and no side shows more than H; refused at its end at the latest
    reverse   H += amount, and the sides follow

A redemption in mode `authorise` is pending until it is certain, and gives way while it is
(`sync.decisions.redemptions`); in mode `record` it is final at once, and the sides are debited behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from mappings.lifecycle import CardStatus
from sync.decisions.draft import Draft
from sync.decisions.protocol import settle_into, write_off
from sync.decisions.redemptions import REDEMPTION, give_back, is_confirmed, take_back, uncovered
from sync.model import (
    Card,
    Decision,
    Hold,
    HubEntry,
    HubEntryKind,
    LinkRules,
    MovementKind,
    NewRedemption,
    Redemption,
    RedemptionChange,
    RedemptionState,
    Unconfirmed,
)


class Mode(StrEnum):
    """When a redemption is answered."""

    #: When every side has confirmed that it cannot spend the money any more.
    AUTHORISE = "authorise"
    #: At once; the sides are debited behind.
    RECORD = "record"


class Reason(StrEnum):
    """Why a card cannot be used as was asked. Stable: callers decide by these."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    CURRENCY_MISMATCH = "currency_mismatch"
    NOT_ACTIVE = "not_active"
    SUSPENDED = "suspended"
    CLOSED = "closed"
    EXPIRED = "expired"
    EMPTY = "empty"
    NEEDS_ATTENTION = "needs_attention"
    SIDE_UNAVAILABLE = "side_unavailable"
    SIDE_NOT_DEBITABLE = "side_not_debitable"
    NOT_REVERSIBLE = "not_reversible"
    NOT_AUTHORIZED = "not_authorized"
    OVER_AMOUNT = "over_amount"
    OVER_LIMIT = "over_limit"
    NUMBER_TAKEN = "number_taken"
    NUMBER_REFUSED = "number_refused"
    POOL_EMPTY = "pool_empty"


@dataclass(eq=False)
class Denied(Exception):
    """The card cannot be used like this; nothing was changed. `words` are for the person at the till."""

    reason: Reason
    words: str
    sides: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.words


def why_not_redeemable(card: Card, today: date) -> Denied | None:
    """Why nothing can be paid with the card now; None when it can."""
    if card.held or card.behind or any(_is_unknown(p.hold) for p in card.presences):
        return Denied(Reason.NEEDS_ATTENTION, "This card has to be looked at by the shop first.")
    match card.status:
        case CardStatus.INACTIVE:
            return Denied(Reason.NOT_ACTIVE, "This card is not activated yet.")
        case CardStatus.SUSPENDED:
            return Denied(Reason.SUSPENDED, "This card is suspended.")
        case CardStatus.CLOSED:
            return Denied(Reason.CLOSED, "This card is closed.")
    if card.expires_on is not None and card.expires_on < today:
        return Denied(Reason.EXPIRED, f"This card expired on {card.expires_on.isoformat()}.")
    if card.balance_minor <= 0:
        return Denied(Reason.EMPTY, "Nothing is left on this card.")
    return None


def _is_unknown(hold: Hold | None) -> bool:
    """Whether what a side shows of the card is not known."""
    return hold in (Hold.MISSING, Hold.STATUS, Hold.CURRENCY, Hold.UNREADABLE)


def take(
    card: Card,
    new: NewRedemption,
    currency: str,
    rules: LinkRules,
    today: date,
    unread: Collection[str] = (),
    unsure: Collection[str] = (),
) -> Decision:
    """Take a redemption off the card; `unread` are the sides that could not be looked at just now.

    `unsure` are those that may refuse the debit for good, for want of a CVC: only a look at them clears that.
    Raises Denied.
    """
    wanted = new.redemption
    _check(card, wanted.amount_minor, currency, today)
    draft = Draft(card)
    draft.move(MovementKind.REDEMPTION, None, -wanted.amount_minor, 0, {REDEMPTION: wanted.id})
    settle_into(draft, rules, today)
    debited = {i.side for i in draft.intents if i.amount_minor < 0}
    open_sides = uncovered(draft.card, debited)
    dark = tuple(side for side in unread if side in debited or side in open_sides)
    records = Mode(new.mode) is Mode.RECORD
    counting = set(unsure) if records else {*dark, *open_sides}
    missing = [tuple(s for s in some if s in counting) for some in (dark, open_sides)]
    if any(missing):
        if wanted.unconfirmed is Unconfirmed.REFUSE:
            raise _cannot_confirm(*missing)
        records = True
    waits = bool(debited or open_sides) or not is_confirmed(draft.card)
    made = _final(wanted) if records or not waits else wanted
    if made.state.is_open:
        draft.card = replace(draft.card, redemptions=(*card.redemptions, made))
    draft.new_redemptions.append(replace(new, redemption=made, confirmed=not waits))
    return draft.decision()


def _check(card: Card, amount_minor: int, currency: str, today: date) -> None:
    """Raises Denied when the amount cannot be taken off the card."""
    denied = why_not_redeemable(card, today)
    if denied is not None:
        raise denied
    if currency != card.currency:
        raise Denied(Reason.CURRENCY_MISMATCH, f"This card is in {card.currency}, not in {currency}.")
    if amount_minor > card.balance_minor:
        raise Denied(Reason.INSUFFICIENT_FUNDS, "There is less on this card than was asked for.")


def without_recorded(card: Card, recorded_minor: int) -> Card:
    """The card as it is once what was recorded is entered."""
    return replace(card, balance_minor=max(0, card.balance_minor - recorded_minor))


def record(
    card: Card, recorded_minor: int, new: NewRedemption, currency: str, today: date
) -> tuple[NewRedemption, int]:
    """The redemption, final, and what is left on the card after it; no side is asked, and no lease needed.

    `recorded_minor` is what was recorded before and is not entered yet. Raises Denied.
    """
    left = without_recorded(card, recorded_minor)
    amount = new.redemption.amount_minor
    _check(left, amount, currency, today)
    return replace(new, redemption=_final(new.redemption)), left.balance_minor - amount


def enter(card: Card, recorded: Sequence[Redemption], rules: LinkRules, today: date) -> Decision:
    """Take what was recorded off the card. What was spent elsewhere meanwhile is a shortfall, as ever."""
    draft = Draft(replace(card, recorded=0))
    for r in recorded:
        draft.move(MovementKind.REDEMPTION, None, -r.amount_minor, 0, {REDEMPTION: r.id})
        if r.state.is_open:
            draft.card = replace(draft.card, redemptions=(*draft.card.redemptions, r))
        draft.entered.append(r.id)
    if draft.card.held:
        write_off(draft, rules)
    else:
        settle_into(draft, rules, today)
    return draft.decision()


def _cannot_confirm(dark: tuple[str, ...], open_sides: tuple[str, ...]) -> Denied:
    if dark:
        words = f"{' and '.join(dark)} cannot be reached, so the card cannot be charged safely now."
        return Denied(Reason.SIDE_UNAVAILABLE, words, dark)
    words = f"giftsync cannot take the amount off the card on {' and '.join(open_sides)}."
    return Denied(Reason.SIDE_NOT_DEBITABLE, words, open_sides)


def _final(redemption: Redemption) -> Redemption:
    """The redemption once it is certain, or taken for certain."""
    if redemption.capture_until is None:
        return replace(redemption, state=RedemptionState.COMPLETED)
    return replace(redemption, state=RedemptionState.AUTHORIZED, ends_at=redemption.capture_until)


def conclude(card: Card, rules: LinkRules, today: date, now: datetime) -> Decision:
    """What has become certain of the card's open redemptions, and what has come to its end."""
    if not card.redemptions:
        return Decision(card)
    draft = Draft(card)
    if is_confirmed(card):
        for r in card.redemptions:
            if r.state is RedemptionState.PENDING:
                _become(draft, r, confirmed=True)
    for r in draft.card.redemptions:
        if r.ends_at <= now:
            if r.state is RedemptionState.AUTHORIZED:
                take_back(draft, r, RedemptionState.EXPIRED, "nobody captured it in time")
            else:
                _end(draft, r, "a side did not confirm it in time")
    if draft.movements and not draft.card.held:
        settle_into(draft, rules, today)
    return draft.decision()


def end(card: Card, redemption_id: str, reason: str, rules: LinkRules, today: date) -> Decision:
    """End a pending redemption before its time: a side cannot confirm it now."""
    draft = Draft(card)
    pending = next((r for r in card.redemptions if r.id == redemption_id), None)
    if pending is not None and pending.state is RedemptionState.PENDING:
        _end(draft, pending, reason)
    if draft.movements and not draft.card.held:
        settle_into(draft, rules, today)
    return draft.decision()


def _end(draft: Draft, pending: Redemption, reason: str) -> None:
    if pending.unconfirmed is Unconfirmed.RECORD:
        _become(draft, pending, confirmed=False, reason=reason)
    else:
        take_back(draft, pending, RedemptionState.REFUSED, reason)


def _become(draft: Draft, pending: Redemption, *, confirmed: bool, reason: str = "") -> None:
    made = _final(pending)
    draft.redemption_changes.append(
        RedemptionChange(
            made.id,
            made.state,
            made.amount_minor,
            reason,
            made.ends_at if made.state.is_open else None,
            confirmed=confirmed,
        )
    )
    others = tuple(r for r in draft.card.redemptions if r.id != pending.id)
    draft.card = replace(draft.card, redemptions=(*others, made) if made.state.is_open else others)


def reverse(card: Card, redemption: Redemption, entry: HubEntry, rules: LinkRules, today: date) -> Decision:
    """Give back `entry.amount_minor` of a redemption, open or completed. Raises Denied.

    A pending one that is given back whole ends; its debit in doubt is made up for when it turns out.
    """
    if entry.amount_minor > redemption.amount_minor:
        raise Denied(Reason.OVER_AMOUNT, "Less than that is left of this redemption to give back.")
    if card.status is CardStatus.CLOSED:
        raise Denied(Reason.CLOSED, "This card is closed; give the money back in another way.")
    draft = Draft(card)
    left = redemption.amount_minor - entry.amount_minor
    current = next((r for r in card.redemptions if r.id == redemption.id), None)
    if current is not None and left == 0:
        is_void = entry.kind is HubEntryKind.VOID
        take_back(draft, current, RedemptionState.VOIDED if is_void else RedemptionState.REVERSED, "")
    else:
        give_back(draft, redemption.id, entry.amount_minor, "")
        ended = RedemptionState.COMPLETED if left else RedemptionState.REVERSED
        state = ended if current is None else current.state
        ends_at = None if current is None else current.ends_at
        draft.redemption_changes.append(RedemptionChange(redemption.id, state, left, "", ends_at))
        if current is not None:
            smaller = replace(current, amount_minor=left)
            kept = tuple(smaller if r.id == current.id else r for r in draft.card.redemptions)
            draft.card = replace(draft.card, redemptions=kept)
    draft.entries.append(entry)
    if not draft.card.held:
        settle_into(draft, rules, today)
    return draft.decision()


def capture(
    card: Card, redemption_id: str, entry: HubEntry, rules: LinkRules, today: date, now: datetime
) -> Decision:
    """Complete an authorization with `entry.amount_minor`; the rest is given back. Raises Denied."""
    current = next((r for r in card.redemptions if r.id == redemption_id), None)
    if current is None or current.state is not RedemptionState.AUTHORIZED:
        raise Denied(Reason.NOT_AUTHORIZED, "This authorization cannot be captured (any more).")
    if current.ends_at <= now:
        raise Denied(Reason.NOT_AUTHORIZED, "This authorization has expired; the amount goes back.")
    if entry.amount_minor > current.amount_minor:
        raise Denied(Reason.OVER_AMOUNT, "Less than that was authorized.")
    draft = Draft(card)
    rest = current.amount_minor - entry.amount_minor
    others = tuple(r for r in card.redemptions if r.id != current.id)
    draft.card = replace(card, redemptions=others)
    if rest:
        give_back(draft, current.id, rest, "captured for less")
    draft.redemption_changes.append(
        RedemptionChange(current.id, RedemptionState.COMPLETED, entry.amount_minor)
    )
    draft.entries.append(replace(entry, amount_minor=0))
    if rest and not draft.card.held:
        settle_into(draft, rules, today)
    return draft.decision()


def load(card: Card, entry: HubEntry, currency: str, rules: LinkRules, today: date) -> Decision:
    """Put `entry.amount_minor` on the card; the sides follow. Raises Denied."""
    denied = why_not_redeemable(card, today)
    if denied is not None and denied.reason is not Reason.EMPTY:
        raise denied
    if currency != card.currency:
        raise Denied(Reason.CURRENCY_MISMATCH, f"This card is in {card.currency}, not in {currency}.")
    limit = min(
        (side.card_limit_minor for side in rules.sides.values() if side.card_limit_minor is not None),
        default=None,
    )
    if limit is not None and card.balance_minor + entry.amount_minor > limit:
        raise Denied(Reason.OVER_LIMIT, "A card may not hold that much.")
    draft = Draft(card)
    told: dict[str, object] = {"load": entry.id}
    if entry.kind is HubEntryKind.ISSUE:
        told["with_cvc"] = entry.with_cvc  # The card's first movement: no row but this one proves it.
    draft.move(MovementKind.LOAD, None, entry.amount_minor, 0, told)
    draft.entries.append(entry)
    settle_into(draft, rules, today)
    return draft.decision()


def change(
    card: Card,
    entry: HubEntry,
    rules: LinkRules,
    today: date,
    *,
    status: CardStatus | None = None,
    expires_on: date | None = None,
    sets_expiry: bool = False,
) -> Decision:
    """Set the card's status, its expiry or both; the sides follow. Raises Denied."""
    if card.held or card.behind:
        raise Denied(Reason.NEEDS_ATTENTION, "This card has to be looked at by the shop first.")
    if card.status is CardStatus.CLOSED:
        raise Denied(Reason.CLOSED, "This card is closed, which is for good.")
    draft = Draft(card)
    changed = replace(card, status=status or card.status)
    draft.card = replace(changed, expires_on=expires_on) if sets_expiry else changed
    draft.entries.append(entry)
    settle_into(draft, rules, today)
    return draft.decision()
