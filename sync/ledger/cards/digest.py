"""What a card's digest covers: all that the worker acts on, so that no row is believed that others wrote.

The digest is a keyed hash on the card's row, renewed by every commit. It covers the balance, the shadows,
which card each presence is, the open intents and redemptions, what all of these come to, and the end of the
chain; so loading a card proves them with one hash, and who has no key cannot make them fit. Left out is what
others write while a card is at rest: its lease, when it is due, when what is in doubt is looked for next,
whether its ledger is behind, and what is personal and can be erased (notes, how a buyer is reached).
"""

from __future__ import annotations

from typing import Any

from sync.ledger.cards.chain import plain, written
from sync.ledger.secrets.vault import Vault
from sync.model import Card, Intent, Presence, altered


def digested(card: Card, seq: int, head: str, vault: Vault) -> Card:
    """The card with the end of its chain, and the digest that belongs to both."""
    digest = vault.digest(_canonical(card, seq, head))
    return altered(card, chain=altered(card.chain, seq=seq, head=head, digest=digest))


def _canonical(card: Card, seq: int, head: str) -> bytes:
    covered = [
        card.id,
        card.currency,
        card.balance_minor,
        card.status,
        plain(card.expires_on),
        card.held,
        card.version,
        seq,
        head,
        card.chain.lost,
        [
            card.chain.asked.count,
            card.chain.asked.amount_minor,
            card.chain.asked.landings,
            card.chain.asked.landed_minor,
            card.chain.asked.doubted,
            card.chain.asked.redemptions,
            card.chain.asked.redeemed_minor,
        ],
        [
            [r.id, r.amount_minor, r.state, plain(r.ends_at), plain(r.capture_until), r.unconfirmed]
            for r in sorted(card.redemptions, key=lambda r: r.id)
        ],
        [_presence(p) for p in sorted(card.presences, key=lambda p: p.id or 0)],
    ]
    return written(covered)


def _presence(p: Presence) -> list[Any]:
    return [
        p.id,
        p.side,
        p.native_id,
        None if p.serial is None else p.serial.reveal(),
        p.last_chars,
        p.shadow_minor,
        p.shadow_status,
        plain(p.shadow_expires_on),
        p.born,
        p.stale,
        p.hold,
        p.refusal,
        p.refusals,
        p.unreadable,
        p.book_cursor,
        p.brand,
        [_intent(i) for i in sorted(p.open_intents, key=lambda i: i.sequence) if i.state.is_open],
    ]


def _intent(i: Intent) -> list[Any]:
    return [
        i.marker,
        i.kind,
        i.state,
        i.sequence,
        i.amount_minor,
        i.status,
        plain(i.expires_on),
        i.status_before,
        plain(i.expires_before),
        i.brand,
        dict(i.progress),
        i.doubted,
        i.landings,
        plain(i.not_before),
        i.refusal,
        i.unclear_reads,
    ]
