"""One worker's hold on one card: the lease, the commits under it, the sides and the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from connectors.api.errors import SideClosed
from connectors.api.side import Side
from connectors.kit.http import CALL_SECONDS
from sync.ledger.cards.store import Lease, Store
from sync.ledger.incoming.polls import ReadRecord
from sync.model import Card, Decision, Intent, InvariantBroken, LeaseLost, LinkRules
from sync.reconcile.brakes import Brake, check_not_empty
from sync.worker_log import log_decision

#: Longer than any one call may take as a whole, so that a lease covers the call it was checked for.
LEASE_SECONDS = 120.0
#: Longer than a side can hold a request and still carry it out.
QUIET_SECONDS = 60.0


#: Told of every look at a presence, with the side's name.
OnRead = Callable[[str, ReadRecord], None]


@dataclass(frozen=True)
class Link:
    """The sides of one merchant and what the worker needs to keep them in step."""

    store: Store
    sides: Mapping[str, Side]
    rules: LinkRules
    clock: Callable[[], datetime]
    timezone: ZoneInfo
    owner: str
    #: ISO 4217; every side of a link has the same.
    currency: str
    #: Asked before every effect.
    brake: Brake = field(default_factory=Brake)
    quiet_seconds: float = QUIET_SECONDS
    lease_seconds: float = LEASE_SECONDS
    #: Told when a side needs a person: its name and the error.
    on_closed: Callable[[str, SideClosed], None] = lambda side, error: None

    @property
    def today(self) -> date:
        """The date where the merchant is."""
        return self.clock().astimezone(self.timezone).date()

    def check_not_empty(self, side: str, looked_at: int, absent: int) -> None:
        """Raises BrakeTripped when a side suddenly lacks so many of the cards that it had."""
        check_not_empty(self.store.engine, side, looked_at, absent, self.brake.limits, self.clock())


@dataclass
class Work:
    """A claimed card in one worker's hands."""

    link: Link
    lease: Lease
    run_id: int | None = None
    saw: OnRead = lambda side, look: None
    #: Sides that said they are closed; not asked again in this piece of work.
    closed: set[str] = field(default_factory=set)

    @property
    def clock(self) -> Callable[[], datetime]:
        return self.link.clock

    @property
    def quiet_seconds(self) -> float:
        return self.link.quiet_seconds

    def side(self, name: str) -> Side:
        try:
            return self.link.sides[name]
        except KeyError:
            raise InvariantBroken(f"the ledger names a side {name!r} that the link does not have") from None

    def commit(self, card: Card, decision: Decision) -> Card:
        after = self.link.store.commit(self.lease, card, decision, self.clock(), self.run_id)
        log_decision(self.lease.card_id, card, decision)
        return after

    def save_progress(self, marker: str, progress: Mapping[str, str]) -> None:
        self.link.store.save_progress(self.lease, marker, progress)

    def save_look(self, card: Card, intent: Intent, look_at: datetime) -> Card:
        """The card with the next look at what is in doubt."""
        self.link.store.save_look(self.lease, intent.marker, look_at)
        return card.with_intent(replace(intent, look_at=look_at))

    def keep_lease(self) -> None:
        """Renew the lease when less than half of it, or than one call, is left. Raises LeaseLost when it is
        gone.
        """
        left = (self.lease.until - self.clock()).total_seconds()
        if left < max(self.link.lease_seconds / 2, min(CALL_SECONDS, self.link.lease_seconds * 0.9)):
            self.check_lease()
            self.lease = self.link.store.renew(self.lease, self.clock(), self.link.lease_seconds)

    def check_lease(self) -> None:
        """Raises LeaseLost when the lease has run out by the clock, whoever has the card now."""
        if self.clock() >= self.lease.until:
            raise LeaseLost

    def report_closed(self, side: str, error: SideClosed) -> None:
        self.closed.add(side)
        self.link.on_closed(side, error)
