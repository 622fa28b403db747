"""Cards that a side lacks, because it was not to be written when they were met: they get there now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, false, func, not_, or_, select

from connectors.api.side import CardRef
from mappings.brands import Brands
from mappings.lifecycle import CardStatus
from mappings.notes import pos_note
from sync.arrivals.match import Deferred, Matcher
from sync.crashpoints import crashpoint
from sync.decisions import causes
from sync.ledger import views
from sync.ledger.cards.creates import source_of
from sync.ledger.cards.pool import PoolNumber
from sync.ledger.cards.store import AlreadyThere, Lease, consume
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import cards, origins, presences
from sync.ledger.incoming.intake import Arrival
from sync.ledger.incoming.marks import read_mark, save_mark
from sync.model import Card, Decision, LeaseLost, Presence, to_create
from sync.reconcile.work import Link

PAGE_SIZE = 200
#: The sides that cards were created on at the end of the last pass, with commas.
CREATED_ON = "created_on"


@dataclass(frozen=True)
class MissingCards:
    """How many cards a side lacks, and what is on them in minor units."""

    cards: int
    money_minor: int


def lacking(engine: Engine, side: str) -> MissingCards:
    """The cards that would be created on the side, if it were written from now on."""
    with reading(engine) as connection:
        count, money = connection.execute(
            select(func.count(), func.coalesce(func.sum(cards.c.balance_minor), 0)).where(_lacks(side))
        ).one()
    return MissingCards(count, int(money))


def one_sided(engine: Engine, side: str, brands: Brands) -> MissingCards:
    """The cards that the side should have and lacks, without those of brands that are left out."""
    with reading(engine) as connection:
        count, money = connection.execute(
            select(func.count(), func.coalesce(func.sum(cards.c.balance_minor), 0)).where(
                _lacks(side), not_(_left_out(connection, brands))
            )
        ).one()
    return MissingCards(count, int(money))


def in_step_everywhere(engine: Engine, sides: Collection[str], brands: Brands) -> int:
    """How many cards are in step and on every one of the sides, unless their brand is left out."""
    with reading(engine) as connection:
        left_out = _left_out(connection, brands)
        whole = [or_(left_out, not_(_lacks(side))) for side in sides]
        return connection.execute(
            select(func.count()).select_from(cards).where(views.in_step, *whole)
        ).scalar_one()


def _left_out(connection: Connection, brands: Brands) -> ColumnElement[bool]:
    """Whether a card is of a brand that is left out on any side; the names are compared as `Brands` does."""
    named = connection.execute(
        select(presences.c.side, presences.c.brand).where(presences.c.brand.is_not(None)).distinct()
    )
    excluded = [(side, brand) for side, brand in named if brands.excludes(side, brand)]
    return exists().where(
        presences.c.card_id == cards.c.id,
        or_(
            false(),
            *(and_(presences.c.side == side, presences.c.brand == brand) for side, brand in excluded),
        ),
    )


def newly_created_on(link: Link) -> list[str]:
    """The sides that cards are created on from now on, and were not in the last pass of this ledger."""
    before = read_mark(link.store.engine, CREATED_ON)
    return [] if before is None else [side for side in _created_on(link) if side not in before.split(",")]


def add_missing(matcher: Matcher) -> int:
    """Give every card its presence on the sides that are written now; returns how many have to wait.

    Does nothing while the same sides are written as before.
    """
    link = matcher.link
    now_on = ",".join(_created_on(link))
    before = read_mark(link.store.engine, CREATED_ON)
    if before == now_on:
        return 0
    waiting = 0
    for side in _created_on(link) if before is None else newly_created_on(link):
        after_id = 0
        while True:
            ids = _page(link.store.engine, side, after_id)
            waiting += sum(not _add(matcher, side, card_id) for card_id in ids)
            if len(ids) < PAGE_SIZE:
                break
            after_id = ids[-1]
    if not waiting:
        save_mark(link.store.engine, CREATED_ON, now_on, link.clock())
    return waiting


def _created_on(link: Link) -> list[str]:
    return sorted(name for name, rules in link.rules.sides.items() if rules.creates)


def _lacks(side: str) -> ColumnElement[bool]:
    there = exists().where(presences.c.card_id == cards.c.id, presences.c.side == side)
    return and_(
        not_(there), cards.c.balance_minor > 0, cards.c.status == CardStatus.ACTIVE.value, not_(cards.c.held)
    )


def _page(engine: Engine, side: str, after_id: int) -> list[int]:
    with reading(engine) as connection:
        query = select(cards.c.id).where(cards.c.id > after_id, _lacks(side)).order_by(cards.c.id)
        return list(connection.execute(query.limit(PAGE_SIZE)).scalars())


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
    except (Deferred, LeaseLost, AlreadyThere):
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
    if known is not None and known.serial is not None:
        serial, reason = matcher.serial_for(other, known.serial)
        if reason is not None:
            _refuse(link, lease, card, side, reason)
            return True
    else:
        arrival = _as_arrival(link.store.engine, card)
        p = _first_of(card.presences)
        found = matcher.number_for(side, other, brand, source_of(p.side, p.native_id or ""))
        if found is None:
            return True
        serial, number = found.serial, found.pooled
        note = pos_note(arrival.last_chars, arrival.details)
    # It is looked for before it is created: the side may have had the card all along.
    p = replace(to_create(side, serial, brand, note), stale=True)
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


def _as_arrival(engine: Engine, card: Card) -> Arrival:
    """The card as if it arrived now: what is known of its order goes into its note."""
    with reading(engine) as connection:
        origin = connection.execute(select(origins).where(origins.c.card_id == card.id)).one_or_none()
    details = {} if origin is None else {"order": origin.order_name, "shipping_name": origin.holder}
    p = _first_of(card.presences)
    return Arrival(0, p.side, CardRef(p.native_id), p.last_chars, None, True, details, 0)


def _first_of(found: Iterable[Presence]) -> Presence:
    return next(iter(found))
