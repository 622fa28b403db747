"""Take redemptions and authorizations off cards, and give them back (docs/explanation/authority.md).

A redemption is a movement of the hub that is committed under the card's lease, after a fresh look at the
sides. The process may die between any two lines: whoever takes the card next goes on, and ends it in time.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.authority.work import CardBusy, Hands, check_cvc, check_known_cvc, once
from sync.crashpoints import crashpoint
from sync.decisions import authority
from sync.decisions.authority import Denied, Mode, Reason
from sync.decisions.promises import is_untried
from sync.decisions.redemptions import awaits_debit, is_covered
from sync.ledger.cards.recorded import record, recorded_minor
from sync.ledger.hub.redemptions import RedemptionRow, find_redemption, made_by
from sync.model import (
    AlreadyMade,
    Caller,
    Card,
    HubEntry,
    HubEntryKind,
    LinkStopped,
    NewRedemption,
    Redemption,
    RedemptionState,
    Tampered,
    Unconfirmed,
)
from sync.reconcile.brakes import BrakeTripped
from sync.reconcile.card import conclude, enter, look
from sync.reconcile.execute import execute, next_intent
from sync.reconcile.recover import recover
from sync.reconcile.work import Work

ROUNDS_MAX = 8
#: A worker commits to a card a few times a second at most.
RECORD_TRIES_MAX = 20
#: The shortest wait for a side's answer.
WAIT_SECONDS_MIN = 0.02


def new_id(prefix: str) -> str:
    """An id with 80 random bits, such as `red_…`."""
    return f"{prefix}_{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"


@dataclass(frozen=True)
class Wish:
    """What a caller wants to pay with a card. Amount in minor units, positive."""

    amount_minor: int
    currency: str
    #: An authorization: how long it may wait to be captured; None: a redemption.
    capture_seconds: float | None = None
    #: None: as the link's settings say.
    mode: Mode | None = None
    unconfirmed: Unconfirmed | None = None


@dataclass(frozen=True)
class Redemptions:
    """Each call is safe to repeat with the same key, at any moment and from several threads."""

    hands: Hands

    def redeem(self, card_id: int, wish: Wish, caller: Caller, cvc: str | None = None) -> RedemptionRow:
        """Take the amount off the card; the redemption as far as it is known when the answer is due.

        `cvc` is for the sides to check. It is not kept, so they are debited before the answer in any mode.
        Sides that may need one are asked before a redemption without it is recorded, and about each brand
        now and then.
        Raises Denied, CvcRefused, CardBusy and LinkStopped: then this attempt has taken nothing.
        """
        mode = Mode.AUTHORISE if cvc is not None else wish.mode or self.hands.terms.mode
        looks = mode is not Mode.RECORD or self.hands.terms.looks_when_recording

        def attempt() -> None:
            if looks or not self._record(card_id, wish, caller):
                self._look_and_take(card_id, wish, caller, mode, cvc, may_record=not looks)

        return once(lambda: self._made(caller), attempt)

    def _look_and_take(
        self, card_id: int, wish: Wish, caller: Caller, mode: Mode, cvc: str | None, *, may_record: bool
    ) -> None:
        try:
            with self.hands.claimed(card_id) as work:
                if self._made(caller) is None:
                    self._take(work, wish, caller, mode, cvc)
        except CardBusy:
            # A look that is only for the brand's sake is not waited for.
            if not may_record or not self._record(card_id, wish, caller):
                raise

    def _made(self, caller: Caller) -> RedemptionRow | None:
        engine = self.hands.link().store.engine
        made = None if caller.key is None else made_by(engine, caller.token_id, caller.key)
        return None if made is None else find_redemption(engine, made)

    def _record(self, card_id: int, wish: Wish, caller: Caller) -> bool:
        """Promise the amount without waiting for whoever has the card; the next who has it enters it.

        False: the sides have to be looked at first, since one may need a CVC, or was not asked about a card
        of this brand for a while.
        """
        self.hands.check_running()
        link = self.hands.link()
        store = link.store
        for _ in range(RECORD_TRIES_MAX):
            try:
                card = store.load(card_id)
            except Tampered:
                # Whoever has the card tells the shop.
                with self.hands.claimed(card_id):
                    raise
            check_known_cvc(card)
            kinds = self.hands.cvc_kinds
            if kinds.unsure(card, link) or kinds.begin_asking(card, link):
                return False
            before = recorded_minor(store.engine, card_id)
            new = self._new(wish, caller, Mode.RECORD, link.clock())
            new, left = authority.record(card, before, new, wish.currency, link.today)
            if record(store.engine, store.vault, card, before, new, left, link.clock()):
                self.hands.wake()
                return True
        raise CardBusy

    def _new(self, wish: Wish, caller: Caller, mode: Mode, now: datetime) -> NewRedemption:
        terms, capture = self.hands.terms, wish.capture_seconds
        return NewRedemption(
            Redemption(
                new_id("red" if capture is None else "auth"),
                wish.amount_minor,
                RedemptionState.PENDING,
                now + timedelta(seconds=terms.pending_seconds),
                None if capture is None else now + timedelta(seconds=capture),
                wish.unconfirmed or terms.unconfirmed,
            ),
            mode.value,
            caller,
        )

    def _take(self, work: Work, wish: Wish, caller: Caller, mode: Mode, cvc: str | None = None) -> None:
        link = work.link
        card = link.store.load(work.lease.card_id)
        unsure = self.hands.cvc_kinds.unsure(card, link) if cvc is None else ()
        with link.cvcs.lent(card, cvc):
            card, unread = look(card, work, self.hands.pool)
            self.hands.cvc_kinds.saw(card, work)
            check_cvc(work, cvc)
            new = self._new(wish, caller, mode, work.clock())
            taken = authority.take(card, new, wish.currency, link.rules, link.today, unread, unsure)
            card = work.commit(card, taken)
            crashpoint("authority.taken")
            if _is_pending(card, new.redemption.id):
                self._confirm(card, work, new.redemption.id)

    def _confirm(self, card: Card, work: Work, redemption_id: str) -> None:
        """Debit the sides and wait for their word, as long as a caller may be kept waiting."""
        link = work.link
        until = work.clock() + timedelta(seconds=self.hands.terms.answer_seconds)
        for _ in range(ROUNDS_MAX):
            try:
                card = self._debit(card, work)
            except (BrakeTripped, LinkStopped):
                self._end(link.store.load(work.lease.card_id), work, redemption_id, "the link was stopped")
                raise
            card = conclude(card, work)
            if not _is_pending(card, redemption_id):
                return
            if any(p.stale and not p.open_intents for p in card.presences):
                # A refusal is explained by what the side shows.
                card, unread = look(card, work, self.hands.pool)
                if unread and _is_pending(card, redemption_id):
                    break
                continue
            waits_for = _next_moment(card)
            if waits_for is None or waits_for > until:
                break
            self.hands.wait(max((waits_for - work.clock()).total_seconds(), WAIT_SECONDS_MIN))
            card = recover(card, work)
        card = conclude(card, work)
        if _is_pending(card, redemption_id) and not _can_be_confirmed(card):
            self._end(card, work, redemption_id, "a side cannot be reached")

    def _debit(self, card: Card, work: Work) -> Card:
        """Send what is ready until no debit is left that can be sent now."""
        while any(awaits_debit(p) for p in card.presences):
            ready = next_intent(card, work)
            if ready is None or ready.side in work.closed:
                break
            card = execute(card, ready, work)
        return card

    def _end(self, card: Card, work: Work, redemption_id: str, reason: str) -> None:
        work.commit(card, authority.end(card, redemption_id, reason, work.link.rules, work.link.today))

    # --- afterwards -----------------------------------------------------------------------------------------

    def reverse(self, row: RedemptionRow, amount_minor: int | None, caller: Caller) -> RedemptionRow:
        """Give a redemption back, whole or so much of it; also one whose debit is in doubt.

        Raises Denied, CardBusy and LinkStopped.
        """
        return self._change(row, amount_minor, caller, HubEntryKind.REVERSAL)

    def void(self, row: RedemptionRow, caller: Caller) -> RedemptionRow:
        """Give an authorization back whole. Raises Denied, CardBusy and LinkStopped."""
        return self._change(row, None, caller, HubEntryKind.VOID)

    def capture(self, row: RedemptionRow, amount_minor: int | None, caller: Caller) -> RedemptionRow:
        """Complete an authorization, for less if so. Raises Denied, CardBusy and LinkStopped."""
        return self._change(row, amount_minor, caller, HubEntryKind.CAPTURE)

    def _change(
        self, row: RedemptionRow, amount_minor: int | None, caller: Caller, kind: HubEntryKind
    ) -> RedemptionRow:
        engine = self.hands.link().store.engine
        if not self._has_made(caller):
            try:
                with self.hands.claimed(row.card_id) as work:
                    if not self._has_made(caller):
                        self._commit_change(work, row.id, amount_minor, caller, kind)
            except (AlreadyMade, CardBusy):
                if not self._has_made(caller):
                    raise
        crashpoint("authority.answers")
        return find_redemption(engine, row.id) or row

    def _has_made(self, caller: Caller) -> bool:
        engine = self.hands.link().store.engine
        return caller.key is not None and made_by(engine, caller.token_id, caller.key) is not None

    def _commit_change(
        self, work: Work, redemption_id: str, amount_minor: int | None, caller: Caller, kind: HubEntryKind
    ) -> None:
        link = work.link
        # What a dead process has left `sent` is in doubt from here on.
        card = recover(enter(link.store.load(work.lease.card_id), work), work)
        row = find_redemption(link.store.engine, redemption_id)
        current = None if row is None else _current(card, row)
        if current is None or current.amount_minor == 0 or not _may(kind, current):
            reverses = kind is HubEntryKind.REVERSAL
            raise Denied(Reason.NOT_REVERSIBLE if reverses else Reason.NOT_AUTHORIZED, _words(row))
        amount = current.amount_minor if amount_minor is None else amount_minor
        entry = HubEntry(new_id(kind.value[:3]), kind, amount, caller, redemption_id)
        if kind is HubEntryKind.CAPTURE:
            decision = authority.capture(card, redemption_id, entry, link.rules, link.today, work.clock())
        else:
            decision = authority.reverse(card, current, entry, link.rules, link.today)
        work.commit(card, decision)
        crashpoint("authority.changed")


def _current(card: Card, row: RedemptionRow) -> Redemption | None:
    """The redemption as the card has it; one that is final, as it was recorded."""
    found = next((r for r in card.redemptions if r.id == row.id), None)
    if found is None and row.state is RedemptionState.COMPLETED:
        return row.as_open
    return found


def _may(kind: HubEntryKind, current: Redemption) -> bool:
    """A capture needs an authorization; to void one that was captured is to reverse it."""
    if kind is HubEntryKind.VOID:
        return current.capture_until is not None and current.state.is_open
    if kind is HubEntryKind.CAPTURE:
        return current.state is RedemptionState.AUTHORIZED
    return True


def _words(row: RedemptionRow | None) -> str:
    state = "unknown" if row is None else row.state.value
    return f"This redemption is {state}, so there is nothing to give back or to capture."


def _is_pending(card: Card, redemption_id: str) -> bool:
    return any(r.id == redemption_id and r.state is RedemptionState.PENDING for r in card.redemptions)


def _can_be_confirmed(card: Card) -> bool:
    """Whether all that is missing is the outcome of debits that may have landed."""
    return all(
        is_covered(card, p) if not awaits_debit(p) else not is_untried(p.open_intents[0])
        for p in card.presences
    )


def _next_moment(card: Card) -> datetime | None:
    """When something can be done for the open debits; None: nothing of ours brings them further."""
    heads = [p.open_intents[0] for p in card.presences if awaits_debit(p)]
    return min((head.due_at for head in heads if head.due_at is not None), default=None)
