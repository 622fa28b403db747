"""Cards that a side lacks, because it was not to be written when they were met: they get there now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from connectors.api.card import CardRef
from connectors.api.side import place_of
from mappings.notes import sale_note
from mappings.serials import Serial
from sync.arrivals.deferred import Deferred
from sync.arrivals.match import Matcher
from sync.crashpoints import crashpoint
from sync.decisions import causes
from sync.ledger import views
from sync.ledger.cards.creating import AGREED, CREATED_ON, read_ways, save_ways
from sync.ledger.cards.lacking import lacking_after
from sync.ledger.cards.pool import PoolNumber
from sync.ledger.cards.store import AlreadyThere, Lease, Store, consume
from sync.ledger.database.marks import read_mark, save_mark
from sync.ledger.incoming.intake import Arrival
from sync.ledger.incoming.origins import origin_of
from sync.ledger.secrets.creates import source_of
from sync.model import Card, ConflictKind, Decision, LeaseLost, Presence, Tampered, to_create
from sync.reconcile.work import Link

PAGE_SIZE = 200
#: An import has brought cards to two sides of a link that has more.
_IMPORTED: Final = "imported_to_two_of_several"


def look_for_missing(link: Link) -> None:
    """Have the next pass bring cards to the sides that lack them: an import knows two sides only."""
    if len(link.sides) > 2:
        save_mark(link.store.engine, _IMPORTED, "yes", link.clock())


def newly_created_on(link: Link) -> list[str]:
    """The sides that cards are created on from now on, and were not in the last pass of this ledger."""
    return sorted({way.partition(">")[2] for way in _new_ways(link)})


def _new_ways(link: Link) -> list[str]:
    before = _read(link, CREATED_ON)
    known = before if before is not None else _ways(link)
    return [way for way in _ways(link) if way not in known]


def agree(link: Link, sides: Collection[str]) -> None:
    """Keep that a person agreed to cards on these sides, as `link` would create them, and on no others."""
    ways = [way for way in _new_ways(link) if way.partition(">")[2] in sides]
    _save(link, AGREED, ways)


def not_agreed_on(link: Link) -> list[str]:
    """The sides of `newly_created_on` that nobody agreed to."""
    agreed = _read(link, AGREED) or ()
    return sorted({way.partition(">")[2] for way in _new_ways(link) if way not in agreed})


def add_missing(matcher: Matcher) -> int:
    """Give every card its presence on the sides that are written now; returns how many have to wait.

    Does nothing while the same sides are written as before, unless cards were imported since.
    """
    link = matcher.link
    now_on = _ways(link)
    before = _read(link, CREATED_ON)
    imported = len(link.sides) > 2 and bool(read_mark(link.store.engine, _IMPORTED))
    if before == now_on and not imported:
        _forget_agreement(link)
        return 0
    waiting = 0
    sides = _created_on(link) if before is None or imported else newly_created_on(link)
    for side in sides:
        after_id = 0
        while True:
            ids = lacking_after(link.store.engine, side, after_id, PAGE_SIZE, link.sharing)
            waiting += sum(not _add(matcher, side, card_id) for card_id in ids)
            if len(ids) < PAGE_SIZE:
                break
            after_id = ids[-1]
    if not waiting:
        _save(link, CREATED_ON, now_on)
        _forget_agreement(link)
        # A card that is held on first contact is brought to the others once a person has decided.
        if imported and not _is_any_held(link):
            save_mark(link.store.engine, _IMPORTED, "", link.clock())
    return waiting


def _is_any_held(link: Link) -> bool:
    """Whether a person is to say what a card is worth that was found with several balances."""
    return any(one.kind == ConflictKind.FIRST_CONTACT for one in views.list_conflicts(link.store.engine))


def _forget_agreement(link: Link) -> None:
    """It was for this time: what is switched off and on again is asked again."""
    if _read(link, AGREED):
        _save(link, AGREED, ())


def _read(link: Link, name: str) -> list[str] | None:
    return read_ways(link.store.engine, link.store.vault, name)


def _save(link: Link, name: str, ways: Iterable[str]) -> None:
    save_ways(link.store.engine, link.store.vault, name, ways, link.clock())


def _created_on(link: Link) -> list[str]:
    return sorted(name for name, rules in link.rules.sides.items() if rules.creates)


def _ways(link: Link) -> list[str]:
    """From which side to which cards are created."""
    return [f"{one}>{other}" for one in link.sharing for other in _created_on(link) if one != other]


def _add(matcher: Matcher, side: str, card_id: int) -> bool:
    """Whether the card has its presence, or never will."""
    link = matcher.link
    lease = link.store.claim(card_id, f"{link.owner}:missing", link.clock(), link.lease_seconds)
    if lease is None:
        return False
    try:
        card = link.store.load(card_id)
        if any(p.side == side for p in card.presences):
            return True
        return _add_leased(matcher, lease, card, side)
    except (Deferred, LeaseLost, AlreadyThere, Tampered):
        return False
    finally:
        link.store.release(lease, link.clock())


def _add_leased(matcher: Matcher, lease: Lease, card: Card, side: str) -> bool:
    link, other = matcher.link, matcher.link.sides[side]
    known = next((p for p in card.presences if p.serial is not None), None)
    number: PoolNumber | None = None
    note = ""
    named = next((p for p in card.presences if p.brand), None)
    brand = None if named is None else link.rules.brands.translate(named.side, named.brand or "", side)
    if any(link.rules.brands.excludes(p.side, p.brand or "") for p in card.presences):
        return True
    hidden = next((p for p in card.presences if p.serial is None), None)
    # A number that giftsync gave a card on another side is no number of this one: it is given its own.
    if hidden is None and known is not None and known.serial is not None:
        serial: Serial | None
        serial, reason = matcher.numbers.serial_for(side, known.serial)
        if reason is not None and matcher.numbers.assigns(side):
            serial = None
        elif reason is not None:
            _refuse(link, lease, card, side, reason)
            return True
    else:
        p = hidden or card.presences[0]
        arrival = _as_arrival(link.store, card, p)
        found = matcher.numbers.number_for(side, other, brand, source_of(p.side, p.native_id or ""))
        if found is None:
            return True
        serial, number = found.serial, found.pooled
        note = sale_note(place_of(link.sides[p.side]).name, arrival.last_chars, arrival.details)
    # It is looked for before it is created: the side may have had the card all along.
    p = replace(to_create(side, serial, brand, note), stale=serial is not None)
    with link.store.engine.begin() as connection:
        added = replace(card, presences=(*card.presences, p))
        link.store.write(connection, lease, card, Decision(added), link.clock(), None)
        consume(connection, lease.card_id, None, None if number is None else number.id, link.clock())
        crashpoint("missing.inside")
    crashpoint("missing.after")
    return True


def _refuse(link: Link, lease: Lease, card: Card, side: str, reason: str) -> None:
    conflict = causes.unfit_number(side, reason, card.balance_minor)
    if conflict.cause not in card.causes:
        link.store.commit(lease, card, Decision(card, conflicts=(conflict,)), link.clock())


def _as_arrival(store: Store, card: Card, p: Presence) -> Arrival:
    """The card as if it arrived now on that side: what is known of its order goes into its note."""
    origin = origin_of(store.engine, store.vault, card.id)
    details = {} if origin is None else {"order": origin.order_name, "shipping_name": origin.holder}
    return Arrival(0, p.side, CardRef(p.native_id), p.last_chars, None, True, details, 0)
