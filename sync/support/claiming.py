"""A card in a person's hands, while the worker may have it."""

from __future__ import annotations

import threading
import time

from sync.ledger.cards.store import Lease
from sync.reconcile.work import Link

#: How long a person waits for a card that the worker has, which mostly takes it some hundredths of a second.
CLAIM_SECONDS = 2.0
CLAIM_AGAIN_SECONDS = 0.05


def claim_soon(link: Link, card_id: int, role: str, lease_seconds: float) -> Lease | None:
    """The lease of the card, as soon as nobody else has it; None: somebody keeps it."""
    until, pause = time.monotonic() + CLAIM_SECONDS, threading.Event()
    while True:
        lease = link.store.claim(card_id, f"{link.owner}:{role}", link.clock(), lease_seconds)
        if lease is not None or time.monotonic() >= until:
            return lease
        pause.wait(CLAIM_AGAIN_SECONDS)
