"""A person settles a conflict: typed actions that go through the same protocol as everything else.

Each action is safe to give twice: a conflict that is closed already is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from connectors.api.capabilities import Place
from connectors.api.card import Absent, CardRef, Seen, Unreadable
from connectors.api.effect import EffectKind
from connectors.api.errors import SideError
from mappings.lifecycle import CardStatus
from mappings.sentences import Money, both, in_a_row, say
from sync.decisions import first_contact, merge, notification, protocol, resolutions
from sync.decisions.causes import Situation, arrival_of
from sync.decisions.resolutions import Action, Undo
from sync.decisions.words import action_words
from sync.ledger.cards.append import write_resolution
from sync.ledger.cards.decided import is_as_decided
from sync.ledger.cards.facts import last_step_at
from sync.ledger.cards.merging import Half, commit_merge
from sync.ledger.cards.store import Lease
from sync.ledger.conflicts.rows import is_open, read_conflict, settle_without_card
from sync.ledger.database.faults import AlreadyTaken
from sync.ledger.incoming.intake import Intake
from sync.ledger.proof.findings import FindingKind
from sync.ledger.proof.rebuild import NotRebuilt, Rebuilt, commit_rebuilt, differences, rebuild
from sync.ledger.secrets.vault import Vault
from sync.model import (
    Card,
    ConflictKind,
    Decision,
    Hold,
    Intent,
    IntentState,
    InvariantBroken,
    LeaseLost,
    NewIntent,
    NewResolution,
    Presence,
    Tampered,
)
from sync.reconcile import tampered
from sync.reconcile.card import observe_all
from sync.reconcile.work import Link, Work
from sync.support.claiming import claim_soon
from sync.support.explain import Case, options_for

#: Whoever was cut short and says it again is not kept waiting for longer. A lease that runs out too soon does
#: no harm: the commit fails.
LEASE_SECONDS_MAX = 30.0
#: Fencing numbers count up from 0, so no row ever has this one.
NO_FENCING = -1


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

    def dump(self, vault: Vault) -> dict[str, object]:
        """What was said, for the ledger; a card by its id or the keyed hash of its number."""
        ref = self.card
        named = None if ref is None else ref.native_id or (ref.serial and vault.index(ref.serial))
        return {
            "action": self.action.value,
            "side": self.side,
            "value_minor": self.value_minor,
            "card": named,
        }


@dataclass(frozen=True)
class Saw:
    """What whoever decides saw of the conflict: when it had been settled; None: it was open."""

    closed_at: datetime | None


@dataclass(frozen=True)
class SideChange:
    """What a decision changes on one side. Amounts in minor units."""

    side: str
    last_chars: str
    before_minor: int
    after_minor: int
    status_before: CardStatus
    status_after: CardStatus
    expires_before: date | None
    expires_after: date | None
    #: The side is looked at first; what is written depends on what it shows then.
    looks: bool
    #: The card is made there.
    made: bool = False

    @property
    def changes(self) -> bool:
        return (
            self.looks
            or self.made
            or (self.before_minor, self.status_before, self.expires_before)
            != (
                self.after_minor,
                self.status_after,
                self.expires_after,
            )
        )


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
    #: What changes on each side that has the card.
    sides: tuple[SideChange, ...] = field(default=(), compare=False)
    #: The decision that was taken back for this one, in words.
    instead_of: str = field(default="", compare=False)
    #: True: it was only worked out, and nothing was changed.
    preview: bool = False


def resolve(
    link: Link,
    conflict_id: int,
    resolution: Resolution,
    *,
    preview: bool = False,
    places: Mapping[str, Place] | None = None,
    saw: Saw | None = None,
) -> Resolved:
    """Carry out a person's decision and close the conflict, in one transaction on the ledger.

    With `preview` everything is read and worked out, and nothing is changed; the card is not claimed, so the
    worker goes on with it. A decision of which nothing was carried out yet gives way to another one; given
    `saw`, only when whoever decides has seen it. `places` say where people find the cards of a side.
    Raises NotResolved for an unknown conflict, an action that does not fit, or a card at work elsewhere.
    """
    if not resolution.why.strip():
        raise NotResolved(say("say why: the reason is kept with the conflict, for whoever asks later"))
    row = read_conflict(link.store.engine, conflict_id)
    if row is None:
        raise NotResolved(
            say(
                "there is no conflict {conflict_id}; `giftsync conflicts list` shows the open ones",
                conflict_id=conflict_id,
            )
        )
    if _is_said_again(link, row, resolution):
        return Resolved(already_closed=True)
    if row["closed_at"] is not None and (row["card_id"] is None or not row["decided"]):
        raise NotResolved(_stands(link, row))
    _check_seen(link, row, saw)
    if row["card_id"] is None:
        _check_fits(case_of(link, row, None, places), resolution)
        if not preview:
            _close(link, row, resolution)
        return Resolved(already_closed=False, preview=preview)
    with _held(link, row["card_id"], say("this card"), preview=preview) as work:
        # Only now can nobody else settle it: what they decided must not be decided a second time.
        row = read_conflict(link.store.engine, conflict_id) or row
        if _is_said_again(link, row, resolution):
            return Resolved(already_closed=True)
        _check_seen(link, row, saw)
        if row["kind"] == ConflictKind.TAMPERED:
            return _resolve_tampered(work, row, resolution, preview, places)
        return _resolve_card(work, row, resolution, preview, places)


def case_of(
    link: Link, row: Mapping[str, Any], card: Card | None, places: Mapping[str, Place] | None = None
) -> Case:
    """The conflict with what the ledger knows of its card now; `row` has the columns of `conflicts`."""
    return Case(
        row["id"],
        ConflictKind(row["kind"]),
        row["cause"],
        row["side"] or "",
        row["summary"],
        row["amount_minor"],
        row["currency"] or link.currency,
        row["proposal"],
        row["evidence"],
        card,
        link.rules,
        link.today,
        places or {},
        link.brake.limits,
    )


def said_words(link: Link, decided: Mapping[str, Any], action: str) -> str:
    """A decision as the person said it: `value 250.00 NOK`, `accept store`."""
    value, side = decided.get("value_minor"), decided.get("side")
    words = action_words(action)
    if value is not None:
        words = in_a_row([words, Money(value, link.currency)])
    return say("{decision} {side}", decision=words, side=side) if side else words


def _is_said_again(link: Link, row: Mapping[str, Any], resolution: Resolution) -> bool:
    """Whether the same was decided already."""
    decided = row["decided"] or {}
    said = resolution.dump(link.store.vault)
    return row["closed_at"] is not None and {name: decided.get(name) for name in said} == said


def _check_seen(link: Link, row: Mapping[str, Any], saw: Saw | None) -> None:
    """Raises NotResolved when somebody has decided since whoever decides now has looked."""
    if saw is None or row["closed_at"] == saw.closed_at or row["resolved_by"] is None:
        return
    raise NotResolved(
        say(
            "{name} has decided meanwhile: {said}. Nothing of yours was done; if theirs is wrong, "
            "decide otherwise",
            name=row["resolved_by"],
            said=said_words(link, row["decided"] or {}, row["resolution"]),
        )
    )


def _stands(link: Link, row: Mapping[str, Any]) -> str:
    """Why a closed conflict cannot be decided again: what was decided, by whom, when and why."""
    at = row["closed_at"].astimezone(link.timezone).strftime("%Y-%m-%d %H:%M %Z")
    if row["resolved_by"] is None:
        return say(
            "conflict {id} closed by itself at {at}: its cause is gone, and nothing is left to decide",
            id=row["id"],
            at=at,
        )
    said = said_words(link, row["decided"] or {}, row["resolution"])
    words = say(
        "conflict {id} was settled by {name} at {at}: {said}",
        id=row["id"],
        name=row["resolved_by"],
        at=at,
        said=said,
    )
    if row["resolved_why"]:
        words = say('{words}, because "{why}"', words=words, why=row["resolved_why"])
    if row["card_id"] is None:
        return say("{words}. It cannot be settled a second time", words=words)
    return say(
        "{words}. That was carried out, so it stands; what is wrong now is put right "
        "on one side, at a till or in its back office, and giftsync carries it over. "
        "`giftsync cards show {card_id}` tells what was done",
        words=words,
        card_id=row["card_id"],
    )


def _check_fits(case: Case, resolution: Resolution) -> None:
    """Raises NotResolved for a decision that cannot work as things stand."""
    options = options_for(case)
    fitting = [o for o in options if o.action is resolution.action]
    if not fitting:
        fits = ", ".join(dict.fromkeys(o.action.value for o in options))
        article = "an" if case.kind[0] in "aeiou" else "a"
        words = say(
            "{action} does not fit {article} {kind} conflict",
            action=resolution.action,
            article=article,
            kind=case.kind,
        )
        raise NotResolved(say("{words}; say one of: {fits}", words=words, fits=fits))
    sides = [o.side for o in fitting if o.side is not None]
    if sides and resolution.side not in sides:
        raise NotResolved(
            say(
                "say which side's {thing} is right: {join}", thing=_thing(case), join=", ".join(sorted(sides))
            )
        )


def _thing(case: Case) -> str:
    things = {ConflictKind.STATUS: say("status"), ConflictKind.EXPIRY: say("expiry date")}
    return things.get(case.kind, say("balance"))


def _resolve_card(
    work: Work,
    row: Mapping[str, Any],
    resolution: Resolution,
    preview: bool,
    places: Mapping[str, Place] | None,
) -> Resolved:
    link, stored = work.link, proved(work.link, row["card_id"])
    taken_back = Decision(stored)
    instead_of = ""
    if row["closed_at"] is not None:
        taken_back = _taken_back(link, row, stored)
        instead_of = said_words(link, row["decided"], row["resolution"])
    before = taken_back.card
    case = case_of(link, row, before, places)
    _check_fits(case, resolution)
    decision = _carried_out(stored, taken_back, work, case, resolution, preview=preview)
    opened = tuple(conflict.summary for conflict in decision.conflicts if conflict.settled is None)
    looks = tuple(p.side for p in decision.card.presences if p.stale)
    return Resolved(
        False,
        before.balance_minor,
        decision.card.balance_minor,
        decision.intents,
        opened,
        looks,
        tuple(_side_changes(before, decision)),
        instead_of,
        preview,
    )


def _taken_back(link: Link, row: Mapping[str, Any], card: Card) -> Decision:
    """The card without the decision that was taken before. Raises NotResolved once that was carried out."""
    decided = row["decided"]
    undo = None if decided.get("undo") is None else Undo.load(decided["undo"])
    why = f"conflict {row['id']} was decided anew"
    found = None if undo is None else resolutions.taken_back(card, undo, decided["markers"], why)
    if found is None:
        raise NotResolved(_stands(link, row))
    if not is_as_decided(row["id"], row["card_id"], decided, link.store.vault):
        raise NotResolved(
            say(
                "what was decided about conflict {id} was written by an older giftsync or changed in the "
                "database, so it cannot be taken back; what is wrong now is put right on one side",
                id=row["id"],
            )
        )
    return found


def _side_changes(before: Card, decision: Decision) -> Iterator[SideChange]:
    """What changes on each side that has the card, and on each where it is made."""
    created = {intent.side for intent in decision.intents if intent.kind is EffectKind.CREATE}
    was = {p.side: p for p in before.presences if p.born}
    for q in decision.card.presences:
        if q.side in created:
            change = _side_change(was.get(q.side, q), decision.card)
            yield replace(change, last_chars=q.last_chars, made=True)
        elif q.side in was:
            yield _side_change(was[q.side], decision.card)


def _side_change(p: Presence, after: Card) -> SideChange:
    q = next((q for q in after.presences if q.side == p.side), p)
    looks = q.stale and not p.stale
    shows = after.balance_minor if looks else q.shadow_minor
    return SideChange(
        p.side,
        p.last_chars,
        p.shadow_minor,
        shows,
        p.shadow_status,
        q.shadow_status,
        p.shadow_expires_on,
        q.shadow_expires_on,
        looks,
    )


def _carried_out(
    stored: Card, taken_back: Decision, work: Work, case: Case, resolution: Resolution, *, preview: bool
) -> Decision:
    """What follows for the card, committed with the resolution unless it is only a preview.

    `taken_back` is the `stored` card without an earlier decision that this one replaces.
    """
    card, store = taken_back.card, work.link.store
    replaces = taken_back != Decision(card) or not is_open(work.link.store.engine, case.id)
    said = NewResolution(case.id, resolution.action.value, resolution.by, resolution.why)
    said = replace(said, decided=resolution.dump(store.vault), replaces=replaces)
    if resolution.action is Action.LINK:
        named = _named(card, work, case.side, resolution.card)
        if named.owner is not None and named.owner != card.id:
            with _held(
                work.link, named.owner, say("card {owner}", owner=named.owner), preview=preview
            ) as other:
                return _merged(card, work, other, named, said, preview=preview)
        decision = _link(card, work, named)
    else:
        decision = _decision(card, work, case, resolution)
        # What a person saw with their own eyes, and what giftsync was told to try, cannot be taken back.
        if resolution.action not in (Action.LANDED, Action.NOT_LANDED):
            undo = Undo.of(card, decision.card).dump()
            said = replace(said, decided={**said.decided, "undo": undo})
    if not preview:
        whole = replace(
            decision,
            movements=taken_back.movements + decision.movements,
            intent_changes=taken_back.intent_changes + decision.intent_changes,
            resolution=said,
        )
        work.commit(stored, whole)
    return decision


def proved(link: Link, card_id: int) -> Card:
    """The card as giftsync wrote it. Raises NotResolved when its rows are not."""
    try:
        return link.store.load(card_id)
    except Tampered:
        found = in_a_row(one.summary for one in differences(link.store, card_id)[: tampered.FOUND_MAX])
        raise NotResolved(
            say(
                "the rows of card {card_id} are not as giftsync wrote them: {found}",
                card_id=card_id,
                found=found,
            )
        ) from None


def _resolve_tampered(
    work: Work,
    row: Mapping[str, Any],
    resolution: Resolution,
    preview: bool,
    places: Mapping[str, Place] | None,
) -> Resolved:
    """Of a card whose rows are not as giftsync wrote them: it cannot be loaded before it is decided."""
    link = work.link
    if row["closed_at"] is not None:
        raise NotResolved(_stands(link, row))
    case = case_of(link, row, _loaded(link, row["card_id"]), places)
    _check_fits(case, resolution)
    said = NewResolution(case.id, resolution.action.value, resolution.by, resolution.why)
    said = replace(said, decided=resolution.dump(link.store.vault))
    if resolution.action is Action.RETRY:
        card = proved(link, row["card_id"])
        if not preview:
            work.commit(card, replace(tampered.cleared(card), resolution=said))
        return Resolved(False, card.balance_minor, card.balance_minor, preview=preview)
    if resolution.action is Action.IGNORE:
        if not preview:
            _ignore_tampered(link, said, row["card_id"])
        return Resolved(False, preview=preview)
    try:
        rebuilt = rebuild(link.store, row["card_id"], link.currency)
        decision = _rebuilt(work, case, resolution, rebuilt)
        if not preview:
            commit_rebuilt(link.store, work.lease, rebuilt, replace(decision, resolution=said), link.clock())
    except NotRebuilt as error:
        raise NotResolved(
            say("{error}: put the rows back from a backup, then say retry", error=error)
        ) from None
    return Resolved(
        False,
        rebuilt.before_minor,
        decision.card.balance_minor,
        decision.intents,
        tuple(conflict.summary for conflict in decision.conflicts if conflict.settled is None),
        tuple(p.side for p in decision.card.presences if p.stale),
        tuple(_side_change(replace(p, stale=False), decision.card) for p in rebuilt.card.presences if p.born),
        preview=preview,
    )


def _ignore_tampered(link: Link, said: NewResolution, card_id: int) -> None:
    """Close the conflict and touch nothing of the card: nobody knows which card it is on its sides."""
    with link.store.engine.begin() as connection:
        write_resolution(connection, said, link.clock(), card_id, link.store.vault)


def _loaded(link: Link, card_id: int) -> Card | None:
    """The card, if its rows are as giftsync wrote them."""
    try:
        return link.store.load(card_id)
    except InvariantBroken:
        return None


def _rebuilt(work: Work, case: Case, resolution: Resolution, rebuilt: Rebuilt) -> Decision:
    """The card as its history has it, or worth what the person says."""
    why = f"{resolution.by}: {resolution.why}"
    draft = tampered.recorded(rebuilt, why)
    if resolution.action is Action.REBUILD:
        if not rebuilt.proved:
            raise NotRebuilt(say("its history does not prove what giftsync wrote last; say value, or"))
        return draft.decision()
    if not rebuilt.proved:
        if _may_still_land(work.link, rebuilt.card):
            raise NotResolved(
                say("a request for the card may still take effect; say it again in some minutes")
            )
        resolutions.without_requests(draft, "a person said what the card is worth")
    shown = observe_all(replace(draft.card, held=False, behind=False), work)
    unread = [side for side, one in shown.items() if isinstance(one, Unreadable)]
    if unread:
        raise NotResolved(
            say("{join} cannot be read now; say it again when it answers", join=both(sorted(unread)))
        )
    shows = [one.balance_minor for one in shown.values() if isinstance(one, Seen)]
    value = value_of(resolution, {})
    _check_amount(case, draft.card, value, max([draft.card.balance_minor if rebuilt.proved else 0, *shows]))
    return resolutions.settle_tampered(draft, shown, value, work.link.rules, work.link.today, why)


def _may_still_land(link: Link, card: Card) -> bool:
    """Whether some request was sent so lately that its side may still carry it out."""
    markers = [i.marker for i in card.open_intents if i.state is not IntentState.PLANNED]
    since = link.clock() - timedelta(seconds=link.quiet_seconds)
    last = last_step_at(link.store.engine, markers)
    return last is not None and last > since


@contextmanager
def _held(link: Link, card_id: int, what: str, *, preview: bool) -> Iterator[Work]:
    """The card to decide about: claimed, or only looked at."""
    if preview:
        yield looked_at(link, card_id)
        return
    with claimed(link, card_id, what) as work:
        yield work


def looked_at(link: Link, card_id: int) -> Work:
    """The card without its lease: whoever works on it goes on, and a commit would fail."""
    nobodys = Lease(card_id, f"{link.owner}:preview", NO_FENCING, link.clock())
    return Work(link, nobodys)


@contextmanager
def claimed(link: Link, card_id: int, what: str) -> Iterator[Work]:
    """The card in our hands alone. Raises NotResolved when somebody else keeps it, or takes it meanwhile."""
    lease = claim_soon(link, card_id, "resolve", min(link.lease_seconds, LEASE_SECONDS_MAX))
    now = link.clock()
    if lease is None:
        raise NotResolved(say("the worker has {what} right now; say it again in a moment", what=what))
    work = Work(link, lease)
    try:
        yield work
    except LeaseLost:
        raise NotResolved(
            say("the worker has {what} right now; say it again in a moment", what=what)
        ) from None
    except AlreadyTaken:
        raise NotResolved(
            say("that card became another card's just now; look at the conflict again")
        ) from None
    finally:
        link.store.release(work.lease, now)


def _decision(card: Card, work: Work, about: Case, resolution: Resolution) -> Decision:
    """Of every action but link, which may concern a second card."""
    if about.kind is ConflictKind.NOTIFICATION:
        return _notification(card, about.side, resolution.action)
    if about.kind is ConflictKind.HISTORY_CHANGED and resolution.action is Action.RETRY:
        _check_history(work.link, card, about)
        return Decision(card)
    match resolution.action:
        case Action.ACKNOWLEDGE | Action.IGNORE | Action.WRITE_OFF:
            # An overdraft was written off when it was found; the person says that this is how it stays.
            return Decision(card)
        case Action.ACCEPT | Action.VALUE:
            if about.kind is ConflictKind.FIRST_CONTACT:
                return _first_contact(card, work, about, resolution)
            if about.kind is ConflictKind.STATUS:
                return _accept_status(card, work, about, resolution)
            if about.kind is ConflictKind.EXPIRY:
                return _accept_expiry(card, work, about, resolution)
            return _set_value(_tried_again(card, about.side), work, about, resolution)
        case Action.LANDED | Action.NOT_LANDED:
            intent = _intent_in_doubt(card, str(about.evidence.get("marker")))
            if resolution.action is Action.LANDED:
                native_id = card.presence(intent.side).native_id or ""
                return protocol.land(card, intent, 1, native_id, f"said by {resolution.by}")
            return protocol.absent(card, intent)
        case _:  # Retry.
            return Decision(_tried_again(card, about.side))


def _check_history(link: Link, card: Card, about: Case) -> None:
    """Raises NotResolved while rows of the card are not as giftsync wrote them."""
    found = differences(link.store, card.id or 0)
    changed = [one.summary for one in found if one.kind is not FindingKind.OUT_OF_STEP]
    if changed:
        words = in_a_row(changed[: tampered.FOUND_MAX])
        raise NotResolved(
            say(
                "rows of {card} are still not as giftsync wrote them: {words}",
                card=about.ends_in,
                words=words,
            )
        )


def _notification(card: Card, side: str, action: Action) -> Decision:
    if action is Action.RETRY:
        return notification.notify_again(card, side)
    # It is settled: how the buyer is reached is not needed any more.
    return Decision(notification.forgotten(card, side))


def _tried_again(card: Card, side: str | None) -> Card:
    """The card with its presence on the side to be observed and then written anew."""
    if side is None or all(p.side != side for p in card.presences):
        raise NotResolved(say("the card is not on that side, so nothing can be tried again there"))
    p = replace(card.presence(side), hold=None, stale=True, refusal=None, refusals=0)
    return replace(card, presences=tuple(p if q.side == side else q for q in card.presences))


def _set_value(card: Card, work: Work, about: Case, resolution: Resolution) -> Decision:
    """What the ledger knows of each side stands; the hub's balance is what the person says.

    What a customer did meanwhile comes in as a movement at the next look, and is added to it.
    """
    shown = {p.side: p.shadow_minor for p in card.presences if p.born}
    value = value_of(resolution, shown)
    _check_amount(about, card, value, max([card.balance_minor, *shown.values()]))
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
        raise NotResolved(say("say which card on {side} it is", side=side))
    if any(p.side == side and p.open_intents for p in card.presences):
        raise NotResolved(
            say("something is still under way on {side}; `giftsync cards show {id}`", side=side, id=card.id)
        )
    seen = _look(work, side, ref)
    named = ref if seen is None else CardRef(seen.native_id, seen.serial or ref.serial)
    return _Named(side, named, seen, Intake(link.store.engine, link.store.vault).card_of(side, named))


def _link(card: Card, work: Work, named: _Named) -> Decision:
    """The card goes on with the one that the person named; with a number that nobody has, it is made."""
    link, side, serial = work.link, named.side, named.ref.serial
    today = link.today
    if named.seen is not None:
        there = next((p for p in card.presences if p.side == side and p.born), None)
        # A side that shows another number under the same id may have given the card that number.
        renumbered = there is not None and there.hold is Hold.OTHER_CARD
        if there is not None and there.native_id == named.seen.native_id and not renumbered:
            raise NotResolved(say("that is the card that it has there already; say retry"))
        return resolutions.link_presence(card, side, named.seen, serial, link.rules, today)
    if serial is None:
        raise NotResolved(say("{side} has no such card", side=side))
    reason = work.side(side).capabilities.accepts_serial(serial)
    if reason is not None:
        raise NotResolved(
            say(
                "{side} has no such card, and none can be made there: the number {reason}",
                side=side,
                reason=reason,
            )
        )
    if not link.rules.side(side).creates:
        raise NotResolved(say("{side} has no such card, and giftsync does not make cards there", side=side))
    return resolutions.renumber(card, side, serial, link.rules, today)


def _merged(
    kept: Card, work: Work, other: Work, named: _Named, said: NewResolution, *, preview: bool
) -> Decision:
    """The card goes on with what another card of the hub has on the side, and that one ends."""
    link, side = work.link, named.side
    ended = proved(link, other.lease.card_id)
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
            reason = say("it has just changed on {side}; run `giftsync sync`, then say it again", side=side)
    if reason is not None or seen is None:
        raise NotResolved(
            say(
                "that one is card {id} already (`giftsync cards show {id}`): {reason}",
                id=ended.id,
                reason=reason,
            )
        )
    today = link.today
    merged = merge.merge(
        kept,
        ended,
        side,
        seen,
        named.ref.serial,
        link.rules,
        today,
        f"{said.by}: {said.why}",
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
        raise NotResolved(say("{side} cannot be asked now: {error}", side=side, error=error)) from None
    match found:
        case Seen(status=None) | Seen(status=CardStatus.CLOSED):
            raise NotResolved(
                say("that card is {lower} on {side}", lower=found.status_text.lower(), side=side)
            )
        case Seen() if found.currency != work.link.currency:
            raise NotResolved(
                say(
                    "that card is in {currency}, the link in {currency2}",
                    currency=found.currency,
                    currency2=work.link.currency,
                )
            )
        case Seen():
            return found
        case Absent():
            return None
        case Unreadable():
            raise NotResolved(say("{side} does not show that card: {reason}", side=side, reason=found.reason))


def _accept_status(card: Card, work: Work, about: Case, resolution: Resolution) -> Decision:
    """The status that a side shows, or showed when two changed it, is the card's, and the others follow."""
    shown = {p.side: p.shadow_status for p in card.presences if p.born}
    if about.situation is Situation.STATUS_DIFFERS:
        told = about.evidence.get("shown")
        shown = {side: CardStatus(text) for side, text in (told if isinstance(told, dict) else {}).items()}
    if resolution.side not in shown:
        raise NotResolved(say("say which side's status is right: {join}", join=", ".join(shown)))
    if card.status is CardStatus.CLOSED:
        raise NotResolved(say("the card is closed, and giftsync never opens a closed card again"))
    today = work.link.today
    return resolutions.set_status(card, shown[resolution.side], work.link.rules, today)


def _accept_expiry(card: Card, work: Work, about: Case, resolution: Resolution) -> Decision:
    """The date that a side showed when two changed it is the card's, and the others follow."""
    told = about.evidence.get("shown")
    day = (told if isinstance(told, dict) else {})[resolution.side]
    expires_on = None if day == "never" else date.fromisoformat(day)
    return resolutions.set_expiry(card, expires_on, work.link.rules, work.link.today)


def value_of(resolution: Resolution, shown: dict[str, int]) -> int:
    """The balance that the person chose, in minor units."""
    if resolution.action is Action.VALUE:
        if resolution.value_minor is None or resolution.value_minor < 0:
            raise NotResolved(say("say the amount, zero or more, that the card is worth"))
        return resolution.value_minor
    if resolution.side not in shown:
        raise NotResolved(say("say which side's balance is right: {join}", join=", ".join(shown)))
    return shown[resolution.side]


def _check_amount(about: Case, card: Card, value_minor: int, most_minor: int) -> None:
    """Raises NotResolved for an amount that is a slip, that a side refuses, or that would stop the link."""
    value = about.money(value_minor)
    if value_minor > most_minor:
        raise NotResolved(
            say(
                "{value} is more than was ever on the card: its sides show {amount} at most. "
                "If it is right, settle with that amount and load the rest at a till",
                value=value,
                amount=about.money(most_minor),
            )
        )
    for p in card.presences:
        rules = about.rules.side(p.side)
        change = abs(value_minor - p.shadow_minor)
        name, limit = about.place(p.side).name, rules.card_limit_minor
        if limit is not None and value_minor > max(limit, p.shadow_minor):
            raise NotResolved(
                say(
                    "{name} allows {amount} on one card, so {value} cannot go there",
                    name=name,
                    amount=about.money(limit),
                    value=value,
                )
            )
        bound = about.limits.card_money_minor
        if bound is not None and change > bound and p.shadow_status is not CardStatus.CLOSED:
            raise NotResolved(
                say(
                    "{name} would change by {amount}, and one card may change by {amount2} at once "
                    "(brakes.money_per_card): the link would stop. Raise that bound first if it is "
                    "right",
                    name=name,
                    amount=about.money(change),
                    amount2=about.money(bound),
                )
            )


def _first_contact(card: Card, work: Work, about: Case, resolution: Resolution) -> Decision:
    """Take what both sides show now, then set the balance that the person chose."""
    shown = observe_all(replace(card, held=False), work)
    adopted = resolutions.adopt_shown(card, shown, work.link.rules)
    shows = first_contact.values(adopted.card)
    value = value_of(resolution, shows)
    # Both may be right in part: two cards with one number, each loaded by itself.
    _check_amount(about, adopted.card, value, sum(shows.values()))
    today = work.link.today
    said = f"{resolution.by}: {resolution.why}"
    side = resolution.side if resolution.action is Action.ACCEPT else None
    return resolutions.resolve_first_contact(adopted, value, side, work.link.rules, today, said)


def _intent_in_doubt(card: Card, marker: str) -> Intent:
    for intent in card.open_intents:
        if intent.marker == marker:
            return intent
    raise NotResolved(say("the request is not in doubt any more; look at the conflict again"))


def _close(link: Link, row: Mapping[str, Any], resolution: Resolution) -> None:
    """Settle a conflict of the whole link; a card that waits outside the hub is looked at again at once."""
    arrival = arrival_of(row["cause"])
    looks = arrival if resolution.action is not Action.IGNORE else None
    said = NewResolution(
        row["id"],
        resolution.action.value,
        resolution.by,
        resolution.why,
        resolution.dump(link.store.vault),
    )
    settle_without_card(link.store.engine, said, looks, link.clock())
