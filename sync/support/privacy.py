"""Privacy requests of Shopify, answered for real: what is known of a buyer is told or erased; balances stay.

giftsync knows a buyer by the order's shipping name, and keeps it so that staff find the card. It stands in
`origins`, in the notes meant for the other side, in the intents that wrote them, and in waiting arrivals. How
the buyer of a store's card is reached it knows only until they were told of the card, sealed.
What was written on a card in the store is the merchant's own record: the answer says on how many to look.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, select, update

from connectors.api.side import Delivery
from mappings.contact import Contact
from mappings.serials import mask
from sync.crashpoints import crashpoint
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import arrivals, intents, origins, presences, privacy_requests
from sync.ledger.database.upsert import upsert
from sync.ledger.private_files import make_private_folder, open_private
from sync.ledger.secrets.vault import Vault

log = structlog.get_logger(__name__)

DATA_REQUEST, CUSTOMER_REDACT, SHOP_REDACT = "customers/data_request", "customers/redact", "shop/redact"
TOPICS = frozenset({DATA_REQUEST, CUSTOMER_REDACT, SHOP_REDACT})


@dataclass(frozen=True)
class Answer:
    """One answered request, for people. It holds no personal data."""

    id: int
    side: str
    topic: str
    orders: int
    cards: int
    outcome: str
    answered_at: datetime


@dataclass(frozen=True)
class Privacy:
    """Answers privacy requests. Each is answered once, and safe to answer again after a crash."""

    engine: Engine
    vault: Vault
    clock: Callable[[], datetime]
    #: Where exports are written, readable by their owner only.
    folder: Path

    def concerns(self, delivery: Delivery) -> bool:
        return delivery.topic in TOPICS

    def answer(self, side: str, delivery: Delivery) -> bool:
        """Export or erase; False when it has to be tried again."""
        orders, contacts = orders_of(delivery), contacts_of(delivery)
        try:
            if delivery.topic == DATA_REQUEST:
                cards, outcome = self._export(delivery, orders, contacts)
            elif delivery.topic == SHOP_REDACT:
                cards, outcome = self._erase(None, None, side)
            else:
                cards, outcome = self._erase(orders, contacts, side)
        except OSError as error:
            log.error("a privacy request waits", action="privacy.failed", why=str(error.strerror))
            return False
        values = {
            "side": side,
            "key": delivery.key,
            "topic": delivery.topic,
            "orders": len(orders),
            "cards": cards,
            "outcome": outcome,
            "answered_at": self.clock(),
        }
        with self.engine.begin() as connection:
            connection.execute(upsert(connection, privacy_requests, values).on_conflict_do_nothing())
        return True

    def _export(self, delivery: Delivery, orders: Sequence[str], contacts: frozenset[str]) -> tuple[int, str]:
        with reading(self.engine) as connection:
            held = [*_known_cards(connection, orders), *_waiting_cards(connection, orders)]
            held += [
                {"card": mask(row.last_chars), "email": contact.email, "phone": contact.phone}
                for _, row, contact in self._contacts(connection, contacts)
            ]
        if not held:
            return 0, "Nothing is known of these orders."
        make_private_folder(self.folder)
        path = self.folder / f"data-request-{_safe(delivery.key)}.json"
        fresh = path.with_suffix(".part")
        with os.fdopen(open_private(fresh, os.O_WRONLY | os.O_TRUNC), "w") as file:
            json.dump({"cards": held}, file, indent=2, ensure_ascii=False)
        crashpoint("privacy.written")
        fresh.replace(path)
        return len(held), f"What is known is in {path.name}; give it to the customer, then delete it."

    def _contacts(
        self, connection: Connection, wanted: frozenset[str] | None
    ) -> Iterator[tuple[Table, Row[Any, Any, Any], Contact]]:
        """What is known of how these people, or all, are reached; None means all."""
        for table in (presences, arrivals):
            query = select(table.c.id, table.c.last_chars, table.c.contact_sealed)
            for row in connection.execute(query.where(table.c.contact_sealed.is_not(None))).all():
                contact = self.vault.open_contact(row.contact_sealed)
                if contact is not None and (wanted is None or wanted & contact.digests()):
                    yield table, row, contact

    def _erase(
        self, orders: Sequence[str] | None, contacts: frozenset[str] | None, side: str
    ) -> tuple[int, str]:
        """Erase the buyers of these orders and with these contacts, or of all; None means all."""
        now = self.clock()
        with self.engine.begin() as connection:
            which: ColumnElement[bool] = origins.c.erased_at.is_(None)
            if orders is not None:
                which = which & origins.c.order_id.in_(orders)
            found = connection.execute(select(origins.c.card_id, origins.c.holder).where(which)).all()
            noted = sum(_erase_card(connection, row.card_id, row.holder) for row in found)
            connection.execute(update(origins).where(which).values(holder="", erased_at=now))
            waiting = _erase_arrivals(connection, side, orders)
            reached = list(self._contacts(connection, contacts))
            for table, row, _ in reached:
                connection.execute(update(table).where(table.c.id == row.id).values(contact_sealed=None))
            crashpoint("privacy.inside")
        cards = len(found) + waiting + len(reached)
        words = f"What is known of the buyer was erased from {cards} cards; balances stay."
        if noted:
            words += f" {noted} of them have the name in their note in the store: change that there."
        return cards, words


def orders_of(delivery: Delivery) -> list[str]:
    """The orders that a request names, by Shopify's id."""
    try:
        named = json.loads(delivery.subject or "{}").get("orders", [])
    except (ValueError, AttributeError):
        return []
    return [f"gid://shopify/Order/{number}" for number in named]


def contacts_of(delivery: Delivery) -> frozenset[str]:
    """Digests of the address and number of the customer whom a request is about."""
    try:
        return frozenset(json.loads(delivery.subject or "{}").get("contacts", []))
    except (ValueError, AttributeError, TypeError):
        return frozenset()


def answers(engine: Engine) -> list[Answer]:
    """Every answered request, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(select(privacy_requests).order_by(privacy_requests.c.id)).all()
    return [Answer(r.id, r.side, r.topic, r.orders, r.cards, r.outcome, r.answered_at) for r in rows]


def _known_cards(connection: Connection, orders: Sequence[str]) -> list[Mapping[str, object]]:
    query = select(origins).where(origins.c.order_id.in_(orders)).order_by(origins.c.card_id)
    held: list[Mapping[str, object]] = []
    for row in connection.execute(query).all():
        ends = connection.execute(
            select(presences.c.side, presences.c.last_chars, presences.c.note).where(
                presences.c.card_id == row.card_id
            )
        ).all()
        held.append(
            {
                "order": row.order_name,
                "shipping_name": row.holder,
                "cards": {end.side: mask(end.last_chars) for end in ends},
                "notes": [end.note for end in ends if end.note],
            }
        )
    return held


def _waiting_cards(connection: Connection, orders: Sequence[str]) -> list[Mapping[str, object]]:
    return [
        {"order": row.details.get("order"), "shipping_name": row.details.get("shipping_name", "")}
        for row in connection.execute(select(arrivals.c.details)).all()
        if row.details.get("order_id") in orders
    ]


def _erase_card(connection: Connection, card_id: int, holder: str) -> bool:
    """Erase the name from everything about one card; whether it was written on a card in the store."""
    written = False
    for table in (presences, intents):
        key = next(iter(table.primary_key.columns))
        rows = connection.execute(select(key, table.c.note).where(table.c.card_id == card_id)).all()
        for row in rows:
            if holder and holder in row.note:
                written = True
                note = row.note.replace(f"{holder}, ", "").replace(holder, "")
                connection.execute(update(table).where(key == row[0]).values(note=note))
    return written


def _erase_arrivals(connection: Connection, side: str, orders: Sequence[str] | None) -> int:
    erased = 0
    query = select(arrivals.c.id, arrivals.c.details).where(arrivals.c.side == side)
    for row in connection.execute(query).all():
        mine = orders is None or row.details.get("order_id") in orders
        if mine and row.details.get("shipping_name"):
            kept = {key: value for key, value in row.details.items() if key != "shipping_name"}
            connection.execute(update(arrivals).where(arrivals.c.id == row.id).values(details=kept))
            erased += 1
    return erased


def _safe(key: str) -> str:
    return "".join(c for c in key if c.isalnum() or c == "-")[:100]
