"""What the ledger knows of buyers: shipping names and, until they were told of a card, how they are reached.

A name stands in `origins`, in the notes meant for the other side, in the intents that wrote them, and in
waiting arrivals, and is sealed there. Of a mail address that a till was told, a keyed hash stands with
what the receipt said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, delete, select, true, update

from mappings.contact import Contact
from mappings.serials import mask
from sync.crashpoints import crashpoint
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import (
    arrivals,
    cards,
    intents,
    origin_names,
    origins,
    presences,
    receipt_lines,
)
from sync.ledger.secrets.vault import Vault


@dataclass(frozen=True)
class Whom:
    """The buyers that a request is about; None stands for all."""

    orders: Sequence[str] | None
    #: Digests of addresses and numbers.
    contacts: frozenset[str] | None
    #: Only what was known before this moment.
    before: datetime | None = None


@dataclass(frozen=True)
class Erased:
    """How many cards a name was erased from, and how many have it in their note in the store as well."""

    cards: int
    noted: int


@dataclass(frozen=True)
class Buyers:
    """Every method is one transaction."""

    engine: Engine
    vault: Vault

    def known(self, orders: Sequence[str], contacts: frozenset[str]) -> list[Mapping[str, object]]:
        """All that is known of the buyers of these orders and with these contacts, without serials."""
        with reading(self.engine) as connection:
            held = [*self._known_cards(connection, orders), *self._waiting_cards(connection, orders)]
            held += [
                {"card": mask(row.last_chars), "email": contact.email, "phone": contact.phone}
                for _, row, contact in self._contacts(connection, Whom(None, contacts))
            ]
            query = select(receipt_lines.c.order_name).where(self._hashed(Whom(None, contacts)))
            held += [
                {"receipt of": order, "email": "as a keyed hash, by which the card is found"}
                for order in connection.execute(query).scalars()
            ]
        return held

    def erase(self, whom: Whom, side: str, now: datetime) -> Erased:
        """Erase names and contacts; balances, movements and order numbers stay."""
        with self.engine.begin() as connection:
            which = origins.c.erased_at.is_(None) & _made_before(origins.c.card_id, whom)
            if whom.orders is not None:
                which = which & origins.c.order_id.in_(whom.orders)
            found = connection.execute(select(origins.c.card_id, origins.c.holder).where(which)).all()
            noted = sum(self._erase_card(connection, row.card_id, row.holder) for row in found)
            connection.execute(
                delete(origin_names).where(origin_names.c.card_id.in_(select(origins.c.card_id).where(which)))
            )
            connection.execute(update(origins).where(which).values(holder="", erased_at=now))
            waiting = _erase_arrivals(connection, side, whom)
            reached = list(self._contacts(connection, whom))
            for table, row, _ in reached:
                connection.execute(update(table).where(table.c.id == row.id).values(contact_sealed=None))
            hashed = update(receipt_lines).where(self._hashed(whom)).values(buyer_index=None)
            forgotten = connection.execute(hashed).rowcount
            crashpoint("privacy.inside")
        return Erased(len(found) + waiting + len(reached) + forgotten, noted)

    def _contacts(
        self, connection: Connection, whom: Whom
    ) -> Iterator[tuple[Table, Row[Any, Any, Any], Contact]]:
        """What is known of how these people are reached."""
        known = (
            (presences, _made_before(presences.c.card_id, whom)),
            (arrivals, _arrived_before(whom)),
        )
        for table, which in known:
            query = select(table.c.id, table.c.last_chars, table.c.contact_sealed)
            query = query.where(table.c.contact_sealed.is_not(None), which)
            for row in connection.execute(query).all():
                contact = self.vault.open_contact(row.contact_sealed)
                if contact is not None and (whom.contacts is None or whom.contacts & contact.digests()):
                    yield table, row, contact

    def _known_cards(self, connection: Connection, orders: Sequence[str]) -> list[Mapping[str, object]]:
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
                    "shipping_name": self.vault.open_words(row.holder),
                    "cards": {end.side: mask(end.last_chars) for end in ends},
                    "notes": [self.vault.open_words(end.note) for end in ends if end.note],
                }
            )
        return held

    def _waiting_cards(self, connection: Connection, orders: Sequence[str]) -> list[Mapping[str, object]]:
        return [
            {
                "order": row.details.get("order"),
                "shipping_name": self.vault.open_details(row.details).get("shipping_name", ""),
            }
            for row in connection.execute(select(arrivals.c.details)).all()
            if row.details.get("order_id") in orders
        ]

    def _erase_card(self, connection: Connection, card_id: int, sealed: str) -> bool:
        """Erase the name from everything about one card; whether it was written on a card in the store."""
        written, holder = False, self.vault.open_words(sealed)
        for table in (presences, intents):
            key = next(iter(table.primary_key.columns))
            rows = connection.execute(select(key, table.c.note).where(table.c.card_id == card_id)).all()
            for row in rows:
                note = self.vault.open_words(row.note)
                if holder and holder in note:
                    written = True
                    note = self.vault.seal_words(note.replace(f"{holder}, ", "").replace(holder, ""))
                    connection.execute(update(table).where(key == row[0]).values(note=note))
        return written

    def _hashed(self, whom: Whom) -> ColumnElement[bool]:
        """Receipts that have the keyed hash of these people's addresses."""
        which: ColumnElement[bool] = receipt_lines.c.buyer_index.is_not(None)
        if whom.contacts is not None:
            which = which & receipt_lines.c.buyer_index.in_(
                [self.vault.contact_index(d) for d in whom.contacts]
            )
        return which if whom.before is None else which & (receipt_lines.c.at < whom.before)


def _made_before(card_id: ColumnElement[int], whom: Whom) -> ColumnElement[bool]:
    if whom.before is None:
        return true()
    return card_id.in_(select(cards.c.id).where(cards.c.created_at < whom.before))


def _arrived_before(whom: Whom) -> ColumnElement[bool]:
    return true() if whom.before is None else arrivals.c.arrived_at < whom.before


def _erase_arrivals(connection: Connection, side: str, whom: Whom) -> int:
    erased = 0
    query = select(arrivals.c.id, arrivals.c.details).where(arrivals.c.side == side, _arrived_before(whom))
    for row in connection.execute(query).all():
        mine = whom.orders is None or row.details.get("order_id") in whom.orders
        if mine and row.details.get("shipping_name"):
            kept = {key: value for key, value in row.details.items() if not key.startswith("shipping_name")}
            connection.execute(update(arrivals).where(arrivals.c.id == row.id).values(details=kept))
            erased += 1
    return erased
