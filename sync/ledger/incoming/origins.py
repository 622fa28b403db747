"""The order that a card was bought with, as its side told it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import cards, origin_names, origins, presences
from sync.ledger.database.upsert import upsert
from sync.ledger.secrets.vault import Vault


@dataclass(frozen=True)
class Origin:
    """The order that a card was bought with."""

    order_name: str
    #: The order's shipping name.
    holder: str
    #: When the order was made; None: its side did not tell.
    bought_at: datetime | None = None


@dataclass(frozen=True)
class BoughtCard:
    """A card of an order, as staff tell it from the others. Its balance is in minor units."""

    card_id: int
    last_chars: str
    balance_minor: int
    holder: str


def origin_of(engine: Engine, vault: Vault, card_id: int | None) -> Origin | None:
    with asking(engine) as connection:
        row = connection.execute(select(origins).where(origins.c.card_id == card_id)).one_or_none()
    if row is None:
        return None
    return Origin(row.order_name, vault.open_words(row.holder), row.bought_at)


def bought_with(engine: Engine, vault: Vault, order_names: set[str]) -> list[BoughtCard]:
    """The cards of these orders whose number only their owners know, by id."""
    query = (
        select(cards.c.id, cards.c.balance_minor, origins.c.holder, presences.c.last_chars)
        .join(origins, origins.c.card_id == cards.c.id)
        .join(presences, presences.c.card_id == cards.c.id)
        .where(origins.c.order_name.in_(order_names), presences.c.serial_index.is_(None))
        .order_by(cards.c.id)
    )
    with asking(engine) as connection:
        return [
            BoughtCard(row.id, row.last_chars, row.balance_minor, vault.open_words(row.holder))
            for row in connection.execute(query)
        ]


def with_origin(connection: Connection, card_ids: Collection[int]) -> set[int]:
    """Those of the cards whose order is kept already."""
    if not card_ids:
        return set()
    query = select(origins.c.card_id).where(origins.c.card_id.in_(card_ids))
    return set(connection.execute(query).scalars())


def keep_origin(connection: Connection, card_id: int, found: Mapping[str, str]) -> None:
    """Keep what a side told of the order that a card was bought with, if it told the order.

    What is kept already stays. The buyer's name in it is sealed (`Vault.seal_details`).
    """
    if found.get("order"):
        values = {
            "card_id": card_id,
            "order_id": found.get("order_id", ""),
            "order_name": found["order"],
            "holder": found.get("shipping_name", ""),
            "bought_at": _instant(found.get("bought_at")),
        }
        kept = connection.execute(upsert(connection, origins, values).on_conflict_do_nothing()).rowcount
        if kept:
            words = map(int, found.get("shipping_name_words", "").split())
            _keep_names(connection, card_id, words)


def _keep_names(connection: Connection, card_id: int, words: Iterable[int]) -> None:
    rows = [{"word": word, "card_id": card_id} for word in words]
    if rows:
        # Words may be left of an origin whose row somebody deleted.
        connection.execute(upsert(connection, origin_names).on_conflict_do_nothing(), rows)


def copy_origin(connection: Connection, card_id: int, to_card: int) -> None:
    """The order leads to the other card as well from now on."""
    found = connection.execute(select(origins).where(origins.c.card_id == card_id)).mappings().one_or_none()
    if found is not None:
        values = {**found, "card_id": to_card}
        if connection.execute(upsert(connection, origins, values).on_conflict_do_nothing()).rowcount:
            names = select(origin_names.c.word).where(origin_names.c.card_id == card_id)
            _keep_names(connection, to_card, connection.execute(names).scalars().all())


def _instant(text: str | None) -> datetime | None:
    """What a side told as ISO 8601; None for anything else."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
