"""A side in memory: the reference implementation of the `Side` protocol, for tests, simulation and trials.

It keeps exactly what a real side keeps, shows only what a real side shows, and fails when told to.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum

from connectors.api.abilities import Abilities
from connectors.api.capabilities import Capabilities, Identity, Usage
from connectors.api.card import Absent, CardRef, Entry, Observation, Seen
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, FindResult, Found, NotFound, Save
from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, Throttled
from connectors.api.feed import Feed, Hint, HintPage
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.serials import Serial

PAGE_SIZE = 100


class MemoryFault(StrEnum):
    """What goes wrong with one write."""

    NOT_SENT = "not_sent"
    THROTTLED = "throttled"
    #: The side says no without a reason that a later look explains.
    REFUSED = "refused"
    #: It never arrived, and nobody said so.
    DROPPED = "dropped"
    #: It took effect; the answer was lost.
    ANSWER_LOST = "answer_lost"
    #: No answer; it takes effect when `land_late` is called.
    LATE = "late"


@dataclass
class MemoryCard:
    """Ground truth of one card. Amounts in minor units."""

    native_id: str
    serial: Serial
    balance_minor: int
    status: CardStatus = CardStatus.ACTIVE
    expires_on: date | None = None
    brand: str = ""
    note: str = ""
    created_by: str | None = None
    sold_here: bool = True
    #: The buyer, as the till knows them; of a card that giftsync made, whom it was told to tell.
    contact: Contact | None = None
    #: With a contact: when the card was sold.
    sold_at: datetime | None = None
    entries: list[Entry] = field(default_factory=list)
    #: Markers of what it took, on a side that applies each at most once.
    applied: set[str] = field(default_factory=set)


CAPABILITIES = Capabilities(
    creates=True,
    debits=True,
    credits=True,
    sets_expiry=True,
    sets_status=frozenset({CardStatus.ACTIVE, CardStatus.SUSPENDED, CardStatus.CLOSED}),
    notifies=True,
    lists_entries=True,
    hides_serials=False,
    moves_when_suspended=False,
    read_batch_max=100,
    serial_length_min=8,
    serial_length_max=20,
    serial_digits_only=False,
)


class MemorySide:
    """Implements `connectors.api.side.Side`; thread-safe."""

    feeds: Sequence[Feed] = (Feed("journal", 1.0),)

    def __init__(
        self,
        name: str,
        clock: Callable[[], datetime],
        *,
        currency: str = "NOK",
        capabilities: Capabilities = CAPABILITIES,
        fault: Callable[[Effect], MemoryFault | None] = lambda _: None,
    ) -> None:
        self.name = name
        self.capabilities = capabilities
        #: None of its own; a test gives it what it needs.
        self.abilities = Abilities()
        self.currency = currency
        #: Who it says it is; another answer is another shop.
        self.answers_as = f"memory:{name}"
        self.cards: dict[str, MemoryCard] = {}
        #: Every write that reached the side, in order.
        self.writes: list[Effect] = []
        #: Native ids of the cards that somebody was told of, once for each message.
        self.told: list[str] = []
        self._clock = clock
        self._fault = fault
        self._journal: list[str] = []
        self._late: list[Effect] = []
        #: What a card shows that giftsync does not know, by native id.
        self.odd_statuses: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._entry_ids = itertools.count(1)
        self._assigned_numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._usage = Usage()

    # --- what customers and staff do ---------------------------------------------------------------

    def sell(
        self, serial: str, amount_minor: int, expires_on: date | None = None, contact: Contact | None = None
    ) -> CardRef:
        """A customer buys a card here."""
        with self._lock:
            card = self._new_card(Serial(serial), amount_minor)
            card.expires_on = expires_on
            if contact is not None:
                card.contact, card.sold_at = contact, self._clock()
            return CardRef(card.native_id, None if self.capabilities.hides_serials else card.serial)

    def generate(self, serial: str) -> CardRef:
        """A number is generated in advance, to be sold later. No feed tells of it."""
        with self._lock:
            card = self._new_card(Serial(serial), 0)
            card.status = CardStatus.INACTIVE
            self._journal.remove(card.native_id)
            return CardRef(card.native_id, card.serial)

    def move(self, native_id: str, amount_minor: int) -> bool:
        """A customer spends (negative) or loads (positive); False when the till refuses."""
        with self._lock:
            card = self.cards[native_id]
            if card.balance_minor + amount_minor < 0 or not self._spendable(card):
                return False
            self._enter(card, amount_minor, None, "till")
            return True

    def set(
        self, native_id: str, *, status: CardStatus | None = None, expires_on: date | None = None
    ) -> None:
        """Staff change the status or the expiry."""
        with self._lock:
            card = self.cards[native_id]
            card.status = status or card.status
            card.expires_on = expires_on or card.expires_on
            self._journal.append(native_id)

    def land_late(self) -> int:
        """Carry out the requests that were held up on the way; returns how many had an effect."""
        with self._lock:
            held_up, self._late = self._late, []
            return sum(self._try(effect) for effect in held_up)

    def _try(self, effect: Effect) -> bool:
        try:
            self._carry_out(effect)
        except Refused:
            return False
        return True

    # --- the Side protocol -------------------------------------------------------------------------

    def identify(self) -> Identity:
        return Identity(self.answers_as, self.currency, "Europe/Oslo")

    def observe(
        self, cards: Sequence[CardRef], *, entries: bool = False, urgent: bool = True
    ) -> Iterator[Observation]:
        self._count()
        for ref in cards:
            with self._lock:
                card = self._card(ref)
                yield Absent(self._clock()) if card is None else self._seen(card, entries)

    def lookup(self, serial: Serial) -> Observation:
        self._count()
        with self._lock:
            card = self._by_serial(serial)
            return Absent(self._clock()) if card is None else self._seen(card, False)

    def apply(self, effect: Effect, save: Save) -> Applied:
        self._count()
        fault = self._fault(effect)
        with self._lock:
            match fault:
                case MemoryFault.NOT_SENT:
                    raise NotSent("no connection to the side could be made")
                case MemoryFault.THROTTLED:
                    raise Throttled("the side is busy", 1.0)
                case MemoryFault.REFUSED:
                    raise Refused("the side said no", Refusal.INSUFFICIENT_FUNDS)
                case MemoryFault.DROPPED:
                    raise InDoubt("no answer")
                case MemoryFault.LATE:
                    self._late.append(effect)
                    raise InDoubt("no answer")
                case MemoryFault.ANSWER_LOST:
                    self._try(effect)
                    raise InDoubt("no answer")
            card = self._carry_out(effect)
            return Applied(card.native_id, card.balance_minor, serial=self._assigned(effect, card))

    def find(self, effect: Effect) -> FindResult:
        self._count()
        with self._lock:
            if effect.kind is EffectKind.CREATE:
                made = next((c for c in self.cards.values() if c.created_by == effect.marker), None)
                if made is None:
                    return NotFound()
                return Found(1, made.native_id, serial=self._assigned(effect, made))
            card = self._card(effect.card)
            if card is None:
                return NotFound()
            if effect.kind is EffectKind.SET_STATUS:
                return Found(1, card.native_id) if card.status is effect.status else NotFound()
            if effect.kind is EffectKind.SET_EXPIRY:
                return Found(1, card.native_id) if card.expires_on == effect.expires_on else NotFound()
            if effect.kind is EffectKind.NOTIFY:
                return CannotTell("the side does not list the messages that it sent")
            landings = sum(entry.marker == effect.marker for entry in card.entries)
            return Found(landings, card.native_id) if landings else NotFound()

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        if feed not in {one.name for one in self.feeds}:
            raise ValueError(f"{self.name} has no feed {feed!r}")
        start = int(cursor or 0)
        while True:
            with self._lock:
                page = self._journal[start : start + PAGE_SIZE]
                there = [native_id for native_id in dict.fromkeys(page) if native_id in self.cards]
                hints = [self._hint(native_id) for native_id in there]
            if not page:
                return
            start += len(page)
            yield HintPage(hints, str(start))

    def usage(self) -> Usage:
        return self._usage

    def close(self) -> None:
        pass

    # --- inside ------------------------------------------------------------------------------------

    def _count(self) -> None:
        with self._lock:
            self._usage = replace(self._usage, calls=self._usage.calls + 1)

    def _hint(self, native_id: str) -> Hint:
        card = self.cards[native_id]
        serial = None if self.capabilities.hides_serials else card.serial
        return Hint(
            CardRef(native_id, serial),
            "journal",
            card.serial.last_chars,
            # Of its sale; for what moves later, a hint without a moment is always news.
            at=card.sold_at if not card.entries else None,
            created_by=card.created_by,
            sold_here=card.sold_here,
            contact=card.contact,
        )

    def _by_serial(self, serial: Serial) -> MemoryCard | None:
        return next((card for card in self.cards.values() if card.serial == serial), None)

    def _card(self, ref: CardRef) -> MemoryCard | None:
        if ref.native_id is not None:
            return self.cards.get(ref.native_id)
        return None if ref.serial is None else self._by_serial(ref.serial)

    def _seen(self, card: MemoryCard, entries: bool) -> Seen:
        odd = self.odd_statuses.get(card.native_id)
        by_date = self.capabilities.suspends_by_date and card.status is CardStatus.SUSPENDED
        return Seen(
            native_id=card.native_id,
            balance_minor=card.balance_minor,
            currency=self.currency,
            status=card.status if odd is None else None,
            status_text=odd or card.status.value,
            expires_on=None if by_date else card.expires_on,
            last_chars=card.serial.last_chars,
            at=self._clock(),
            serial=None if self.capabilities.hides_serials else card.serial,
            brand=card.brand,
            note=card.note,
            created_by=card.created_by,
            entries=tuple(card.entries) if entries and self.capabilities.lists_entries else None,
        )

    def _new_card(self, serial: Serial, amount_minor: int) -> MemoryCard:
        if self._by_serial(serial) is not None:
            raise Refused("the serial is in use", Refusal.TAKEN)
        native_id = f"{self.name}-{next(self._ids)}"
        card = self.cards[native_id] = MemoryCard(native_id, serial, amount_minor)
        self._journal.append(native_id)
        return card

    def _spendable(self, card: MemoryCard) -> bool:
        expired = card.expires_on is not None and card.expires_on < self._clock().date()
        return card.status is CardStatus.ACTIVE and not expired

    def _enter(self, card: MemoryCard, amount_minor: int, marker: str | None, label: str) -> None:
        card.balance_minor += amount_minor
        entry_id = f"{self.name}-e{next(self._entry_ids)}"
        card.entries.append(Entry(entry_id, amount_minor, self._clock(), marker, label))
        self._journal.append(card.native_id)

    def _carry_out(self, effect: Effect) -> MemoryCard:
        """The effect on the ground truth; raises Refused and changes nothing when the side would."""
        if effect.kind is EffectKind.CREATE:
            return self._create(effect)
        card = self._card(effect.card)
        if card is None:
            raise Refused("no such card", Refusal.NOT_FOUND)
        if self._has_applied(effect):
            return card
        if card.status is CardStatus.CLOSED and effect.status is not CardStatus.CLOSED:
            raise Refused("the card is closed", Refusal.NOT_ACTIVE)
        _CHANGES[effect.kind](self, card, effect)
        if self.capabilities.applies_marker_once or effect.kind in self.capabilities.lands_once:
            card.applied.add(effect.marker)
        self.writes.append(effect)
        return card

    def _has_applied(self, effect: Effect) -> bool:
        card = self._card(effect.card)
        return card is not None and effect.marker in card.applied

    def _create(self, effect: Effect) -> MemoryCard:
        serial = effect.card.serial
        if self.capabilities.assigns_numbers:
            made = next((c for c in self.cards.values() if c.created_by == effect.marker), None)
            serial = made.serial if made is not None else Serial(f"66{next(self._assigned_numbers):010d}")
        if serial is None:
            raise Refused("a card needs a serial", Refusal.BAD_SERIAL)
        there = self._by_serial(serial)
        if there is not None:
            if there.created_by == effect.marker:
                return there
            if there.status is CardStatus.INACTIVE and there.balance_minor == 0:
                return self._issue(there, effect)
            raise Refused("the serial is in use", Refusal.TAKEN, there.native_id)
        return self._issue(self._new_card(serial, 0), effect)

    def _assigned(self, effect: Effect, card: MemoryCard) -> Serial | None:
        """The number of a card that was made, where the side chose it."""
        is_new = effect.kind is EffectKind.CREATE and self.capabilities.assigns_numbers
        return card.serial if is_new else None

    def _issue(self, card: MemoryCard, effect: Effect) -> MemoryCard:
        """Sell a new card, or one that was generated in advance."""
        card.balance_minor, card.status = effect.amount_minor, CardStatus.ACTIVE
        card.expires_on, card.note = effect.expires_on, effect.note
        card.created_by, card.sold_here = effect.marker, False
        self.writes.append(effect)
        return card

    def _credit_or_debit(self, card: MemoryCard, effect: Effect) -> None:
        signed = effect.amount_minor if effect.kind is EffectKind.CREDIT else -effect.amount_minor
        if not self._spendable(card):
            raise Refused("the card is not active", Refusal.NOT_ACTIVE)
        if card.balance_minor + signed < 0:
            raise Refused("not enough on the card", Refusal.INSUFFICIENT_FUNDS)
        self._enter(card, signed, effect.marker, effect.kind.value)

    def _set_status(self, card: MemoryCard, effect: Effect) -> None:
        card.status = effect.status or card.status
        if self.capabilities.suspends_by_date and effect.status is CardStatus.ACTIVE:
            card.expires_on = effect.expires_on

    def _notify(self, card: MemoryCard, effect: Effect) -> None:
        if effect.contact is None and card.contact is None:
            raise Refused("the card has no customer", Refusal.MISSING_DETAIL)
        card.contact = effect.contact or card.contact
        self.told.append(card.native_id)

    def _set_expiry(self, card: MemoryCard, effect: Effect) -> None:
        if self.capabilities.suspends_by_date and card.status is CardStatus.SUSPENDED:
            raise Refused("the card is suspended: lift that first", Refusal.NOT_ACTIVE)
        card.expires_on = effect.expires_on


_CHANGES: Mapping[EffectKind, Callable[[MemorySide, MemoryCard, Effect], None]] = {
    EffectKind.CREDIT: MemorySide._credit_or_debit,
    EffectKind.DEBIT: MemorySide._credit_or_debit,
    EffectKind.SET_STATUS: MemorySide._set_status,
    EffectKind.SET_EXPIRY: MemorySide._set_expiry,
    EffectKind.NOTIFY: MemorySide._notify,
}
