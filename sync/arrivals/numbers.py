"""The number of a card on another side: the one that it has, or one made for it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import structlog

from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.side import Side
from mappings.lifecycle import CardStatus
from mappings.serials import Serial, SerialError, lengthened
from sync.arrivals.deferred import Deferred, read
from sync.decisions import causes
from sync.ledger.cards.pool import LOW_WATER, Pool, PoolNumber
from sync.ledger.incoming.intake import Intake
from sync.ledger.secrets.creates import markers
from sync.reconcile.work import Link

log = structlog.get_logger(__name__)

NUMBER_LENGTH = 16
#: Numbers tried before the card has to wait.
NUMBERS_TRIED_MAX = 8


@dataclass(frozen=True)
class Number:
    """A number for a card on another side."""

    #: None: the side assigns it when it makes the card.
    serial: Serial | None
    #: None: it is not of the pool.
    pooled: PoolNumber | None
    #: The card that has it there already: a ledger that was lost has made it.
    there: Seen | None = None


@dataclass(frozen=True)
class Numbers:
    """Finds and makes the numbers of cards, one at a time (`sync/importer/numbers.py`: many)."""

    link: Link
    intake: Intake
    pool: Pool
    #: Makes so many digits for a number; None: they are derived from the key and the card, so that a ledger
    #: which was lost and begins anew finds the number that the card has.
    make_digits: Callable[[int], str] | None = None

    def serial_for(self, name: str, serial: Serial) -> tuple[Serial, str | None]:
        """The serial that the card has on another side, and why that side cannot hold it, if it cannot."""
        can = self.link.sides[name].capabilities
        reason = can.accepts_serial(serial)
        if reason is None or not self.link.rules.side(name).lengthens:
            return serial, reason
        try:
            longer = lengthened(serial)
        except SerialError as error:
            return serial, f"cannot be used: {error}"
        return (serial, reason) if longer == serial else (longer, can.accepts_serial(longer))

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
        if self.assigns(name):
            return Number(None, None)
        made_before = self._made_under_former_key(name, other, source, ours)
        if made_before is not None:
            return made_before
        for attempt in range(NUMBERS_TRIED_MAX):
            pooled = self.pool.next_free(name, brand)
            if pooled is not None:
                serial = pooled.serial
            elif (prefix := self.link.rules.sides[name].serial_prefix) is not None:
                missing = NUMBER_LENGTH - len(prefix)
                digits = (
                    vault.create_digits(source, name, attempt, missing)
                    if self.make_digits is None
                    else self.make_digits(missing)
                )
                serial = Serial(prefix + digits)
            else:
                self.intake.report(causes.pool_empty(name), self.link.clock())
                raise Deferred
            found = read(partial(other.lookup, serial))
            if isinstance(found, Unreadable):
                raise Deferred
            if is_unused(found):
                return Number(serial, pooled)
            if isinstance(found, Seen) and found.created_by in ours:
                return Number(serial, pooled, found)
            if pooled is not None:
                self.pool.retire(pooled, self.link.clock())
        raise Deferred

    def _made_under_former_key(
        self, name: str, other: Side, source: str, ours: Collection[str]
    ) -> Number | None:
        """The card that giftsync has made there with a number that follows from an earlier key."""
        prefix = self.link.rules.sides[name].serial_prefix
        if prefix is None:
            return None
        for vault in self.link.store.vault.former:
            serial = Serial(prefix + vault.create_digits(source, name, 0, NUMBER_LENGTH - len(prefix)))
            found = read(partial(other.lookup, serial))
            if isinstance(found, Unreadable):
                raise Deferred
            if isinstance(found, Seen) and found.created_by in ours:
                return Number(serial, None, found)
        return None

    def assigns(self, name: str) -> bool:
        """Whether cards are made on the side, and it gives each a number of its own choice."""
        rules = self.link.rules.side(name)
        return rules.creates and rules.assigns_numbers

    def _made_there(self, other: Side, card: CardRef, ours: Collection[str]) -> Number | None:
        """The card that a lost ledger made on that side, as it is there now."""
        found = read(lambda: next(iter(other.observe([card]))))
        if isinstance(found, Unreadable):
            raise Deferred
        serial = card.serial or (found.serial if isinstance(found, Seen) else None)
        if not isinstance(found, Seen) or found.created_by not in {*ours, None} or serial is None:
            return None
        return Number(serial, None, found)

    def warn_of_few(self) -> None:
        """Running low is a warning before it is an error."""
        for name in self.link.sides:
            free = self.pool.free(name)
            if 0 < free < LOW_WATER:
                log.warning("the pool of numbers runs low", action="pool.low", side=name, free=free)


def is_unused(there: Observation) -> bool:
    """Whether a number is free on a side: not there, or of a generated card that waits to be issued."""
    return isinstance(there, Absent) or (
        isinstance(there, Seen) and there.status is CardStatus.INACTIVE and there.balance_minor == 0
    )
