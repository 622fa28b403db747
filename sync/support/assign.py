"""A physical card for somebody who bought one online: one serial for every side of the link.

A side that hides serials shows the code of a bought card to its owner only, so no physical card can ever
have that code. The value moves instead, by the same protocol as everything else:

    take    the bought card's balance goes to zero in the ledger, and debits follow on every side that has it
    give    once they have all landed, a card with the physical serial is met with exactly what was taken

Nothing is given before it was taken, so no crash in between leaves the value in two places. What the owner
spends while the debits are under way is missing from what is given. The old code stays a card with nothing on
it, unless the staff say that it is to be closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.errors import NoAnswer, SideClosed
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.crashpoints import crashpoint
from sync.decisions import causes, protocol, resolutions
from sync.ledger.cards.assignments import (
    TAKEN_WHY,
    Assignment,
    AssignmentChanged,
    Assignments,
    NewAssignment,
    NumberTaken,
    explain_overdraft,
    given_why,
    taken_from,
    written_off,
)
from sync.ledger.cards.store import Lease
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.database.engine import reading
from sync.ledger.database.faults import AlreadyTaken
from sync.ledger.incoming.intake import Intake
from sync.ledger.incoming.origins import BoughtCard, bought_with
from sync.ledger.proof.findings import FindingKind
from sync.ledger.proof.pages import read_card
from sync.ledger.proof.verify import check_card
from sync.model import (
    Card,
    Decision,
    LeaseLost,
    NewIntent,
    Tampered,
    to_create,
)
from sync.reconcile.card import observe_all, reconcile
from sync.reconcile.work import Link, Work
from sync.support.claiming import claim_soon

TRIES_MAX = 3
_ROLE = "assign"
#: Of a link, a card, a role and seconds: the lease, or None where somebody else has the card.
Claim = Callable[[Link, int, str, float], Lease | None]


class NotAssigned(Exception):
    """The card cannot be assigned; the message says why. Nothing was changed."""


@dataclass(frozen=True)
class Assigned:
    """What was done, or with a preview what would be."""

    from_card: int
    #: None until the value was given.
    to_card: int | None
    amount_minor: int
    currency: str
    #: What is written to the sides of the old card.
    planned: tuple[NewIntent, ...] = ()
    #: The value was given, and every side shows it.
    finished: bool = False
    #: It had been assigned like this before.
    again: bool = False


def cards_of_order(link: Link, order: str) -> list[BoughtCard]:
    """The cards that were bought with the order, by its name such as `#1007`."""
    name = order if order.startswith("#") else f"#{order}"
    return bought_with(link.store.engine, link.store.vault, {order, name})


def assign(
    link: Link, card_id: int, serial: Serial, by: str, *, close_old: bool = False, preview: bool = False
) -> Assigned:
    """Move the card's value to one with the physical serial, as far as it can be done now.

    What is left, because an answer was lost or a side is busy, `go_on` does later. Given twice it goes on
    where it was. Raises NotAssigned.
    """
    assignments = _assignments(link)
    try:
        known = assignments.of_card(card_id)
    except AssignmentChanged:
        if preview:
            raise NotAssigned(
                "what the ledger keeps of this assignment was changed, not by giftsync; without --preview it "
                "is made anew from the card's history"
            ) from None
        _renew(link, card_id, serial, by, close_old=close_old)
        known = assignments.of_card(card_id)
    if known is None:
        planned = _take(link, card_id, serial, by, close_old=close_old, preview=preview)
        if preview:
            return planned
        known = assignments.of_card(card_id)
    elif known.serial_index != link.store.vault.index(serial) and known.to_card is not None:
        raise NotAssigned(f"the card was assigned ••••{known.last_chars} already")
    else:
        if known.serial_index != link.store.vault.index(serial):
            _check_serial(link, serial)
            if not preview:
                _choose_another(link, card_id, serial)
        planned = Assigned(card_id, known.to_card, known.amount_minor, link.currency, again=True)
    if not preview:
        finish(link, card_id, claim_soon)
        known = assignments.of_card(card_id)
    if known is None:
        raise NotAssigned("the assignment is gone from the ledger")
    to_card = known.to_card
    done = to_card is not None and link.store.load(to_card).is_in_step(link.rules.own_dates)
    amount = link.store.load(to_card).balance_minor if to_card is not None else known.amount_minor
    return replace(planned, to_card=to_card, amount_minor=amount, finished=done)


def go_on(link: Link) -> int:
    """Go on with every assignment that is under way; returns how many are left."""
    return sum(not finish(link, card_id) for card_id in _assignments(link).under_way())


def _claim_now(link: Link, card_id: int, role: str, lease_seconds: float) -> Lease | None:
    return link.store.claim(card_id, f"{link.owner}:{role}", link.clock(), lease_seconds)


def finish(link: Link, card_id: int, claim: Claim = _claim_now) -> bool:
    """Carry out what waits for the card and give what was taken; False while something is left."""
    for _ in range(TRIES_MAX):
        try:
            row = _assignments(link).of_card(card_id)
        except AssignmentChanged as changed:
            _report_changed(link, card_id, changed.amount_minor)
            return False
        if row is None or row.is_done:
            to_card = None if row is None else row.to_card
            _work_on(link, card_id, claim)
            return to_card is None or _work_on(link, to_card, claim)
        if not _work_on(link, card_id, claim) or not _give(link, row, claim):
            return False
    return False


# --- Take ---------------------------------------------------------------------------------------------------


def _take(link: Link, card_id: int, serial: Serial, by: str, *, close_old: bool, preview: bool) -> Assigned:
    if stopped_by(link.store.engine):
        raise NotAssigned("the link has stopped; `giftsync status` says why")
    _check_serial(link, serial)
    lease = _claim(link, card_id)
    work = Work(link, lease)
    try:
        before = link.store.load(card_id)
        shown = observe_all(before, work)
        _check_card(link, before, shown)
        decision = emptied(before, link, link.today)
        taken = Assigned(card_id, None, before.balance_minor, before.currency, decision.intents)
        if not preview:
            _commit_taken(link, lease, before, decision, serial, by, close_old)
    except LeaseLost:
        raise NotAssigned("the worker has this card right now; say it again in a moment") from None
    except Tampered as error:
        raise NotAssigned(str(error)) from None
    finally:
        link.store.release(work.lease, link.clock())
    return taken


def emptied(card: Card, link: Link, today: date) -> Decision:
    """The card with nothing on it, and the debits that follow."""
    return resolutions.set_value(card, 0, link.rules, today, TAKEN_WHY)


def _check_serial(link: Link, serial: Serial) -> None:
    """Whether every side can have a card with that number. Raises NotAssigned."""
    for name in link.rules.sides:
        side = link.sides[name]
        reason = side.capabilities.accepts_serial(serial)
        if reason is not None:
            raise NotAssigned(f"the number {reason} on {name}")
        if not link.rules.sides[name].creates:
            raise NotAssigned(f"the settings or {name} do not let giftsync create cards there")
        there = _ask(link, name, serial)
        if isinstance(there, Unreadable):
            raise NotAssigned(f"{name} does not say whether it has a card with that number; try again")
        known = Intake(link.store.engine, link.store.vault).card_of(name, CardRef(None, serial))
        if known is not None or (isinstance(there, Seen) and not _is_blank(there)):
            raise NotAssigned(f"{name} has a card ••••{serial.last_chars} in use already")


def _check_card(link: Link, card: Card, shown: Mapping[str, Observation]) -> None:
    """Whether the card is as the ledger has it on every side, so that all of it can be taken."""
    if card.status is not CardStatus.ACTIVE:
        raise NotAssigned(f"the card is {card.status}")
    if card.balance_minor <= 0:
        raise NotAssigned("there is nothing on the card")
    for p in card.presences:
        if p.open_intents or p.stale or p.hold is not None or card.held:
            raise NotAssigned(f"something is still to be done on {p.side}; `giftsync cards show {card.id}`")
        if not p.born:
            continue
        seen = shown.get(p.side)
        if not isinstance(seen, Seen):
            raise NotAssigned(f"{p.side} does not show the card now; try again in a moment")
        if seen.balance_minor != p.shadow_minor or seen.status is not p.shadow_status:
            raise NotAssigned(f"the card has just changed on {p.side}; run `giftsync sync`, then try again")
        if p.shadow_minor and not link.rules.sides[p.side].debits:
            raise NotAssigned(f"giftsync cannot take money off cards on {p.side}, or may not")


def _commit_taken(
    link: Link, lease: Lease, before: Card, decision: Decision, serial: Serial, by: str, close_old: bool
) -> None:
    """The card's zero, its debits and the assignment, in one transaction."""
    now = link.clock()
    new = NewAssignment(
        lease.card_id,
        serial,
        before.balance_minor,
        before.expires_on,
        next((p.note for p in before.presences if p.note), ""),
        close_old,
        by,
    )
    try:
        with link.store.engine.begin() as connection:
            link.store.write(connection, lease, before, decision, now, None)
            _assignments(link).add(connection, new, now)
            crashpoint("assign.taking")
    except NumberTaken:
        raise _number_taken(serial) from None
    crashpoint("assign.taken")


def _choose_another(link: Link, card_id: int, serial: Serial) -> None:
    """The value was taken, but the physical card turned out not to be free: it goes to another one."""
    try:
        _assignments(link).choose_another(card_id, serial)
    except NumberTaken:
        raise _number_taken(serial) from None


def _renew(link: Link, card_id: int, serial: Serial, by: str, *, close_old: bool) -> None:
    """Make an assignment anew whose row somebody changed, from what the card's own history says was taken.

    Raises NotAssigned.
    """
    lease = _claim(link, card_id)
    try:
        old = link.store.load(card_id)
        with reading(link.store.engine) as connection:
            found = list(check_card(read_card(connection, card_id), link.store.vault))
            taken = taken_from(connection, card_id)
        if any(one.kind is not FindingKind.OUT_OF_STEP for one in found):
            raise NotAssigned("the card's own rows were changed, too; `giftsync conflicts list` tells more")
        if taken is None or taken.to_card is None:
            _check_serial(link, serial)
        else:
            # It was given already: the row says again to which number.
            given = link.store.load(taken.to_card)
            serial = next((p.serial for p in given.presences if p.serial is not None), serial)
        note = next((p.note for p in old.presences if p.note), "")
        amount = 0 if taken is None else taken.amount_minor
        new = NewAssignment(card_id, serial, amount, old.expires_on, note, close_old, by)
        with link.store.engine.begin() as connection:
            _assignments(link).renew(connection, card_id, taken, new, link.clock())
    except NumberTaken:
        raise _number_taken(serial) from None
    except Tampered as error:
        raise NotAssigned(str(error)) from None
    finally:
        link.store.release(lease, link.clock())


def _report_changed(link: Link, card_id: int, amount_minor: int) -> None:
    try:
        presences = link.store.load(card_id).presences
    except Tampered:
        return  # Of that a conflict of the card tells.
    ends = next((p.last_chars for p in presences if p.last_chars), "")
    told = causes.changed_assignment(card_id, ends, amount_minor, link.currency)
    Intake(link.store.engine, link.store.vault).report(told, link.clock())


def _number_taken(serial: Serial) -> NotAssigned:
    return NotAssigned(f"the number ••••{serial.last_chars} is being assigned to another card")


# --- Give ---------------------------------------------------------------------------------------------------


def _give(link: Link, row: Assignment, claim: Claim) -> bool:
    """Meet a card with what was taken, once all of it was; False while it is not."""
    card_id = row.from_card
    lease = claim(link, card_id, _ROLE, link.lease_seconds)
    if lease is None:
        return False
    try:
        old = link.store.load(card_id)
        if old.open_intents or any(p.stale or p.hold is not None for p in old.presences):
            return False
        if any(p.shadow_minor != old.balance_minor for p in old.presences if p.born):
            return False  # Something is owed that cannot be written yet.
        _commit_given(link, lease, old, row)
    except (LeaseLost, Tampered):
        return False
    except AlreadyTaken:
        _report_taken_number(link, row)
        return False
    finally:
        link.store.release(lease, link.clock())
    return True


def _report_taken_number(link: Link, row: Assignment) -> None:
    told = causes.assigned_twice(row.from_card, row.last_chars, row.amount_minor, link.currency)
    Intake(link.store.engine, link.store.vault).report(told, link.clock())


def _commit_given(link: Link, lease: Lease, old: Card, row: Assignment) -> None:
    now, card_id = link.clock(), lease.card_id
    with link.store.engine.begin() as connection:
        lost = written_off(connection, card_id) - row.written_off_before
        given = given_card(link, old, max(0, row.amount_minor - lost), row)
        to_card = link.store.insert(connection, given, now, None).id
        _assignments(link).finish(connection, card_id, to_card, now)
        if lost:
            explain_overdraft(connection, row, now)
        if row.closes_old and old.balance_minor == 0:
            closed = protocol.settle(replace(old, status=CardStatus.CLOSED), link.rules, link.today)
            link.store.write(connection, lease, old, closed, now, None)
        crashpoint("assign.giving")
    crashpoint("assign.given")


def given_card(link: Link, old: Card, amount_minor: int, row: Assignment) -> Decision:
    """A new card with the serial on every side, worth what was taken."""
    blank = Card(
        old.currency,
        0,
        CardStatus.ACTIVE,
        row.expires_on,
        tuple(to_create(name, row.serial, note=row.note) for name in link.rules.sides),
    )
    return resolutions.set_value(blank, amount_minor, link.rules, link.today, given_why(row.from_card))


# --- What both need -----------------------------------------------------------------------------------------


def _work_on(link: Link, card_id: int, claim: Claim) -> bool:
    """One piece of work on the card; whether nothing waits on it afterwards."""
    if stopped_by(link.store.engine):
        return False
    lease = claim(link, card_id, _ROLE, link.lease_seconds)
    card = None if lease is None else reconcile(link, lease)
    return card is not None and not card.open_intents


def _claim(link: Link, card_id: int) -> Lease:
    lease = claim_soon(link, card_id, _ROLE, link.lease_seconds)
    if lease is None:
        raise NotAssigned("the worker has this card right now; say it again in a moment")
    return lease


def _assignments(link: Link) -> Assignments:
    return Assignments(link.store.engine, link.store.vault)


def _ask(link: Link, side: str, serial: Serial) -> Observation:
    try:
        return link.sides[side].lookup(serial)
    except (NoAnswer, SideClosed) as error:
        return Unreadable(str(error), link.clock())


def _is_blank(seen: Observation) -> bool:
    """A card that was generated in advance and never sold."""
    return isinstance(seen, Absent) or (
        isinstance(seen, Seen) and seen.status is CardStatus.INACTIVE and seen.balance_minor == 0
    )
