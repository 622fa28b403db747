"""Bring one card in step: recover, observe, decide, execute, until nothing is left to do now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from functools import partial

from connectors.api.card import CardRef, Observation, Seen, Unreadable
from connectors.api.errors import InDoubt, NoAnswer, NotSent, SideClosed, Throttled
from sync.crashpoints import crashpoint
from sync.decisions import authority, deviations, protocol
from sync.decisions.poll_order import ReadBy
from sync.decisions.protocol import UNCLEAR_READS_MAX, UNREADABLE_MAX
from sync.ledger.cards.recorded import recorded
from sync.ledger.cards.store import Lease, Release
from sync.ledger.incoming.polls import ReadRecord
from sync.model import (
    Card,
    Decision,
    Hold,
    Intent,
    IntentState,
    KnownMarker,
    LeaseLost,
    LinkStopped,
    Presence,
    Tampered,
)
from sync.reconcile import tampered
from sync.reconcile.behind import look_for_promised, traces_of
from sync.reconcile.brakes import BrakeTripped
from sync.reconcile.execute import POSTPONED_MAX, commit_and_send, debit_waits, execute, next_intent
from sync.reconcile.recover import recover
from sync.reconcile.work import Link, OnRead, Work

#: A limit on every loop: rounds of looking and executing before the card goes to the back of the queue.
ROUNDS_MAX = 6
EXECUTIONS_MAX = 64
#: When a side could not be read, or rounds ran out.
AGAIN_SECONDS = 5.0
REDEMPTION_WAIT_MAX = timedelta(hours=1)


def prefetch(link: Link, leases: Sequence[Lease]) -> dict[int, dict[str, Observation]]:
    """Look at many claimed cards with few reads, on the sides that read in batches; by card and side.

    The leases are held already, so nothing of ours can move a card between this look and its decision. A side
    that cannot be read is left out: each card asks it again by itself.
    """
    wanted: dict[str, list[tuple[int, CardRef]]] = {}
    for lease in leases:
        try:
            card = link.store.load(lease.card_id)
        except Tampered:
            continue  # Whoever works on it holds it.
        for p in () if card.held else card.presences:
            if lease.due_for not in (None, p.side):
                continue
            if p.born and not p.stale and not p.open_intents and p.native_id is not None:
                wanted.setdefault(p.side, []).append((lease.card_id, CardRef(p.native_id, p.serial)))
    looked: dict[int, dict[str, Observation]] = {lease.card_id: {} for lease in leases}
    for name, refs in wanted.items():
        side = link.sides.get(name)
        if side is None or side.capabilities.read_batch_max == 1 or len(refs) == 1:
            continue
        try:
            for (card_id, _), seen in zip(refs, side.observe([ref for _, ref in refs]), strict=True):
                looked[card_id][name] = seen
        except (NoAnswer, SideClosed):
            continue
    return looked


def reconcile(
    link: Link,
    lease: Lease,
    run_id: int | None = None,
    looked: Mapping[str, Observation] | None = None,
    saw: OnRead = lambda side, look: None,
) -> Card | None:
    """Work on a claimed card and give it back, due again when something waits.

    A card that is not as giftsync wrote it is held instead, before any side is asked.
    `looked` is what `prefetch` saw under this lease; `saw` is told of every look. Returns the card as it
    stands, or None when another worker took it meanwhile or it is held. Raises BrakeTripped when the link
    must stop, and LinkStopped when somebody else has stopped it; the card is given back then, too.
    """
    work = Work(link, lease, run_id, saw)
    try:
        card, unread = _work(work, looked or {})
        if not work.released:
            again_at = due_at(card, unread, link.clock())
            link.store.release(work.lease, again_at, awaits_side=_awaits_side(card))
    except LeaseLost:
        return None
    except Tampered:
        tampered.report(link, work.lease)
        return None
    except (BrakeTripped, LinkStopped):
        # Nothing was sent: the card waits with its plans until a person resumes the link.
        link.store.release(work.lease, link.clock())
        raise
    return card


def _work(work: Work, looked: Mapping[str, Observation]) -> tuple[Card, bool]:
    """The card after the work, and whether a side could not be read."""
    card = work.link.store.load(work.lease.card_id)
    if card.recorded:
        card = enter(card, work)
    card = work.commit(card, tampered.cleared(card))
    if card.behind and not card.held:
        card, told = look_for_promised(card, work)
        if not told:
            return card, True
        card = enter(card, work)
    card = recover(card, work)
    card = work.commit(card, protocol.withdrawn(card, work.link.rules))
    unread, unseen = False, set[str]()
    for _ in range(ROUNDS_MAX):
        work.keep_lease()
        unseen = {p.side for p in card.presences if p.born and p.open_intents}
        observations = observe_all(card, work, looked)
        looked = {}
        crashpoint("reconcile.observed")
        decision = _decision(card, observations, work)
        decided = decision.card
        unread = any(
            isinstance(o, Unreadable) and decided.presence(side).hold is not Hold.UNREADABLE
            for side, o in observations.items()
        )
        if decided.behind and not decided.held:
            # A card that a newer ledger made was found just now: its book is read next.
            unseen |= {p.side for p in decided.presences if p.born} - observations.keys()
        work.at_rest = partial(_at_rest, unread=unread, unseen=unseen, work=work)
        card = commit_and_send(card, decision, work)
        card = conclude(_execute_all(card, work), work)
        if work.released or not _wants_another_look(card, unseen, work):
            break
    unread = unread or (card.behind and not card.held)
    return card, unread or _wants_another_look(card, unseen, work)


def _at_rest(card: Card, unread: bool, unseen: Collection[str], work: Work) -> Release | None:
    """How to give the card back if nothing is left to do with it now."""
    ready = next_intent(card, work)
    sends = ready is not None and ready.side not in work.closed
    if sends or card.redemptions or _wants_another_look(card, unseen, work):
        return None
    unread = unread or (card.behind and not card.held)
    return Release(due_at(card, unread, work.clock()), _awaits_side(card))


def observe_all(
    card: Card, work: Work, looked: Mapping[str, Observation] | None = None
) -> dict[str, Observation]:
    """Ask each side for its presence, unless an open intent makes the answer ambiguous.

    Its entries are read when its balance has moved, and always where a request was once in doubt: that
    request may land after all and hide a customer's movement of the same amount the other way.
    """
    seen: dict[str, Observation] = {}
    doubted: frozenset[str] | None = None
    for p in card.presences:
        if not _is_wanted(card, p, work):
            continue
        lists_entries = p.born and work.side(p.side).capabilities.lists_entries
        # Where a hint told of this side, the balance has mostly moved: one read is enough.
        entries = lists_entries and (work.lease.due_for == p.side or card.behind)
        observation = None if card.behind else (looked or {}).get(p.side)
        observation = observation or _ask(p, work, entries=entries)
        _tell(p, observation, work)
        if lists_entries and isinstance(observation, Seen) and observation.entries is None:
            if doubted is None:
                asked = card.chain.asked.doubted
                doubted = work.link.store.doubted_sides(work.lease.card_id) if asked else frozenset()
            if observation.balance_minor != p.shadow_minor or p.side in doubted:
                observation = _ask(p, work, entries=True)
        seen[p.side] = observation
    return seen


def _is_wanted(card: Card, p: Presence, work: Work) -> bool:
    """Whether the presence is to be looked at, and what is seen can be told from what is on its way."""
    wanted = (p.born and not (card.held and card.behind)) or (p.stale and not card.held)
    if p.open_intents or p.side in work.closed or not wanted:
        return False
    # A hint was about another side; whoever moves this one will be told of too.
    return work.lease.due_for in (None, p.side) or p.stale or card.behind


def _ask_together(card: Card, work: Work, pool: Executor) -> dict[str, Observation]:
    """Ask all sides at the same time: they know nothing of each other, and somebody waits for the answer."""
    wanted = [p for p in card.presences if _is_wanted(card, p, work)]
    return dict(
        zip((p.side for p in wanted), pool.map(partial(_ask, work=work, entries=False), wanted), strict=True)
    )


def _tell(p: Presence, observation: Observation, work: Work) -> None:
    if p.id is not None:
        by = ReadBy.HINT if work.lease.due_for == p.side else ReadBy.OVERDUE
        work.saw(p.side, ReadRecord.of(p.id, p.shadow_minor, p.shadow_status, observation, by))


def _ask(p: Presence, work: Work, *, entries: bool) -> Observation:
    side = work.side(p.side)
    try:
        if p.native_id is None and p.serial is not None:
            return side.lookup(p.serial)
        return next(iter(side.observe([CardRef(p.native_id, p.serial)], entries=entries)))
    except InDoubt as error:
        return Unreadable(str(error), work.clock(), error.answered)
    except (NotSent, Throttled) as error:
        return Unreadable(str(error), work.clock(), answered=False)
    except SideClosed as error:
        work.report_closed(p.side, error)
        return Unreadable(str(error), work.clock(), answered=False)


def _decision(card: Card, observations: dict[str, Observation], work: Work) -> Decision:
    today = work.link.today
    marked = _known_effects(card, observations, work)
    traces = traces_of(card, observations, marked, work)
    return protocol.observe(card, observations, work.link.rules, today, marked, traces)


def _known_effects(card: Card, observations: Mapping[str, Observation], work: Work) -> dict[str, KnownMarker]:
    """What the ledger knows of the markers that the sides show; all effects where some may be gone there.

    A payment that a shop does not list makes no statement more than one that it lists.
    """
    store, markers = work.link.store, markers_of(card, observations)
    unlisted = [
        deviations.unlisted_minor(card.presence(side), seen)
        for side, seen in observations.items()
        if isinstance(seen, Seen)
    ]
    may_lack = any(minor > 0 for minor in unlisted) or (markers and any(unlisted))
    landed = store.landed(work.lease.card_id) if may_lack else {}
    return {**landed, **store.marked(work.lease.card_id, [m for m in markers if m not in landed])}


def markers_of(card: Card, observations: Mapping[str, Observation]) -> list[str]:
    """Markers that the sides show, and that the ledger may know."""
    seen = {side: o for side, o in observations.items() if isinstance(o, Seen)}
    markers = {e.marker for o in seen.values() for e in o.entries or ()}
    markers |= {o.created_by for side, o in seen.items() if not card.presence(side).born}
    return sorted(marker for marker in markers if marker is not None)


def _execute_all(card: Card, work: Work) -> Card:
    for _ in range(EXECUTIONS_MAX):
        ready = None if work.released else next_intent(card, work)
        if ready is None or ready.side in work.closed:
            break
        card = execute(card, ready, work)
    return card


def enter(card: Card, work: Work) -> Card:
    """Take off the card what was recorded for it. A ledger that is behind reads its books first."""
    store = work.link.store
    waiting = () if card.behind else recorded(store.engine, store.vault, work.lease.card_id)
    if not waiting:
        return card
    return work.commit(card, authority.enter(card, waiting, work.link.rules, work.link.today))


def conclude(card: Card, work: Work) -> Card:
    """End the redemptions that are certain or have come to their end, and carry out what follows."""
    while card.redemptions:
        work.keep_lease()
        link = work.link
        after = work.commit(card, authority.conclude(card, link.rules, link.today, work.clock()))
        if after is card:
            return card
        card = _execute_all(after, work)
    return card


def _wants_another_look(card: Card, unseen: Collection[str], work: Work) -> bool:
    """A refusal is explained at once, by observing the presence that gave it.

    A presence that could not be observed because of an open intent is observed as soon as that has ended: the
    hint that brought us here may have been about it, and claiming the card has used the hint up.
    """
    return any(
        (p.stale or p.side in unseen)
        and not p.open_intents
        and p.side not in work.closed
        and p.hold is not Hold.UNREADABLE
        for p in card.presences
    )


def look(card: Card, work: Work, pool: Executor | None = None) -> tuple[Card, frozenset[str]]:
    """Recover, look at every side and decide once; also the sides that were not seen as they are.

    With a pool the sides are asked at the same time, otherwise one after the other.
    """
    card = recover(enter(card, work), work)
    card = work.commit(card, protocol.withdrawn(card, work.link.rules))
    if card.behind:
        return card, frozenset(p.side for p in card.presences)
    observations = observe_all(card, work, {} if pool is None else _ask_together(card, work, pool))
    crashpoint("reconcile.observed")
    unread = {side: seen for side, seen in observations.items() if isinstance(seen, Unreadable)}
    work.cvc_refused |= {side for side, seen in unread.items() if seen.wants_cvc}
    work.cvc_needed |= {s for s, seen in observations.items() if isinstance(seen, Seen) and seen.needs_cvc}
    # That a caller's CVC is wrong says nothing about the card.
    observations = {side: seen for side, seen in observations.items() if side not in work.cvc_refused}
    card = work.commit(card, _decision(card, observations, work))
    work.unseen = any(p.side not in observations for p in card.presences if p.born)
    return card, frozenset(unread)


def due_at(card: Card, unread: bool, now: datetime) -> datetime | None:
    """When the card is to be worked on again; None when only news can change anything."""
    again = now + timedelta(seconds=AGAIN_SECONDS)
    moments = [head.due_at or again for head in _working_heads(card)]
    # An authorization may wait for days, and no moment of the ledger is so far ahead.
    moments += [min(r.ends_at, now + REDEMPTION_WAIT_MAX) for r in card.redemptions]
    # What cannot be believed is looked at again by sweeps and polls, and by whoever says retry.
    if unread or any(p.stale and p.hold is not Hold.UNREADABLE for p in card.presences):
        moments.append(again)
    return min(moments, default=None)


def _working_heads(card: Card) -> list[Intent]:
    """The first intent of each presence that waits neither for a person nor for another one of the card."""
    heads = [p.open_intents[0] for p in card.presences if p.open_intents]
    return [
        head
        for head in heads
        # A credit that waits for a debit is woken with it.
        if not (head.state is IntentState.PLANNED and head.amount_minor > 0 and debit_waits(card))
        and not (head.state is IntentState.IN_DOUBT and head.unclear_reads >= UNCLEAR_READS_MAX)
    ]


def _awaits_side(card: Card) -> bool:
    """Whether no time that is known of brings the card further: only a side that answers does.

    An answer that cannot be believed is asked for again a few times, and so is a side that did not take an
    effect; a single pass waits for both.
    """
    asked_again = any(0 < p.unreadable < UNREADABLE_MAX for p in card.presences)
    in_time = any(
        i.state is not IntentState.PLANNED or i.postponed < POSTPONED_MAX for i in _working_heads(card)
    )
    return not in_time and not card.redemptions and not card.behind and not asked_again
