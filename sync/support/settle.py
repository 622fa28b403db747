"""A person settles a conflict: typed actions that go through the same protocol as everything else.

Each action is safe to give twice: a conflict that is closed already is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from connectors.api.errors import SideError
from connectors.api.side import Absent, CardRef, Seen, Unreadable
from mappings.lifecycle import CardStatus
from sync.decisions import first_contact, merge, notification, protocol, resolutions
from sync.ledger.cards.merging import Half, commit_merge
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import conflicts
from sync.ledger.incoming.intake import Intake
from sync.model import (
    IGNORED,
    Card,
    ConflictKind,
    Decision,
    Intent,
    LeaseLost,
    NewIntent,
    NewResolution,
    Presence,
)
from sync.reconcile.card import observe_all
from sync.reconcile.work import Link, Work

#: Whoever was cut short and says it again is not kept waiting for longer. A lease that runs out too soon does
#: no harm: the commit fails.
LEASE_SECONDS_MAX = 30.0


class Action(StrEnum):
    #: I have seen it; nothing is to be done.
    ACKNOWLEDGE = "acknowledge"
    #: I have seen it, and it is not to be told of again while it stays as it is.
    IGNORE = IGNORED
    #: This side's balance is the right one.
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


_ALLOWED: dict[ConflictKind, frozenset[Action]] = {
    ConflictKind.FIRST_CONTACT: frozenset({Action.ACCEPT, Action.VALUE}),
    ConflictKind.IN_DOUBT: frozenset({Action.LANDED, Action.NOT_LANDED}),
    ConflictKind.OVERDRAFT: frozenset({Action.ACKNOWLEDGE, Action.WRITE_OFF}),
    # Money is owed to a side: it can be tried again, or a person says what the card is worth instead.
    **dict.fromkeys(
        (ConflictKind.REFUSED, ConflictKind.OVER_LIMIT, ConflictKind.NOT_WRITABLE),
        frozenset({Action.RETRY, Action.ACKNOWLEDGE, Action.IGNORE, Action.ACCEPT, Action.VALUE}),
    ),
    ConflictKind.STATUS: frozenset({Action.RETRY, Action.ACKNOWLEDGE, Action.IGNORE, Action.ACCEPT}),
    **dict.fromkeys(
        (ConflictKind.SERIAL, ConflictKind.MISSING),
        frozenset({Action.LINK, Action.RETRY, Action.ACKNOWLEDGE, Action.IGNORE}),
    ),
    ConflictKind.CURRENCY: frozenset({Action.RETRY, Action.ACKNOWLEDGE, Action.IGNORE}),
    ConflictKind.NOTIFICATION: frozenset({Action.RETRY, Action.ACKNOWLEDGE, Action.IGNORE}),
    ConflictKind.BRAKE: frozenset({Action.ACKNOWLEDGE}),
    ConflictKind.SECOND_LEDGER: frozenset({Action.ACKNOWLEDGE}),
    # It closes by itself once `recover` has settled its cards.
    ConflictKind.LEDGER_BEHIND: frozenset({Action.ACKNOWLEDGE}),
}
_OTHERS = frozenset({Action.ACKNOWLEDGE, Action.IGNORE})


def actions_for(kind: ConflictKind) -> frozenset[Action]:
    """What may be said about a conflict of this kind."""
    return _ALLOWED.get(kind, _OTHERS)


class NotResolved(Exception):
    """The resolution cannot be carried out; the message says why. Nothing was changed."""


@dataclass(frozen=True)
class Resolution:
    """What a person decided. `side` for accept, `value_minor` for value, `card` for link."""

    action: Action
    by: str
    why: str
    side: str | None = None
    value_minor: int | None = None
    card: CardRef | None = None


@dataclass(frozen=True)
class Resolved:
    """What came of it."""

    already_closed: bool
    #: The card's balance before and after, in minor units; None without a card.
    before_minor: int | None = None
    after_minor: int | None = None
    #: What will be written to the sides because of it.
    planned: tuple[NewIntent, ...] = field(default=(), compare=False)
    #: What a person is asked next, in words.
    opened: tuple[str, ...] = field(default=(), compare=False)
    #: Sides that are looked at first; what is owed there follows.
    looks: tuple[str, ...] = field(default=(), compare=False)
    #: True: it was only worked out, and nothing was changed.
    preview: bool = False


def resolve(link: Link, conflict_id: int, resolution: Resolution, *, preview: bool = False) -> Resolved:
    """Carry out a person's decision and close the conflict, in one transaction on the ledger.

    With `preview` everything is read and worked out, and nothing is changed.
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
        article = "an" if kind[0] in "aeiou" else "a"
        raise NotResolved(f"{resolution.action} does not fit {article} {kind} conflict; say one of: {fits}")
    if row["card_id"] is None:
        if not preview:
            _close(link, conflict_id, resolution)
        return Resolved(already_closed=False, preview=preview)
    about = _About(conflict_id, kind, row["side"], row["evidence"])
    return _resolve_card(link, row["card_id"], about, resolution, preview)


@dataclass(frozen=True)
class _About:
    """The conflict that is being settled."""

    id: int
    kind: ConflictKind
    side: str | None
    evidence: dict[str, object]


def _resolve_card(link: Link, card_id: int, about: _About, resolution: Resolution, preview: bool) -> Resolved:
    with claimed(link, card_id, "this card") as work:
        # Only now can nobody else settle it: what they decided must not be decided a second time.
        if not _is_open(link, about.id):
            return Resolved(already_closed=True)
        before = link.store.load(card_id)
        decision = _carried_out(before, work, about, resolution, preview=preview)
    opened = tuple(conflict.summary for conflict in decision.conflicts if conflict.settled is None)
    looks = tuple(p.side for p in decision.card.presences if p.stale)
    return Resolved(
        False, before.balance_minor, decision.card.balance_minor, decision.intents, opened, looks, preview
    )


def _carried_out(card: Card, work: Work, about: _About, resolution: Resolution, *, preview: bool) -> Decision:
    """What follows for the card, committed with the resolution unless it is only a preview."""
    said = NewResolution(about.id, resolution.action.value, resolution.by, resolution.why)
    if resolution.action is Action.LINK:
        named = _named(card, work, about.side or "", resolution.card)
        if named.owner is not None and named.owner != card.id:
            with claimed(work.link, named.owner, f"card {named.owner}") as other:
                return _merged(card, work, other, named, said, preview=preview)
        decision = _link(card, work, named)
    else:
        decision = _decision(card, work, about, resolution)
    if not preview:
        work.commit(card, replace(decision, resolution=said))
    return decision


@contextmanager
def claimed(link: Link, card_id: int, what: str) -> Iterator[Work]:
    """The card in our hands alone. Raises NotResolved when somebody else has it, before or meanwhile."""
    now = link.clock()
    seconds = min(link.lease_seconds, LEASE_SECONDS_MAX)
    lease = link.store.claim(card_id, f"{link.owner}:resolve", now, seconds)
    if lease is None:
        raise NotResolved(f"the worker has {what} right now; say it again in a moment")
    work = Work(link, lease)
    try:
        yield work
    except LeaseLost:
        raise NotResolved(f"the worker has {what} right now; say it again in a moment") from None
    except IntegrityError:
        raise NotResolved("that card became another card's just now; look at the conflict again") from None
    finally:
        link.store.release(work.lease, now)


def _is_open(link: Link, conflict_id: int) -> bool:
    query = select(conflicts.c.id).where(conflicts.c.id == conflict_id, conflicts.c.closed_at.is_(None))
    with reading(link.store.engine) as connection:
        return connection.execute(query).first() is not None


def _decision(card: Card, work: Work, about: _About, resolution: Resolution) -> Decision:
    """Of every action but link, which may concern a second card."""
    if about.kind is ConflictKind.NOTIFICATION:
        return _notification(card, about.side or "", resolution.action)
    match resolution.action:
        case Action.ACKNOWLEDGE | Action.IGNORE | Action.WRITE_OFF:
            # An overdraft was written off when it was found; the person says that this is how it stays.
            return Decision(card)
        case Action.ACCEPT | Action.VALUE:
            if about.kind is ConflictKind.FIRST_CONTACT:
                return _first_contact(card, work, resolution)
            if about.kind is ConflictKind.STATUS:
                return _accept_status(card, work, resolution)
            return _set_value(_tried_again(card, about.side), work, resolution)
        case Action.LANDED | Action.NOT_LANDED:
            p, intent = _intent_in_doubt(card, str(about.evidence.get("marker")))
            if resolution.action is Action.LANDED:
                return protocol.land(card, p.side, intent, 1, p.native_id or "", f"said by {resolution.by}")
            return protocol.absent(card, p.side, intent)
        case _:  # Retry.
            return Decision(_tried_again(card, about.side))


def _notification(card: Card, side: str, action: Action) -> Decision:
    if action is Action.RETRY:
        return notification.notify_again(card, side)
    # It is settled: how the buyer is reached is not needed any more.
    return Decision(notification.forgotten(card, side))


def _tried_again(card: Card, side: str | None) -> Card:
    """The card with its presence on the side to be observed and then written anew."""
    if side is None or all(p.side != side for p in card.presences):
        raise NotResolved("the card is not on that side, so nothing can be tried again there")
    p = replace(card.presence(side), hold=None, stale=True, refusal=None, refusals=0)
    return replace(card, presences=tuple(p if q.side == side else q for q in card.presences))


def _set_value(card: Card, work: Work, resolution: Resolution) -> Decision:
    """What the ledger knows of each side stands; the hub's balance is what the person says.

    What a customer did meanwhile comes in as a movement at the next look, and is added to it.
    """
    value = value_of(resolution, {p.side: p.shadow_minor for p in card.presences if p.born})
    today = work.link.today
    said = f"{resolution.by}: {resolution.why}"
    return resolutions.set_value(card, value, work.link.rules, today, said)


@dataclass(frozen=True)
class _Named:
    """The card on a side that a person named."""

    side: str
    ref: CardRef
    #: None: there is none.
    seen: Seen | None
    #: The hub's card that has it, if any.
    owner: int | None


def _named(card: Card, work: Work, side: str, ref: CardRef | None) -> _Named:
    link = work.link
    if ref is None:
        raise NotResolved(f"say which card on {side} it is")
    if any(p.side == side and p.open_intents for p in card.presences):
        raise NotResolved(f"something is still under way on {side}; `giftsync cards show {card.id}`")
    seen = _look(work, side, ref)
    named = ref if seen is None else CardRef(seen.native_id, seen.serial or ref.serial)
    return _Named(side, named, seen, Intake(link.store.engine, link.store.vault).card_of(side, named))


def _link(card: Card, work: Work, named: _Named) -> Decision:
    """The card goes on with the one that the person named; with a number that nobody has, it is made."""
    link, side, serial = work.link, named.side, named.ref.serial
    today = link.today
    if named.seen is not None:
        if any(p.side == side and p.born and p.native_id == named.seen.native_id for p in card.presences):
            raise NotResolved("that is the card that it has there already; say retry")
        return resolutions.link_presence(card, side, named.seen, serial, link.rules, today)
    if serial is None:
        raise NotResolved(f"{side} has no such card")
    reason = work.side(side).capabilities.accepts_serial(serial)
    if reason is not None:
        raise NotResolved(f"{side} has no such card, and none can be made there: the number {reason}")
    if not link.rules.side(side).creates:
        raise NotResolved(f"{side} has no such card, and giftsync does not make cards there")
    return resolutions.renumber(card, side, serial, link.rules, today)


def _merged(
    kept: Card, work: Work, other: Work, named: _Named, said: NewResolution, *, preview: bool
) -> Decision:
    """The card goes on with what another card of the hub has on the side, and that one ends."""
    link, side = work.link, named.side
    ended = link.store.load(other.lease.card_id)
    reason, seen = merge.why_not(kept, ended, side, link.store.doubted_sides(other.lease.card_id)), None
    if reason is None:
        p = ended.presence(side)
        # Looked at again, now that no work of ours can move it, with everything that stands on it so far.
        seen = _look(other, side, CardRef(p.native_id, p.serial or named.ref.serial), entries=True)
        if seen is None or (seen.native_id, seen.balance_minor, seen.status) != (
            p.native_id,
            p.shadow_minor,
            p.shadow_status,
        ):
            reason = f"it has just changed on {side}; run `giftsync sync`, then say it again"
    if reason is not None or seen is None:
        raise NotResolved(f"that one is card {ended.id} already (`giftsync cards show {ended.id}`): {reason}")
    today = link.today
    merged = merge.merge(
        kept, ended, side, seen, named.ref.serial, link.rules, today, f"{said.by}: {said.why}"
    )
    if not preview:
        commit_merge(
            link.store,
            Half(work.lease, kept, replace(merged.kept, resolution=said)),
            Half(other.lease, ended, merged.ended),
            work.clock(),
        )
    return merged.kept


def _look(work: Work, side: str, ref: CardRef, *, entries: bool = False) -> Seen | None:
    """What the named card shows; None: there is none. Raises NotResolved for one that cannot be it."""
    try:
        if ref.native_id is None and ref.serial is not None:
            found = work.side(side).lookup(ref.serial)
        else:
            found = next(iter(work.side(side).observe([ref], entries=entries)))
    except SideError as error:
        raise NotResolved(f"{side} cannot be asked now: {error}") from None
    match found:
        case Seen(status=None) | Seen(status=CardStatus.CLOSED):
            raise NotResolved(f"that card is {found.status_text.lower()} on {side}")
        case Seen() if found.currency != work.link.currency:
            raise NotResolved(f"that card is in {found.currency}, the link in {work.link.currency}")
        case Seen():
            return found
        case Absent():
            return None
        case Unreadable():
            raise NotResolved(f"{side} does not show that card: {found.reason}")


def _accept_status(card: Card, work: Work, resolution: Resolution) -> Decision:
    """The status that a side shows is the card's, and the others follow."""
    shown = {p.side: p.shadow_status for p in card.presences if p.born}
    if resolution.side not in shown:
        raise NotResolved(f"say which side's status is right: {', '.join(shown)}")
    if card.status is CardStatus.CLOSED:
        raise NotResolved("the card is closed, and giftsync never opens a closed card again")
    today = work.link.today
    return resolutions.set_status(card, shown[resolution.side], work.link.rules, today)


def value_of(resolution: Resolution, shown: dict[str, int]) -> int:
    """The balance that the person chose, in minor units."""
    if resolution.action is Action.VALUE:
        if resolution.value_minor is None or resolution.value_minor < 0:
            raise NotResolved("say the amount, zero or more, that the card is worth")
        return resolution.value_minor
    if resolution.side not in shown:
        raise NotResolved(f"say which side's balance is right: {', '.join(shown)}")
    return shown[resolution.side]


def _first_contact(card: Card, work: Work, resolution: Resolution) -> Decision:
    """Take what both sides show now, then set the balance that the person chose."""
    shown = observe_all(replace(card, held=False), work)
    adopted = resolutions.adopt_shown(card, shown, work.link.rules)
    value = value_of(resolution, first_contact.values(adopted.card))
    today = work.link.today
    said = f"{resolution.by}: {resolution.why}"
    side = resolution.side if resolution.action is Action.ACCEPT else None
    return resolutions.resolve_first_contact(adopted, value, side, work.link.rules, today, said)


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
