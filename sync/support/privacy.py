"""Privacy requests that sides pass on, answered for real: what is known of a buyer is told or erased;
balances stay.

giftsync knows a buyer by the order's shipping name, and keeps it so that staff find the card. How the buyer
of a store's card is reached it knows only until they were told of the card, sealed.
What was written on a card in the store is the merchant's own record: the answer says on how many to look.

A signature covers the body and no header (shopify.md §8), so whoever has caught a request can send it again
at any later time, under a delivery id of their own. A request whose content was answered before therefore
erases what was known then and nothing newer. Only a shop that has shut giftsync out is believed to have left
again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from connectors.api.errors import SideClosed, SideError
from connectors.api.side import Side
from connectors.api.webhooks import Delivery, PrivacyKind, PrivacyRequest
from sync.crashpoints import crashpoint
from sync.ledger.database.private_files import make_private_folder, open_private
from sync.ledger.support.buyers import Buyers, Whom
from sync.ledger.support.privacy_requests import first_answered_at, is_answered, save_answer

log = structlog.get_logger(__name__)

_NEWER_STAY = (
    " The same request was answered before, so that this one may be a copy: names that came later stay."
)


@dataclass(frozen=True)
class Privacy:
    """Answers privacy requests. Each is answered once, and safe to answer again after a crash."""

    buyers: Buyers
    sides: Mapping[str, Side]
    clock: Callable[[], datetime]
    #: Where exports are written, readable by their owner only.
    folder: Path

    def answer(self, side: str, delivery: Delivery, request: PrivacyRequest) -> bool:
        """Export or erase; False when it has to be tried again."""
        engine = self.buyers.engine
        if is_answered(engine, side, delivery.key):
            return True
        orders, contacts = list(request.orders), request.contacts
        # What is known from here on is newer than the request.
        answered_at = self.clock()
        whole = request.kind is PrivacyKind.ERASE_ALL
        try:
            if request.kind is PrivacyKind.EXPORT:
                cards, outcome = self._export(delivery, orders, contacts)
            else:
                before = self._known_before(side, delivery, whole=whole)
                whom = Whom(None if whole else orders, None if whole else contacts, before)
                cards, outcome = self._erase(whom, side, answered_at)
        except (OSError, SideError) as error:
            why = str(error.strerror) if isinstance(error, OSError) else str(error)
            log.error("a privacy request waits", action="privacy.failed", why=why)
            return False
        save_answer(
            engine,
            side,
            delivery.key,
            delivery.topic,
            _digest(delivery),
            orders=len(orders),
            cards=cards,
            outcome=outcome,
            answered_at=answered_at,
        )
        return True

    def _known_before(self, side: str, delivery: Delivery, *, whole: bool) -> datetime | None:
        """Names that came later are kept; None: all are erased. Raises SideError when it cannot tell."""
        answered_at = first_answered_at(self.buyers.engine, side, _digest(delivery))
        if answered_at is None or not whole:
            return answered_at
        try:
            self.sides[side].identify()
        except SideClosed:
            return None
        return answered_at

    def _export(self, delivery: Delivery, orders: Sequence[str], contacts: frozenset[str]) -> tuple[int, str]:
        held = self.buyers.known(orders, contacts)
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

    def _erase(self, whom: Whom, side: str, now: datetime) -> tuple[int, str]:
        erased = self.buyers.erase(whom, side, now)
        words = f"What is known of the buyer was erased from {erased.cards} cards; balances stay."
        if erased.noted:
            words += f" {erased.noted} of them have the name in their note in the store: change that there."
        if whom.before is not None:
            words += _NEWER_STAY
        return erased.cards, words


def _digest(delivery: Delivery) -> str:
    """The same for requests that ask for the same."""
    return hashlib.sha256(json.dumps([delivery.topic, delivery.subject]).encode()).hexdigest()


def _safe(key: str) -> str:
    return "".join(c for c in key if c.isalnum() or c == "-")[:100]
