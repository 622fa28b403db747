"""What a ledger that was put back has lost: effects of its own that the sides' books show (pure).

An effect with a marker that this ledger never made is giftsync's own, made by a ledger that knew more. It
moves the shadow and not the hub. But a person's decision may have been lost as well, and then its effects
must not be undone. So lost effects are adopted only where customers explain them: each of them brought its
side to what the hub was at some moment, so with R the running total of the lost effects on a side p

    R = H - S(p) + what customers had done elsewhere up to that moment
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

from connectors.api.card import Entry, Observation, Seen
from sync.decisions import evidence
from sync.model import Card, KnownMarker, LostEffect, Presence, Told, Traces

#: Moments that are compared with each other; with more, a person is asked.
MOMENTS_MAX = 20_000


@dataclass(frozen=True)
class Book:
    """What happened to a presence since the ledger's last look. Signed amounts in minor units."""

    side: str
    #: giftsync's effects that the ledger did not make, oldest first.
    ours: tuple[LostEffect, ...] = ()
    #: What customers did, oldest first; last what no line of the book explains.
    theirs: tuple[int, ...] = ()
    #: giftsync's effects that the side shows in the balance alone.
    hidden_minor: int = 0
    #: False: the book does not tell giftsync's effects and customers' movements apart.
    tells: bool = True


def unknown(card: Card, side: str, seen: Seen, known: Mapping[str, KnownMarker]) -> list[LostEffect]:
    """Effects that a side's entries of the card show, and that this ledger did not make."""
    if seen.entries is None:
        return []
    return list(_book(card.presence(side), seen, known, Traces()).ours)


def read_books(
    card: Card, observations: Mapping[str, Observation], known: Mapping[str, KnownMarker], traces: Traces
) -> list[Book] | None:
    """The books of all sides that have the card; None while one of them cannot be read."""
    books = []
    for p in card.presences:
        if not p.born:
            continue
        shown = observations.get(p.side)
        if p.open_intents or not isinstance(shown, Seen) or shown.currency != card.currency:
            return None
        books.append(_book(p, shown, known, traces))
    return [_explained_by_rest(card, book, books, observations) for book in books]


def are_explained(
    card: Card, books: Sequence[Book], history: Mapping[str, Sequence[int]] | None = None
) -> bool:
    """Whether every lost effect brought its side to what the hub was at some moment.

    `history` has what customers did before the ledger's last look, where a second ledger mirrored it, too.
    """
    for book in books:
        if not book.tells:
            return False
        owed = card.balance_minor - card.presence(book.side).shadow_minor
        wanted = [total - owed for total in accumulate(effect.amount_minor for effect in book.ours)]
        others = [one for one in books if one is not book]
        before = [tuple((history or {}).get(one.side, ())) for one in others]
        moments = [
            [0, *accumulate((*earlier, *one.theirs))] for one, earlier in zip(others, before, strict=True)
        ]
        starts = product(*(range(len(earlier) + 1) for earlier in before))
        if wanted and not any(_happened_in_order(wanted, moments, start) for start in starts):
            return False
    return True


def _happened_in_order(
    wanted: Sequence[int], elsewhere: Sequence[Sequence[int]], start: tuple[int, ...]
) -> bool:
    """Whether customers had done each of these amounts since `start`, one moment after the other."""
    size = 1
    for moments in elsewhere:
        size *= len(moments)
    if size > MOMENTS_MAX:
        return False

    def done(at: tuple[int, ...]) -> int:
        return sum(moments[n] for moments, n in zip(elsewhere, at, strict=True))

    reached = {start}
    for amount in wanted:
        reached = {
            at
            for at in product(*(range(len(moments)) for moments in elsewhere))
            if done(at) - done(start) == amount
            and any(all(n >= m for n, m in zip(at, before, strict=True)) for before in reached)
        }
        if not reached:
            return False
    return True


def _book(p: Presence, seen: Seen, known: Mapping[str, KnownMarker], traces: Traces) -> Book:
    """What entries and feeds say of the difference between what the side shows and the shadow."""
    told = traces.told.get(p.side, ())
    tells = True
    if seen.entries is not None:
        older: tuple[Entry, ...] = ()
        fresh = evidence.fresh(p, seen)
        if p.book_cursor is None:
            # The book was never read: what stands in it before the difference is older than the ledger.
            older, fresh = _split(seen.entries, known, seen.balance_minor - p.shadow_minor)
        tells = not any(_is_lost(entry.marker, known) for entry in older)
        lines = [Told(e.marker, e.amount_minor, e.native_id) for e in fresh]
    else:
        lines = list(told)
        tells = all(one.amount_minor is not None for one in lines if one.marker not in known)
    ours = tuple(
        LostEffect(str(one.marker), one.amount_minor or 0, one.reference)
        for one in lines
        if _is_lost(one.marker, known)
    )
    d = seen.balance_minor - p.shadow_minor - sum(effect.amount_minor for effect in ours)
    listed = [one.amount_minor or 0 for one in lines if one.marker is None]
    told_of_theirs = [one.amount_minor or 0 for one in told if one.marker is None]
    theirs = _theirs(d, listed, told_of_theirs)
    if seen.entries is None and p.side not in traces.show_ours:
        # Feeds told of customers alone, and that is all of it.
        tells = tells and not ours and (not d or d in (sum(listed), *_ends(told_of_theirs)))
    return Book(p.side, ours, theirs, tells=tells)


def _theirs(d: int, listed: Sequence[int], told: Sequence[int]) -> tuple[int, ...]:
    """Customers' movements, which come to d: as they are listed, else as feeds told, else with a rest.

    A feed may tell of the last movements before the ledger's last look again.
    """
    if sum(listed) == d:
        return tuple(listed)
    ends = _ends(told)
    if d in ends:
        return tuple(told[ends.index(d) :])
    return (*listed, d - sum(listed))


def _ends(told: Sequence[int]) -> list[int]:
    """What the movements from each one on come to."""
    return [sum(told[position:]) for position in range(len(told))]


def _split(
    entries: tuple[Entry, ...], known: Mapping[str, KnownMarker], d: int
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Entries before and after the last look: the shortest end that comes to the difference tells it."""
    total = 0
    for position in range(len(entries), -1, -1):
        if position < len(entries):
            entry = entries[position]
            total += 0 if entry.marker in known else entry.amount_minor
        if total == d:
            return entries[:position], entries[position:]
    return entries, ()


def _is_lost(marker: str | None, known: Mapping[str, KnownMarker]) -> bool:
    return marker is not None and marker not in known


def _explained_by_rest(
    card: Card, book: Book, books: Sequence[Book], observations: Mapping[str, Observation]
) -> Book:
    """Where a balance alone tells, giftsync's part follows if only one is possible.

    That is when nobody moved the card elsewhere, or when all sides show the same: then the ledger that was
    lost had finished its work.
    """
    if book.tells:
        return book
    others = [one for one in books if one is not book]
    if not all(one.tells for one in others):
        return book
    p = card.presence(book.side)
    owed = card.balance_minor - p.shadow_minor
    if not owed and not any(one.theirs or one.ours for one in others):
        return replace(book, tells=not book.ours)
    shown = {o.balance_minor for o in observations.values() if isinstance(o, Seen)}
    if len(shown) == 1 and len(others) == 1 and not book.ours:
        (other,) = others
        mirrored = sum(e.amount_minor for e in other.ours)
        theirs = mirrored - (card.balance_minor - card.presence(other.side).shadow_minor)
        return Book(book.side, theirs=(theirs,) if theirs else (), hidden_minor=sum(book.theirs) - theirs)
    return book
