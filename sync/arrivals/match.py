"""First contact: who is the card that a side has and the hub does not know (design.md, "First contact")?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

import structlog

from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled
from connectors.api.side import (
    Absent,
    CardRef,
    Observation,
    Seen,
    Side,
    Unreadable,
)
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.notes import pos_note
from mappings.serials import Serial, SerialError, lengthened, mask
from sync.decisions import causes, protocol
from sync.decisions.first_contact import may_be_store_card
from sync.ledger.cards.creates import markers, source_of
from sync.ledger.cards.pool import LOW_WATER, Pool, PoolNumber
from sync.ledger.cards.store import AlreadyThere
from sync.ledger.incoming.intake import Arrival, Intake
from sync.model import Decision, NewConflict, Presence, to_create
from sync.reconcile.work import Link
from sync.worker_log import log_met

log = structlog.get_logger(__name__)

#: How long an arrival waits that cannot be matched yet; doubled each time up to the maximum.
AGAIN_SECONDS = 5.0
AGAIN_SECONDS_MAX = 600.0
#: Beyond any wait that is used; an arrival may be tried for years.
DOUBLINGS_MAX = 16
NUMBER_LENGTH = 16
NUMBERS_TRIED_MAX = 8


class Matched(StrEnum):
    """What became of an arrival."""

    #: The hub has it now, and others may be created on the other sides.
    MET = "met"
    #: The hub knew it already.
    KNOWN = "known"
    #: It cannot be told yet.
    WAITS = "waits"
    #: There is nothing to keep in step: the side does not have it any more.
    GONE = "gone"
    #: It is of a brand that the merchant has excluded.
    LEFT_OUT = "left_out"


class Deferred(Exception):
    """The arrival cannot be decided now; the message says why where a person has to mend it."""

    def __init__(self, reason: str = "", *, in_time: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        #: Time alone brings it: an effect of ours that is under way has to end first.
        self.in_time = in_time


@dataclass(frozen=True)
class Number:
    """A number for a card on another side."""

    serial: Serial
    #: None: it is not of the pool.
    pooled: PoolNumber | None
    #: The card that has it there already: a ledger that was lost has made it.
    there: Seen | None = None


@dataclass(frozen=True)
class Matcher:
    """Matches arrivals by serial, and has others made where there is none."""

    link: Link
    intake: Intake
    pool: Pool
    #: The first digits of POS numbers that giftsync makes itself; None: only pool numbers are used.
    serial_prefix: str | None
    #: Makes so many digits for a number; None: they are derived from the key and the card, so that a ledger
    #: which was lost and begins anew finds the number that the card has.
    make_digits: Callable[[int], str] | None = None
    #: Numbers that are too short for another side are made longer there, by `mappings.serials.lengthened`.
    lengthens: bool = False

    def match(self, arrival: Arrival, run_id: int | None = None) -> Matched:
        """Decide one arrival and commit it; safe to run twice and beside itself."""
        now = self.link.clock()
        known = self.intake.card_of(arrival.side, arrival.card, arrival.created_by)
        if known is not None:
            return self._is_known(arrival, known)
        try:
            for _ in range(NUMBERS_TRIED_MAX):
                met = self._meet(arrival, run_id)
                if met is not None:
                    self._close_what_it_opened(arrival)
                    return met
            raise Deferred
        except Deferred as later:
            wait = min(AGAIN_SECONDS * 2 ** min(arrival.attempts, DOUBLINGS_MAX), AGAIN_SECONDS_MAX)
            given_up = arrival.attempts + 1 >= protocol.UNREADABLE_MAX
            if given_up and later.reason:
                made = causes.new_card_unreadable(arrival.side, arrival.id, arrival.last_chars, later.reason)
                self.intake.report(made, now)
            awaits_side = given_up and not later.in_time
            self.intake.postpone(arrival, now + timedelta(seconds=wait), awaits_side=awaits_side)
            return Matched.WAITS

    def _is_known(self, arrival: Arrival, card_id: int) -> Matched:
        self.intake.make_due([card_id], self.link.clock())
        self.intake.drop(arrival)
        self._close_what_it_opened(arrival)
        return Matched.KNOWN

    def _is_left_out(self, arrival: Arrival, shown: Mapping[str, Seen]) -> bool:
        """Whether the card is of an excluded brand on any side. Such a card is not made, held or reported."""
        for side, seen in shown.items():
            if self.link.rules.brands.excludes(side, seen.brand):
                log.info(
                    "a card is left out: its brand is excluded",
                    action="card.left_out",
                    side=side,
                    card=mask(seen.last_chars),
                    brand=seen.brand,
                )
                self.intake.leave_out(arrival, seen.brand)
                return True
        return False

    def _close_what_it_opened(self, arrival: Arrival) -> None:
        """What kept the card waiting is over."""
        if arrival.attempts:
            for cause in causes.causes_of_arrival(arrival.side, arrival.id):
                self.intake.cause_gone(cause, self.link.clock())
            for name in self.link.sides:
                if name != arrival.side and arrival.card.serial is None:
                    self.intake.cause_gone(causes.no_numbers(name), self.link.clock())

    def _meet(self, arrival: Arrival, run_id: int | None) -> Matched | None:
        if arrival.card.serial is None and self.intake.create_is_open(arrival.side, arrival.last_chars):
            # It may be the card that one of our own creates is making right now.
            raise Deferred(in_time=True)
        side = self.link.sides[arrival.side]
        # With its entries, so that what stands in the card's book by now is not taken for news later.
        entries = side.capabilities.lists_entries
        seen = _read(lambda: next(iter(side.observe([arrival.card], entries=entries))))
        if isinstance(seen, Absent):
            self.intake.drop(arrival)
            return Matched.GONE
        if isinstance(seen, Seen) and self._is_left_out(arrival, {arrival.side: seen}):
            return Matched.LEFT_OUT
        if not isinstance(seen, Seen):
            raise Deferred(_why(seen))
        if seen.status is None:
            raise Deferred(f"it has the status {seen.status_text!r}, which giftsync does not know")
        if not self._same_currency(arrival, seen):
            raise Deferred
        # Known by another number than the one that it came with, such as a legacy number.
        known = self.intake.card_of(arrival.side, CardRef(seen.native_id, seen.serial))
        if known is not None:
            return self._is_known(arrival, known)
        marker = seen.created_by or arrival.created_by
        # A note that was a copy, and has been corrected since, says nothing any more.
        if marker is not None and (seen.created_by or not self.intake.is_ours(marker)):
            return self._meet_made_by_us(arrival, seen, marker)
        serial = seen.serial or arrival.card.serial
        if serial is None and self._waits_for_a_word(arrival, seen):
            raise Deferred
        shown = {arrival.side: _with_serial(seen, serial)}
        others: list[Presence] = []
        refused: list[NewConflict] = []
        number: PoolNumber | None = None
        for name, other in self.link.sides.items():
            if name == arrival.side or name not in self.link.rules.sides:
                continue
            if serial is None:
                brand = self.link.rules.brands.translate(arrival.side, seen.brand, name)
                made = self.number_for(name, other, brand, source_of(arrival.side, seen.native_id))
                if made is None:
                    continue
                number = number or made.pooled
                if made.there is not None:
                    shown[name] = _with_serial(made.there, made.serial)
                else:
                    note = pos_note(seen.last_chars, arrival.details)
                    others.append(to_create(name, made.serial, brand, note))
                continue
            theirs, reason = self.serial_for(other, serial)
            if reason is not None:
                refused.append(causes.unfit_number(name, reason, seen.balance_minor))
                continue
            theirs, there = self._find(other, theirs, seen.legacy_serial)
            if isinstance(there, Unreadable):
                raise Deferred(_why(there, name))
            if isinstance(there, Seen):
                shown[name] = _with_serial(there, theirs)
            elif self.link.rules.sides[name].creates:
                brand = self.link.rules.brands.translate(arrival.side, seen.brand, name)
                contact = self._contact_for(name, arrival)
                others.append(replace(to_create(name, theirs, brand), contact=contact))
        if self._is_left_out(arrival, shown):
            return Matched.LEFT_OUT
        return self._create(arrival, shown, tuple(others), refused, number, run_id)

    def _waits_for_a_word(self, arrival: Arrival, seen: Seen) -> bool:
        """Whether the card may be a copy of a store card, and nobody has said that it is one of its own."""
        doubt = may_be_store_card(seen, arrival.sold_here)
        if doubt is None or seen.status is not CardStatus.ACTIVE or seen.balance_minor == 0:
            return False
        told = causes.may_be_store_card(arrival.side, arrival.id, seen, doubt)
        if self.intake.was_acknowledged(told.cause):
            return False
        # The feed that tells of the order may come a little later than the one that told of the card.
        if arrival.attempts:
            self.intake.report(told, self.link.clock())
        return True

    def _contact_for(self, name: str, arrival: Arrival) -> Contact | None:
        return arrival.contact if self.link.rules.sides[name].notifies else None

    def _meet_made_by_us(self, arrival: Arrival, seen: Seen, marker: str) -> Matched:
        """A card with a marker of giftsync's: ours, or made with another ledger than this one, or a copy.

        To treat one of another ledger as new would create it a second time on the other sides.
        """
        known = self.intake.card_of(arrival.side, arrival.card, marker)
        if known is not None:
            self.intake.make_due([known], self.link.clock())
            self.intake.drop(arrival)
            return Matched.KNOWN
        if self.intake.is_awaited(marker, arrival.side):
            raise Deferred  # The card that it was made for is about to be met.
        last_chars = arrival.last_chars or seen.last_chars
        made = causes.new_card_with_mark if self.intake.is_ours(marker) else causes.other_ledger
        told = made(arrival.side, arrival.id, seen, last_chars, marker)
        self.intake.report(told, self.link.clock())
        raise Deferred

    def _find(self, other: Side, serial: Serial, legacy: Serial | None) -> tuple[Serial, Observation]:
        """The card on another side, by its serial or else by the legacy number that it may have there."""
        there = _read(lambda: other.lookup(serial))
        if legacy is not None and isinstance(there, Absent):
            older, reason = self.serial_for(other, legacy)
            if reason is None:
                by_legacy = _read(lambda: other.lookup(older))
                if not isinstance(by_legacy, Absent):
                    return older, by_legacy
        return serial, there

    def serial_for(self, other: Side, serial: Serial) -> tuple[Serial, str | None]:
        """The serial that the card has on another side, and why that side cannot hold it, if it cannot."""
        reason = other.capabilities.accepts_serial(serial)
        if reason is None or not self.lengthens:
            return serial, reason
        try:
            longer = lengthened(serial)
        except SerialError as error:
            return serial, f"cannot be used: {error}"
        return (serial, reason) if longer == serial else (longer, other.capabilities.accepts_serial(longer))

    def _create(
        self,
        arrival: Arrival,
        shown: dict[str, Seen],
        others: tuple[Presence, ...],
        refused: list[NewConflict],
        number: PoolNumber | None,
        run_id: int | None,
    ) -> Matched | None:
        """Commit the card; None when its pool number went to another card meanwhile."""
        now = self.link.clock()
        today = now.astimezone(self.link.timezone).date()
        decision = protocol.meet(shown, others, self.link.rules, today)
        if refused:
            decision = _also(decision, refused)
        try:
            card_id = self.link.store.create(
                decision,
                now,
                run_id=run_id,
                arrival_id=arrival.id,
                pool_number_id=None if number is None else number.id,
            )
        except AlreadyThere:
            if number is not None and self.pool.is_allotted(number):
                return None  # Another card got the number; there are more.
            self._explain_clash(arrival, shown)
            raise Deferred from None
        log_met(card_id, decision)
        if number is not None:
            self._warn_of_few()
        return Matched.MET

    def _warn_of_few(self) -> None:
        """Running low is a warning before it is an error."""
        for name in self.link.sides:
            free = self.pool.free(name)
            if 0 < free < LOW_WATER:
                log.warning("the pool of numbers runs low", action="pool.low", side=name, free=free)

    def _explain_clash(self, arrival: Arrival, shown: dict[str, Seen]) -> None:
        """Another worker was quicker, or one card here is two cards there."""
        for name, seen in shown.items():
            other = self.intake.card_of(name, CardRef(seen.native_id, seen.serial))
            if other is not None and name != arrival.side:
                told = causes.two_cards(arrival.side, arrival.id, seen, arrival.last_chars, name, other)
                self.intake.report(told, self.link.clock())

    def _same_currency(self, arrival: Arrival, seen: Seen) -> bool:
        """A card in another currency than its side's is left alone, and said so."""
        if seen.currency == self.link.currency:
            return True
        told = causes.new_card_currency(
            arrival.side, arrival.id, seen, arrival.last_chars, self.link.currency
        )
        self.intake.report(told, self.link.clock())
        return False

    def number_for(self, name: str, other: Side, brand: str | None, source: str) -> Number | None:
        """A number for a card whose serial only its owner knows: from the pool, else with the prefix.

        Where a ledger that was lost has made the card there already, it is the number of that one. `source`
        is the card, by its id on its own side.
        """
        vault = self.link.store.vault
        ours = markers([source], name, vault)
        made = self.intake.arrived_by(name, ours)
        if made is not None:
            there = self._made_there(other, made, ours)
            if there is not None:
                return there
        if not self.link.rules.sides[name].creates:
            return None
        for attempt in range(NUMBERS_TRIED_MAX):
            pooled = self.pool.next_free(name, brand)
            if pooled is not None:
                serial = pooled.serial
            elif self.serial_prefix is not None:
                missing = NUMBER_LENGTH - len(self.serial_prefix)
                digits = (
                    vault.create_digits(source, name, attempt, missing)
                    if self.make_digits is None
                    else self.make_digits(missing)
                )
                serial = Serial(self.serial_prefix + digits)
            else:
                self.intake.report(causes.pool_empty(name), self.link.clock())
                raise Deferred
            found = _read(lambda s=serial: other.lookup(s))  # type: ignore[misc]
            if isinstance(found, Unreadable):
                raise Deferred
            if _is_unused(found):
                return Number(serial, pooled)
            if isinstance(found, Seen) and found.created_by in ours:
                return Number(serial, pooled, found)
            if pooled is not None:
                self.pool.retire(pooled, self.link.clock())
        raise Deferred

    def _made_there(self, other: Side, card: CardRef, ours: Collection[str]) -> Number | None:
        """The card that a lost ledger made on that side, as it is there now."""
        found = _read(lambda: next(iter(other.observe([card]))))
        if isinstance(found, Unreadable):
            raise Deferred
        serial = card.serial or (found.serial if isinstance(found, Seen) else None)
        if not isinstance(found, Seen) or found.created_by not in {*ours, None} or serial is None:
            return None
        return Number(serial, None, found)


def _read(question: Callable[[], Observation]) -> Observation:
    try:
        return question()
    except InDoubt as error:
        raise Deferred(str(error) if error.answered else "") from None
    except (NotSent, Throttled, SideClosed):
        raise Deferred from None


def _with_serial(seen: Seen, serial: Serial | None) -> Seen:
    if serial is None or seen.serial == serial:
        return seen
    return replace(seen, serial=serial)


def _also(decision: Decision, refused: list[NewConflict]) -> Decision:
    return replace(decision, conflicts=decision.conflicts + tuple(refused))


def _is_unused(there: Observation) -> bool:
    """Whether a number is free on a side: not there, or of a generated card that waits to be issued."""
    return isinstance(there, Absent) or (
        isinstance(there, Seen) and there.status is CardStatus.INACTIVE and there.balance_minor == 0
    )


def _why(unread: Unreadable, side: str = "") -> str:
    """What a person has to mend; nothing where no answer came."""
    where = f"{side} shows the card of this number, and " if side else ""
    return f"{where}{unread.reason}" if unread.answered else ""
