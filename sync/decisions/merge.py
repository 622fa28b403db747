"""Two cards of the hub that are one real card, pure (docs/explanation/merging.md).

The card of the conflict is kept and meets the other's presence; the other ends, with nothing on it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date

from connectors.api.card import Seen
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import resolutions
from sync.decisions.draft import Draft
from sync.model import Card, Decision, LinkRules, MovementKind

#: In the evidence of a movement: the id of the other card.
MERGED = MERGED_INTO, MERGED_FROM = "merged_into", "merged_from"


@dataclass(frozen=True)
class Merge:
    """What follows for both cards; to be committed together."""

    kept: Decision
    ended: Decision


def why_not(kept: Card, ended: Card, side: str, doubted: Collection[str]) -> str | None:
    """Why the cards cannot become one, in words; `doubted` names the sides that left `ended` in doubt."""
    if kept.open_intents or ended.open_intents or kept.redemptions or ended.redemptions:
        return "something is still under way; run `giftsync sync`, then say it again"
    if kept.held or ended.held:
        return "one of the two waits for its own first_contact conflict; settle that first"
    theirs = {p.side for p in ended.presences if p.born}
    both = theirs & {p.side for p in kept.presences if p.born}
    if both or theirs - {side}:
        return f"the two are different cards on {', '.join(sorted(both or theirs - {side}))}"
    if not theirs:
        return f"it is not on {side} yet; run `giftsync sync`, then say it again"
    p = ended.presence(side)
    in_step = (p.shadow_minor, p.shadow_status) == (ended.balance_minor, ended.status)
    if p.stale or p.hold is not None or not in_step:
        return f"something is still to be done for it on {side}; run `giftsync sync`, then say it again"
    if side in doubted:
        return f"a request for it to {side} was once in doubt, and might land late on the wrong card"
    return None


def merge(
    kept: Card,
    ended: Card,
    side: str,
    seen: Seen,
    serial: Serial | None,
    rules: LinkRules,
    today: date,
    why: str,
) -> Merge:
    """`seen` is what `ended` shows on `side`, just as its shadow says; nothing of `why_not` holds."""
    linked = resolutions.link_presence(kept, side, seen, serial or ended.presence(side).serial, rules, today)
    # The first movement is the one with which the presence is taken over.
    taken_over = replace(linked.movements[0], evidence={MERGED_FROM: ended.id})
    linked = replace(linked, movements=(taken_over, *linked.movements[1:]))
    return Merge(linked, _ended(ended, kept.id, side, why))


def _ended(card: Card, into: int | None, side: str, why: str) -> Decision:
    draft = Draft(replace(card, status=CardStatus.CLOSED))
    p = card.presence(side)
    draft.move(MovementKind.ADOPTED, side, 0, -p.shadow_minor, {MERGED_INTO: into})
    if card.balance_minor:
        draft.move(MovementKind.RESOLUTION, None, -card.balance_minor, 0, {"why": why, MERGED_INTO: into})
    for left in draft.card.presences:
        # Nothing is looked for under its number any more, also where it was only to be made.
        draft.change(
            left.side,
            native_id=None,
            serial=None,
            born=False,
            stale=False,
            hold=None,
            contact=None,
            shadow_status=CardStatus.CLOSED,
            book_cursor=None,
        )
    draft.causes_gone += card.causes
    return draft.decision()
