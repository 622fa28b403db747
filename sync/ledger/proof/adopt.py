"""Cards of a ledger from before their digests: each gets one, once its chain is found whole.

A card that ever had an identity in its chain cannot pass for such a one: without that row its chain has a
gap. Which card it is on each side is believed as it stands, since nothing said it before.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from sync.ledger.cards.append import Appender
from sync.ledger.cards.digest import digested
from sync.ledger.cards.store import Lease, Store
from sync.ledger.database.engine import asking
from sync.ledger.database.tables import cards
from sync.ledger.proof.findings import FindingKind
from sync.ledger.proof.pages import read_card
from sync.ledger.proof.verify import card_as_read, check_card
from sync.ledger.secrets.vault import VaultError

LEASE_SECONDS = 30.0
#: What a card lacks that has no digest yet, and what is no change of its rows.
_EXPECTED = (FindingKind.IDENTITY, FindingKind.DIGEST, FindingKind.OUT_OF_STEP)


def adopt_unproved(store: Store, now: datetime) -> int:
    """Give every card without a digest one, if its rows come out; returns how many got one.

    Those that do not come out are told of by whoever works on them.
    """
    with asking(store.engine) as connection:
        found = list(connection.execute(select(cards.c.id).where(cards.c.digest == "")).scalars())
    adopted = 0
    for card_id in found:
        lease = store.claim(card_id, "adopt", now, LEASE_SECONDS)
        if lease is not None:
            try:
                adopted += _adopt(store, lease, now)
            finally:
                store.release(lease, now)
    return adopted


def _adopt(store: Store, lease: Lease, now: datetime) -> bool:
    vault = store.vault
    with store.engine.begin() as connection:
        rows = read_card(connection, lease.card_id)
        wrong = [one for one in check_card(rows, vault) if one.kind not in _EXPECTED]
        if rows.card is None or rows.identities or wrong:
            return False
        try:
            card = card_as_read(rows, vault)
        except (ValueError, TypeError, VaultError):
            return False
        append = Appender(
            connection, vault, lease.card_id, lease.fencing, now, None, card.chain.seq, card.chain.head
        )
        for p in card.presences:
            append.identity(p)
        append.close(digested(card, append.seq, append.head, vault).chain.digest)
    return True
