"""Sweeps a side by its own list of cards: ordered, waited for, and compared with the shadows line by line.

The list is of some moment between its order and now. A card that has moved since differs from its shadow and
is looked at in vain; nothing is decided here. What is under way is in a cursor: after a crash the list that
was ordered is taken up again, from the line that was reached.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from operator import ne
from typing import Any

from connectors.api.bulk import Catalogue, ListedCards, ListedLine, ListState
from connectors.api.card import CardRef
from connectors.api.errors import InDoubt
from connectors.api.feed import Hint
from mappings.lifecycle import CardStatus
from sync.crashpoints import crashpoint
from sync.feeds.reader import Swept
from sync.ledger.incoming.intake import Intake
from sync.ledger.incoming.shadows import (
    Shadow,
    born_ids,
    count_born,
    newest_presence,
    nth_presence,
    shadows_of,
)
from sync.reconcile.work import Link

LIST_FEED = "list"
#: From so many cards on a list is the cheaper way. To look for it, to order it and to ask whether it is ready
#: costs as much as some 20 reads of 250 cards each, however long it is (shopify.md §6).
LIST_FROM_CARDS = 5_000
#: From the end of one list to the order of the next.
LIST_SECONDS = 3600.0
#: Presences that the list is searched for together.
PAGE = 5_000
TAG_BYTES = 8


@dataclass(frozen=True)
class ListCursor:
    """Where the sweep by lists stands."""

    #: What the list is found by; None: none is ordered.
    tag: str | None = None
    #: The side's id of it; None: it may or may not have been ordered.
    operation: str | None = None
    #: Lines that were compared.
    line: int = 0
    #: The newest presence when it was ordered: later ones may not be in it.
    newest_id: int = 0
    #: When the last one was done with, ISO 8601.
    ended_at: str | None = None

    @classmethod
    def load(cls, text: str | None) -> ListCursor:
        """Nothing, and what is no cursor of this sweep, is the beginning."""
        try:
            found = cls(**json.loads(text)) if text else cls()
            if found.ended_at is not None:
                datetime.fromisoformat(found.ended_at)
        except (ValueError, TypeError):
            return cls()
        return found


@dataclass(frozen=True)
class ListSweep:
    """Sweeps one side. Safe beside itself: two at once compare the same list twice."""

    link: Link
    intake: Intake
    side: str
    catalogue: Catalogue
    from_cards: int = LIST_FROM_CARDS
    seconds: float = LIST_SECONDS

    def is_worth_it(self) -> bool:
        """Whether the side has so many cards that a list is the better way to see them all."""
        return nth_presence(self.link.store.engine, self.side, self.from_cards) is not None

    def is_due(self) -> bool:
        """Whether there is a list to order or to go on with."""
        cursor = self._load()
        if cursor.tag is not None:
            return True
        last = cursor.ended_at and datetime.fromisoformat(cursor.ended_at)
        # A moment in the future is that of a clock that was set back since.
        late = not last or not 0 <= (self.link.clock() - last).total_seconds() < self.seconds
        return late and self.is_worth_it()

    def step(self, stopping: Callable[[], bool]) -> Swept:
        """Order a list, or see whether it is ready, or read it; `finished` when one was read to its end.

        Stops between two batches of lines when told to. Raises like every read, and BrakeTripped when the
        side suddenly lacks the cards that it had.
        """
        cursor = self._load()
        if cursor.tag is None:
            newest = newest_presence(self.link.store.engine, self.side)
            cursor = self._save(ListCursor(secrets.token_hex(TAG_BYTES), newest_id=newest))
        if cursor.operation is None:
            cursor = self._order(cursor, cursor.tag or "")
        state = self.catalogue.list_state(cursor.operation or "")
        if state is ListState.LOST:
            self._end()
            raise InDoubt(f"{self.side} gave up its list of cards")
        return Swept(0, 0, 0, False) if state is ListState.GATHERING else self._read(cursor, stopping)

    def _order(self, cursor: ListCursor, tag: str) -> ListCursor:
        crashpoint("list.before")
        # Whatever is raised, the tag stays: what was not ordered is ordered under it the next time.
        operation = self.catalogue.find_list(tag) or self.catalogue.order_list(tag)
        crashpoint("list.ordered")
        return self._save(replace(cursor, operation=operation))

    def _read(self, cursor: ListCursor, stopping: Callable[[], bool]) -> Swept:
        # Cards that are missing show only in a list that was read in one go.
        seen = _Marks(cursor.newest_id) if cursor.line == 0 else None
        swept = Swept(0, 0, 0, False)
        batches = self.catalogue.read_list(cursor.operation or "", cursor.line)
        for batch in batches:
            if stopping():
                return swept
            differ, count = self._compare(batch, seen), len(batch.native_ids)
            swept = replace(swept, looked_at=swept.looked_at + count, differ=swept.differ + differ)
            cursor = self._save(replace(cursor, line=cursor.line + count))
            crashpoint("list.batch")
        try:
            absent = 0 if seen is None else self._miss(cursor, seen)
        finally:
            self._end()
        return replace(swept, differ=swept.differ + absent, absent=absent, finished=True)

    def _compare(self, batch: ListedCards, seen: _Marks | None) -> int:
        """Make due the cards that differ from their shadows; returns how many these are."""
        held = shadows_of(self.link.store.engine, self.side, batch.native_ids)
        places: Sequence[int] = range(len(batch.native_ids))
        unknown: list[int] = []
        if [row[0] for row in held] != batch.native_ids:
            by_id = {row[0]: row for row in held}
            found = [by_id.get(native_id) for native_id in batch.native_ids]
            unknown = [place for place, row in enumerate(found) if row is None]
            places = [place for place, row in enumerate(found) if row is not None]
            held = [row for row in found if row is not None]
        if seen is not None:
            seen.add([row[1] for row in held if row[6]])
        currency = self.link.currency
        by_date = self.link.sides[self.side].capabilities.suspends_by_date
        due = {
            shadow.card_id
            for n in _differing(batch, places, held, currency)
            if not _matches(shadow := Shadow._make(held[n]), batch.line(places[n]), currency, by_date)
        }
        if due:
            self.intake.make_due(due, self.link.clock(), self.side)
        if unknown:
            hints = self._hints([batch.line(place) for place in unknown])
            self.intake.hint(self.side, hints, self.link.clock())
        return len(due)

    def _hints(self, unknown: Sequence[ListedLine]) -> list[Hint]:
        """Cards that no feed told of: they became visible after the feed had passed their place."""
        details = self.catalogue.details_of([one.native_id for one in unknown if one.bought])
        return [
            Hint(
                CardRef(one.native_id),
                LIST_FEED,
                one.last_chars,
                created_by=one.created_by,
                sold_here=one.bought,
                details=details.get(one.native_id, {}),
            )
            for one in unknown
        ]

    def _miss(self, cursor: ListCursor, seen: _Marks) -> int:
        """Make due the cards that the list lacks, unless there are so many that the side is to blame."""
        looked_at = count_born(self.link.store.engine, self.side, cursor.newest_id)
        absent = 0
        if looked_at != seen.count:
            absent = sum(row_id not in seen for page in self._pages(cursor) for row_id, _ in page)
        self.link.check_not_empty(self.side, looked_at, absent)
        for page in self._pages(cursor) if absent else ():
            missing = {card_id for row_id, card_id in page if row_id not in seen}
            self.intake.make_due(missing, self.link.clock(), self.side)
        return absent

    def _pages(self, cursor: ListCursor) -> Iterator[list[tuple[int, int]]]:
        after = 0
        while page := born_ids(self.link.store.engine, self.side, after, cursor.newest_id, PAGE):
            yield page
            after = page[-1][0]

    def _load(self) -> ListCursor:
        return ListCursor.load(self.intake.cursor(self.side, LIST_FEED))

    def _save(self, cursor: ListCursor) -> ListCursor:
        self.intake.save_cursor(self.side, LIST_FEED, json.dumps(asdict(cursor)), self.link.clock())
        return cursor

    def _end(self) -> None:
        self._save(ListCursor(ended_at=self.link.clock().isoformat()))


def _differing(
    batch: ListedCards, places: Sequence[int], held: Sequence[tuple[Any, ...]], currency: str
) -> Collection[int]:
    """Which of these rows of `shadows_of` have another value in some column than the list has at their place.

    Whole columns are compared first: in most of them nothing differs.
    """
    differing = set[int]()
    columns = (
        (batch.balances_minor, [row[3] for row in held]),
        (batch.statuses, [row[4] for row in held]),
        (batch.expires_on, [row[5] for row in held]),
        (batch.currencies, [currency] * len(held)),
    )
    for listed, shadows in columns:
        shown = listed if len(places) == len(listed) else [listed[place] for place in places]
        if shown != shadows:
            differing.update(n for n, pair in enumerate(zip(shown, shadows, strict=True)) if ne(*pair))
    return differing


def _matches(shadow: Shadow, one: ListedLine, currency: str, by_date: bool) -> bool:
    """See `matches_shadow`."""
    if one.currency != currency:
        return False
    closed = CardStatus.CLOSED.value
    if closed in (one.status, shadow.shadow_status):
        return one.status == shadow.shadow_status
    suspended_by_date = by_date and one.status == CardStatus.SUSPENDED.value
    return (
        one.balance_minor == shadow.shadow_minor
        and one.status == shadow.shadow_status
        and (suspended_by_date or one.expires_on == shadow.shadow_expires_on)
    )


class _Marks:
    """Which ids up to a highest one were seen: a byte each, since a million numbers in a set take 60 MB."""

    def __init__(self, highest: int) -> None:
        self._marks = bytearray(highest + 1)

    def add(self, numbers: Sequence[int]) -> None:
        marks, highest = self._marks, len(self._marks) - 1
        for number in numbers if max(numbers, default=0) <= highest else [n for n in numbers if n <= highest]:
            marks[number] = 1

    @property
    def count(self) -> int:
        """How many were seen."""
        return self._marks.count(1)

    def __contains__(self, number: int) -> bool:
        return bool(self._marks[number])
