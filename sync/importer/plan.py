"""Plans an import: reads everything, says what will happen to each card and why, and changes nothing.

    1  the card files, each looked through and then taken a row at a time     rows of the POS
    2  the online shop's own list, streamed                                   rows of the online shop
    3  duplicates, and cards that the hub has already                         by keyed hash, in the database
    4  cards that may be on both sides: those whose last four agree           looked up by their whole number

Nothing is held in memory but a page of rows; serials are sealed before they are stored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any

from connectors.api.bulk import Lister
from connectors.api.card import Absent, Observation, Seen, Unreadable
from connectors.api.side import place_of
from mappings.lifecycle import CardStatus
from mappings.sentences import say
from mappings.serials import Serial
from sync.importer.actions import (
    Action,
    ImportContext,
    PosCard,
    Verdict,
    for_online_card,
    for_pair,
    for_pos_card,
)
from sync.importer.files import CardFile, FileProblem
from sync.importer.looks import look
from sync.importer.sheets.formats import Role
from sync.importer.sheets.rows import FileCard, FileTotal, OnlineCard, Reject, Terms
from sync.ledger.imports.rows import Import, Imports, NewRow, Row
from sync.reconcile.work import Link

STAGE_ROWS = 5_000
LOOKUP_PAGE = 500
LOOKUP_THREADS = 16
#: Longer brands and stores are cut.
_TEXT_MAX = 200
#: Looking a value up takes a fifth of the time of asking the member of an enum for it.
_TEXT_OF: Mapping[StrEnum, str] = {one: one.value for one in (*Action, *CardStatus)}

#: Told what is being done, how much of it is done, and how much there is (0: not known).
Progress = Callable[[str, int, int], None]


class Stopped(Exception):
    """The person at the keyboard said stop. Nothing was changed on any side."""


@dataclass
class Planner:
    """Makes one plan."""

    link: Link
    imports: Imports
    context: ImportContext
    progress: Progress = lambda doing, done, total: None
    stop: threading.Event = field(default_factory=threading.Event)

    def plan(
        self, files: Sequence[CardFile], lister: Lister | None, *, ask_pos: bool = False
    ) -> tuple[Import, list[dict[str, Any]]]:
        """Read all of it and store the plan; `lister` is asked unless a file of the online shop is given.

        Returns the plan and what was read of each file. Raises FileProblem, Stopped, or as the sides do.
        """
        plan = self.imports.begin(self.context.currency, self.link.clock())
        pools = _pools(files)
        sources = [self._take_file(plan, number, file, pools) for number, file in enumerate(files)]
        names = [file.name for file in files]
        if any(one.role is Role.POS for one in files):
            self._say(say("looking for numbers that are listed twice"))
            self.imports.reject_duplicates(plan, names)
        if lister is not None and not any(one.role is Role.ONLINE for one in files):
            self._take_list(plan, lister)
        self._say(say("comparing with the ledger"))
        self.imports.mark_known(plan, self.context.pos, self.context.online)
        if ask_pos:
            self._ask_pos(plan)
        self._match(plan)
        self.imports.planned(plan.id, sources, self._before(plan))
        return self.imports.get(plan.id), sources

    # --- files ----------------------------------------------------------------------------------------------

    def _take_file(
        self, plan: Import, number: int, file: CardFile, pools: Mapping[str, bool] | None
    ) -> dict[str, Any]:
        counts: dict[str, Any] = {"rows": 0, "rejects": 0, "totals": []}
        if file.role is not Role.POOLS:
            rows = self._file_rows(plan, number, file, pools, counts)
            self._stage(say("reading {name}", name=file.name), rows, file.habits.rows)
        return {
            "file": file.name,
            "layout": file.habits.layout.name,
            "encoding": file.encoding,
            "unused": list(file.habits.unused),
            **counts,
        }

    def _file_rows(
        self,
        plan: Import,
        number: int,
        file: CardFile,
        pools: Mapping[str, bool] | None,
        counts: dict[str, Any],
    ) -> Iterator[NewRow]:
        terms = Terms(self.context.currency, self.link.timezone, pools)
        rows = since_total = 0
        for item in file.cards(terms):
            if isinstance(item, FileCard):
                row = self._pos_row(plan, item, number)
            elif isinstance(item, FileTotal):
                # A line that adds the others up is no card; it tells whether all of them were read.
                counts["totals"].append(_total(item, since_total))
                continue
            elif isinstance(item, OnlineCard):
                seen = _seen_of(item, self._native_id(item), self.context.currency)
                row = self._online_row(plan, seen, bool(item.order), number, item.line)
            else:
                counts["rejects"] += 1
                row = _reject_row(plan, item, number, file.role)
            rows += 1
            since_total += item.balance_minor or 0
            yield row
        counts["rows"] = rows

    def _pos_row(self, plan: Import, card: FileCard, source: int) -> NewRow:
        vault, serial, status = self.imports.vault, card.serial, card.status
        shown = PosCard(serial, card.balance_minor, status, card.expires_on, card.brand)
        action, reason, amount_minor = for_pos_card(shown, self.context)
        return NewRow(
            plan.id,
            _TEXT_OF[action],
            reason,
            amount_minor,
            serial.last_chars,
            _TEXT_OF[status],
            card.expires_on,
            vault.index(serial),
            vault.seal(serial),
            card.balance_minor,
            card.brand[:_TEXT_MAX],
            card.store[:_TEXT_MAX],
            source,
            card.line,
        )

    # --- the online shop ------------------------------------------------------------------------------------

    def _take_list(self, plan: Import, lister: Lister) -> None:
        doing = say("waiting for the list of {side}", side=self.context.online)
        self._say(doing)
        listed = lister.list_cards(lambda gathered: self.progress(doing, gathered, 0))
        rows = (self._online_row(plan, one.seen, one.bought) for one in listed)
        self._stage(say("reading the list of {side}", side=self.context.online), rows, 0)

    def _online_row(
        self,
        plan: Import,
        seen: Seen,
        bought_online: bool,
        source: int | None = None,
        line: int | None = None,
    ) -> NewRow:
        verdict = for_online_card(seen, bought_online, self.context)
        return NewRow(
            plan.id,
            verdict.action.value,
            verdict.reason,
            verdict.amount_minor,
            last_chars=seen.last_chars,
            status=(seen.status or CardStatus.SUSPENDED).value,
            expires_on=seen.expires_on,
            online_id=seen.native_id,
            online_minor=seen.balance_minor,
            source=source,
            line=line,
        )

    def _stage(self, doing: str, rows: Iterable[NewRow], total: int) -> None:
        done = 0
        batch: list[NewRow] = []
        for row in rows:
            batch.append(row)
            if len(batch) == STAGE_ROWS:
                self.imports.stage(batch)
                done += len(batch)
                batch = []
                self.progress(doing, done, total)
                self._check_stop()
        self.imports.stage(batch)
        self.progress(doing, done + len(batch), total)

    # --- looking up -----------------------------------------------------------------------------------------

    def _match(self, plan: Import) -> None:
        """Cards whose last four some card online shares are looked up there by their whole number."""
        side = self.link.sides[self.context.online]
        doing = say("looking numbers up in {side}", side=self.context.online)

        def ask(serial: Serial) -> Observation:
            return side.lookup(self.context.online_serial(serial)[0])

        def verdict(row: Row, serial: Serial, there: Observation) -> Mapping[str, Any] | None:
            if isinstance(there, Absent):
                return None
            if isinstance(there, Unreadable):
                return _change(row, Verdict(Action.REJECT, f"cannot be compared: {there.reason}"))
            card = PosCard(serial, row.pos_minor or 0, CardStatus(row.status), row.expires_on, row.brand)
            change = _change(row, for_pair(card, there, self.context))
            return {**change, "online_id": there.native_id, "online_minor": there.balance_minor}

        def page(after: int) -> list[Row]:
            return self.imports.candidates(plan, after, LOOKUP_PAGE)

        self._each(doing, plan, page, ask, verdict)
        self.imports.drop_paired(plan)
        # A card that turned out to be known online only now.
        self.imports.mark_known(plan, self.context.pos, self.context.online)

    def _ask_pos(self, plan: Import) -> None:
        """Replace what the files say by what the point of sale shows."""
        pos = self.context.pos
        side = self.link.sides[pos]
        asked = (Action.CREATE_ONLINE, Action.WATCH, Action.SKIP)

        def verdict(row: Row, serial: Serial, there: Observation) -> Mapping[str, Any] | None:
            if isinstance(there, Absent):
                return _change(row, Verdict(Action.REJECT, f"{pos} has no such card"))
            if isinstance(there, Unreadable):
                return _change(row, Verdict(Action.REJECT, f"{pos} does not show it: {there.reason}"))
            if there.status is None:
                return _change(row, Verdict(Action.REJECT, f"{pos} shows an unknown status"))
            card = PosCard(serial, there.balance_minor, there.status, there.expires_on, there.brand)
            return {
                **_change(row, for_pos_card(card, self.context)),
                "pos_minor": there.balance_minor,
                "status": there.status.value,
                "expires_on": there.expires_on,
            }

        def page(after: int) -> list[Row]:
            return self.imports.unlooked(plan, asked, after, LOOKUP_PAGE)

        self._each(say("asking {side}", side=pos), plan, page, side.lookup, verdict)

    def _each(
        self,
        doing: str,
        plan: Import,
        page_after: Callable[[int], list[Row]],
        ask: Callable[[Serial], Observation],
        verdict: Callable[[Row, Serial, Observation], Mapping[str, Any] | None],
    ) -> None:
        """Look every row's number up, many at a time, and store what follows, a page at a time."""
        after, done = plan.first_row, 0
        with ThreadPoolExecutor(LOOKUP_THREADS, "look") as pool:
            while page := page_after(after):
                after = page[-1].id
                serials = [self.imports.vault.open(row.serial_sealed or b"") for row in page]
                answers = pool.map(partial(look, ask), serials)
                found = [verdict(*one) for one in zip(page, serials, answers, strict=True)]
                changes = zip(page, found, strict=True)
                self.imports.change(plan, [(row, one) for row, one in changes if one is not None])
                done += len(page)
                self.progress(doing, done, 0)
                self._check_stop()

    def _before(self, plan: Import) -> dict[str, dict[str, int]]:
        """Cards and money that each side showed, whatever becomes of them; and which of them lists its
        cards."""
        sums = self.imports.shown(plan)
        return {
            self.context.pos: {"cards": sums[0], "minor": sums[1], "lists": 0},
            self.context.online: {"cards": sums[2], "minor": sums[3], "lists": 1},
        }

    def _native_id(self, card: OnlineCard) -> str:
        """The side's own id of a card whose number its export shows."""
        number = str(card.native_number)
        return place_of(self.link.sides[self.context.online]).id_of(number) or number

    def _say(self, doing: str) -> None:
        self.progress(doing, 0, 0)
        self._check_stop()

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Stopped


def _pools(files: Sequence[CardFile]) -> dict[str, bool] | None:
    pools: dict[str, bool] | None = None
    for file in files:
        if file.role is Role.POOLS:
            more = file.pools()
            both = set(more) & set(pools or {})
            if both:
                raise FileProblem(say("a pool of it stands in another file of pools, too"), file.path)
            pools = {**(pools or {}), **more}
    return pools


def _seen_of(card: OnlineCard, native_id: str, currency: str) -> Seen:
    """The online shop's own export as the side would show the card."""
    status = CardStatus.ACTIVE if card.enabled else CardStatus.CLOSED
    return Seen(
        native_id=native_id,
        balance_minor=card.balance_minor,
        currency=currency,
        status=status,
        status_text=status.value,
        expires_on=card.expires_on,
        last_chars=card.last_chars,
        at=datetime.now(UTC),
        note=card.note,
    )


def _total(total: FileTotal, read_minor: int) -> dict[str, Any]:
    """What a file's own total says, and whether the rows above it come to that."""
    stated = total.balance_minor
    return {
        "line": total.line,
        "minor": stated,
        "read_minor": read_minor,
        "agrees": None if stated is None else stated == read_minor,
    }


def _reject_row(plan: Import, reject: Reject, source: int, role: Role) -> NewRow:
    row = NewRow(
        plan.id,
        Action.REJECT.value,
        reject.reason,
        0,
        last_chars=reject.last_chars,
        cell=f"{reject.column} {reject.column_name}".strip() if reject.column else "",
        source=source,
        line=reject.line,
    )
    # A rejected card is still owed.
    if role is Role.POS:
        row.pos_minor = reject.balance_minor
    else:
        row.online_minor = reject.balance_minor
    return row


def _change(row: Row, verdict: Verdict) -> dict[str, Any]:
    return {
        "action": verdict.action.value,
        "reason": verdict.reason,
        "amount_minor": verdict.amount_minor,
        "pos_minor": row.pos_minor,
        "online_minor": row.online_minor,
        "online_id": row.online_id,
        "status": row.status,
        "expires_on": row.expires_on,
    }
