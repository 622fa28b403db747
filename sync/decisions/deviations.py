"""Where a side's own book contradicts what giftsync had it do: the card waits for a person (pure).

A side may carry a request out with another amount than was asked (a create of 100.00 that makes a card of
1 000.00), or lose what it has confirmed, as when it is put back from a backup. Both change its balance, and
neither is a customer's movement: the shadow follows, the hub's balance does not. Nothing is sent to mend it
either, since a side that misreads amounts would misread that one as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.api.card import Seen
from sync.decisions import causes, evidence
from sync.decisions.draft import Draft
from sync.model import KnownMarker, MovementKind, Presence, altered


@dataclass(frozen=True)
class Deviation:
    """One effect of giftsync's that the side's book has otherwise. Signed amounts in minor units."""

    marker: str
    asked_minor: int
    #: 0: the book does not have it any more.
    done_minor: int

    @property
    def off_minor(self) -> int:
        """By how much the side's balance differs because of it."""
        return self.done_minor - self.asked_minor


def found(p: Presence, seen: Seen, marked: Mapping[str, KnownMarker]) -> list[Deviation]:
    """What the side's entries have otherwise than the ledger knows it.

    What is missing from them is found only where `marked` has all effects of the presence; see
    `unlisted_minor`.
    """
    if seen.entries is None:
        return []
    ours = [e for e in evidence.fresh(p, seen) if e.marker in marked]
    other = [
        Deviation(str(e.marker), marked[str(e.marker)].amount_minor, e.amount_minor)
        for e in ours
        if e.amount_minor != marked[str(e.marker)].amount_minor
    ]
    if other:
        return other
    there = evidence.landings(seen)
    of_side = {marker: known for marker, known in marked.items() if known.side == p.side}
    gone = [
        Deviation(marker, known.amount_minor * known.landings, 0)
        for marker, known in of_side.items()
        # What moves no money has no entry.
        if known.landings and known.amount_minor and not known.creates and marker not in there
    ]
    if gone:
        return gone
    rest = evidence.rest(p, seen, marked)
    made = next(
        (m for m, known in of_side.items() if known.creates and known.doubted and m not in there), None
    )
    first = seen.balance_minor - sum(entry.amount_minor for entry in seen.entries)
    if made is not None and not p.book_cursor and rest > 0 and first > marked[made].amount_minor:
        # Of an answer that came it is known what the card was made with: the rest is a load that is not
        # listed. Of less, a redemption that shows in the balance alone cannot be told from it.
        return [Deviation(made, marked[made].amount_minor, marked[made].amount_minor + rest)]
    return []


def unlisted_minor(p: Presence, seen: Seen) -> int:
    """By how much the side differs from the shadow beyond what its entries without a marker explain.

    Not zero, all effects of the card are needed to tell whether the side has them. A shop may list no
    payments, so less than zero is as common as they are.
    """
    if not p.born or p.open_intents or seen.entries is None:
        return 0
    theirs = sum(e.amount_minor for e in evidence.fresh(p, seen) if e.marker is None)
    return seen.balance_minor - p.shadow_minor - theirs


def take_in(draft: Draft, side: str, seen: Seen, marked: Mapping[str, KnownMarker]) -> bool:
    """Have the shadow follow what is the side's own doing, and hold the card; whether anything was found."""
    p = draft.presence(side)
    deviations = found(p, seen, marked)
    if not deviations:
        return False
    off = sum(one.off_minor for one in deviations)
    if any(not one.done_minor for one in deviations) and off != evidence.rest(p, seen, marked):
        # More of the book is another than it was, so nothing tells what customers did.
        off = seen.balance_minor - p.shadow_minor
    told = [vars(one) for one in deviations[: evidence.ENTRIES_SHOWN_MAX]]
    draft.move(MovementKind.ADOPTED, side, 0, off, {"done_otherwise": told})
    hold(draft, side, deviations)
    return True


def hold(draft: Draft, side: str, deviations: list[Deviation]) -> None:
    """Leave the card alone everywhere until a person says what it is worth."""
    draft.card = altered(draft.card, held=True)
    asked, done = (sum(one.asked_minor for one in deviations), sum(one.done_minor for one in deviations))
    draft.conflicts.append(
        causes.done_otherwise(draft.card, side, asked, done, [one.marker for one in deviations])
    )
