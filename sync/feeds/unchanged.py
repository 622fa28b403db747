"""One look at many hinted cards together, to pass over those that nothing is to be done about.

Several feeds and webhooks tell of one event, and mostly after its card was worked on. To claim each of them
again costs a call and a lease for every card; a comparison costs one call for all.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.api.card import CardRef, Seen
from connectors.api.feed import Hint
from connectors.api.side import Side
from sync.decisions.shadow import matches_shadow
from sync.ledger.incoming.intake import Intake
from sync.ledger.incoming.shadows import at_rest, versions_of
from sync.reconcile.work import Link


def unchanged(link: Link, intake: Intake, side: Side, hints: Sequence[Hint]) -> set[int]:
    """The hinted cards that the side, asked after the hints came, shows as their shadows say.

    A shadow can be compared without the card's lease only while nobody commits anything about the card: its
    version is the same before and after. Otherwise a movement of our own could be taken for the one that the
    hint tells of. Empty for a side that is read one card at a time. Raises like every read.
    """
    if not hints or side.capabilities.read_batch_max == 1:
        return set()
    store = link.store
    found = at_rest(store.engine, store.vault, side.name, intake.to_look_at(side.name, hints))
    if not found:
        return set()
    refs = [CardRef(p.native_id, p.serial) for p, _ in found]
    same = [
        (p.card_id, version)
        for (p, version), seen in zip(found, side.observe(refs), strict=True)
        if isinstance(seen, Seen)
        and matches_shadow(p, seen, link.currency, side.capabilities.suspends_by_date)
    ]
    versions = versions_of(store.engine, [card_id for card_id, _ in same])
    return {card_id for card_id, version in same if versions.get(card_id) == version}
