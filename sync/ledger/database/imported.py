"""Which cards an import brought: those in its rows, but for rows that a pass of the sync made for itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, exists

from sync.ledger.database.tables import cards, import_rows

#: The reason of a row that a pass made, of a card that it met as any other (`sync.importer.new_cards`).
MET_BY_PASS: Final = "met by a pass"


def is_imported() -> ColumnElement[bool]:
    """Whether an import brought the card of the query's `cards`."""
    return exists().where(import_rows.c.card_id == cards.c.id, import_rows.c.reason != MET_BY_PASS)
