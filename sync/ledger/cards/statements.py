"""The store's statements, made once: building them costs more than running them."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Table,
    Update,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)

from sync.ledger.conflicts.stops import STOPS
from sync.ledger.database.prepared import any_of
from sync.ledger.database.tables import (
    card_changes,
    cards,
    conflicts,
    identities,
    intent_states,
    intents,
    movements,
    presences,
    redemptions,
)
from sync.model import IGNORED

SELECT_DOUBTED_SIDES = (
    select(intents.c.side).where(intents.c.card_id == bindparam("card"), intents.c.doubted).distinct()
)
SELECT_OPEN_REDEMPTIONS = (
    select(redemptions)
    .where(redemptions.c.card_id == bindparam("card"), text("ends_at IS NOT NULL"), redemptions.c.entered)
    .order_by(redemptions.c.made_at, redemptions.c.id)
)
LEASED = and_(
    cards.c.id == bindparam("lease_card"),
    cards.c.fencing == bindparam("lease_fencing"),
    cards.c.lease_owner == bindparam("lease_of"),
)
_FREE = or_(cards.c.lease_until.is_(None), cards.c.lease_until <= bindparam("now"))
_CLAIMABLE = (
    select(cards.c.id, cards.c.due_for, cards.c.lease_until)
    .order_by(cards.c.due_at, cards.c.id)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
CLAIM_CARD = _CLAIMABLE.where(cards.c.id == bindparam("card"), _FREE)
# A link may be stopped by another process than the one that claims.
CLAIM_DUE = _CLAIMABLE.where(
    or_(cards.c.due_at <= bindparam("now"), cards.c.lease_until <= bindparam("now")),
    _FREE,
    ~STOPS.order_by(None).exists(),
)

SELECT_IF_DUE = select(cards.c.id).where(cards.c.id == bindparam("card"), cards.c.due_at <= bindparam("now"))


@cache
def select_presences(places: int) -> Select[Any]:
    """The presences of so many cards."""
    return select(presences).where(any_of(presences.c.card_id, "card", places)).order_by(presences.c.id)


@cache
def select_open_intents(places: int) -> Select[Any]:
    """The open intents of so many cards."""
    return (
        select(intents)
        .where(any_of(intents.c.card_id, "card", places), text("state IN ('planned','sent','in_doubt')"))
        .order_by(intents.c.sequence)
    )


@cache
def select_causes(places: int) -> Select[Any]:
    """What is told of so many cards: a person may have said not to be told again while it stays as it is."""
    told = conflicts.c
    return select(told.card_id, told.cause, told.amount_minor, told.closed_at).where(
        any_of(told.card_id, "card", places), or_(told.closed_at.is_(None), told.resolution == IGNORED)
    )


# due_at is emptied now, so that a hint that comes while we work is not lost at release.
@cache
def take_cards(places: int) -> Update:
    """Take the leases of so many cards."""
    return (
        update(cards)
        .where(any_of(cards.c.id, "card", places))
        .values(
            lease_owner=bindparam("owner"),
            lease_until=bindparam("until"),
            fencing=cards.c.fencing + 1,
            due_at=None,
            due_for=None,
            awaits_side=False,
        )
        .returning(cards.c.id, cards.c.fencing)
    )


RENEW_LEASE = update(cards).where(LEASED).values(lease_until=bindparam("until"))
RELEASE_CARD = update(cards).where(LEASED).values(lease_owner=None, lease_until=None)
_DUE_AGAIN = bindparam("again_at", type_=cards.c.due_at.type)
# Due at the given moment, or when a hint said so meanwhile, whichever is first.
RELEASE_CARD_DUE = RELEASE_CARD.values(
    due_at=case((cards.c.due_at < _DUE_AGAIN, cards.c.due_at), else_=_DUE_AGAIN),
    due_for=None,
    awaits_side=bindparam("for_side"),
)
# As it was loaded, or as our last commit left it: what anybody else changed since stops the commit.
_AS_KNOWN = and_(
    LEASED,
    cards.c.version == bindparam("card_version"),
    cards.c.balance_minor == bindparam("known_balance"),
    cards.c.status == bindparam("known_status"),
    cards.c.expires_on.is_not_distinct_from(bindparam("known_expires_on", type_=cards.c.expires_on.type)),
    cards.c.held == bindparam("known_held"),
    cards.c.chain_seq == bindparam("known_seq"),
    cards.c.chain_head == bindparam("known_head"),
    cards.c.digest == bindparam("known_digest"),
)


# What the chain's rows and the intents come to; one that is gone, was added, or has another amount shows.
def _sums(table: Table, *columns: ColumnElement[int], which: ColumnElement[bool] | None = None) -> Subquery:
    counted = func.count().label("rows")
    query = select(counted, *columns).where(table.c.card_id == bindparam("card"))
    return (query if which is None else query.where(which)).subquery(f"of_{table.name}")


def _total(amount: ColumnElement[int], name: str) -> ColumnElement[int]:
    # PostgreSQL sums integers up to a decimal, which the digest does not take.
    return cast(func.coalesce(func.sum(amount), 0), BigInteger).label(name)


_OF_MOVEMENTS = _sums(movements, _total(movements.c.amount_minor, "amount_minor"))
_OF_STATES, _OF_IDENTITIES = _sums(intent_states), _sums(identities)
_OF_INTENTS = _sums(
    intents,
    _total(intents.c.amount_minor, "amount_minor"),
    _total(intents.c.landings, "landings"),
    _total(intents.c.amount_minor * intents.c.landings, "landed_minor"),
    _total(case((intents.c.doubted, 1), else_=0), "doubted"),
)
_OF_REDEMPTIONS = _sums(
    redemptions, _total(redemptions.c.amount_minor, "amount_minor"), which=redemptions.c.entered.is_(True)
)
_ASKED = (
    _OF_INTENTS.c.rows.label("asked"),
    _OF_INTENTS.c.amount_minor.label("asked_minor"),
    _OF_INTENTS.c.landings,
    _OF_INTENTS.c.landed_minor,
    _OF_INTENTS.c.doubted,
    _OF_REDEMPTIONS.c.rows.label("redemptions"),
    _OF_REDEMPTIONS.c.amount_minor.label("redeemed_minor"),
)
#: The card's row, and what its other rows come to, in one.
SELECT_CARD = (
    select(
        cards,
        (_OF_MOVEMENTS.c.rows + _OF_STATES.c.rows + _OF_IDENTITIES.c.rows).label("chained"),
        _OF_MOVEMENTS.c.amount_minor.label("moved_minor"),
        select(func.count())
        .where(redemptions.c.card_id == cards.c.id, text("NOT entered"))
        .scalar_subquery()
        .label("recorded"),
        *_ASKED,
    )
    .select_from(
        cards.join(_OF_MOVEMENTS, true())
        .join(_OF_STATES, true())
        .join(_OF_IDENTITIES, true())
        .join(_OF_INTENTS, true())
        .join(_OF_REDEMPTIONS, true())
    )
    .where(cards.c.id == bindparam("card"))
)
SELECT_ASKED = select(*_ASKED).select_from(_OF_INTENTS.join(_OF_REDEMPTIONS, true()))
# The card's row is locked with it, so that whoever takes the card over sees what is saved.
UPDATE_DIGEST = update(cards).where(_AS_KNOWN).values(digest=bindparam("digest"))
UPDATE_END = (
    update(redemptions)
    .where(redemptions.c.id == bindparam("of_redemption"))
    .values(ends_at=bindparam("ends_at"))
)
UPDATE_QUIET = (
    update(intents)
    .where(intents.c.marker == bindparam("of_marker"))
    .values(not_before=bindparam("not_before"))
)
UPDATE_PROGRESS = (
    update(intents).where(intents.c.marker == bindparam("of_marker")).values(progress=bindparam("progress"))
)
SELECT_OF_LEASED = (
    select(intents.c.marker)
    .join(cards, cards.c.id == intents.c.card_id)
    .where(LEASED, intents.c.marker == bindparam("of_marker"))
    .with_for_update(of=cards)
)
UPDATE_LOOK = (
    update(intents).where(intents.c.marker == bindparam("of_marker")).values(look_at=bindparam("look_at"))
)


#: What is known of an effect by its marker.
_KNOWN = tuple(
    intents.c[name] for name in ("marker", "amount_minor", "landings", "card_id", "side", "kind", "doubted")
)


@cache
def select_marked(places: int) -> Select[Any]:
    """What is known of so many markers."""
    return select(*_KNOWN).where(any_of(intents.c.marker, "marker", places))


SELECT_LANDED = select(*_KNOWN).where(intents.c.card_id == bindparam("card"), intents.c.landings > 0)


CARD_COLUMNS = (
    *("balance_minor", "status", "expires_on", "held", "behind", "open_redemptions", "version"),
    *("chain_seq", "chain_head", "digest"),
)
# For what has to be written before it is known where the chain ends.
LOCK_CARD = select(cards.c.id).where(_AS_KNOWN).with_for_update()
UPDATE_CARD = (
    update(cards)
    .where(_AS_KNOWN)
    .values({name: bindparam(name) for name in CARD_COLUMNS})
    .returning(cards.c.id)
)
UPDATE_CHAIN = (
    update(cards)
    .where(cards.c.id == bindparam("card"))
    .values(chain_seq=bindparam("chain_seq"), chain_head=bindparam("chain_head"), digest=bindparam("digest"))
)
PRESENCE_COLUMNS = (
    *("native_id", "last_chars", "shadow_minor", "shadow_status", "shadow_expires_on", "born", "stale"),
    *("hold", "refusal", "refusals", "book_cursor", "book_digest", "brand", "note", "needs_cvc"),
)
UPDATE_PRESENCE = (
    update(presences)
    .where(presences.c.id == bindparam("presence_id"))
    .values({name: bindparam(name) for name in PRESENCE_COLUMNS})
)
# A person may say that a presence is another card than was thought.
UPDATE_SERIAL = (
    update(presences)
    .where(presences.c.id == bindparam("presence_id"))
    .values(serial_index=bindparam("serial_index"), serial_sealed=bindparam("serial_sealed"))
)
FORGET_CONTACT = (
    update(presences).where(presences.c.id == bindparam("presence_id")).values(contact_sealed=None)
)
LAST_SEQUENCE = select(func.coalesce(func.max(intents.c.sequence), 0).label("sequence")).where(
    intents.c.card_id == bindparam("card")
)
INSERT_CARD = insert(cards).returning(cards.c.id)
INSERT_CARD_CHANGE = insert(card_changes)
INSERT_PRESENCE = insert(presences).returning(presences.c.id)
INSERT_INTENT = insert(intents)
UPDATE_INTENT = (
    update(intents)
    .where(intents.c.marker == bindparam("intent_marker"), intents.c.card_id == bindparam("card"))
    .values(
        state=bindparam("state"),
        not_before=bindparam("not_before"),
        look_at=bindparam("look_at"),
        refusal=bindparam("refusal"),
        ended_at=bindparam("ended_at"),
        doubted=func.coalesce(bindparam("new_doubted", type_=Boolean), intents.c.doubted),
        landings=func.coalesce(bindparam("new_landings", type_=Integer), intents.c.landings),
        unclear_reads=func.coalesce(bindparam("new_unclear_reads", type_=Integer), intents.c.unclear_reads),
        postponed=func.coalesce(bindparam("new_postponed", type_=Integer), intents.c.postponed),
    )
)
SELECT_INTENT = select(intents.c.side, intents.c.kind, intents.c.amount_minor).where(
    intents.c.marker == bindparam("of_marker"), intents.c.card_id == bindparam("card")
)
INSERT = {table: insert(table) for table in (movements, intent_states, identities, conflicts)}
OPEN_CONFLICT = and_(
    conflicts.c.card_id == bindparam("card"),
    conflicts.c.cause == bindparam("which"),
    conflicts.c.closed_at.is_(None),
)
CLOSE_CONFLICT = (
    update(conflicts).where(OPEN_CONFLICT).values(closed_at=bindparam("closed_at"), resolution="cause gone")
)
# When an ignored cause is gone, or has become another, it is told of again should it come back.
END_IGNORING = (
    update(conflicts)
    .where(
        conflicts.c.card_id == bindparam("card"),
        conflicts.c.cause == bindparam("which"),
        conflicts.c.resolution == IGNORED,
    )
    .values(resolution="ignored")
)
#: What a person's decision writes on its conflict.
_RESOLUTION: dict[str, BindParameter[object]] = {
    "closed_at": bindparam("closed_at"),
    "resolution": bindparam("how"),
    "resolved_by": bindparam("who"),
    "resolved_why": bindparam("why"),
    "decided": bindparam("decided"),
}
RESOLVE_CONFLICT = (
    update(conflicts)
    .where(conflicts.c.id == bindparam("conflict"), conflicts.c.closed_at.is_(None))
    .values(_RESOLUTION)
)
#: A decision that was not carried out gives way to another.
REPLACE_RESOLUTION = (
    update(conflicts)
    .where(conflicts.c.id == bindparam("conflict"), conflicts.c.closed_at.is_not(None))
    .values(_RESOLUTION)
)
SEE_CONFLICT = (
    update(conflicts)
    .where(OPEN_CONFLICT)
    .values(
        seen=conflicts.c.seen + 1,
        **{
            name: bindparam(name)
            for name in ("summary", "amount_minor", "proposal", "evidence", "last_seen_at")
        },
    )
)
