"""Verification of every card in turn, so that one that nobody touches is checked, too. No side is asked.

A card whose rows were changed is made due: whoever works on it holds it and tells a person. Of changed rows
that prove nothing about what a card is worth now (an old movement), and of rows without their card, a person
is told here; the conflict closes by itself once the rows are as giftsync wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import ceil

import structlog

from sync.decisions.causes import HISTORY_CHANGED, TAMPERED, card_gone, history_changed, lost_card
from sync.ledger.cards.append import close_conflict, open_conflict
from sync.ledger.cards.facts import currency_of_card, highest_card_id, last_chars_of_card, told_of
from sync.ledger.cards.store import Store
from sync.ledger.conflicts.of_link import LinkConflict, end, keep_open, open_causes
from sync.ledger.database.engine import Engine
from sync.ledger.database.marks import read_count, save_mark
from sync.ledger.incoming.intake import Intake
from sync.ledger.proof.findings import CardRows, FindingKind
from sync.ledger.proof.pages import read_page
from sync.ledger.proof.verify import check_card
from sync.model import ConflictKind, InvariantBroken, Tampered

log = structlog.get_logger(__name__)

#: How often a worker verifies a few cards.
VERIFY_SECONDS = 10.0
#: A worker verifies every card within this time.
ROUND_SECONDS = 86_400.0
#: Cards verified at once at least, and by a single pass.
SLICE_MIN = 100
PASS_CARDS = 1_000
#: The id of the card that was verified last; empty when the next one is the first.
VERIFIED_TO = "verified_to"
#: Of a conflict's evidence.
FOUND_MAX = 10


def slice_size(engine: Engine, every_seconds: float = VERIFY_SECONDS) -> int:
    """How many cards to verify every so many seconds, so that a round ends in time."""
    return max(SLICE_MIN, ceil(highest_card_id(engine) * every_seconds / ROUND_SECONDS))


def verify_next(store: Store, intake: Intake, now: datetime, currency: str, limit: int) -> int:
    """Verify the next cards after those of the last time; returns how many were made due.

    Due are cards that were changed and of which nobody was told, and cards whose rows were put back since.
    `currency` is the link's.
    """
    after = read_count(store.engine, VERIFIED_TO)
    page, last = read_page(store.engine, after or None, limit)
    found: dict[int, list[str]] = {}
    of_card: dict[int, CardRows] = {}
    for rows in page:
        if rows.card is not None:
            of_card[rows.card["id"]] = rows
        for one in check_card(rows, store.vault):
            if one.kind is not FindingKind.OUT_OF_STEP and one.card_id is not None:
                found.setdefault(one.card_id, []).append(one.summary)
                of_card.setdefault(one.card_id, rows)
    held = told_of(store.engine, of_card, TAMPERED)
    told = told_of(store.engine, of_card, HISTORY_CHANGED)
    due = []
    for card_id in sorted(held | told | found.keys()):
        words = found.get(card_id, [])[:FOUND_MAX]
        changed = _is_changed(store, card_id)
        if changed is None:
            _tell_of_gone(store, card_id, of_card[card_id], words, currency, now)
        elif changed is not (card_id in held):
            due.append(card_id)
        elif not changed and bool(words) is not (card_id in told):
            _tell_of_history(store, card_id, words, now)
    if due:
        intake.make_due(due, now)
    for cause in open_causes(store.engine, ConflictKind.HISTORY_CHANGED):
        if cause in {card_gone(card_id) for card_id, rows in of_card.items() if rows.card is not None}:
            end(store.engine, cause, now)
    save_mark(store.engine, VERIFIED_TO, "" if last is None else str(last), now)
    return len(due)


def _tell_of_history(store: Store, card_id: int, words: Sequence[str], now: datetime) -> None:
    """Open a conflict about the card's older rows; without words they are as they were, and it closes."""
    if not words:
        close_conflict(store.engine, card_id, HISTORY_CHANGED, now)
        return
    log.error(
        "the ledger's history is not as giftsync wrote it; giftsync audit names the rows",
        action="card.history_changed",
        card_id=card_id,
        found=words[0],
    )
    conflict = history_changed(words, last_chars_of_card(store.engine, card_id))
    open_conflict(store.engine, card_id, currency_of_card(store.engine, card_id), conflict, now)


def _tell_of_gone(
    store: Store, card_id: int, rows: CardRows, words: Sequence[str], currency: str, now: datetime
) -> None:
    """A card that is gone cannot have a conflict of its own: it is one of the link."""
    log.error(
        "a card is gone from the ledger; giftsync audit names the rows that are left",
        action="card.gone",
        card_id=card_id,
    )
    ends = next((str(p["last_chars"]) for p in rows.presences if p["last_chars"]), "")
    worth = next((m["balance_after_minor"] for m in reversed(rows.movements)), 0)
    lost = lost_card(card_id, ends, worth if isinstance(worth, int) else 0, words)
    told = LinkConflict(
        lost.kind.value, lost.cause, lost.summary, lost.amount_minor, currency, "", dict(lost.evidence)
    )
    keep_open(store.engine, told, now)


def _is_changed(store: Store, card_id: int) -> bool | None:
    """Whether the worker would hold the card; None: there is no such card."""
    try:
        store.load(card_id)
    except Tampered:
        return True
    except InvariantBroken:
        return None
    return False
