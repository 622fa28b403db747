"""One worker's hold on one card: the lease, the commits under it, the sides and the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from connectors.api.errors import SideClosed, SideError, Stopping
from connectors.api.side import Side
from connectors.kit.timeouts import CALL_SECONDS
from sync.ledger.cards.rows import card_after
from sync.ledger.cards.store import Lease, Release, Store
from sync.ledger.incoming.polls import ReadRecord
from sync.ledger.sides.outages import Outages
from sync.model import Card, Decision, Intent, InvariantBroken, LeaseLost, LinkRules
from sync.reconcile.brakes import Brake, check_not_empty
from sync.reconcile.cvcs import LentCvcs
from sync.reconcile.decision_log import log_decision

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
    #: Which side does not answer, since when and why.
    outages: Outages = field(default_factory=Outages)
    #: What callers lend while they have a card.
    cvcs: LentCvcs = field(default_factory=LentCvcs)
    #: Told when a side needs a person: its name and the error.
    on_closed: Callable[[str, SideClosed], None] = lambda side, error: None

    def note_failure(self, side: str, task: str, error: SideError) -> None:
        """Keep that a side did not answer to a task; a worker that is stopping says nothing about a side."""
        if isinstance(error, Stopping):
            return
        is_news = self.outages.failed(self.store.engine, side, task, error, self.clock())
        if is_news and isinstance(error, SideClosed):
            self.on_closed(side, error)

    def note_answer(self, side: str, task: str) -> bool:
        """Keep that a side did what was asked; whether it had not before."""
        return self.outages.answered(self.store.engine, side, task, self.clock())

    @property
    def today(self) -> date:
        """The date where the merchant is."""
        return self.clock().astimezone(self.timezone).date()

    @property
    def sharing(self) -> list[str]:
        """The sides whose cards are brought to the others."""
        return sorted(name for name, rules in self.rules.sides.items() if rules.shares)

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
    #: Whether some side was not looked at, so that a hint which the claim used up may be unheard.
    unseen: bool = True
    #: Sides that did not show the card, since its CVC was wrong or missing; those that take payments with it
    #: only.
    cvc_refused: set[str] = field(default_factory=set)
    cvc_needed: set[str] = field(default_factory=set)
    #: How to give the card back as it is then; None: something is left to do with it now.
    at_rest: Callable[[Card], Release | None] = lambda card: None
    #: Whether it was given back.
    released: bool = False

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

    def commit(self, card: Card, decision: Decision, release: Release | None = None) -> Card:
        after = self.link.store.commit(self.lease, card, decision, self.clock(), self.run_id, release)
        log_decision(self.lease.card_id, card, decision)
        return after

    def commit_outcome(self, card: Card, decision: Decision) -> Card:
        """Commit what came of a call, and give the card back with it if nothing is left to do."""
        release = None
        if not decision.intents:
            release = self.at_rest(card_after(decision, (), card.version + 1))
        after = self.commit(card, decision, release)
        self.released = release is not None
        return after

    def save_progress(
        self, card: Card, marker: str, progress: Mapping[str, str], *, lazily: bool = False
    ) -> Card:
        return self.link.store.save_progress(self.lease, card, marker, progress, lazily=lazily)

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
