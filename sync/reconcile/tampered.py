"""A card that is not as giftsync wrote it: held, told of, and nothing written over what was changed."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from sync.decisions import causes
from sync.decisions.draft import Draft
from sync.ledger.cards.append import raise_conflict
from sync.ledger.cards.facts import currency_of_card, is_ignored, last_chars_of_card
from sync.ledger.cards.store import Lease
from sync.ledger.proof.findings import Finding
from sync.ledger.proof.rebuild import NotRebuilt, Rebuilt, differences, rebuild
from sync.model import Card, Decision, MovementKind, NewConflict
from sync.reconcile.work import Link

log = structlog.get_logger(__name__)

#: Of a conflict's evidence, and of a movement's.
FOUND_MAX = 10


def report(link: Link, lease: Lease) -> None:
    """Open a conflict for the leased card and give it back with nothing due; its own row is left as it is."""
    if is_ignored(link.store.engine, lease.card_id, causes.TAMPERED):
        link.store.release(lease, None)
        return
    conflict = _conflict(link, lease.card_id)
    currency = currency_of_card(link.store.engine, lease.card_id)
    with link.store.engine.begin() as connection:
        raise_conflict(connection, lease.card_id, currency, conflict, None, link.clock())
    log.error("a card is not as giftsync wrote it", action="card.tampered", card_id=lease.card_id)
    link.store.release(lease, None)


def _conflict(link: Link, card_id: int) -> NewConflict:
    found = differences(link.store, card_id)
    words = [one.summary for one in found[:FOUND_MAX]] or ["They were changed while they were read."]
    worth, why_not = None, ""
    try:
        rebuilt = rebuild(link.store, card_id, link.currency)
        worth = rebuilt.card.balance_minor if rebuilt.proved else None
    except NotRebuilt as error:
        why_not = str(error)
    stake = _at_stake(found, worth)
    return causes.tampered(words, stake, last_chars_of_card(link.store.engine, card_id), worth, why_not)


def _at_stake(found: Sequence[Finding], worth: int | None) -> int:
    """The largest difference; where no amount differs, all that the card is worth."""
    return max((abs(one.amount_minor) for one in found), default=0) or worth or 0


def cleared(card: Card) -> Decision:
    """Its rows are as they were again: what was told of it is over."""
    gone = (causes.TAMPERED,) if causes.TAMPERED in card.causes else ()
    return Decision(card, causes_gone=gone)


def recorded(rebuilt: Rebuilt, why: str) -> Draft:
    """The rebuilt card, with a movement of nothing that keeps in its chain what was found and who went on."""
    draft = Draft(rebuilt.card)
    found = [one.summary for one in rebuilt.found[:FOUND_MAX]]
    draft.move(MovementKind.RESOLUTION, None, 0, 0, {"why": why, "rebuilt_after": found})
    return draft
