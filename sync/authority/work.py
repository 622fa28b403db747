"""A card in the hands of a caller of the API: claimed, looked at, and given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from connectors.api.errors import Refusal
from sync.crashpoints import crashpoint
from sync.decisions.authority import Denied, Mode, Reason
from sync.ledger.cards.cvc_kinds import brands_with_cvc
from sync.model import AlreadyMade, Card, IntentState, LeaseLost, LinkStopped, Presence, Tampered, Unconfirmed
from sync.reconcile import tampered
from sync.reconcile.brakes import BrakeTripped
from sync.reconcile.card import due_at
from sync.reconcile.work import Link, Work

T = TypeVar("T")

#: Between two tries to claim a card that a worker has.
CLAIM_AGAIN_SECONDS = 0.02
KINDS_READ_EVERY = timedelta(minutes=1)
#: A brand that begins to need a CVC is found by the first payment after this time.
KINDS_ASKED_EVERY = timedelta(minutes=10)


class CardNotAccepted(Exception):
    """No card can be used with what was given: one answer for unknown numbers and for wrong CVCs."""


class CvcRefused(CardNotAccepted):
    """A side wants the card's CVC, and it was wrong or missing. Nothing was taken."""


class CardBusy(Exception):
    """Another worker has the card and does not give it back soon. Nothing was changed by this attempt."""


@dataclass(frozen=True)
class Terms:
    """The merchant's settings of the API."""

    mode: Mode = Mode.AUTHORISE
    unconfirmed: Unconfirmed = Unconfirmed.REFUSE
    #: Whether the sides are looked at before a redemption is recorded, too.
    looks_when_recording: bool = False
    #: A pending redemption has ended after so long.
    pending_seconds: float = 120.0
    #: How long a caller is kept waiting for what is in doubt before the answer is `pending`.
    answer_seconds: float = 5.0
    #: How long a caller is kept waiting for a card that a worker has.
    claim_seconds: float = 5.0


@dataclass(frozen=True)
class CvcKinds:
    """What is known of a side's brands: whether their cards need a CVC. Read again in time. Thread-safe."""

    _read: dict[str, tuple[datetime, frozenset[str | None]]] = field(default_factory=dict)
    #: When a side was asked about a card of a brand, and whether one that it showed needs its CVC.
    _asked: dict[tuple[str, str | None], tuple[datetime, bool]] = field(default_factory=dict)

    def unsure(self, card: Card, link: Link) -> frozenset[str]:
        """Sides that may need the card's CVC for a payment, though none has shown that it does."""
        return frozenset(p.side for p in card.presences if p.born and self._may_need(p, link))

    def begin_asking(self, card: Card, link: Link) -> bool:
        """Whether a side of the card was not asked lately about a card of its brand; from now on it was, so
        that one that does not answer holds up one payment and not each.
        """
        now = link.clock()
        brands = [
            (p.side, p.brand)
            for p in card.presences
            if p.born and _asks_for_cvc(p.side, link) and self._known(p, now) is None
        ]
        self._asked.update(dict.fromkeys(brands, (now, False)))
        return bool(brands)

    def saw(self, card: Card, work: Work) -> None:
        """Note what the sides have just shown of a card."""
        wanting = [p for p in card.presences if p.needs_cvc or p.side in work.cvc_refused]
        self._asked.update({(p.side, p.brand): (work.clock(), True) for p in wanting})

    def _may_need(self, p: Presence, link: Link) -> bool:
        # A side that does not say which card needs one refuses its debit for want of it.
        return (
            p.refusal is Refusal.MISSING_DETAIL
            or p.brand in self._brands(p.side, link)
            or self._known(p, link.clock()) is True
        )

    def _known(self, p: Presence, now: datetime) -> bool | None:
        """Whether a card of the brand was seen lately to need its CVC; None: none was looked at."""
        at, needed = self._asked.get((p.side, p.brand), (None, False))
        return needed if at is not None and at <= now < at + KINDS_ASKED_EVERY else None

    def _brands(self, side: str, link: Link) -> frozenset[str | None]:
        now = link.clock()
        at, brands = self._read.get(side, (None, frozenset[str | None]()))
        if at is None or not at <= now < at + KINDS_READ_EVERY:
            brands = brands_with_cvc(link.store.engine, side)
            self._read[side] = (now, brands)
        return brands


def _asks_for_cvc(name: str, link: Link) -> bool:
    side = link.sides.get(name)
    return side is not None and side.capabilities.asks_for_cvc


def _nobody(error: BrakeTripped) -> None:
    """Nobody is told."""


def once(made: Callable[[], T | None], attempt: Callable[[], None]) -> T:
    """What was made under the caller's key: before, by this attempt, or by another one beside it.

    Raises CardBusy, and what the attempt raises, while nothing was made under it.
    """
    found = made()
    if found is not None:
        return found
    try:
        attempt()
    except (AlreadyMade, CardBusy):
        if made() is None:
            raise
    crashpoint("authority.answers")
    found = made()
    if found is None:
        raise CardBusy
    return found


@dataclass(frozen=True)
class Hands:
    """What the rooms of the authority share: the link, its terms, and how to wait."""

    #: As it is now: limits of the sides are read while a worker runs.
    link: Callable[[], Link]
    terms: Terms
    #: Why nothing may be written now, in words; empty while the link runs.
    stopped: Callable[[], Sequence[str]] = lambda: ()
    #: Waits so many seconds.
    wait: Callable[[float], object] = lambda seconds: None
    #: Has the worker go on with a card that is due now.
    wake: Callable[[], None] = lambda: None
    #: Told of a brake that a redemption has tripped.
    on_brake: Callable[[BrakeTripped], None] = field(default=_nobody)
    #: Asks the sides of a card at the same time; None: one after the other.
    pool: Executor | None = None
    cvc_kinds: CvcKinds = field(default_factory=CvcKinds)

    def check_running(self) -> None:
        """Raises LinkStopped."""
        reasons = self.stopped()
        if reasons:
            raise LinkStopped(reasons)

    @contextmanager
    def claimed(self, card_id: int) -> Iterator[Work]:
        """The card in our hands alone; given back, due at once if something is left to do.

        Raises CardBusy, also when the card was lost to another worker meanwhile, and LinkStopped.
        """
        self.check_running()
        link = self.link()
        work = self._claim(link, card_id)
        try:
            yield work
        except LeaseLost:
            raise CardBusy from None
        except Tampered:
            tampered.report(link, work.lease)
            raise not_as_written() from None
        except BrakeTripped as error:
            self._give_back(work)
            self.on_brake(error)
            raise LinkStopped([str(error)]) from None
        except Exception:
            self._give_back(work)
            raise
        self._give_back(work)

    def _claim(self, link: Link, card_id: int) -> Work:
        until = link.clock() + timedelta(seconds=self.terms.claim_seconds)
        while True:
            lease = link.store.claim(card_id, f"{link.owner}:api", link.clock(), link.lease_seconds)
            if lease is not None:
                crashpoint("authority.claimed")
                # The claim has used up whatever hint there was: all sides are looked at.
                return Work(link, replace(lease, due_for=None))
            if link.clock() >= until:
                raise CardBusy
            self.wait(CLAIM_AGAIN_SECONDS)

    def _give_back(self, work: Work) -> None:
        link = work.link
        try:
            card = link.store.load(work.lease.card_id)
        except Tampered:
            tampered.report(link, work.lease)
            return
        now = link.clock()
        link.store.release(work.lease, now if work.unseen else _due_again(card, now))
        if card.open_intents or not card.is_in_step(link.rules.own_dates):
            self.wake()


def check_cvc(work: Work, cvc: str | None) -> None:
    """Raises CvcRefused when a side that was looked at wants another CVC than the caller's, or any."""
    if work.cvc_refused or (cvc is None and work.cvc_needed):
        raise CvcRefused


def check_known_cvc(card: Card) -> None:
    """Raises CvcRefused when a side is known to want a CVC with the card, and the caller has given none."""
    if any(p.needs_cvc for p in card.presences):
        raise CvcRefused


def not_as_written() -> Denied:
    """What a caller is told of a card whose rows in the ledger somebody changed."""
    return Denied(Reason.NEEDS_ATTENTION, "This card has to be looked at by the shop first.")


def _due_again(card: Card, now: datetime) -> datetime | None:
    """A hint may have been used up by the claim, so a card that is not at rest is due at once."""
    heads = [p.open_intents[0] for p in card.presences if p.open_intents]
    if any(head.state is IntentState.PLANNED and head.not_before is None for head in heads):
        return now
    later = due_at(card, False, now)
    return now if later is None else later
