"""A person decides what the sides' books do not say, for a card of a ledger that was put back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from connectors.api.card import Observation, Seen
from sync.decisions import lost, resolutions
from sync.ledger.cards.store import Lease
from sync.ledger.cards.undecided import is_undecided, undecided_cards
from sync.model import Card, Tampered
from sync.reconcile.behind import tell_of_undecided, traces_of
from sync.reconcile.card import markers_of, observe_all
from sync.reconcile.work import Link, Work
from sync.support.settle import NotResolved, Resolution, Resolved, claimed, proved, value_of


@dataclass(frozen=True)
class SideOfUndecided:
    """What one side shows of such a card, in minor units."""

    shows_minor: int
    #: What giftsync did there since, as far as the side's book tells.
    ours_minor: int
    #: The rest of the difference to what this ledger knew.
    theirs_minor: int


@dataclass(frozen=True)
class Undecided:
    """A card that waits for a person."""

    card_id: int
    currency: str
    last_chars: str
    #: What it was worth as far as this ledger knows.
    balance_minor: int
    #: Empty while a side cannot be read.
    sides: Mapping[str, SideOfUndecided]


def undecided(link: Link, limit: int) -> list[Undecided]:
    """Such cards, with what both sides show of each now."""
    listed = []
    for card in undecided_cards(link.store.engine, limit):
        with suppress(Tampered):  # A conflict of its own tells of it.
            listed.append(_described(link, card.card_id))
    return listed


def _described(link: Link, card_id: int) -> Undecided:
    # Nothing is written with it, so the card need not be claimed.
    work = Work(link, Lease(card_id, link.owner, 0, link.clock()))
    card = link.store.load(card_id)
    shown, books = _read(card, work)
    sides = {
        book.side: SideOfUndecided(
            one.balance_minor,
            sum(effect.amount_minor for effect in book.ours),
            sum(book.theirs),
        )
        for book in books or ()
        if isinstance(one := shown.get(book.side), Seen)
    }
    last = next((p.last_chars for p in card.presences if p.last_chars), "")
    return Undecided(card_id, card.currency, last, card.balance_minor, sides)


def _read(card: Card, work: Work) -> tuple[dict[str, Observation], list[lost.Book] | None]:
    asked = replace(card, held=False)
    shown = observe_all(asked, work)
    marked = work.link.store.marked(work.lease.card_id, markers_of(asked, shown))
    traces = traces_of(asked, shown, marked, work)
    return shown, lost.read_books(asked, shown, marked, traces)


def settle(link: Link, card_id: int, said: Resolution, *, preview: bool = False) -> Resolved:
    """Set what the card is worth, by an amount or by the side that is right; the other side follows.

    Raises NotResolved for a card that does not wait for it, or while a side cannot be read.
    """
    with claimed(link, card_id, "this card") as work:
        before = proved(link, card_id)
        if not is_undecided(link.store.engine, card_id):
            raise NotResolved(
                f"card {card_id} does not wait for that; `giftsync recover` lists those that do"
            )
        shown, books = _read(before, work)
        if books is None:
            raise NotResolved("a side does not show the card now; try again in a moment")
        seen = {side: one for side, one in shown.items() if isinstance(one, Seen)}
        worth = value_of(said, {side: one.balance_minor for side, one in seen.items()})
        words = f"{said.by}: {said.why}"
        side = said.side if said.value_minor is None else None
        decision = resolutions.settle_behind(before, seen, books, worth, side, link.rules, link.today, words)
        if not preview:
            work.commit(before, decision)
    if not preview:
        tell_of_undecided(link.store.engine, link.currency, link.clock())
    planned = tuple(i for i in decision.intents if i.lost is None)
    return Resolved(False, before.balance_minor, decision.card.balance_minor, planned, preview=preview)
