"""Redemptions in mode `record`: written beside the card's work, and entered by whoever has the card next.

A worker holds a card for as long as its sides take to answer. A caller of this mode asks no side and so waits
for none: what it is promised is a row of its own, which is taken off the card under the next lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, func, select, text, update

from sync.crashpoints import crashpoint
from sync.ledger.cards.redemptions import insert_redemption, redemption_row
from sync.ledger.cards.row_proof import RowProof
from sync.ledger.conflicts.stops import check_runs
from sync.ledger.database import prepared
from sync.ledger.database.engine import asking, reading
from sync.ledger.database.news import DUE, tell
from sync.ledger.database.tables import cards, redemptions
from sync.ledger.secrets.vault import Vault
from sync.model import Card, NewRedemption, Redemption, RedemptionState, Tampered, Unconfirmed

_RECORDED = (redemptions.c.card_id == bindparam("card"), text("NOT entered"))
_SELECT = select(redemptions).where(*_RECORDED).order_by(redemptions.c.made_at, redemptions.c.id)
_TOTAL = select(func.coalesce(func.sum(redemptions.c.amount_minor), 0)).where(*_RECORDED)
_LOCK = (
    select(cards.c.id)
    .where(
        cards.c.id == bindparam("card"),
        cards.c.version == bindparam("known_version"),
        cards.c.digest == bindparam("known_digest"),
    )
    .with_for_update()
)
# Whoever has the card looks again when it is given back.
_MAKE_DUE = update(cards).where(cards.c.id == bindparam("card")).values(due_at=bindparam("at"), due_for=None)
_REFUSE = (
    update(redemptions)
    .where(redemptions.c.id == bindparam("which"))
    .values(state="refused", amount_minor=0, ends_at=None, entered=True, changed_at=bindparam("at"))
)
#: What was recorded, until it is entered.
RECORDED_PROOF = RowProof(
    "recorded redemption",
    (
        *("id", "card_id", "kind", "mode", "unconfirmed", "state", "asked_minor", "amount_minor"),
        *("token_id", "location", "reference", "made_at", "ends_at", "capture_until"),
    ),
)


def recorded_minor(engine: Engine, card_id: int) -> int:
    """What was recorded for the card and is not entered yet."""
    with asking(engine) as connection:
        return int(connection.execute(_TOTAL, {"card": card_id}).scalar_one())


def recorded(engine: Engine, vault: Vault, card_id: int) -> Sequence[Redemption]:
    """What was recorded for the card and is not entered yet, the oldest first. Raises Tampered."""
    with reading(engine) as connection:
        return read_recorded(connection, vault, card_id)


def read_recorded(connection: Connection, vault: Vault, card_id: int) -> Sequence[Redemption]:
    """`recorded` in a transaction of the caller's."""
    rows = prepared.rows(connection, _SELECT, {"card": card_id})
    if not all(RECORDED_PROOF.holds(row, vault) for row in rows):
        raise Tampered(card_id)
    return [
        Redemption(
            row["id"],
            row["amount_minor"],
            RedemptionState(row["state"]),
            row["ends_at"] or row["made_at"],
            row["capture_until"],
            Unconfirmed(row["unconfirmed"]),
        )
        for row in rows
    ]


def record(
    engine: Engine,
    vault: Vault,
    card: Card,
    known_minor: int,
    new: NewRedemption,
    balance_after_minor: int,
    now: datetime,
) -> bool:
    """Record a redemption, unless the card or what is recorded for it has changed since both were read.

    Raises AlreadyMade when its request has made something before, and LinkStopped.
    """
    row = redemption_row(card.id or 0, new, balance_after_minor, now)
    known = {"card": card.id, "known_version": card.version, "known_digest": card.chain.digest}
    with engine.begin() as connection:
        check_runs(connection)
        if connection.execute(_LOCK, known).one_or_none() is None:
            return False
        if connection.execute(_TOTAL, {"card": card.id}).scalar_one() != known_minor:
            return False
        insert_redemption(connection, new, {**row, "entered": False, "proof": RECORDED_PROOF.of(row, vault)})
        connection.execute(_MAKE_DUE, {"card": card.id, "at": now})
        tell(connection, DUE)
        crashpoint("record.inside")
    crashpoint("record.after")
    return True


def refuse_unproved(connection: Connection, vault: Vault, card_id: int, now: datetime) -> None:
    """End what somebody else recorded for the card, or changed: nothing is taken off it for that."""
    for row in connection.execute(_SELECT, {"card": card_id}).mappings().all():
        if not RECORDED_PROOF.holds(row, vault):
            connection.execute(_REFUSE, {"which": row["id"], "at": now})
