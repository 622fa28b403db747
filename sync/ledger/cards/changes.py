"""When a card's status or expiry changed at the hub, row by row: the books ask which day it had at a moment.

Each row has a keyed proof. What is gone, or was added with the proof of another, shows in that one change
follows from the other: the expiry date of each is what the next one found, and of the last what the card has,
which its digest covers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sync.ledger.cards.chain import plain, written
from sync.ledger.cards.row_proof import RowProof
from sync.ledger.secrets.vault import Vault
from sync.model import Card

_COVERED: Final = (
    *("card_id", "status_before", "status", "expires_before", "expires_on"),
    *("balance_minor", "at"),
)
CARD_CHANGE_PROOF: Final = RowProof("card change", _COVERED)


def change_row(card_id: int, before: Card, after: Card, now: datetime, vault: Vault) -> dict[str, Any]:
    """The row of a change, with its proof."""
    row: dict[str, Any] = {
        "card_id": card_id,
        "status_before": before.status.value,
        "status": after.status.value,
        "expires_before": before.expires_on,
        "expires_on": after.expires_on,
        "balance_minor": after.balance_minor,
        "at": now,
    }
    return {**row, "proof": CARD_CHANGE_PROOF.of(row, vault)}


def moves_day(row: Mapping[Any, Any]) -> bool:
    """Whether it changed the expiry date. Other rows are dropped in time."""
    return bool(row["expires_before"] != row["expires_on"])


@dataclass(frozen=True)
class ReadChanges:
    """What changes of expiry dates come to; cards by their ids."""

    #: SHA-256 over all of them, in the order of their ids; empty without any.
    sha256: str
    #: Of these a row is not as giftsync wrote it.
    wrong: frozenset[int]


def read_changes(rows: Iterable[Mapping[Any, Any]], vault: Vault) -> ReadChanges:
    """Prove changes of expiry dates, and add them up. A release before wrote those without a proof."""
    digest, many, wrong = hashlib.sha256(), 0, set[int]()
    for row in rows:
        digest.update(written([plain(row[name]) for name in ("id", *_COVERED)]) + b"\n")
        many += 1
        if row["proof"] is not None and not CARD_CHANGE_PROOF.holds(row, vault):
            wrong.add(row["card_id"])
    return ReadChanges(digest.hexdigest() if many else "", frozenset(wrong))
