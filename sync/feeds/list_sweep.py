"""Sweeps a side by its own list of cards: ordered, waited for, and compared with the shadows line by line.

The list is of some moment between its order and now. A card that has moved since differs from its shadow and
is looked at in vain; nothing is decided here. What is under way is in a cursor: after a crash the list that
was ordered is taken up again, from the line that was reached.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import islice

from connectors.api.bulk import Catalogue, Listed, ListState
from connectors.api.errors import InDoubt
from connectors.api.side import CardRef, Hint
from sync.crashpoints import crashpoint
from sync.decisions.shadow import matches_shadow
from sync.feeds.reader import Swept
from sync.ledger.incoming.intake import Intake
from sync.ledger.incoming.shadows import born_ids, newest_presence, nth_presence, shadows_of
from sync.reconcile.work import Link

LIST_FEED = "list"
#: From so many cards on, reading one after the other takes longer than a list.
LIST_FROM_CARDS = 10_000
#: From the end of one list to the order of the next.
LIST_SECONDS = 3600.0
#: Lines compared together: more would only make the look-up of their shadows slower.
BATCH = 500
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
        return cls(**json.loads(text)) if text else cls()


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
        seen = _Bits(cursor.newest_id) if cursor.line == 0 else None
        swept = Swept(0, 0, 0, False)
        lines = self.catalogue.read_list(cursor.operation or "", cursor.line)
        for batch in _batches(lines, BATCH):
            if stopping():
                return swept
            differ = self._compare(batch, seen)
            swept = replace(swept, looked_at=swept.looked_at + len(batch), differ=swept.differ + differ)
            cursor = self._save(replace(cursor, line=cursor.line + len(batch)))
            crashpoint("list.batch")
        try:
            absent = 0 if seen is None else self._miss(cursor, seen)
        finally:
            self._end()
        return replace(swept, differ=swept.differ + absent, absent=absent, finished=True)

    def _compare(self, batch: Sequence[Listed], seen: _Bits | None) -> int:
        """Make due what differs from its shadow, and have cards arrive that the hub does not know."""
        shadows = shadows_of(self.link.store.engine, self.side, [one.seen.native_id for one in batch])
        by_date = self.link.sides[self.side].capabilities.suspends_by_date
        due: set[int] = set()
        unknown: list[Listed] = []
        for one in batch:
            shadow = shadows.get(one.seen.native_id)
            if shadow is None:
                unknown.append(one)
                continue
            if seen is not None:
                seen.add(shadow.id)
            if not matches_shadow(shadow, one.seen, self.link.currency, by_date):
                due.add(shadow.card_id)
        if due:
            self.intake.make_due(due, self.link.clock(), self.side)
        if unknown:
            self.intake.hint(self.side, self._hints(unknown), self.link.clock())
        return len(due)

    def _hints(self, unknown: Sequence[Listed]) -> list[Hint]:
        """Cards that no feed told of: they became visible after the feed had passed their place."""
        details = self.catalogue.details_of([one.seen.native_id for one in unknown if one.bought])
        return [
            Hint(
                CardRef(one.seen.native_id),
                LIST_FEED,
                one.seen.last_chars,
                created_by=one.seen.created_by,
                sold_here=one.bought,
                details=details.get(one.seen.native_id, {}),
            )
            for one in unknown
        ]

    def _miss(self, cursor: ListCursor, seen: _Bits) -> int:
        """Make due the cards that the list lacks, unless there are so many that the side is to blame."""
        looked_at = absent = 0
        for page in self._pages(cursor):
            looked_at += len(page)
            absent += sum(row_id not in seen for row_id, _ in page)
        self.link.check_not_empty(self.side, looked_at, absent)
        for page in self._pages(cursor) if absent else ():
            missing = {card_id for row_id, card_id in page if row_id not in seen}
            self.intake.make_due(missing, self.link.clock(), self.side)
        return absent

    def _pages(self, cursor: ListCursor) -> Iterator[list[tuple[int, int]]]:
        after = 0
        while page := born_ids(self.link.store.engine, self.side, after, cursor.newest_id, BATCH):
            yield page
            after = page[-1][0]

    def _load(self) -> ListCursor:
        return ListCursor.load(self.intake.cursor(self.side, LIST_FEED))

    def _save(self, cursor: ListCursor) -> ListCursor:
        self.intake.save_cursor(self.side, LIST_FEED, json.dumps(asdict(cursor)), self.link.clock())
        return cursor

    def _end(self) -> None:
        self._save(ListCursor(ended_at=self.link.clock().isoformat()))


class _Bits:
    """Which ids up to a highest one were seen: a bit each, since a million numbers in a set take 60 MB."""

    def __init__(self, highest: int) -> None:
        self._bits = bytearray(highest // 8 + 1)
        self._highest = highest

    def add(self, number: int) -> None:
        if number <= self._highest:
            self._bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        return bool(self._bits[number >> 3] & 1 << (number & 7))


def _batches(lines: Iterable[Listed], size: int) -> Iterator[list[Listed]]:
    stream = iter(lines)
    while batch := list(islice(stream, size)):
        yield batch
