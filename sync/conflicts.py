"""A person settles a conflict: typed actions that go through the same protocol as everything else.

Each action is safe to give twice: a conflict that is closed already is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import select, update

from sync import decide
from sync.ledger.engine import reading
from sync.ledger.tables import conflicts
from sync.model import Card, ConflictKind, Decision, Intent, NewResolution, Presence
from sync.reconcile import observe_all
from sync.work import Link, Work


class Action(StrEnum):
    #: I have seen it; nothing is to be done.
    ACKNOWLEDGE = "acknowledge"
    #: This side's balance is the right one (first contact).
    ACCEPT = "accept"
    #: This amount is the right one (first contact).
    VALUE = "value"
    #: The request did take effect on the side (in doubt).
    LANDED = "landed"
    #: The request did not take effect (in doubt).
    NOT_LANDED = "not_landed"
    #: The cause is mended: try again.
    RETRY = "retry"


_ALLOWED: dict[ConflictKind, frozenset[Action]] = {
    ConflictKind.FIRST_CONTACT: frozenset({Action.ACCEPT, Action.VALUE}),
    ConflictKind.IN_DOUBT: frozenset({Action.LANDED, Action.NOT_LANDED}),
    **dict.fromkeys(
        (ConflictKind.REFUSED, ConflictKind.OVER_LIMIT, ConflictKind.SERIAL, ConflictKind.NOT_WRITABLE),
        frozenset({Action.RETRY, Action.ACKNOWLEDGE}),
    ),
    **dict.fromkeys(
        (ConflictKind.MISSING, ConflictKind.STATUS, ConflictKind.CURRENCY),
        frozenset({Action.RETRY, Action.ACKNOWLEDGE}),
    ),
}


def actions_for(kind: ConflictKind) -> frozenset[Action]:
    """What may be said about a conflict of this kind."""
    return _ALLOWED.get(kind, frozenset({Action.ACKNOWLEDGE}))


class NotResolved(Exception):
    """The resolution cannot be carried out; the message says why. Nothing was changed."""


@dataclass(frozen=True)
class Resolution:
    """What a person decided. `side` for accept, `value_minor` for value."""

    action: Action
    by: str
    why: str
    side: str | None = None
    value_minor: int | None = None


@dataclass(frozen=True)
class Resolved:
    """What came of it."""

    already_closed: bool
    #: The card's balance before and after, in minor units; None without a card.
    before_minor: int | None = None
    after_minor: int | None = None


def resolve(link: Link, conflict_id: int, resolution: Resolution) -> Resolved:
    """Carry out a person's decision and close the conflict, in one transaction on the ledger.

    Raises NotResolved for an unknown conflict, an action that does not fit, or a card at work elsewhere.
    """
    with reading(link.store.engine) as connection:
        row = (
            connection.execute(select(conflicts).where(conflicts.c.id == conflict_id))
            .mappings()
            .one_or_none()
        )
    if row is None:
        raise NotResolved(
            f"there is no conflict {conflict_id}; `giftsync conflicts list` shows the open ones"
        )
    if row["closed_at"] is not None:
        return Resolved(already_closed=True)
    kind = ConflictKind(row["kind"])
    if resolution.action not in actions_for(kind):
        fits = ", ".join(sorted(actions_for(kind)))
        raise NotResolved(f"{resolution.action} does not fit a {kind} conflict; say one of: {fits}")
    if row["card_id"] is None:
        _close(link, conflict_id, resolution)
        return Resolved(already_closed=False)
    return _resolve_card(link, row["card_id"], conflict_id, row["side"], row["evidence"], resolution)


def _resolve_card(
    link: Link,
    card_id: int,
    conflict_id: int,
    side: str | None,
    evidence: dict[str, object],
    resolution: Resolution,
) -> Resolved:
    now = link.clock()
    lease = link.store.claim(card_id, f"{link.owner}:resolve", now, link.lease_seconds)
    if lease is None:
        raise NotResolved("the worker has this card right now; say it again in a moment")
    work = Work(link, lease)
    try:
        before = link.store.load(card_id)
        said = NewResolution(conflict_id, resolution.action.value, resolution.by, resolution.why)
        decision = _decision(before, work, side, evidence, resolution)
        after = work.commit(before, replace(decision, resolution=said))
    finally:
        link.store.release(work.lease, now + timedelta(0))
    return Resolved(False, before.balance_minor, after.balance_minor)


def _decision(
    card: Card, work: Work, side: str | None, evidence: dict[str, object], resolution: Resolution
) -> Decision:
    match resolution.action:
        case Action.ACKNOWLEDGE:
            return Decision(card)
        case Action.ACCEPT | Action.VALUE:
            return _first_contact(card, work, resolution)
        case Action.LANDED | Action.NOT_LANDED:
            p, intent = _intent_in_doubt(card, str(evidence.get("marker")))
            if resolution.action is Action.LANDED:
                return decide.land(card, p.side, intent, 1, p.native_id or "", f"said by {resolution.by}")
            return decide.absent(card, p.side, intent)
        case Action.RETRY:
            if side is None:
                raise NotResolved("the conflict names no side to try again")
            p = replace(card.presence(side), hold=None, stale=True, refusal=None, refusals=0)
            presences = tuple(p if q.side == side else q for q in card.presences)
            return Decision(replace(card, presences=presences))


def _first_contact(card: Card, work: Work, resolution: Resolution) -> Decision:
    """Take what both sides show now, then set the balance that the person chose."""
    shown = observe_all(replace(card, held=False), work)
    adopted = decide.adopt_shown(card, shown)
    if resolution.action is Action.VALUE:
        if resolution.value_minor is None or resolution.value_minor < 0:
            raise NotResolved("say the amount, zero or more, that the card is worth")
        value = resolution.value_minor
    else:
        sides = {p.side: p.shadow_minor for p in adopted.card.presences if p.born}
        if resolution.side not in sides:
            raise NotResolved(f"say which side's balance is right: {', '.join(sides)}")
        value = sides[resolution.side]
    today = work.clock().astimezone(work.link.timezone).date()
    said = f"{resolution.by}: {resolution.why}"
    return decide.resolve_first_contact(adopted, value, work.link.rules, today, said)


def _intent_in_doubt(card: Card, marker: str) -> tuple[Presence, Intent]:
    for p in card.presences:
        for intent in p.open_intents:
            if intent.marker == marker:
                return p, intent
    raise NotResolved("the request is not in doubt any more; look at the conflict again")


def _close(link: Link, conflict_id: int, resolution: Resolution) -> None:
    with link.store.engine.begin() as connection:
        connection.execute(
            update(conflicts)
            .where(conflicts.c.id == conflict_id)
            .values(
                closed_at=link.clock(),
                resolution=resolution.action.value,
                resolved_by=resolution.by,
                resolved_why=resolution.why,
            )
        )
