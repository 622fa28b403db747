"""What a person decided, pure: the same protocol, with their word in place of what a side showed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any

from connectors.api.card import Seen
from connectors.api.errors import Refusal
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import causes, evidence, first_contact, lost, protocol
from sync.decisions.draft import Draft
from sync.model import (
    IGNORED,
    Card,
    ConflictKind,
    Decision,
    Hold,
    IntentState,
    LinkRules,
    MovementKind,
    Observations,
    Presence,
    RedemptionChange,
    RedemptionState,
)


class Action(StrEnum):
    """What a person can say about a conflict."""

    #: I have seen it; nothing is to be done.
    ACKNOWLEDGE = "acknowledge"
    #: I have seen it, and it is not to be told of again while it stays as it is.
    IGNORE = IGNORED
    #: What this side shows is right: its balance, its status or its expiry date.
    ACCEPT = "accept"
    #: This amount is the right one.
    VALUE = "value"
    #: The merchant bears the money that is at stake.
    WRITE_OFF = "write_off"
    #: The request did take effect on the side (in doubt).
    LANDED = "landed"
    #: The request did not take effect (in doubt).
    NOT_LANDED = "not_landed"
    #: The cause is mended: try again.
    RETRY = "retry"
    #: This is the card on that side.
    LINK = "link"
    #: The card is again what its history says (tampered).
    REBUILD = "rebuild"
    #: A link that has stopped goes on.
    RESUME = "resume"


def adopt_shown(card: Card, observations: Observations, rules: LinkRules) -> Decision:
    """What the sides of a held card show at the moment of the person's word."""
    draft = Draft(card)
    first_contact.adopt_shown(draft, observations, rules)
    return draft.decision()


def settle_tampered(
    draft: Draft, shown: Observations, balance_minor: int, rules: LinkRules, today: date, why: str
) -> Decision:
    """A person said what a card is worth whose rows were changed: the sides as they are now, then their word.

    `draft` has the card as its history comes to, all of whose open requests are to be believed.
    """
    first_contact.meet_again(draft, shown, rules)
    met = Decision(draft.card, tuple(draft.movements))
    settled = resolve_first_contact(met, balance_minor, None, rules, today, why)
    return replace(
        settled,
        intent_changes=(*draft.intent_changes, *settled.intent_changes),
        redemption_changes=(*draft.redemption_changes, *settled.redemption_changes),
    )


def without_requests(draft: Draft, why: str) -> None:
    """End every request and open redemption of the card: what came of it is in what the sides show."""
    for p in draft.card.presences:
        draft.withdraw_all(p.open_intents, why)
    for one in draft.card.redemptions:
        state = RedemptionState.REFUSED if one.state is RedemptionState.PENDING else RedemptionState.VOIDED
        draft.redemption_changes.append(RedemptionChange(one.id, state, 0, why))
    draft.card = replace(draft.card, redemptions=())


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
    draft.causes_gone += [cause for cause in draft.card.causes if causes.is_done_otherwise(cause)]
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
    p = draft.change(side, native_id=seen.native_id, serial=serial, last_chars=seen.last_chars)
    if p.born:
        draft.change(side, **evidence.read_to(seen))
        protocol.apply_observation(draft, side, seen, rules, {}, today)
    else:
        draft.change(side, hold=None)
        first_contact.join_presence(draft, side, seen, rules)
    draft.causes_gone += [causes.on_side(side, kind) for kind in (ConflictKind.SERIAL, ConflictKind.MISSING)]
    draft.causes_gone.append(causes.other_card_on(side))
    if not draft.card.held:
        protocol.settle_into(draft, rules, today)
    return draft.decision()


def renumber(card: Card, side: str, serial: Serial, rules: LinkRules, today: date) -> Decision:
    """A person gave the card another number on the side, where nobody has it yet: it is made there anew."""
    draft = _with_presence(card, side)
    if draft.presence(side).shadow_minor:
        draft.move(MovementKind.ADOPTED, side, 0, -draft.presence(side).shadow_minor)
    draft.create_anew(side, serial)
    draft.causes_gone += [causes.on_side(side, kind) for kind in (ConflictKind.SERIAL, ConflictKind.MISSING)]
    draft.causes_gone.append(causes.other_card_on(side))
    if not card.held:
        protocol.settle_into(draft, rules, today)
    return draft.decision()


#: Of a presence: its hold, its refusal, how many came in a row, and whether it is to be looked at.
SubscriptionStatus = tuple[str | None, str | None, int, bool]


def _standing(p: Presence) -> SubscriptionStatus:
    return value_of(p.hold), value_of(p.refusal), p.refusals, p.stale


@dataclass(frozen=True)
class Undo:
    """What the ledger said before a decision, as far as the decision changed it."""

    #: To be added to the hub's balance.
    change_minor: int
    status: CardStatus
    status_after: CardStatus
    expires_on: date | None
    held: bool
    #: By side, of those that it changed.
    presences: Mapping[str, SubscriptionStatus]

    @staticmethod
    def of(before: Card, after: Card) -> Undo:
        standing = {p.side: _standing(p) for p in after.presences}
        changed = {p.side: _standing(p) for p in before.presences if _standing(p) != standing[p.side]}
        change = before.balance_minor - after.balance_minor
        return Undo(change, before.status, after.status, before.expires_on, before.held, changed)

    def dump(self) -> dict[str, object]:
        """For the ledger, as JSON."""
        day = None if self.expires_on is None else self.expires_on.isoformat()
        return {**vars(self), "expires_on": day, "presences": {k: list(v) for k, v in self.presences.items()}}

    @staticmethod
    def load(stored: Mapping[str, Any]) -> Undo:
        day = stored["expires_on"]
        return Undo(
            stored["change_minor"],
            CardStatus(stored["status"]),
            CardStatus(stored["status_after"]),
            None if day is None else date.fromisoformat(day),
            stored["held"],
            {side: tuple(standing) for side, standing in stored["presences"].items()},
        )


def taken_back(card: Card, undo: Undo, markers: Collection[str], why: str) -> Decision | None:
    """A decision that was not carried out is taken back; None when something came of it already."""
    mine = [i for i in card.open_intents if i.marker in markers]
    looked = any(not stale and not card.presence(side).stale for side, (*_, stale) in undo.presences.items())
    begun = any(i.state is not IntentState.PLANNED or i.doubted for i in mine)
    if begun or len(mine) < len(markers) or looked or card.status is not undo.status_after:
        return None
    draft = Draft(replace(card, status=undo.status, expires_on=undo.expires_on, held=undo.held))
    for intent in sorted(mine, key=lambda i: -i.sequence):
        draft.withdraw(intent, why)
    for side, (hold, refusal, refusals, stale) in undo.presences.items():
        held = None if hold is None else Hold(hold)
        said = None if refusal is None else Refusal(refusal)
        draft.change(side, hold=held, refusal=said, refusals=refusals, stale=stale)
    if undo.change_minor:
        draft.move(MovementKind.RESOLUTION, None, undo.change_minor, 0, {"why": why})
    return draft.decision()


def value_of(member: StrEnum | None) -> str | None:
    return None if member is None else member.value


def _with_presence(card: Card, side: str) -> Draft:
    """The card with a presence on the side, if it had none."""
    if any(p.side == side for p in card.presences):
        return Draft(card)
    missing = Presence(side, None, None, "", 0, CardStatus.ACTIVE, None, born=False)
    return Draft(replace(card, presences=(*card.presences, missing)))


def set_expiry(card: Card, expires_on: date | None, rules: LinkRules, today: date) -> Decision:
    """A person said until when the card can be used: the sides follow."""
    draft = Draft(replace(card, expires_on=expires_on))
    protocol.settle_into(draft, rules, today)
    return draft.decision()


def set_status(card: Card, status: CardStatus, rules: LinkRules, today: date) -> Decision:
    """A person said which status is right: the sides follow."""
    draft = Draft(replace(card, status=status))
    protocol.settle_into(draft, rules, today)
    return draft.decision()
