"""The second book: what a side's own entries say about a difference (pure)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

from connectors.api.card import Entry, Seen
from sync.model import KnownMarker, Presence

#: Entries listed with a movement; the sum counts them all.
ENTRIES_SHOWN_MAX = 20


def landings(seen: Seen) -> Mapping[str, int]:
    """How often each marker stands in the observed entries."""
    return Counter(entry.marker for entry in seen.entries or () if entry.marker is not None)


def newest(seen: Seen, cursor: str | None) -> str | None:
    """The entry up to which the side's book has been read; unchanged when none were read.

    A book that was read when it had no entries yet has an empty cursor, one that was never read has none.
    """
    if seen.entries is None:
        return cursor
    return seen.entries[-1].native_id if seen.entries else cursor or ""


class ReadTo(TypedDict):
    """How far a side's book has been read, and what it said up to there."""

    book_cursor: str | None
    book_digest: str | None


def read_to(seen: Seen, p: Presence | None = None) -> ReadTo:
    """The end of the book as it was read; as it was for the presence when no entries were read."""
    cursor = newest(seen, None if p is None else p.book_cursor)
    digest = None if p is None else p.book_digest
    return ReadTo(book_cursor=cursor, book_digest=_digest(seen.entries) if seen.entries else digest)


def is_rewritten(p: Presence, seen: Seen) -> bool:
    """Whether entries that were read once are gone, are others, or have other amounts now."""
    kept, _, cursor = (p.book_digest or "").partition(" ")
    if seen.entries is None or not kept or cursor != p.book_cursor:
        return False
    ids = [entry.native_id for entry in seen.entries]
    if cursor not in ids:
        return True
    return _digest(seen.entries[: ids.index(cursor) + 1]) != p.book_digest


def _digest(entries: Sequence[Entry]) -> str:
    """Of ids and amounts, which no side changes by itself; with the id of the last one."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.native_id} {entry.amount_minor}\n".encode())
    return f"{digest.hexdigest()[:32]} {entries[-1].native_id}"


def explain(p: Presence, seen: Seen, d: int, marked: Mapping[str, KnownMarker]) -> Mapping[str, object]:
    """Which of the side's entries explain the delta d, and how much of it none does.

    Entries with a marker of ours are not a customer's and never explain one. A side may legitimately show
    a redemption in the balance alone, so an unexplained rest is evidence, not an error.
    """
    facts: dict[str, object] = {"shown_minor": seen.balance_minor, "shadow_minor": p.shadow_minor}
    if seen.entries is None:
        return facts
    theirs = _theirs(p, seen, marked)
    facts["entries"] = [
        {"id": e.native_id, "amount_minor": e.amount_minor, "label": e.label}
        for e in theirs[-ENTRIES_SHOWN_MAX:]
    ]
    facts["explained_minor"] = sum(e.amount_minor for e in theirs)
    facts["unexplained_minor"] = d - sum(e.amount_minor for e in theirs)
    return facts


def rest(p: Presence, seen: Seen, marked: Mapping[str, KnownMarker]) -> int:
    """By how much the side differs from the shadow beyond what customers' entries explain."""
    return seen.balance_minor - p.shadow_minor - sum(e.amount_minor for e in _theirs(p, seen, marked))


def _theirs(p: Presence, seen: Seen, marked: Mapping[str, KnownMarker]) -> list[Entry]:
    return [e for e in fresh(p, seen) if e.marker not in marked]


def fresh(p: Presence, seen: Seen) -> tuple[Entry, ...]:
    """The entries that no observation has explained yet."""
    entries = seen.entries or ()
    for position, entry in enumerate(entries):
        if entry.native_id == p.book_cursor:
            return entries[position + 1 :]
    return entries
