"""Looks at the cards of a plan's rows once more, and decides each by what its sides show now.

A row is never carried out as it was planned: the plan says which cards, the sides say what is on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.errors import NoAnswer
from connectors.api.side import place_of
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from mappings.notes import sale_note
from mappings.serials import Serial, mask
from sync.decisions import protocol
from sync.importer.actions import Action, ImportContext
from sync.importer.looks import look
from sync.importer.numbers import Numbers
from sync.importer.outcomes import IDLE, KNOWN, LEFT_OUT
from sync.ledger.cards.batches import Batches, InsertedCard
from sync.ledger.imports.rows import Imports, Row
from sync.model import Presence, to_create
from sync.reconcile.work import Link


@dataclass
class MatchResult:
    """What became of some rows."""

    born: list[InsertedCard] = field(default_factory=list)
    #: Rows that are over without a card, and why.
    settled: dict[int, str] = field(default_factory=dict)
    #: Rows that could not be decided now; they stay planned.
    unread: list[str] = field(default_factory=list)
    #: Cards asked for on the point of sale, and how many of them it does not have.
    looked: int = 0
    absent: int = 0
    #: Rows whose balance was another than planned.
    moved: int = 0


@dataclass
class RowMatcher:
    """Meets rows, a batch at a time. Reads only; the caller commits."""

    link: Link
    imports: Imports
    batches: Batches
    context: ImportContext
    numbers: Numbers
    #: Orders of cards that were bought online, by native id.
    details_of: Callable[[Sequence[str]], Mapping[str, Mapping[str, str]]]
    threads: Executor

    def meet(self, rows: Sequence[Row]) -> MatchResult:
        met = MatchResult()
        self._meet_pos([row for row in rows if row.action != Action.CREATE_POS], met)
        self._meet_online([row for row in rows if row.action == Action.CREATE_POS], met)
        return met

    # --- cards of the point of sale -------------------------------------------------------------------------

    def _meet_pos(self, rows: Sequence[Row], met: MatchResult) -> None:
        if not rows:
            return
        pos, online = self.context.pos, self.context.online
        serials = [self.imports.vault.open(row.serial_sealed or b"") for row in rows]
        answers = list(self.threads.map(partial(look, self.link.sides[pos].lookup), serials))
        there = self._observe([row.online_id for row in rows if row.online_id is not None])
        natives = [seen.native_id for seen in answers if isinstance(seen, Seen)]
        actual = [_serial(seen, s) for s, seen in zip(serials, answers, strict=True)]
        known = self.batches.known(pos, actual, natives) | self.batches.known(online, actual, list(there))
        met.looked += len(rows)
        for row, serial, seen in zip(rows, actual, answers, strict=True):
            match seen:
                case Absent():
                    met.absent += 1
                    met.settled[row.id] = f"{pos} has no such card"
                case Unreadable():
                    met.unread.append(seen.reason)
                case Seen():
                    ids = {self.imports.vault.index(serial), seen.native_id, row.online_id}
                    if ids & known:
                        met.settled[row.id] = KNOWN
                        continue
                    known |= {one for one in ids if one is not None}
                    other = None if row.online_id is None else there.get(row.online_id)
                    self._decide_pos(row, serial, replace(seen, serial=serial), other, met)

    def _decide_pos(
        self, row: Row, serial: Serial, seen: Seen, other: Observation | None, met: MatchResult
    ) -> None:
        pos, online, rules = self.context.pos, self.context.online, self.context.rules
        if seen.status is None or seen.currency != self.context.currency:
            what = "an unknown status" if seen.status is None else f"the currency {seen.currency}"
            met.settled[row.id] = f"left alone: {pos} shows {what}"
            return
        if rules.brands.excludes(pos, seen.brand):
            met.settled[row.id] = f"{LEFT_OUT}: the brand {seen.brand} is excluded"
            return
        theirs, reason = self.context.online_serial(serial)
        shown: dict[str, Seen] = {pos: seen}
        others: tuple[Presence, ...] = ()
        if row.online_id is not None:
            if not isinstance(other, Seen) or other.status is None:
                told = other.reason if isinstance(other, Unreadable) else f"{online} does not show the card"
                met.unread.append(told)
                return
            shown[online] = replace(other, serial=theirs)
        else:
            if reason is not None:
                met.settled[row.id] = f"the number {reason} in {online}"
                return
            if rules.sides[online].creates:
                brand = rules.brands.translate(pos, seen.brand, online)
                others = (to_create(online, theirs, brand),)
        decision = protocol.meet(shown, others, rules, self.link.today)
        words = _words(row, row.pos_minor, seen, self.context.currency)
        met.moved += bool(words)
        if decision.conflicts:
            words = [*words, f"conflict: {decision.conflicts[0].kind.replace('_', ' ')}"]
        elif row.action == Action.CREATE_ONLINE and not decision.intents:
            words = [*words, f"{IDLE} ({_why_idle(seen)})"]
        met.born.append(InsertedCard(row.id, decision, "; ".join(words)))

    # --- cards that were bought online ----------------------------------------------------------------------

    def _meet_online(self, rows: Sequence[Row], met: MatchResult) -> None:
        if not rows:
            return
        online, today = self.context.online, self.link.today
        there = self._observe([row.online_id for row in rows if row.online_id is not None])
        known = self.batches.known(online, [], list(there))
        ready: list[tuple[Row, Seen]] = []
        for row in rows:
            seen = there.get(row.online_id or "")
            if row.online_id in known:
                met.settled[row.id] = KNOWN
            elif isinstance(seen, Absent):
                met.settled[row.id] = f"{online} has no such card"
            elif not isinstance(seen, Seen):
                met.unread.append(seen.reason if isinstance(seen, Unreadable) else "no answer")
            elif seen.status is not CardStatus.ACTIVE or seen.balance_minor == 0 or _expired(seen, today):
                met.settled[row.id] = f"{IDLE} ({_why_idle(seen)})"
            else:
                ready.append((row, seen))
        details = self.details_of([seen.native_id for _, seen in ready]) if ready else {}
        numbers = self.numbers.take(len(ready), self.threads)
        sold_on = place_of(self.link.sides[online]).name
        for (row, seen), (serial, pooled) in zip(ready, numbers, strict=True):
            told = details.get(seen.native_id, {})
            brand = self.context.rules.brands.translate(online, seen.brand, self.context.pos)
            other = to_create(self.context.pos, serial, brand, sale_note(sold_on, seen.last_chars, told))
            decision = protocol.meet({online: seen}, (other,), self.context.rules, today)
            words = _words(row, row.online_minor, seen, self.context.currency)
            met.moved += bool(words)
            pooled_id = None if pooled is None else pooled.id
            met.born.append(InsertedCard(row.id, decision, "; ".join(words), pooled_id, told))

    # --- looking --------------------------------------------------------------------------------------------

    def _observe(self, native_ids: Sequence[str]) -> dict[str, Observation]:
        """What the online shop shows for each, in as few reads as it allows."""
        if not native_ids:
            return {}
        side = self.link.sides[self.context.online]
        try:
            return dict(zip(native_ids, side.observe([CardRef(one) for one in native_ids]), strict=True))
        except NoAnswer as error:
            unread = Unreadable(str(error), self.link.clock())
            return dict.fromkeys(native_ids, unread)


def _serial(seen: Observation, asked: Serial) -> Serial:
    """The number that the card has now: a legacy number leads to the card that replaced it."""
    return seen.serial if isinstance(seen, Seen) and seen.serial is not None else asked


def _expired(seen: Seen, today: date) -> bool:
    return seen.expires_on is not None and seen.expires_on < today


def _why_idle(seen: Seen) -> str:
    if seen.balance_minor == 0:
        return "nothing on it"
    return "expired" if seen.status is CardStatus.ACTIVE else seen.status_text.lower()


def _words(row: Row, planned_minor: int | None, seen: Seen, currency: str) -> list[str]:
    """How the card differs from the plan; it was decided anew."""
    words = []
    if planned_minor is not None and planned_minor != seen.balance_minor:
        before, now = format_money(planned_minor, currency), format_money(seen.balance_minor, currency)
        words.append(f"moved since the plan: {now} instead of {before}")
    if row.last_chars and seen.last_chars and row.last_chars != seen.last_chars:
        words.append(f"the number is an old one of {mask(seen.last_chars)}")
    return words
