"""The store's statements, made once: building them costs more than running them."""

from __future__ import annotations

from sqlalchemy import (
    BindParameter,
    Boolean,
    Integer,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from sync.ledger.database.tables import (
    cards,
    conflicts,
    intent_states,
    intents,
    movements,
    presences,
)
from sync.model import IGNORED

SELECT_CARD = select(cards).where(cards.c.id == bindparam("card"))
SELECT_PRESENCES = select(presences).where(presences.c.card_id == bindparam("card")).order_by(presences.c.id)
SELECT_OPEN_INTENTS = (
    select(intents)
    .where(intents.c.card_id == bindparam("card"), text("state IN ('planned','sent','in_doubt')"))
    .order_by(intents.c.sequence)
)
SELECT_DOUBTED_SIDES = (
    select(intents.c.side).where(intents.c.card_id == bindparam("card"), intents.c.doubted).distinct()
)
# A person may have said that a cause is not to be told of again while it stays as it is.
SELECT_CAUSES = select(conflicts.c.cause, conflicts.c.amount_minor, conflicts.c.closed_at).where(
    conflicts.c.card_id == bindparam("card"),
    or_(conflicts.c.closed_at.is_(None), conflicts.c.resolution == IGNORED),
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
CLAIM_DUE = _CLAIMABLE.where(
    or_(cards.c.due_at <= bindparam("now"), cards.c.lease_until <= bindparam("now")), _FREE
)
# due_at is emptied now, so that a hint that comes while we work is not lost at release.
TAKE_CARDS = (
    update(cards)
    .where(cards.c.id.in_(bindparam("cards", expanding=True)))
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
# The card's row is locked with it, so that whoever takes the card over sees what is saved.
SELECT_PROGRESS = (
    select(intents.c.progress)
    .join(cards, cards.c.id == intents.c.card_id)
    .where(LEASED, intents.c.marker == bindparam("of_marker"))
    .with_for_update(of=cards)
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
SELECT_MARKED = select(intents.c.marker, intents.c.amount_minor, intents.c.landings, intents.c.card_id).where(
    intents.c.marker.in_(bindparam("markers", expanding=True))
)
CARD_COLUMNS = ("balance_minor", "status", "expires_on", "held", "behind", "version")
UPDATE_CARD = (
    update(cards)
    .where(LEASED, cards.c.version == bindparam("card_version"))
    .values({name: bindparam(name) for name in CARD_COLUMNS})
    .returning(cards.c.chain_seq, cards.c.chain_head)
)
UPDATE_CHAIN = (
    update(cards)
    .where(cards.c.id == bindparam("card"))
    .values(chain_seq=bindparam("chain_seq"), chain_head=bindparam("chain_head"))
)
PRESENCE_COLUMNS = (
    *("native_id", "last_chars", "shadow_minor", "shadow_status", "shadow_expires_on", "born", "stale"),
    *("hold", "refusal", "refusals", "book_cursor", "brand", "note"),
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
LAST_SEQUENCE = select(func.coalesce(func.max(intents.c.sequence), 0)).where(
    intents.c.card_id == bindparam("card")
)
INSERT_CARD = insert(cards).returning(cards.c.id)
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
    )
    .returning(intents.c.side, intents.c.kind, intents.c.amount_minor)
)
INSERT = {table: insert(table) for table in (movements, intent_states, conflicts)}
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
