"""Redemptions and entries of the API, read back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Row, and_, or_, select

from sync.ledger.cards import chain
from sync.ledger.database.engine import asking, reading
from sync.ledger.database.tables import api_requests, cards, hub_entries, movements, redemptions
from sync.ledger.secrets.vault import Vault
from sync.model import MovementKind, Redemption, RedemptionState, Tampered, Unconfirmed


@dataclass(frozen=True)
class RedemptionRow:
    """A redemption as the ledger has it now. Amounts in minor units."""

    id: str
    card_id: int
    #: `redemption` or `authorization`.
    kind: str
    mode: str
    state: RedemptionState
    #: Whether no side could spend the money again when it became final.
    confirmed: bool
    asked_minor: int
    #: What it takes off the card now.
    amount_minor: int
    #: Of the card, right after its last step: it was taken, captured or given back.
    balance_after_minor: int
    currency: str
    reason: str
    token_id: str
    location: str
    reference: str
    made_at: datetime
    ends_at: datetime | None
    capture_until: datetime | None
    unconfirmed: Unconfirmed

    @property
    def as_open(self) -> Redemption:
        """What decisions need of it."""
        return Redemption(
            self.id,
            self.amount_minor,
            self.state,
            self.ends_at or self.made_at,
            self.capture_until,
            self.unconfirmed,
        )


@dataclass(frozen=True)
class EntryRow:
    """What a caller did to a card beside redemptions. Amounts in minor units, signed."""

    id: str
    card_id: int
    redemption_id: str | None
    kind: str
    amount_minor: int
    balance_after_minor: int
    words: str
    with_cvc: bool
    token_id: str
    location: str
    reference: str
    at: datetime


def find_redemption(engine: Engine, redemption_id: str) -> RedemptionRow | None:
    return next(iter(_redemptions(engine, redemptions.c.id == redemption_id)), None)


def redemptions_of(engine: Engine, card_id: int) -> list[RedemptionRow]:
    """Every redemption of a card, oldest first."""
    return _redemptions(engine, redemptions.c.card_id == card_id)


def _redemptions(engine: Engine, which: ColumnElement[bool]) -> list[RedemptionRow]:
    query = (
        select(redemptions, cards.c.currency)
        .join(cards, cards.c.id == redemptions.c.card_id)
        .where(which)
        .order_by(redemptions.c.made_at, redemptions.c.id)
    )
    with asking(engine) as connection:
        return [_redemption(row) for row in connection.execute(query)]


def _redemption(row: Row[tuple[object, ...]]) -> RedemptionRow:
    return RedemptionRow(
        row.id,
        row.card_id,
        row.kind,
        row.mode,
        RedemptionState(row.state),
        row.confirmed,
        row.asked_minor,
        row.amount_minor,
        row.balance_after_minor,
        row.currency,
        row.reason,
        row.token_id,
        row.location,
        row.reference,
        row.made_at,
        row.ends_at,
        row.capture_until,
        Unconfirmed(row.unconfirmed),
    )


def find_entry(engine: Engine, entry_id: str) -> EntryRow | None:
    return next(iter(_entries(engine, hub_entries.c.id == entry_id)), None)


def entries_of(engine: Engine, card_id: int) -> list[EntryRow]:
    """What callers did to a card beside redemptions, oldest first."""
    return _entries(engine, hub_entries.c.card_id == card_id)


def _entries(engine: Engine, which: ColumnElement[bool]) -> list[EntryRow]:
    query = select(hub_entries).where(which).order_by(hub_entries.c.at, hub_entries.c.id)
    with asking(engine) as connection:
        return [
            EntryRow(**{name: row[name] for name in EntryRow.__annotations__})
            for row in connection.execute(query).mappings()
        ]


def made_by(engine: Engine, token_id: str, key: str) -> str | None:
    """The id of what a request has made, if it has made anything."""
    query = select(api_requests.c.made).where(api_requests.c.token_id == token_id, api_requests.c.key == key)
    with asking(engine) as connection:
        return connection.execute(query).scalar_one_or_none()


def was_issued_with_cvc(engine: Engine, vault: Vault, card_id: int) -> bool:
    """Whether the API issued the card with a CVC of giftsync's. Raises Tampered.

    The card's first movement says so, and its hash alone proves it. Of a card that an older release issued
    only its entry does.
    """
    query = select(hub_entries.c.id).where(hub_entries.c.card_id == card_id, hub_entries.c.with_cvc)
    first = select(movements).where(movements.c.card_id == card_id, movements.c.chain_seq == 1)
    with reading(engine) as connection:
        issue = connection.execute(first).mappings().one_or_none()
        if issue is None or issue["kind"] != MovementKind.LOAD.value:
            return False
        written = chain.canonical(dict(issue), chain.MOVEMENT_FIELDS)
        if vault.chain("", written) != issue["chain_hash"]:
            raise Tampered(card_id)
        if "with_cvc" in issue["evidence"]:
            return bool(issue["evidence"]["with_cvc"])
        return connection.execute(query.limit(1)).first() is not None


def redemptions_by(
    engine: Engine, token_id: str, after: tuple[datetime, str] | None, limit: int
) -> list[RedemptionRow]:
    """Redemptions that a token asked for, the newest first, after (made at, id) of the last one told."""
    which = redemptions.c.token_id == token_id
    if after is not None:
        at, last = after
        which = and_(
            which,
            or_(redemptions.c.made_at < at, and_(redemptions.c.made_at == at, redemptions.c.id < last)),
        )
    query = (
        select(redemptions, cards.c.currency)
        .join(cards, cards.c.id == redemptions.c.card_id)
        .where(which)
        .order_by(redemptions.c.made_at.desc(), redemptions.c.id.desc())
        .limit(limit)
    )
    with asking(engine) as connection:
        return [_redemption(row) for row in connection.execute(query)]


@dataclass(frozen=True)
class HistoryRow:
    """One movement of a card, as its story is told. Amounts in minor units, signed."""

    position: int
    at: datetime
    kind: str
    side: str | None
    amount_minor: int
    balance_after_minor: int
    redemption_id: str | None


def history_of(engine: Engine, card_id: int, after: int, limit: int) -> list[HistoryRow]:
    """Movements of the card that changed its balance, oldest first, after a position."""
    query = (
        select(movements)
        .where(movements.c.card_id == card_id, movements.c.chain_seq > after, movements.c.amount_minor != 0)
        .order_by(movements.c.chain_seq)
        .limit(limit)
    )
    with asking(engine) as connection:
        return [
            HistoryRow(
                m.chain_seq,
                m.at,
                m.kind,
                m.side,
                m.amount_minor,
                m.balance_after_minor,
                m.evidence.get("redemption"),
            )
            for m in connection.execute(query)
        ]
