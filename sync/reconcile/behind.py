"""A ledger that may not be the newest or the only one: what is told of it, and what is read first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from connectors.api.card import CardRef, Observation, Seen
from connectors.api.effect import CannotTell, EffectKind, Found, NotFound
from connectors.api.errors import NoAnswer, SideClosed
from connectors.api.side import Side
from mappings.money import format_money
from sync.decisions import lost, notification, protocol
from sync.decisions.looks import IDEMPOTENT
from sync.ledger.cards.undecided import undecided_cards
from sync.ledger.conflicts.of_link import LinkConflict, end, keep_open
from sync.ledger.database.engine import Engine
from sync.ledger.database.generation import has_a_second
from sync.ledger.incoming import traces
from sync.ledger.secrets import creates
from sync.model import (
    Card,
    ConflictKind,
    Intent,
    IntentState,
    KnownMarker,
    LostEffect,
    NewConflict,
    Presence,
    Told,
    Traces,
)
from sync.reconcile.brakes import BrakeTripped
from sync.reconcile.execute import effect_of
from sync.reconcile.work import Work

CAUSE = "ledger_behind"
SECOND_LEDGER = "second_ledger"
WHY_AGAIN = "the ledger was put back; what is owed is worked out anew"
CARDS_NAMED_MAX = 50


# --- Telling ------------------------------------------------------------------------------------------------


def second_ledger(side: str, markers: Iterable[str]) -> BrakeTripped:
    """A side shows new effects of giftsync's that this ledger did not make."""
    named = sorted(set(markers))
    conflict = NewConflict(
        ConflictKind.SECOND_LEDGER,
        SECOND_LEDGER,
        f"{side} shows {len(named)} change(s) that giftsync made with another ledger than this one. "
        "The link has stopped.",
        side,
        proposal="Either a second giftsync works for these sides, or this ledger was put back to an earlier "
        "state. Stop the other one for good, or put the newest ledger back; then `giftsync resume`. "
        "The ledger that goes on first reads back what the other did.",
        evidence={"markers": named[:CARDS_NAMED_MAX]},
    )
    return BrakeTripped(conflict)


def tell_of_undecided(engine: Engine, currency: str, now: datetime) -> int:
    """Keep the one conflict of the link that says which cards wait; returns how many these are."""
    found = undecided_cards(engine)
    if not found:
        end(engine, CAUSE, now)
        return 0
    money = sum(card.balance_minor for card in found)
    told = LinkConflict(
        ConflictKind.LEDGER_BEHIND.value,
        CAUSE,
        f"The ledger was put back to an earlier state, and the sides' books do not say what became of "
        f"{len(found)} card(s) since, with {format_money(money, currency)} on them as far as this ledger "
        "knows. Nothing is written to them; all other cards go on.",
        money,
        currency,
        "Put a newer ledger back, if there is one. Otherwise `giftsync recover` shows what the sides show "
        "of each card, and `giftsync recover --card ID --accept SIDE` or `--value AMOUNT` settles it.",
        {"cards": [card.card_id for card in found[:CARDS_NAMED_MAX]], "number_of_cards": len(found)},
    )
    keep_open(engine, told, now)
    return len(found)


# --- One card -----------------------------------------------------------------------------------------------


def look_for_promised(card: Card, work: Work) -> tuple[Card, bool]:
    """Look for every open intent of a card that is behind, planned ones too; whether all could be told.

    No request of the lost ledger can still be on its way: that was waited out before any card was decided.
    """
    told = traces.told_of(work.link.store.engine, work.lease.card_id)
    for intent in card.open_intents:
        if intent.kind is EffectKind.NOTIFY:
            words = "the ledger was put back; the buyer may have been told already"
            card = work.commit(card, notification.in_doubt(card, intent, words))
        elif intent.kind in IDEMPOTENT:
            if intent.state is not IntentState.PLANNED:
                card = work.commit(card, protocol.absent(card, intent))
        else:
            looked = _look_for(card, intent, told.get(intent.side, ()), work)
            if looked is None:
                return card, False
            card = looked
    return work.commit(card, protocol.given_up(card, WHY_AGAIN)), True


def _look_for(card: Card, intent: Intent, told: Iterable[Told], work: Work) -> Card | None:
    """The card once it is known whether the intent has landed; None while it cannot be told."""
    p = card.presence(intent.side)
    landed = [one for one in told if one.marker == intent.marker]
    try:
        if landed:
            if any(one.amount_minor is None for one in landed):
                return None
            native_id = p.native_id or _native_id(p, work)
            if native_id is None:
                return None
            reference = landed[0].reference
            return work.commit(card, protocol.land(card, intent, len(landed), native_id, reference))
        found = work.side(p.side).find(effect_of(card, intent))
    except NoAnswer:
        return None
    except SideClosed as error:
        work.report_closed(p.side, error)
        return None
    match found:
        case Found():
            reference = found.reference or ""
            landing = protocol.land(card, intent, found.landings, found.native_id, reference, found.serial)
            return work.commit(card, landing)
        case NotFound():
            planned = intent.state is IntentState.PLANNED
            return card if planned else work.commit(card, protocol.absent(card, intent))
        case CannotTell():
            if intent.state is not IntentState.PLANNED:
                until = work.clock()
                work.commit(card, protocol.unclear(card, intent, found.reason, until))
            return None


def _native_id(p: Presence, work: Work) -> str | None:
    seen = None if p.serial is None else work.side(p.side).lookup(p.serial)
    return seen.native_id if isinstance(seen, Seen) else None


def traces_of(
    card: Card, observations: dict[str, Observation], marked: dict[str, KnownMarker], work: Work
) -> Traces:
    """What is known of the card beside what its sides showed.

    Raises BrakeTripped when a side shows an effect of giftsync's that a newest and only ledger would know.
    """
    store = work.link.store
    seen = {p.side: o for p in card.presences if isinstance(o := observations.get(p.side), Seen)}
    if not card.behind:
        for side, one in seen.items():
            strange = lost.unknown(card, side, one, marked) if card.presence(side).born else []
            if strange:
                raise second_ledger(side, [effect.marker for effect in strange])
    made_by = {
        side: str(one.created_by)
        for side, one in seen.items()
        if not card.presence(side).born and one.created_by is not None and one.created_by not in marked
    }
    if not card.behind and not made_by:
        return Traces()
    told = traces.told_of(store.engine, work.lease.card_id)
    made: dict[str, LostEffect | None] = {}
    for side, marker in made_by.items():
        if marker not in creates.markers(creates.sources(card.presences, store.vault), side, store.vault):
            continue
        whole = _with_entries(seen[side], work.side(side))
        if whole is None:
            del observations[side]  # Looked at again later.
        else:
            made[side] = _create_of(whole, marker, told.get(side, ()))
    if not card.behind:
        return Traces(made=made)
    showing = frozenset(p.side for p in card.presences if traces.shows_ours(store.engine, p.side))
    markers = [one.marker for lines in told.values() for one in lines if one.marker is not None]
    marked.update(store.marked(work.lease.card_id, markers))
    history: Mapping[str, Sequence[int]] = {}
    if has_a_second(store.engine):
        history = traces.moved_by_customers(store.engine, work.lease.card_id)
    return Traces(told, showing, history, made)


def _with_entries(seen: Seen, side: Side) -> Seen | None:
    """The card with what has happened to it since it was made; None when it cannot be read."""
    if not side.capabilities.lists_entries:
        return seen
    try:
        found = next(iter(side.observe([CardRef(seen.native_id)], entries=True)))
    except (NoAnswer, SideClosed):
        return None
    return found if isinstance(found, Seen) else None


def _create_of(seen: Seen, marker: str, told: Iterable[Told]) -> LostEffect | None:
    """The create that made the card, with its amount if the side's book has it."""
    if seen.entries is not None:
        amount = seen.balance_minor - sum(entry.amount_minor for entry in seen.entries)
        return LostEffect(marker, amount, seen.native_id) if amount > 0 else None
    amounts = [one.amount_minor for one in told if one.marker == marker]
    if len(amounts) == 1 and amounts[0] is not None and amounts[0] > 0:
        return LostEffect(marker, amounts[0], seen.native_id)
    return None
