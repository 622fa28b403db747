"""First contact: who is the card that a side has and the hub does not know (design.md, "First contact")?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

import structlog

from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.side import place_of
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.notes import sale_note
from mappings.serials import Serial, mask
from sync.arrivals.ahead import Ahead
from sync.arrivals.deferred import Deferred, read, why_unread
from sync.arrivals.numbers import NUMBERS_TRIED_MAX, Numbers
from sync.decisions import causes, protocol
from sync.decisions.first_contact import may_be_store_card
from sync.ledger.cards.pool import Pool, PoolNumber
from sync.ledger.cards.store import AlreadyThere
from sync.ledger.incoming.intake import Arrival, Intake
from sync.ledger.secrets.creates import source_of
from sync.model import NewConflict, Presence, to_create
from sync.reconcile.decision_log import log_met
from sync.reconcile.work import Link

log = structlog.get_logger(__name__)

#: How long an arrival waits that cannot be matched yet; doubled each time up to the maximum.
AGAIN_SECONDS = 5.0
AGAIN_SECONDS_MAX = 600.0
#: Beyond any wait that is used; an arrival may be tried for years.
DOUBLINGS_MAX = 16


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


@dataclass(frozen=True)
class Counterparts:
    """What each side has to do with a card that is met, as they are asked one after the other."""

    #: Those that have the card; its own among them.
    shown: dict[str, Seen]
    #: Those on which it is made.
    created: list[Presence] = field(default_factory=list)
    #: Those that cannot hold it.
    refused: list[NewConflict] = field(default_factory=list)
    #: The numbers that it takes from the pool.
    pooled: list[PoolNumber] = field(default_factory=list)


@dataclass(frozen=True)
class Matcher:
    """Matches arrivals by serial, and has others made where there is none."""

    link: Link
    intake: Intake
    pool: Pool
    #: As in `Numbers`.
    make_digits: Callable[[int], str] | None = None

    @property
    def numbers(self) -> Numbers:
        """The numbers of cards on the other sides."""
        return Numbers(self.link, self.intake, self.pool, self.make_digits)

    def match(self, arrival: Arrival, run_id: int | None = None, ahead: Ahead = Ahead()) -> Matched:
        """Decide one arrival and commit it; safe to run twice and beside itself."""
        now = self.link.clock()
        known = self.intake.card_of(arrival.side, arrival.card, arrival.created_by)
        if known is not None:
            return self._is_known(arrival, known)
        try:
            for _ in range(NUMBERS_TRIED_MAX):
                met = self._meet(arrival, run_id, ahead)
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

    def _meet(self, arrival: Arrival, run_id: int | None, ahead: Ahead) -> Matched | None:
        seen = self._observe(arrival, ahead)
        if isinstance(seen, Absent):
            self.intake.drop(arrival)
            return Matched.GONE
        if self._is_left_out(arrival, {arrival.side: seen}):
            return Matched.LEFT_OUT
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
        others = Counterparts({arrival.side: _with_serial(seen, serial)})
        for name in self.link.sides:
            if name == arrival.side or name not in self.link.rules.sides:
                continue
            if serial is None:
                self._number(others, name, arrival, seen)
            else:
                self._look_for(others, name, arrival, seen, serial, ahead)
        if self._is_left_out(arrival, others.shown):
            return Matched.LEFT_OUT
        return self._create(arrival, others, run_id)

    def _observe(self, arrival: Arrival, ahead: Ahead) -> Seen | Absent:
        if arrival.card.serial is None and self.intake.create_is_open(arrival.side, arrival.last_chars):
            # It may be the card that one of our own creates is making right now.
            raise Deferred(in_time=True)
        side = self.link.sides[arrival.side]
        # With its entries, so that what stands in the card's book by now is not taken for news later.
        entries = side.capabilities.lists_entries
        seen = ahead.seen.get(arrival.id)
        seen = seen or read(lambda: next(iter(side.observe([arrival.card], entries=entries))))
        if isinstance(seen, Unreadable):
            raise Deferred(why_unread(seen))
        return seen

    def _number(self, others: Counterparts, name: str, arrival: Arrival, seen: Seen) -> None:
        """Give a card whose serial only its owner knows a number of its own on another side."""
        if not self.link.rules.side(arrival.side).shares:
            return
        brand = self.link.rules.brands.translate(arrival.side, seen.brand, name)
        source = source_of(arrival.side, seen.native_id)
        made = self.numbers.number_for(name, self.link.sides[name], brand, source)
        if made is None:
            return
        if made.pooled is not None:
            others.pooled.append(made.pooled)
        if made.there is not None:
            others.shown[name] = _with_serial(made.there, made.serial)
        else:
            sold_at = place_of(self.link.sides[arrival.side]).name
            note = sale_note(sold_at, seen.last_chars, arrival.details)
            others.created.append(to_create(name, made.serial, brand, note))

    def _look_for(
        self, others: Counterparts, name: str, arrival: Arrival, seen: Seen, serial: Serial, ahead: Ahead
    ) -> None:
        """Look for the card's number on another side, and have it made there if it is free."""
        shares = self.link.rules.side(arrival.side).shares
        brand = self.link.rules.brands.translate(arrival.side, seen.brand, name)
        theirs, reason = self.numbers.serial_for(name, serial)
        if reason is not None:
            if not self.numbers.assigns(name):
                others.refused.append(causes.unfit_number(name, reason, seen.balance_minor))
            elif shares:
                # It has no card of such a number, and gives the one that it makes a number of its own.
                others.created.append(to_create(name, None, brand))
            return
        theirs, there = self._find(name, theirs, seen.legacy_serial, ahead)
        if isinstance(there, Unreadable):
            raise Deferred(why_unread(there, name))
        if isinstance(there, Seen):
            others.shown[name] = _with_serial(there, theirs)
        elif shares and self.link.rules.sides[name].creates:
            contact = self._contact_for(name, arrival)
            others.created.append(replace(to_create(name, theirs, brand), contact=contact))

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

    def _find(
        self, name: str, serial: Serial, legacy: Serial | None, ahead: Ahead
    ) -> tuple[Serial, Observation]:
        """The card on another side, by its serial or else by the legacy number that it may have there."""
        other = self.link.sides[name]
        if ahead.lacks(name, serial):
            there: Observation = Absent(self.link.clock())
        else:
            there = read(lambda: other.lookup(serial))
        if legacy is not None and isinstance(there, Absent):
            older, reason = self.numbers.serial_for(name, legacy)
            if reason is None:
                by_legacy = read(lambda: other.lookup(older))
                if not isinstance(by_legacy, Absent):
                    return older, by_legacy
        return serial, there

    def _create(self, arrival: Arrival, others: Counterparts, run_id: int | None) -> Matched | None:
        """Commit the card; None when one of its pool numbers went to another card meanwhile."""
        now = self.link.clock()
        today = now.astimezone(self.link.timezone).date()
        decision = protocol.meet(others.shown, tuple(others.created), self.link.rules, today)
        decision = replace(decision, conflicts=(*decision.conflicts, *others.refused))
        try:
            card_id = self.link.store.create(
                decision,
                now,
                run_id=run_id,
                arrival_id=arrival.id,
                pool_number_ids=[number.id for number in others.pooled],
            )
        except AlreadyThere:
            if any(self.pool.is_allotted(number) for number in others.pooled):
                return None  # Another card got a number; there are more.
            self._explain_clash(arrival, others.shown)
            raise Deferred from None
        log_met(card_id, decision)
        if others.pooled:
            self.numbers.warn_of_few()
        return Matched.MET

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


def _with_serial(seen: Seen, serial: Serial | None) -> Seen:
    if serial is None or seen.serial == serial:
        return seen
    return replace(seen, serial=serial)
